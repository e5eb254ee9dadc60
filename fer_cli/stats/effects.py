"""Effect sizes of paired scores: Cohen's dz with Hedges' correction (Hedges 1981; Lakens 2013, Frontiers in Psychology 4).

dz = mean(ours - theirs) / sd(ours - theirs). It counts in standard deviations over folds or seeds, so arms that hardly vary
have a large one: the difference in points (``paired_difference``) stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_cli.stats.outcomes import NotTestable
from fer_cli.stats.power import t_share
from fer_cli.stats.scores import LEVEL, paired_spread, sample_sd

CLOSE = 1e-6
"""How near to its share a distribution's part must be."""


@dataclass(frozen=True)
class Effect:
    """Cohen's dz, Hedges' g (dz without its upward bias at small n), and the interval of g."""

    dz: float
    g: float
    low: float
    high: float
    n: int


def hedges_factor(freedom: int) -> float:
    """Return J = gamma(f/2) / (sqrt(f/2) gamma((f - 1)/2)), by which dz is multiplied; about 1 - 3/(4f - 1)."""
    return math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)


def effect_size(ours: Sequence[float], theirs: Sequence[float], overlap: float = 0.0) -> Effect | NotTestable:
    """Return the effect size of paired scores, with the interval by the noncentral t distribution.

    ``overlap`` as in ``paired_difference``: t = dz / sqrt(1/n + overlap) then has the corrected variance.
    """
    spread = paired_spread(ours, theirs, overlap)
    if isinstance(spread, NotTestable):
        return spread
    deltas = [a - b for a, b in zip(ours, theirs, strict=True)]
    dz = spread.mean / (sample_sd(deltas) or 1.0)
    scale, factor = math.sqrt(1 / spread.n + overlap), hedges_factor(spread.n - 1)
    t = spread.mean / math.sqrt(spread.variance)
    low, high = (scale * factor * find_centre(t, spread.n - 1, share) for share in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Effect(dz, factor * dz, low, high, spread.n)


def find_centre(t: float, freedom: float, share: float) -> float:
    """Return the noncentrality at which ``share`` of the t distribution lies below ``t``.

    SciPy's inverse is fast, but inexact where ``t`` is large: there, or where it fails, the root is searched.
    """
    import numpy as np
    from scipy.special import nctdtrinc

    with np.errstate(all="ignore"):
        centre = float(nctdtrinc(freedom, share, t))
    if abs(t_share(t, freedom, centre) - share) < CLOSE:  # false for NaN, too
        return centre
    from scipy.optimize import brentq

    reach = 8 + 8 * abs(t)
    return float(brentq(lambda centre: t_share(t, freedom, centre) - share, t - reach, t + reach, xtol=1e-10))
