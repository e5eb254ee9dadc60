"""Whether heads are bowed, from dlib's 68 landmarks where dlib is installed; else it is not measured.

dlib's shape predictor places them in the tracked box, not in one of dlib's own detector, which finds 23 of 33 heads with a
pitch below -20 degrees and none below -30. On 160 rendered tiles of a lesson (10 people, five frontal pictures each as a
baseline, 66 pixels between the eyes, six expressions and neutral) the pitch of the other 110 heads then has an AUC of .96
(true landmarks: .96; with dlib's detector .90, on the heads that it finds), a correlation with the true one of .92 and a
mean absolute error of 5.8 degrees; 37 are reported as bowed, 30 of them rightly. Nothing was measured on real faces.

The five points of CenterFace are too coarse for it: on embedded faces they separate a pitch below -20 degrees with an AUC of
.84 to .89 only, and find none of the bowed heads relative to a baseline (see ``interaction/pitch.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from fer_cli.data.detect import Box
from fer_cli.data.landmarks import Dlib
from fer_cli.errors import DataError
from fer_cli.interaction.pitch import HeadPitch
from fer_cli.interaction.thresholds import HeadThresholds

AROUND = 0.35
"""Of the box's longer side that is added on each side before landmarks are searched."""
NOT_MEASURED = "heads are not measured: dlib is not installed, and the detector's five points are too coarse"
MEASURED = "heads are measured by dlib's landmarks, in the first frame of each interval"


Place = Callable[[np.ndarray, Box], np.ndarray]
"""From a picture (H, W, 3) uint8 and a face's box in it to 68 landmarks (68, 2), in pixels."""


def five_points(marks: np.ndarray) -> np.ndarray:
    """Return right and left eye, nose tip, right and left corner of the mouth (5, 2) of iBUG's 68 landmarks (68, 2)."""
    return np.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])


class Heads:
    """Measures the pitch of heads in frames that are looked up by their time."""

    def __init__(self, thresholds: HeadThresholds, place: Place, picture_at: Callable[[float], np.ndarray | None]) -> None:
        """``picture_at``: returns the frame (H, W, 3) at a time in seconds, None if it is not kept."""
        self.pitch, self.place, self.picture_at = HeadPitch(thresholds), place, picture_at

    def __call__(self, time_s: float, student: str, box: Box) -> bool | None:
        """Return whether the head in a box of the frame at ``time_s`` is bowed; None without that frame."""
        picture = self.picture_at(time_s)
        return None if picture is None else self.pitch.is_down(self.measure(picture, time_s, student, box))

    def measure(self, picture: np.ndarray, time_s: float, student: str, box: Box) -> float | None:
        """Return the pitch of the head in a box in degrees, relative to the student's first seconds, or None."""
        crop = cut_around(picture, box, AROUND)
        if not crop.size:
            return None
        left, top = corner_of(box, AROUND)
        inside: Box = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        return self.pitch.push(time_s, student, five_points(self.place(crop, inside)))


def cut_around(picture: np.ndarray, box: Box, share: float) -> np.ndarray:
    """Return the part of a picture (H, W, 3) in a box with a margin, a share of its longer side; empty outside."""
    more = share * max(box[2] - box[0], box[3] - box[1])
    left, top = corner_of(box, share)
    right, bottom = round(box[2] + more), round(box[3] + more)
    return np.ascontiguousarray(picture[top : max(top, bottom), left : max(left, right)])


def corner_of(box: Box, share: float) -> tuple[int, int]:
    """Return left and top of a box with such a margin, within the picture."""
    more = share * max(box[2] - box[0], box[3] - box[1])
    return max(0, round(box[0] - more)), max(0, round(box[1] - more))


def find_landmarks() -> Place | None:
    """Return what places 68 landmarks, None if dlib is not installed."""
    with suppress(DataError):
        return Dlib().place
    return None
