"""Scores by fold or seed: deviation, intervals of differences, and t-tests.

Training sets of k folds and of repeated hold-out overlap, so their scores vary less than those of independent training sets.
Their intervals and tests use the corrected resampled t-test (Nadeau and Bengio 2003, Machine Learning 52): the variance of a
mean of n scores is s^2 x (1/n + ``overlap``) with overlap = n_test/n_train; 0 if all seeds use the same published parts.

With overlap 0 the seeds differ in initial weights and order of images alone: intervals and tests then speak of trainings on
these training images, tested on these test images (``stats.images.crossed_spread`` adds other test images).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_cli.stats.outcomes import NotTestable, Outcome, PValue

LEVEL = 0.95  # confidence level of every interval
FEWEST_SCORES = 3  # fewest scores (pairs of scores) for a t-test
GRID = 2**30
"""Differences of shares are rounded to 1/GRID, about 1e-9: a power of two, so that equal ones like k/5120 round alike."""


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval, None if n is too small."""

    mean: float
    low: float | None
    high: float | None
    paired: bool


@dataclass(frozen=True)
class Spread:
    """The mean of n scores or differences, its variance, and the degrees of freedom of that variance."""

    mean: float
    variance: float
    freedom: float
    n: int

    def interval(self) -> tuple[float, float]:
        """Return Student's interval of the mean at ``LEVEL``."""
        from scipy.special import stdtrit  # t.ppf, without the second that scipy.stats takes to import

        half = float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * math.sqrt(self.variance)
        return self.mean - half, self.mean + half

    def test(self, name: str, null: float = 0.0) -> Outcome:
        """Return the two-sided t-test of the mean against ``null``."""
        from scipy.special import stdtr  # t.cdf

        t = (self.mean - null) / math.sqrt(self.variance)
        return PValue(name, t, float(2 * stdtr(self.freedom, -abs(t))), self.n)


def sample_sd(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1), or None below two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def mean_variance(values: Sequence[float] | np.ndarray, overlap: float) -> float:
    """Return the variance of the mean of n >= 2 scores: s^2 x (1/n + ``overlap``)."""
    return float(np.var(values, ddof=1)) * (1 / len(values) + overlap)


def paired_difference(ours: Sequence[float], theirs: Sequence[float], overlap: float = 0.0) -> Difference:
    """Return mean(ours - theirs) with Student's interval over pairs; none if all differences are equal."""
    deltas = np.subtract(ours, theirs)
    mean, n = float(deltas.mean()), len(deltas)
    if n < 2 or len(np.unique(np.rint(deltas * GRID))) == 1:
        return Difference(mean, None, None, paired=True)
    return Difference(mean, *Spread(mean, mean_variance(deltas, overlap), n - 1, n).interval(), paired=True)


def unpaired_difference(
    ours: Sequence[float], theirs: Sequence[float], overlaps: tuple[float, float] = (0.0, 0.0)
) -> Difference:
    """Return mean(ours) - mean(theirs) with Welch's interval, using variances corrected for overlap."""
    mean = float(np.mean(ours) - np.mean(theirs))
    if min(len(ours), len(theirs)) < 2:
        return Difference(mean, None, None, paired=False)
    parts = [mean_variance(values, overlap) for values, overlap in zip((ours, theirs), overlaps, strict=True)]
    if sum(parts) == 0:
        return Difference(mean, None, None, paired=False)
    return Difference(mean, *_welch(mean, parts, ours, theirs).interval(), paired=False)


def paired_spread(ours: Sequence[float], theirs: Sequence[float], overlap: float = 0.0) -> Spread | NotTestable:
    """Return the mean of ours - theirs by fold or seed, with its corrected variance; ``theirs`` in the same order."""
    return score_spread(np.subtract(ours, theirs), overlap, "differences")


def unpaired_spread(
    ours: Sequence[float], theirs: Sequence[float], overlaps: tuple[float, float] = (0.0, 0.0)
) -> Spread | NotTestable:
    """Return mean(ours) - mean(theirs) of arms that were tested on different parts, with Welch's corrected variance."""
    spreads = [score_spread(values, overlap) for values, overlap in zip((ours, theirs), overlaps, strict=True)]
    for spread in spreads:
        if isinstance(spread, NotTestable):
            return spread
    parts = [mean_variance(values, overlap) for values, overlap in zip((ours, theirs), overlaps, strict=True)]
    return _welch(float(np.mean(ours) - np.mean(theirs)), parts, ours, theirs)


def score_spread(values: Sequence[float] | np.ndarray, overlap: float = 0.0, what: str = "scores") -> Spread | NotTestable:
    """Return the mean of scores by fold or seed with its corrected variance, or why no test is possible."""
    n = len(values)
    if n < FEWEST_SCORES:
        return NotTestable(f"n = {n}: a t-test needs at least {FEWEST_SCORES} {what}")
    if float(np.ptp(values)) < 1 / GRID:
        return NotTestable(f"all {n} {what} are equal, so how much they vary is unknown")
    return Spread(float(np.mean(values)), mean_variance(values, overlap), n - 1, n)


def name_test(name: str, overlap: float) -> str:
    """Return the name of a t-test, which says whether its variance is corrected for overlapping training parts."""
    return f"corrected resampled {name}" if overlap else name


def _welch(mean: float, parts: list[float], ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return a difference of means with Welch's degrees of freedom; ``parts``: the variance of each mean."""
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True))
    return Spread(mean, sum(parts), freedom, min(len(ours), len(theirs)))
