"""What stands before a face: a black square (Fan 2025, Fig 9), a face mask, a bar over the eyes, a hand.

Every shape covers a given share of the image area. The square has side round(sqrt(share) x image side) and stands at a
uniform place inside the image. The others are grown until they cover at least round(share x pixels): mask and bar about
fixed points of a face crop that fills the image, the hand about a uniform point, turned by a uniform angle; what of them
would lie outside the image is made up for inside. Coordinates are shares of the image side, x rightwards, y downwards.
"""

from __future__ import annotations

import math

import numpy as np

from fer_cli.config import CorruptConfig
from fer_cli.data.draws import uniforms

EYES = (0.5, 0.38)
"""Midpoint between the eyes in a face crop."""
EYES_ASPECT = 4.0
"""Width of the bar over its height, while it is narrower than the image."""
MASK, MASK_AXES, MASK_POWER = (0.5, 0.75), (0.45, 0.28), 3.0
"""Centre, half axes and exponent of the super-ellipse of a mask that reaches from the nose to the chin."""
MASK_GREY = 200
"""Grey value of the mask's cloth."""
DIRECTIONS = 4096
"""Steps in which the outline of the hand is tabulated, all the way round."""
FINGERS = ((-36, 0.9, 8), (-12, 1.05, 8), (12, 1.0, 8), (36, 0.8, 8), (82, 0.55, 13))
"""Each finger's direction in degrees from the hand's own, its length in palm radii, and its half width in degrees."""


def occlude(images: np.ndarray, samples: np.ndarray, config: CorruptConfig) -> np.ndarray:
    """Return images (N, T, C, S, S) uint8 with ``config.occluder`` before each face; ``samples`` (N,) are the images' names.

    Square and bar are black, the mask is light grey, the hand has the image's median grey over its frames.
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
    """Return (N, side, side) bool with one square each; ``drawn`` (N, 2) in [0, 1) says where."""
    start = np.floor(drawn * (side - square + 1)).astype(np.int64)[:, :, None]
    line = np.arange(side)
    inside = (line >= start) & (line < start + square)  # (N, 2, side)
    return np.asarray(inside[:, 0, :, None] & inside[:, 1, None, :])


def _smallest(distance: np.ndarray, area: int) -> np.ndarray:
    """Return (N, S, S) bool: the ``area`` pixels of least distance in each (N, S, S), and those as near as the last."""
    flat = distance.reshape(len(distance), -1)
    last = np.partition(flat, area - 1, axis=1)[:, area - 1]
    return np.asarray(distance <= last[:, None, None])


def _offsets(side: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel's middle lies right of ``x`` and below ``y``, rounded so that mirror images tie."""
    middle = (np.arange(side) + 0.5) / side
    return np.round(middle[None, :] - x, 9), np.round(middle[:, None] - y, 9)


def _bar(side: int) -> np.ndarray:
    """Return (side, side): how much the bar over the eyes must grow to reach a pixel."""
    right, down = _offsets(side, *EYES)
    return np.asarray(np.maximum(np.abs(right) / EYES_ASPECT, np.abs(down)))


def _mask(side: int) -> np.ndarray:
    """Return (side, side): how much the face mask must grow to reach a pixel."""
    right, down = _offsets(side, *MASK)
    return np.asarray(np.abs(right / MASK_AXES[0]) ** MASK_POWER + np.abs(down / MASK_AXES[1]) ** MASK_POWER)


def _hands(drawn: np.ndarray, side: int) -> np.ndarray:
    """Return (N, side, side): how much a hand must grow to reach a pixel; ``drawn`` (N, 3) in [0, 1): x, y, angle."""
    middle = (np.arange(side, dtype=np.float32) + 0.5) / side
    right = middle[None, None, :] - drawn[:, 0, None, None].astype(np.float32)
    down = middle[None, :, None] - drawn[:, 1, None, None].astype(np.float32)
    turns = np.arctan2(down, right) / np.float32(2 * math.pi) + (2 - drawn[:, 2, None, None].astype(np.float32))
    return np.asarray(np.hypot(right, down) / _outline()[(turns * DIRECTIONS).astype(np.int32) % DIRECTIONS])


def _outline() -> np.ndarray:
    """Return (DIRECTIONS,) float32: how far a hand of palm radius 1 reaches in each direction, from its own axis on."""
    angle = np.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    reach = np.ones(DIRECTIONS)
    for degrees, length, width in FINGERS:
        away = (angle - math.radians(degrees) + math.pi) % (2 * math.pi) - math.pi
        reach += length * np.exp(-((away / math.radians(width)) ** 4))  # flat-topped: a finger, not a spike
    return reach.astype(np.float32)
