"""Posed portraits: FEI, KDEF, JAFFE; fake trees in their layouts, traps included."""

from collections import Counter
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_cli.data.build import build_set
from fer_cli.data.cards import load_card
from fer_cli.data.compare import differences
from fer_cli.data.importers import IMPORTERS
from fer_cli.data.importers.found import IMAGE_SUFFIXES, Scan
from fer_cli.data.importers.walk import below, files_below
from fer_cli.errors import DataError

PICTURE = cv2.imencode(".png", np.arange(144, dtype=np.uint8).reshape(12, 12))[1].tobytes()


def put(root: Path, *names: str) -> Path:
    """Write a tiny picture at each path below ``root``; what it is encoded as does not depend on its suffix."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PICTURE)
    return root


def scan(name: str, source: Path) -> Scan:
    """Return what the importer of ``name`` finds in ``source``."""
    return IMPORTERS[name](source, load_card(name))


def accounted(source: Path, result: Scan, suffixes: set[str] = IMAGE_SUFFIXES) -> bool:
    """Return whether every file of these suffixes is found or skipped, and none is both."""
    found = {below(source, image.file) for image in result.found}
    skipped = [name for names in result.skipped.values() for name in names]
    every = {below(source, file) for file in files_below(source, suffixes)}
    return found | set(skipped) == every and not found & set(skipped) and len(skipped) == len(set(skipped))


def draw_fei(root: Path, version: str = "frontalimages_manuallyaligned", nested: bool = False) -> Path:
    """Write FEI's 400 frontal pictures as the two zips unpack."""
    for person, letter in product(range(1, 201), "ab"):
        part = f"{version}_part{1 if person <= 100 else 2}"
        put(root, f"{part}/{part}/{person}{letter}.jpg" if nested else f"{part}/{person}{letter}.jpg")
    return root


@pytest.mark.parametrize("nested", [False, True])
def test_fei_agrees_with_its_card(tmp_path: Path, nested: bool) -> None:
    root = draw_fei(tmp_path, nested=nested)
    put(root, "originalimages_part1/1-01.jpg", "originalimages_part1/1-11.jpg", "originalimages_part1/1-12.jpg", "mean.jpg")
    (root / "frontalimages_manuallyaligned_part1" / "._1a.jpg").write_bytes(b"AppleDouble")
    result = scan("fei", root)
    assert differences(load_card("fei"), result.counts, result.found) == []
    assert {f.sample: (f.label, f.subject) for f in result.found if f.subject == "007"} == {
        "007a": ("neutral", "007"),
        "007b": ("happy", "007"),
    }
    assert {reason: len(names) for reason, names in result.skipped.items()} == {
        "original shot with undocumented expression": 3,
        "not an FEI file name": 1,
    }
    assert accounted(root, result)


def test_fei_merged_parts_and_letter_folders(tmp_path: Path) -> None:
    put(tmp_path, "frontal/a/1a.JPG", "frontal/b/1b.jpg", "frontal/b/200b.jpg")
    assert [(f.sample, f.label) for f in scan("fei", tmp_path).found] == [
        ("001a", "neutral"),
        ("001b", "happy"),
        ("200b", "happy"),
    ]


