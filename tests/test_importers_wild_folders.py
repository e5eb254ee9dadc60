"""RAF-DB (basic and compound) and AffectNet: fake trees in the layouts in circulation, with their traps."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_cli.data.build import build_set
from fer_cli.data.cards import Card, load_card
from fer_cli.data.importers.affectnet import scan_affectnet
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.rafdb import scan_rafdb
from fer_cli.data.importers.rafdb_compound import scan_rafdb_compound
from fer_cli.errors import DataError
from tests.test_importers_wild import draw, litter

RAF, COMPOUND, AFFECT = load_card("rafdb"), load_card("rafdb-compound"), load_card("affectnet")
ORDER = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
"""Of RAF-DB's numbers, from 1."""
Spoil = Callable[[Path], object]


def raf(root: Path, codes: int = 7, kind: str = "aligned") -> Path:
    """Write the official layout: one training image per class and one test image."""
    lines = [f"train_{code:05d}.jpg {code}" for code in range(1, codes + 1)] + [f"test_0001.jpg {codes - 3}"]
    tail = "_aligned" if kind == "aligned" else ""
    for line in lines:
        draw(root / "Image" / kind / f"{line.split('.')[0]}{tail}.jpg")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    litter(root / "Image" / kind)
    return root


def test_rafdb_official_list_without_last_newline(tmp_path: Path) -> None:
    for source in (tmp_path, raf(tmp_path / "basic")):
        scan = scan_rafdb(source, RAF)
        labels = {f.sample: (f.label, f.split) for f in scan.found}
        assert labels == {f"train_{n:05d}": (label, "train") for n, label in enumerate(ORDER, 1)} | {
            "test_0001": ("happy", "test")
        }
        assert (scan.skipped, scan.counts) == ({}, None)
        assert all((f.subject, f.sequence, f.box) == ("", "", None) for f in scan.found)


def test_rafdb_beside_the_compound_set_and_photographs(tmp_path: Path) -> None:
    raf(tmp_path / "basic")
    raf(tmp_path / "compound", codes=11)
    draw(tmp_path / "basic" / "Image" / "original" / "train_00001.jpg")
    draw(tmp_path / "basic" / "Image" / "aligned" / "train_09999_aligned.jpg")
    scan = scan_rafdb(tmp_path, RAF)
    assert len(scan.found) == 8
    assert all("basic" in f.file.parts for f in scan.found)
    assert scan.skipped["photograph of an aligned image"] == ["basic/Image/original/train_00001.jpg"]
    rest = scan.skipped["not in list_patition_label.txt"]
    assert len(rest) == 13
    assert "basic/Image/aligned/train_09999_aligned.jpg" in rest
    both = scan_rafdb_compound(tmp_path, COMPOUND)
    assert len(both.found) == 12
    assert {f.sample: f.label for f in both.found}["train_00011"] == "disgustedly-surprised"
    assert {f.sample: f.label for f in both.found}["train_00001"] == "happily-surprised"


def test_rafdb_photographs_take_their_boxes_where_there_are_any(tmp_path: Path) -> None:
    raf(tmp_path / "basic", kind="original")
    boxes = tmp_path / "basic" / "Annotation" / "boundingbox"
    boxes.mkdir(parents=True)
    (boxes / "train_00001_boundingbox.txt").write_text("1.5 2 10 11.5 \n")
    found = {f.sample: f.box for f in scan_rafdb(tmp_path, RAF).found}
    assert found["train_00001"] == (1.5, 2, 10, 11.5)
    assert found["train_00002"] is None
    (boxes / "train_00001_boundingbox.txt").write_text("1.5 2 10")
    with pytest.raises(DataError, match="expected four numbers"):
        scan_rafdb(tmp_path, RAF)


def test_rafdb_is_built(tmp_path: Path) -> None:
    info = build_set("rafdb", raf(tmp_path / "basic"), tmp_path / "data", allow_incomplete=True)
    assert (info.kept, info.image_size, info.counts["happy"]) == (8, 100, 2)
    assert "test happy 1 (card: 1185)" in info.differences


