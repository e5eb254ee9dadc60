"""95 % intervals of one run's scores, by drawing its test people again with replacement (bootstrap).

Samples of one person are alike, so people are drawn, not samples, where at least ``FEWEST`` are known. The interval shows
what the choice of test people does to the score; not what other training, another camera or another population does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer_cli.config import METRICS
from fer_cli.metrics import compute_metrics
from fer_cli.stats import LEVEL

DRAWS = 1000
FEWEST = 10
"""People below which samples are drawn: the percentiles of so few are meaningless."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Sampled:
    """Who is drawn."""

    people: np.ndarray | None
    """(N,) code of each sample's person; None: samples are drawn."""
    number: int
    """Of people or samples."""

    @property
    def words(self) -> str:
        """Return what is drawn."""
        return f"{self.number} people" if self.people is not None else f"{self.number} samples, as if of a person each"


def choose_sampled(names: np.ndarray) -> Sampled:
    """Return who is drawn, from the people (N,) of samples; "" is unknown."""
    known, codes = np.unique(names.astype(str), return_inverse=True)
    if len(known) < FEWEST or "" in known:
        return Sampled(None, len(names))
    return Sampled(codes, len(known))


def resample(cells: np.ndarray, count: int, sampled: Sampled, seed: int = 0) -> np.ndarray:
    """Return how many samples fall into each of ``count`` cells in each draw, (DRAWS, count); ``cells``: (N,) int64."""
    random = np.random.default_rng(seed)
    if sampled.people is None:
        shares = np.bincount(cells, minlength=count) / len(cells)
        return random.multinomial(len(cells), shares, DRAWS)
    own = np.zeros((sampled.number, count), np.int64)
    np.add.at(own, (sampled.people, cells), 1)
    times = random.multinomial(sampled.number, np.full(sampled.number, 1 / sampled.number), DRAWS)
    return np.asarray(times @ own)


def bounds(values: np.ndarray) -> Interval:
    """Return the percentiles that enclose the middle ``LEVEL`` of values (DRAWS,)."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def score_intervals(truth: np.ndarray, predicted: np.ndarray, classes: int, sampled: Sampled) -> dict[str, Interval]:
    """Return the interval of every metric, from class codes (N,) int64."""
    drawn = resample(truth * classes + predicted, classes**2, sampled).reshape(-1, classes, classes)
    scores = [compute_metrics(counts, METRICS) for counts in drawn]
    return {name: bounds(np.array([one[name] for one in scores])) for name in METRICS}


def gain_interval(ours: np.ndarray, theirs: np.ndarray, sampled: Sampled) -> Interval:
    """Return the interval of the accuracy of ``ours`` minus that of ``theirs``; both (N,) bool: right or wrong."""
    cells = 1 + ours.astype(np.int64) - theirs.astype(np.int64)
    worse, same, better = resample(cells, 3, sampled).T
    return bounds((better - worse) / (worse + same + better))