def test_fei_originals_alone_hold_nothing_known(tmp_path: Path) -> None:
    put(tmp_path, "1-01.jpg", "1-11.jpg")
    assert scan("fei", tmp_path).found == []
    with pytest.raises(DataError, match=r"contains no images; .*2 original shot with undocumented expression"):
        build_set("fei", tmp_path, tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["frontalimages_manuallyaligned_part1/1a.jpg", "frontalimages_spatiallynormalized_part2/101a.jpg"],
            "two versions of",
        ),
        (["one/frontal_part1/1a.jpg", "two/frontal_part1/1a.jpg"], "the same image is also at"),
        (["frontal/1c.jpg"], "unknown class 'c' for the card of fei"),
        (["frontal/201a.jpg"], "persons 1 to 200"),
        (["smiling/1a.jpg"], "named as neutral, but in the folder of happy"),
    ],
)
def test_fei_refuses_what_it_would_have_to_guess(tmp_path: Path, names: list[str], words: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(DataError, match=words):
        scan("fei", tmp_path)


CLASSES = ("AF", "AN", "DI", "HA", "NE", "SA", "SU")
ANGLES = ("FL", "HL", "S", "HR", "FR")


def kdef_names(angles: tuple[str, ...] = ANGLES, sessions: str = "AB") -> list[str]:
    """Return KDEF's file names in its folders."""
    people = [f"{sex}{n:02d}" for sex in "FM" for n in range(1, 36)]
    return [f"{s}{p}/{s}{p}{c}{a}.JPG" for s, p, c, a in product(sessions, people, CLASSES, angles)]


def test_whole_kdef_agrees_with_its_card(tmp_path: Path) -> None:
    put(tmp_path, *(f"KDEF_and_AKDEF/KDEF/{name}" for name in kdef_names()))
    put(tmp_path, "KDEF_and_AKDEF/AKDEF/FAFFL.JPG", "KDEF_and_AKDEF/AKDEF/MSUS.JPG", "KDEF_and_AKDEF/cover.jpg")
    (tmp_path / "KDEF_and_AKDEF/KDEF/AF01/._AF01ANS.JPG").write_bytes(b"AppleDouble")
    result = scan("kdef", tmp_path)
    assert result.counts is None
    assert differences(load_card("kdef"), result.counts, result.found) == []
    assert len(result.skipped["average face (AKDEF)"]) == 2
    assert accounted(tmp_path, result)
    by_name = {f.sample: f for f in result.found}
    assert by_name["AF01AFS"].label == "fear"
    one = by_name["BM35SUHR"]
    assert (one.label, one.subject, one.sequence, one.frame) == ("surprise", "M35", "BM35SU", 45)
    assert {f.subject for f in result.found if f.sample[1:4] == "F01"} == {"F01"}
    assert {f.frame: f.sample for f in result.found if f.sequence == "AF01HA"} == {
        -90: "AF01HAFL",
        -45: "AF01HAHL",
        0: "AF01HAS",
        45: "AF01HAHR",
        90: "AF01HAFR",
    }


@pytest.mark.parametrize(("sessions", "each"), [("AB", 140), ("A", 70)])
def test_frontal_kdef_is_expected_whole_too(tmp_path: Path, sessions: str, each: int) -> None:
    put(tmp_path, *(name.split("/")[1].lower().replace(".jpg", ".png") for name in kdef_names(("S",), sessions)))
    result = scan("kdef", tmp_path)
    assert result.counts == dict.fromkeys(load_card("kdef").classes, each)
    assert Counter(f.label for f in result.found) == result.counts
    assert {f.frame for f in result.found} == {0}
    assert "frontal" in result.layout


def test_kdef_cut_names_are_skipped_and_missed_where_they_belong(tmp_path: Path) -> None:
    put(tmp_path, *kdef_names())
    (tmp_path / "AF31" / "AF31HAHL.JPG").rename(tmp_path / "AF31" / "AF31V.JPG")
    (tmp_path / "AM31" / "AM31HAHL.JPG").rename(tmp_path / "AM31" / "AM31H.JPG")
    result = scan("kdef", tmp_path)
    assert result.skipped == {"truncated name": ["AF31/AF31V.JPG", "AM31/AM31H.JPG"]}
    assert result.counts == dict.fromkeys(load_card("kdef").classes, 700) | {"happy": 698}
    assert differences(load_card("kdef"), result.counts, result.found) == []
    (tmp_path / "AF31" / "AF31ANS.JPG").unlink()
    assert scan("kdef", tmp_path).counts == {}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["AF01XXS.JPG"], "unknown class 'XX' for the card of kdef"),
        (["AF36ANS.JPG"], "no F36"),
        (["happy/AF01ANS.JPG"], "named as angry, but in the folder of happy"),
        (["one/AF01ANS.JPG", "two/AF01ANS.JPG"], "the same image is also at"),
    ],
)
def test_kdef_refuses_what_it_would_have_to_guess(tmp_path: Path, names: list[str], words: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(DataError, match=words):
        scan("kdef", tmp_path)


def test_kdef_in_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "Afraid/AF01AFS.JPG", "angry/bm02anhl.jpeg")
    result = scan("kdef", tmp_path)
    assert [(f.sample, f.label, f.frame) for f in result.found] == [("AF01AFS", "fear", 0), ("BM02ANHL", "angry", -45)]


JAFFE = {"AN": 30, "DI": 29, "FE": 32, "HA": 31, "NE": 30, "SA": 31, "SU": 30}
WOMEN = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")


