"""Clips as samples: their frames are read together, and splits, corruption and augmentation see one sample."""

import numpy as np
import pytest
import torch

from fer_cli.config import AugmentConfig, CorruptConfig, DataConfig, ModelConfig, RunConfig
from fer_cli.data.augment import augment
from fer_cli.data.block import Block, pictures
from fer_cli.data.clips import choose_frames, group_clips
from fer_cli.data.corrupt import corrupt_images
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import TIME, FaceSet
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from fer_cli.learning.module import FerModule
from fer_cli.learning.train import new_module
from tests.test_block import make_set

CLIPS, SIDE = 24, 16
DATA = DataConfig(name="made", image_size=SIDE, split="subject", folds=3, val_fraction=0.34)


def clip_set(colour: bool = False) -> FaceSet:
    """24 clips of 3 to 6 frames, two a person; the first pixel of a frame is its clip, the second its number.

    The rows stand in no order; people number their clips alike.
    """
    lengths = [3 + clip % 4 for clip in range(CLIPS)]
    clips = np.repeat(np.arange(CLIPS), lengths)
    numbers = np.concatenate([np.arange(length) for length in lengths])
    images = np.random.default_rng(0).integers(0, 256, (len(clips), SIDE, SIDE, *([3] * colour)), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = (x[:, None] if colour else x for x in (clips, numbers))
    order = np.random.default_rng(1).permutation(len(clips))
    clips, numbers, images = clips[order], numbers[order], images[order]
    return make_set(
        Block(images),
        sample=[f"c{clip:02d}-{number}" for clip, number in zip(clips, numbers, strict=True)],
        label=np.where(clips % 2, "sad", "happy"),
        subject=[f"p{clip // 2:02d}" for clip in clips],
        sequence=np.where(clips % 2, "second", "first"),
        frame=numbers,
    )


@pytest.mark.parametrize(
    ("there", "wanted", "places"),
    [
        (5, 8, [0, 1, 1, 2, 2, 3, 3, 4]),
        (5, 5, [0, 1, 2, 3, 4]),
        (6, 3, [0, 2, 5]),
        (1, 3, [0, 0, 0]),
        (9, 1, [4]),
        (4, 1, [2]),
    ],
)
def test_frames_are_taken_evenly(there: int, wanted: int, places: list[int]) -> None:
    assert choose_frames(there, wanted).tolist() == places


def test_frames_with_time_stamps_are_taken_evenly_in_time() -> None:
    even = np.arange(9) / 16
    for wanted in (1, 2, 4, 5, 8, 9, 12):
        assert choose_frames(9, wanted, even.round(4)).tolist() == choose_frames(9, wanted).tolist()
    uneven = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 2.0, 3.0, 4.0])
    assert choose_frames(8, 5, uneven).tolist() == [0, 4, 5, 6, 7]
    assert choose_frames(8, 1, uneven).tolist() == [5]
    for useless in (np.zeros(8), uneven[::-1], np.array([*uneven[:-1], np.nan])):
        assert choose_frames(8, 5, useless).tolist() == choose_frames(8, 5).tolist()
    faces = clip_set()
    faces.manifest[TIME] = np.where(faces.manifest["frame"] == 0, 0.0, 10.0 + 0.1 * faces.manifest["frame"])
    clips = group_clips(faces, 5)
    assert clips.images[[3]][0, :, 0, 0, 1].tolist() == [0, 0, 1, 1, 5]


@pytest.mark.parametrize("colour", [False, True])
def test_a_clip_is_one_sample_of_frames_in_their_order(colour: bool) -> None:
    faces = clip_set(colour)
    faces.manifest["face"] = faces.manifest["sample"] != "c03-2"
    clips = group_clips(faces, 4)
    assert clips.manifest["face"].tolist() == [clip != 3 for clip in range(CLIPS)]
    assert clips.images.shape == (CLIPS, 4, 3 if colour else 1, SIDE, SIDE)
    assert clips.manifest["sample"].tolist() == [f"c{clip:02d}-0" for clip in range(CLIPS)]
    assert clips.info.kept == len(clips.manifest) == CLIPS
    seen = clips.images[:]
    for clip in range(CLIPS):
        assert (seen[clip, :, :, 0, 0] == clip).all()
        assert seen[clip, :, 0, 0, 1].tolist() == choose_frames(3 + clip % 4, 4).tolist()
        assert clips.manifest["label"][clip] == ("sad" if clip % 2 else "happy")


