"""How cloth and hair look close up: folds as slopes, patterns, seams, buttons and strands as tones.

Coordinates are those of ``tailor.limb_coordinate`` in mm. Detail finer than the pixels fades.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fer_cli.synthetic import exact
from fer_cli.synthetic.clothes import Outfit

TEXEL = 3.0
LEFT, TOP = -330.0, 60.0
SHAPE = (388, 220)
"""Rows and columns of the map of folds: x from -330 to 330, y from 60 down to -1104 mm."""
SLOPE = 0.28


@dataclass(frozen=True)
class Cloth:
    """Folds and strands of one person's clothes and hair."""

    folds: np.ndarray
    """(H, W, 3) float32: slopes in x and y, and depth in [0, 1]."""
    strands: np.ndarray
    """(1024,) float32 lightness around 1, over 0.5 mm steps."""


def weave(rng: np.random.Generator, outfit: Outfit, lowest: float = -np.inf) -> Cloth:
    """Return the folds of a person's clothes above the height ``lowest`` and the strands of the hair."""
    strong = {"t-shirt": 0.9, "polo": 0.8, "shirt": 1.0, "blouse": 1.0, "jumper": 0.6, "jacket": 0.7}[outfit.kind]
    shape = (int(min(SHAPE[0], (TOP - lowest) / TEXEL + 16)), SHAPE[1])  # with room for blurring
    height, line = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    starts, ends, wide = (np.array(part) for part in zip(*strokes(rng, outfit, lowest), strict=True))
    strength = rng.uniform(0.4, 1.0, len(wide)).astype(np.float32)
    ends = (np.stack([starts, ends], 1) - (LEFT, TOP)) * (1 / TEXEL, -1 / TEXEL)
    low, high = (np.clip(edge, 0, shape[::-1]).astype(int) for edge in (ends.min(1) - 5, ends.max(1) + 6))
    corners = np.rint(ends * 16).astype(int).tolist()
    for place in np.flatnonzero((low < high).all(1)).tolist():
        (left, top), (right, bottom) = low[place].tolist(), high[place].tolist()
        here = (slice(top, bottom), slice(left, right))
        first, last = corners[place]
        cv2.line(line, first, last, 1.0, max(1, int(wide[place])), cv2.LINE_AA, 4)
        np.maximum(height[here], line[here] * strength[place], out=height[here])
        line[here] = 0
    depth = np.clip(exact.blur(height, 1.3) * 0.9 + exact.blur(height, 4.0) * 1.1, 0, 1) * np.float32(strong)
    across, along = exact.slopes(depth)
    folds = cv2.merge([across * np.float32(-SLOPE * 3), along * np.float32(SLOPE * 3), depth])
    noise = rng.normal(0, 1, (1, 1024))
    noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 2, 1) * 0.5)[0]
    locks = rng.normal(0, 1, 64).repeat(16)
    return Cloth(folds, np.clip(1 + 0.13 * noise + 0.1 * locks, 0.5, 1.6).astype(np.float32))


