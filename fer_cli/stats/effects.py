"""Effect sizes of paired scores: Cohen's dz with Hedges' correction (Hedges 1981; Lakens 2013, Frontiers in Psychology 4).

dz = mean(ours - theirs) / sd(ours - theirs). It counts in standard deviations over folds or seeds, so arms that hardly vary
have a large one: the difference in points (``paired_difference``) stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_cli.stats.outcomes import NotTestable
from fer_cli.stats.power import find_centre
from fer_cli.stats.scores import LEVEL, paired_spread, sample_sd


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