def test_splits_count_clips_and_keep_them_whole() -> None:
    frames = clip_set()
    clips = group_clips(frames, 4)
    split = make_split(clips.manifest, DATA)
    assert len(split.train) + len(split.val) + len(split.test) == CLIPS
    assert (split.shared_subjects, split.shared_sequences) == (0, 0)
    few = make_split(clips.manifest, DATA.model_copy(update={"max_images": 6}))
    assert len(few.train) == 6


@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_gives_batches_of_clips_corrupted_as_one_sample(channels: int) -> None:
    clips = group_clips(clip_set(colour=True), 4)
    square = CorruptConfig(occlusion=0.3, parts=["train"])
    config = RunConfig(
        data=DATA.model_copy(update={"label_noise": 0.5}), model=ModelConfig(channels=channels), corrupt=square
    )
    data = RunData(clips, config)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape[1:] == (4, channels, SIDE, SIDE)
    black = batch.images == 0
    same = black.all(1).all(1)  # (B, S, S): hidden in every frame and channel
    assert (same.sum((1, 2)) >= config.corrupt.covered_pixels(SIDE)).all()
    assert int((data.train.labels.numpy() != data.true_labels).sum()) == round(0.5 * len(data.train))
    module = new_module(config, data)
    assert module.pixels(batch.images).shape == batch.images.shape
    stills = RunData(clip_set(), RunConfig(data=DATA))
    pixels = FerModule.pixels(module, stills.train.images[:2])
    assert pixels.shape == (2, channels, SIDE, SIDE), "stills come without an axis of frames"


def test_frames_of_a_clip_have_noise_of_their_own_that_channels_share() -> None:
    grey = np.full((6, SIDE, SIDE, 3), 128, np.uint8)
    clips = Block(grey).group(np.array([[0, 1, 2], [3, 4, 5]]))
    images = torch.from_numpy(np.ascontiguousarray(clips[:]))
    seen = corrupt_images(images, np.array(["a", "b"]), CorruptConfig(noise=0.1)).numpy()
    assert (seen[:, :, :1] == seen).all()
    assert len({frame.tobytes() for frame in pictures(seen)}) == 6


def test_augmentation_changes_all_frames_of_a_clip_alike() -> None:
    still = torch.rand(8, 1, 1, SIDE, SIDE)
    config = AugmentConfig(flip=0.5, rotate=10, scale=0.1, translate=0.1, brightness=0.1, contrast=0.1, erase=0.5)
    changed = augment(still.expand(-1, 5, -1, -1, -1), config, 3)
    assert changed.shape == (8, 5, 1, SIDE, SIDE)
    torch.testing.assert_close(changed, changed[:, :1].expand(-1, 5, -1, -1, -1))
    torch.testing.assert_close(changed[:, 0], augment(still[:, 0], config, 3))


def test_images_without_a_clip_and_clips_of_several_labels_are_refused() -> None:
    faces = clip_set()
    faces.manifest.loc[:2, "sequence"] = ""
    with pytest.raises(DataError, match=r"^made: 3 of \d+ images belong to no clip; use a set of clips$"):
        group_clips(faces, 4)
    faces = clip_set()
    faces.manifest.loc[faces.manifest["subject"] == "p04", "sequence"] = ""
    with pytest.raises(DataError, match=r"images belong to no clip \(subject 'p04' has no clips\); use a set of clips$"):
        group_clips(faces, 4)
    for column in ("label", "split"):
        faces = clip_set()
        faces.manifest.loc[0, column] = {"happy": "sad", "sad": "happy", "none": "train"}[faces.manifest[column][0]]
        with pytest.raises(DataError, match=rf"its frames differ in column '{column}'$"):
            group_clips(faces, 4)


def test_stills_are_no_clips() -> None:
    faces = make_set(
        Block(np.zeros((4, SIDE, SIDE), np.uint8)),
        sample=[f"s{number}" for number in range(4)],
        label=["happy", "sad"] * 2,
        subject=["p0", "p0", "p1", "p1"],
        sequence=[f"q{number}" for number in range(4)],
        frame=[0] * 4,
    )
    with pytest.raises(DataError, match="each of its 4 clips has a single frame; use a set of clips"):
        group_clips(faces, 8)
