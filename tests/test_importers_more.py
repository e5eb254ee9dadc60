"""IMFDB, DAiSEE, OL-SFED, and data without a card: right names and groups, everything accounted for, or one clear line."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.data.build import build_set
from fer_cli.data.cards import load_card
from fer_cli.data.importers.daisee import FRAMES_PER_CLIP, moments, scan_daisee
from fer_cli.data.importers.imfdb import scan_imfdb
from fer_cli.data.importers.olsfed import scan_olsfed
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from tests.test_video import write_video
from tests.trees import by_sample, everything_is_accounted_for, junk, one_line, picture, pictures, write

# IMFDB

ROW = "12\t{film}_{n}.jpg\t{image}\t10\t20\t60\t80\t{film}\t2004\tAamir Khan\tMALE\t{word}\tMEDIUM\tFRONTAL\tMIDDLE\tNONE"


def imfdb_row(image: str, word: str, film: str = "Lagaan", n: int = 7) -> str:
    return ROW.format(film=film, n=n, image=image, word=word)


def imfdb_tree(root: Path) -> Path:
    film = root / "AamirKhan" / "Lagaan"
    pictures(film / "images", ["Aamir_1.jpg", "Aamir_2.jpg", "Aamir_3.JPG", "Aamir_4.jpg", "Aamir_5.jpg", "my face_6.jpg"])
    write(
        film / "LAGAAN.txt",
        imfdb_row("Aamir_1.jpg", "ANGER"),
        imfdb_row("Aamir_1.jpg", "ANGER"),  # given twice, the same
        "",
        imfdb_row("AAMIR_2.jpg", "happiness").replace("\t", "   "),  # blanks and another case
        imfdb_row("Aamir_3.jpg", "Neutral", n=1) + "\textra\tcolumns",
        "only three\tcells",
        imfdb_row("Aamir_4.jpg", "HAPPINES"),
        imfdb_row("Aamir_9.jpg", "FEAR"),
        imfdb_row("my face_6.jpg", "DISGUST"),
        bom=True,
    )
    other = root / "Rekha" / "Umrao Jaan"
    pictures(other / "images", ["Rekha_1.jpg", "Rekha_2.jpg", "Rekha_3.jpg"])
    write(
        other / "Umrao Jaan.txt",
        imfdb_row("Rekha_1.jpg", "SADNESS"),
        imfdb_row("Rekha_2.jpg", "FEAR"),
        imfdb_row("Rekha_2.jpg", "SURPRISE"),
        imfdb_row("Rekha_3.jpg", "FEAR SURPRISE"),
    )
    pictures(root / "Rekha" / "Silsila" / "images", ["Rekha_1.jpg"])
    picture(root / "Rekha" / "poster.jpg")
    junk(root)
    return root


@pytest.mark.parametrize("nested", ["", "IMFDB_final", "IMFDB_final/IMFDB_final"])
def test_imfdb_rows_are_read_by_what_stands_in_them(tmp_path: Path, nested: str) -> None:
    imfdb_tree(tmp_path / nested)
    scan = scan_imfdb(tmp_path, load_card("imfdb"))
    found = by_sample(scan)
    film, clip = "AamirKhan/Lagaan", "AamirKhan_Lagaan"
    assert {sample: (i.label, i.subject, i.sequence, i.frame, i.split) for sample, i in found.items()} == {
        f"{film}/Aamir_1.jpg": ("angry", "AamirKhan", clip, 1, "none"),
        f"{film}/Aamir_2.jpg": ("happy", "AamirKhan", clip, 2, "none"),
        f"{film}/Aamir_3.JPG": ("neutral", "AamirKhan", clip, 3, "none"),
        f"{film}/my face_6.jpg": ("disgust", "AamirKhan", clip, 6, "none"),
        "Rekha/Umrao Jaan/Rekha_1.jpg": ("sad", "Rekha", "Rekha_Umrao Jaan", 1, "none"),
    }
    assert {reason: len(files) for reason, files in scan.skipped.items()} == {
        "row without an image name": 1,
        "image whose row has no expression word, or several": 2,
        "missing file": 1,
        "image not in its film's list": 1,
        "image listed with different expressions": 1,
        "film without a list": 1,
        "image outside the films' image folders": 1,
    }
    assert scan.skipped["missing file"][0].endswith("LAGAAN.txt, line 8: Aamir_9.jpg")
    everything_is_accounted_for(tmp_path, scan)


def test_imfdb_of_one_actor_and_lists_of_another_name(tmp_path: Path) -> None:
    imfdb_tree(tmp_path / "IMFDB_final")
    (tmp_path / "IMFDB_final/AamirKhan/Lagaan/LAGAAN.txt").rename(tmp_path / "IMFDB_final/AamirKhan/Lagaan/list.txt")
    scan = scan_imfdb(tmp_path / "IMFDB_final" / "AamirKhan", load_card("imfdb"))
    assert len(scan.found) == 4
    assert {image.subject for image in scan.found} == {"AamirKhan"}
    write(tmp_path / "IMFDB_final/AamirKhan/Lagaan/notes.txt", "which of the two?")
    with pytest.raises(DataError, match=r"contains no images.*film without a list"):
        build_set("imfdb", tmp_path / "IMFDB_final" / "AamirKhan", tmp_path / "data")


def test_imfdb_lists_with_codes_for_words_and_two_copies_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / "Rekha" / "Silsila" / "images", ["r_1.jpg", "r_2.jpg"])
    table = tmp_path / "a" / "Rekha" / "Silsila" / "Silsila.txt"
    write(table, imfdb_row("r_1.jpg", "3"), imfdb_row("r_2.jpg", "0"))
    with pytest.raises(DataError) as raised:
        scan_imfdb(tmp_path / "a", load_card("imfdb"))
    one_line(raised, "none of 2 rows", "expression word")
    imfdb_tree(tmp_path / "b")
    imfdb_tree(tmp_path / "b" / "IMFDB_final")
    with pytest.raises(DataError) as raised:
        scan_imfdb(tmp_path / "b", load_card("imfdb"))
    one_line(raised, "same image is also at", "keep one of the two")


@pytest.mark.parametrize("table", ["train.csv", "faces/train.csv"])
def test_imfdb_with_ages_is_refused(tmp_path: Path, table: str) -> None:
    write(tmp_path / table, "ID,Class", "377.jpg,MIDDLE", "17814.jpg,YOUNG")
    picture(tmp_path / "Train" / "377.jpg")
    with pytest.raises(DataError) as raised:
        scan_imfdb(tmp_path, load_card("imfdb"))
    one_line(raised, "train.csv", "ages", "no expressions", "IMFDB_final.zip")


def test_imfdb_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        scan_imfdb(tmp_path / "nowhere", load_card("imfdb"))
    one_line(raised, "no such folder", "<Actor>/<Movie>/images")
    picture(tmp_path / "a.jpg")
    with pytest.raises(DataError) as raised:
        scan_imfdb(tmp_path, load_card("imfdb"))
    one_line(raised, "contains no imfdb")


# DAiSEE

HEADER = "ClipID,Boredom,Engagement,Confusion,Frustration "


def daisee_tree(root: Path) -> Path:
    clips = root / "DataSet"
    write_video(clips / "Train" / "110001" / "1100011002" / "1100011002.avi", 9)
    write_video(clips / "Train" / "110001" / "1100011003" / "1100011003.avi", 2)
    write_video(clips / "Train" / "110001" / "1100011004" / "1100011004.avi", 9)
    write(clips / "Train" / "110002" / "1100021001" / "1100021001.avi", "no video")
    write_video(clips / "Validation" / "400022" / "4000221001" / "4000221001.AVI", 9)
    write_video(clips / "Test" / "deeper" / "500044" / "500044101" / "500044101.avi", 9)
    write_video(clips / "Test" / "500044" / "x" / "holiday.avi", 9)
    write_video(root / "extra.avi", 9)
    picture(clips / "Train" / "110001" / "1100011002" / "11000110021.jpg")
    labels = root / "Labels"
    train = ["1100011002.avi,0,2,0,0", "1100011003.avi,0,0,1,1", "1100021001.avi,1,1,0,0", "9999991001.avi,0,3,0,0"]
    write(labels / "TrainLabels.csv", HEADER, *train, bom=True)
    write(labels / "ValidationLabels.csv", HEADER, "4000221001.avi,0,3,0,0")
    write(labels / "TestLabels.csv", HEADER, "500044101.avi,3,1,0,0")
    write(labels / "AllLabels.csv", HEADER, *train, "1100011004.avi,0,2,0,0")
    junk(root)
    return root


@pytest.mark.parametrize("nested", ["", "DAiSEE"])
def test_daisee_clips_give_frames_with_clip_person_and_part(tmp_path: Path, nested: str) -> None:
    daisee_tree(tmp_path / nested)
    scan = scan_daisee(tmp_path, load_card("daisee"))
    assert {sample: (i.label, i.subject, i.sequence, i.frame, i.split) for sample, i in by_sample(scan).items()} == {
        **{f"1100011002_{n:05d}": ("engagement-high", "110001", "1100011002", n, "train") for n in (1, 4, 7)},
        **{f"1100011003_{n:05d}": ("engagement-very-low", "110001", "1100011003", n, "train") for n in (0, 1)},
        **{f"4000221001_{n:05d}": ("engagement-very-high", "400022", "4000221001", n, "val") for n in (1, 4, 7)},
        **{f"500044101_{n:05d}": ("engagement-low", "500044", "500044101", n, "test") for n in (1, 4, 7)},
    }
    assert all(image.moment == image.frame for image in scan.found)
    assert {reason: len(files) for reason, files in scan.skipped.items()} == {
        "clip without a label in its part's file": 1,
        "label without a clip": 1,
        "video cannot be opened": 1,
        "video not named after a clip": 1,
        "video outside Train, Validation and Test": 1,
        "image beside the videos": 1,
    }
    assert scan.skipped["label without a clip"] == ["9999991001 (TrainLabels.csv, line 5)"]
    assert scan.skipped["video cannot be opened"][0].endswith("1100021001/1100021001.avi")
    everything_is_accounted_for(tmp_path, scan)


def test_daisee_builds_pictures_from_videos(tmp_path: Path) -> None:
    info = build_set("daisee", daisee_tree(tmp_path / "DAiSEE"), tmp_path / "data")
    assert (info.kept, info.subjects, info.layout) == (11, 3, "clips with label files")
    faces = load_set(tmp_path / "data", "daisee")
    rows = faces.manifest.set_index("sample")
    first, last = (faces.images.packed[list(rows.index).index(f"1100011002_{n:05d}")] for n in (1, 7))
    assert abs(float(first.mean()) - float(last.mean())) < 8  # frames 1 and 7 of a cycle of six look the same
    assert rows.loc["1100011002_00004", "file"].endswith("DataSet/Train/110001/1100011002/1100011002.avi")


def test_daisee_moments_are_evenly_spaced() -> None:
    assert moments(300, 3) == [50, 150, 250]
    assert moments(300, 1) == [150]
    assert moments(2, 3) == [0, 1]
    assert moments(0, FRAMES_PER_CLIP) == []


def test_daisee_falls_back_on_the_labels_of_all_parts(tmp_path: Path) -> None:
    root = daisee_tree(tmp_path / "DAiSEE")
    (root / "Labels" / "TrainLabels.csv").unlink()
    scan = scan_daisee(root, load_card("daisee"))
    assert Counter(image.sequence for image in scan.found)["1100011004"] == 3
    (root / "Labels" / "AllLabels.csv").unlink()
    with pytest.raises(DataError) as raised:
        scan_daisee(root, load_card("daisee"))
    one_line(raised, "no TrainLabels.csv", "--from", "DataSet and Labels")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda root: write(root / "Labels/TestLabels.csv", HEADER, "500044101.avi,3,4,0,0"),
            ["TestLabels.csv, line 2", "'4'"],
        ),
        (lambda root: write(root / "Labels/TestLabels.csv", HEADER, "500044101.avi,3"), ["line 2", "is the file complete?"]),
        (
            lambda root: write(root / "Labels/TestLabels.csv", HEADER, "500044101.avi,3,1,0,0", "500044101.avi,3,2,0,0"),
            ["line 3", "clip 500044101", "another level"],
        ),
        (
            lambda root: write(root / "Labels/TestLabels.csv", "ClipID,Boredom", "500044101.avi,3"),
            ["no column 'Engagement'"],
        ),
        (lambda root: write_video(root / "DataSet/Train/110001/1100011002.mp4.avi".replace(".mp4", "")), ["same clip"]),
        (lambda root: (root / "copy/DataSet/Test").mkdir(parents=True), []),
        (lambda root: (root / "copy/Test").mkdir(parents=True), ["holds both", "one copy"]),
    ],
)
def test_daisee_mistakes_are_refused(tmp_path: Path, spoil: Callable[[Path], object], words: list[str]) -> None:
    root = daisee_tree(tmp_path / "DAiSEE")
    spoil(root)
    if not words:  # an empty copy further down is not reached
        assert scan_daisee(root, load_card("daisee")).found
        return
    with pytest.raises(DataError) as raised:
        scan_daisee(root, load_card("daisee"))
    one_line(raised, *words)


def test_daisee_face_crops_lose_people(tmp_path: Path) -> None:
    root = tmp_path / "repack"
    pictures(root, ["train_5358/2_2095.jpg", "train_5358/0_1.jpg", "val_1429/3_1.JPG", "test_1630/1_20_4.jpg", "figure.png"])
    write(root / "TrainLabels.csv", HEADER, "1100011002.avi,0,2,0,0")
    junk(root)
    scan = scan_daisee(tmp_path, load_card("daisee"))
    assert {sample: (i.label, i.subject, i.sequence, i.frame, i.split) for sample, i in by_sample(scan).items()} == {
        "train_2_2095": ("engagement-high", "", "", 0, "train"),
        "train_0_1": ("engagement-very-low", "", "", 0, "train"),
        "val_3_1": ("engagement-very-high", "", "", 0, "val"),
        "test_1_20_4": ("engagement-low", "", "test_20", 4, "test"),
    }
    assert (scan.counts, scan.skipped) == ({}, {"image outside the parts": ["repack/figure.png"]})
    everything_is_accounted_for(tmp_path, scan)
    picture(root / "train_5358" / "4_1.jpg")
    with pytest.raises(DataError) as raised:
        scan_daisee(tmp_path, load_card("daisee"))
    one_line(raised, "4_1.jpg", "unknown class '4'")
    (root / "train_5358" / "4_1.jpg").rename(root / "train_5358" / "high.jpg")
    with pytest.raises(DataError) as raised:
        scan_daisee(tmp_path, load_card("daisee"))
    one_line(raised, "high.jpg", "<engagement 0..3>_<number>.jpg")


# OL-SFED

FEELINGS = {
    "confusion": "confused",
    "distraction": "distracted",
    "enjoyment": "happy",
    "fatigue": "tired",
    "neutral": "neutral",
}


def test_olsfed_class_folders(tmp_path: Path) -> None:
    pictures(tmp_path, [f"OL-SFED/{word.capitalize()}/clip_1/{n}.jpg" for word in FEELINGS for n in (1, 2)])
    junk(tmp_path)
    scan = scan_olsfed(tmp_path, load_card("olsfed"))
    assert {i.sample.split("/")[0].lower(): i.label for i in scan.found} == FEELINGS
    assert len(scan.found) == 10
    assert {(i.subject, i.split) for i in scan.found} == {("", "none")}
    everything_is_accounted_for(tmp_path, scan)


def test_olsfed_table_with_students(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{word}.jpg" for word in FEELINGS])
    write(tmp_path / "list.csv", "file,label,subject", *(f"{word}.jpg,{word},s{n}" for n, word in enumerate(FEELINGS)))
    scan = scan_olsfed(tmp_path / "list.csv", load_card("olsfed"))
    assert {i.subject: i.label for i in scan.found} == {f"s{n}": label for n, label in enumerate(FEELINGS.values())}


@pytest.mark.parametrize(
    "names", [["0/a.jpg", "1/a.jpg"], ["confusion/a.jpg", "3/a.jpg"], ["confusion/a.jpg", "bored/b.jpg"]]
)
def test_olsfed_other_classes_are_refused(tmp_path: Path, names: list[str]) -> None:
    pictures(tmp_path, names)
    with pytest.raises(DataError) as raised:
        scan_olsfed(tmp_path, load_card("olsfed"))
    one_line(raised, str(tmp_path), "confusion")
