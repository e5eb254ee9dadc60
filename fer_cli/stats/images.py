"""Two arms on the same test images: the exact p of McNemar's test and of sign flips, and a mean with two variances.

What a test speaks of depends on what varies. ``sign_flip_p`` compares these trained networks on other images: it holds the
networks fixed. ``crossed_spread`` compares arms, whose next training and next images both vary.

Images of one person are alike, so people are counted where they are known, not images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fer_cli.metrics import confusion_counts
from fer_cli.stats.outcomes import NotTestable
from fer_cli.stats.scores import FEWEST_SCORES, GRID, Spread

FEWEST_UNITS = 10
"""Fewest people (images, where people are unknown) whose differences show how much images matter."""


def sign_flip_p(sizes: np.ndarray, total: int) -> float:
    """Return the two-sided p of a sum of differences; ``sizes``: (M,) their absolute values, positive whole numbers.

    Under the null hypothesis each difference is as likely to have the other sign; sizes of 1 give McNemar's exact test.
    The distribution of the sum over all 2^M signs is that of a sum of binomials, one per size.
    """
    from scipy.special import bdtr

    kinds, counts = np.unique(sizes, return_counts=True)
    if len(kinds) == 1:  # McNemar
        units, m = abs(total) // int(kinds[0]), int(counts[0])
        return min(1.0, 2 * float(bdtr((m - units) // 2, m, 0.5)))
    shares = np.ones(1)
    for size, m in zip(kinds.tolist(), counts.tolist(), strict=True):
        signs = np.zeros(2 * m * size + 1)  # of sums -m size to m size
        signs[:: 2 * size] = np.diff(bdtr(np.arange(m + 1), m, 0.5), prepend=0.0)
        shares = np.convolve(shares, signs)
    return min(1.0, 2 * float(shares[: len(shares) // 2 - abs(total) + 1].sum())) if total else 1.0


def crossed_spread(
    ours: np.ndarray, theirs: np.ndarray | None = None, people: Sequence[str] | np.ndarray | None = None
) -> Spread | NotTestable:
    """Return the mean of ours - theirs with the variance from seeds and from images; ``theirs`` None: of ours alone.

    Arrays are (S, N): S seeds, trained apart and tested on the same N images; 0 or 1 for accuracy, else ``pseudo_values``.
    The variance of the mean is that of seeds, s^2/S, plus that of images or people (ratio estimate, G/(G - 1) x sum of
    squared residuals / N^2); the part that both share is counted twice, which errs towards no difference. Degrees of freedom
    are Satterthwaite's.
    """
    seeds = split_spread(ours, theirs, people)
    if isinstance(seeds, NotTestable):
        return seeds
    mean, parts, units, n = seeds
    if sum(parts) * GRID * GRID < 1:
        return NotTestable("the arms are right on the same images in every seed, so how much they vary is unknown")
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (units - 1))
    return Spread(mean, sum(parts), freedom, n)


def split_spread(
    ours: np.ndarray, theirs: np.ndarray | None = None, people: Sequence[str] | np.ndarray | None = None
) -> tuple[float, tuple[float, float], int, int] | NotTestable:
    """Return a mean difference, its variance from seeds and from images, the number of units and of seeds."""
    values = np.atleast_2d(ours).astype(np.float64)
    if theirs is not None:
        values = values - np.atleast_2d(theirs)
    n, images = values.shape
    if n < FEWEST_SCORES:
        return NotTestable(f"n = {n}: a t-test needs at least {FEWEST_SCORES} seeds")
    mean = float(values.mean())
    residuals = values.mean(0) - mean
    if people is not None:
        residuals = sum_by(residuals, people)
    units = len(residuals)
    if units < FEWEST_UNITS:
        what = "images" if people is None else "people"
        return NotTestable(f"{units} test {what}: at least {FEWEST_UNITS} are needed to see how much they vary")
    of_images = units / (units - 1) * float((residuals**2).sum()) / images**2
    return mean, (float(values.mean(1).var(ddof=1)) / n, of_images), units, n


def pseudo_values(truth: np.ndarray, answers: np.ndarray, classes: int, metric: Callable[[np.ndarray], float]) -> np.ndarray:
    """Return the jackknife pseudo-values (N,) of a metric of a confusion matrix, shifted so that their mean is the metric.

    ``truth``, ``answers``: (N,) class codes. An image's value is N m - (N - 1) m', where m' is the metric without it.
    For accuracy it is 1 if right, else 0.
    """
    counts = confusion_counts(truth, answers, classes)
    n, whole = int(counts.sum()), metric(counts)
    values = np.zeros((classes, classes))
    for row, column in zip(*counts.nonzero(), strict=True):
        counts[row, column] -= 1
        values[row, column] = n * whole - (n - 1) * metric(counts)
        counts[row, column] += 1
    found = values[truth, answers]
    shifted: np.ndarray = found + (whole - found.mean())
    return shifted


def sum_by(values: np.ndarray, names: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the sums (G,) of (N,) values by name, in the names' sorted order."""
    _, codes = np.unique(np.asarray(names), return_inverse=True)
    sums = np.bincount(codes, weights=values)
    return np.rint(sums).astype(np.int64) if values.dtype.kind == "i" else sums
