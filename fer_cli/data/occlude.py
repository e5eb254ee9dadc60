"""Occluders: a black square (Fan 2025, Fig 9), a face mask, a bar over the eyes, a hand.

Each covers a given fraction of the image area. The square has side round(sqrt(fraction) x image side) and a uniform position
inside the image. The others are grown until they cover at least round(fraction x pixels) inside the image: mask and bar
around fixed points of a face crop that fills the image, the hand around a uniform point at a uniform angle. Coordinates are
fractions of the image side, x to the right, y down.
"""

from __future__ import annotations

import math

import numpy as np

from fer_cli.config import CorruptConfig
from fer_cli.data.draws import uniforms

EYES = (0.5, 0.38)
"""Midpoint between the eyes in a face crop."""
EYES_ASPECT = 4.0
"""Aspect ratio of the bar while it is narrower than the image."""
MASK, MASK_AXES, MASK_POWER = (0.5, 0.75), (0.45, 0.28), 3.0
"""Centre, half axes and exponent of the mask's super-ellipse, from the nose to the chin."""
MASK_GREY = 200
"""Grey value of the mask."""
DIRECTIONS = 4096
"""Angular steps of the tabulated outline of the hand."""
FINGERS = ((-36, 0.9, 8), (-12, 1.05, 8), (12, 1.0, 8), (36, 0.8, 8), (82, 0.55, 13))
"""Direction of each finger in degrees from the hand's axis, length in palm radii, half width in degrees."""


def occlude(images: np.ndarray, samples: np.ndarray, config: CorruptConfig) -> np.ndarray:
    """Return images (N, T, C, S, S) uint8 with ``config.occluder`` drawn; ``samples`` (N,): names of the images.

    Square and bar are black, the mask is light grey, the hand has the median grey of all frames.
    """
    if config.covered_pixels(images.shape[-1]) == 0:
        return images
    fill: np.ndarray | int = {"square": 0, "eyes": 0, "mask": MASK_GREY}.get(config.occluder, 0)
    if config.occluder == "hand":
        fill = np.median(images, axis=(1, 3, 4), keepdims=True).astype(np.uint8)
    masks = occlusion_masks(samples, images.shape[-1], config)[:, None, None]
    return np.where(masks, fill, images).astype(np.uint8)


def occlusion_masks(samples: np.ndarray, side: int, config: CorruptConfig) -> np.ndarray:
    """Return (N, side, side) bool: True where the image of that name is covered."""
    n, area = len(samples), config.covered_pixels(side)
    if area == 0:
        return np.zeros((n, side, side), dtype=bool)
    if config.occluder == "square":
        return _squares(uniforms(samples, config.seed, "square", 2), side, math.isqrt(area))
    if config.occluder == "hand":
        return _smallest(_hands(uniforms(samples, config.seed, "hand", 3), side), area)
    distance = _bar(side) if config.occluder == "eyes" else _mask(side)
    return np.repeat(_smallest(distance[None], area), n, axis=0)


def _squares(drawn: np.ndarray, side: int, square: int) -> np.ndarray:
    """Return (N, side, side) bool with one square each at position ``drawn`` (N, 2) in [0, 1)."""
    start = np.floor(drawn * (side - square + 1)).astype(np.int64)[:, :, None]
    line = np.arange(side)
    inside = (line >= start) & (line < start + square)  # (N, 2, side)
    return np.asarray(inside[:, 0, :, None] & inside[:, 1, None, :])


def _smallest(distance: np.ndarray, area: int) -> np.ndarray:
    """Return (N, S, S) bool: the ``area`` pixels of smallest distance in each (N, S, S), including ties."""
    flat = distance.reshape(len(distance), -1)
    last = np.partition(flat, area - 1, axis=1)[:, area - 1]
    return np.asarray(distance <= last[:, None, None])


def _offsets(side: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets of pixel centres to the right of ``x`` and below ``y``, rounded so that mirror images tie."""
    middle = (np.arange(side) + 0.5) / side
    return np.round(middle[None, :] - x, 9), np.round(middle[:, None] - y, 9)


def _bar(side: int) -> np.ndarray:
    """Return (side, side): the size at which the bar over the eyes reaches each pixel."""
    right, down = _offsets(side, *EYES)
    return np.asarray(np.maximum(np.abs(right) / EYES_ASPECT, np.abs(down)))


def _mask(side: int) -> np.ndarray:
    """Return (side, side): the size at which the face mask reaches each pixel."""
    right, down = _offsets(side, *MASK)
    return np.asarray(np.abs(right / MASK_AXES[0]) ** MASK_POWER + np.abs(down / MASK_AXES[1]) ** MASK_POWER)


def _hands(drawn: np.ndarray, side: int) -> np.ndarray:
    """Return (N, side, side): the size at which a hand reaches each pixel; ``drawn`` (N, 3) in [0, 1): x, y, angle."""
    middle = (np.arange(side, dtype=np.float32) + 0.5) / side
    right = middle[None, None, :] - drawn[:, 0, None, None].astype(np.float32)
    down = middle[None, :, None] - drawn[:, 1, None, None].astype(np.float32)
    turns = np.arctan2(down, right) / np.float32(2 * math.pi) + (2 - drawn[:, 2, None, None].astype(np.float32))
    return np.asarray(np.hypot(right, down) / _outline()[(turns * DIRECTIONS).astype(np.int32) % DIRECTIONS])


def _outline() -> np.ndarray:
    """Return (DIRECTIONS,) float32: the outline of a hand of palm radius 1 in polar coordinates from its axis."""
    angle = np.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    reach = np.ones(DIRECTIONS)
    for degrees, length, width in FINGERS:
        away = (angle - math.radians(degrees) + math.pi) % (2 * math.pi) - math.pi
        reach += length * np.exp(-((away / math.radians(width)) ** 4))  # flat-topped
    return reach.astype(np.float32)
