"""Pitch of the head from five points of a face, for rule 4 of Aly 2023, which does not say how it sees a bowed head.

The nose tip comes nearer to the mouth as the head bows: r is its place between eyes (0) and mouth (1) along the face.
Smiling lifts the corners of the mouth, which looks the same, but also widens the mouth: w is its width in distances of the
eyes. Pitch is a line in r and w. Its slopes are calibrated (the line is fitted by least squares, then stretched so that its
mean at a true pitch is that pitch): plain least squares shrinks towards the frequent frontal faces and reports no pitch
below -20 degrees.

Measured on 2,027 embedded faces (``synth-learning``, 100 people, 36 faces below -20 degrees) with true landmarks, in five
folds of people:

- r alone: correlation with pitch -.44; mean absolute error 7.8 degrees, AUC for pitch < -20 degrees .938.
- r and w: .62; 5.1 degrees; .979; 20 of 36 faces found, 33 reported.
- r and w less a baseline of the person (10 faces within 8 degrees): .86; 2.3 degrees; .998; 22 of 36 found, 25 reported.

The points must be exact. With those of CenterFace on the same faces (64 pixels; wrong by 6 to 14 % of the distance of the
eyes), r correlates .12 with the true r, and pitch is not usable: AUC .84 to .89, with the baseline none of 36 found; faces
of 160 pixels are no better (mean absolute error 9 degrees or more). Nothing here was measured on real faces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fer_cli.interaction.thresholds import HeadThresholds

LINE = (4.11, -126.65, 61.43)
"""Pitch in degrees = LINE[0] + LINE[1] r + LINE[2] w; negative: bowed."""


def measure_points(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return r and w (N,) float64 of points (N, 5, 2): right eye, left eye, nose tip, right and left corner of the mouth.

    Any unit, y downwards; NaN where eyes and mouth, or both eyes, coincide.
    """
    at = np.asarray(points, np.float64)
    eyes, mouth = at[:, :2].mean(1), at[:, 3:].mean(1)
    axis = mouth - eyes
    apart = np.linalg.norm(at[:, 1] - at[:, 0], axis=1)
    wide = np.linalg.norm(at[:, 4] - at[:, 3], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = ((at[:, 2] - eyes) * axis).sum(1) / (axis**2).sum(1)
        w = wide / apart
    lost = ~(np.isfinite(r) & np.isfinite(w))
    return np.where(lost, np.nan, r), np.where(lost, np.nan, w)


def estimate_pitch(points: np.ndarray, line: tuple[float, float, float] = LINE) -> np.ndarray:
    """Return the pitch (N,) in degrees of faces with five points (N, 5, 2), NaN for degenerate ones."""
    r, w = measure_points(points)
    return np.asarray(line[0] + line[1] * r + line[2] * w)


@dataclass
class _Person:
    """The estimates of a person's first seconds, and their median after that."""

    start: float
    first: list[float] = field(default_factory=list)
    zero: float | None = None


class HeadPitch:
    """Pitch of each student's head relative to the median of their first seconds with a face.

    Until these are over, relative to an average face. Students who begin with a bowed head are measured against that.
    """

    def __init__(self, thresholds: HeadThresholds) -> None:
        self.limits = thresholds
        self._people: dict[str, _Person] = {}

    def push(self, t: float, student: str, points: np.ndarray | None) -> float | None:
        """Return the pitch in degrees at time ``t`` in seconds from five points (5, 2), None without a usable face."""
        if points is None:
            return None
        pitch = float(estimate_pitch(np.asarray(points)[None])[0])
        if np.isnan(pitch):
            return None
        person = self._people.setdefault(student, _Person(t))
        if t - person.start < self.limits.baseline_s:
            person.first.append(pitch)
            return pitch
        if person.zero is None:
            person.zero = float(np.median(person.first)) if person.first else 0.0
        return pitch - person.zero

    def is_down(self, pitch: float | None) -> bool | None:
        """Return whether a head with this pitch is bowed, None if it is not known."""
        return None if pitch is None else pitch < self.limits.bowed_deg