def list_of(text: str) -> Spoil:
    return lambda root: (root / "basic" / "EmoLabel" / "list_patition_label.txt").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (list_of("train_00001.jpg 0"), "line 1: class 0, but RAF-DB numbers its classes from 1"),
        (list_of("train_00001.jpg 8"), "line 1: unknown class '8'"),
        (list_of("train_00001.jpg"), "line 1: expected an image name and a class number"),
        (list_of("../train_00001.jpg 5"), "line 1: expected an image name and a class number"),
        (list_of("train_00001.jpg 1\n\ntrain_04444.jpg 5"), "line 3: no image of train_04444.jpg"),
        (list_of("train_00001.jpg 1\ntrain_00001.jpg 1"), "line 2: train_00001.jpg is already in line 1; keep one of"),
        (lambda root: shutil.copytree(root / "basic", root / "copy"), "holds both"),
        (lambda root: shutil.copytree(root / "basic" / "Image", root / "basic" / "Copy"), "same image is also at"),
        (lambda root: (root / "basic").rename(root / "Compound"), "belongs to the compound set; build it as"),
        (lambda root: shutil.rmtree(root / "basic"), "contains no rafdb; looked for"),
    ],
)
def test_rafdb_official_layout_with_a_fault(tmp_path: Path, spoil: Spoil, words: str) -> None:
    raf(tmp_path / "basic")
    spoil(tmp_path)
    with pytest.raises(DataError, match=words):
        scan_rafdb(tmp_path, RAF)


def raf_folders(root: Path, words: bool = False) -> Path:
    """Write the re-pack of class folders and tables."""
    for part, digits in (("train", 5), ("test", 4)):
        lines = ["image,label"]
        for code, label in enumerate(ORDER, 1):
            name = f"{part}_{code:0{digits}d}_aligned.jpg"
            draw(root / "DATASET" / part / (label.title() if words else str(code)) / name)
            lines.append(f"{name},{code}")
        (root / f"{part}_labels.csv").write_text("\ufeff" + "\n".join(lines))
    litter(root / "DATASET" / "train")
    return root


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("tables", [False, True])
def test_rafdb_class_folders_with_and_without_tables(tmp_path: Path, words: bool, tables: bool) -> None:
    raf_folders(tmp_path, words)
    if not tables:
        for table in tmp_path.glob("*.csv"):
            table.unlink()
    scan = scan_rafdb(tmp_path, RAF)
    assert {f.sample: (f.label, f.split) for f in scan.found} == {
        f"{part}_{code:0{digits}d}": (label, part)
        for part, digits in (("train", 5), ("test", 4))
        for code, label in enumerate(ORDER, 1)
    }
    assert (scan.counts, scan.skipped) == (None, {})


def test_rafdb_tables_alone_and_files_of_other_names(tmp_path: Path) -> None:
    draw(tmp_path / "Dataset" / "aligned" / "train" / "train_images" / "train_00001_aligned.jpg")
    draw(tmp_path / "Dataset" / "aligned" / "train" / "train_images" / "extra.jpg")
    (tmp_path / "Dataset" / "train.csv").write_text("image, label\ntrain_00001_aligned.jpg, 6\n")
    scan = scan_rafdb(tmp_path, RAF)
    assert [(f.label, f.split) for f in scan.found] == [("angry", "train")]
    assert scan.skipped == {"neither in a class folder nor in a table": ["Dataset/aligned/train/train_images/extra.jpg"]}
    draw(tmp_path / "valid" / "2" / "a.jpg")
    scan = scan_rafdb(tmp_path, RAF)
    assert [(f.sample, f.split) for f in scan.found] == [("train_00001", "train"), ("val-fear-a", "val")]
    assert scan.counts == {}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: draw(root / "DATASET" / "train" / "0" / "train_00099_aligned.jpg"), "/0: class 0, but RAF-DB numbers"),
        (lambda root: draw(root / "DATASET" / "train" / "8" / "train_00099_aligned.jpg"), "unknown class '8'"),
        (
            lambda root: (root / "train_labels.csv").write_text("image,label\ntrain_00001_aligned.jpg,2\n"),
            r"train_labels.csv, line 2: train_00001_aligned.jpg is fear, but surprise by its folder",
        ),
        (
            lambda root: (root / "train_labels.csv").write_text("image,label\ntrain_00001_aligned.jpg,0\n"),
            r"train_labels.csv, line 2: class 0, but RAF-DB",
        ),
        (
            lambda root: (root / "train_labels.csv").write_text("image,label\ntrain_00098_aligned.jpg,1"),
            r"line 2: train_00098_aligned.jpg is missing",
        ),
        (lambda root: shutil.copytree(root / "DATASET", root / "again"), "exists 2 times"),
        (
            lambda root: [shutil.copytree(root / "DATASET", root / "again"), *map(Path.unlink, root.glob("*.csv"))],
            "same image",
        ),
    ],
)
def test_rafdb_class_folders_with_a_fault(tmp_path: Path, spoil: Spoil, words: str) -> None:
    spoil(raf_folders(tmp_path))
    with pytest.raises(DataError, match=words):
        scan_rafdb(tmp_path, RAF)


def test_the_basic_set_is_not_taken_for_the_compound_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="as in the basic set; build it as rafdb"):
        scan_rafdb_compound(raf_folders(tmp_path / "a"), COMPOUND)
    with pytest.raises(DataError, match="as in the basic set; build it as rafdb"):
        scan_rafdb_compound(raf(tmp_path / "raf-basic"), COMPOUND)
    with pytest.raises(DataError, match="belongs to the basic set"):
        scan_rafdb_compound(raf(tmp_path / "basic"), COMPOUND)
    with pytest.raises(DataError, match="unknown class '8'"):
        scan_rafdb(raf(tmp_path / "copy", codes=11), RAF)


