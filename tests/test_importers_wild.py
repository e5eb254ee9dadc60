"""FER2013, FER+ and ExpW: fake trees in the layouts in circulation, with their traps."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_cli.data.build import build_set
from fer_cli.data.cards import load_card
from fer_cli.data.importers.expw import scan_expw
from fer_cli.data.importers.fer2013 import SIDE, scan_fer2013
from fer_cli.data.importers.ferplus import VOTES, majority, scan_ferplus
from fer_cli.data.importers.found import grey_pixels
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError

FER, PLUS, EXPW = load_card("fer2013"), load_card("ferplus"), load_card("expw")


def draw(file: Path, seed: int = 0) -> Path:
    """Write a small picture and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), np.random.default_rng(seed).integers(0, 255, (12, 12), dtype=np.uint8))
    return file


def litter(folder: Path) -> None:
    """Leave what systems and archives leave."""
    (folder / "._x.jpg").write_bytes(b"AppleDouble")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "y.jpg").write_bytes(b"AppleDouble")


def cell(value: int, size: int = 48) -> str:
    return " ".join([str(value)] * (size * size))


ROWS = [(0, 7, "Training"), (3, 8, "Training"), (6, 9, "PublicTest"), (1, 10, "PrivateTest")]


def fer_table(file: Path, head: str = "emotion,pixels,Usage", end: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{code},{cell(value)},{part}" for code, value, part in ROWS]
    file.write_text("\n".join([head, *rows]) + end)
    return file


@pytest.mark.parametrize(
    ("name", "head", "end"),
    [
        ("fer2013.csv", "emotion,pixels,Usage", ""),
        ("FER2013.csv", "\ufeffemotion,pixels,Usage", "\n\n"),
        ("icml_face_data.csv", "emotion, Usage, pixels", "\n"),
    ],
)
def test_fer2013_table_gives_names_parts_and_pixels(tmp_path: Path, name: str, head: str, end: str) -> None:
    file = fer_table(tmp_path / "deep" / name, head, end)
    if "Usage, pixels" in head:
        rows = [f"{code}, {part}, {cell(value)}" for code, value, part in ROWS]
        file.write_text("\n".join([head, *rows]) + end)
    litter(tmp_path)
    for source in (tmp_path, file):
        scan = scan_fer2013(source, FER)
        assert [(f.label, f.split) for f in scan.found] == [
            ("angry", "train"), ("happy", "train"), ("neutral", "public"), ("disgust", "private"),
        ]  # fmt: skip
        assert [f.pixels for f in scan.found] == [bytes([value]) * 2304 for _, value, _ in ROWS]
        assert all((f.subject, f.sequence, f.file) == ("", "", file) for f in scan.found)
        assert (scan.counts, scan.skipped) == (None, {})


def test_fer2013_is_built_from_its_table(tmp_path: Path) -> None:
    fer_table(tmp_path / "src" / "fer2013.csv")
    info = build_set("fer2013", tmp_path / "src", tmp_path / "data", allow_incomplete=True)
    faces = load_set(tmp_path / "data", "fer2013")
    assert (info.kept, info.image_size) == (4, 48)
    assert [int(image[0, 0]) for image in faces.images.packed] == [7, 8, 9, 10]
    assert any(words.startswith("train angry 1 (card: 3995)") for words in info.differences)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"0,{cell(1, 47)},Training", "line 6: 2209 pixels, expected 2304"),
        (f"0,{cell(1)} 4,Training", "line 6: 2305 pixels"),
        (f"0,{cell(256)},Training", "line 6: .*pixels are blank-separated integers from 0 to 255"),
        (f"0,{cell(1)} x,Training", "line 6: .*pixels are blank-separated integers"),
        (f"7,{cell(1)},Training", "line 6: unknown class '7'"),
        (f"0,{cell(1)},Test", "line 6: Usage 'Test' is not"),
        ("0", "line 6: 1 cells, the header has 3"),
    ],
)
def test_fer2013_names_the_line_of_a_bad_row(tmp_path: Path, row: str, words: str) -> None:
    fer_table(tmp_path / "fer2013.csv", end=f"\n{row}")
    with pytest.raises(DataError, match=words):
        scan_fer2013(tmp_path, FER)


def test_fer2013_tables_twice_or_without_usage_are_refused(tmp_path: Path) -> None:
    fer_table(tmp_path / "a" / "fer2013.csv")
    fer_table(tmp_path / "b" / "fer2013.csv")
    with pytest.raises(DataError, match="second copy"):
        scan_fer2013(tmp_path, FER)
    (tmp_path / "b" / "fer2013.csv").unlink()
    (tmp_path / "a" / "fer2013.csv").write_text("emotion,pixels\n")
    with pytest.raises(DataError, match="no column 'Usage'"):
        scan_fer2013(tmp_path, FER)


