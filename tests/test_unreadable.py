"""One bad file, one bad line: damaged tags lose no picture, and what is no picture is listed together with the reason."""

import io
import os
import re
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer_cli.data.build import build_own
from fer_cli.data.cards import load_card
from fer_cli.data.check import check_set
from fer_cli.data.decode import open_image
from fer_cli.data.files import readable_name, shorten
from fer_cli.data.importers.found import inside
from fer_cli.data.importers.walk import files_below
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from tests.conftest import Called, draw_face

Fer = Callable[..., Called]
ORIENTATION, RESOLUTION, SUBDIRECTORY, GPS = 0x0112, 0x011A, 0x8769, 0x8825
QUARTER = (ORIENTATION, 3, 1, 6)
"""Turn a quarter to the right to see it upright."""


def exif(*entries: tuple[int, int, int, int], rest: bytes = b"", cut: int | None = None) -> bytes:
    """Return an EXIF block of these entries (tag, type, count, value or offset); ``rest`` begins at 10 + 12 x entries."""
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    block = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0) + rest
    return b"Exif\0\0" + block[:cut]


DAMAGED = {
    "none": exif(QUARTER),
    "denominator of zero": exif(QUARTER, (RESOLUTION, 5, 1, 38), rest=struct.pack("<II", 72, 0)),
    "sign and denominator of zero": exif(QUARTER, (RESOLUTION, 10, 1, 38), rest=struct.pack("<ii", -1, 0)),
    "value beyond the end": exif(QUARTER, (RESOLUTION, 5, 1, 0xFFFFFF)),
    "absurd count": exif(QUARTER, (RESOLUTION, 5, 0xFFFFFFF0, 38)),
    "unknown type": exif(QUARTER, (RESOLUTION, 99, 1, 38)),
    "cut short": exif(QUARTER, (RESOLUTION, 5, 1, 38), cut=30),
    "directory in itself": exif(QUARTER, (SUBDIRECTORY, 4, 1, 8)),
    "directory beyond the end": exif(QUARTER, (SUBDIRECTORY, 4, 1, 0xFFFFFF), (GPS, 4, 1, 0xFFFFFF)),
    "text for a directory": exif(QUARTER, (SUBDIRECTORY, 2, 4, 0x41414141)),
}


def encoded(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def lit(mode: str = "L") -> Image.Image:
    """A picture that is dark on the left."""
    return Image.fromarray(np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))).convert(mode)


def dark_on_top(pixels: np.ndarray) -> bool:
    rows = pixels.reshape(24, 24).mean(1)
    return bool((np.diff(rows) > 0).all())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_tags_lose_neither_picture_nor_orientation(damage: str, format: str) -> None:
    whole = encoded(lit("RGB"), format=format, lossless=True, exif=DAMAGED[damage])
    assert dark_on_top(open_image(whole, "grey"))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0no tags", exif((ORIENTATION, 5, 1, 26), rest=bytes(8))])
def test_tags_that_cannot_be_read_turn_nothing(block: bytes, format: str) -> None:
    pixels = open_image(encoded(lit("RGB"), format=format, lossless=True, exif=block), "grey")
    assert (np.diff(pixels.reshape(24, 24).mean(0)) > 0).all()


