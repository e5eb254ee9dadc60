"""Inputs that would give a wrong number or fail in the middle of a sweep are refused in one line, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_cli.checks import check_training_labels
from fer_cli.config import RunConfig
from fer_cli.data.cards import load_card
from fer_cli.data.decode import Preparation, UnreadableError, prepare_image
from fer_cli.data.importers.rafdb import code_label
from fer_cli.data.manifest import load_set
from fer_cli.data.splits import make_split
from fer_cli.digits import parse_number
from fer_cli.errors import DataError, StudyError
from fer_cli.study import load_study
from fer_cli.use.sources import find_sources
from tests.conftest import STUDY, Called


@pytest.mark.parametrize(("text", "value"), [("1.5", 1.5), ("-2e3", -2000.0), (" 7 ", 7.0), ("inf", np.inf)])
def test_plain_numbers_are_read(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["1_0", "٣", "1,5", "", "x", "１"])
def test_other_spellings_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number|could not convert"):
        parse_number(text)


def test_a_class_number_has_no_sign() -> None:
    card = load_card("rafdb")
    assert code_label(card, "6", "here") == code_label(card, " 6 ", "here") == "angry"
    for code in ("-6", "6-", "_6", "--6"):
        with pytest.raises(DataError, match="here: unknown class"):
            code_label(card, code, "here")


@pytest.mark.parametrize("box", [(3.0, 3.0, 4.0, 4.0), (3.0, 3.0, 10.9, 5.0)])
def test_a_box_without_a_face_is_left_out(box: tuple[float, float, float, float]) -> None:
    image = np.zeros((40, 40), np.uint8)
    made = prepare_image(image, "", box, Preparation(size=48))
    assert (made.image, made.status) == (None, "no face")
    assert made.reason == f"face box of {max(box[2] - box[0], box[3] - box[1]):g} pixels; the minimum is 8"
    assert prepare_image(image, "", (3.0, 3.0, 11.0, 11.0), Preparation(size=48)).image is not None


def test_an_empty_box_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match="face box is empty or lies outside the image"):
        prepare_image(np.zeros((40, 40), np.uint8), "", (3.0, 3.0, 3.0, 9.0), Preparation(size=48))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("CNN: {}", "CNN: {learning.metod: {}}", "arms.CNN: learning.metod: unknown key, .*did you mean method"),
        ("train: {epochs", "trian: {}\n  train: {epochs", "base: trian: unknown key, and without settings; .*train"),
        (
            "arms:",
            "profiles: {small: {model: {nothing: {}}}}\narms:",
            "profiles.small: model.nothing: unknown key, and without",
        ),
    ],
)
def test_an_empty_group_does_not_hide_an_unknown_name(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace(old, new))
    with pytest.raises(StudyError, match=words):
        load_study(str(path))


def test_an_empty_group_of_known_settings_is_as_if_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    before = load_study(str(smaller(tmp_path)))
    path.write_text(path.read_text().replace("base:\n", "base:\n  corrupt: {}\n  model: {parts: {}}\n"))
    assert load_study(str(path)) == before


def config_on(data_root: Path, **data: object) -> tuple[RunConfig, object, object]:
    """A run on ck48's stand-in with its set and split."""
    config = RunConfig.model_validate({"data": {"name": "ck48", "image_size": 24, "folds": 3, **data}})
    faces = load_set(data_root, "ck48").of_classes(config.data.classes)
    return config, faces, make_split(faces.manifest, config.data)


def test_noise_without_partners_stops_before_the_first_run(data_root: Path) -> None:
    pairs = {"label_noise": 0.3, "noise_kind": "asymmetric", "noise_pairs": [["happy", "no such class"]]}
    with pytest.raises(DataError, match="noise_pairs"):
        check_training_labels([config_on(data_root, **pairs)])  # type: ignore[list-item]
    usual = {"label_noise": 0.1, "noise_kind": "asymmetric"}
    check_training_labels([config_on(data_root, **usual)])  # type: ignore[list-item]


def smaller(tmp_path: Path, **changes: str) -> Path:
    """Write the tiny study without its grid, with changed lines."""
    text = STUDY.replace("grid: {data.label_noise: [0.0, 0.3]}\n", "").replace("columns: data.label_noise, ", "")
    for old, new in changes.items():
        text = "\n".join(new if line.strip().startswith(f"{old}:") else line for line in text.split("\n"))
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    return path


def test_features_of_one_class_stop_before_the_first_run(
    fer: Callable[..., Called], data_root: Path, tmp_path: Path
) -> None:
    arms = {"CNN": "  CNN: {features.blocks: [hog]}", "SCN-CS": "  b: {features.blocks: [lbp]}", "train": ""}
    path = smaller(tmp_path, **arms, data="  data: {name: ck48, max_images: 1, folds: 3, val_fraction: 0.25}")
    called = fer("ablate", "--study", path, "--data-root", data_root, "--results", tmp_path / "r", "--no-track")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert "the training part has images of one class only; raise data.max_images" in called.err