def test_fer2013_challenge_tables_give_the_training_part_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f"emotion,pixels\n4,{cell(3)}\n5,{cell(4)}")
    (tmp_path / "test.csv").write_text(f"pixels\n{cell(1)}\n{cell(2)}\n")
    scan = scan_fer2013(tmp_path, FER)
    assert [(f.label, f.split) for f in scan.found] == [("sad", "train"), ("surprise", "train")]
    assert scan.skipped == {"no label": ["test.csv: 2 rows"]}
    assert scan.counts == FER.split_counts["train"]
    (tmp_path / "test.csv").write_text(f"emotion,pixels\n1,{cell(1)}\n")
    with pytest.raises(DataError, match=r"use fer2013\.csv instead"):
        scan_fer2013(tmp_path, FER)


def test_fer2013_part_is_that_of_the_file_name_not_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    draw(root / "train" / "Angry" / "Training_10118481.jpg")
    draw(root / "test" / "happy" / "PublicTest_77.jpg")
    draw(root / "test" / "happy" / "PrivateTest_78.JPG")
    draw(root / "train" / "sad" / "PrivateTest_79.jpg")
    draw(root / "train" / "sad" / "Training_5.jpg2.jpg")
    litter(root / "train" / "sad")
    scan = scan_fer2013(tmp_path, FER)
    assert {f.file.name: (f.label, f.split) for f in scan.found} == {
        "Training_10118481.jpg": ("angry", "train"),
        "PublicTest_77.jpg": ("happy", "public"),
        "PrivateTest_78.JPG": ("happy", "private"),
        "PrivateTest_79.jpg": ("sad", "private"),
    }
    assert list(scan.skipped.values()) == [["archive/train/sad/Training_5.jpg2.jpg"]]
    draw(tmp_path / "copy" / "train" / "angry" / "Training_10118481.jpg")
    with pytest.raises(DataError, match="same image is also at"):
        scan_fer2013(tmp_path, FER)


def test_fer2013_renamed_files_have_no_part_and_the_layout_says_so(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        for folder in ("angry", "Happy"):
            draw(tmp_path / "images" / part / folder / "im0.png")
    litter(tmp_path / "images")
    scan = scan_fer2013(tmp_path, FER)
    assert Counter((f.label, f.split) for f in scan.found) == {("angry", "none"): 2, ("happy", "none"): 2}
    assert "without official split" in scan.layout
    assert scan.counts == FER.counts
    draw(tmp_path / "images" / "images" / "train" / "angry" / "im0.png")
    with pytest.raises(DataError, match="same image is also at"):
        scan_fer2013(tmp_path, FER)


def test_fer2013_folders_with_the_official_part_names_keep_the_parts(tmp_path: Path) -> None:
    for part in ("Training", "PublicTest", "PrivateTest"):
        draw(tmp_path / part / "fear" / "1.png")
    scan = scan_fer2013(tmp_path, FER)
    assert sorted(f.split for f in scan.found) == ["private", "public", "train"]
    assert scan.counts is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train/0/im0.png", "train/1/im1.png"], "ambiguous numbered class folder"),
        (["train/0/Training_1.jpg"], "ambiguous numbered class folder"),
        (["train/angry/a.png", "train/3/b.png"], "3'? is unknown|numbered class folder"),
        (["train/angry/a.png", "train/hapy/b.png"], "hapy.*did you mean happy"),
        (["train/hapy/Training_1.jpg"], "hapy.*did you mean happy"),
        (["pictures/x/a.png"], "contains no fer2013; looked for"),
        ([], "contains no fer2013; looked for"),
    ],
)
def test_fer2013_guesses_no_class(tmp_path: Path, files: list[str], words: str) -> None:
    for file in files:
        draw(tmp_path / file)
    with pytest.raises(DataError, match=words):
        scan_fer2013(tmp_path, FER)


def test_pixels_are_parsed_as_python_would() -> None:
    values = np.random.default_rng(1).integers(0, 256, 2304)
    assert grey_pixels("  " + " ".join(map(str, values)) + " ", "x", SIDE) == bytes(values.tolist())


