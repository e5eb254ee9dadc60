"""One layout of images, (N, T, C, H, W) uint8: read lazily, and with the values that earlier versions gave them."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import CorruptConfig, DataConfig, ModelConfig, RunConfig
from fer_cli.data import prepare
from fer_cli.data.block import Block, colour_picture, grey_block, grey_picture, header, load_rows, open_block, pictures
from fer_cli.data.corrupt import corrupt_images
from fer_cli.data.datamodule import RunData
from fer_cli.data.identity import image_hash
from fer_cli.data.manifest import FaceSet, SetInfo
from fer_cli.data.prepare import Prepared, mean_and_deviation
from fer_cli.errors import DataError
from fer_cli.places import PACKAGE

STEPS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "square": {"occlusion": 0.2},
    "hand": {"occlusion": 0.2, "occluder": "hand"},
    "mask": {"occlusion": 0.2, "occluder": "mask"},
    "eyes": {"occlusion": 0.1, "occluder": "eyes"},
    "light": {"light": 0.5},
    "blur": {"blur": 1.2},
    "downscale": {"downscale": 2.0},
    "noise": {"noise": 0.1},
    "jpeg": {"jpeg": 30},
}
BEFORE = {
    "as it is": ("0865dbcff61e", "0c5898e28896", "2b422eb7a04c"),
    "square": ("5a5aac042ff1", "115c3ca2b1da", "9cff5004ebe6"),
    "hand": ("ef0b6551f737", "8f33fb94ead1", "265d6c9a4500"),
    "mask": ("3a67104b43fe", "0c658e3aa7bb", "58aad7eca52a"),
    "eyes": ("9abfcf0c469c", "9661553b52ea", "909fb6d66805"),
    "light": ("ff42fdcdeeac", "2928dc979783", "1ab9e788a591"),
    "blur": ("a8333a967bdd", "35ec6b624568", "b50aa56e27aa"),
    "downscale": ("125d389ee20e", "013d6f722dad", "da4b323f939d"),
    "noise": ("29c5e85d118f", "9c15c4c6b3e6", "be743ac6f7f7"),
    "jpeg": ("93db1de6fb0e", "ac461e1b4d8c", "b2e73a479a82"),
}
"""Step -> digest of all parts of a grey set, of a colour set seen in grey, and of a colour set seen in colour.