@pytest.mark.parametrize("name", ["s3:x", "http-faces", "file:x"])
def test_a_results_folder_may_look_like_an_address(
    name: str, fer: Callable[..., Called], data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = smaller(tmp_path, **{"seeds": "seeds: [0]", "SCN-CS": "  b: {train.lr: 0.001}"})
    called = fer("ablate", "--study", path, "--data-root", data_root, "--results", name, "--no-track", "--jobs", 1)
    assert called.code == 0, called.err
    assert len(list(Path(name).glob("runs/*/result.json"))) == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, "tiny.yaml"])


def test_a_results_folder_is_no_chain_of_addresses(fer: Callable[..., Called], data_root: Path, tmp_path: Path) -> None:
    where = ["--data-root", data_root, "--results", tmp_path / "a::b"]
    called = fer("ablate", "--study", smaller(tmp_path), *where)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert "a::b: a path with '::', as in addresses; use --results FOLDER" in called.err
    assert not (tmp_path / "a::b").exists()


def test_folders_behind_links_are_counted_where_they_are_not_read(tmp_path: Path) -> None:
    for place in ("out", "in"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.png").write_bytes(b"x")
    (tmp_path / "in" / "away").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    (tmp_path / "in" / ".hidden").symlink_to(tmp_path / "out")
    found = find_sources([tmp_path / "in"])
    assert [source.path.name for source in found.files] == ["a.png"]
    assert dict(found.skipped) == {"linked folders outside, not followed": 1}
    (tmp_path / "in" / "a.png").unlink()
    with pytest.raises(DataError, match=r"without images or videos \(.*\); 1 linked folders outside"):
        find_sources([tmp_path / "in"])


LINES = [
    (["analyze", "status", "five.jsonl"], "five.jsonl, line 1: 5 is not an event; write one a line, such as"),
    (
        ["analyze", "factors", "abc", "--by", "subject", "--name", ""],
        "--name '': a column of fer analyze",
    ),
    (
        ["analyze", "factors", "abc", "--by", "subject", "--name", "a,b"],
        "--name 'a,b': a column of fer",
    ),
    (
        ["analyze", "ancova", "--data", "far.csv", "--outcome", "y", "--factors", "g"],
        "'1e308' in column 'y' is beyond 1e+",
    ),
    (["data", "check", "ck48@hair=off", "--from", "."], "ck48@hair=off: ck48 is read from files and has no switches"),
    (["report", "--study", "demo", "--formats", "svg"], "--formats: has no effect without --figures"),
    (
        ["data", "build", "fer2013", "--from", "rows", "--data-root", "d"],
        "rows: contains no images; read as",
    ),
    (
        ["data", "build", "mine", "--from", "stills", "--layout", "folder", "--frames", "4", "--data-root", "d"],
        "stills holds single images, neither videos nor sequences",
    ),
]


@pytest.mark.parametrize(("command", "words"), LINES, ids=[words[:30] for _, words in LINES])
def test_small_mistakes_are_one_line_that_says_what_is_wrong(
    command: list[str], words: str, fer: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("five.jsonl").write_text("5\n")
    Path("far.csv").write_text("y,g\n1e308,a\n2,a\n1,b\n3,b\n5,b\n")
    Path("rows").mkdir()
    Path("rows/fer2013.csv").write_text("emotion,pixels,Usage\n")
    for label in ("happy", "sad"):
        Path("stills", label).mkdir(parents=True)
        cv2.imwrite(f"stills/{label}/0.png", np.zeros((20, 20), np.uint8))
    called = fer(*command)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert words in called.err


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("status --watch", "--interval", "inf"),
        ("status --watch", "--interval", "1e308"),
        ("status --watch", "--interval", "nan"),
        ("ablate --study demo --plan", "--timeout", "inf"),
        ("ablate --study demo --plan", "--timeout", "1e308"),
        ("ablate --study demo --plan", "--budget", "inf"),
        ("ablate --study demo --plan --executor slurm", "--gpus-per-task", "inf"),
    ],
)
def test_a_number_without_end_is_one_line(fer: Any, command: str, option: str, value: str) -> None:
    called = fer(*command.split(), option, value)
    assert (called.code, called.err.count("\n")) == (2, 1) and f"'{option}'" in called.err, called.err


def test_an_interval_of_no_watch_is_refused(fer: Any) -> None:
    called = fer("status", "--interval", "5")
    assert (called.code, called.err) == (2, "error: --interval: has no effect without --watch\n")
