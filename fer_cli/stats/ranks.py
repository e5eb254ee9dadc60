"""Wilcoxon's signed-rank test and its floor: the smallest p that n pairs can reach.

The test assumes independent pairs. Folds and repeated draws share training images, and equal arms then differ by p < .05 in
a quarter of studies of ten draws (``tests/test_false_alarms.py``), so ``rank_test`` refuses them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer_cli.stats.outcomes import ALPHA, NotTestable, Outcome, PValue
from fer_cli.stats.scores import GRID

FEWEST_PAIRS = 6  # fewest differing pairs for a rank test: with five or fewer, p cannot be below 0.05
PERMUTED = 13  # most pairs for which SciPy enumerates all signs if ranks tie; above, it uses the normal approximation


def sign_floor(n: int) -> float:
    """Return the smallest two-sided p of a test on the signs of n differing pairs: all of one sign, 2/2^n."""
    return min(1.0, 2.0 ** (1 - n))


def describe_floor(n: int) -> str:
    """Return in words what n differing pairs cannot reach, e.g. ``n = 5 differing pairs cannot reach .05 (...)``."""
    level, smallest = (f"{p:.4g}".lstrip("0") for p in (ALPHA, sign_floor(n)))
    return f"n = {n} differing pairs cannot reach {level}: the smallest possible p is {smallest}"


def signed_rank(ours: Sequence[float], theirs: Sequence[float], images: int | None = None) -> tuple[float, float] | None:
    """Return W and the two-sided p of Wilcoxon's signed-rank test, or None if fewer than six pairs differ.

    ``images``: if all scores are accuracies over that many images, differences of counts are ranked, so that rounding does
    not break ties.
    """
    from scipy.stats import PermutationMethod, wilcoxon

    deltas = _deltas(ours, theirs, images)
    sizes = np.abs(deltas[deltas != 0])
    if len(sizes) < FEWEST_PAIRS:
        return None
    tied = len(np.unique(sizes)) < len(deltas)
    # SciPy's default since 1.15; earlier releases ignored ties
    method = PermutationMethod(n_resamples=2**PERMUTED) if tied and len(deltas) <= PERMUTED else "auto"
    found = wilcoxon(deltas, method=method)
    return float(found.statistic), float(found.pvalue)


def rank_test(ours: Sequence[float], theirs: Sequence[float], images: int | None = None, overlap: float = 0.0) -> Outcome:
    """Return Wilcoxon's signed-rank test of pairs by seed, or why there is none.

    ``images`` as in ``signed_rank``; ``overlap``: n_test/n_train where training parts of different seeds overlap.
    """
    if overlap:
        return NotTestable("training parts of different seeds overlap, but the signed-rank test assumes independent pairs")
    differing = int(np.count_nonzero(_deltas(ours, theirs, images)))
    found = signed_rank(ours, theirs, images)
    if found is None:
        return NotTestable(describe_floor(differing))
    return PValue("Wilcoxon's signed-rank test", *found, n=differing)


def _deltas(ours: Sequence[float], theirs: Sequence[float], images: int | None) -> np.ndarray:
    """Return differences (n,) as whole numbers: of counts of images, or of shares in 1/GRID."""
    if images is None:
        return np.asarray(np.rint(np.subtract(ours, theirs) * GRID))
    return np.asarray(np.rint(np.multiply(ours, images)) - np.rint(np.multiply(theirs, images)))