def with_segments(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with marker segments of other programs between its head and its picture."""
    content = encoded(lit("RGB"), format="JPEG", exif=exif(QUARTER))
    added = b"".join(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments)
    return content[:2] + added + content[2:]


def with_chunk(kind: bytes, data: bytes, checksum: int = 0) -> bytes:
    """A PNG with an ancillary chunk whose checksum is wrong, and a good EXIF chunk."""
    content = encoded(lit("RGB"), format="PNG", exif=exif(QUARTER))
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return content[:33] + chunk + content[33:]


@pytest.mark.parametrize(
    "content",
    [
        with_segments((0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff")),
        with_segments((0xE2, b"MPF\0II*\0\xff\xff\xff\xff")),
        with_segments((0xE2, b"MPF\0" + exif((0xB001, 4, 1, 3))[6:])),
        with_segments((0xE2, b"ICC_PROFILE\0\x07\x02nothing"), (0xFE, b"\xff\xfe\x00")),
        with_chunk(b"tEXt", b"Comment\0photographed by hand"),
        with_chunk(b"iCCP", b"profile\0\0not compressed", zlib.crc32(b"iCCPprofile\0\0not compressed")),
        with_chunk(b"zTXt", b"Comment\0\0not compressed", zlib.crc32(b"zTXtComment\0\0not compressed")),
        with_chunk(b"pHYs", b"", zlib.crc32(b"pHYs")),
        with_chunk(b"tIME", b"\xff"),
    ],
)
def test_what_stands_beside_the_picture_may_be_damaged(content: bytes) -> None:
    assert dark_on_top(open_image(content, "grey"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "F", "I;16"])
def test_every_mode_of_a_picture_is_read_in_both_colours(mode: str) -> None:
    picture = {
        "I;16": lambda: Image.fromarray(np.asarray(lit(), np.uint16) * 257),
        "F": lambda: Image.fromarray(np.asarray(lit(), np.float32) / 255),
    }.get(mode, lambda: lit("L" if mode == "P" else "RGB").convert(mode))()
    content = encoded(picture, format="TIFF")
    grey, rgb = open_image(content, "grey"), open_image(content, "rgb")
    assert (grey.shape, rgb.shape, grey.dtype, rgb.dtype) == ((24, 24), (24, 24, 3), np.uint8, np.uint8)
    if mode != "1":
        assert np.abs(grey.astype(int) - np.asarray(lit())).max() <= 6, mode


def test_values_that_are_no_number_are_dark() -> None:
    values = np.full((24, 24), 0.5, np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    pixels = open_image(encoded(Image.fromarray(values), format="TIFF"), "grey")
    assert pixels[0, :4].tolist() == [0, 255, 0, 128]


# --- what is no picture ------------------------------------------------------------------------------------------


def folders(root: Path) -> Path:
    for number, folder in enumerate(("happy", "sad")):
        (root / folder).mkdir(parents=True)
        for person in (1, 2):
            assert cv2.imwrite(str(root / folder / f"p{person}.png"), draw_face(("happy", "sadness")[number], person, 1))
    return root


def bound(path: Path) -> None:
    """Put a socket at a path; its name may be longer than the system takes for one."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


PUT = {
    "dangling link": lambda path: path.symlink_to("/nonexistent/a.png"),
    "circular symbolic link": lambda path: path.symlink_to(path.name),
    "a pipe, not a file": os.mkfifo,
    "a device, not a file": lambda path: path.symlink_to("/dev/zero"),
    "a socket, not a file": bound,
    "a folder, not a file": lambda path: path.mkdir(),
    "empty file": lambda path: path.write_bytes(b""),
    "not an image of a known format": lambda path: path.write_bytes(b"text"),
    "4 x 400 pixels; the minimum is 8 x 8": lambda path: Image.new("L", (4, 400)).save(path),
    "cannot be decoded: ": lambda path: path.write_bytes(encoded(Image.effect_noise((64, 64), 50), format="PNG")[:2000]),
}


@pytest.mark.parametrize("reason", PUT)
@pytest.mark.timeout(120)
def test_what_is_no_picture_is_listed_with_its_reason(fer: Fer, tmp_path: Path, reason: str) -> None:
    source = folders(tmp_path / "src")
    PUT[reason](source / "happy" / "gone.png")
    build = ["data", "build", "mine", "--from", source, "--layout", "folder", "--data-root", tmp_path / "data"]
    called = fer(*build)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert called.err.startswith(f"error: 1 of 5 images in {source} cannot be read: happy/gone.png ({reason}")
    assert called.err.endswith("pass --allow-incomplete to build without them\n")
    assert not (tmp_path / "data").exists()
    called = fer(*build, "--allow-incomplete")
    assert called.code == 0, called.err
    assert "in 5, kept 4, no face 0, unreadable 1, duplicate 0, left out 0" in called.err
    assert f"left out, unreadable: happy/gone.png ({reason}" in called.err
    gone = pd.read_csv(tmp_path / "data" / "mine" / "left_out.csv").iloc[0]
    assert (gone["file"], gone["label"], gone["status"]) == ("happy/gone.png", "happy", "unreadable")
    assert gone["reason"].startswith(reason)
    info = load_set(tmp_path / "data", "mine").info
    assert info.unreadable == {"happy/gone.png": gone["reason"]}
    assert (info.found, info.kept, info.left_out) == (5, 4, {"unreadable": {"happy": 1}})


@pytest.mark.timeout(120)
def test_rows_of_a_table_that_name_no_picture_are_listed(fer: Fer, tmp_path: Path) -> None:
    source = folders(tmp_path / "src")
    os.mkfifo(source / "pipe.png")
    (source / "round.png").symlink_to("round.png")
    names = [
        "happy/p1.png",
        "sad/p1.png",
        "gone.png",
        "pipe.png",
        "round.png",
        f"{'x' * 200_000}.png",
        f"{'d/' * 3_000}a.png",
    ]
    lines = [f"{name},{'happy' if number % 2 else 'sad'}" for number, name in enumerate(names)]
    (source / "list.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    build = ["data", "build", "mine", "--from", source, "--layout", "csv", "--data-root", tmp_path / "data"]
    called = fer(*build)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "5 of 7 images" in called.err
    assert len(called.err) < 1500  # names are cut
    called = fer(*build, "--allow-incomplete")
    assert called.code == 0 and len(called.err) < 3000
    gone = pd.read_csv(tmp_path / "data" / "mine" / "left_out.csv")
    gone = gone[gone["status"] == "unreadable"]
    assert sorted(gone["reason"]) == [
        "a path too long for the file system",
        "a path too long for the file system",
        "a pipe, not a file",
        "circular symbolic link",
        "no such file",
    ]
    assert set(gone["file"]) == set(names[2:])  # whole, whatever their length


def test_names_are_cut_to_their_end_in_messages() -> None:
    assert shorten("happy/a.png") == "happy/a.png"
    assert shorten("x" * 200 + "/a.png") == "..." + "x" * 74 + "/a.png"


@pytest.mark.parametrize("error", [struct.error("unpack"), KeyError("x"), RuntimeError(), MemoryError()])
def test_whatever_a_decoder_raises_costs_one_picture(
    fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    source = folders(tmp_path / "src")
    bad = (source / "sad" / "p2.png").read_bytes()
    plain = Image.open

    def raising(stream: io.BytesIO) -> Image.Image:
        if stream.getvalue() == bad:
            raise error
        return plain(stream)

    monkeypatch.setattr("PIL.Image.open", raising)
    called = fer("data", "build", "mine", "--from", source, "--layout", "folder", "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "1 of 4 images" in called.err
    assert re.search(r"sad/p2\.png \((cannot be decoded: \S.*|does not fit into memory)\); pass", called.err)


def test_a_folder_that_cannot_be_listed_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folders(tmp_path / "src")
    plain = os.scandir

    def denied(path: str | Path) -> object:
        if Path(path).name == "sad":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(DataError, match=r"sad: cannot be listed \(permission denied\)"):
        list(files_below(source))


def test_links_to_themselves_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("a.png")
    assert inside(tmp_path, "a.png", "list.csv, line 2") == tmp_path / "a.png"
    (tmp_path / "tables.csv").symlink_to("tables.csv")
    os.mkfifo(tmp_path / "labels.csv")
    assert list(files_below(tmp_path, {".csv"})) == []  # a table that is no file would keep its reader waiting


def test_check_names_sources_that_are_no_files_any_more(faces_folder: Path, fer: Fer, tmp_path: Path) -> None:
    shutil.copytree(faces_folder, tmp_path / "src")
    build = ["data", "build", "ck48", "--from", tmp_path / "src", "--data-root", tmp_path / "data", "--allow-incomplete"]
    assert fer(*build).code == 0
    path = tmp_path / "src" / "happy" / "S001_004_00000001.png"
    path.unlink()
    os.mkfifo(path)
    problems = check_set(tmp_path / "data", "ck48", tmp_path / "src").problems
    assert "unreadable: 1, e.g. happy/S001_004_00000001.png (a pipe, not a file)" in problems


# --- names that are not UTF-8 ------------------------------------------------------------------------------------


def test_names_that_are_not_utf8_are_kept_escaped(fer: Fer, tmp_path: Path) -> None:
    source = folders(tmp_path / "src")
    face, other = (source / "happy" / name for name in ("p1.png", "p2.png"))
    Path(os.fsdecode(os.fsencode(source) + b"/happy/ni\xf1o_1.png")).write_bytes(face.read_bytes()[:200])
    Path(os.fsdecode(os.fsencode(source) + b"/happy/ni\xf1o\n_2.png")).write_bytes(other.read_bytes())
    odd = Path(os.fsdecode(os.fsencode(source) + b"/m\xfcde"))
    odd.mkdir()
    shutil.copy(source / "sad" / "p1.png", odd / "ni\\xf1o_3.png")
    Path(os.fsdecode(os.fsencode(source) + b"/\xe9.png")).write_bytes(face.read_bytes())
    pattern = r"/(?P<subject>[^/_]+?)(_\d)?\.png"
    build = ["data", "build", "mine", "--from", source, "--layout", "folder", "--subject", pattern]
    called = fer(*build, "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert r"happy/ni\xf1o_1.png (cannot be decoded: " in called.err
    called = fer(*build, "--data-root", tmp_path / "data", "--allow-incomplete")
    assert called.code == 0, called.err
    faces = load_set(tmp_path / "data", "mine")
    rows = faces.manifest.set_index("file")
    assert {r"happy/ni\xf1o\x0a_2.png", r"m\xfcde/ni\x5cxf1o_3.png", "sad/p1.png"} <= set(rows.index)
    assert rows.loc[r"m\xfcde/ni\x5cxf1o_3.png", ["name", "label", "subject"]].tolist() == [
        r"m\xfcde/ni\x5cxf1o_3.png",
        r"m\xfcde",
        r"ni\x5cxf1o",
    ]
    assert faces.info.skipped == {"image outside the class folders": [r"\xe9.png"]}
    gone = pd.read_csv(tmp_path / "data" / "mine" / "left_out.csv")
    assert gone["file"].tolist() == [r"happy/ni\xf1o_1.png", r"\xe9.png"]
    assert gone["status"].tolist() == ["unreadable", "left out"]
    for command in (["audit"], ["check"], ["peek", "--out", tmp_path / "p.png"]):
        called = fer("data", command[0], "mine", *command[1:], "--data-root", tmp_path / "data")
        assert called.code in {0, 1}, called.err
    assert fer("data", "list", "--data-root", tmp_path / "data").code == 0


@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name))
def test_escaped_names_can_be_turned_back(name: bytes) -> None:
    text = readable_name(os.fsdecode(name))
    text.encode()
    assert text.isprintable() or not any(character < " " or "\x7f" <= character < "\xa0" for character in text)
    parts = re.split(r"\\x([0-9a-f]{2})", text)
    assert b"".join(bytes.fromhex(p) if i % 2 else p.encode() for i, p in enumerate(parts)) == name


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("happy/a b.png", "Zoë/größe.jpg", "顔/笑顔.png", "a%20b#1.png"):
        assert readable_name(name) == name


def test_a_card_that_is_not_utf8_is_one_line(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_cli.places import shipped_folder

    cards = tmp_path / "data_cards"
    shutil.copytree(shipped_folder("data_cards"), cards)
    content = (cards / "ck48.md").read_bytes()
    (cards / "ck48.md").write_bytes(content.replace(b"CK+48", b"CK\xff48"))
    monkeypatch.setattr("fer_cli.data.cards.shipped_folder", lambda _: cards)
    with pytest.raises(DataError, match=r"ck48\.md, line \d+: not UTF-8"):
        load_card("ck48")
    called = fer("data", "list", "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1)


def test_own_sets_of_table_and_folder_name_the_same_pictures(tmp_path: Path) -> None:
    """The id is the picture's, however it is listed."""
    source = folders(tmp_path / "src")
    build_own("one", source, "folder", None, tmp_path / "data")
    lines = [f"{folder}/p{person}.png,{folder}" for folder in ("sad", "happy") for person in (2, 1)]
    (source / "list.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    build_own("two", source, "csv", None, tmp_path / "data")
    one, two = (load_set(tmp_path / "data", name) for name in ("one", "two"))
    assert one.manifest["sample"].tolist() == two.manifest["sample"].tolist()
    assert one.info.fingerprint == two.info.fingerprint