def test_rafdb_compound_folders_by_name(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "Happily_Surprised" / "train_0001_aligned.jpg")
    draw(tmp_path / "test" / "sadly angry" / "test_0001_aligned.jpg")
    found = scan_rafdb_compound(tmp_path, COMPOUND).found
    assert [(f.label, f.split) for f in found] == [("sadly-angry", "test"), ("happily-surprised", "train")]
    assert all("unverified" in words for words in COMPOUND.defects[:2])


NUMBERS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
"""Of AffectNet's numbers, from 0."""


def affect_new(root: Path) -> Path:
    """Write the newer release: one image per class and one that shows no face, in each part."""
    for part in ("train_set", "val_set"):
        (root / part / "annotations").mkdir(parents=True)
        for code in (*range(8), 10):
            draw(root / part / "images" / f"{code}.{'tif' if code == 3 else 'jpg'}")
            for kind, value in (("exp", str(code)), ("val", "0.1"), ("lnd", "1;2")):
                np.save(root / part / "annotations" / f"{code}_{kind}.npy", np.array(value))
        litter(root / part / "images")
        (root / part / "annotations" / "._1_exp.npy").write_bytes(b"AppleDouble")
    return root


def by_sample(scan: Scan) -> dict[str, tuple[str, str]]:
    return {f.sample: (f.label, f.split) for f in scan.found}


def test_affectnet_newer_release(tmp_path: Path) -> None:
    scan = scan_affectnet(affect_new(tmp_path / "AffectNet"), AFFECT)
    expected = {f"train-{code}": (label, "train") for code, label in enumerate(NUMBERS)}
    assert by_sample(scan) == expected | {f"val-{code}": (label, "test") for code, label in enumerate(NUMBERS)}
    assert scan.skipped == {"no face": ["train_set/images/10.jpg", "val_set/images/10.jpg"]}
    assert scan.counts is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "train_set/annotations/1_exp.npy").unlink(), "1.jpg: has no annotation .*1_exp.npy"),
        (lambda root: (root / "train_set/images/1.jpg").unlink(), "1_exp.npy: has no image in"),
        (lambda root: np.save(root / "val_set/annotations/1_exp.npy", np.array("11")), "1.jpg: unknown class '11'"),
        (lambda root: np.save(root / "val_set/annotations/1_exp.npy", np.array(["1", "2"])), "with one class number"),
        (lambda root: (root / "val_set/annotations/1_exp.npy").write_bytes(b""), "with one class number"),
        (
            lambda root: np.save(root / "val_set/annotations/1_exp.npy", np.array({"a": 1}, object), allow_pickle=True),
            "with one class number",
        ),
        (lambda root: shutil.rmtree(root / "val_set/annotations"), "unpack the annotations beside the images"),
        (lambda root: shutil.copytree(root / "val_set", root / "copy" / "val_set"), "two copies in"),
    ],
)
def test_affectnet_newer_release_with_a_fault(tmp_path: Path, spoil: Spoil, words: str) -> None:
    spoil(affect_new(tmp_path))
    with pytest.raises(DataError, match=words):
        scan_affectnet(tmp_path, AFFECT)


HEAD = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def affect_old(root: Path, *more: str) -> Path:
    """Write the older release."""
    train = [
        "1/aa.jpg,1,2,10,9,1;2,0,0,0",
        "1/bb.TIF,0,0,12,12,1;2,6,0,0",
        "2/cc.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2",
        *more,
    ]
    for file in ("1/aa.jpg", "1/bb.TIF", "2/cc.jpg", "2/dd.jpg", "2/ee.bmp"):
        draw(root / "Manually_Annotated_Images" / file)
    draw(root / "Automatically_Annotated_Images" / "9" / "zz.jpg")
    (root / "lists").mkdir()
    (root / "lists" / "training.csv").write_text("\n".join([HEAD, *train]))
    (root / "lists" / "validation.csv").write_text(f"{HEAD}\n2/dd.jpg,NULL,NULL,NULL,NULL,NULL,7,0,0")
    return root


