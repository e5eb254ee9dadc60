"""Contact sheets of grey, colour and clip sets: nothing is cut off, and each says which build it shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_cli.data.build import Choices, build_own, build_set
from fer_cli.data.manifest import load_set
from fer_cli.data.peek import amount, choose_rows, contact_sheet, heading, render_text
from tests.conftest import draw_set
from tests.trees import picture

LONG = "pleasantly surprised by a long name"


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_every_consumer_takes_grey_and_colour(tmp_path: Path, fer: Callable[..., Any], colour: str) -> None:
    source, root = draw_set(tmp_path / "CK+48", 3), tmp_path / "data"
    build_set("ck48", source, root, True, Choices({"colour": colour}))
    for number in range(8):
        picture(tmp_path / "own" / ("happy", "sad")[number % 2] / f"{number}.png", number)
    build_own("mine", tmp_path / "own", "folder", None, root, choices=Choices({"colour": colour}))
    for command, codes in (
        (["peek", "ck48", "--out", tmp_path / "p.png"], {0}),
        (["audit", "ck48"], {0, 1}),
        (["check", "ck48", "--from", source], {1}),
        (["combine", "both", "--of", "ck48,mine", "--map", "basic-6"], {0}),
    ):
        called = fer("data", *command, "--data-root", root)
        assert called.code in codes, called.err
        assert "Traceback" not in called.err
    sheet = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_UNCHANGED)
    assert sheet is not None
    assert sheet.ndim == (3 if colour == "rgb" else 2)


def test_colours_of_a_sheet_are_those_of_the_set(tmp_path: Path) -> None:
    for label in ("happy", "sad"):
        (tmp_path / "own" / label).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "own" / label / "a.png"), np.full((48, 48, 3), (0, 0, 250), np.uint8))
    build_own("mine", tmp_path / "own", "folder", None, tmp_path / "data", choices=Choices({"colour": "rgb"}))
    contact_sheet(tmp_path / "data", "mine", tmp_path / "p.png", 2)
    sheet = cv2.imread(str(tmp_path / "p.png"))
    assert sheet is not None
    assert (sheet == (0, 0, 250)).all(axis=2).sum() == 2 * 64 * 64


def test_names_of_classes_are_whole_and_the_heading_names_the_build(tmp_path: Path) -> None:
    for label in (LONG, "glücklich"):
        picture(tmp_path / "own" / label / "a.png")
    info = build_own("mine", tmp_path / "own", "folder", None, tmp_path / "data")
    faces = load_set(tmp_path / "data", "mine")
    title, counts = heading(faces)
    assert "mine" in title and info.fingerprint in counts and "2 images" in counts and "2 classes" in counts
    contact_sheet(tmp_path / "data", "mine", tmp_path / "p.png", 1)
    sheet = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_GRAYSCALE)
    text = render_text(f"{LONG}  1")[..., 0]
    assert sheet is not None
    assert sheet.shape[1] >= text.shape[1] + 64
    assert (text[:, -1] == 255).all() and text.min() < 60  # the last column is white: nothing is cut
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, : text.shape[1] + 8], text.shape)
    assert any((windows[top, 8] == text).all() for top in range(len(windows)))


def test_clips_and_frames_are_told_apart(tmp_path: Path, fer: Callable[..., Any]) -> None:
    root = tmp_path / "data"
    options = ["--images", 7, "--subjects", 4, "--size", 32, "--jobs", 1, "--data-root", root]
    called = fer("data", "build", "synth-gesture", *options)
    assert called.code == 0, called.err
    faces = load_set(root, "synth-gesture")
    frames = len(faces.manifest)
    assert frames > 7
    assert f"7 clips with {frames} frames; the table counts frames" in called.err
    assert amount(faces).startswith(f"7 clips with {frames} frames, ")
    assert fer("data", "peek", "synth-gesture", "--out", tmp_path / "p.png", "--data-root", root).code == 0
    assert f"7 clips with {frames} frames, " in fer("data", "list", "--data-root", root).out
    checked = fer("data", "check", "synth-gesture", "--data-root", root)
    head, *rows = [line.split("\t") for line in checked.out.splitlines()]
    assert head == ["split", "class", "clips", "frames", "card", ""]
    assert [sum(int(row[column]) for row in rows) for column in (2, 3)] == [7, frames]


def test_clips_are_shown_as_filmstrips_in_order(tmp_path: Path, fer: Callable[..., Any]) -> None:
    root = tmp_path / "data"
    options = ["--images", 8, "--subjects", 2, "--size", 32, "--jobs", 1, "--data-root", root]
    assert fer("data", "build", "synth-order", *options).code == 0
    faces = load_set(root, "synth-order")
    rows = choose_rows(faces, 5, True)
    assert [caption.split()[0] for caption, _ in rows] == [label for label in faces.info.classes for _ in range(2)]
    for caption, positions in rows:
        frames = faces.manifest.iloc[positions]
        assert set(frames["label"] + "  " + frames["sequence"]) == {caption}
        assert frames["frame"].tolist() == [0, 8, 16, 23, 31]
    assert len({tuple(positions) for _, positions in rows}) == 8
    assert len(choose_rows(faces, 100, True)[0][1]) == 32
    called = fer("data", "peek", "synth-order", "--strips", "--columns", 5, "--out", tmp_path / "p.png", "--data-root", root)
    assert called.code == 0, called.err
    sheet = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    assert sheet.shape[0] > 8 * 64 and sheet.shape[1] > 5 * 64


def test_stills_have_no_filmstrips(tmp_path: Path, fer: Callable[..., Any]) -> None:
    for label in ("happy", "sad"):
        picture(tmp_path / "own" / label / "a.png")
    build_own("mine", tmp_path / "own", "folder", None, tmp_path / "data")
    called = fer("data", "peek", "mine", "--strips", "--out", tmp_path / "p.png", "--data-root", tmp_path / "data")
    assert (called.code, called.err) == (2, "error: mine: no clips, which --strips shows\n")
    assert not (tmp_path / "p.png").exists()
