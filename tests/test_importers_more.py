"""IMFDB, DAiSEE, OL-SFED, and data without a card: right names and groups, everything accounted for, or one clear line."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_cli.data.build import build_own, build_set
from fer_cli.data.cards import Card, load_card
from fer_cli.data.importers.daisee import FRAMES_PER_CLIP, moments, scan_daisee
from fer_cli.data.importers.folder import card_from_folder, scan_folder
from fer_cli.data.importers.found import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Found, Scan, files_below
from fer_cli.data.importers.imfdb import scan_imfdb
from fer_cli.data.importers.olsfed import scan_olsfed
from fer_cli.data.importers.table import card_from_table, scan_table
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from tests.test_video import write_video


def picture(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = np.random.default_rng(level).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(grid).save(path)
    return path


def pictures(root: Path, names: Iterable[str]) -> Path:
    for level, name in enumerate(names):
        picture(root / name, level)
    return root


def junk(root: Path) -> None:
    """Hidden files that archives and systems leave in every folder."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        (folder / "._a.jpg").write_bytes(b"AppleDouble")
        (folder / ".DS_Store").write_bytes(b"x")


def write(path: Path, *lines: str, bom: bool = False) -> Path:
    """Write a text file whose last line has no newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xef\xbb\xbf" * bom + "\n".join(lines).encode())
    return path


def by_sample(scan: Scan) -> dict[str, Found]:
    return {image.sample: image for image in scan.found}


def one_line(raised: pytest.ExceptionInfo[DataError], *words: str) -> None:
    text = str(raised.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def everything_is_accounted_for(source: Path, scan: Scan) -> None:
    there = set(files_below(source, IMAGE_SUFFIXES | VIDEO_SUFFIXES))
    named = {image.file for image in scan.found}
    skipped = {source / name for names in scan.skipped.values() for name in names} & there
    assert there == named | skipped
    assert not named & skipped


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
    film = "AamirKhan/Lagaan"
    assert {sample: (i.label, i.subject, i.sequence, i.frame, i.split) for sample, i in found.items()} == {
        f"{film}/Aamir_1.jpg": ("angry", "AamirKhan", film, 1, "none"),
        f"{film}/Aamir_2.jpg": ("happy", "AamirKhan", film, 2, "none"),
        f"{film}/Aamir_3.JPG": ("neutral", "AamirKhan", film, 3, "none"),
        f"{film}/my face_6.jpg": ("disgust", "AamirKhan", film, 6, "none"),
        "Rekha/Umrao Jaan/Rekha_1.jpg": ("sad", "Rekha", "Rekha/Umrao Jaan", 1, "none"),
    }
    assert {reason: len(files) for reason, files in scan.skipped.items()} == {
        "row that names no image": 1,
        "image whose row has no expression word, or several": 2,
        "missing file": 1,
        "image not in its film's list": 1,
        "image listed with different expressions": 1,
        "film without a list": 1,
        "image outside a film's folder images": 1,
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
    with pytest.raises(DataError, match=r"no images in it.*film without a list"):
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
    one_line(raised, "same image also stands at", "keep one of the two")


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
    one_line(raised, "no imfdb in it")


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
        "video that is not named after a clip": 1,
        "video outside Train, Validation and Test": 1,
        "picture beside the videos": 1,
    }
    assert scan.skipped["label without a clip"] == ["9999991001 (TrainLabels.csv, line 5)"]
    assert scan.skipped["video cannot be opened"][0].endswith("1100021001/1100021001.avi")
    everything_is_accounted_for(tmp_path, scan)


def test_daisee_builds_pictures_from_videos(tmp_path: Path) -> None:
    info = build_set("daisee", daisee_tree(tmp_path / "DAiSEE"), tmp_path / "data")
    assert (info.kept, info.subjects, info.layout) == (11, 3, "clips with label files")
    faces = load_set(tmp_path / "data", "daisee")
    rows = faces.manifest.set_index("sample")
    first, last = (faces.images[list(rows.index).index(f"1100011002_{n:05d}")] for n in (1, 7))
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
        (lambda root: write(root / "Labels/TestLabels.csv", HEADER, "500044101.avi,3"), ["line 2", "is the file whole?"]),
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
    one_line(raised, "4_1.jpg", "class '4' is unknown")
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


# Folders without a card


def own_folder(root: Path, regex: str | None = None) -> tuple[Card, Scan]:
    card = card_from_folder("mine", root)
    return card, scan_folder(root, card, regex)


def test_folders_get_our_names_in_our_order_and_keep_their_own(tmp_path: Path) -> None:
    names = ["Bored/a.jpg", "surprised/a.jpg", "ANGER/sub/a.jpg", "Happiness/a.png", "joy/a.jpg", "loose.jpg"]
    pictures(tmp_path / "download" / "faces", names)
    (tmp_path / "download" / "faces" / "notes").mkdir()
    junk(tmp_path)
    card, scan = own_folder(tmp_path)
    assert card.classes == ["angry", "happy", "surprise", "bored"]
    assert (card.name, card.licence, card.counts) == ("mine", "unknown", {})
    assert {image.sample: image.label for image in scan.found} == {
        "ANGER/sub/a.jpg": "angry",
        "Bored/a.jpg": "bored",
        "Happiness/a.png": "happy",
        "joy/a.jpg": "happy",
        "surprised/a.jpg": "surprise",
    }
    assert scan.skipped == {"image outside the class folders": ["download/faces/loose.jpg"]}
    everything_is_accounted_for(tmp_path, scan)


def test_folders_in_parts_with_a_pattern(tmp_path: Path) -> None:
    names = ["Train/sad/p1_s2_003.jpg", "Train/fearful/p2_s2_001.jpg", "valid/sad/p3_s1_004.jpg", "test/sad/p4_s1_007.jpg"]
    pictures(tmp_path, names)
    card, scan = own_folder(tmp_path, r"(?P<subject>p\d+)_(?P<sequence>s\d+)_(?P<frame>\d+)")
    assert card.classes == ["fear", "sad"]
    assert {(i.label, i.subject, i.sequence, i.frame, i.split) for i in scan.found} == {
        ("sad", "p1", "p1_s2", 3, "train"),
        ("fear", "p2", "p2_s2", 1, "train"),
        ("sad", "p3", "p3_s1", 4, "val"),
        ("sad", "p4", "p4_s1", 7, "test"),
    }
    assert scan.layout == "class folders in train, val, test"
    everything_is_accounted_for(tmp_path, scan)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?P<subject>p[", ["no regular expression", "(?P<subject>p["]),
        (r"p\d", ["no group named subject"]),
        (r"(?P<subjekt>p\d)", ["no such group 'subjekt'", "did you mean subject"]),
        (r"(?P<subject>q\d)", ["finds no subject in 'happy/p1.jpg'"]),
        (r"/(?P<subject>p)(?P<frame>.*)", ["takes '1.jpg' for a frame number"]),
    ],
)
def test_bad_patterns_give_one_line(tmp_path: Path, pattern: str, words: list[str]) -> None:
    pictures(tmp_path, ["happy/p1.jpg", "sad/p1.jpg"])
    with pytest.raises(DataError) as raised:
        own_folder(tmp_path, pattern)
    one_line(raised, *words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["0/a.jpg", "1/a.jpg"], ["class folder '0'", "a number does not say", "code table"]),
        (["train/happy/a.jpg", "train/class_1/a.jpg"], ["class folder 'class_1'", "a number does not say"]),
        (["happy/a.jpg"], ["happy found, at least two classes"]),
        (["a.jpg"], ["no class folders in it", "--layout folder takes"]),
        (["train/a.jpg", "test/b.jpg"], ["no class folders in", "--layout csv"]),
        (["s01/happy/a.jpg", "s02/sad/a.jpg"], ["class folders lie below s01", "class on top"]),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path: Path, names: list[str], words: list[str]) -> None:
    pictures(tmp_path, names)
    with pytest.raises(DataError) as raised:
        own_folder(tmp_path)
    one_line(raised, *words)


def test_a_code_table_in_the_card_reads_numbered_folders_and_refuses_the_number_before_the_first(tmp_path: Path) -> None:
    pictures(tmp_path, ["1/a.jpg", "2/a.jpg", "9/x.jpg"])
    own = card_from_folder("mine", pictures(tmp_path / "other", ["happy/a.jpg", "sad/a.jpg"]))
    card = own.model_copy(update={"folders": {}, "codes": {"1": "happy", "2": "sad"}, "ignored": {"9": "not a face"}})
    (tmp_path / "other").rename(tmp_path / ".other")
    scan = scan_folder(tmp_path, card)
    assert {image.sample: image.label for image in scan.found} == {"1/a.jpg": "happy", "2/a.jpg": "sad"}
    assert scan.skipped == {"not a face": ["9/x.jpg"]}
    picture(tmp_path / "0" / "a.jpg")
    with pytest.raises(DataError) as raised:
        scan_folder(tmp_path, card)
    one_line(raised, "class '0' is unknown", "known: 1, 2")


def test_two_copies_of_class_folders_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, ["one/happy/a.jpg", "one/sad/a.jpg", "two/happy/a.jpg", "two/sad/a.jpg"])
    card = card_from_folder("mine", tmp_path / "one")
    with pytest.raises(DataError) as raised:
        scan_folder(tmp_path, card)
    one_line(raised, "class folders in both", "give --from one of them")


# A table without a card

FULL = "file,label,subject,sequence,frame,split,left,top,right,bottom, note"


def table_tree(root: Path) -> Path:
    pictures(root, ["a/1.jpg", "a/2.jpg", "3.PNG", "4.jpg", "spare.jpg"])
    rows = [
        "a/1.jpg,Happiness,p1,p1_s1,1,Training,1,2,9,10,x",
        "a/1.jpg,angry,p2,,,train,0,0,4,4.5,the other face",
        r'".\a\2.jpg", Confused ,p1,p1_s1,2,test,,,,,',
        "3.PNG,anger,p3,,,,,,,,",
        "4.jpg,,p3,,,,,,,,",
    ]
    write(root / "list.csv", FULL, *rows, bom=True)
    junk(root)
    return root


@pytest.mark.parametrize("source", ["", "list.csv"])
def test_table_rows_become_images(tmp_path: Path, source: str) -> None:
    root = table_tree(tmp_path / "set")
    card = card_from_table("mine", root / source)
    assert card.classes == ["angry", "happy", "confused"]
    scan = scan_table(root / source, card)
    assert {s: (i.label, i.subject, i.sequence, i.frame, i.split, i.box) for s, i in by_sample(scan).items()} == {
        "a/1.jpg@1,2,9,10": ("happy", "p1", "p1_s1", 1, "train", (1.0, 2.0, 9.0, 10.0)),
        "a/1.jpg@0,0,4,4.5": ("angry", "p2", "", 0, "train", (0.0, 0.0, 4.0, 4.5)),
        "a/2.jpg": ("confused", "p1", "p1_s1", 2, "test", None),
        "3.PNG": ("angry", "p3", "", 0, "none", None),
    }
    assert scan.skipped == {"row without a label": ["4.jpg"], "image not in the table": ["spare.jpg"]}
    everything_is_accounted_for(root, scan)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,label", "../secret.jpg,happy", "a.jpg,sad"], ["line 2", "leads out of"]),
        (["file,label", "/etc/passwd,happy", "a.jpg,sad"], ["line 2", "leads out of"]),
        (["file,label", "a.jpg,sad", "b.jpg,happy", "gone.jpg,sad"], ["line 4", "no such file", "gone.jpg"]),
        (["file,label", "a.jpg,sad", "list.csv,happy"], ["line 3", "list.csv is no image"]),
        (["file,label", "a.jpg,sad", "b.jpg,happy", "./a.jpg,sad"], ["line 4", "same image as line 2"]),
        (["file,label", "a.jpg,3", "b.jpg,0"], ["label '0'", "a number does not say"]),
        (["file,label", "a.jpg,sad", "b.jpg,sadness"], ["sad found, at least two classes"]),
        (["file,label", "a.jpg,", "b.jpg,"], ["no row with a label"]),
        (["image,label", "a.jpg,sad"], ["no column 'file'", "image, label"]),
        (["file,label,Subject", "a.jpg,sad,1", "b.jpg,happy,1"], ["column 'Subject'", "name it subject"]),
        (["file,label,left,top", "a.jpg,sad,1,2", "b.jpg,happy,1,2"], ["no column 'right'"]),
        (["file,label,left,top,right,bottom", "a.jpg,sad,9,2,1,8", "b.jpg,happy,,,,"], ["line 2", "has no area"]),
        (["file,label,left,top,right,bottom", "a.jpg,sad,1,2,nan,8", "b.jpg,happy,,,,"], ["line 2", "has no area"]),
        (["file,label,left,top,right,bottom", "a.jpg,sad,1,2,,8", "b.jpg,happy,,,,"], ["line 2", "not four numbers"]),
        (["file,label,split", "a.jpg,sad,trian", "b.jpg,happy,test"], ["no such part 'trian'", "did you mean train"]),
        (["file,label,frame", "a.jpg,sad,-1", "b.jpg,happy,1"], ["line 2", "frame '-1'"]),
        (
            ["file,label,subject,sequence", "a.jpg,sad,p1,1", "b.jpg,happy,p2,1"],
            ["line 3", "sequence '1' belongs to subjects 'p1' and 'p2'"],
        ),
        (["file,label", "a.jpg,sad", "b.jpg"], ["line 3", "1 cells"]),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, lines: list[str], words: list[str]) -> None:
    picture(tmp_path / "secret.jpg")
    root = pictures(tmp_path / "set", ["a.jpg", "b.jpg"])
    write(root / "list.csv", *lines)
    with pytest.raises(DataError) as raised:
        scan_table(root, card_from_table("mine", root))
    one_line(raised, *words)


def test_no_table_and_two_tables(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="no csv; --layout csv takes a table"):
        card_from_table("mine", tmp_path)
    for name in ("train.csv", "test.csv"):
        write(tmp_path / name, "file,label", "a.jpg,happy")
    with pytest.raises(DataError, match=r"holds both test\.csv and train\.csv"):
        card_from_table("mine", tmp_path)


def test_a_label_that_the_card_ignores_is_skipped_with_its_reason(tmp_path: Path) -> None:
    pictures(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    write(tmp_path / "list.csv", "file,label", "a.jpg,happy", "b.jpg,sad")
    card = card_from_table("mine", tmp_path).model_copy(update={"ignored": {"NF": "not a face"}})
    write(tmp_path / "list.csv", "file,label", "a.jpg,happy", "b.jpg,sad", "c.jpg,nf")
    assert scan_table(tmp_path, card).skipped == {"not a face": ["c.jpg"]}


def test_own_sets_build(tmp_path: Path) -> None:
    folders = pictures(tmp_path / "faces", ["happy/p1_1.jpg", "bored/p2_1.jpg", "sad/p1_2.jpg"])
    info = build_own("mine", folders, "folder", r"/(?P<subject>p\d)_", tmp_path / "data")
    assert (info.classes, info.kept, info.subjects) == (["happy", "sad", "bored"], 3, 2)
    assert build_own("listed", table_tree(tmp_path / "set"), "csv", None, tmp_path / "data").kept == 4
    assert build_own("file", tmp_path / "set" / "list.csv", "csv", None, tmp_path / "data").kept == 4
