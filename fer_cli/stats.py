"""Statistics of tables: sample deviation, intervals of differences, and a rank test.

Training sets of k folds and of repeated hold-out overlap, so their scores vary less than those of independent training sets.
Their intervals use the corrected resampled t-test (Nadeau and Bengio 2003, Machine Learning 52): the variance of a mean of n
scores is s^2 x (1/n + ``overlap``) with overlap = n_test/n_train; 0 if all seeds use the same published parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # confidence level of every interval
FEWEST_PAIRS = 6  # fewest differing pairs for a rank test: with five or fewer, p cannot be below 0.05
GRID = 2**30
"""Differences of shares are rounded to 1/GRID, about 1e-9: a power of two, so that equal ones like k/5120 round alike."""
PERMUTED = 13  # most pairs for which SciPy enumerates all signs if ranks tie; above, it uses the normal approximation


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval, None if n is too small."""

    mean: float
    low: float | None
    high: float | None
    paired: bool


def sample_sd(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1), or None below two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def mean_variance(values: Sequence[float] | np.ndarray, overlap: float) -> float:
    """Return the variance of the mean of n >= 2 scores: s^2 x (1/n + ``overlap``)."""
    return float(np.var(values, ddof=1)) * (1 / len(values) + overlap)


def paired_difference(ours: Sequence[float], theirs: Sequence[float], overlap: float = 0.0) -> Difference:
    """Return mean(ours - theirs) with Student's interval over pairs."""
    from scipy.special import stdtrit  # t.ppf, without the second that scipy.stats takes to import

    deltas = np.subtract(ours, theirs)
    mean, n = float(deltas.mean()), len(deltas)
    if n < 2:
        return Difference(mean, None, None, paired=True)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * math.sqrt(mean_variance(deltas, overlap))
    return Difference(mean, mean - half, mean + half, paired=True)


def unpaired_difference(
    ours: Sequence[float], theirs: Sequence[float], overlaps: tuple[float, float] = (0.0, 0.0)
) -> Difference:
    """Return mean(ours) - mean(theirs) with Welch's interval, using variances corrected for overlap."""
    from scipy.special import stdtrit  # t.ppf, without the second that scipy.stats takes to import

    mean = float(np.mean(ours) - np.mean(theirs))
    if min(len(ours), len(theirs)) < 2:
        return Difference(mean, None, None, paired=False)
    parts = [mean_variance(values, overlap) for values, overlap in zip((ours, theirs), overlaps, strict=True)]
    if sum(parts) == 0:
        return Difference(mean, None, None, paired=False)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True))
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(sum(parts))
    return Difference(mean, mean - half, mean + half, paired=False)


def signed_rank(ours: Sequence[float], theirs: Sequence[float], images: int | None = None) -> tuple[float, float] | None:
    """Return W and the two-sided p of Wilcoxon's signed-rank test, or None if fewer than six pairs differ.

    ``images``: if all scores are accuracies over that many images, differences of counts are ranked, so that rounding does
    not break ties.
    """
    from scipy.stats import PermutationMethod, wilcoxon

    if images is None:
        deltas = np.rint(np.subtract(ours, theirs) * GRID)
    else:
        right = [np.rint(np.multiply(scores, images)) for scores in (ours, theirs)]
        deltas = right[0] - right[1]
    sizes = np.abs(deltas[deltas != 0])
    if len(sizes) < FEWEST_PAIRS:
        return None
    tied = len(np.unique(sizes)) < len(deltas)
    # SciPy's default since 1.15; earlier releases ignored ties
    method = PermutationMethod(n_resamples=2**PERMUTED) if tied and len(deltas) <= PERMUTED else "auto"
    found = wilcoxon(deltas, method=method)
    return float(found.statistic), float(found.pvalue)
