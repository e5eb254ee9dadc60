"""Boxes of regions of the face, made from 68 landmarks (iBUG order): of action units, of facial features, or of thirds.

Teacher study 2024, section 2.1, which names 8 groups of action units and 9 boxes without a table of them. The partition is
that of AU R-CNN (Ma et al. 2018, arXiv:1812.05788): group {1, 2, 5, 7} is a box per side. Each box bounds its landmarks,
some reach further up or down, and all grow by ``MARGIN``. Left is the left side of the image. The margins, the control
regions and the extensions are ours. Boxes are x0, y0, x1, y1 as fractions of the image side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MARGIN = 0.08
"""Growth of every box on each side, in distances of the outer eye corners (points 36 and 45)."""
EYES = (36, 45)
CELL = 1 / 14
"""Least side of a box: a map cell of the paper's network, 16 of 224 pixels. Smaller ones grow around their centre."""
FEWEST = 3
"""Visible landmarks that a box needs; with fewer, it lies at its usual place in the face."""
LANDMARKS = 68


def upto(first: int, last: int) -> tuple[int, ...]:
    """Return the landmarks from ``first`` to ``last``, inclusive."""
    return tuple(range(first, last + 1))


@dataclass(frozen=True)
class Region:
    """A region of the face and the landmarks that it bounds."""

    name: str
    points: tuple[int, ...]
    usual: tuple[float, float, float, float]
    """Its box within the tight box of the landmarks: x0, y0, x1, y1 as fractions."""
    units: tuple[int, ...] = ()
    """Action units."""
    between: tuple[tuple[int, int], ...] = ()
    """Pairs of landmarks whose midpoints are bounded, too."""
    up: float = 0.0
    """Extension of the top, in distances of the outer eye corners."""
    down: float = 0.0
    """Extension of the bottom."""


BROWS = (1, 2, 5, 7)
AU = (
    Region("AU 1, 2, 5, 7 left", (*upto(17, 21), *upto(36, 41)), (0.11, 0.06, 0.43, 0.27), BROWS, up=0.15),
    Region("AU 1, 2, 5, 7 right", (*upto(22, 26), *upto(42, 47)), (0.58, 0.06, 0.89, 0.28), BROWS, up=0.15),
    Region("AU 4", (*upto(17, 27), *upto(36, 47)), (0.11, 0.05, 0.89, 0.27), (4,), up=0.2),
    Region("AU 6", (*upto(36, 47), 29), (0.16, 0.21, 0.84, 0.52), (6,), ((2, 41), (14, 46))),
    Region("AU 9", (21, 22, *upto(27, 35), 39, 42), (0.29, 0.13, 0.72, 0.65), (9,)),
    Region("AU 10-15", (3, 4, 12, 13, 29, *upto(31, 35), *upto(48, 55)), (0.07, 0.39, 0.92, 0.85), upto(10, 15)),
    Region("AU 16, 20, 25-27", (*upto(4, 12), 33, *upto(48, 67)), (0.11, 0.55, 0.88, 1.0), (16, 20, 25, 26, 27)),
    Region("AU 17", (*upto(5, 11), *upto(55, 59)), (0.18, 0.74, 0.81, 1.0), (17,)),
    Region("AU 18, 22-24, 28", (33, *upto(48, 67)), (0.28, 0.55, 0.72, 0.89), (18, 22, 23, 24, 28), down=0.25),
)
"""Boxes of action units.

The usual places are AU R-CNN's averages on BP4D, rounded. With the face detected by CenterFace, they overlap the boxes of
the true landmarks of 2,000 embedded faces by an IoU of 0.46 on average (0.32 to 0.64 by box): they are coarse.
"""
IMPORTANT = (
    Region("left brow", upto(17, 21), (0.05, -0.05, 0.45, 0.13)),
    Region("right brow", upto(22, 26), (0.55, -0.05, 0.95, 0.13)),
    Region("left eye", upto(36, 41), (0.12, 0.08, 0.4, 0.25)),
    Region("right eye", upto(42, 47), (0.6, 0.08, 0.88, 0.25)),
    Region("glabella", (21, 22, 27), (0.34, -0.01, 0.66, 0.2)),
    Region("nose", upto(27, 35), (0.37, 0.09, 0.63, 0.54)),
    Region("left cheek", (*upto(1, 4), 31, 41), (-0.04, 0.13, 0.47, 0.66)),
    Region("right cheek", (*upto(12, 15), 35, 46), (0.53, 0.13, 1.04, 0.66)),
    Region("mouth", upto(48, 67), (0.25, 0.54, 0.75, 0.85)),
)
"""Boxes of facial features, as many as of action units, so that only the rule differs.

The usual places are averages over 2,000 embedded faces, made symmetric; they overlap the true boxes by an IoU of 0.53 on
average (0.43 to 0.72).
"""
THIRD = 1 / 3
NONE = (
    Region("upper third", (), (0.0, 0.0, 1.0, THIRD)),
    Region("middle third", (), (0.0, THIRD, 1.0, 2 * THIRD)),
    Region("lower third", (), (0.0, 2 * THIRD, 1.0, 1.0)),
)
"""The face in three parts of equal height: no regions."""
KINDS: dict[str, tuple[Region, ...]] = {"au": AU, "important": IMPORTANT, "none": NONE}
"""``model.regions`` -> the boxes in order, those of the upper third of the face first; see ``config.THIRDS``."""
NAMES = {kind: [region.name for region in regions] for kind, regions in KINDS.items()}
MIRRORED: dict[str, list[int]] = {
    "au": [1, 0, 2, 3, 4, 5, 6, 7, 8],
    "important": [1, 0, 3, 2, 4, 5, 7, 6, 8],
    "none": [0, 1, 2],
}
"""Position that each box takes when the image is mirrored."""


