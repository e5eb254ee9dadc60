"""Importers of data without a card: class folders and tables of one's own, with their traps."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from fer_cli.data.build import Choices, build_own
from fer_cli.data.cards import Card
from fer_cli.data.check import check_set
from fer_cli.data.importers.folder import card_from_folder, scan_folder
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.table import card_from_table, scan_table
from fer_cli.errors import DataError
from tests.trees import by_sample, everything_is_accounted_for, junk, one_line, picture, pictures, write

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
        ("(?P<subject>p[", ["not a regular expression", "(?P<subject>p["]),
        (r"p\d", ["needs a group named subject"]),
        (r"(?P<subjekt>p\d)", ["unknown group 'subjekt'", "did you mean subject"]),
        (r"(?P<subject>q\d)", ["finds no subject in 'happy/p1.jpg'"]),
        (r"/(?P<subject>p)(?P<frame>.*)", ["gives '1.jpg' as frame number"]),
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
        (["0/a.jpg", "1/a.jpg"], ["class folder 0, 1:", "a number does not identify", "--codes 0=NAME,1=NAME"]),
        (
            ["train/happy/a.jpg", "train/class_1/a.jpg"],
            ["class folder class_1:", "a number does not identify", "--codes class_1=NAME"],
        ),
        (["happy/a.jpg"], ["found happy; at least two classes"]),
        (["a.jpg"], ["contains no class folders", "--layout folder takes"]),
        (["train/a.jpg", "test/b.jpg"], ["no class folders in", "--layout csv"]),
        (["s01/happy/a.jpg", "s02/sad/a.jpg"], ["class folders are below s01", "--label '(?P<subject>[^/]+)/(?P<label>"]),
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
    one_line(raised, "unknown class '0'", "known: 1, 2")


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
        "a/1.jpg,angry,p2,,,train,0,0,9,9.5,the other face",
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
        "a/1.jpg@0,0,9,9.5": ("angry", "p2", "", 0, "train", (0.0, 0.0, 9.0, 9.5)),
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
        (["file,label", "a.jpg,sad", "list.csv,happy"], ["line 3", "list.csv is not an image"]),
        (["file,label", "a.jpg,sad", "b.jpg,happy", "./a.jpg,sad"], ["line 4", "duplicates line 2"]),
        (["file,label", "a.jpg,3", "b.jpg,0"], ["label 0, 3:", "a number does not identify", "--codes 0=NAME,3=NAME"]),
        (["file,label", "a.jpg,sad", "b.jpg,sadness"], ["found sad; at least two classes"]),
        (["file,label", "a.jpg,", "b.jpg,"], ["no row with a label"]),
        (["image,label", "a.jpg,sad"], ["no column 'file'", "image, label"]),
        (["file,label,Subject", "a.jpg,sad,1", "b.jpg,happy,1"], ["column 'Subject'", "name it subject"]),
        (["file,label,left,top", "a.jpg,sad,1,2", "b.jpg,happy,1,2"], ["no column 'right'"]),
        (["file,label,left,top,right,bottom", "a.jpg,sad,9,2,1,8", "b.jpg,happy,,,,"], ["line 2", "is empty"]),
        (["file,label,left,top,right,bottom", "a.jpg,sad,1,2,nan,8", "b.jpg,happy,,,,"], ["line 2", "is empty"]),
        (["file,label,left,top,right,bottom", "a.jpg,sad,1,2,,8", "b.jpg,happy,,,,"], ["line 2", "not four numbers"]),
        (["file,label,split", "a.jpg,sad,trian", "b.jpg,happy,test"], ["unknown part 'trian'", "did you mean train"]),
        (["file,label,frame", "a.jpg,sad,-1", "b.jpg,happy,1"], ["line 2", "frame '-1'"]),
        (
            ["file,label,subject,sequence", "a.jpg,sad,p1,1", "b.jpg,happy,p2,1"],
            ["line 3", "sequence '1' belongs to subjects 'p1' and 'p2'"],
        ),
        (["file,label", "a.jpg,sad", "b.jpg"], ["line 3", "1 cells"]),
        (["file,label, label", "a.jpg,sad,happy", "b.jpg,happy,sad"], ["list.csv: two columns are named 'label'"]),
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
    with pytest.raises(DataError, match="contains no csv; --layout csv takes a table"):
        card_from_table("mine", tmp_path)
    for name in ("train.csv", "test.csv"):
        write(tmp_path / name, "file,label", "a.jpg,happy")
    with pytest.raises(DataError, match=r"contains both test\.csv and train\.csv"):
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


def test_of_two_faces_in_one_photograph_none_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_cli.data.pack.CHUNK", 1)
    root = pictures(tmp_path / "set", ["a.png", "c.png"])
    (root / "b.png").write_bytes((root / "a.png").read_bytes())
    boxes = {"a": ("0,0,9,9", "3,3,12,12"), "b": ("0,0,9,9", "3,3,12,12"), "c": ("0,0,9,9", "40,0,49,9", "50,0,59,9")}
    rows = [
        f"{file}.png,{label},{box}"
        for file, own in boxes.items()
        for label, box in zip(("happy", "sad", "sad"), own, strict=False)
    ]
    write(root / "list.csv", "file,label,left,top,right,bottom", *rows)

    def breaking(items: Iterable[None], total: int) -> Iterator[None]:
        yield from islice(items, 1)
        raise KeyboardInterrupt

    choices = Choices(drop_duplicates=True)
    with pytest.raises(KeyboardInterrupt):
        build_own("mine", root, "csv", None, tmp_path / "data", True, choices, breaking)
    info = build_own("mine", root, "csv", None, tmp_path / "data", True, choices)
    assert (info.found, info.kept, info.counts) == (7, 3, {"happy": 2, "sad": 1})
    assert info.duplicates == ["b.png [b.png@0,0,9,9]", "b.png [b.png@3,3,12,12]"]
    assert list(info.unreadable) == ["c.png [c.png@40,0,49,9]", "c.png [c.png@50,0,59,9]"]
    assert check_set(tmp_path / "data", "mine", root).problems == []
