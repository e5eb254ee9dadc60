"""Pictures whose pixels are good although what is written beside them is not: EXIF, colour profiles, comments.

Pillow reads the tags while it reads the picture, and a broken tag (a denominator of 0, a block cut short, a wrong checksum)
then costs the picture. Here the tags are read first, each failure is that of the tag alone, and what cannot be got past is
taken out of the file: the marker segments of JPEG (ITU-T T.81, B.1.1.4) and the ancillary chunks of PNG (RFC 2083, 3.3).
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

from PIL import ExifTags, Image, ImageOps

ORIENTATION = ExifTags.Base.Orientation
GROUPS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
"""Directories of tags below the first one; none says anything of the pixels."""
KEPT = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Where Pillow keeps tags as they stood in the file."""

PNG = b"\x89PNG\r\n\x1a\n"
CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
"""Chunks of PNG that pixels are made from."""
JPEG = b"\xff\xd8"
APP0, ADOBE, COMMENT, SCAN, END = 0xE0, 0xEE, 0xFE, 0xDA, 0xD9
EXIF = b"Exif\0\0"


def read_tags(opened: Image.Image) -> None:
    """Read a picture's tags as far as they can be read, and keep nothing of them but how it is turned."""
    with suppress(Exception):  # whatever the tags raise, the tags that were read before it are there
        opened.getexif()
    exif = opened.getexif()
    for group in GROUPS:
        exif.pop(group, None)
    try:
        exif.get(ORIENTATION)
    except Exception:  # as above: a value that cannot be read is none
        del exif[ORIENTATION]
    for key in KEPT:  # else Pillow writes every tag back when it turns the picture
        opened.info.pop(key, None)


def turn_upright(opened: Image.Image) -> Image.Image:
    """Return a picture whose tags were read by ``read_tags``, turned as they say."""
    return ImageOps.exif_transpose(opened)


def turn_by_exif(picture: Image.Image, exif: bytes) -> Image.Image:
    """Return a picture turned as the tags say that were taken out of its file; as it is where they cannot be read."""
    tags = Image.Exif()
    with suppress(Exception):  # as in read_tags
        tags.load(exif)
    with suppress(Exception):
        picture.getexif()[ORIENTATION] = tags.get(ORIENTATION, 1)
    return ImageOps.exif_transpose(picture)


def strip_tags(content: bytes) -> tuple[bytes, bytes] | None:
    """Return a JPEG or PNG without anything but its picture, and its EXIF block; None where there is nothing to take out."""
    bare, exif = b"", b""
    if content.startswith(JPEG):
        bare, exif = _bare_jpeg(content)
    elif content.startswith(PNG):
        bare, exif = _bare_png(content)
    return (bare, exif) if 0 < len(bare) < len(content) else None


def _bare_jpeg(content: bytes) -> tuple[bytes, bytes]:
    bare, exif, at = JPEG, b"", 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == SCAN:
            return bare + content[at:], exif
        if marker == 0xFF:  # fill
            at += 1
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        segment = content[at : at + 2 + length]
        if segment[4:].startswith(EXIF):
            exif = segment[4:]
        if marker in {APP0, ADOBE} or not (APP0 <= marker <= 0xEF or marker == COMMENT):
            bare += segment
        at += len(segment)
    return b"", exif


def _bare_png(content: bytes) -> tuple[bytes, bytes]:
    bare, exif, at = PNG, b"", len(PNG)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        chunk = content[at : at + 12 + length]
        if kind == b"eXIf" and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:]):
            exif = EXIF + chunk[8:-4]
        if kind in CHUNKS:
            bare += chunk
        at += 12 + length
    return bare, exif