def jaffe_names() -> list[str]:
    """Return 213 names of ten women with JAFFE's numbers per class."""
    images = [(code, i) for code, number in JAFFE.items() for i in range(number)]
    return [f"{WOMEN[i % 10]}.{code}{i // 10 + 1}.{serial}" for serial, (code, i) in enumerate(images, 1)]


def test_whole_jaffe_agrees_with_its_card(tmp_path: Path) -> None:
    root = put(tmp_path / "jaffedbase", *(f"{name}.tiff" for name in jaffe_names()))
    (root / "._KA.AN1.1.tiff").write_bytes(b"AppleDouble")
    (root / "README").write_text("# HAP SAD SUR ANG DIS FEA PIC")
    result = scan("jaffe", tmp_path)
    assert differences(load_card("jaffe"), result.counts, result.found) == []
    first = result.found[0]
    assert (first.sample, first.label, first.subject, first.sequence, first.frame) == ("KA.AN1.1", "angry", "KA", "", 1)
    assert accounted(tmp_path, result)


def test_jaffe_palette_pictures_are_read_by_their_colours(tmp_path: Path) -> None:
    grey = Image.fromarray(np.repeat(np.linspace(250, 10, 96).astype(np.uint8)[None], 96, axis=0))
    palette = grey.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    assert palette.mode == "P"
    (tmp_path / "jaffe").mkdir()
    grey.save(tmp_path / "jaffe" / "KA.AN1.39.tiff")
    palette.save(tmp_path / "jaffe" / "KA.AN2.40.tiff")
    build_set("jaffe", tmp_path / "jaffe", tmp_path / "data", allow_incomplete=True)
    images = np.load(tmp_path / "data" / "jaffe" / "images.npy", allow_pickle=False).astype(int)
    assert np.abs(images[0] - images[1]).max() <= 4


def test_jaffe_in_class_folders_keeps_names_or_loses_people(tmp_path: Path) -> None:
    put(tmp_path / "kept", "jaffe/an/KA.AN1.39.tiff.png", "jaffe/di/KA.DI1.42.tiff.png", "jaffe/other.png")
    kept = scan("jaffe", tmp_path / "kept")
    assert [(f.sample, f.label, f.subject) for f in kept.found] == [
        ("KA.AN1.39", "angry", "KA"),
        ("KA.DI1.42", "disgust", "KA"),
    ]
    assert kept.skipped == {"not a JAFFE file name": ["jaffe/other.png"]}
    put(tmp_path / "lost", "ANGRY/angry1.jpg", "HAPPY/happy1.jpg", "HAPPY/old/happy2.jpg")
    lost = scan("jaffe", tmp_path / "lost")
    assert [(f.sample, f.label, f.subject) for f in lost.found] == [
        ("angry_angry1", "angry", ""),
        ("happy_happy1", "happy", ""),
    ]
    assert (lost.counts, accounted(tmp_path / "lost", lost)) == ({}, True)
    assert "subjects lost" in lost.layout


def test_jaffe_table(tmp_path: Path) -> None:
    table = tmp_path / "jaffe_pixels.csv"
    header, cells = "emotion,pixels,Usage", " ".join(["7"] * 16)
    table.write_text(f"{header}\n0,{cells},Training\n{header}\n6,{cells},Training")
    result = scan("jaffe", tmp_path)
    assert [(f.sample, f.label, f.subject, f.pixels) for f in result.found] == [
        ("line000002", "angry", "", b"\x07" * 16),
        ("line000004", "neutral", "", b"\x07" * 16),
    ]
    table.write_text(f"{header}\n7,{cells},Training")
    with pytest.raises(DataError, match="line 2: unknown class '7' for the card of jaffe"):
        scan("jaffe", table)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["KA.XX1.39.tiff"], "unknown class 'XX' for the card of jaffe"),
        (["ha/KA.AN1.39.tiff"], "named as angry, but in the folder of happy"),
        (["one/KA.AN1.39.tiff", "two/KA.AN1.39.tiff"], "the same image is also at"),
        (["ANGRY/angry1.jpg", "HAPY/happy1.jpg"], "HAPY: unknown class folder .*did you mean happy"),
        (["0/a.png", "1/b.png"], "contains no jaffe; looked for"),
    ],
)
def test_jaffe_refuses_what_it_would_have_to_guess(tmp_path: Path, names: list[str], words: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(DataError, match=words):
        scan("jaffe", tmp_path)