# Columns: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF.
BALLOTS = [
    ("Training", "fer0000000.png", [6, 1, 1, 1, 1, 0, 0, 0, 0, 0], "neutral"),
    ("Training", "fer0000001.png", [4, 0, 0, 4, 1, 0, 0, 0, 1, 0], "no majority"),
    ("Training", "", [0, 0, 0, 0, 0, 0, 0, 0, 0, 10], "no image name (face unusable)"),
    ("PublicTest", "fer0000002.png", [1, 1, 1, 1, 2, 1, 1, 1, 1, 0], "angry"),
    ("PublicTest", "fer0000003.png", [0, 2, 0, 0, 0, 0, 0, 0, 7, 0], "majority vote for unknown"),
    ("PrivateTest", "fer0000004.png", [0, 0, 0, 0, 0, 0, 0, 6, 2, 2], "contempt"),
    ("PrivateTest", "fer0000005.png", [1, 1, 0, 0, 0, 0, 0, 0, 0, 8], "majority vote for no face"),
]


@pytest.mark.parametrize(
    ("votes", "winner"),
    [
        ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ([5, 1, 1, 1, 1, 1, 0, 0, 0, 0], "neutral"),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),
        ([4, 2, 2, 1, 1, 0, 0, 0, 0, 0], None),
        ([4, 3, 1, 1, 1, 0, 0, 0, 0, 0], "neutral"),
        ([0, 0, 0, 0, 0, 0, 3, 0, 2, 0], "fear"),
    ],
)
def test_majority_by_hand(votes: list[int], winner: str | None) -> None:
    assert majority([str(vote) for vote in votes], "x") == winner


