"""What n could detect: the smallest difference found at 80 % power, and the n that a difference needs.

A two-sided t-test at level a with f degrees of freedom finds a true difference d with the probability
power = P(T > t(1 - a/2, f)) + P(T < -t(1 - a/2, f)), T noncentral t with f degrees and noncentrality d / sqrt(v(n)),
where v(n) is the variance of the mean of n differences: s^2 x (1/n + overlap) of scores by fold or seed (f = n - 1), and
s^2/n + u for seeds on one test part, whose images add u (``stats.images.crossed_spread``). Overlap and u do not shrink with
n, so some differences need other images or another way to split, not more seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fer_cli.stats.outcomes import ALPHA, NotTestable
from fer_cli.stats.scores import FEWEST_SCORES

POWER = 0.8
MOST_RUNS = 10_000  # largest n that is searched
NODES = 200  # of the integral over standard deviations
CLOSE = 1e-6  # how near to its share a distribution's part must be
STEADY = 1e-7  # change of a noncentrality that ends its search
Variance = Callable[[int], tuple[float, float]]
"""n -> variance of the mean and its degrees of freedom."""


def t_share(t: float, freedom: float, centre: float) -> float:
    """Return the share of the noncentral t distribution below ``t``; ``centre``: its noncentrality.

    SciPy's ``nct.cdf`` is NaN for some ordinary arguments (t = -2.02, 39 degrees, noncentrality 9.5), so this integrates
    P(Z < t s - centre) over the distribution of s, the standard deviation, by Gauss and Legendre.
    """
    from scipy.special import ndtr

    s, weights = _deviations(freedom)
    return min(1.0, max(0.0, float(weights @ ndtr(t * s - centre))))


def find_centre(t: float, freedom: float, share: float) -> float:
    """Return the noncentrality at which ``share`` of the t distribution lies below ``t``.

    SciPy's inverse is fast, but inexact where ``t`` is large: there, or where it fails, the root is searched.
    """
    from scipy.special import nctdtrinc

    with np.errstate(all="ignore"):
        centre = float(nctdtrinc(freedom, share, t))
    if abs(t_share(t, freedom, centre) - share) < CLOSE:  # false for NaN, too
        return centre
    from scipy.optimize import brentq

    reach = 8 + 8 * abs(t)
    return float(brentq(lambda centre: t_share(t, freedom, centre) - share, t - reach, t + reach, xtol=1e-10))


@lru_cache(maxsize=256)
def _deviations(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviations, as shares of the true one, and their weights: density times those of the nodes."""
    from scipy.special import gammainccinv, gammaincinv, gammaln

    half = freedom / 2
    low, high = (math.sqrt(float(end(half, 1e-15)) / half) for end in (gammaincinv, gammainccinv))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    s = low + (high - low) * (nodes + 1) / 2
    density = np.exp(math.log(2) + half * math.log(half) - gammaln(half) + (freedom - 1) * np.log(s) - half * s * s)
    return s, (high - low) / 2 * (weights * density)


def find_power(difference: float, variance: float, freedom: float, alpha: float = ALPHA) -> float:
    """Return the probability that a two-sided t-test finds a true difference; ``variance``: of the mean."""
    from scipy.special import stdtrit

    limit = float(stdtrit(freedom, 1 - alpha / 2))
    centre = abs(difference) / math.sqrt(variance)
    return 1 - t_share(limit, freedom, centre) + t_share(-limit, freedom, centre)


def find_detectable(variance: float, freedom: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the difference that a t-test finds with this power; ``variance``: of the mean."""
    return find_noncentrality(freedom, power, alpha) * math.sqrt(variance)


@lru_cache(maxsize=256)
def find_noncentrality(freedom: float, power: float, alpha: float) -> float:
    """Return the noncentrality at which a two-sided t-test has this power, which must exceed ``alpha``.

    There, the share below the upper limit is 1 - power and what lies below the lower one; the latter is nearly nothing, so
    few turns suffice.
    """
    from scipy.special import stdtrit

    limit = float(stdtrit(freedom, 1 - alpha / 2))
    centre, before = find_centre(limit, freedom, 1 - power), math.inf
    while abs(centre - before) > STEADY:
        before = centre
        centre = find_centre(limit, freedom, 1 - power + t_share(-limit, freedom, before))
    return centre


def find_needed(difference: float, variance: Variance, power: float = POWER, alpha: float = ALPHA) -> int | NotTestable:
    """Return the smallest n of at least three whose t-test detects ``difference``, or why none does."""

    def enough(n: int) -> bool:
        size, freedom = variance(n)
        return size <= 0 or find_power(difference, size, freedom, alpha) >= power

    if difference == 0:
        return NotTestable("no n detects a difference of 0")
    if not enough(MOST_RUNS):
        return NotTestable(f"more seeds do not suffice: {MOST_RUNS:,} cannot detect it on these images")
    low, high = FEWEST_SCORES - 1, FEWEST_SCORES
    while not enough(high):
        low, high = high, min(2 * high, MOST_RUNS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
