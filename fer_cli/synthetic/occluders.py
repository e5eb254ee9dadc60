"""Things in front of a face: a hand, a mask, strands of hair, a black square.

Up to the difficulty ``EASY``, which covers every still set as it ships, an occluder never hides all that carries the class:
at most the shares ``HIDES`` of the mouth, of the brows and eyes, and of the landmarks' movement. So there are no masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fer_cli.synthetic import exact

OCCLUDERS = ("none", "hand", "mask", "strand", "square")
EASY = 0.5
HIDES = (0.3, 0.4, 0.3)
"""Greatest share hidden of the mouth's landmarks, of those of brows and eyes, and of all movement."""
TRIES = 8
"""Draws before a face stays without an occluder."""
TEST_PX = 64
"""Image side in which an occluder is tested on the face, frontal and centred."""


@dataclass(frozen=True)
class Occluder:
    """An occluder and the seed of its shape, which is relative to the landmarks."""

    kind: str
    seed: int


def choose_occluder(landmarks: np.ndarray, difficulty: float, rng: np.random.Generator) -> Occluder | None:
    """Return an occluder that leaves enough visible, or None if none of several does.

    ``landmarks``: (68, 3), x and y of each in mm, y up, and how far the expression has moved it. The choice is the same for
    all frames of a clip, which share them.
    """
    places, movement = landmarks[:, :2], landmarks[:, 2]
    low, high = places.min(0), places.max(0)
    points = ((places - low) / float((high - low).max()) * (1, -1) + (0, 1)) * (TEST_PX * 0.8) + TEST_PX * 0.1
    at = np.clip(np.round(points), 0, TEST_PX - 1).astype(int)
    for _ in range(TRIES):
        one = Occluder(OCCLUDERS[rng.integers(1, len(OCCLUDERS))], int(rng.integers(2**62)))
        if difficulty > EASY:
            return one
        polygons = occluder_polygons(one.kind, points, np.random.default_rng(one.seed))
        hidden = cover_of(polygons, TEST_PX)[at[:, 1], at[:, 0]] >= 0.5
        share = float(movement[hidden].sum(dtype=np.float64)) / max(float(movement.sum(dtype=np.float64)), 1e-6)
        shares = (hidden[48:].mean(), hidden[17:27].mean() * 0.5 + hidden[36:48].mean() * 0.5, share)
        if all(value <= most for value, most in zip(shares, HIDES, strict=True)):
            return one
    return None