def strokes(rng: np.random.Generator, outfit: Outfit, lowest: float = -np.inf) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Return start, end (mm) and width (texels) of folds: from the armpits, at the waist, the elbows, the hips and knees.

    Those far below ``lowest`` are left out.
    """
    lines: list[tuple[np.ndarray, np.ndarray, float]] = []

    def add(count: int, x: float, y: float, size: tuple[float, float], angle: float, length: tuple[float, float]) -> None:
        for _ in range(count):
            for side in (-1, 1):
                at = np.array([x * side, y]) + rng.normal(0, 1, 2) * size
                turn = np.deg2rad(angle + rng.normal(0, 14))
                step = np.array([np.cos(turn) * side, np.sin(turn)]) * rng.uniform(*length) / 2
                lines.append((at - step, at + step, float(rng.uniform(1, 3.2))))

    add(3, 150, -305, (10, 12), 40, (40, 75))  # from the armpits
    add(4, 190, -330, (12, 50), 35, (40, 90))
    if lowest > -400:
        return lines
    add(5, 95, -565, (40, 35), 12, (60, 150))  # at the waist
    add(3, 80, -520, (45, 50), 78, (60, 150))  # falling
    if outfit.sleeve > 1:
        add(7, 190, -480, (10, 40), 20, (40, 90))  # at the elbows
        add(4, 190, -640, (10, 50), 15, (40, 80))
    if outfit.skirt:
        pleats = np.arange(-320, 330, 38) + rng.normal(0, 7, 18)
        lines += [(np.array([x, -700.0]), np.array([x * 1.02, -1100.0]), float(rng.uniform(1, 4))) for x in pleats]
    else:
        add(5, 45, -800, (25, 20), 35, (50, 110))  # at the crotch
        add(3, 110, -870, (30, 60), 80, (60, 150))
    return lines


def wave(at: np.ndarray, period: float, share: float, soft: float) -> np.ndarray:
    """Return stripes in [0, 1]: 1 over ``share`` of each ``period``, with edges ``soft`` mm wide; finer ones fade."""
    off = np.abs(np.mod(at, np.float32(period)) - np.float32(period / 2))
    edge = np.float32(max(soft, 0.5))
    stripe = np.clip((np.float32(share * period / 2) - off) / edge + np.float32(0.5), 0, 1)
    fade = np.float32(np.clip(period / (2.5 * soft) - 0.5, 0, 1))
    return stripe * fade + np.float32(share) * (1 - fade)


def texture(
    colour: np.ndarray, normal: np.ndarray, code: np.ndarray, place: np.ndarray, cloth: Cloth, outfit: Outfit, step: float
) -> None:
    """Change colours (3, n) and normals (3, n: x, y) of cloth and hair in place; ``step``: mm per pixel."""
    hair = np.flatnonzero(code == 3)
    u, v = place[:, hair]
    at = (u * np.float32(2) + np.float32(6) * np.abs(np.mod(v * np.float32(0.02), 2) - 1) + 2048).astype(np.intp)
    colour[:, hair] *= cloth.strands.take(at % 1024)
    worn = np.flatnonzero(code >= 4)
    if not len(worn):
        return
    where = place[:, worn]
    u, v = where
    at = np.stack([(u - np.float32(LEFT)) / np.float32(TEXEL), (np.float32(TOP) - v) / np.float32(TEXEL)], 1)
    fold = exact.sample(cloth.folds, at)
    normal[:2, worn] += fold[:2]
    tone = colour[:, worn]
    kind = code[worn]
    top = kind == 4
    if outfit.pattern != "plain":
        share = (pattern(outfit, u, v, step) * top)[None]
        tone = tone * (1 - share) + outfit.second[:, None] * share
    dark = details(outfit, u, v, top, step)
    colour[:, worn] = tone * ((1 - np.float32(0.13) * fold[2]) * (1 - dark))


def pattern(outfit: Outfit, u: np.ndarray, v: np.ndarray, step: float) -> np.ndarray:
    """Return (n,) the share of the second colour."""
    period = outfit.period
    if outfit.pattern == "stripes":
        return wave(v, period, 0.5, step)
    if outfit.pattern == "pinstripes":
        return wave(u, period / 1.6, 0.22, step)
    if outfit.pattern == "checks":
        return (wave(u, period, 0.45, step) + wave(v, period, 0.45, step)) * np.float32(0.5)
    return np.clip((np.float32(-330) - v) / np.float32(max(step, 1.0)) + np.float32(0.5), 0, 1)


def details(outfit: Outfit, u: np.ndarray, v: np.ndarray, top: np.ndarray, step: float) -> np.ndarray:
    """Return (n,) how much darker seams, plackets, buttons and ribs are, in [0, 1]."""
    soft = np.float32(max(step, 1.5))
    dark = np.zeros(len(u), np.float32)

    def line(off: np.ndarray, wide: float, depth: float) -> np.ndarray:
        return np.clip((np.float32(wide / 2) - np.abs(off)) / soft + np.float32(0.5), 0, 1) * np.float32(depth) * top

    buttoned = {"shirt": -1100.0, "blouse": -1100.0, "polo": -330.0, "jacket": -1100.0}.get(outfit.kind)
    if buttoned is not None and outfit.neck == "collar":
        below = v > np.float32(buttoned)
        if outfit.kind == "jacket":
            below = v < np.float32(-470)
        dark = np.maximum(dark, line(u - 14, 3.0, 0.35) * below)
        spot = np.abs(np.mod(v, np.float32(80)) - 40)
        dark = np.maximum(dark, line(np.maximum(np.abs(u), spot), 9.0, 0.5) * below)
    if outfit.kind == "jumper":
        dark = np.maximum(dark, np.float32(0.07) * wave(u, 9.0, 0.5, step) * top)
    return dark
