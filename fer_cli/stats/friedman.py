"""Ranks of several arms over blocks: Friedman's test, and Nemenyi's critical difference of mean ranks (Demšar 2006, JMLR 7).

The F version (Iman and Davenport 1980) is used: Friedman's chi-square is too conservative. A block is a score of every arm
under the same conditions. Blocks must be independent of each other: data sets are, and so are simulations; folds and
repeated draws share training images and are refused, as by ``rank_test``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fer_cli.stats.outcomes import ALPHA, NotTestable, PValue

FEWEST_ARMS, FEWEST_BLOCKS = 3, 6
"""Of two arms the rank test is used; with fewer blocks, F is far from its distribution."""


@dataclass(frozen=True)
class Ranks:
    """Mean rank of each arm (1: best), Friedman's test, and the difference of mean ranks from which two arms differ."""

    means: tuple[float, ...]
    test: PValue
    critical: float

    @property
    def cliques(self) -> list[tuple[int, ...]]:
        """Return the largest sets of arms, by position and best first, whose mean ranks differ by less than ``critical``."""
        order = [int(place) for place in np.argsort(self.means, kind="stable")]
        spans: list[tuple[int, int]] = []
        for start in range(len(order)):
            end = start
            while end + 1 < len(order) and self.means[order[end + 1]] - self.means[order[start]] < self.critical:
                end += 1
            if end > start and (not spans or end > spans[-1][1]):
                spans.append((start, end))
        return [tuple(order[start : end + 1]) for start, end in spans]


def rank_arms(scores: Sequence[Sequence[float]], overlap: float = 0.0) -> Ranks | NotTestable:
    """Return the ranks of arms over blocks; ``scores``: a row of finite scores per block, higher is better."""
    from scipy.stats import f, rankdata

    values = np.round(np.asarray(scores, float), 12)  # floating-point sums do not break ties
    blocks, arms = values.shape if values.ndim == 2 else (len(values), 0)
    if arms < FEWEST_ARMS:
        return NotTestable(f"{arms} arms; ranks are compared from {FEWEST_ARMS}")
    if overlap:
        return NotTestable(
            "training sets of different folds or draws overlap, and Friedman's test assumes independent blocks"
        )
    if blocks < FEWEST_BLOCKS:
        return NotTestable(f"n = {blocks} blocks; at least {FEWEST_BLOCKS} are needed")
    ranks = rankdata(-values, axis=1)
    means = ranks.mean(0)
    between = blocks * float(((means - (arms + 1) / 2) ** 2).sum())
    within = float(((ranks - means) ** 2).sum()) / (blocks - 1) / (arms - 1)
    if float(((ranks - (arms + 1) / 2) ** 2).sum()) == 0.0:
        return NotTestable("all arms have the same score in every block")
    statistic = between / (arms - 1) / within if within else np.inf
    p = float(f.sf(statistic, arms - 1, (arms - 1) * (blocks - 1)))
    test = PValue("Friedman's test (F)", float(statistic), p, blocks)
    return Ranks(tuple(float(mean) for mean in means), test, critical_difference(arms, blocks))


@cache
def critical_difference(arms: int, blocks: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at ``ALPHA``: 2.344 · sqrt(12 / 60) for 3 arms and 10 blocks."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - ALPHA, arms, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(arms * (arms + 1) / (6 * blocks)))