def ferplus_tables(root: Path) -> Path:
    root.mkdir(parents=True)
    lines = [f"{part},{name},{','.join(map(str, votes))}" for part, name, votes, _ in BALLOTS]
    (root / "fer2013new.csv").write_text("\n".join([",".join(["Usage", "Image name", *VOTES]), *lines]))
    rows = [f"0,{cell(20 + n)},{part}" for n, (part, *_) in enumerate(BALLOTS)]
    (root / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    return root


def test_ferplus_joins_votes_and_pixels_by_row(tmp_path: Path) -> None:
    scan = scan_ferplus(ferplus_tables(tmp_path / "FERPlus"), PLUS)
    assert [(f.sample, f.label, f.split, (f.pixels or b"")[0]) for f in scan.found] == [
        ("fer0000000", "neutral", "train", 20),
        ("fer0000002", "angry", "public", 23),
        ("fer0000004", "contempt", "private", 25),
    ]
    assert {reason: len(names) for reason, names in scan.skipped.items()} == {
        reason: 1 for *_, reason in BALLOTS if reason not in PLUS.classes
    }
    assert scan.skipped["no image name (face unusable)"] == ["fer2013new.csv, line 4"]
    assert scan.skipped["no majority"] == ["fer0000001.png"]


def test_ferplus_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    root = ferplus_tables(tmp_path / "a")
    whole = (root / "fer2013.csv").read_text()
    (root / "fer2013.csv").write_text("\n".join(whole.splitlines()[:-1]))
    with pytest.raises(DataError, match=r"fer2013new.csv, line 8: no matching row"):
        scan_ferplus(root, PLUS)
    (root / "fer2013.csv").write_text(whole.replace("PublicTest", "Training"))
    with pytest.raises(DataError, match=r"line 5: Usage is PublicTest, but Training at .*fer2013.csv, line 5"):
        scan_ferplus(root, PLUS)
    (root / "fer2013.csv").write_text(whole)
    votes = (root / "fer2013new.csv").read_text()
    (root / "fer2013new.csv").write_text(votes.replace("fer0000000.png,6", "fer0000000.png,six"))
    with pytest.raises(DataError, match="line 2: expected 10 integer vote counts"):
        scan_ferplus(root, PLUS)
    (root / "fer2013new.csv").write_text(votes)
    (root / "fer2013.csv").unlink()
    with pytest.raises(DataError, match=r"has votes but no pixels; put fer2013\.csv beside it"):
        scan_ferplus(root, PLUS)


def ferplus_lists(root: Path) -> Path:
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    for part, folder in folders.items():
        (root / folder).mkdir(parents=True)
        with (root / folder / "label.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            for own, name, votes, _ in BALLOTS:
                if own == part and name:
                    writer.writerow([name, "(0, 0, 48, 48)", *votes])
                    draw(root / folder / name)
        litter(root / folder)
    return root


def test_ferplus_lists_give_the_same_labels(tmp_path: Path) -> None:
    root = ferplus_lists(tmp_path / "FERPlus" / "data")
    assert '"(0, 0, 48, 48)"' in (root / "FER2013Train" / "label.csv").read_text()
    draw(root / "FER2013Train" / "fer0009999.png")
    scan = scan_ferplus(tmp_path, PLUS)
    tables = scan_ferplus(ferplus_tables(tmp_path / "tables"), PLUS)
    assert [(f.sample, f.label, f.split, f.box) for f in scan.found] == [
        (f.sample, f.label, f.split, None) for f in tables.found
    ]
    assert scan.skipped["not in label.csv"] == ["FERPlus/data/FER2013Train/fer0009999.png"]
    assert scan.skipped["no majority"] == ["FERPlus/data/FER2013Train/fer0000001.png"]


def test_ferplus_list_names_what_is_wrong(tmp_path: Path) -> None:
    root = ferplus_lists(tmp_path / "data")
    (root / "FER2013Test" / "fer0000004.png").unlink()
    with pytest.raises(DataError, match=r"label.csv, line 1: .*fer0000004.png is missing"):
        scan_ferplus(root, PLUS)
    (root / "FER2013Test" / "label.csv").write_text("fer0000004.png,1,2\n")
    with pytest.raises(DataError, match="line 1: 3 cells"):
        scan_ferplus(root, PLUS)


def test_ferplus_class_folders_are_of_an_unknown_rule(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "Contempt" / "fer0000001.png")
    draw(tmp_path / "test" / "anger" / "fer0000002.png")
    scan = scan_ferplus(tmp_path, PLUS)
    assert [(f.label, f.split) for f in scan.found] == [("contempt", "none"), ("angry", "none")]
    assert scan.counts == {}
    draw(tmp_path / "validation" / "fear" / "fer0000003.png")
    assert [f.split for f in scan_ferplus(tmp_path, PLUS).found] == ["train", "private", "public"]
    draw(tmp_path / "test" / "0" / "fer0000009.png")
    with pytest.raises(DataError, match="numbered class folder"):
        scan_ferplus(tmp_path, PLUS)


LINES = """angry_actor_104.jpg 0 28 113 226 141 22.9362 0
angry_actor_104.jpg 1 -5 20 40 90 9.1 3
happy_old man_7.jpg 0 1 2 11 12 30.5 4
fear_x_1.jpg 0 5 9 9 5 30.5 6"""


def expw(root: Path, lines: str = LINES) -> Path:
    for name in ("angry_actor_104.jpg", "happy_old man_7.jpg", "fear_x_1.jpg", "happy_nobody_2.jpg"):
        draw(root / "image" / "origin" / name)
    litter(root / "image")
    (root / "label.lst").write_text(lines)
    return root


def test_expw_boxes_labels_and_photographs_with_two_faces(tmp_path: Path) -> None:
    scan = scan_expw(expw(tmp_path), EXPW)
    assert [(f.sample, f.label, f.sequence, f.frame, f.box, f.split) for f in scan.found] == [
        ("angry_actor_104-0", "angry", "angry_actor_104", 0, (113, 28, 226, 141), "none"),
        ("angry_actor_104-1", "happy", "angry_actor_104", 1, (20, -5, 40, 90), "none"),
        ("happy_old man_7-0", "sad", "happy_old man_7", 0, (2, 1, 11, 12), "none"),
    ]
    assert scan.skipped["empty box"] == ["image/origin/fear_x_1.jpg, face 0"]
    assert scan.skipped["no face in label.lst"] == ["image/origin/happy_nobody_2.jpg"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gone_1.jpg 0 1 2 11 12 30.5 4", "line 5: photograph gone_1.jpg is missing"),
        ("fear_x_1.jpg 0 1 2 11 12 30.5 7", "line 5: unknown class '7'"),
        ("fear_x_1.jpg 0 1 2 11 30.5 4", "line 5: expected eight words"),
        ("fear_x_1.jpg 0 a 2 11 12 30.5 4", "line 5: expected image, face number, top"),
        ("angry_actor_104.jpg 1 1 2 11 12 30.5 4", "line 5: duplicate face 1 of angry_actor_104.jpg"),
        ("../../etc/x.jpg 0 1 2 11 12 30.5 4", "line 5: path .* leads out of"),
    ],
)
def test_expw_names_the_line_of_a_bad_row(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        scan_expw(expw(tmp_path, f"{LINES}\n{line}"), EXPW)


def test_expw_without_list_or_with_two_copies(tmp_path: Path) -> None:
    draw(tmp_path / "a" / "angry" / "angry_actor_104.jpg")
    with pytest.raises(DataError, match=r"contains no expw; looked for label\.lst"):
        scan_expw(tmp_path / "a", EXPW)
    expw(tmp_path / "b")
    draw(tmp_path / "b" / "copy" / "fear_x_1.jpg")
    with pytest.raises(DataError, match="same photograph is also at"):
        scan_expw(tmp_path / "b", EXPW)
