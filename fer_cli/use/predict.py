"""Predictions of pictures and videos: faces found, cut as in training, recognised; one row per face and frame.

Memory is bounded: frames are read one at a time, and a row is given out as soon as no further window can change it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fer_cli.data.align import load_detector
from fer_cli.data.block import forgo_intel
from fer_cli.data.decode import LEAST, UnreadableError, prepare_image, read_picture, read_source, why
from fer_cli.data.detect import Box, Detector
from fer_cli.data.landmarks import Dlib, FaceBox, Finder, boxes_of_values
from fer_cli.errors import DataError, FerError
from fer_cli.use.faces import KEPT_S, FaceTracker
from fer_cli.use.preparation import Preparation, planes
from fer_cli.use.recogniser import Recogniser, whole_regions
from fer_cli.use.sources import CUT_SHORT, Moment, Source, count_frames, read_moments
from fer_cli.use.windows import Decisions, Sighting, View, Windows

TINY = 128
"""Pictures of at most this side in which no face is found may be faces that are cut already."""


class Seen(NamedTuple):
    """A picture or frame with its faces, all recognised."""

    number: int
    """From 0 in a video."""
    time_s: float | None
    """None for a picture."""
    faces: list[Sighting]


@dataclass
class Tally:
    """What happened to the files."""

    read: int = 0
    frames: int = 0
    """Pictures and frames."""
    without: int = 0
    """Of these, those without a face."""
    faces: int = 0
    """In pictures, and by id in videos."""
    tiny: int = 0
    """Small pictures without a face."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """File -> reason."""
    notes: list[str] = field(default_factory=list)


@dataclass
class Reader:
    """Finds, prepares and recognises the faces of files by one recogniser."""

    recogniser: Recogniser
    detect: bool = True
    """Whether faces are detected; else the whole picture is a face."""
    tally: Tally = field(default_factory=Tally)
    lag_s: float = np.inf
    """Longest time in seconds for which a sample waits for others, to be recognised together."""
    _detector: Detector | None = None

    def __post_init__(self) -> None:
        forgo_intel()  # as in training; see prepare_image
        self.preparation: Preparation = self.recogniser.preparation
        self._finder, self.note = region_finder(self.preparation, self.detect)

    def read_all(self, files: Iterable[Source]) -> Iterator[tuple[Source, Seen]]:
        """Yield the pictures and frames of files, with the file of each; see ``read``."""
        for source in files:
            for seen in self.read(source):
                yield source, seen

    def read(self, source: Source) -> Iterator[Seen]:
        """Yield the picture or frames of a file in order; an unreadable file is noted, and yields nothing more."""
        try:
            if source.kind == "image":
                yield self.read_image(source.path)
            else:
                yield from self.read_video(source)
            self.tally.read += 1
        except FerError:
            raise
        except UnreadableError as error:
            self.tally.unreadable[source.name] = why(error)
        except OSError as error:
            if error.filename is not None and Path(str(error.filename)) != source.path:
                raise
            self.tally.unreadable[source.name] = why(error)

    def read_image(self, path: Path) -> Seen:
        """Return a picture with its faces, from left to right; raises UnreadableError."""
        content = read_source(path)
        try:
            image = read_picture(content, self.preparation.picture.colour)[0]
        except Exception as error:  # decoders raise anything
            raise UnreadableError(why(error)) from None
        if min(image.shape[:2]) < LEAST:
            raise UnreadableError(f"{image.shape[1]} x {image.shape[0]} pixels; the minimum is {LEAST} x {LEAST}")
        found: list[tuple[Sighting, View]] = []
        if self.detect:
            if self._detector is None:
                self._detector = load_detector(self.preparation.crop)
            for number, face in enumerate(sorted(self._detector(image), key=lambda face: face.box), 1):
                found.append((Sighting(number, face.box), View(planes(self.preparation.cut(image, face)))))
        else:
            found = [self.whole(image)]
        decisions = Decisions(self.recogniser)
        for sighting, view in found:
            decisions.add(Windows(1).push(sighting, view, 0.0))
        decisions.flush()
        self.count([one for one, _ in found], image)
        self.tally.faces += len(found)
        return Seen(0, None, [one for one, _ in found])

    def read_video(self, source: Source) -> Iterator[Seen]:
        """Yield the frames of a video in order with their faces; raises UnreadableError if there are none."""
        declared, number = count_frames(source), 0
        for seen in self.follow(read_moments(source.path)):
            number += 1
            yield seen
        if number < CUT_SHORT * declared - 1:
            self.tally.notes.append(f"{source.name}: {number} of {declared} frames decode; it is damaged or cut short")

    def follow(self, moments: Iterator[Moment]) -> Iterator[Seen]:
        """Yield frames with tracked and recognised faces, as soon as their probabilities are final."""
        tracker = FaceTracker(self.preparation.crop) if self.detect else None
        decisions, tracks, queue = Decisions(self.recogniser), dict[int, Windows](), deque[Seen]()
        highest, flushed = 0, -np.inf
        for moment in moments:
            image = moment.image
            if self.preparation.picture.colour == "grey":
                image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            found = [self.whole(image)] if tracker is None else self.track(tracker, image, moment.time_s)
            seen = Seen(moment.number, moment.time_s, [one for one, _ in found])
            queue.append(seen)
            self.count(seen.faces, image)
            for sighting, view in found:
                highest = max(highest, sighting.face)
                windows = tracks.setdefault(sighting.face, self.new_windows())
                decisions.add(windows.push(sighting, view, moment.time_s))
            for face in [face for face, windows in tracks.items() if moment.time_s - windows.last_s > KEPT_S]:
                decisions.add(tracks.pop(face).finish())
            if moment.time_s - flushed >= self.lag_s:
                decisions.flush()
                flushed = moment.time_s
            while queue and all(one.done for one in queue[0].faces):
                yield queue.popleft()
        for windows in tracks.values():
            decisions.add(windows.finish())
        decisions.flush()
        self.tally.faces += highest
        yield from queue

    def new_windows(self) -> Windows:
        """Return the windows of a new track."""
        return Windows(self.recogniser.frames, self.preparation.interval_s)

    def track(self, tracker: FaceTracker, image: np.ndarray, time_s: float) -> list[tuple[Sighting, View]]:
        """Return the tracked faces of a frame and their crops."""
        found = []
        for tracked in tracker(image, time_s):
            crop = planes(self.preparation.cut(image, tracked.face))
            boxes, there = self.preparation.regions_in([tracked.face]), True
            if self._finder is not None:
                boxes, there = search_regions(self._finder, crop, str(self.preparation.regions))
            view = View(crop, None if boxes is None else boxes[0], there)
            found.append((Sighting(tracked.id, tracked.face.box), view))
        return found

    def whole(self, image: np.ndarray) -> tuple[Sighting, View]:
        """Return the middle square of a picture (H, W[, 3]) as a face, prepared as a picture of the data set."""
        how = self.preparation.picture.model_copy(update={"crop": None})
        crop = prepare_image(image, "", None, how).image
        assert crop is not None
        height, width = image.shape[:2]
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        box: Box = (left, top, left + side, top + side)
        boxes, there = None, True
        if self._finder is not None:
            boxes, there = search_regions(self._finder, planes(crop), str(self.preparation.regions))
        elif self.preparation.regions is not None:
            boxes = whole_regions(self.preparation)[None]
        return Sighting(1, box), View(planes(crop), None if boxes is None else boxes[0], there)

    def count(self, faces: list[Sighting], image: np.ndarray) -> None:
        """Count a picture or frame."""
        self.tally.frames += 1
        if not faces:
            self.tally.without += 1
            self.tally.tiny += max(image.shape[:2]) <= TINY


def region_finder(preparation: Preparation, detect: bool) -> tuple[Finder | None, str]:
    """Return what finds the regions of the face in a crop, and what differs from training ("": nothing).

    None if the network takes none, or the detected box places them. It is dlib if that found them in training and is
    installed, and the detector for faces that are not detected elsewhere.
    """
    if preparation.regions is None:
        return None, ""
    if preparation.landmarks == "dlib":
        with suppress(DataError):
            return Dlib(), ""
    usual = "" if preparation.landmarks == "fallback" else f"; in training, by landmarks ({preparation.landmarks})"
    if detect:
        return None, usual and f"regions of the face are placed in the detected box{usual}"
    try:
        return FaceBox(), usual and f"regions of the face are placed in the box detected in each frame{usual}"
    except DataError:
        return None, f"regions of the face are placed as in a face that fills the frame{usual}"


def search_regions(finder: Finder, crop: np.ndarray, kind: str) -> tuple[np.ndarray, bool]:
    """Return the boxes (1, R, 4) of regions in a crop (C, H, H), and whether there is a face."""
    count, values = finder(crop[0] if len(crop) == 1 else np.ascontiguousarray(crop.transpose(1, 2, 0)))
    row = np.zeros((1, 1 + finder.size), np.float32)
    if values is not None:
        row[0, 0], row[0, 1:] = count, values
    boxes, found = boxes_of_values(row, kind)
    return boxes, bool(found[0])
