"""What a table says of its data: audit, images left out, faces not found, classes that cannot mix; training on colour."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.config import DataConfig, ModelConfig, RunConfig
from fer_cli.data.build import Choices, build_own
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import FaceSet, load_set
from tests.conftest import Called, draw_face
from tests.sets import rewrite

Fer = Callable[..., Called]

STUDY = """
name: one
question: Does one run say what its data are?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 1, batch_size: 32}
seeds: [0]
arms: {CNN: {}}
report: {metrics: [accuracy], against: CNN}
"""


@pytest.fixture
def root(data_root: Path, tmp_path: Path) -> Path:
    """A data root of the test's own."""
    shutil.copytree(data_root, tmp_path / "data")
    return tmp_path / "data"


def table(fer: Fer, tmp_path: Path, root: Path, text: str = STUDY) -> str:
    """Train the study and return its report."""
    study = tmp_path / "one.yaml"
    study.write_text(text)
    where = ["--study", study, "--data-root", root, "--results", tmp_path / "results"]
    trained = fer("ablate", *where, "--no-track", "--precision", "fp32")
    assert trained.code == 0, trained.err
    return fer("report", *where).out


def test_a_table_tells_the_audits_verdict_and_that_it_is_missing(fer: Fer, tmp_path: Path, root: Path) -> None:
    text = table(fer, tmp_path, root)
    assert "ck48: audit: not done; run fer data audit ck48 --split subject" in text
    assert fer("data", "audit", "ck48", "--data-root", root).code == 0
    assert "ck48: audit: clean (subject, 5 folds, seed 0)" in table(fer, tmp_path, root)
    leaks = fer("data", "audit", "ck48", "--split", "random", "--data-root", root)
    assert leaks.code == 1
    assert "leaks" in leaks.out


def test_scores_are_over_all_images_and_those_with_a_face_stand_apart(fer: Fer, tmp_path: Path, root: Path) -> None:
    manifest = pd.read_parquet(root / "ck48" / "manifest.parquet")
    manifest["face"] = np.arange(len(manifest)) % 3 != 0
    rewrite(root / "ck48", manifest, undetected=int((~manifest["face"]).sum()))
    text = table(fer, tmp_path, root)
    run = next((tmp_path / "results" / "runs").glob("*/result.json")).parent
    told = json.loads((run / "result.json").read_text())["metrics"]
    rows = pd.read_parquet(run / "predictions.parquet").query("part == 'test'")
    right = rows["label"] == rows["predicted"]
    seen = rows["sample"].map(manifest.set_index("sample")["face"])
    assert told["test"]["accuracy"] == pytest.approx(right.mean())
    assert told["test"]["n"] == len(rows)
    assert told["test, face detected"]["accuracy"] == pytest.approx(right[seen].mean())
    assert told["test, face detected"]["n"] == seen.sum() < len(rows)
    assert "no face was detected in 56 of its 168 images; they are kept" in text
    everyone, found = text.index("## accuracy in %: one seed"), text.index("face detected only: accuracy in %")
    assert everyone < found
    assert f"over the {100 * seen.mean():.1f} % of test images in which a face was detected" in text


def test_a_planted_leak_is_told_and_never_best(fer: Fer, tmp_path: Path, root: Path) -> None:
    arms = "arms: {CNN: {}, by heart: {data.leak: test}, choice by heart: {data.leak: val}}"
    text = table(fer, tmp_path, root, STUDY.replace("arms: {CNN: {}}", arms))
    told = [line for line in text.splitlines() if "split `subject`" in line]
    assert len(told) == 3
    assert "LEAKS" not in told[0]
    assert "LEAKS: 3 stratified folds" in told[1]
    assert "the scores measure memorisation, not generalisation (100% of test subjects" in told[1]
    assert "LEAKS: 3 stratified folds" in told[2]
    assert "the checkpoint is selected on memorised images" in told[2]
    assert "- ‡ test images are also trained on: by heart\n" in text
    assert "- ‡ validation images are also trained on: choice by heart\n" in text
    cells = [line for line in text.splitlines() if "| by heart |" in line or "| choice by heart |" in line]
    assert len([line for line in cells if "‡" in line]) >= 4 and not any("**" in line for line in cells)


