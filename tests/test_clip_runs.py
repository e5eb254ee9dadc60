"""Runs on clips: one row, label and draw per clip, boxes beside the frames, and every frame read and searched once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fer_cli import checks
from fer_cli.config import BACKBONES, Compute, DataConfig, ModelConfig, RunConfig
from fer_cli.data import block, landmarks, prepare
from fer_cli.data.block import Block
from fer_cli.data.clips import choose_frames, draw_orders, group_clips
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from fer_cli.learning.sets import open_sets
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from fer_cli.synthetic import build
from fer_cli.synthetic.build import begin_embedded, build_embedded
from tests.test_clip_samples import CLIPS, SIDE, clip_set

OPTIONS = {"images": 28, "subjects": 8, "size": 32, "frames": [5, 7]}
DATA = DataConfig(name="synth-lecture", image_size=32, frames=6, folds=3, val_fraction=0.34)


@pytest.fixture(autouse=True)
def clip_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two networks count as networks on clips, one of them with boxes of regions; they are not built here."""
    for name, regions in (("resnet18-small", True), ("resnet10-small", False)):
        takes = (*BACKBONES[name].takes, *(["regions"] * regions))
        monkeypatch.setitem(BACKBONES, name, replace(BACKBONES[name], clips=True, regions=regions, takes=takes))
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with 28 short clips of eight people."""
    root = tmp_path_factory.mktemp("lecture")
    build_embedded("synth-lecture", root, OPTIONS)
    return root


def run(root: Path, regions: str = "au", backbone: str = "resnet18-small", **data: object) -> RunData:
    config = RunConfig(data=DATA.model_copy(update=data), model=ModelConfig(backbone=backbone, regions=regions))  # type: ignore[arg-type]
    return RunData(*open_sets_once(config, root))


def open_sets_once(config: RunConfig, root: Path) -> tuple[object, ...]:
    faces, *other = open_sets(config, Compute(data_root=root, results=root / "results"))
    return (faces, config, *other)


@pytest.mark.parametrize(("regions", "count"), [("au", 9), ("important", 9), ("none", 3)])
def test_batches_hold_clips_with_the_boxes_of_their_frames(lecture: Path, regions: str, count: int) -> None:
    data = run(lecture, regions)
    assert len(data.train) + len(data.val) + len(data.test) == 28
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batch = next(iter(loader))
        assert batch.images.shape[1:] == (6, 1, 32, 32)
        assert batch.boxes is not None
        assert batch.boxes.shape == (len(batch.labels), 6, count, 4) and batch.boxes.dtype == torch.float32
    clips = group_clips(load_set(lecture, "synth-lecture"), 6)
    names = clips.manifest["sample"].tolist()
    place = [names.index(name) for name in data.test.samples]
    expected = landmarks.RegionFinder(clips, regions, "truth").boxes(clips.images)[place]
    assert data.test.boxes is not None
    np.testing.assert_array_equal(data.test.boxes.numpy(), expected)


def test_networks_without_regions_get_no_boxes(lecture: Path) -> None:
    data = run(lecture, backbone="resnet10-small")
    batch = next(iter(data.test_dataloader()))
    assert batch.boxes is None and batch.images.shape[1] == 6


def test_one_frame_is_the_middle_one(lecture: Path) -> None:
    data = run(lecture, frames=1)
    faces = load_set(lecture, "synth-lecture")
    clip = data.test.samples[0].rpartition("-")[0]
    own = np.flatnonzero(faces.manifest["sequence"] == clip)
    middle = own[choose_frames(len(own), 1)[0]]
    assert middle not in {own[0], own[-1]}
    np.testing.assert_array_equal(data.test.images[[0]][0, 0].numpy(), faces.images[[middle]][0, 0])


def test_shuffled_frames_keep_their_boxes_and_the_order_of_their_seed(lecture: Path) -> None:
    given, mixed, again = run(lecture), run(lecture, frame_order="shuffled"), run(lecture, frame_order="shuffled")
    for part in ("train", "val", "test"):
        plain, shuffled, same = (getattr(data, part) for data in (given, mixed, again))
        order = draw_orders(plain.samples, 6, 0)
        assert (np.sort(order, 1) == np.arange(6)).all()
        assert len({tuple(row) for row in order.tolist()}) > 1, "an order per clip"
        images = plain.images[:].numpy()
        np.testing.assert_array_equal(
            shuffled.images[:].numpy(), np.take_along_axis(images, order[..., None, None, None], 1)
        )
        np.testing.assert_array_equal(
            shuffled.boxes.numpy(), np.take_along_axis(plain.boxes.numpy(), order[..., None, None], 1)
        )
        np.testing.assert_array_equal(shuffled.images[:].numpy(), same.images[:].numpy())
    assert not np.array_equal(draw_orders(given.test.samples, 6, 0), draw_orders(given.test.samples, 6, 1))
    alone = draw_orders(given.test.samples[:1], 6, 0)
    np.testing.assert_array_equal(alone, draw_orders(given.test.samples, 6, 0)[:1])


def test_frames_are_read_and_searched_once_over_three_epochs(lecture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, read, prepared = [], [], []
    monkeypatch.setattr(
        landmarks.FaceBox, "__call__", lambda self, picture: searched.append(1) or (1, np.array([0.1, 0.1, 0.9, 0.9]))
    )
    load, make = block.load_rows, prepare.prepare_part
    monkeypatch.setattr(block, "load_rows", lambda array, index: read.append(1) or load(array, index))
    monkeypatch.setattr(prepare, "prepare_part", lambda *args: prepared.append(len(args[0])) or make(*args))
    data = run(lecture, landmarks="fallback", image_size=16)
    counts = len(searched), len(read), sum(prepared)
    assert 28 * 5 <= counts[0] <= 28 * 6, "each frame in use, none twice"
    assert counts[2] == 28
    seen = []
    for _ in range(3):
        for loader in (data.train_dataloader(), data.val_dataloader()):
            seen += [batch.images.shape[2:] for batch in loader]
    assert set(seen) == {(1, 16, 16)}
    assert (len(searched), len(read), sum(prepared)) == counts


def test_short_clips_repeat_frames_and_are_counted(lecture: Path) -> None:
    frames = load_set(lecture, "synth-lecture").manifest.groupby("sequence").size()
    assert run(lecture, frames=8).counted == {"clips with fewer frames than 8, some of which are repeated": 28}
    short = int((frames < 6).sum())
    assert 0 < short < 28
    assert run(lecture).counted == {"clips with fewer frames than 6, some of which are repeated": short}
    assert run(lecture, frames=5).counted == {}


def test_subsets_noise_and_batches_count_clips(lecture: Path) -> None:
    data = run(lecture, max_images=7, label_noise=0.3)
    assert len(data.train) == 7
    assert int((data.train.labels.numpy() != data.true_labels).sum()) == round(0.3 * 7)
    assert data.eval_batch == 256 // 6
    assert data.split.shared_subjects == 0


def test_colour_clips_stay_colour_and_grey_ones_grey() -> None:
    settings = DataConfig(name="made", image_size=SIDE, folds=3, val_fraction=0.34, landmarks="fallback", frames=3)
    for colour in (False, True):
        for channels in (1, 3):
            model = ModelConfig(backbone="resnet10-small", channels=channels)  # type: ignore[arg-type]
            config = RunConfig(data=settings.model_copy(update={"landmarks": "truth"}), model=model)
            data = RunData(group_clips(clip_set(colour), 3), config)
            shape = next(iter(data.test_dataloader())).images.shape[1:]
            assert shape == (3, 3 if colour and channels == 3 else 1, SIDE, SIDE)
            assert len(data.train) + len(data.val) + len(data.test) == CLIPS


def test_another_set_of_clips_is_tested_on_with_its_own_boxes(lecture: Path, tmp_path: Path) -> None:
    build_embedded("synth-qa", lecture, {"images": 7, "subjects": 2, "size": 32, "frames": [5, 5]})
    data = run(lecture, test="synth-qa")
    assert len(data.test) == 7 and data.test.boxes is not None
    other = group_clips(load_set(lecture, "synth-qa"), 6)
    np.testing.assert_array_equal(data.test.boxes.numpy(), landmarks.RegionFinder(other, "au", "truth").boxes(other.images))
    assert set(data.counted.values()) != {0}


def test_all_frames_of_the_clips_that_a_run_needs_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_cli.data.cards import load_card

    def load_small(name: str) -> object:
        card = load_card(name)
        assert card.embedded is not None
        return card.model_copy(update={"embedded": card.embedded.model_copy(update=OPTIONS)})

    monkeypatch.setattr(build, "load_card", load_small)
    begin_embedded("synth-lecture", tmp_path)
    data = run(tmp_path, max_images=5, max_val=2, max_test=3, classes=["happy", "sad", "neutral"])
    faces = load_set(tmp_path, "synth-lecture")
    drawn = faces.manifest[faces.images.rows[:, 0] >= 0]
    assert drawn["sequence"].nunique() == 10 == len(data.train) + len(data.val) + len(data.test)
    whole = faces.manifest.groupby("sequence").size()
    assert (drawn.groupby("sequence").size() == whole[drawn["sequence"].unique()]).all(), "whole clips"
    assert set(drawn["label"]) == {"happy", "sad", "neutral"}
    truth = pd.read_parquet(tmp_path / "synth-lecture" / "truth.parquet")
    assert data.test.boxes is not None and len(truth) == len(drawn)
    images = data.test.images.images
    assert (
        isinstance(images, Block)
        and truth["sequence"].to_numpy()[images.rows[0]].tolist() == [data.test.samples[0].rpartition("-")[0]] * 6
    )


STUDY_OF_CLIPS = """
name: clips
question: Does it count clips?
base:
  data: {name: synth-lecture, image_size: 32, frames: 6, folds: 3, val_fraction: 0.34, landmarks: LANDMARKS}
  model: {backbone: resnet18-small}
  train: {epochs: 1}
arms: {one: {}, other: {train.lr: 1e-3}}
seeds: [0]
report: {metrics: [accuracy], against: one}
"""


def test_a_study_on_clips_is_checked_by_clips(lecture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(checks, "check_sizes", lambda plan, splits: seen.extend(len(one.train) for one in splits.values()))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    compute = Compute(data_root=lecture, results=tmp_path / "results")
    path = tmp_path / "clips.yaml"
    path.write_text(STUDY_OF_CLIPS.replace("LANDMARKS", "dlib"))
    plan = make_plan(str(path), Choice(), compute)
    with pytest.raises(DataError, match=r"^data\.landmarks: dlib and its model are not installed"):
        checks.check_runs(plan, compute, plan.states())
    assert seen == [len(run(lecture).train)]
