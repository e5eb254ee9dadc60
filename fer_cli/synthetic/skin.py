"""Skin textures over (x, y) of the mean head, ``PX`` pixels per millimetre, which move with the mesh.

Folds are lines along which the skin sinks when an action unit contracts (FACS manual's descriptions of appearance changes).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fer_cli.synthetic import exact
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.mesh import head_mesh

PX = 1.25
LEFT, TOP = -100.0, 116.0
SHAPE = (int(265 * PX), int(200 * PX))
"""Rows and columns: x from -100 to 100, y from 116 down to -149."""

FOLDS: dict[str, tuple[float, list[list[tuple[float, float]]]]] = {
    "AU1": (2.0, [[(-26, 47), (-12, 43), (0, 42), (12, 43), (26, 47)], [(-22, 36), (-10, 32), (0, 31), (10, 32), (22, 36)]]),
    "AU2": (2.0, [[(18, 36), (34, 42), (52, 36)], [(20, 46), (36, 51), (54, 45)]]),
    "AU4": (1.8, [[(6, 30), (6.5, 20), (8, 11)], [(-9, 2), (0, 4), (9, 2)]]),
    "AU6": (1.6, [[(50, -2), (60, 3)], [(50, -5), (62, -6)], [(49, -8), (60, -14)], [(18, -13), (30, -18), (44, -15)]]),
    "AU7": (1.5, [[(20, -7), (31, -10), (42, -7)]]),
    "AU9": (1.7, [[(0, 3), (9, 0)], [(0, -4), (10, -8)], [(4, -10), (12, -16)], [(14, -30), (22, -42), (28, -52)]]),
    "AU10": (2.8, [[(15, -33), (22, -41), (30, -52), (35, -62)]]),
    "AU12": (4.0, [[(16, -34), (25, -42), (33, -52), (37, -61)]]),
    "AU14": (2.6, [[(31, -61), (33.5, -67), (32, -73)]]),
    "AU15": (2.2, [[(27, -68), (32, -76), (33, -86)]]),
    "AU17": (2.0, [[(-16, -84), (-8, -81), (0, -80), (8, -81), (16, -84)]]),
    "AU20": (1.8, [[(33, -60), (38, -68), (39, -78)]]),
    "AU24": (1.8, [[(29, -62), (31, -68), (29, -74)], [(-12, -83), (0, -82), (12, -83)]]),
}
"""Unit -> width in millimetres and polylines; lateral ones are mirrored, each side following its own half."""
SHALLOW = {"AU6": 0.7, "AU12": 0.5, "AU9": 0.5, "AU10": 0.8, "AU14": 0.6, "AU15": 0.45, "AU20": 0.4, "AU24": 0.35}
"""Depth of the folds that are less than 1 deep."""

BAGS = (2.2, [[(19.0, -10.0), (30.0, -15.0), (42.0, -11.0)]])
"""Lines below the eyes of a resting face."""


def at_pixel(points: np.ndarray | list[tuple[float, float]]) -> np.ndarray:
    """Return texture coordinates (column, row) of points (..., 2) in millimetres."""
    points = np.asarray(points, np.float32)
    return np.stack([(points[..., 0] - LEFT) * PX, (TOP - points[..., 1]) * PX], -1)


def smooth_line(points: list[tuple[float, float]], steps: int = 24) -> np.ndarray:
    """Return a smooth curve (steps, 2) through points: a polynomial of degree <= 3 over arc length, rounded to 1e-6 mm."""
    array = np.asarray(points, float)
    t = np.r_[0, np.cumsum(np.hypot(*np.diff(array, axis=0).T))]
    fine = np.linspace(0, t[-1], steps)
    degree = min(3, len(points) - 1)
    return np.stack([np.polyval(np.polyfit(t, array[:, i], degree), fine) for i in range(2)], 1).round(6)


def ridge(lines: list[list[tuple[float, float]]], width: float) -> np.ndarray:
    """Return a texture that is 1 along the lines, falls off smoothly over ``width`` millimetres and fades at the ends."""
    canvas = np.zeros(SHAPE, np.float32)
    for line in lines:
        curve = at_pixel(smooth_line(line))
        strength = np.sqrt(np.sin(np.linspace(0.12, 1 - 0.12, len(curve) - 1) * np.pi))
        for start, end, weight in zip(curve[:-1], curve[1:], strength, strict=True):
            a, b = (tuple(int(v) for v in np.round(p * 16)) for p in (start, end))
            cv2.line(canvas, a, b, float(weight), 1, cv2.LINE_AA, 4)
    blurred = exact.blur(canvas, width * PX * 0.5)
    return blurred / max(float(blurred.max()), 1e-6)


def mirror(lines: list[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    """Return the lines mirrored to the subject's right side."""
    return [[(-x, y) for x, y in line] for line in lines]


