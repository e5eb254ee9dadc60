"""Frames as they come: of a video as fast as possible or at a speed, of a camera the latest; dropped ones are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import cv2
import numpy as np

from fer_cli.errors import DataError
from fer_cli.use.sources import Moment

GONE_S = 3.0
"""Seconds without a frame after which a camera is taken for gone."""
SEARCHED = 4
"""Cameras that are tried for a message about one that is not there."""
LATE_S = 0.1
"""A frame that is later than this is dropped."""
POLL_S = 0.02


@dataclass
class Drops:
    """Frames that came and were not used."""

    count: int = 0
    last_s: float | None = None
    """Time in the video of the last one that was too late."""


def pace(
    moments: Iterator[Moment],
    speed: float,
    drops: Drops,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Moment]:
    """Yield the frames of a video at ``speed`` times its own; those that come too late are dropped and counted."""
    start = first = None
    for moment in moments:
        if start is None or first is None:
            start, first = clock(), moment.time_s
        ahead = start + (moment.time_s - first) / speed - clock()
        if ahead < -LATE_S:
            drops.count += 1
            drops.last_s = moment.time_s
            continue
        if ahead > 0:
            wait(ahead)
        yield moment


@dataclass
class Camera:
    """A camera, whose frames a thread takes; the one to use next is the latest."""

    index: int
    drops: Drops = field(default_factory=Drops)
    gone: bool = False
    """Whether it stopped delivering frames."""

    def __post_init__(self) -> None:
        """Open the camera; raises DataError if there is none."""
        self._capture = open_camera(self.index)
        self._lock, self._new = threading.Lock(), threading.Event()
        self._latest: tuple[float, np.ndarray] | None = None
        self._stop = False
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._take, daemon=True)

    def now(self) -> float:
        """Return the seconds since the camera was opened."""
        return time.monotonic() - self._start

    def moments(self) -> Iterator[Moment]:
        """Yield the latest frame, as (H, W, 3) RGB, each time it is asked for a new one, until the camera is gone."""
        self._thread.start()
        number = 0
        while True:
            while not self._new.wait(POLL_S):
                if not self._thread.is_alive() and not self._new.is_set():
                    self.gone = True
                    return
            with self._lock:
                assert self._latest is not None
                time_s, frame = self._latest
                self._new.clear()
            yield Moment(number, time_s, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            number += 1

    def close(self) -> None:
        """Let the camera go."""
        self._stop = True
        if self._thread.ident is not None:
            self._thread.join(timeout=GONE_S)
        self._capture.release()

    def _take(self) -> None:
        """Keep the latest frame until the camera has had none for ``GONE_S`` seconds."""
        last = time.monotonic()
        with suppress(cv2.error):
            while not self._stop and time.monotonic() - last < GONE_S:
                whole, frame = self._capture.read()
                if not whole or frame is None:
                    time.sleep(POLL_S)
                    continue
                last = time.monotonic()
                with self._lock:
                    self.drops.count += self._new.is_set()
                    self._latest = (last - self._start, frame)
                    self._new.set()


def open_camera(index: int) -> cv2.VideoCapture:
    """Return a camera by number; raises DataError, with those that are there, if it cannot be opened."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the line below says what is wrong
    capture = cv2.VideoCapture(index)
    if capture.isOpened():
        return capture
    capture.release()
    found = []
    for other in range(SEARCHED):
        tried = cv2.VideoCapture(other)
        if tried.isOpened():
            found.append(str(other))
        tried.release()
    known = f"cameras found: {', '.join(found)}" if found else "no camera is found; connect one, or give a file with --video"
    raise DataError(f"--camera {index}: cannot be opened; {known}")
