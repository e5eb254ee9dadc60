"""Lights, background and camera effects; their strength grows with ``difficulty`` in [0, 1].

All draws come from one generator per image. Images are float32 RGB in [0, 1]; highlights of a face may reach ``BRIGHTEST``.
"""

from __future__ import annotations

import cv2
import numpy as np

from fer_cli.synthetic import exact
from fer_cli.synthetic.ingredients import EVERYTHING, Ingredients
from fer_cli.synthetic.render import Light, Lighting

BRIGHTEST = 2.0
"""Scene value of the brightest highlight; the exposure rolls off towards white from ``KNEE`` on, without saturation."""
KNEE = 0.7
TOE = 0.12
"""Scene value below which the exposure flattens out towards black."""
CONTRAST = (0.8, 1.9)
LIGHTEST = 0.8
"""Largest exposed value of the median of skin, where it is known."""
FRONTAL = Lighting(
    np.full(3, 0.45, np.float32), 0.7, (Light(np.array([0, 0, 1], np.float32), np.full(3, 0.5, np.float32)),), 0.0
)
"""One lamp at the camera."""


def draw_lighting(rng: np.random.Generator, gloss: float, difficulty: float) -> Lighting:
    """Return one to three lamps, mostly from above and in front; harder and more lateral with difficulty."""
    key = rng.uniform(0.45, 0.85) * (1 + 0.4 * difficulty * rng.random())
    lights = [lamp(rng, 25 + 45 * difficulty, key)]
    if rng.random() < 0.6:
        lights.append(lamp(rng, 75, rng.uniform(0.05, 0.35)))
    if rng.random() < 0.2:
        lights.append(lamp(rng, 110, rng.uniform(0.1, 0.4)))
    ambient = rng.uniform(0.2, 0.48) * tint(rng)
    return Lighting(ambient.astype(np.float32), float(rng.uniform(0.35, 0.8)), tuple(lights), gloss)


def lamp(rng: np.random.Generator, spread: float, strength: float) -> Light:
    """Return a lamp within about ``spread`` degrees of the camera's axis, rather above than below."""
    yaw, pitch = np.deg2rad(rng.normal(0, spread * 0.6)), np.deg2rad(rng.normal(0.5, 0.5) * min(spread, 60.0) * 0.8)
    towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], np.float32)
    return Light(towards, (strength * tint(rng)).astype(np.float32))


def tint(rng: np.random.Generator) -> np.ndarray:
    """Return a whitish light colour (3,)."""
    return np.asarray(1 + rng.normal(0, 0.02, 3) + rng.normal(0, 0.04) * np.array([1, 0, -1]))


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a blurred room (S, S, 3): a wall with a gradient and, half the time, shapes; drawn at a quarter of the size."""
    small = max(8, size // 4)
    wall = rng.uniform(0.08, 0.95) * (1 + rng.normal(0, 0.08, 3))
    ends = np.clip(wall[None] * rng.uniform(0.75, 1.25, (4, 1)), 0, 1).reshape(2, 2, 3).astype(np.float32)
    image = exact.enlarge(ends, (small, small))
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 6)):
            a, b = (tuple(int(v) for v in rng.integers(-small // 4, small * 5 // 4, 2)) for _ in range(2))
            colour = tuple(float(v) for v in np.clip(rng.uniform(0, 1) + rng.normal(0, 0.1, 3), 0, 1))
            cv2.rectangle(image, a, b, colour, -1)
        image = exact.blur(image, small * rng.uniform(0.01, 0.06))
    return exact.enlarge(image, (size, size))


def expose(
    image: np.ndarray,
    size: int,
    rng: np.random.Generator,
    noise: np.random.Generator,
    difficulty: float,
    ingredients: Ingredients = EVERYTHING,
    blur: float | None = None,
    skin: np.ndarray | None = None,
) -> np.ndarray:
    """Return the final image (size, size, 3) uint8: downscaled, blurred, exposed, noisy, compressed.

    The light is metered half in the middle of the image; no exposure or noise makes skin black or white. Without the lens
    the exposure is the same for all images and the rest is left out. ``blur``: unit of blur in pixels, default that of a
    face that fills the image. ``skin``: (size, size) bool, skin whose median the exposure keeps from nearing white.
    """
    lens = ingredients.lens
    picture = exact.halve(image)
    if lens and rng.random() < 0.3 + 0.3 * difficulty:
        unit = size / 64 if blur is None else blur
        picture = exact.blur(picture, rng.uniform(0.25, 0.5 + 0.6 * difficulty) * unit, high=BRIGHTEST)
    inner = slice(size // 4, size - size // 4)
    luminance = max(float(picture.mean(dtype=np.float64) + picture[inner, inner].mean(dtype=np.float64)) / 2, 1e-3)
    target = float(np.clip(rng.normal(0.52, 0.12), 0.22, 0.8)) if lens else 0.5
    contrast = rng.uniform(*CONTRAST)
    if not (lens and ingredients.contrast):
        contrast = 1.0
    gain = 0.2 + 0.8 * target / luminance
    if skin is not None and skin.any():
        gain = min(gain, LIGHTEST / float(np.median(picture[skin].mean(1, dtype=np.float64))))
    picture = target + (picture * gain - target) * np.float32(contrast)
    picture = roll_off(picture)
    if lens and rng.random() < 0.5:
        grain = rng.uniform(0.003, 0.02 + 0.03 * difficulty)
        strength = np.minimum(np.minimum(picture, 1 - picture) * np.float32(4 * grain), np.float32(grain))
        picture = picture + noise.normal(0, 1, picture.shape).astype(np.float32) * strength
    quantised = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    if lens and rng.random() < 0.3:
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(45, 95))]
        coded = cv2.imencode(".jpg", quantised[..., ::-1], quality)[1]
        quantised = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(quantised)


def roll_off(picture: np.ndarray) -> np.ndarray:
    """Return scene values as values strictly between 0 and 1: unchanged in the middle but for a veil, flattening out beyond.

    Values below 0, of strong contrast, come close to black without reaching it.
    """
    toe = np.float32(TOE)
    picture = np.where(picture < toe, toe * toe / np.maximum(2 * toe - picture, toe), picture)
    over = np.maximum(picture - np.float32(KNEE), 0) * np.float32(1 / (1 - KNEE))
    rolled = np.minimum(picture, np.float32(KNEE)) + np.float32(1 - KNEE) * (over / (1 + over))
    return np.asarray(np.float32(0.022) + np.float32(0.96) * rolled)