@lru_cache(maxsize=1)
def fold_heights() -> tuple[tuple[str, ...], np.ndarray]:
    """Return fold units and (2 x folds, H, W) float32 depths: right halves, then left; central lines are split."""
    x = np.linspace(LEFT, LEFT + SHAPE[1] / PX, SHAPE[1], dtype=np.float32)[None]
    on_left = np.clip(x / 12 + 0.5, 0, 1)
    rights, lefts = [], []
    for unit, (width, lines) in FOLDS.items():
        depth = np.float32(SHALLOW.get(unit, 1.0))
        across = [line for line in lines if min(at[0] for at in line) < 0]
        beside = [line for line in lines if line not in across]
        middle = ridge(across, width)
        rights.append(depth * np.maximum(ridge(mirror(beside), width), middle * (1 - on_left)))
        lefts.append(depth * np.maximum(ridge(beside, width), middle * on_left))
    return tuple(FOLDS), np.stack(rights + lefts)


@lru_cache(maxsize=1)
def fold_columns() -> list[int]:
    """Return the positions of the fold units in UNITS."""
    return [UNITS.index(name) for name in fold_heights()[0]]


@lru_cache(maxsize=1)
def fold_area() -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the rows and columns of the texture with folds or resting lines (plus 2 pixels), and ``fold_heights`` there."""
    heights = fold_heights()[1]
    reached = (heights != 0).any(0) | (resting_lines() != 0).any(0)
    rows, columns = (np.flatnonzero(reached.any(axis)) for axis in (1, 0))
    area = tuple(slice(max(int(ids[0]) - 2, 0), int(ids[-1]) + 3) for ids in (rows, columns))
    return (area[0], area[1]), np.ascontiguousarray(heights[:, area[0], area[1]])


@lru_cache(maxsize=1)
def lip_and_lash() -> tuple[np.ndarray, np.ndarray]:
    """Return (H, W) weights of lip skin and of the lid margin, painted from the mesh's vertices."""
    mesh = head_mesh()
    upper = np.where(mesh.rest[:, 1] > 0, 1.0, 0.55)  # upper lashes are longer
    return paint_vertices(np.clip(mesh.lip * 1.2, 0, 1)), paint_vertices(mesh.lash**2 * upper)


@lru_cache(maxsize=1)
def ears() -> tuple[np.ndarray, np.ndarray]:
    """Return weights of the ears, what the model's change of their size moves, per vertex (V,) and pixel (H, W)."""
    mesh = head_mesh()
    sizes = [np.flatnonzero(mesh.change_names == f"{side}-ear-scale-incr")[0] for side in "lr"]
    moved = exact.length((mesh.changes[sizes[0], 1] + mesh.changes[sizes[1], 1]).T)
    weights = np.clip(moved / moved.max() * 4 - 0.3, 0, 1)
    return weights, paint_vertices(weights)


def paint_vertices(values: np.ndarray) -> np.ndarray:
    """Return (H, W): values (V,) in [0, 1] of the skin's vertices painted on the texture, the front-most last."""
    mesh = head_mesh()
    places = np.round(at_pixel(mesh.rest[:, :2]) * 16).astype(np.int32)
    canvas = np.zeros(SHAPE, np.float32)
    shares = values[mesh.faces].mean(1)
    front = (mesh.region[mesh.faces[:, 0]] == 0) & (shares > 0)
    depth_order = np.argsort(mesh.rest[mesh.faces[front], 2].mean(1), kind="stable")
    for triangle in np.flatnonzero(front)[depth_order]:
        cv2.fillConvexPoly(canvas, places[mesh.faces[triangle]], float(shares[triangle]), cv2.LINE_AA, 4)
    return exact.blur(canvas, 0.6 * PX)


RESTING = {"AU1": 0.5, "AU4": 0.35, "AU6": 0.5, "AU9": 0.15, "AU12": 0.45}
"""Units whose lines stay in resting faces -> their share; lines that pull the mouth down or press it are expressions."""


@lru_cache(maxsize=1)
def resting_shares() -> np.ndarray:
    """Return the share (folds + 1,) of each of ``resting_lines``."""
    return np.array([*(RESTING.get(unit, 0.0) for unit in fold_heights()[0]), 0.8])


@lru_cache(maxsize=1)
def resting_lines() -> np.ndarray:
    """Return (folds + 1, H, W): permanent, symmetric lines of each unit, and bags below the eyes."""
    names, heights = fold_heights()
    both = np.maximum(heights[: len(names)], heights[len(names) :])
    width, lines = BAGS
    return np.concatenate([both, np.maximum(ridge(lines, width), ridge(mirror(lines), width))[None]])


NOISE = 6.0
"""Clipping of normal noise, in standard deviations, before blurring or enlarging."""


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (H, W) float64 in mm of every texture pixel."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    return LEFT + columns / PX, TOP - rows / PX


def blurred_noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Return (H, W) float32 normal noise, blurred by ``sigma`` pixels."""
    return exact.blur(rng.normal(0, 1, SHAPE), sigma, low=-NOISE, high=NOISE)


def tufted_noise(rng: np.random.Generator, sigma: float, sigma_y: float) -> np.ndarray:
    """Return ``blurred_noise`` drawn at half the resolution, for shapes of a few pixels; cheaper."""
    half = (SHAPE[0] // 2, SHAPE[1] // 2)
    return exact.enlarge(
        exact.blur(rng.normal(0, 1, half), sigma / 2, sigma_y / 2, -NOISE, NOISE), SHAPE, -NOISE, NOISE
    ) * np.float32(0.5)


def planes(colour: np.ndarray) -> np.ndarray:
    """Return a colour (3,) as (3, 1, 1), since painting textures plane by plane is several times faster."""
    return colour[:, None, None]
