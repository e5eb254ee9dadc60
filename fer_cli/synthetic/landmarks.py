"""The 68 iBUG landmarks as fixed vertices of the head mesh.

Lid margins and lip seam are borders of mesh regions; the others are the front-most skin vertices nearest to given positions
on the mean head (millimetres).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fer_cli.synthetic.mesh import REGIONS, HeadMesh, head_mesh

JAW = [(-72, 2), (-71, -15), (-69, -32), (-66, -49), (-60, -67), (-51, -86), (-38, -101), (-20, -111), (0, -114)]
"""Right half of the jaw line, ear to chin; the left half mirrors it."""
BROW = [(-54, 15), (-46, 20), (-36, 22), (-25, 20), (-14, 16)]
NOSE = [(0, 2), (0, -10), (0, -21), (0, -32), (-12, -41), (-6, -44), (0, -46), (6, -44), (12, -41)]
OUTER_UPPER = [-25.5, -15, -5, 0, 5, 15, 25.5]
"""x of points 48 to 54 on the upper lip's border; 55 to 59 mirror the inner five on the lower lip."""
INNER = [-22.5, -9, 0, 9, 22.5]
LID = (-0.36, 0.36)
"""Positions of the two upper and lower lid points, in half widths of the eye from its centre."""


@lru_cache(maxsize=1)
def landmark_ids() -> np.ndarray:
    """Return the landmark vertices (68,) int64 in iBUG order (the subject's right side first)."""
    return find_landmarks(head_mesh())


def find_landmarks(mesh: HeadMesh) -> np.ndarray:
    """Return the landmark vertices (68,) of a mesh."""
    skin = np.flatnonzero(mesh.region == REGIONS.index("skin"))
    front = skin[mesh.rest[skin, 2] > -45]

    def nearest(x: float, y: float, among: np.ndarray = front) -> int:
        flat = np.hypot(*(mesh.rest[among, :2] - (x, y)).T)
        close = among[flat <= flat.min() + 1.0]
        return int(close[mesh.rest[close, 2].argmax()])

    ids = [nearest(*at) for at in JAW] + [nearest(-x, y) for x, y in JAW[-2::-1]]
    ids += [nearest(*at) for at in BROW] + [nearest(-x, y) for x, y in BROW[::-1]]
    ids += [nearest(*at) for at in NOSE]
    for side in (-1, 1):
        ids += eye_ring(mesh, side)
    lip = front[mesh.lip[front] > 0.3]
    top = [border(mesh, lip, x, upper=True) for x in OUTER_UPPER]
    bottom = [border(mesh, lip, x, upper=False) for x in OUTER_UPPER[-2:0:-1]]
    seam = seam_of(mesh, "mouth")
    inner_top = [border(mesh, seam, x, upper=True) for x in INNER]
    inner_bottom = [border(mesh, seam, x, upper=False) for x in INNER[-2:0:-1]]
    return np.array(ids + top + bottom + inner_top + inner_bottom)


def seam_of(mesh: HeadMesh, region: str) -> np.ndarray:
    """Return the skin vertices adjacent to another region."""
    skin = np.flatnonzero(mesh.region == REGIONS.index("skin"))
    other = np.flatnonzero(mesh.region == REGIONS.index(region))
    return skin[np.isin(mesh.welded[skin], mesh.welded[other])]


def border(mesh: HeadMesh, among: np.ndarray, x: float, upper: bool) -> int:
    """Return the highest (or lowest) of the vertices ``among`` in a narrow strip at ``x``."""
    off = np.abs(mesh.rest[among, 0] - x)
    strip = among[off <= off.min() + 1.6]
    order = mesh.rest[strip, 1] * (1 if upper else -1) - np.abs(mesh.rest[strip, 0] - x)
    return int(strip[order.argmax()])


def eye_ring(mesh: HeadMesh, side: int) -> list[int]:
    """Return the six points of one eye, from the image-left corner over the upper lid and back along the lower lid."""
    seam = seam_of(mesh, "cavity")
    seam = seam[mesh.side[seam] == side]
    x = mesh.rest[seam, 0]
    left, right = seam[x.argmin()], seam[x.argmax()]
    middle, half = (x.min() + x.max()) / 2, (x.max() - x.min()) / 2
    upper = [border(mesh, seam, middle + share * half, upper=True) for share in LID]
    lower = [border(mesh, seam, middle + share * half, upper=False) for share in LID[::-1]]
    return [int(left), *upper, int(right), *lower]
