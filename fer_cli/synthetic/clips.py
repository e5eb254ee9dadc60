"""Clips: an episode of an expression, with speech, blinks and head movement, as a Moment per frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.episodes import EXPRESSION, QUICK, draw_episode
from fer_cli.synthetic.expressions import Expression, Recipe, draw_expression

SYLLABLES = {"AU26": 0.5, "AU25": 0.5, "AU18": 0.35, "AU16": 0.25, "AU20": 0.2}
"""Units moved by speech -> maximum intensity."""
OPENING = ("AU25", "AU26")
"""Units of SYLLABLES that open the mouth."""
BLINK = (0.35, 1.0, 0.8, 0.3)
"""Lid closure over the frames of a blink: a quarter of a second at 16 frames per second."""


@dataclass(frozen=True)
class Moment:
    """One frame of a clip: the expression shown, and what it is made of."""

    expression: Expression
    episode: dict[str, float | str]
    """Intensity and phase of the expression without speech and blinks."""
    speech: float
    """Opening of the mouth by speech, in [0, 1]."""
    blink: float
    """Closure of the lids by a blink, in [0, 1]."""

    def truth(self) -> dict[str, float | str]:
        """Return the ground truth as columns."""
        return {**self.episode, "speech": round(self.speech, 4), "blink": round(self.blink, 4)}


def wander(frames: int, size: float, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Return (frames,) a slow drift around 0, mostly within +-``size``: three sinusoids with periods of one to four seconds.

    ``rate``: frames per second.
    """
    t = np.arange(frames)[:, None]
    periods, phases = rng.uniform(1, 4, 3) * rate, rng.uniform(0, 2 * np.pi, 3)
    return np.asarray(np.sin(2 * np.pi * t / periods + phases).mean(1) * size)


def draw_clip(
    recipe: Recipe,
    label: str,
    frames: int,
    rng: np.random.Generator,
    difficulty: float,
    pose: float,
    speech: float,
    rate: float,
) -> list[Moment]:
    """Return a Moment per frame; ``speech`` in [0, 1]: fraction of the clip with speech; ``rate``: frames per second."""
    apex = draw_expression(recipe, label, rng, difficulty, pose * 0.5)
    episode = draw_episode(frames, rng, QUICK if recipe.pace else EXPRESSION, recipe.pace == "slow")
    units = episode.intensity[:, None, None] * apex.units[None]
    talk = speech_motion(frames, speech, rng, rate)
    for unit, most in SYLLABLES.items():
        units[:, :, UNITS.index(unit)] += most * talk[unit][:, None]
    for unit in ("AU23", "AU24"):
        units[:, :, UNITS.index(unit)] *= (1 - 0.7 * talk["AU26"])[:, None]
    closed = blinks(frames, rng, rate)
    lids = UNITS.index("AU43")
    units[:, :, lids] = np.maximum(units[:, :, lids], closed[:, None])
    yaw, pitch, roll = (wander(frames, pose * share, rng, rate) for share in (0.6, 0.4, 0.25))
    across, along = wander(frames, 8.0, rng, rate), wander(frames, 4.0, rng, rate)
    opening = np.maximum(*(talk[unit] for unit in OPENING))
    moments = []
    for t in range(frames):
        shown = replace(
            apex,
            units=np.clip(units[t], 0, 1.1).astype(np.float32),
            yaw=float(apex.yaw + yaw[t]),
            pitch=float(apex.pitch + pitch[t]),
            roll=float(apex.roll + roll[t]),
            gaze=(float(apex.gaze[0] + across[t]), float(apex.gaze[1] + along[t])),
        )
        moments.append(Moment(shown, episode.truth(t), float(opening[t]), float(closed[t])))
    return moments


def speech_motion(frames: int, speech: float, rng: np.random.Generator, rate: float) -> dict[str, np.ndarray]:
    """Return (frames,) in [0, 1] per unit of SYLLABLES: three to six syllables a second during speech."""
    motion = {unit: np.zeros(frames) for unit in SYLLABLES}
    t, at = np.arange(frames), 0.0
    while at < frames and speech > 0:
        if rng.random() < speech:
            bump = np.exp(-((t - at) ** 2) / (2 * (rng.uniform(0.05, 0.09) * rate) ** 2))
            for unit in SYLLABLES:
                motion[unit] = np.maximum(motion[unit], bump * rng.beta(1, 1.3))
        at += rng.uniform(0.17, 0.36) * rate
    return motion


def blinks(frames: int, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Return (frames,) lid closure: a blink every one to three seconds."""
    closed = np.zeros(frames)
    at = int(rng.integers(0, max(1, round(2.5 * rate))))
    while at < frames:
        part = BLINK[: frames - at]
        closed[at : at + len(part)] = part
        at += int(rng.integers(round(1.2 * rate), round(3.2 * rate) + 1))
    return closed
