"""Faces in frames: detected in every third frame at most 320 pixels wide, tracked in between, with ids over time.

Between detections, corners within a face's box are followed by pyramidal Lucas-Kanade optical flow (Bouguet 2001), and the
box moves by the least-squares similarity of those that move alike. A face keeps its id while boxes of successive detections
overlap by an IoU of 0.3, and when it is found again within two seconds where it was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from fer_cli.data.align import Crop, load_detector, overlap
from fer_cli.data.block import forgo_intel, grey_picture
from fer_cli.data.detect import Box, Face, similarity

WIDEST = 320
"""Width in pixels to which frames are reduced for detection and tracking."""
EVERY = 3
"""A detection in so many frames."""
LEAST_IOU = 0.3
KEPT_S = 2.0
"""Seconds for which a lost face keeps its id."""
CORNERS = 40
"""Most corners followed per face."""
FEWEST = 6
"""Corners that must be followed for a box to move."""
NEAR = 1.5
"""Largest distance in pixels from the median motion of the corners that count."""
GROWTH = 0.15
"""Largest change of a box's size between two frames, as a fraction."""


@dataclass(frozen=True)
class TrackedFace:
    """A face in a frame with its id, from 1; the face in pixels of the frame."""

    id: int
    face: Face


@dataclass
class Track:
    """A face over time, in pixels of the reduced frame."""

    id: int
    face: Face
    seen_s: float
    """Time of the last frame that showed it."""
    found: bool = True
    """Whether the last detection found it."""


@dataclass
class FaceTracker:
    """Finds the faces of successive frames."""

    crop: Crop
    """Detector, model and minimum score."""
    every: int = EVERY
    widest: int = WIDEST
    kept_s: float = KEPT_S
    tracks: list[Track] = field(default_factory=list)
    count: int = 0
    """Faces so far, and the last id."""
    _number: int = 0
    _before: np.ndarray | None = None

    def __post_init__(self) -> None:
        forgo_intel()  # as in training; see prepare_image
        self._detect = load_detector(self.crop)

    def __call__(self, frame: np.ndarray, time_s: float) -> list[TrackedFace]:
        """Return the faces in a frame (H, W) or (H, W, 3) uint8 at a time that never decreases, by id."""
        scale = min(1.0, self.widest / frame.shape[1])
        size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        small = frame if scale == 1 else np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        grey = grey_picture(small)
        if self._before is not None and self._before.shape != grey.shape:
            self.tracks, self._before = [], None
        self.tracks = [track for track in self.tracks if time_s - track.seen_s <= self.kept_s]
        if self._before is not None:
            for track in (track for track in self.tracks if track.found):
                track.face = follow(self._before, grey, track.face)
        if self._number % self.every == 0:
            self._match(sorted(self._detect(small), key=lambda face: face.box))  # new ids from left to right
        self._number += 1
        self._before = grey
        shown = [track for track in self.tracks if track.found]
        for track in shown:
            track.seen_s = time_s
        stretch = frame.shape[1] / size[0], frame.shape[0] / size[1]
        return [TrackedFace(track.id, enlarge(track.face, *stretch)) for track in sorted(shown, key=lambda one: one.id)]

    def _match(self, faces: list[Face]) -> None:
        """Give each detected face to the track of largest overlap, or to a new one; tracks without are not found."""
        pairs = [
            (overlap(track.face.box, face.box), -number, place)
            for number, track in enumerate(self.tracks)
            for place, face in enumerate(faces)
        ]
        given: dict[int, int] = {}
        for shared, number, place in sorted(pairs, reverse=True):
            if shared >= LEAST_IOU and -number not in given and place not in given.values():
                given[-number] = place
        for number, track in enumerate(self.tracks):
            track.found = number in given
            if track.found:
                track.face = faces[given[number]]
        for place, face in enumerate(faces):
            if place not in given.values():
                self.count += 1
                self.tracks.append(Track(self.count, face, 0.0))


def follow(before: np.ndarray, now: np.ndarray, face: Face) -> Face:
    """Return a face of the frame ``before`` (H, W) uint8 where it is in ``now``; unmoved if that is unclear."""
    height, width = before.shape
    left, top = (max(0, int(value)) for value in face.box[:2])
    right, bottom = min(width, round(face.box[2])), min(height, round(face.box[3]))
    if right - left < 8 or bottom - top < 8:
        return face
    corners = cv2.goodFeaturesToTrack(before[top:bottom, left:right], CORNERS, 0.02, 3)
    if corners is None or len(corners) < FEWEST:
        return face
    start = corners.reshape(-1, 2) + np.array([left, top], np.float32)
    end, status, _ = cv2.calcOpticalFlowPyrLK(before, now, start.reshape(-1, 1, 2), None, winSize=(11, 11), maxLevel=2)
    moved = end.reshape(-1, 2) - start
    known = status.ravel() > 0
    if known.sum() < FEWEST:
        return face
    alike = known & (np.hypot(*(moved - np.median(moved[known], axis=0)).T) <= NEAR)
    matrix = similarity(start[alike], start[alike] + moved[alike]) if alike.sum() >= FEWEST else None
    if matrix is None or abs(np.hypot(*matrix[:, 0]) - 1) > GROWTH:
        return face
    return move(face, matrix, width, height)


def move(face: Face, matrix: np.ndarray, width: int, height: int) -> Face:
    """Return a face moved by a similarity (2, 3), whose box stays upright; unmoved if its centre left the image."""
    left, top, right, bottom = face.box
    x, y = matrix[:, :2] @ ((left + right) / 2, (top + bottom) / 2) + matrix[:, 2]
    if not (0 <= x <= width and 0 <= y <= height):
        return face
    half = np.hypot(*matrix[:, 0]) * np.array([right - left, bottom - top]) / 2
    box: Box = (float(x - half[0]), float(y - half[1]), float(x + half[0]), float(y + half[1]))
    marks = None if face.landmarks is None else (face.landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return replace(face, box=box, landmarks=marks)


def enlarge(face: Face, across: float, down: float) -> Face:
    """Return a face whose coordinates are multiplied by ``across`` and ``down``."""
    left, top, right, bottom = face.box
    box: Box = (left * across, top * down, right * across, bottom * down)
    marks = None if face.landmarks is None else (face.landmarks * (across, down)).astype(np.float32)
    return replace(face, box=box, landmarks=marks)