def test_without_face_detection_there_is_one_score(fer: Fer, tmp_path: Path, root: Path) -> None:
    assert "face detected" not in table(fer, tmp_path, root)


def test_results_on_other_classes_never_share_a_column(fer: Fer, tmp_path: Path, root: Path) -> None:
    six = "[angry, disgust, fear, happy, sad, surprise]"
    study = tmp_path / "one.yaml"
    study.write_text(STUDY.replace("{CNN: {}}", f"{{CNN: {{}}, six: {{data.classes: {six}}}}}"))
    called = fer("ablate", "--study", study, "--data-root", root, "--results", tmp_path / "results", "--plan")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "tested on 7 classes" in called.err
    assert "cannot share a column" in called.err
    seven = six.replace("]", ", contempt]")
    grid = STUDY.replace("report: {", f"grid: {{data.classes: [{six}, {seven}]}}\nreport: {{columns: data.classes, ")
    study.write_text(grid)
    text = table(fer, tmp_path, root, study.read_text())
    assert "| classes angry, disgust, fear, happy, sad, surprise, contempt |" in text


def test_a_table_names_what_the_build_left_out(fer: Fer, tmp_path: Path, root: Path) -> None:
    rewrite(root / "ck48", left_out={"unreadable": {"happy": 2, "sad": 1}}, found=168 + 3)
    assert "ck48: 3 of 171 images were left out of the build: unreadable" in table(fer, tmp_path, root)


@pytest.fixture
def colourful(tmp_path: Path) -> FaceSet:
    """Drawn faces with a red, a green and a blue that differ."""
    for name, folder in (("happy", "happy"), ("sad", "sadness")):
        (tmp_path / "src" / name).mkdir(parents=True)
        for number in range(20):
            grey = draw_face(folder, number, 1).astype(float)
            colours = np.stack([grey * 0.2, grey * 0.5, grey], axis=2).astype(np.uint8)  # blue, green, red to OpenCV
            assert cv2.imwrite(str(tmp_path / "src" / name / f"p{number:02d}.png"), colours)
    build_own("own", tmp_path / "src", "folder", "(?P<subject>p..)", tmp_path / "data", choices=Choices({"colour": "rgb"}))
    return load_set(tmp_path / "data", "own")


def test_networks_of_three_channels_see_colour_and_others_its_grey(colourful: FaceSet) -> None:
    data = DataConfig(name="own", image_size=48, folds=3, val_fraction=0.25)
    colour = RunData(colourful, RunConfig(data=data, model=ModelConfig(channels=3))).train.images[:]
    grey = RunData(colourful, RunConfig(data=data)).train.images[:]
    assert tuple(colour.shape[1:]) == (1, 3, 48, 48)
    assert tuple(grey.shape[1:]) == (1, 1, 48, 48)
    means = colour.float().mean((0, 1, 3, 4))
    assert means[0] > 1.8 * means[1] > 3 * means[2]
    red, green, blue = colour.float().unbind(2)
    mixed = 0.299 * red + 0.587 * green + 0.114 * blue
    assert (mixed - grey[:, :, 0].float()).abs().max() <= 1


def test_a_run_on_colour_trains(fer: Fer, colourful: FaceSet, tmp_path: Path) -> None:
    text = STUDY.replace("name: ck48, image_size: 24", "name: own, image_size: 24")
    text = text.replace("{backbone: cnn3}", "{backbone: cnn3, channels: 3}")
    assert "own (own data)" in table(fer, tmp_path, tmp_path / "data", text)


def test_archives_are_named_as_such(fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "fer2013.tar.gz").write_bytes(b"x")
    called = fer("data", "build", "fer2013", "--from", tmp_path / "fer2013.tar.gz", "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "unpack it" in called.err
