"""MMI: films and their middle frames, labels in XML, lists and pickles, and what is refused."""

import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_cli.data.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fer_cli.errors import DataError
from tests.test_importers_portraits import accounted, put, scan

FILM = "S001-100"


def draw_video(file: Path, frames: int = 9, size: tuple[int, int] = (16, 16)) -> None:
    """Write a film whose grey tells the frame."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 25, size)
    for n in range(frames):
        writer.write(np.full((size[1], size[0], 3), 20 * n, np.uint8))
    writer.release()


def draw_session(root: Path, number: int, name: str, tag: str, view: str = "0", size: tuple[int, int] = (16, 16)) -> Path:
    """Write one session of MMI: film, session.xml with the view, the film's own XML with ``tag``, FACS codes."""
    folder = root / "Sessions" / str(number)
    draw_video(folder / f"{name}.avi", size=size)
    (folder / "session.xml").write_text(f'<session id="{number}"><track type="Video" view="{view}"/></session>')
    (folder / f"{name}.xml").write_text(f'<?xml version="1.0"?><annotation>{tag}</annotation>')
    (folder / f"{name}-oao_aucs.xml").write_text('<aus><Metatag Name="Emotion" Value="never read"/></aus>')
    return root


def metatag(value: str) -> str:
    return f'<Metatag Name="Emotion" Value="{value}"/>'