def cover_of(polygons: list[np.ndarray], size: int) -> np.ndarray:
    """Return the cover (size, size) float32 in [0, 1] of polygons in pixels."""
    cover = np.zeros((size, size), np.float32)
    for polygon in polygons:
        cv2.fillPoly(cover, [np.round(polygon * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cover


def face_width(points: np.ndarray) -> float:
    """Return the distance of the ears' landmarks, in pixels."""
    return exact.distance(points[0], points[16]) + 1.0


def occluder_polygons(kind: str, points: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the polygons of an occluder; ``points``: the 68 landmarks in pixels."""
    width = face_width(points)
    if kind == "square":
        side = rng.uniform(0.16, 0.34) * width
        centre = points[rng.integers(17, 68)] + rng.normal(0, 0.05 * width, 2)
        return [centre + side / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])]
    if kind == "mask":
        nose = points[28:29] * 0.4 + points[29:30] * 0.6
        sides = (points[14:15] * 0.6 + points[29:30] * 0.4, nose, points[2:3] * 0.6 + points[29:30] * 0.4)
        return [np.concatenate([points[2:15], *sides])]
    if kind == "hand":
        return hand(points, width, rng)
    return strands(points, width, rng)


def strands(points: np.ndarray, width: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Return polygons of a lock: strands side by side from above a brow to one side, each tapering to its tip."""
    root = points[rng.integers(17, 27)] - (0, rng.uniform(0.3, 0.6) * width)
    aside = rng.choice([-1.0, 1.0])
    fall = np.array([aside * rng.uniform(0.05, 0.35), rng.uniform(0.5, 1.0)]) * width
    bow = np.array([-aside * rng.uniform(0.05, 0.16) * width, 0.0])
    t = np.linspace(0, 1, 14)[:, None]
    polygons = []
    for _ in range(rng.integers(5, 12)):
        start = root + rng.normal(0, (0.045, 0.012), 2) * width
        end = root + fall * rng.uniform(0.75, 1.05) + rng.normal(0, 0.03, 2) * width
        bend = (start + end) / 2 + bow + rng.normal(0, 0.015, 2) * width
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        thick = rng.uniform(0.012, 0.026) * width * np.sqrt(1 - t) * np.array([1.0, 0.0])
        polygons.append(np.concatenate([curve, (curve + thick)[::-1]]))
    return polygons


def draw_occluder(occluder: Occluder, image: np.ndarray, points: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Draw an occluder into ``image`` (S, S, 3) and return its cover (S, S); ``tone``: lit colour of skin or hair."""
    rng = np.random.default_rng(occluder.seed)
    polygons = occluder_polygons(occluder.kind, points, rng)
    cover = cover_of(polygons, len(image))
    paint = np.zeros(3) if occluder.kind == "square" else tone
    if occluder.kind == "mask":
        paint = np.array([[0.70, 0.78, 0.86], [0.85, 0.85, 0.85], [0.12, 0.12, 0.14]])[rng.integers(3)]
    if occluder.kind in {"hand", "mask"}:
        edge = exact.blur(cover, max(0.03 * face_width(points), 0.5))
        paint = paint * (0.45 + 0.55 * edge[..., None]) * rng.uniform(0.75, 1.05)
    image[:] = image * (1 - cover[..., None]) + np.clip(paint, 0, 1) * cover[..., None]
    if occluder.kind == "hand":  # the gaps between the fingers
        edges = [np.round(polygon * 16).astype(np.int32) for polygon in polygons[1:]]
        colour = tuple(float(v) for v in np.clip(tone * 0.5, 0, 1))
        cv2.polylines(image, edges, False, colour, max(1, round(face_width(points) / 110)), cv2.LINE_AA, 4)
    return cover


def hand(points: np.ndarray, width: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Return polygons of a palm, four fingers and a thumb on a cheek, the chin or the mouth."""
    anchor = points[[4, 12, 8, 57][rng.integers(4)]] + rng.normal(0, 0.05 * width, 2)
    away = anchor - points[30]
    angle = np.arctan2(-away[1], -away[0]) + rng.normal(0, 0.3)
    forward, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    around = np.linspace(0, 2 * np.pi, 20)[:, None]
    palm = 0.24 * np.cos(around) * forward + 0.25 * np.sin(around) * across
    polygons = [anchor - forward * 0.33 * width + palm * width]
    bend = rng.normal(0, 0.04)
    for place, reach in ((-1.5, 0.30), (-0.5, 0.38), (0.5, 0.40), (1.5, 0.34)):
        base = anchor - forward * 0.2 * width + across * place * 0.12 * width
        tip = base + (forward * reach * rng.uniform(0.9, 1.15) + across * (bend + place * 0.02)) * width
        polygons.append(capsule(base, tip, 0.062 * width, 0.048 * width))
    side = rng.choice([-1.0, 1.0])
    base = anchor + (-forward * 0.36 + across * side * 0.2) * width
    polygons.append(capsule(base, base + (forward * 0.24 + across * side * 0.14) * width, 0.07 * width, 0.052 * width))
    return polygons


def capsule(base: np.ndarray, tip: np.ndarray, thick: float, thin: float) -> np.ndarray:
    """Return the outline (14, 2) of a finger from ``base`` to its round ``tip``, with radii in pixels."""
    ahead = (tip - base) / max(exact.distance(base, tip), 1e-6)
    aside = np.array([-ahead[1], ahead[0]])
    turn = np.linspace(np.pi / 2, -np.pi / 2, 12)[:, None]
    return np.concatenate(
        [[base + aside * thick], tip + thin * (np.cos(turn) * ahead + np.sin(turn) * aside), [base - aside * thick]]
    )
