"""Image and video formats by suffix or by first bytes.

Signatures are from the format specifications; ISO media files (HEIF, AVIF, MP4) are identified by the brand in their first
box (ISO/IEC 14496-12, 4.3).
"""

from __future__ import annotations

import re

from PIL import features

NOT_READ = "unsupported format; convert it to PNG or JPEG"

AVIF = {".avif"} if features.check("avif") else set()
"""Supported if Pillow has a decoder, as its wheels do."""
JPEGS = {".jpg", ".jpeg", ".jpe", ".jfif"}
IMAGE_SUFFIXES = JPEGS | {".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".gif"} | AVIF
"""Supported images; of several in one file, the first is read."""
VIDEO_SUFFIXES = {".avi", ".mp4", ".mkv", ".mov", ".mpg", ".mpeg"}

RAW = dict.fromkeys(
    (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef"), "camera raw"
)
UNREAD_PICTURES = RAW | {
    ".heic": "HEIC", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF", ".avifs": "AVIF", ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000", ".j2k": "JPEG 2000", ".jpx": "JPEG 2000", ".jxr": "JPEG XR", ".apng": "APNG", ".svg": "SVG",
    ".psd": "Photoshop", ".xcf": "GIMP", ".exr": "OpenEXR", ".hdr": "Radiance HDR", ".tga": "Targa", ".pcx": "PCX",
    ".dib": "DIB", ".ico": "ICO", ".icns": "ICNS", ".eps": "EPS", ".dcm": "DICOM", ".qoi": "QOI", ".ras": "Sun raster",
    ".sgi": "SGI",
}  # fmt: skip
UNREAD_FILMS = {
    ".wmv": "WMV", ".flv": "FLV", ".webm": "WebM", ".m4v": "M4V", ".3gp": "3GP", ".mts": "AVCHD", ".m2ts": "AVCHD",
    ".ogv": "Ogg video", ".vob": "DVD video",
}  # fmt: skip
UNREAD = {suffix: name for suffix, name in (UNREAD_PICTURES | UNREAD_FILMS).items() if suffix not in IMAGE_SUFFIXES}
"""Suffix -> format, for unsupported images and videos."""
PLAIN = {".txt", ".csv", ".tsv", ".lst", ".json", ".xml", ".html", ".md", ".yaml", ".yml", ".log", ".py", ".pdf", ".doc"} | {
    ".docx", ".xls", ".xlsx", ".npy", ".npz", ".mat", ".pts", ".pkl", ".parquet", ".h5", ".zip", ".tar", ".gz", ".rar", ".7z"
}  # fmt: skip
"""Suffixes of tables, texts and archives, which are not opened."""

HEAD = 32
"""Bytes needed to identify a format."""
SIGNATURES = {
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"\xff\xd8\xff": "JPEG",
    rb"GIF8[79]a": "GIF",
    rb"BM.{4}\0{4}": "BMP",
    rb"II\*\0|MM\0\*": "TIFF",
    rb"RIFF.{4}WEBP": "WebP",
    rb"P[1-6]\s+(#|\d)": "PNM",
    rb"P[fF]\s+\d": "PFM",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "JPEG 2000",
    rb"\0\0\0\x0cJXL |\xff\x0a": "JPEG XL",
    rb"8BPS": "Photoshop",
    rb"gimp xcf": "GIMP",
    rb"v/1\x01": "OpenEXR",
    rb"#\?RADIANCE": "Radiance HDR",
    rb".{4}ftypavi[fs]": "AVIF",
    rb".{4}ftyp(hei|hev|mif1|msf1)": "HEIC",
    rb".{4}ftypcrx": "camera raw",
    rb".{4}ftyp": "MP4",
    rb"RIFF.{4}AVI ": "AVI",
    rb"\x1aE\xdf\xa3": "Matroska",
    rb"FLV\x01": "FLV",
    rb"0&\xb2u\x8ef\xcf\x11": "WMV",
    rb"\0\0\x01[\xba\xb3]": "MPEG",
    rb"OggS": "Ogg",
}
KNOWN = {"PNG", "JPEG", "GIF", "BMP", "TIFF", "WebP", "PNM", "PFM"} | ({"AVIF"} if AVIF else set())
"""Supported formats among the signatures."""
_SIGNED = [(re.compile(pattern, re.DOTALL), name) for pattern, name in SIGNATURES.items()]


def kind_of(head: bytes) -> str | None:
    """Return the image or video format of the first ``HEAD`` bytes of a file, or None."""
    return next((name for pattern, name in _SIGNED if pattern.match(head)), None)


def unread_kind(content: bytes) -> str | None:
    """Return the format of an image's bytes if unsupported (including TIFFs that Pillow cannot read), else None."""
    kind = kind_of(content[:HEAD])
    if kind == "TIFF":
        return "damaged or unusual TIFF (such as floating-point colour)"
    return None if kind in KNOWN else kind