def test_mmi_videos_give_their_middle_frames(tmp_path: Path) -> None:
    draw_session(tmp_path, 1, "S001-100", metatag("2"))
    draw_session(tmp_path, 2, "S001-101", "<emotion>Happiness</emotion>")
    draw_session(tmp_path, 3, "S002-001", '<track emotion="fear"/>')
    draw_session(tmp_path, 4, "S003-001", "<AU>12</AU>")
    draw_session(tmp_path, 5, "S004-001", metatag("1"), view="2")
    draw_session(tmp_path, 6, "S004-002", metatag("1"), view="1")
    draw_session(tmp_path, 7, "S005-001", metatag("1"), size=(48, 32))
    draw_session(tmp_path, 8, "S006-001", metatag("other"))
    (tmp_path / "emotion_codes.csv").write_text("code, emotion\n1,anger\n2,disgust\n")
    (tmp_path / "Sessions" / "1" / "._S001-100.avi").write_bytes(b"AppleDouble")
    put(tmp_path, "Sessions/9/S007-001.jpg")
    result = scan("mmi", tmp_path)
    assert [(f.sample, f.label, f.subject, f.sequence, f.moment) for f in result.found] == [
        *((f"S001_100_00{n}", "disgust", "S001", "S001_100", n) for n in (3, 4, 5)),
        *((f"S001_101_00{n}", "happy", "S001", "S001_101", n) for n in (3, 4, 5)),
        *((f"S002_001_00{n}", "fear", "S002", "S002_001", n) for n in (3, 4, 5)),
        *((f"S005_001_00{n}", "angry", "S005", "S005_001", n) for n in (3, 4, 5)),
    ]
    assert [f.turn for f in result.found] == [0] * 9 + [1] * 3
    skipped = {reason.split(";")[0]: [name.split("/")[1] for name in names] for reason, names in result.skipped.items()}
    assert skipped == {
        "no emotion label": ["4"],
        "frontal and profile view in one picture": ["5"],
        "profile view": ["6"],
        "class excluded by the card": ["8"],
        "not a frame of an MMI sequence": ["9"],
    }
    assert accounted(tmp_path, result, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    assert result.counts == {}


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (metatag("4"), r"emotion '4' is a number, and MMI's numbering is not verified; add emotion_codes\.csv"),
        (metatag("hapiness"), "unknown class 'hapiness' for the card of mmi; did you mean happiness"),
        (metatag("fear") + metatag("anger"), "give 2 emotions, anger and fear"),
        ("<emotion>", "not XML"),
    ],
)
def test_mmi_refuses_emotions_it_would_have_to_guess(tmp_path: Path, tag: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        scan("mmi", draw_session(tmp_path, 1, FILM, tag))
    assert "\n" not in str(caught.value)


def test_mmi_xml_with_entities_is_not_expanded(tmp_path: Path) -> None:
    draw_session(tmp_path, 1, FILM, "")
    bomb = '<!DOCTYPE x [<!ENTITY a "fear"><!ENTITY b "&a;&a;">]><emotion>&b;</emotion>'
    for coding in ("utf-8", "utf-16"):
        content = f'<?xml version="1.0" encoding="{coding}"?>{bomb}'.encode(coding)
        (tmp_path / "Sessions" / "1" / f"{FILM}.xml").write_bytes(content)
        with pytest.raises(DataError, match="declares entities"):
            scan("mmi", tmp_path)


@pytest.mark.parametrize("coding", ["no-such", "utf-7", "shift-jis"])
def test_mmi_xml_in_an_unknown_coding_is_one_line(tmp_path: Path, coding: str) -> None:
    draw_session(tmp_path, 1, FILM, "")
    (tmp_path / "Sessions" / "1" / f"{FILM}.xml").write_text(
        f'<?xml version="1.0" encoding="{coding}"?><emotion>fear</emotion>'
    )
    with pytest.raises(DataError, match=r"S001-100\.xml: not XML") as caught:
        scan("mmi", tmp_path)
    assert "\n" not in str(caught.value)


def test_mmi_video_that_cannot_be_opened_is_named_when_building(tmp_path: Path) -> None:
    draw_session(tmp_path, 1, FILM, metatag("fear"))
    (tmp_path / "Sessions" / "1" / f"{FILM}.avi").write_bytes(b"no film")
    assert [(f.moment, f.label) for f in scan("mmi", tmp_path).found] == [(0, "fear")]


def test_mmi_videos_below_a_folder_that_is_not_utf8_are_opened_through_a_link(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    draw_session(tmp_path / "MMI", 1, FILM, metatag("fear"), size=(48, 32))
    (tmp_path / "MMI").rename(root)
    assert [(f.moment, f.turn) for f in scan("mmi", root).found] == [(3, 1), (4, 1), (5, 1)]


def frames_of(name: str, *numbers: int) -> list[str]:
    return [f"imgs/{name}_{n:03d}.png" for n in numbers]


def test_mmi_frames_by_id_lists_and_pickled_labels(tmp_path: Path) -> None:
    put(tmp_path, *frames_of("S001_100", 39, 40, 41, 42), *frames_of("S050_003", 30, 31), *frames_of("S060_001", 1))
    put(tmp_path, "imgs_res/0/0.png")
    (tmp_path / "emotion_labels.pkl").write_bytes(pickle.dumps({"S001_100": 0, "S050_003": 5, "S002_099": 3}, protocol=2))
    (tmp_path / "train_ids_0.csv").write_text("S001_100_040.png\nS001_100_041.png\nS001_100_042.png")
    (tmp_path / "test_ids_0.csv").write_text("S050_003_030.png\nS050_003_031.png\n")
    result = scan("mmi", tmp_path)
    assert [(f.sample, f.label, f.subject, f.frame) for f in result.found] == [
        *((f"S001_100_0{n}", "angry", "S001", n) for n in (40, 41, 42)),
        *((f"S050_003_0{n}", "surprise", "S050", n) for n in (30, 31)),
    ]
    assert result.skipped == {
        "not in the id lists": ["imgs/S001_100_039.png"],
        "no emotion label": ["imgs/S060_001_001.png"],
        "not a frame of an MMI sequence": ["imgs_res/0/0.png"],
    }
    (tmp_path / "test_ids_0.csv").write_text("S050_003_030.png\nS050_003_099.png")
    with pytest.raises(DataError, match=r"test_ids_0\.csv, line 2: S050_003_099\.png is not in"):
        scan("mmi", tmp_path)
    (tmp_path / "test_ids_0.csv").write_text("../../S050_003_030.png")
    with pytest.raises(DataError, match="leads out of"):
        scan("mmi", tmp_path)


def test_mmi_frames_without_lists_and_labels_in_words(tmp_path: Path) -> None:
    put(tmp_path, *frames_of("S001_100", *range(10, 17)), *frames_of("S002_001", 1, 2))
    with pytest.raises(DataError, match=r"MMI frames without labels; add emotion_labels\.csv"):
        scan("mmi", tmp_path)
    (tmp_path / "emotion_labels.csv").write_text("\ufeffsequence,emotion\nS001-100.avi,Sadness\nS002_001,fear")
    result = scan("mmi", tmp_path)
    assert [(f.sequence, f.frame, f.label) for f in result.found] == [
        *(("S001_100", n, "sad") for n in (12, 13, 14)),
        ("S002_001", 1, "fear"),
        ("S002_001", 2, "fear"),
    ]
    assert len(result.skipped["not in the middle of its sequence"]) == 4
    for text, words in (
        ("S001_100,3", "line 1: emotion '3' is a number"),
        ("S001_100,fear\nS001-100,anger", "S001_100 is 'anger' here but 'fear' earlier"),
        ("S001_100,fear,x", "line 1: expected sequence,emotion"),
        ("S001_100,fear\nS1,fear", "line 2: .*'S1' is not an MMI sequence"),
    ):
        (tmp_path / "emotion_labels.csv").write_text(text)
        with pytest.raises(DataError, match=words):
            scan("mmi", tmp_path)
    (tmp_path / "emotion_labels.csv").unlink()
    deep, twice = r"not a table of labels|unknown class", "S001_100 is 'anger' here but 'fear' earlier"
    for text, words in (
        ("[" * 200_000, deep),
        (f'{{"S001_100": {"[" * 900 + "]" * 900}}}', deep),
        ('{"S001_100": "fear", "S001_100": "anger"}', twice),
    ):
        (tmp_path / "emotion_labels.json").write_text(text)
        with pytest.raises(DataError, match=words):
            scan("mmi", tmp_path)
    (tmp_path / "emotion_labels.json").write_text(json.dumps({"S001_100": "surprise"}))
    assert {f.label for f in scan("mmi", tmp_path).found} == {"surprise"}


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


def test_mmi_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "mmi", *frames_of("S001_100", 1))
    (tmp_path / "mmi" / "emotion_labels.pkl").write_bytes(pickle.dumps({"S001_100": Hostile(tmp_path / "ran")}))
    with pytest.raises(DataError, match=r"it asks for .*open"):
        scan("mmi", tmp_path / "mmi")
    assert not (tmp_path / "ran").exists()
