"""Small videos for tests, and MP4 files whose rotation and time stamps are edited as cameras write them."""

import struct
from pathlib import Path

import cv2
import numpy as np

QUARTER = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
"""Matrix of a track header (ISO/IEC 14496-12, 8.3.2) that turns the picture a quarter clockwise."""


def write_film(path: Path, frames: list[np.ndarray], rate: float = 10, codec: str | None = None) -> Path:
    """Write RGB frames as a video."""
    code = codec or {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, frames[0].shape[1::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def turn_film(path: Path) -> None:
    """Set the rotation of an MP4 to a quarter clockwise."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4
    assert content[start] == 0, "version"
    content[start + 40 : start + 76] = QUARTER
    path.write_bytes(content)


def stretch_film(path: Path, first: int, longer: int) -> None:
    """Let the frames of an MP4 from ``first`` on last ``longer`` times as long; its index must follow its frames."""
    content = path.read_bytes()
    assert content.index(b"moov") > content.index(b"mdat")
    at = content.index(b"stts") - 4
    size, _, _, entries, count, delta = struct.unpack(">6I", content[at : at + 24])
    assert (size, entries) == (24, 1)
    table = struct.pack(">I4sI5I", 32, b"stts", 0, 2, first, delta, count - first, longer * delta)
    content = content[:at] + table + content[at + size :]
    for name in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):  # each holds the table
        place = content.rindex(name, 0, at) - 4
        (old,) = struct.unpack(">I", content[place : place + 4])
        content = content[:place] + struct.pack(">I", old + 8) + content[place + 4 :]
    path.write_bytes(content.replace(b"edts", b"free"))  # the list of edits ends where the film did
