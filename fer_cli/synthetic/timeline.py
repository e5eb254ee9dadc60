"""What a listener does over minutes: episodes of basic expressions with neutral gaps, glances to the side, nods and blinks.

Durations were chosen by us; basic expressions mostly last between half a second and four seconds (Ekman 2003).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.clips import blinks, wander
from fer_cli.synthetic.episodes import shape_episode
from fer_cli.synthetic.expressions import BASIC, Expression, draw_expression

Span = tuple[float, float]
SHOWN = ("angry", "disgust", "fear", "happy", "sad", "surprise")
FIRST_S, REST_S = (0.4, 2.0), (1.2, 3.5)
"""Ranges of the neutral time before the first episode and between episodes, in seconds."""
ONSET_S, APEX_S, OFFSET_S = (0.4, 1.0), (0.8, 2.6), (0.5, 1.4)
GLANCE_S, QUIET_S = (0.8, 2.2), (2.0, 5.0)
"""Ranges of the duration of a glance, and of the time between glances and nods."""
TURN_S, SACCADE_S = 0.4, 0.1
"""Time that the head takes to turn, and the eyes."""
NOD_HZ = 1.3
SLOWER = 4
"""How much slower people sway than their heads move."""
DIFFICULTY = 0.2
"""Of the expressions drawn, as in ``draw_expression``."""


@dataclass(frozen=True)
class Behaviour:
    """One person in one frame."""

    expression: Expression
    """Its label is ``neutral`` between episodes."""
    intensity: float
    """From 0 (neutral) to 1 (the episode's apex)."""
    sway: tuple[float, float]
    """Shift of the person to the right and up, in mm."""


def plateau(frames: int, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """Return (frames,) a smooth rise from 0 at ``start`` to 1, a hold and a smooth fall to 0; in frames."""
    apex = start + rise
    return shape_episode(frames, (start, apex, apex + hold, apex + hold + fall)).intensity


def draw_episodes(frames: int, rate: float, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield label and intensity (frames,) of one episode after the other; ``rate``: frames per second.

    All expressions of SHOWN come once before one comes again.
    """
    at = rng.uniform(*FIRST_S) * rate
    deck: list[str] = []
    while at < frames:
        deck = deck or rng.permutation(SHOWN).tolist()
        parts = [rng.uniform(*span) * rate for span in (ONSET_S, APEX_S, OFFSET_S)]
        yield deck.pop(), plateau(frames, at, *parts)
        at += sum(parts) + rng.uniform(*REST_S) * rate


def draw_head(frames: int, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return yaw, pitch and roll (3, frames) of a head, and yaw and pitch (2, frames) of its gaze, in degrees.

    The eyes stay near the camera, but for glances, where they lead the head.
    """
    head = np.stack([wander(frames, size, rng, rate) for size in (6.0, 4.0, 4.0)])
    gaze = np.stack([wander(frames, size, rng, rate) for size in (4.0, 3.0)])
    t, at = np.arange(frames), rng.uniform(*FIRST_S) * rate
    while at < frames:
        if rng.random() < 0.6:
            hold = rng.uniform(*GLANCE_S) * rate
            aim = np.array([rng.uniform(10, 24) * rng.choice([-1, 1]), rng.uniform(-10, 6)])
            turn, eyes = TURN_S * rate, SACCADE_S * rate
            head[:2] += aim[:, None] * plateau(frames, at, turn, hold, turn)
            gaze += 1.2 * aim[:, None] * plateau(frames, at - eyes, eyes, hold + turn, eyes)
            at += hold + 2 * turn
        else:
            time, count, size = (t - at) / rate, rng.integers(2, 5), rng.uniform(7, 12)
            nodding = (time >= 0) & (time < count / NOD_HZ)
            head[1] -= size * (0.5 - 0.5 * np.cos(2 * np.pi * NOD_HZ * time)) * nodding
            at += count / NOD_HZ * rate
        at += rng.uniform(*QUIET_S) * rate
    return head, gaze


def draw_timeline(frames: int, rate: float, rng: np.random.Generator) -> list[Behaviour]:
    """Return a moment per frame of one person."""
    calm = draw_expression(BASIC["neutral"], "neutral", rng, DIFFICULTY, 0.0)
    units = np.repeat(calm.units[None].astype(np.float64), frames, 0)
    labels, shares = np.full(frames, "neutral", object), np.zeros(frames)
    for label, share in draw_episodes(frames, rate, rng):
        apex = draw_expression(BASIC[label], label, rng, DIFFICULTY, 0.0)
        units += share[:, None, None] * (apex.units - calm.units)
        labels[share > 0] = label
        shares += share
    head, gaze = draw_head(frames, rate, rng)
    closed, lids = blinks(frames, rng, rate), UNITS.index("AU43")
    units[:, :, lids] = np.maximum(units[:, :, lids], closed[:, None])
    sway = np.stack([wander(frames, size, rng, rate * SLOWER) for size in (16.0, 6.0)])
    return [
        Behaviour(
            replace(
                calm,
                label=str(labels[t]),
                units=np.clip(units[t], 0, 1.1).astype(np.float32),
                yaw=float(head[0, t]),
                pitch=float(head[1, t]),
                roll=float(head[2, t]),
                gaze=(float(gaze[0, t]), float(gaze[1, t])),
            ),
            float(shares[t]),
            (float(sway[0, t]), float(sway[1, t])),
        )
        for t in range(frames)
    ]
