"""Brows, beards and hair: covers and shades painted on the skin's texture, volume of the scalp's hair, and long hair.

Covers are (H, W) float32 in [0, 1]; shades are factors (H, W) of the hair's colour around 1.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fer_cli.synthetic import exact, skin
from fer_cli.synthetic.landmarks import landmark_ids
from fer_cli.synthetic.mesh import REGIONS, head_mesh
from fer_cli.synthetic.skin import grid, tufted_noise

CENTRE_MM = np.array([0.0, 15.0, -70.0], np.float32)
"""Centre of the skull; hair stands away from it."""
STRANDS = 60
"""Strands drawn over long hair, a third in each tone."""


def brows(rng: np.random.Generator, female: bool, age: float) -> np.ndarray:
    """Return the cover (H, W) of both brows."""
    inner, peak, outer = rng.uniform(11.5, 16.5), rng.uniform(32, 41), rng.uniform(48, 57)
    lift, arch = rng.normal(0, 1.2), rng.uniform(1.0, 5.5) * (1.25 if female else 0.8)
    thick = rng.uniform(2.8, 5.0) if female else rng.uniform(4.0, 7.0)
    line = skin.smooth_line([(inner, 15 + lift), (peak, 17 + lift + arch), (outer, 12 + lift + arch * 0.4)], 60)
    cover = np.zeros(skin.SHAPE, np.float32)
    density = int(rng.uniform(170, 280))
    for side in (-1, 1):
        at = rng.uniform(0, 1, density)
        draws = [(rng.uniform(-0.5, 0.5), rng.normal(0, 12), rng.uniform(2.5, 5)) for _ in at]  # hair by hair
        off, lean, length = np.array(draws).T
        width = thick * (1 - 0.75 * np.maximum(0.0, at - 0.45) / 0.55) * (0.55 + 0.45 * np.minimum(1.0, at * 5))
        start = line[(at * 59).astype(int)]
        start = np.stack([start[:, 0], start[:, 1] + off * width], 1)
        lean = np.deg2rad(70 - 75 * at + lean)
        end = start + np.stack([np.cos(lean), np.sin(lean)], 1) * length[:, None]
        ends = np.round(skin.at_pixel(np.stack([start, end], 1) * (side, 1)) * 16).astype(int)
        cv2.polylines(cover, [*ends.astype(np.int32)], False, 1.0, 1, cv2.LINE_AA, 4)
    cover = exact.blur(cover, 1.0)
    return np.clip(cover * rng.uniform(1.0, 1.8) * (1 - 0.25 * age), 0, 0.95)


def beard(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return cover and shade (H, W) of stubble, moustache or beard; mostly a shadow."""
    x, y = grid()
    tufts = tufted_noise(rng, 0.9, 2.2) * 3
    ragged = y + 3.0 * tufts
    lower = exact.logistic(-(ragged + 50 + 0.010 * (np.abs(x) - 20) ** 2 * np.where(np.abs(x) > 20, -1, 0)) / 6)
    mouth = exact.exp(-(((x / 27) ** 2 + ((y + 68) / 9.5) ** 2) ** 3))
    lip_top = exact.exp(-(((x / 25) ** 2 + ((ragged + 55) / 6.0) ** 2) ** 2))
    kind, strength = rng.random(), rng.uniform(0, 1)
    dots = np.clip(0.7 + 1.3 * (exact.blur(rng.random(skin.SHAPE), 0.7) - 0.5), 0.2, 1)
    grown = np.clip(0.72 + 0.3 * tufts, 0.25, 0.95)
    shadow = lower * (1 - mouth)
    if kind < 0.62:
        cover = shadow * dots * (0.35 * strength)
    elif kind < 0.8:
        cover = np.clip(shadow + 0.5 * lip_top * (1 - mouth), 0, 1) * dots * (0.4 + 0.3 * strength)
    elif kind < 0.9:
        cover = lip_top * (1 - mouth) * grown * (0.7 + 0.3 * strength) + shadow * dots * 0.12
    else:
        cover = np.clip(shadow * 1.2 + lip_top * (1 - mouth), 0, 1) * grown * (0.8 + 0.2 * strength)
    return cover.astype(np.float32), np.clip(1.0 + 0.35 * tufts, 0.6, 1.6).astype(np.float32)


