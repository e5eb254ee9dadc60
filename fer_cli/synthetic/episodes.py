"""Episodes: when in a clip an expression or gesture rises, holds and falls, as intensity and phase per frame.

Most begin at a random place, so no fixed frame shows the apex in many clips. Those with a pace are quick in one direction
and slow in the other; slow ones are the exact time reversal of quick ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PHASES = ("before", "onset", "apex", "offset", "after")


@dataclass(frozen=True)
class Timing:
    """Proportions of an episode."""

    length: tuple[float, float]
    """Range of its length, as fractions of the clip."""
    rise: float
    """Fraction of the episode, as are the next three; the rest is the apex."""
    fall: float
    before: float
    """Most of the episode that may lie before the clip."""
    behind: float
    """Most of the episode that may lie behind the clip."""


EXPRESSION = Timing((0.25, 0.45), 0.35, 0.35, 0.0, 0.4)
GESTURE = Timing((0.42, 0.5), 0.4, 0.4, 0.2, 0.2)
QUICK = Timing((0.5, 0.5), 0.2, 0.7, 0.5, 0.5)
"""Rise of .10, apex of .05 and fall of .35 of the clip: half a clip long, centred anywhere in it."""


@dataclass(frozen=True)
class Episode:
    """The course of one expression or gesture over a clip of F frames."""

    intensity: np.ndarray
    """(F,) in [0, 1]: 0 at rest, 1 at the apex."""
    phase: np.ndarray
    """(F,) positions in PHASES."""
    middle: float
    """Frame, with a fraction, in the middle of the episode."""

    def truth(self, frame: int) -> dict[str, float | str]:
        """Return the ground truth of a frame as columns."""
        return {"intensity": round(float(self.intensity[frame]), 4), "phase": PHASES[self.phase[frame]]}


def draw_episode(frames: int, rng: np.random.Generator, timing: Timing = EXPRESSION, slow: bool = False) -> Episode:
    """Return an episode at a random place; ``slow``: the time reversal of what the same ``rng`` would give."""
    length = rng.uniform(*timing.length) * frames
    start = (
        rng.uniform(-timing.before * length, frames - (1 - timing.behind) * length) - 0.5
    )  # frame 0 lasts from -1/2 to 1/2
    rise, fall = timing.rise * length, timing.fall * length
    drawn = shape_episode(frames, (start, start + rise, start + length - fall, start + length))
    return reverse(drawn) if slow else drawn


def shape_episode(frames: int, borders: tuple[float, float, float, float]) -> Episode:
    """Return the episode whose onset, apex, offset and rest begin at ``borders``, in frames."""
    onset, apex, offset, rest = borders
    t = np.arange(frames, dtype=float)
    ramp = np.minimum(np.clip((t - onset) / (apex - onset), 0, 1), np.clip((rest - t) / (rest - offset), 0, 1))
    return Episode(ramp * ramp * (3 - 2 * ramp), np.searchsorted(borders, t, side="right"), (onset + rest) / 2)


def reverse(episode: Episode) -> Episode:
    """Return the episode backwards in time."""
    last = len(episode.phase) - 1
    return Episode(episode.intensity[::-1], len(PHASES) - 1 - episode.phase[::-1], last - episode.middle)


def constant_episode(frames: int) -> Episode:
    """Return the episode of a clip that is at its apex throughout."""
    return Episode(np.ones(frames), np.full(frames, PHASES.index("apex")), (frames - 1) / 2)
