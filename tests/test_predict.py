"""``fer predict`` on pictures: the run's own test predictions again, faces in scenes, folders, and bad input."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_cli.runs import RunFolder
from fer_cli.synthetic.lesson import Lesson, draw_frame
from tests.conftest import Called
from tests.used import STILLS, train_one, write_test_pictures

Fer = Callable[..., Called]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, both_root: Path) -> RunFolder:
    """A run on embedded faces, trained for an epoch."""
    return train_one(STILLS, both_root, tmp_path_factory.mktemp("used"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A picture of two people, and where their faces are."""
    frame, rows = draw_frame(Lesson(1.0, 2, 3), 5)
    path = tmp_path_factory.mktemp("scene") / "two people.png"
    Image.fromarray(frame).save(path)
    return path, rows


@pytest.fixture
def predict(fer: Fer, run: RunFolder, both_root: Path) -> Fer:
    """Call ``fer predict`` with the run."""

    def call(*arguments: object, run_id: str = run.run_id) -> Called:
        return fer("predict", "--device", "cpu", "--results", run.results, "--data-root", both_root, run_id, *arguments)

    return call


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def overlap(row: dict[str, str], truth: dict[str, Any]) -> float:
    left, top, width, height = (float(row[name]) for name in "xywh")
    across = min(left + width, truth["x1"]) - max(left, truth["x0"])
    down = min(top + height, truth["y1"]) - max(top, truth["y0"])
    shared = max(across, 0) * max(down, 0)
    return shared / (width * height + (truth["x1"] - truth["x0"]) * (truth["y1"] - truth["y0"]) - shared)


def test_pictures_of_the_set_get_the_runs_own_test_predictions(
    predict: Fer, run: RunFolder, both_root: Path, tmp_path: Path
) -> None:
    truth = write_test_pictures(run, both_root, tmp_path / "test")
    called = predict(tmp_path / "test", "--no-detect", "--csv", tmp_path / "out.csv")
    assert called.code == 0, called.err
    assert called.out == ""
    found = pd.read_csv(tmp_path / "out.csv")
    assert [Path(name).stem for name in found["file"]] == truth["sample"].tolist()
    columns = [f"p_{name}" for name in run.result().data.classes]
    np.testing.assert_allclose(found[columns], truth[columns], atol=1e-5)
    assert found["class"].tolist() == truth["predicted"].tolist()
    assert found["time_s"].isna().all() and (found["face"] == 1).all() and (found[["w", "h"]] == 24).all(axis=None)
    assert f"{len(truth)} pictures and frames of {len(truth)} files, 0 without a face" in called.err


def test_importance_weights_count_as_in_the_test(
    fer: Fer, finished: tuple[Path, Path], data_root: Path, tmp_path: Path
) -> None:
    """SCN-CS decides by logits times alpha, and was trained on files without face detection."""
    runs = [RunFolder(finished[1], path.name) for path in sorted((finished[1] / "runs").iterdir()) if path.is_dir()]
    folder = next(one for one in runs if one.result().config.learning.method == "scn-cs")
    truth = write_test_pictures(folder, data_root, tmp_path / "test")
    where = ("--results", finished[1], "--data-root", data_root, "--device", "cpu")
    called = fer("predict", folder.path, tmp_path / "test", "--no-detect", *where)
    assert called.code == 0, called.err
    found = pd.DataFrame(rows_of(called.out))
    columns = [f"p_{name}" for name in folder.result().data.classes]
    np.testing.assert_allclose(found[columns].astype(float), truth[columns], atol=1e-5)


def test_two_people_are_found_recognised_and_drawn(
    predict: Fer, scene: tuple[Path, list[dict[str, Any]]], run: RunFolder, tmp_path: Path
) -> None:
    path, truth = scene
    out = tmp_path / "new" / "drawn.png"
    before = {file: file.stat().st_mtime_ns for folder in (run.results, path.parent) for file in folder.rglob("*")}
    called = predict(path, "--out", out)
    assert called.code == 0, called.err
    assert before == {file: file.stat().st_mtime_ns for folder in (run.results, path.parent) for file in folder.rglob("*")}
    rows = rows_of(called.out)
    assert [row["face"] for row in rows] == ["1", "2"] and {row["file"] for row in rows} == {str(path)}
    assert all(overlap(row, one) > 0.6 for row, one in zip(rows, truth, strict=True))  # from left to right
    for row in rows:
        shares = {name: float(row[f"p_{name}"]) for name in run.result().data.classes}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5) and row["class"] == max(shares, key=shares.__getitem__)
    plain, drawn = (np.asarray(Image.open(one)).astype(int) for one in (path, out))
    changed = (np.abs(drawn - plain).max(2) > 30).nonzero()
    assert plain.shape == drawn.shape and len(changed[0]) > 1000
    assert 20 < np.ptp(changed[0]) < 300 and np.ptp(changed[1]) > 300  # around the faces, none elsewhere
    assert sorted(file.name for file in out.parent.iterdir()) == ["drawn.png"]
    assert f"written: {out}" in called.err


