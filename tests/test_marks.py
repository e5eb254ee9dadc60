"""Only files that ``fer`` wrote are written anew: whatever else lies at an output's place is kept, and told in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_cli.errors import DataError, FerError
from fer_cli.features.files import check_target, write_features
from fer_cli.features.fuse import Features, Scaling
from fer_cli.marks import check_picture, check_place, write_png
from tests.conftest import Called

Fer = Callable[..., Called]
PRECIOUS = b"the only copy"
IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def test_a_marked_picture_holds_its_pixels_and_may_be_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"
    check_picture(path)
    write_png(path, IMAGE)
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], IMAGE)
    check_picture(path)
    cv2.imwrite(str(path), IMAGE)
    with pytest.raises(FerError, match=r"sheet\.png: exists and is not a picture of this version of fer; move it"):
        check_picture(path)
    with pytest.raises(FerError, match="is also an input"):
        check_picture(path, [path])


def test_a_table_is_known_by_how_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,outcome,effect\n")
    with pytest.raises(FerError, match="not effects"):
        check_place(path, "outcome,", "effects")
    path.write_text("outcome,effect\n")
    check_place(path, "outcome,", "effects")
    path.unlink()
    path.mkdir()
    with pytest.raises(FerError, match="expected a file, found a folder"):
        check_place(path, "outcome,", "effects")


def test_reports_of_earlier_versions_are_replaced(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pictures have no mark, but lie beside texts that do."""
    monkeypatch.chdir(tmp_path)
    command = ["analyze", "status", "--example", "--out", "o"]
    assert fer(*command).code == 0
    for name in ("timeline.png", "shares.png"):
        cv2.imwrite(f"o/{name}", IMAGE)
    assert fer(*command).code == 0
    check_picture(Path("o/timeline.png"))


@pytest.mark.parametrize("first", ["subject", "sequence"])
def test_a_table_of_factors_by_another_column_is_one_too(first: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{first},n,positive,face\n")
    check_place(path, re.compile(rb"[^,\n]+,n,positive,"), "a table")
    path.write_text("a,b,n,positive,face\n")
    with pytest.raises(FerError, match="not a table"):
        check_place(path, re.compile(rb"[^,\n]+,n,positive,"), "a table")


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_feature_files_are_known_by_their_metadata(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"f{suffix}"
    check_target(path)
    one = Features(np.array(["a"]), {"hog": np.zeros((1, 2), np.float32)}, Scaling("none", np.zeros(2), np.ones(2)), {}, {})
    write_features(path, one)
    check_target(path)
    for content in (PRECIOUS, b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="exists and is not a feature file"):
            check_target(path)


def test_other_tables_and_archives_are_no_feature_files(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", x=np.zeros(2))
    for name in ("t.parquet", "t.npz"):
        with pytest.raises(DataError, match="exists and is not a feature file"):
            check_target(tmp_path / name)


SCORES = "face,score,pre\n" + "".join(f"{'high' if n % 2 else 'low'},{n * 7 % 5},{n}\n" for n in range(12))
ANCOVA = ["analyze", "ancova", "--data", "scores.csv", "--outcome", "score", "--factors", "face", "--covariate", "pre"]


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (["analyze", "status", "--example", "--out", "o"], ["report.md", "findings.csv", "timeline.png", "shares.png"]),
        ([*ANCOVA, "--out", "o"], ["ancova.md", "ancova.tex", "ancova.csv", "means.csv", "effects.png"]),
    ],
)
def test_reports_replace_themselves_and_nothing_else(
    command: list[str], files: list[str], fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text(SCORES)
    for _ in range(2):
        assert fer(*command).code == 0
    assert sorted(path.name for path in Path("o").iterdir()) == sorted(files)
    for name in files:
        kept = Path("o", name).read_bytes()
        Path("o", name).write_bytes(PRECIOUS)
        called = fer(*command)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
        assert f"{name}: exists and is not" in called.err
        assert Path("o", name).read_bytes() == PRECIOUS
        Path("o", name).write_bytes(kept)


def test_a_simulation_is_kept_from_other_data(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("o").mkdir()
    Path("o/simulated.csv").write_text(SCORES)
    called = fer("analyze", "ancova", "--study", "ancova", "--out", "o")
    assert (called.code, called.out) == (2, "") and "simulated.csv: exists and is not the data of this" in called.err
    assert [path.name for path in Path("o").iterdir()] == ["simulated.csv"] and Path("o/simulated.csv").read_text() == SCORES


def test_a_contact_sheet_is_not_written_over_a_photograph(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, options in (("synth-basic.png", []), ("mine.png", ["--out", "mine.png"])):
        Path(name).write_bytes(PRECIOUS)
        called = fer("data", "peek", "synth-basic", "--data-root", "d", *options)
        assert (called.code, called.out) == (2, "") and f"{name}: exists and is not a picture of this version" in called.err
        assert Path(name).read_bytes() == PRECIOUS
    assert not Path("d").exists()


def test_a_file_in_place_of_the_folder_is_found_before_the_analysis(
    fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(PRECIOUS)
    for out, words in (("file", "file: expected a folder, found a file"), ("file/o", "part of the path is a file")):
        called = fer("analyze", "ancova", "--study", "ancova", "--out", out)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1) and words in called.err, called.err
    assert Path("file").read_bytes() == PRECIOUS


def test_a_picture_is_written_under_no_other_suffix(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = fer("data", "peek", "synth-basic", "--data-root", "d", "--out", "x.jpg")
    assert (called.code, called.err) == (2, "error: x.jpg: name the picture .png\n")
    assert list(tmp_path.iterdir()) == []
