"""Images with valid pixels but damaged metadata: EXIF, colour profiles, comments.

A damaged tag (zero denominator, truncated block, wrong checksum) makes Pillow reject the image. Here tags are read first,
with errors ignored; if the image still fails, metadata is stripped: the marker segments of JPEG (ITU-T T.81, B.1.1.4) and
the ancillary chunks of PNG (RFC 2083, 3.3).
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

from PIL import ExifTags, Image, ImageOps

ORIENTATION = ExifTags.Base.Orientation
GROUPS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
"""Sub-directories of tags, irrelevant to the pixels."""
KEPT = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Keys under which Pillow keeps raw tags."""

PNG = b"\x89PNG\r\n\x1a\n"
CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
"""PNG chunks that contain pixels."""
JPEG = b"\xff\xd8"
APP0, ADOBE, COMMENT, SCAN, END = 0xE0, 0xEE, 0xFE, 0xDA, 0xD9
EXIF = b"Exif\0\0"


def read_tags(opened: Image.Image) -> None:
    """Read an image's tags as far as possible, and keep only the orientation."""
    with suppress(Exception):  # tags read before the error are kept
        opened.getexif()
    exif = opened.getexif()
    for group in GROUPS:
        exif.pop(group, None)
    try:
        exif.get(ORIENTATION)
    except Exception:
        del exif[ORIENTATION]
    for key in KEPT:  # otherwise Pillow writes every tag back when it rotates the image
        opened.info.pop(key, None)


def turn_upright(opened: Image.Image) -> Image.Image:
    """Return an image prepared by ``read_tags``, rotated by its orientation tag."""
    return ImageOps.exif_transpose(opened)


def turn_by_exif(picture: Image.Image, exif: bytes) -> Image.Image:
    """Return an image rotated by the orientation in its stripped EXIF block, if readable."""
    tags = Image.Exif()
    with suppress(Exception):  # as in read_tags
        tags.load(exif)
    with suppress(Exception):
        picture.getexif()[ORIENTATION] = tags.get(ORIENTATION, 1)
    return ImageOps.exif_transpose(picture)


def strip_tags(content: bytes) -> tuple[bytes, bytes] | None:
    """Return a JPEG or PNG without metadata, and its EXIF block; None if there is nothing to strip."""
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
