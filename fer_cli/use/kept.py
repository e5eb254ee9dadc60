"""Pictures of faces, written only if the user asks for them, and frames kept in memory until they are used."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fer_cli.errors import DataError
from fer_cli.places import whole_file
from fer_cli.use.heads import cut_around
from fer_cli.use.predict import Seen
from fer_cli.use.sources import Moment

MOST = 64
"""Frames in memory."""
MARGIN = 0.2
"""Added on each side of a face that is written, of its longer side."""


class FirstFrames:
    """The first frame of each capture interval, until the recogniser has decided on it."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._frames: deque[tuple[float, np.ndarray]] = deque(maxlen=MOST)
        self._number: int | None = None

    def pass_on(self, moments: Iterator[Moment]) -> Iterator[Moment]:
        """Yield frames, and keep some."""
        for moment in moments:
            number = math.floor(moment.time_s / self.interval_s + 1e-9)
            if number != self._number:
                self._number = number
                self._frames.append((moment.time_s, moment.image))
            yield moment

    def at(self, time_s: float) -> np.ndarray | None:
        """Return the frame (H, W, 3) of a time if it is kept; earlier ones are dropped."""
        while self._frames and self._frames[0][0] < time_s:
            self._frames.popleft()
        return self._frames[0][1] if self._frames and self._frames[0][0] == time_s else None


class FaceFolder:
    """Writes the faces of each interval's first frame as PNG files, such as ``s1-000012.000.png`` (student and seconds)."""

    def __init__(self, folder: Path, frames: FirstFrames) -> None:
        """Raise DataError unless the folder is new or empty, OSError if it cannot be made."""
        if folder.is_dir() and any(folder.iterdir()):
            raise DataError(f"--keep-faces {folder}: is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.frames, self.count = folder, frames, 0

    def write(self, seen: Seen) -> None:
        """Write the faces of a frame, if it is the first of its interval."""
        assert seen.time_s is not None
        picture = self.frames.at(seen.time_s)
        for one in seen.faces if picture is not None else ():
            assert picture is not None
            crop = cut_around(picture, one.box, MARGIN)
            if crop.size:
                with whole_file(self.folder / f"s{one.face}-{seen.time_s:010.3f}.png") as draft:
                    Image.fromarray(crop).save(draft, format="png")
                self.count += 1