def test_affectnet_older_release_gives_boxes(tmp_path: Path) -> None:
    scan = scan_affectnet(
        affect_old(tmp_path, "1/aa.jpg,1,2,10,9,1;2,0,0,0", "3/gone.jpg,NULL,NULL,NULL,NULL,NULL,9,-2,-2"), AFFECT
    )
    assert [(f.sample, f.label, f.split, f.box) for f in scan.found] == [
        ("1-aa", "neutral", "train", (1, 2, 11, 11)),
        ("1-bb", "angry", "train", (0, 0, 12, 12)),
        ("2-dd", "contempt", "test", None),
    ]
    assert scan.skipped == {
        "no face": ["Manually_Annotated_Images/2/cc.jpg"],
        "expression uncertain": ["3/gone.jpg"],
        "listed twice": ["Manually_Annotated_Images/1/aa.jpg (line 5)"],
        "not in training.csv and validation.csv": [
            "Automatically_Annotated_Images/9/zz.jpg",
            "Manually_Annotated_Images/2/ee.bmp",
        ],
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1/xx.jpg,1,2,3,4,1;2,0,0,0", "line 5: 1/xx.jpg is missing"),
        ("../../1/aa.jpg,1,2,3,4,1;2,0,0,0", "line 5: path .* leads out of"),
        ("/1/aa.jpg,1,2,3,4,1;2,0,0,0", "line 5: path .* leads out of"),
        ("2/ee.bmp,1,2,x,4,1;2,0,0,0", "line 5: face_x to face_height '1, 2, x, 4' are not numbers"),
        ("2/ee.bmp,1,2,3,4,1;2,12,0,0", "line 5: unknown class '12'"),
        ("1/aa.jpg,1,2,3,4,1;2,1,0,0", "line 5: .* is already listed as neutral of train"),
        ("1/aa.jpg,1,2", "line 5: 3 cells"),
    ],
)
def test_affectnet_older_release_names_the_line_of_a_bad_row(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        scan_affectnet(affect_old(tmp_path, row), AFFECT)


def test_affectnet_table_wins_over_the_folder(tmp_path: Path) -> None:
    for file in ("Anger/image1.jpg", "Anger/image2.jpg", "Happy/image1.jpg", "Happy/image9.png"):
        draw(tmp_path / "Train" / file)
    (tmp_path / "labels.csv").write_text(
        ",pth,label,relFCs\n0,anger/image1.jpg,surprise,0.8\n1,anger/image2.jpg,anger,0.9\n2,happy/image1.jpg,happy,0.7"
    )
    scan = scan_affectnet(tmp_path, AFFECT)
    assert by_sample(scan) == {
        "train-anger-image1": ("surprise", "train"),
        "train-anger-image2": ("angry", "train"),
        "train-happy-image1": ("happy", "train"),
    }
    assert "1 images are in the folder of another class" in scan.layout
    assert (scan.skipped, scan.counts) == ({"not in labels.csv": ["Train/Happy/image9.png"]}, {})
    draw(tmp_path / "Test" / "Anger" / "image1.jpg")
    with pytest.raises(DataError, match=r"line 2: anger/image1.jpg may be .* or"):
        scan_affectnet(tmp_path, AFFECT)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["train/0", "val/7", "val/8"], {"train-0-a": ("neutral", "train"), "test-7-a": ("contempt", "test")}),
        (["Train/Neutral", "valid/fear", "test/Anger"], {
            "train-neutral-a": ("neutral", "train"), "val-fear-a": ("fear", "val"), "test-anger-a": ("angry", "test"),
        }),
        (["Happy", "sad"], {"happy-a": ("happy", "none"), "sad-a": ("sad", "none")}),
    ],
)  # fmt: skip
def test_affectnet_class_folders(tmp_path: Path, folders: list[str], expected: dict[str, tuple[str, str]]) -> None:
    for folder in folders:
        draw(tmp_path / folder / "a.jpg")
    litter(tmp_path)
    scan = scan_affectnet(tmp_path, AFFECT)
    assert by_sample(scan) == expected
    assert scan.counts == {}
    assert scan.skipped == ({"none of the expressions": ["val/8/a.jpg"]} if "val/8" in folders else {})


@pytest.mark.parametrize(
    ("card", "scan", "folders"),
    [
        (RAF, scan_rafdb, ["train/0", "train/1"]),
        (RAF, scan_rafdb, ["train/7", "train/11"]),
        (COMPOUND, scan_rafdb_compound, ["train/0", "train/8"]),
        (COMPOUND, scan_rafdb_compound, ["train/11", "train/12"]),
        (AFFECT, scan_affectnet, ["train/0", "train/11"]),
        (AFFECT, scan_affectnet, ["train/Neutral", "train/hapy"]),
        (AFFECT, scan_affectnet, ["train/x", "train/y"]),
    ],
)
def test_a_tree_coded_otherwise_is_refused_whole(
    tmp_path: Path, card: Card, scan: Callable[[Path, Card], Scan], folders: list[str]
) -> None:
    for folder in folders:
        draw(tmp_path / folder / "a.jpg")
    with pytest.raises(DataError) as told:
        scan(tmp_path, card)
    assert "\n" not in str(told.value)
    assert re.search(rf"class|no {card.name} in it", str(told.value))