def hair_line(rng: np.random.Generator, female: bool, age: float) -> np.ndarray:
    """Return the cover (H, W) of scalp hair above the forehead and beyond the temples; none for the bald."""
    x, y = grid()
    if not female and rng.random() < 0.06 + 0.25 * age:
        return np.zeros(skin.SHAPE, np.float32)
    fringe = rng.random() < (0.3 if female else 0.15)
    height = rng.uniform(26, 46) if fringe else rng.uniform(48, 68) + (0 if female else 10 * age)
    side = rng.uniform(66, 74)
    waves = rng.normal(0, 3.0 if fringe else 1.5, 41)
    off = x[0] + rng.uniform(-12, 12)
    line = height + np.interp(x[0], np.linspace(skin.LEFT, -skin.LEFT, 41), waves) + rng.uniform(-0.15, 0.15) * x[0]
    if fringe:
        line = line + 0.002 * off**2  # longest in the middle
    else:
        receding = 0.0 if female else rng.uniform(0, 9 + 8 * age)
        temples = receding * np.exp(-(((np.abs(off) - 38) / 16) ** 2))
        line = line - 16 * (off / 66) ** 4 + temples - 5 * np.exp(-((off / 9) ** 2))
    tips = tufted_noise(rng, 0.8, 3.0)
    above = exact.logistic((y - line[None] + 9 * tips) / 1.6)
    beside = exact.logistic((np.abs(x) - side - 0.12 * np.clip(60 - y, 0, 90) * (0.0 if female else 0.35) + 6 * tips) / 1.5)
    reach = exact.logistic((y - (-120 if female else rng.uniform(-25, 10)) + 8 * tips) / 4)
    return (np.clip(above + beside * reach, 0, 1) * (1 - skin.ears()[1])).astype(np.float32)


@lru_cache(maxsize=8)
def combing(parting: int) -> np.ndarray:
    """Return (H, W) int64: places in noise of shape (64, 512), whose rows run along the hair from a parting at x in mm."""
    x, y = grid()
    turn = np.arctan2(x - parting, np.maximum(104 - y, 4))
    along = np.sqrt((x - parting) ** 2 + (104 - y) ** 2)
    columns = np.clip((turn / np.pi + 0.5) * 511, 0, 511).astype(np.int64)
    return np.clip(along * 0.25, 0, 63).astype(np.int64) * 512 + columns


def strands(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Return the shade (H, W) of combed hair: strands that run down from a parting, with a sheen; even in light hair."""
    noise = rng.normal(0, 1, (64, 512))
    fine = exact.blur(noise, 0.7, 9.0, -skin.NOISE, skin.NOISE)
    broad = exact.blur(noise, 4.0, 12.0, -skin.NOISE, skin.NOISE)
    at = combing(int(rng.integers(-4, 5)) * 9)
    lock = (fine * 1.5 + broad * 4.0).ravel()[at]
    y = grid()[1]
    sheen = exact.exp(-(((y - rng.uniform(70, 90)) / 16) ** 2))
    shade = np.clip((1 + lock) * (0.85 + 0.75 * sheen), 0.3, 2.6) - 1
    return np.asarray(1 + shade * (1 - 0.9 * min(float(colour.max()), 0.9)), np.float32)


@lru_cache(maxsize=1)
def scalp() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return texture places (V, 2), outward unit vectors (V, 3) and the share of the hair's volume (V,) of each vertex."""
    mesh = head_mesh()
    outward = (mesh.rest - CENTRE_MM).astype(np.float32)
    outward /= exact.length(outward.T)[:, None]
    high, back = (mesh.rest[:, 1] - 22) / 24, (-36 - mesh.rest[:, 2]) / 22
    share = np.clip(np.maximum(high, back), 0, 1) * (mesh.region == REGIONS.index("skin")) * (1 - skin.ears()[0])
    share[landmark_ids()] = 0
    return skin.at_pixel(mesh.rest[:, :2]), outward, share.astype(np.float32)


def hair_volume(rng: np.random.Generator, cover: np.ndarray, longer: bool) -> np.ndarray:
    """Return the displacement (V, 3) in mm of the scalp under hair of ``cover`` (H, W); tufts make it uneven."""
    places, outward, share = scalp()
    thick = rng.uniform(7, 18) if longer else rng.choice([2.0, 5.0, 9.0, 13.0]) * rng.uniform(0.8, 1.3)
    tufts = exact.enlarge(rng.normal(0, 1, (22, 17)), skin.SHAPE, -skin.NOISE, skin.NOISE)
    depth = cover * (1 + 0.28 * tufts)
    sampled = exact.sample(cv2.merge([depth, depth, depth]), places)[0]
    return np.asarray(outward * (np.clip(sampled, 0, 1.6) * share * np.float32(thick))[:, None], np.float32)


def drape_hair(image: np.ndarray, colour: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> None:
    """Draw long hair behind the head: a dome and two tapering falls beside the face, in strands of three tones.

    ``colour``: RGB of the lit hair; ``pixels``: the 68 landmarks in the image.
    """
    width = exact.distance(pixels[0], pixels[16])
    ears = (pixels[0] + pixels[16]) / 2
    half, high = rng.uniform(0.56, 0.68, 2) * (width, 1.25 * width)
    length = rng.uniform(0.5, 1.2) * width
    dome = np.linspace(np.pi, 2 * np.pi, 24)
    over = np.stack([np.cos(dome) * half, np.sin(dome) * high], 1)
    tips = length * rng.uniform(0.9, 1.06, 7)
    right = np.stack([half * np.array([1.06, 0.98, 0.92, 0.8, 0.7, 0.58, 0.45]), tips * [0.5, 0.85, 1, 0.96, 1, 0.97, 1]], 1)
    outline = np.concatenate([over, right, right[::-1] * (-1, 1)]) + ears
    fill = tuple(float(v) for v in np.clip(colour * 0.8, 0, 1))
    cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], fill, cv2.LINE_AA, 4)
    t = np.linspace(0, 1, 9)
    place = rng.uniform(0.5, 1.02, (STRANDS, 1)) * rng.choice([-1.0, 1.0], (STRANDS, 1))
    swing = rng.normal(0, 0.03, (STRANDS, 1)) * np.sin(t * 5 + rng.uniform(0, 6, (STRANDS, 1)))
    ends = rng.uniform(0.7, 1.02, (STRANDS, 1))
    x = half * (place * (1 + 0.05 * np.sin(np.pi * t)) + swing - 0.12 * place * np.maximum(0, t - 0.6))
    y = -0.75 * high * np.sqrt(np.clip(1 - (place * 0.9) ** 2, 0, 1)) * (1 - t) + length * ends * t
    curves = np.round((np.stack([x, y], 2) + ears) * 16).astype(np.int32)
    draw_strands(image, colour, curves, width)


