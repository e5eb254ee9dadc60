"""The statistics of a table: mean, sample deviation, and intervals of differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval; the interval is None where n does not allow one."""

    mean: float
    low: float | None
    high: float | None
    paired: bool


def sample_sd(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1), or None below two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Return mean(ours - theirs) with Student's interval over the pairs."""
    from scipy.stats import t

    deltas = np.subtract(ours, theirs)
    mean, n = float(deltas.mean()), len(deltas)
    if n < 2:
        return Difference(mean, None, None, paired=True)
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * float(deltas.std(ddof=1)) / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, paired=True)


def signed_rank(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    """Return W and the two-sided p of Wilcoxon's signed-rank test, or None where fewer than six pairs differ.

    With five pairs or fewer no outcome falls below 0.05.
    """
    from scipy.stats import wilcoxon

    deltas = np.subtract(ours, theirs)
    if np.count_nonzero(deltas) < 6:
        return None
    found = wilcoxon(deltas)
    return float(found.statistic), float(found.pvalue)


def unpaired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Return mean(ours) - mean(theirs) with Welch's interval, for arms whose splits differ."""
    from scipy.stats import ttest_ind

    mean = float(np.mean(ours) - np.mean(theirs))
    spread = [sample_sd(ours), sample_sd(theirs)]
    if None in spread or not any(spread):
        return Difference(mean, None, None, paired=False)
    interval = ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), paired=False)
