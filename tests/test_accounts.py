"""Every file below a source is read, left out for a reason, or counted."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image, features

from fer_cli.data.build import build_own, build_set
from fer_cli.data.cards import load_card
from fer_cli.data.check import check_set, left_out_table
from fer_cli.data.formats import HEAD, IMAGE_SUFFIXES, PLAIN, UNREAD, VIDEO_SUFFIXES, kind_of
from fer_cli.data.importers.accounts import FILM, LINK, PICTURE, accounts
from fer_cli.data.importers.expw import scan_expw
from fer_cli.data.manifest import SetInfo, load_set
from fer_cli.errors import DataError
from tests.conftest import Called, draw_face

Fer = Callable[..., Called]
HEIC = b"\0\0\0\x18ftypheic" + bytes(64)
NOT_READ = "unsupported format; convert it to PNG or JPEG"


def faces(root: Path) -> Path:
    for folder, drawn in (("happy", "happy"), ("sad", "sadness")):
        (root / folder).mkdir(parents=True)
        for person in (1, 2):
            assert cv2.imwrite(str(root / folder / f"p{person}.png"), draw_face(drawn, person, 1))
    return root


def sum_of(info: SetInfo) -> dict[str, int]:
    """The last row of the table, once it is known that every row adds up."""
    table = left_out_table(info)
    assert (table["in"] == table.drop(columns=["class", "in"]).sum(axis=1)).all()
    return {str(name): int(n) for name, n in table.iloc[-1].drop("class").items()}


def files_of(root: Path) -> int:
    return sum(path.is_file() and not path.is_symlink() for path in root.rglob("*"))


# --- files -------------------------------------------------------------------------------------------------------


def test_pictures_of_every_suffix_are_read_or_listed(fer: Fer, tmp_path: Path) -> None:
    """Case 05: five of nine pictures had another suffix, and vanished."""
    source = faces(tmp_path / "src")
    picture = Image.fromarray(draw_face("happy", 7, 1))
    picture.save(source / "happy" / "a.jfif", format="JPEG")
    picture.save(source / "happy" / "b.pgm")
    picture.convert("RGB").save(source / "happy" / "c.ppm")
    picture.save(source / "happy" / "d.gif")
    (source / "happy" / "e.heic").write_bytes(HEIC)
    called = fer("data", "build", "x05", "--from", source, "--layout", "folder", "--data-root", tmp_path / "data")
    assert called.code == 0, called.err
    assert "in 9, kept 8, no face 0, unreadable 0, duplicate 0, left out 1;" in called.err
    assert f"left out, HEIC, {NOT_READ}: 1, e.g. happy/e.heic" in called.err
    built = load_set(tmp_path / "data", "x05")
    assert sum_of(built.info) == {"in": 9, "kept": 8, "no face": 0, "unreadable": 0, "duplicate": 0, "left out": 1}
    assert built.info.skipped == {f"HEIC, {NOT_READ}": ["happy/e.heic"]}
    gone = pd.read_csv(tmp_path / "data" / "x05" / "left_out.csv").iloc[0]
    assert (gone["file"], gone["status"], gone["reason"]) == ("happy/e.heic", "left out", f"HEIC, {NOT_READ}")
    place = {Path(file).name: number for number, file in enumerate(built.manifest["file"])}
    for lossless in ("b.pgm", "c.ppm"):
        assert np.array_equal(built.images.packed[place[lossless]], built.images.packed[place["d.gif"]])


def test_nothing_below_a_source_is_without_account(tmp_path: Path) -> None:
    source = faces(tmp_path / "src")
    good = (source / "happy" / "p1.png").read_bytes()
    (source / "happy" / "named").write_bytes(good)
    (source / "happy" / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(20))
    (source / "happy" / "film.webm").write_bytes(b"\x1aE\xdf\xa3" + bytes(20))
    (source / "apart.png").write_bytes(good)
    (source / "notes.txt").write_text("P5 64 is no picture\n")
    (source / "sad" / "list.csv").write_text("a,b\n")
    (source / "LICENCE").write_text("free\n")
    (source / "sad" / ".DS_Store").write_bytes(b"x")
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX" / "._p1.png").write_bytes(b"x")
    info = build_own("mine", source, "folder", None, tmp_path / "data")
    assert info.skipped == {
        "image outside the class folders": ["apart.png"],
        FILM: ["happy/film.mp4"],
        f"WebM, {NOT_READ}": ["happy/film.webm"],
        "PNG content without a matching suffix; rename the file": ["happy/named"],
    }
    assert info.others == {".csv": 1, ".txt": 1, "hidden or system files": 2, "without suffix": 1}
    counted = sum_of(info)
    assert counted["in"] == counted["kept"] + counted["left out"] == 8
    assert counted["in"] + sum(info.others.values()) == files_of(source)


def test_the_sums_hold_for_a_card_and_check_finds_nothing_new(fer: Fer, faces_folder: Path, tmp_path: Path) -> None:
    source, root = tmp_path / "src", tmp_path / "data"
    shutil.copytree(faces_folder, source)
    (source / "happy" / "more").mkdir()
    shutil.copy(next((source / "fear").glob("*.png")), source / "happy" / "more" / "x.png")
    (source / "happy" / "e.avifs").write_bytes(b"x")
    (source / "read.me").write_text("text")
    info = build_set("ck48", source, root, allow_incomplete=True)
    assert info.skipped == {PICTURE: ["happy/more/x.png"], f"AVIF, {NOT_READ}": ["happy/e.avifs"]}
    assert (sum_of(info)["in"] + sum(info.others.values()), info.others) == (files_of(source), {".me": 1})
    assert all(problem.startswith("differs from the card") for problem in check_set(root, "ck48", source).problems)
    assert (
        "other files: 1 .me" in fer("data", "build", "ck48", "--from", source, "--data-root", root, "--allow-incomplete").err
    )


def test_a_row_of_a_table_may_name_a_format_that_is_not_read(tmp_path: Path) -> None:
    source = faces(tmp_path / "src")
    (source / "e.heic").write_bytes(HEIC)
    rows = [f"{folder}/p{person}.png,{folder}" for folder in ("happy", "sad") for person in (1, 2)]
    (source / "list.csv").write_text("\n".join(["file,label", *rows, "e.heic,sad"]) + "\n")
    info = build_own("mine", source, "csv", None, tmp_path / "data")
    assert info.skipped == {f"HEIC, {NOT_READ}": ["e.heic"]}
    assert (sum_of(info)["in"], info.others) == (5, {".csv": 1})


def test_suffixes_are_of_one_kind() -> None:
    kinds = [IMAGE_SUFFIXES, VIDEO_SUFFIXES, set(UNREAD), PLAIN]
    assert len(set.union(*kinds)) == sum(map(len, kinds))
    assert (".avif" in IMAGE_SUFFIXES) == features.check("avif")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WebP", "PPM"])
def test_first_bytes_tell_the_format(format: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, format=format)
    assert kind_of(stream.getvalue()[:HEAD]) == {"PPM": "PNM"}.get(format, format)
    assert kind_of(b"BMW and P5 are no pictures, nor is RIFF") is None


# --- links -------------------------------------------------------------------------------------------------------


def test_links_that_lead_out_are_listed_and_not_read(tmp_path: Path) -> None:
    outside = faces(tmp_path / "outside")
    cv2.imwrite(str(outside / "happy" / "secret.png"), draw_face("happy", 9, 1))
    source = faces(tmp_path / "src")
    (source / "happy" / "file.png").symlink_to(outside / "happy" / "secret.png")
    (source / "happy" / "folder").symlink_to(outside / "happy")
    (source / "fear").symlink_to(outside / "sad")
    (source / "pool").mkdir()
    shutil.move(source / "sad" / "p2.png", source / "pool" / "p2.png")
    (source / "sad" / "p2.png").symlink_to("../pool/p2.png")
    info = build_own("mine", source, "folder", None, tmp_path / "data", allow_incomplete=True)
    assert info.skipped[LINK] == ["fear", "happy/file.png", "happy/folder"]
    assert info.counts == {"happy": 2, "sad": 2, "pool": 1}


def test_links_out_are_listed_for_sets_with_a_card(faces_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(faces_folder, source)
    shutil.move(source / "happy", tmp_path / "happy")
    (source / "happy").symlink_to(tmp_path / "happy")
    one = next((source / "fear").glob("*.png"))
    shutil.move(one, tmp_path / one.name)
    one.symlink_to(tmp_path / one.name)
    info = build_set("ck48", source, tmp_path / "data", allow_incomplete=True)
    assert info.skipped == {LINK: [f"fear/{one.name}", "happy"]}
    assert info.counts["happy"] == 0
    assert sum_of(info)["kept"] == files_of(source)


def test_a_table_behind_a_link_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n0,1 2 3 4,Training\n")
    (tmp_path / "src" / "fer2013.csv").symlink_to(tmp_path / "fer2013.csv")
    with pytest.raises(DataError, match=r"; fer2013\.csv is a link out of the folder, which is not followed"):
        build_set("fer2013", tmp_path / "src", tmp_path / "data")


def test_links_of_a_source_that_is_itself_a_link(tmp_path: Path) -> None:
    faces(tmp_path / "real")
    (tmp_path / "src").symlink_to(tmp_path / "real")
    info = build_own("mine", tmp_path / "src", "folder", None, tmp_path / "data")
    assert (info.kept, info.skipped) == (4, {})


def test_a_photograph_whose_faces_have_no_area_is_listed_once(tmp_path: Path) -> None:
    lines = ["a_1.png 0 5 5 45 45 30.5 3", "b_1.png 0 5 5 45 45 30.5 4", "c_1.png 0 9 9 9 5 30.5 6"]
    for line in lines:
        cv2.imwrite(str(tmp_path / line.split()[0]), draw_face("happy", 1, 1))
    (tmp_path / "label.lst").write_text("\n".join(lines))
    scan = accounts(tmp_path, scan_expw(tmp_path, load_card("expw")))
    assert scan.skipped == {"empty box": ["c_1.png, face 0"]}
    assert (len(scan.found), scan.others) == (2, {".lst": 1})
