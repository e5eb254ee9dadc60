"""Frames of a video file by number, with OpenCV's FFmpeg backend.

Frames are counted while decoding: container metadata is often wrong, and a seek may land on another frame. One thread per
file, because files are read in parallel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

# Read when OpenCV first opens a video: silences FFmpeg, and keeps disguised playlists from accessing the network.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")

import cv2
import numpy as np

from fer_cli.data.archive import on_disk
from fer_cli.places import plain_path

MAX_PIXELS = 64_000_000
"""Videos with more pixels per frame are unreadable."""
MAX_FRAMES = 10_000_000
"""Headers with more frames (four days at 30 per second) are ignored."""

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


@contextmanager
def open_video(file: Path) -> Iterator[cv2.VideoCapture | None]:
    """Yield the capture of a video file; None if it is missing, not a video, or too large."""
    if not file.is_file():  # FFmpeg would interpret the name as an image pattern
        yield None
        return
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(plain_path(stack.enter_context(on_disk(file)).absolute()))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            yield None
            return
        capture = cv2.VideoCapture(str(plain), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        stack.callback(capture.release)
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        yield capture if capture.isOpened() and 0 < pixels <= MAX_PIXELS else None


def count_frames(capture: cv2.VideoCapture) -> int:
    """Return the number of frames in the header of an open video, else counted, which reads it to its end.

    The header of a truncated file gives the full number; ``read_film`` handles that.
    """
    declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if 0 < declared <= MAX_FRAMES:
        return int(declared)
    count = 0
    while count < MAX_FRAMES and capture.grab():
        count += 1
    return count


def frame_count(file: Path) -> int:
    """Return the number of frames of ``count_frames``; 0 if the file cannot be opened."""
    with open_video(file) as capture:
        return 0 if capture is None else count_frames(capture)


class Film(NamedTuple):
    """Frames of a video, by number from 0."""

    frames: dict[int, np.ndarray]
    """(H, W, 3) uint8 RGB."""
    times: dict[int, float]
    """Time in seconds of those that decode."""
    passed: int
    """Number of frames passed: that of the whole video if a number beyond its end was asked for."""


def read_film(file: Path, moments: list[int]) -> Film:
    """Return the frames with these numbers, upright by the video's rotation tag; empty if nothing decodes.

    Numbers beyond the end give the last decodable frame; only such a video is read in a second pass.
    """
    film = _pass(file, set(moments))
    late = [moment for moment in moments if moment >= film.passed]
    if late and film.passed:
        end = film.passed - 1
        last = film if end in film.frames else _pass(file, {end})
        if end in last.frames:
            frames = film.frames | dict.fromkeys(late, last.frames[end])
            return Film(frames, film.times | last.times, film.passed)
    return film


def _pass(file: Path, wanted: set[int]) -> Film:
    """Return the requested frames that decode, and the number of frames passed."""
    film, times = dict[int, np.ndarray](), dict[int, float]()
    count = 0
    with open_video(file) as capture:
        while capture is not None and count <= max(wanted, default=-1) and capture.grab():
            if count in wanted:  # converting and copying is half of the work
                whole, frame = capture.retrieve()
                if whole and frame is not None:
                    film[count] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                    times[count] = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            count += 1
    return Film(film, times, count)
