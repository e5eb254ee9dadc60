"""Pictures cut out of DAiSEE's videos, joined with its label files by the number of their clip."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.data.build import build_set
from fer_cli.data.cards import load_card
from fer_cli.data.check import check_set, left_out_table
from fer_cli.data.importers.daisee import scan_daisee
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from tests.test_importers_more import HEADER
from tests.trees import by_sample, everything_is_accounted_for, junk, one_line, picture, pictures, write


def named_crops(root: Path) -> Path:
    """Write face crops named after clips, in some of the ways in which they are named, beside the label files."""
    faces = root / "faces"
    pictures(
        faces,
        [
            "Train/110001/1100011002/11000110021.jpg",  # as the authors' own program names frames
            "Train/110001/1100011002/110001100212.jpg",
            "Train/1100011003.png",
            "pooled/4000221001_face_7.jpg",
            "pooled/400022100112.jpg",  # frame 12 of the same
            "pooled/500044101/9.JPG",
            "more/Train/500044101_3.jpg",  # in the folder of another part than that of its label
            "pooled/9999990001_1.jpg",
            "pooled/1100011004_1.jpg",  # in the file of all parts alone
            "pooled/figure.png",
        ],
    )
    train = ["1100011002.avi,0,2,0,0", "1100011003.avi,0,0,1,1", "1100021001.avi,1,1,0,0"]
    write(root / "Labels/TrainLabels.csv", HEADER, *train, bom=True)
    write(root / "Labels/ValidationLabels.csv", HEADER, "4000221001,0,3,0,0")
    write(root / "Labels/TestLabels.csv", HEADER, "500044101.avi,3,1,0,0")
    write(root / "Labels/AllLabels.csv", HEADER, *train, "1100011004.avi,0,2,0,0")
    junk(root)
    return root


def test_daisee_crops_are_joined_with_the_label_files(tmp_path: Path) -> None:
    scan = scan_daisee(named_crops(tmp_path), load_card("daisee"))
    assert {sample: (i.label, i.subject, i.sequence, i.frame, i.split) for sample, i in by_sample(scan).items()} == {
        "1100011002_1": ("engagement-high", "110001", "1100011002", 1, "train"),
        "1100011002_12": ("engagement-high", "110001", "1100011002", 12, "train"),
        "1100011003": ("engagement-very-low", "110001", "1100011003", 0, "train"),
        "4000221001_face_7": ("engagement-very-high", "400022", "4000221001", 7, "val"),
        "4000221001_12": ("engagement-very-high", "400022", "4000221001", 12, "val"),
        "500044101_9": ("engagement-low", "500044", "500044101", 9, "test"),
        "500044101_3": ("engagement-low", "500044", "500044101", 3, "test"),
    }
    assert scan.skipped == {
        "image of a clip that is in no part's label file": [
            "faces/pooled/1100011004_1.jpg",
            "faces/pooled/9999990001_1.jpg",
        ],
        "image not named after a clip": ["faces/pooled/figure.png"],
        "label without an image": ["1100021001 (TrainLabels.csv, line 4)"],
    }
    assert "1 are in the folder of another part" in scan.layout
    everything_is_accounted_for(tmp_path, scan)


def test_daisee_crops_build_and_every_file_and_row_is_accounted_for(tmp_path: Path) -> None:
    info = build_set("daisee", named_crops(tmp_path / "src"), tmp_path / "data")
    faces = load_set(tmp_path / "data", "daisee")
    assert (info.kept, info.subjects, info.expected) == (7, 3, {})
    assert dict(faces.manifest["split"].value_counts()) == {"train": 3, "val": 2, "test": 2}
    total = left_out_table(info).set_index("class").loc["all"]
    assert (total["in"], total["kept"], total["left out"]) == (11, 7, 4)
    assert total["in"] - 1 + sum(info.others.values()) == len([p for p in (tmp_path / "src").rglob("*") if p.is_file()])
    assert check_set(tmp_path / "data", "daisee", tmp_path / "src").problems == []


def test_daisee_crops_with_the_labels_of_all_parts_have_the_part_of_their_folder(tmp_path: Path) -> None:
    root = named_crops(tmp_path)
    for part in ("Train", "Validation", "Test"):
        (root / f"Labels/{part}Labels.csv").unlink()
    found = by_sample(scan_daisee(root, load_card("daisee")))
    assert {name: found[name].split for name in ("1100011002_1", "1100011003", "1100011004_1")} == {
        "1100011002_1": "train",
        "1100011003": "train",
        "1100011004_1": "none",
    }


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: shutil.rmtree(root / "Labels"), ["looked for", "with Labels/*Labels.csv"]),
        (lambda root: picture(root / "copy/1100011003.png", 2), ["same image", "keep one"]),
        (lambda root: picture(root / "copy/1100011003.png", 77), ["has other content"]),
        (
            lambda root: write(root / "Labels/TestLabels.csv", HEADER, "1100011002.avi,3,2,0,0"),
            ["clip 1100011002 is listed in TrainLabels.csv, line 2 and in TestLabels.csv, line 2", "from one of the two"],
        ),
    ],
)
def test_mistakes_of_daisee_crops_are_refused(tmp_path: Path, spoil: Callable[[Path], object], words: list[str]) -> None:
    root = named_crops(tmp_path)
    spoil(root)
    with pytest.raises(DataError) as raised:
        scan_daisee(root, load_card("daisee"))
    one_line(raised, *words)


def test_daisee_crops_without_label_files_say_what_is_missing(tmp_path: Path) -> None:
    pictures(tmp_path / "faces", ["1100011002_1.jpg", "1100011002_2.jpg"])
    with pytest.raises(DataError) as raised:
        scan_daisee(tmp_path / "faces", load_card("daisee"))
    one_line(raised, "named after clips, but no TrainLabels.csv", "--from the folder of both")
