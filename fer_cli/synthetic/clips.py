"""Clips: an expression from onset over apex to offset, with speech, blinks and head movement, as an Expression per frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.expressions import Expression, Recipe, draw_expression

SYLLABLES = {"AU26": 0.5, "AU25": 0.5, "AU18": 0.35, "AU16": 0.25, "AU20": 0.2}
"""Units moved by speech -> maximum intensity."""
BLINK = (0.35, 1.0, 0.8, 0.3)
"""Lid closure over the frames of a blink."""


def envelope(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return (frames,) the intensity relative to the apex: a smooth rise, a hold, and a possibly incomplete fall."""
    rise = rng.uniform(0.15, 0.35) * frames
    fall = rng.uniform(0.15, 0.35) * frames
    start = rng.uniform(0.0, 0.15) * frames
    end = rng.uniform(0.85, 1.1) * frames
    t = np.arange(frames, dtype=float)
    up, down = np.clip((t - start) / rise, 0, 1), np.clip((end - t) / fall, 0, 1)
    shape = np.minimum(up, down)
    return np.asarray(shape * shape * (3 - 2 * shape))


def wander(frames: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return (frames,) a slow drift around 0, mostly within +-``size``: three sinusoids of random period and phase."""
    t = np.arange(frames)[:, None]
    periods, phases = rng.uniform(12, 48, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.asarray(np.sin(2 * np.pi * t / periods + phases).mean(1) * size)


def draw_clip(
    recipe: Recipe, label: str, frames: int, rng: np.random.Generator, difficulty: float, pose: float, speech: float
) -> list[Expression]:
    """Return an Expression per frame; ``speech`` in [0, 1]: fraction of the clip with speech."""
    apex = draw_expression(recipe, label, rng, difficulty, pose * 0.5)
    shares = envelope(frames, rng)
    units = shares[:, None, None] * apex.units[None]
    talk = speech_motion(frames, speech, rng)
    for unit, most in SYLLABLES.items():
        units[:, :, UNITS.index(unit)] += most * talk[unit][:, None]
    for unit in ("AU23", "AU24"):
        units[:, :, UNITS.index(unit)] *= (1 - 0.7 * talk["AU26"])[:, None]
    closed = blinks(frames, rng)
    lids = UNITS.index("AU43")
    units[:, :, lids] = np.maximum(units[:, :, lids], closed[:, None])
    yaw, pitch, roll = (wander(frames, pose * share, rng) for share in (0.6, 0.4, 0.25))
    across, along = wander(frames, 8.0, rng), wander(frames, 4.0, rng)
    return [
        replace(
            apex,
            units=np.clip(units[t], 0, 1.1).astype(np.float32),
            yaw=float(apex.yaw + yaw[t]),
            pitch=float(apex.pitch + pitch[t]),
            roll=float(apex.roll + roll[t]),
            gaze=(float(apex.gaze[0] + across[t]), float(apex.gaze[1] + along[t])),
        )
        for t in range(frames)
    ]


def speech_motion(frames: int, speech: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return (frames,) in [0, 1] per unit of SYLLABLES: a syllable every two to five frames during speech."""
    motion = {unit: np.zeros(frames) for unit in SYLLABLES}
    at = 0.0
    while at < frames and speech > 0:
        if rng.random() < speech:
            t = np.arange(frames)
            bump = np.exp(-((t - at) ** 2) / (2 * rng.uniform(0.6, 1.1) ** 2))
            for unit in SYLLABLES:
                motion[unit] = np.maximum(motion[unit], bump * rng.beta(1, 1.3))
        at += rng.uniform(2, 5)
    return motion


def blinks(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return (frames,) lid closure: a blink every one to three seconds at twelve frames per second."""
    closed = np.zeros(frames)
    at = int(rng.integers(0, 30))
    while at < frames:
        part = BLINK[: frames - at]
        closed[at : at + len(part)] = part
        at += int(rng.integers(14, 40))
    return closed
