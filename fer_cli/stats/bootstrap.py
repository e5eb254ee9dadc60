"""Seeded bootstrap intervals of a score, or of a difference of two arms on the same images, over images or people.

Whole units are drawn with replacement: people where subjects are known, since images of a person are alike, else images.
Share of 95 % intervals that contain the true accuracy of .8, in 1,000 sets of 10 images a person, with people of unlike
difficulty (measured as in ``tests/test_bootstrap.py``), for 10, 20, 50 and 100 people:

    percentile            .90   .93   .94   .95
    BCa                   .91   .93   .95   .95
    expanded percentile   .94   .95   .95   .95

Hence ``expanded`` is the default: the percentile interval at the levels that Student's t has with G units (Hesterberg 2015,
The American Statistician 69, section 4.3). Below ``FEWEST_UNITS`` units there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fer_cli.stats.images import FEWEST_UNITS
from fer_cli.stats.outcomes import NotTestable
from fer_cli.stats.scores import LEVEL

RESAMPLES = 4000
Kind = Literal["expanded", "bca", "percentile"]
Statistic = Callable[[np.ndarray], np.ndarray]
"""Totals (B, ...) of B resamples -> their values (B,)."""


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval over ``units`` images or people."""

    value: float
    low: float
    high: float
    units: int


def share(totals: np.ndarray) -> np.ndarray:
    """Return the ratio of two totals (B, 2), such as right answers and images."""
    ratio: np.ndarray = totals[:, 0] / np.maximum(totals[:, 1], 1)
    return ratio


def lift(metric: Callable[[np.ndarray], float]) -> Statistic:
    """Return a statistic of confusion matrices (B, K, K) from a metric of one."""
    return lambda totals: np.array([metric(counts) for counts in totals])


def bootstrap_interval(
    units: np.ndarray, statistic: Statistic = share, seed: int = 0, kind: Kind = "expanded", resamples: int = RESAMPLES
) -> Interval | NotTestable:
    """Return a statistic of the total of ``units`` (G, ...) with its interval at ``LEVEL``; the same seed gives the same.

    ``units``: what each image or person adds up to, such as (right, images) or a confusion matrix (K, K).
    """
    if len(units) < FEWEST_UNITS:
        return NotTestable(f"{len(units)} units: at least {FEWEST_UNITS} are needed for a bootstrap interval")
    values, whole, left_out = resample(units, statistic, seed, resamples)
    low, high = np.quantile(values, bounds(kind, len(units), values, whole, left_out))
    return Interval(whole, float(low), float(high), len(units))


def resample(
    units: np.ndarray, statistic: Statistic, seed: int, resamples: int
) -> tuple[np.ndarray, float, tuple[np.ndarray, np.ndarray]]:
    """Return the statistic (B,) of resamples, of all units, and without one of each kind (with the number of that kind).

    Equal units are one kind, drawn by their number: the same distribution in less time and memory.
    """
    flat = units.reshape(len(units), -1)
    kinds, counts = np.unique(flat, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(units), counts / len(units), size=resamples)
    shape = (-1, *units.shape[1:])
    total = (counts @ kinds)[None]
    whole = float(statistic(total.reshape(shape))[0])
    return statistic((drawn @ kinds).reshape(shape)), whole, (statistic((total - kinds).reshape(shape)), counts)


def bounds(
    kind: Kind, units: int, values: np.ndarray, whole: float, left_out: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Return the quantiles of the resampled values that bound the interval."""
    from scipy.special import ndtr, ndtri, stdtrit

    tail = (1 - LEVEL) / 2
    if kind == "percentile":
        return tail, 1 - tail
    if kind == "expanded":
        wide = float(ndtr(-math.sqrt(units / (units - 1)) * stdtrit(units - 1, 1 - tail)))
        return wide, 1 - wide
    below = (np.count_nonzero(values < whole) + np.count_nonzero(values == whole) / 2) / len(values)
    shift = float(ndtri(min(max(below, 0.5 / len(values)), 1 - 0.5 / len(values))))
    jackknife, counts = left_out
    gaps = np.average(jackknife, weights=counts) - jackknife
    scale = float(counts @ gaps**2)
    bend = float(counts @ gaps**3) / (6 * scale**1.5) if scale > 0 else 0.0
    low, high = (shift + (shift + z) / (1 - bend * (shift + z)) for z in (float(ndtri(tail)), float(ndtri(1 - tail))))
    return float(ndtr(low)), float(ndtr(high))