Computed by the code that kept images as (N, S, S) and (N, S, S, 3).
"""


def noisy_pictures(colour: bool, n: int = 24, side: int = 20) -> np.ndarray:
    """Return noise over a ramp, (n, side, side[, 3]) uint8."""
    shape = (n, side, side, 3) if colour else (n, side, side)
    rows = np.linspace(0, 200, side)[None, :, None, None] if colour else np.linspace(0, 200, side)[None, :, None]
    return np.clip(np.random.default_rng(7).integers(0, 256, shape) * 0.5 + rows * 0.6, 0, 255).astype(np.uint8)


def make_set(images: Block, **columns: Any) -> FaceSet:
    """Return a set of samples that alternate between two classes, four to a person."""
    n = len(images)
    table = {"sample": [f"s{i:03d}" for i in range(n)], "label": ["happy", "sad"] * (n // 2)}
    table |= {"subject": [f"p{i // 4}" for i in range(n)], "sequence": "", "frame": 0, "split": "none"} | columns
    info = SetInfo(
        name="made", title="made", card_version=1, licence="none", classes=["happy", "sad"], counts={}, subjects=n // 4,
        image_size=images.side, preprocessing=[], found=n, kept=n, unreadable={}, differences=[], fingerprint="0" * 16,
        fer_version="0", files={},
    )  # fmt: skip
    return FaceSet(info, pd.DataFrame(table), images)


def run_data(images: Block, channels: int = 1, size: int = 20, **steps: Any) -> RunData:
    corrupt = CorruptConfig(**steps, parts=["train", "test"]) if steps else CorruptConfig()
    data = DataConfig(name="made", image_size=size, folds=3, val_fraction=0.34)
    return RunData(make_set(images), RunConfig(data=data, model=ModelConfig(channels=channels), corrupt=corrupt))


def digest(data: RunData) -> str:
    parts = (part.images[:].numpy().tobytes() for part in (data.train, data.val, data.test))
    return hashlib.sha256("".join(hashlib.sha256(part).hexdigest()[:16] for part in parts).encode()).hexdigest()[:12]


# values


@pytest.mark.parametrize("step", STEPS)
def test_pixels_are_those_of_earlier_versions(step: str) -> None:
    grey, colour = Block(noisy_pictures(False)), Block(noisy_pictures(True))
    seen = [(grey, 1), (colour, 1), (colour, 3)]
    assert tuple(digest(run_data(images, channels, **STEPS[step])) for images, channels in seen) == BEFORE[step]
    assert digest(run_data(grey, 3, **STEPS[step])) == BEFORE[step][0], "a grey set stays grey for three channels"


@pytest.mark.parametrize("size", [17, 31])
@pytest.mark.parametrize(("colour", "channels"), [(False, 1), (True, 1), (True, 3)])
def test_images_are_resized_and_then_corrupted_channel_by_channel(size: int, colour: bool, channels: int) -> None:
    """Interpolation differs between processors, so the reference is computed here, a plane at a time."""
    steps: dict[str, Any] = {"occlusion": 0.2, "occluder": "hand", "light": 0.7, "blur": 0.8, "noise": 0.05, "jpeg": 60}
    packed = noisy_pictures(colour)
    data = run_data(Block(packed), channels, size, **steps)
    if colour and channels == 1:
        packed = np.stack([grey_picture(picture) for picture in packed])
    for part in ("train", "val", "test"):
        where = getattr(data.split, part)
        planes = packed[where].reshape(len(where), 20, 20, -1).transpose(3, 0, 1, 2)

        def reference(plane: np.ndarray, part: str = part) -> Tensor:
            exact = F.interpolate(
                torch.from_numpy(plane.copy())[:, None].float(), (size, size), mode="bilinear", antialias=True
            )
            small = exact.round().clamp(0, 255).to(torch.uint8)[:, None]
            return small if part == "val" else corrupt_images(small, data.samples[part], CorruptConfig(**steps))

        whole = torch.cat([reference(plane) for plane in planes], dim=2)
        assert torch.equal(getattr(data, part).images[:], whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_a_float_copy_and_exact_for_many_pixels(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = run_data(Block(noisy_pictures(True)), channels)
    pixels = data.train.images[:].float() / 255
    assert (data.mean, data.std) == (float(pixels.mean()), float(pixels.std()))
    monkeypatch.setattr(prepare, "FEW_PIXELS", 0)
    exact = pixels.double()
    assert mean_and_deviation(data.train.images) == pytest.approx((float(exact.mean()), float(exact.std())), rel=1e-7)


def test_features_are_those_of_earlier_versions() -> None:
    from fer_cli.features.hog import Hog
    from fer_cli.features.lbp import Lbp
    from fer_cli.features.sift import Sift

    for extractor in (Hog(), Lbp(), Sift(words=8)):
        packed = noisy_pictures(True)
        grey = np.stack([grey_picture(picture) for picture in packed])
        state = extractor.fit(packed)
        np.testing.assert_array_equal(extractor.transform(packed, state), extractor.transform(grey, state))
        five = Block(packed)[:]
        np.testing.assert_array_equal(extractor.transform(packed, state), extractor.transform(five, state))


# layout


@pytest.mark.parametrize("colour", [False, True])
def test_a_block_is_samples_frames_channels_rows_columns(colour: bool, tmp_path: Path) -> None:
    packed = noisy_pictures(colour)
    np.save(tmp_path / "images.npy", packed)
    for block in (Block(packed), open_block(tmp_path / "images.npy"), Block.of(Block(packed)[:])):
        assert block.shape == (24, 1, 3 if colour else 1, 20, 20)
        assert (len(block), block.frames, block.channels, block.side) == (24, 1, 3 if colour else 1, 20)
        for index in (slice(3, 9), slice(0, 24, 5), np.array([7, 2, 2]), [1], slice(24, 30), np.arange(24) % 3 == 0):
            expected = packed[index]
            assert block[index].shape == (len(expected), *block.shape[1:])
            np.testing.assert_array_equal(np.array(list(pictures(block[index]))).reshape(expected.shape), expected)
            np.testing.assert_array_equal(block.select(np.arange(24)[index])[:], block[index])
        np.testing.assert_array_equal(list(pictures(block[4][None])), packed[4:5])
        assert [len(chunk) for chunk in block.chunks(10)] == [10, 10, 4]
        np.testing.assert_array_equal(np.concatenate(list(block.chunks(10))), block[:])


def test_channels_of_a_block_are_red_green_and_blue() -> None:
    packed = noisy_pictures(True)
    np.testing.assert_array_equal(Block(packed)[:][:, 0, 2], packed[..., 2])
    grey = grey_block(Block(packed)[:])
    assert grey.shape == (24, 1, 1, 20, 20)
    mixed = packed @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[:, 0, 0] - mixed).max() <= 0.51
    assert np.array_equal(grey_block(grey), grey)


def test_a_clip_is_read_as_its_frames() -> None:
    packed = noisy_pictures(True)
    block = Block(packed).group(np.array([[0, 1, 2], [9, 9, 4]]))
    assert block.shape == (2, 3, 3, 20, 20)
    np.testing.assert_array_equal(list(pictures(block[:])), packed[[0, 1, 2, 9, 9, 4]])
    np.testing.assert_array_equal(block[1][:, 0], packed[[9, 9, 4], :, :, 0])
    np.testing.assert_array_equal(Block.of(block[:])[:], block[:])


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 8, 8), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((2, 1, 2, 8, 8), np.uint8),
    ],
)
def test_other_arrays_are_refused_in_one_line(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"images: .* are needed, not [0-9x ]+ (uint8|float32)$"):
        Block.of(wrong)


def test_pictures_turn_grey_and_colour() -> None:
    picture = noisy_pictures(True)[0]
    assert grey_picture(picture).shape == (20, 20)
    assert colour_picture(grey_picture(picture)).shape == (20, 20, 3)
    assert colour_picture(picture) is picture or np.array_equal(colour_picture(picture), picture)
    with pytest.raises(ValueError, match="a picture is"):
        colour_picture(np.zeros((0, 0), np.uint8))


@pytest.mark.parametrize("colour", [False, True])
def test_content_and_hash_are_those_of_the_file(colour: bool, tmp_path: Path) -> None:
    block = Block(noisy_pictures(colour))
    (tmp_path / "images.npy").write_bytes(b"".join(block.file_content()))
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), block.packed)
    assert image_hash(block) == hashlib.sha256((tmp_path / "images.npy").read_bytes()).hexdigest()


def test_only_block_py_knows_how_images_are_laid_out() -> None:
    guess = re.compile(r"(images?|picture|face|pixels|batch)\.ndim|\.images\.packed")
    for path in PACKAGE.rglob("*.py"):
        if path.name != "block.py":
            assert not guess.search(path.read_text()), path


# memory


@pytest.fixture
def large(tmp_path: Path) -> Block:
    """64 MiB of images on disk."""
    path = tmp_path / "images.npy"
    with path.open("wb") as stream:
        stream.write(header((16384, 64, 64)))
        for seed in range(16):
            stream.write(np.random.default_rng(seed).bytes(1024 * 64 * 64))
    return open_block(path)


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_reading_a_large_block_keeps_none_of_it_in_memory(large: Block) -> None:
    before, most = resident(), 0
    for index in (*np.split(np.random.default_rng(0).permutation(len(large)), 64), *np.split(np.arange(len(large)), 64)):
        large[index].max()
        most = max(most, resident() - before)
    assert most < 16 * 2**20
    assert resident() - before < 8 * 2**20


def test_a_run_keeps_in_memory_only_images_that_it_changes(large: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.array([f"s{i}" for i in range(len(large))], dtype=object)
    before = resident()
    unchanged = Prepared(large, samples, RunConfig(data=DataConfig(image_size=64)), "train")
    monkeypatch.setattr(prepare, "FEW_PIXELS", 2**20)
    mean, deviation = mean_and_deviation(unchanged)
    assert unchanged.kept is None
    for chunk in unchanged.chunks():
        assert chunk.shape[1:] == (1, 1, 64, 64)
    assert (mean, deviation) == pytest.approx((0.5, 0.28980), abs=1e-3)
    assert resident() - before < 16 * 2**20
    smaller = Prepared(large, samples, RunConfig(data=DataConfig(image_size=16)), "train")
    assert smaller.kept is not None
    assert smaller.kept.nbytes == len(large) * 16 * 16


def test_a_map_can_be_read_after_its_file_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((4, 8, 8), np.uint8))
    block = open_block(path)
    np.save(tmp_path / "other.npy", np.ones((4, 8, 8), np.uint8))
    (tmp_path / "other.npy").replace(path)
    assert block[:].max() == 0
    path.unlink()
    assert load_rows(block.packed, slice(1, 3)).shape == (2, 8, 8)
