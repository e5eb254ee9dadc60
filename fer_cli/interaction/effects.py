"""Effect sizes of F tests: partial eta and omega squared, intervals, expected values and power by the noncentral F.

With noncentrality L, F(df, df_error; L) has L = 0 where the effect is zero. The interval of partial eta squared takes both
values of L at which the observed F is a tail quantile (Steiger 2004, Psychological Methods 9) and maps them by
L / (L + df + df_error + 1). Partial eta squared overestimates: of no effect its mean is df / (df + df_error). Omega squared
corrects for that and may be negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

FARTHEST = 1e6
"""Largest noncentrality that is searched."""


def partial_eta(ss: float, ss_error: float) -> float:
    """Return partial eta squared, SS / (SS + SSE)."""
    return ss / (ss + ss_error)


def partial_omega(ss: float, df: int, ms_error: float, n: int) -> float:
    """Return partial omega squared (Olejnik and Algina 2003), not cut off at zero; ``n``: rows."""
    return (ss - df * ms_error) / (ss + (n - df) * ms_error)


def eta_of(f: float, df: int, df_error: int) -> float:
    """Return the partial eta squared that an F value implies."""
    return df * f / (df * f + df_error)


def eta_interval(f: float, df: int, df_error: int, level: float) -> tuple[float, float] | None:
    """Return the two-sided interval of partial eta squared, None if F is too large to invert."""
    bounds = [noncentrality(f, df, df_error, share) for share in ((1 + level) / 2, (1 - level) / 2)]
    if None in bounds:
        return None
    low, high = (float(bound or 0.0) / (float(bound or 0.0) + df + df_error + 1) for bound in bounds)
    return low, high


def noncentrality(f: float, df: int, df_error: int, share: float) -> float | None:
    """Return the noncentrality at which ``share`` of F values are below ``f``; 0 where even zero effect has fewer."""
    from scipy.optimize import brentq
    from scipy.special import ncfdtr

    def excess(value: float) -> float:
        return float(ncfdtr(df, df_error, value, f)) - share

    if excess(0.0) <= 0:
        return 0.0
    high = max(1.0, df * f)
    while high <= FARTHEST and excess(high) > 0:
        high *= 2
    if high > FARTHEST or math.isnan(excess(high)):
        return None
    return float(brentq(excess, 0.0, high, xtol=1e-10, rtol=1e-12))


def planted_coefficient(eta2: float, sigma: float = 1.0) -> float:
    """Return the coefficient of a -1/+1 column whose partial eta squared in the population is ``eta2``."""
    return sigma * math.sqrt(eta2 / (1 - eta2))


def expected_eta(noncentral: float, df: int, df_error: int) -> float:
    """Return the mean of partial eta squared at a noncentrality: that of a noncentral beta, a Poisson mixture of betas."""
    from scipy.stats import poisson

    if noncentral == 0:
        return df / (df + df_error)
    half = noncentral / 2
    most = int(half + 12 * math.sqrt(half) + 40)
    counts = np.arange(most + 1)
    shares = (df / 2 + counts) / ((df + df_error) / 2 + counts)
    return float(np.sum(poisson.pmf(counts, half) * shares))


def find_power(noncentral: float, df: int, df_error: int, alpha: float = 0.05) -> float:
    """Return the probability of p < ``alpha`` at a noncentrality."""
    from scipy.special import fdtri, ncfdtr

    return 1 - float(ncfdtr(df, df_error, noncentral, float(fdtri(df, df_error, 1 - alpha))))


def rows_for_power(eta2: float, parameters: int, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the fewest rows at which an effect of one degree of freedom is found with this power (alpha two-sided)."""

    def reaches(n: int) -> bool:
        return find_power(n * eta2 / (1 - eta2), 1, n - parameters, alpha) >= power

    return first_true(reaches, parameters + 1)


def first_true(holds: Callable[[int], bool], low: int) -> int:
    """Return the smallest number from ``low`` at which a monotone condition holds."""
    high = low
    while not holds(high):
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
