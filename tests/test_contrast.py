"""Training images without contrast: refused before the first run, with a remedy that helps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_cli.data.build import build_own
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.data.prepare import check_contrast
from fer_cli.errors import DataError
from tests.trees import one_line

STUDY = """
name: flat
question: Does it train?
base:
  data: {{name: flat, image_size: 16, folds: 2, val_fraction: 0.5}}
  model: {{backbone: cnn3, normalise: {normalise}}}
  train: {{epochs: 1, batch_size: 8}}
  corrupt: {corrupt}
seeds: [0]
arms: {{A: {{}}, B: {{train.lr: 0.01}}}}
report: {{against: A}}
"""
GREY = np.full((16, 16), 7, np.uint8)


def flat_set(tmp_path: Path, level: Callable[[int], np.ndarray]) -> Path:
    """Build a set ``flat`` of 2 classes, 4 people, 2 pictures each, whose pictures are ``level`` of their number."""
    number = 0
    for label in ("happy", "sad"):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for subject in range(4):
            for take in range(2):
                assert cv2.imwrite(str(tmp_path / "faces" / label / f"p{subject}_{take}.png"), level(number))
                number += 1
    build_own("flat", tmp_path / "faces", "folder", "(?P<subject>p[0-9])_", tmp_path / "data")
    return tmp_path / "data"


def refused(
    fer: Callable[..., Any], tmp_path: Path, *extra: str, normalise: str = "train", corrupt: str = "{}"
) -> tuple[int, str]:
    """Return exit code and what ``fer ablate`` says of the set; nothing may be trained where the code is 2."""
    study = tmp_path / "flat.yaml"
    study.write_text(STUDY.format(normalise=normalise, corrupt=corrupt))
    places = ["--data-root", tmp_path / "data", "--results", tmp_path / "results", "--no-track"]
    called = fer("ablate", "--study", study, *places, *extra)
    if called.code == 2:
        assert not (tmp_path / "results").exists()
    return called.code, called.err


@pytest.mark.parametrize("normalise", ["train", "image"])
def test_one_grey_for_all_images_is_refused_before_training(fer: Callable[..., Any], tmp_path: Path, normalise: str) -> None:
    flat_set(tmp_path, lambda _: GREY)
    for extra in ([], ["--smoke"]):
        code, said = refused(fer, tmp_path, *extra, normalise=normalise)
        assert code == 2
        wanted = "flat: the training images have no contrast (deviation 0: each pixel is 7); inspect them with fer data peek"
        assert said.startswith(f"error: {wanted} flat, and rebuild the set") and said.count("\n") == 1, said


def test_images_of_one_grey_each_are_refused_only_where_each_is_standardised_by_itself(
    fer: Callable[..., Any], tmp_path: Path
) -> None:
    flat_set(tmp_path, lambda number: GREY + number)
    code, said = refused(fer, tmp_path, normalise="image")
    assert code == 2 and "(deviation 0 within each)" in said and "use model.normalise: train, or inspect" in said
    code, said = refused(fer, tmp_path, normalise="train")  # the remedy helps
    assert code == 0, said


def test_contrast_that_corruption_takes_away_is_refused_and_named(fer: Callable[..., Any], tmp_path: Path) -> None:
    flat_set(tmp_path, lambda number: np.random.default_rng(number).integers(0, 200, (16, 16), dtype=np.uint8))
    code, said = refused(fer, tmp_path, corrupt="{light: 0.001, parts: [train]}")
    assert code == 2 and "each pixel is 0" in said and "or change corrupt" in said
    assert refused(fer, tmp_path, "--plan", corrupt="{light: 0.001, parts: [test]}")[0] == 0


def test_one_pixel_that_differs_is_contrast(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    import torch

    images = torch.full((100, 4, 4), 7, dtype=torch.uint8)
    with pytest.raises(DataError):
        check_contrast(tiny(), images.split(30))
    images[99, 3, 3] = 8
    check_contrast(tiny(), images.split(30))


def test_a_run_on_its_own_is_refused_too(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    from fer_cli.config import DataConfig

    faces = load_set(flat_set(tmp_path, lambda _: GREY), "flat")
    with pytest.raises(DataError) as raised:
        RunData(faces, tiny(data=DataConfig(name="flat", image_size=16, folds=2, val_fraction=0.5)))
    one_line(raised, "no contrast", "deviation 0")