def draw_strands(image: np.ndarray, colour: np.ndarray, curves: np.ndarray, width: float) -> None:
    """Draw curves (n, k, 2), in 1/16 pixels, in three tones of ``colour``; n is a multiple of three."""
    thick = max(1, round(width / 75))
    for tone, part in zip((0.55, 1.1, 1.6), np.split(curves, 3), strict=True):
        shade = tuple(float(v) for v in np.clip(colour * tone, 0, 1))
        cv2.polylines(image, [*part], False, shade, thick, cv2.LINE_AA, 4)


@lru_cache(maxsize=1)
def ear_ids() -> tuple[int, int]:
    """Return the outermost vertices of the right and left ear."""
    sideways = head_mesh().rest[:, 0] * (skin.ears()[0] > 0)
    return int(sideways.argmin()), int(sideways.argmax())


def draw_locks(
    image: np.ndarray, colour: np.ndarray, pixels: np.ndarray, ears: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the locks of long hair that fall over the ears, and return their cover (S, S).

    ``pixels``, ``ears``: the 68 landmarks and the points ``ear_ids`` (2, 2) in the image.
    """
    width = exact.distance(pixels[0], pixels[16])
    cover = np.zeros(image.shape[:2], np.float32)
    length, wide = rng.uniform(0.25, 0.9) * width, rng.uniform(0.13, 0.2) * width
    t = np.linspace(0, 1, 9)
    for jaw, tip, outward in ((pixels[0], ears[0], -1.0), (pixels[16], ears[1], 1.0)):
        ear = np.array([max(jaw[0] * outward, tip[0] * outward - 0.09 * width) * outward, jaw[1]])
        top = ear - (outward * 0.1 * width, rng.uniform(0.46, 0.54) * width)
        y = top[1] + (ear[1] + length - top[1]) * t
        inner = top[0] + outward * width * (0.09 * np.sqrt(t) + rng.normal(0, 0.012) * np.sin(5 * t))
        spread = outward * wide * (0.35 + 0.65 * np.sqrt(t)) * (1 - 0.6 * np.clip(t - 0.7, 0, 1))
        outline = np.concatenate([np.stack([inner, y], 1), np.stack([inner + spread, y], 1)[::-1]])
        corners = [np.round(outline * 16).astype(np.int32)]
        cv2.fillPoly(cover, corners, 1.0, cv2.LINE_AA, 4)
        cv2.fillPoly(image, corners, tuple(float(v) for v in np.clip(colour * 0.8, 0, 1)), cv2.LINE_AA, 4)
        place = rng.uniform(0, 1, (18, 1))
        x = inner + spread * place + 0.012 * width * np.sin(6 * t + rng.uniform(0, 6, (18, 1)))
        ends = ear[1] + length * rng.uniform(0.7, 1.05, (18, 1))
        draw_strands(image, colour, np.round(np.stack([x, top[1] + (ends - top[1]) * t], 2) * 16).astype(np.int32), width)
    return cover
