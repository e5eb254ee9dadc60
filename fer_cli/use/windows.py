"""Samples of tracked faces: every face for a network on stills, overlapping windows of a track for one on clips.

A window has S frames, spaced in time as in training; the next begins S/2 frames later. A sighting has the mean of the
probabilities of the windows that span it. The frames of a track shorter than a window repeat, as those of short clips in
training do; the end of a track is in a last window of its last S frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fer_cli.data.clips import choose_frames
from fer_cli.data.detect import Box
from fer_cli.data.landmarks import fill_boxes
from fer_cli.use.recogniser import Recogniser

BATCH = 16
"""Samples that are recognised together."""


@dataclass(eq=False)
class Sighting:
    """A face in a frame, recognised once ``done``."""

    face: int
    """Id of the face, from 1."""
    box: Box
    """Left, top, right, bottom in pixels of the frame."""
    place: int = 0
    """Among the sightings of its track."""
    total: np.ndarray | None = None
    """(K,) sum over windows."""
    windows: int = 0
    waiting: int = 0
    """Windows with it that are not recognised yet."""
    open: bool = True
    """Whether further windows may span it."""

    @property
    def done(self) -> bool:
        """Return whether its probabilities are final."""
        return not self.open and not self.waiting

    @property
    def probabilities(self) -> np.ndarray:
        """Return the class probabilities (K,) of a face that is done."""
        assert self.total is not None
        return self.total / self.windows

    def enlarged(self, times: float) -> Sighting:
        """Return the face in a picture enlarged ``times``."""
        left, top, right, bottom = (times * value for value in self.box)
        return replace(self, box=(left, top, right, bottom))


class View(NamedTuple):
    """A face as the network sees it."""

    crop: np.ndarray
    """(C, H, H) uint8."""
    regions: np.ndarray | None = None
    """(R, 4) float32 boxes of regions."""
    found: bool = True
    """Whether the face was found in the crop."""


class Sample(NamedTuple):
    """An input of the network and the sightings that it decides on."""

    views: list[View]
    sightings: list[Sighting]


@dataclass
class Windows:
    """The windows of one track."""

    frames: int
    interval_s: float | None = None
    """Time between the frames of a window; None: consecutive frames."""
    last_s: float = -np.inf
    """Time of the last sighting."""
    _held: list[Sighting] = field(default_factory=list)
    _taken: list[tuple[int, View]] = field(default_factory=list)
    _recent: deque[tuple[int, View]] = field(default_factory=deque)
    _due: float = -np.inf
    _count: int = 0
    _spanned: int = -1

    def push(self, sighting: Sighting, view: View, time_s: float) -> list[Sample]:
        """Add a sighting and return the window that it completes, if any."""
        sighting.place = self._count
        self._count += 1
        self._held.append(sighting)
        if self._is_due(time_s):
            self._taken.append((sighting.place, view))
            self._recent.append((sighting.place, view))
            while len(self._recent) > self.frames:
                self._recent.popleft()
        self.last_s = time_s
        if len(self._taken) < self.frames:
            return []
        first, self._spanned = self._taken[0][0], self._taken[-1][0]
        sample = self._sample([view for _, view in self._taken], [one for one in self._held if one.place >= first])
        self._taken = self._taken[max(1, self.frames // 2) :]
        self._close(self._taken[0][0] if self._taken else self._count)
        return [sample]

    def finish(self) -> list[Sample]:
        """Return the window of the track's end, if its last sightings are in none."""
        samples = []
        if self._held and self._held[-1].place > self._spanned:
            order = choose_frames(len(self._recent), self.frames)
            views = [self._recent[place][1] for place in order]
            first = self._recent[0][0]
            samples = [
                self._sample(views, [one for one in self._held if one.place >= first or not (one.windows or one.waiting)])
            ]
        self._close(self._count)
        return samples

    def _is_due(self, time_s: float) -> bool:
        """Return whether the frame at ``time_s`` is one of a window's."""
        if self.interval_s is None:
            return True
        early = (time_s - self.last_s) / 2 if np.isfinite(self.last_s) else 0.0
        if time_s + min(early, self.interval_s / 2) < self._due:
            return False
        late = self._due + self.interval_s
        self._due = late if late > time_s else time_s + self.interval_s
        return True

    def _sample(self, views: list[View], sightings: list[Sighting]) -> Sample:
        for one in sightings:
            one.waiting += 1
        return Sample(views, sightings)

    def _close(self, before: int) -> None:
        """Let no further window span the sightings before a place."""
        for one in self._held:
            one.open = one.place >= before
        self._held = [one for one in self._held if one.open]


@dataclass
class Decisions:
    """Samples that wait to be recognised together."""

    recogniser: Recogniser
    _samples: list[Sample] = field(default_factory=list)

    def add(self, samples: list[Sample]) -> None:
        """Add samples; recognise all that wait once they are enough."""
        self._samples += samples
        if len(self._samples) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Recognise the samples that wait and add the outcome to their sightings."""
        if not self._samples:
            return
        faces = np.stack([np.stack([view.crop for view in sample.views]) for sample in self._samples])
        found = self.recogniser.predict(faces, self._regions())
        for sample, probabilities in zip(self._samples, found, strict=True):
            for one in sample.sightings:
                one.total = probabilities if one.total is None else one.total + probabilities
                one.windows += 1
                one.waiting -= 1
        self._samples = []

    def _regions(self) -> np.ndarray | None:
        """Return the boxes (N, S, R, 4) of regions, those of views without a found face filled in."""
        kind = self.recogniser.preparation.regions
        if kind is None:
            return None
        boxes = np.stack([np.stack([view.regions for view in sample.views]) for sample in self._samples])  # type: ignore[misc]
        return fill_boxes(boxes, np.array([[view.found for view in sample.views] for sample in self._samples]), kind)
