"""Frames of a video file, by number, with OpenCV's FFmpeg backend.

Frames are counted while decoding, never sought by time: what a container says of its length and rate is often wrong, and
a seek may land on another frame than the same number read in order. One thread per file, because files are read side by
side.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Read when OpenCV first opens a video. Broken files are reported by whoever asked for them, not by FFmpeg on the terminal;
# a playlist that poses as a video must not fetch anything from a network.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")

import cv2
import numpy as np

from fer_cli.data.archive import on_disk

MAX_PIXELS = 64_000_000
"""Pixels a frame; videos that promise more are treated as unreadable."""
MAX_FRAMES = 10_000_000
"""A header that promises more frames (four days at 30 a second) is not believed."""

# A file that cannot be opened is an answer here, not worth OpenCV's own warning on top.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


@contextmanager
def open_video(file: Path) -> Iterator[cv2.VideoCapture | None]:
    """Give the capture of a video file; None where it is missing, no video, or absurdly large."""
    if not file.is_file():  # FFmpeg would go on to take the name for a pattern of pictures
        yield None
        return
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(on_disk(file))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            yield None
            return
        capture = cv2.VideoCapture(str(plain.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        stack.callback(capture.release)
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        yield capture if capture.isOpened() and 0 < pixels <= MAX_PIXELS else None


def frame_count(file: Path) -> int:
    """Return how many frames the file says it has, counted where it does not say; 0 where it cannot be opened.

    A file that was cut short still says what the whole one had; ``read_frames`` copes with that.
    """
    with open_video(file) as capture:
        if capture is None:
            return 0
        said = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if 0 < said <= MAX_FRAMES:
            return int(said)
        count = 0
        while count < MAX_FRAMES and capture.grab():
            count += 1
        return count


def read_frames(file: Path, moments: list[int]) -> dict[int, np.ndarray]:
    """Return frame number, from 0 -> frame, (H, W, 3) uint8 RGB.

    Where the video ends before a wanted number, the last frame that decodes stands for it; a video of which nothing
    decodes gives an empty dict. Read in one pass; a second one is made only for a video that ended early.
    """
    frames, count = _pass(file, set(moments))
    late = [moment for moment in moments if moment >= count]
    if late and count:
        last = frames[count - 1] if count - 1 in frames else _pass(file, {count - 1})[0].get(count - 1)
        if last is not None:
            frames |= dict.fromkeys(late, last)
    return frames


def _pass(file: Path, wanted: set[int]) -> tuple[dict[int, np.ndarray], int]:
    """Return the wanted frames that decode, and how many frames were passed on the way to the last of them."""
    frames: dict[int, np.ndarray] = {}
    count = 0
    with open_video(file) as capture:
        while capture is not None and count <= max(wanted, default=-1) and capture.grab():
            if count in wanted:  # only then is the frame converted and copied, half of the work
                whole, frame = capture.retrieve()
                if whole and frame is not None:
                    frames[count] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            count += 1
    return frames, count