def test_a_picture_without_a_face_has_a_row_with_an_empty_class(predict: Fer, tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 300, 3), 128, np.uint8)).save(tmp_path / "wall.png")
    called = predict(tmp_path / "wall.png", "--out", tmp_path / "drawn.png")
    assert called.code == 0, called.err
    (row,) = rows_of(called.out)
    assert row.pop("file") == str(tmp_path / "wall.png") and set(row.values()) == {""}
    assert "--no-detect" not in called.err and "1 without a face" in called.err
    assert np.asarray(Image.open(tmp_path / "drawn.png")).min() < 128, "it says so"


def test_a_cut_face_that_is_not_found_is_explained(predict: Fer, tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 48), 90, np.uint8)).save(tmp_path / "small.png")
    called = predict(tmp_path / "small.png")
    assert called.code == 0
    assert rows_of(called.out)[0]["class"] == ""
    assert "no face is found in 1 small pictures or frames; if each shows a face, pass --no-detect" in called.err
    again = predict(tmp_path / "small.png", "--no-detect")
    assert again.err.splitlines()[-1].endswith("--no-detect --device cpu")
    assert rows_of(again.out)[0]["class"] != "" and rows_of(again.out)[0]["w"] == "48.0"


def test_folders_count_what_cannot_be_read(predict: Fer, scene: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    content = scene[0].read_bytes()
    (folder / "a.png").write_bytes(content)
    (folder / "below" / "b.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.jpg").touch()
    (folder / "film.mp4").write_bytes(b"no film")
    (folder / "notes.txt").write_text("not read")
    (folder / "link.png").symlink_to(folder / "gone.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "tiny.png")
    called = predict(folder)
    assert called.code == 0, called.err
    assert [row["file"] for row in rows_of(called.out)] == [str(folder / "a.png")] * 2
    (line,) = [line for line in called.err.splitlines() if "cannot be read" in line]
    assert "5 of 6 files" in line and "empty file" in line and "dangling link" in line and "4 x 4 pixels" in line


def test_a_turned_photo_is_read_upright(predict: Fer, scene: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    upright = Image.open(scene[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turned
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    rows = rows_of(predict(tmp_path / "turned.png").out)
    assert len(rows) == 2 and all(overlap(row, one) > 0.6 for row, one in zip(rows, scene[1], strict=True))


NAMES = ["=1+1.png", 'a,b\n"c".png', "ü\u202e.png", b"\xff\xfe.png", "-x.png", "%03d.png"]


@pytest.mark.parametrize("name", NAMES)
def test_weird_names_stay_one_cell(predict: Fer, tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(path, format="png")
    called = predict(path, "--no-detect", "--csv", tmp_path / "t.csv")
    assert called.code == 0, called.err
    (row,) = rows_of((tmp_path / "t.csv").read_text())
    assert row["face"] == "1" and row["file"].startswith(str(tmp_path)) and "\n" not in row["file"]


def wrong_inputs(root: Path) -> dict[str, tuple[tuple[object, ...], str]]:
    """Return arguments and words of the one line that explains what is wrong."""
    picture = root / "a.png"
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(picture)
    (root / "empty.png").touch()
    (root / "empty.avi").touch()
    (root / "texts").mkdir()
    (root / "texts" / "a.txt").touch()
    (root / "other.csv").write_text("name,age\n")
    (root / "there.png").touch()
    os.mkfifo(root / "pipe.png")
    return {
        "missing": ((root / "none.png",), "none.png: no such file"),
        "pipe": ((root / "pipe.png",), "a pipe, not a file"),
        "empty": ((root / "empty.png",), "no input could be read"),
        "empty video": ((root / "empty.avi",), "(empty file)"),
        "folder": ((root / "texts",), "a folder without images or videos"),
        "suffix": ((picture, "--out", root / "o.gif"), "name a picture .png or a video .mp4 or .avi"),
        "video of a picture": ((picture, "--out", root / "o.mp4"), "is a picture; name the drawing .png"),
        "several": ((picture, root / "empty.png", "--out", root / "o.png"), "not 2 files"),
        "out is input": ((picture, "--out", picture), "is also an input"),
        "csv is input": ((picture, "--csv", root / "." / "a.png"), "is also an input"),
        "exists": ((picture, "--out", root / "there.png"), "exists; pass --replace"),
        "other table": ((picture, "--csv", root / "other.csv"), "exists; pass --replace"),
        "csv folder": ((picture, "--csv", root / "texts"), "a folder, not a file"),
        "both": ((picture, "--csv", root / "o.png", "--out", root / "o.png"), "both are"),
        "below a file": ((picture, "--no-detect", "--csv", picture / "o.csv"), "a.png"),
        "device": ((picture, "--device", "gpu"), "--device gpu: must be one of auto, cpu, cuda"),
        "user": (("~nobody-of-that-name/a.png",), "no user"),
    }


@pytest.mark.parametrize("case", range(17))
def test_bad_input_is_one_line(predict: Fer, tmp_path: Path, case: int) -> None:
    arguments, words = list(wrong_inputs(tmp_path).values())[case]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    called = predict(*arguments)
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert words in called.err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.suffix != ".csv" or path in before}
    assert after == before
