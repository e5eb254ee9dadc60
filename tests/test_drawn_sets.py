"""Embedded sets as they are built: truth beside pictures, people apart, sheets, mistakes in options, and learning."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.data.cards import Embedded
from fer_cli.data.manifest import load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.build import build_embedded
from fer_cli.synthetic.expressions import RECIPES
from tests.conftest import Called
from tests.fakes import folder_at

Fer = Callable[..., Called]
SMALL = Embedded(recipes="basic", images=48, subjects=6, size=32, seed=5)
EVERY = list(RECIPES["basic"])


@pytest.fixture(scope="module")
def drawn_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a small, easy ``synth-basic`` of 40 people."""
    root = tmp_path_factory.mktemp("drawn")
    build_embedded("synth-basic", root, {"images": 400, "subjects": 40, "size": 32, "difficulty": 0.0}, jobs=2)
    return root


def test_built_set_has_its_truth_beside_it_and_disjoint_people(drawn_root: Path) -> None:
    faces = load_set(drawn_root, "synth-basic")
    truth = pd.read_parquet(drawn_root / "synth-basic" / "truth.parquet")
    assert faces.images.shape == (400, 1, 1, 32, 32)
    assert faces.info.embedded is not None
    assert faces.info.embedded["subjects"] == faces.info.subjects == 40
    assert truth["sample"].tolist() == faces.manifest["sample"].tolist()
    assert {f"{unit}_{side}" for unit in UNITS for side in "RL"} <= set(truth)
    assert np.stack(truth["landmarks"]).shape == (400, 136)
    happy, sad = truth[truth["label"] == "happy"], truth[truth["label"] == "sad"]
    assert happy["AU12_L"].mean() > 0.5 > sad["AU12_L"].mean()
    for fold in range(5):
        parts = make_split(faces.manifest, DataConfig(fold=fold))
        subjects = [set(faces.manifest["subject"].iloc[part]) for part in (parts.train, parts.val, parts.test)]
        assert not (subjects[0] & subjects[1] | subjects[0] & subjects[2] | subjects[1] & subjects[2])


@pytest.mark.exhaustive
def test_a_small_network_tells_the_expressions_of_people_it_never_saw(tmp_path: Path) -> None:
    """At the default difficulty; training takes a minute."""
    from fer_cli.learning.train import train_run

    root = tmp_path / "data"
    build_embedded("synth-learning", root, {}, jobs=2)
    config = RunConfig(
        data=DataConfig(name="synth-learning", image_size=48, split="subject"),
        model=ModelConfig(backbone="resnet10-small"),
        train=TrainConfig(epochs=40, lr=3e-3, batch_size=32),
    )
    compute = Compute(data_root=root, results=tmp_path, threads=2, device="cpu")
    result = train_run(config, compute, folder_at(tmp_path))
    assert result.metrics["test"]["accuracy"] >= 0.85


def test_contact_sheet_and_rebuild(fer: Fer, drawn_root: Path, tmp_path: Path) -> None:
    called = fer("data", "peek", "synth-basic", "--data-root", drawn_root, "--out", tmp_path / "sheet.png", "--columns", 5)
    assert called.code == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    assert sheet.shape[0] > 8 * 64 and sheet.shape[1] > 5 * 64
    missing = fer("data", "peek", "ck48", "--data-root", drawn_root)
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert missing.err.rstrip().endswith(f"fer data build ck48 --from FOLDER --data-root {drawn_root}")


MISTAKES = [
    (["synth-basics"], "did you mean synth-basic"),
    (["synth-basic", "--size", 15], "must be 16 to 1024 pixels"),
    (["synth-basic", "--size", 1025], "must be 16 to 1024 pixels"),
    (["synth-basic", "--images", 7], "must be at least 8, one per class"),
    (["synth-basic", "--images", 20, "--subjects", 0], "must be at least 1"),
    (["synth-basic", "--difficulty", 1.5], "--difficulty"),
    (["synth-basic", "--seed", -1], "--seed"),
    (["synth-basic", "--from", "."], "rendered, not read from files"),
    (["ck48", "--images", 100], "read from files"),
    (["ck48", "--from", ".", "--seed", 64], "for embedded sets"),
    (["synth-basic", "--allow-incomplete"], "--allow-incomplete requires --from"),
    (
        ["mine", "--replace", "--allow-incomplete", "--layout", "folder", "--colour", "rgb"],
        "--layout requires --from FOLDER",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_bad_options_are_one_line(fer: Fer, tmp_path: Path, arguments: list[object], words: str) -> None:
    called = fer("data", "build", *arguments, "--data-root", tmp_path / "data")
    assert called.code == 2
    assert called.err.count("\n") == 1, called.err
    assert words in called.err
    assert not (tmp_path / "data").exists()


def test_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def stop(items: object, total: int) -> list[object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_embedded("synth-basic", tmp_path, {"images": 16, "subjects": 2, "size": 16}, 1, stop)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="read from files"):
        build_embedded("ck48", tmp_path, {})