def boxes_of_points(points: np.ndarray, visible: np.ndarray, kind: str) -> np.ndarray:
    """Return the boxes (N, R, 4) float32 in [0, 1] of faces.

    ``points``: (N, 68, 2) x, y as fractions of the image side; ``visible``: (N, 68) bool. A box bounds its visible points;
    with fewer than ``FEWEST``, and in thirds, it is placed in the tight box of all points.
    """
    points = points.astype(np.float64)
    tight = np.concatenate([points.min(1), points.max(1)], 1)
    scale = np.linalg.norm(points[:, EYES[0]] - points[:, EYES[1]], axis=1)
    boxes = place_usual(tight, kind)
    for place, region in enumerate(KINDS[kind]):
        if region.points:
            own, seen = region_points(points, visible, region)
            found = np.concatenate([own.min(1, initial=np.inf, where=seen), own.max(1, initial=-np.inf, where=seen)], 1)
            found[:, 1] -= region.up * scale
            found[:, 3] += region.down * scale
            found += MARGIN * scale[:, None] * np.array([-1, -1, 1, 1])
            enough = seen[..., 0].sum(1) >= FEWEST
            boxes[enough, place] = found[enough]
    if kind == "none":
        boxes += MARGIN * scale[:, None, None] * np.array([-1, -1, 1, 1])
    return clip_boxes(boxes)


def region_points(points: np.ndarray, visible: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (N, P, 2) that a region bounds, and which are seen, (N, P, 1) bool; midpoints need both ends."""
    one, other = (np.array([pair[end] for pair in region.between], dtype=np.int64) for end in (0, 1))
    chosen = list(region.points)
    own = np.concatenate([points[:, chosen], (points[:, one] + points[:, other]) / 2], 1)
    seen = np.concatenate([visible[:, chosen], visible[:, one] & visible[:, other]], 1)
    return own, seen[..., None]


def place_usual(tight: np.ndarray, kind: str) -> np.ndarray:
    """Return the usual boxes (N, R, 4) float64 in faces whose landmarks have the tight boxes (N, 4); not clipped."""
    usual = np.array([region.usual for region in KINDS[kind]])
    size = np.tile(tight[:, 2:] - tight[:, :2], 2)
    return np.asarray(np.tile(tight[:, :2], 2)[:, None] + usual * size[:, None])


def clip_boxes(boxes: np.ndarray) -> np.ndarray:
    """Return boxes (..., 4) clipped to [0, 1] as float32; sides shorter than ``CELL`` grow around their centre."""
    low, high = np.clip(boxes[..., :2], 0, 1), np.clip(boxes[..., 2:], 0, 1)
    middle = np.clip((low + high) / 2, CELL / 2, 1 - CELL / 2)
    small = high - low < CELL
    low, high = np.where(small, middle - CELL / 2, low), np.where(small, middle + CELL / 2, high)
    return np.concatenate([low, high], -1).astype(np.float32).clip(0, 1)
