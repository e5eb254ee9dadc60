"""Intervals of one run's scores over its test images, and McNemar's test of two runs on the same images.

Both treat images as independent, and the trained networks as given: they say nothing about other seeds or splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.config import METRICS, load
from fer_cli.errors import DamagedError
from fer_cli.outputs import damage_error
from fer_cli.results import Result
from fer_cli.stats import LEVEL, Interval, bootstrap_interval, lift
from fer_cli.stats.images import sign_flip_p

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 1000
"""Bootstrap samples."""
SEED = 0


def interval_scores(counts: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of every metric from a confusion matrix (K, K) int64, rows are the truth.

    Accuracy has Wilson's interval, the others that of a bootstrap over images (``stats.bootstrap``); below
    ``FEWEST_UNITS`` images they have none.
    """
    from scipy.stats import binomtest

    n, right = int(counts.sum()), int(counts.trace())
    wilson = binomtest(right, n).proportion_ci(LEVEL, method="wilson")
    found = {"accuracy": (float(wilson.low), float(wilson.high))}
    kinds = np.eye(counts.size, dtype=np.int64).reshape(-1, *counts.shape)  # an image is one in one cell
    images = np.repeat(kinds, counts.ravel(), axis=0)
    for name in (name for name in METRICS if name not in found):
        interval = bootstrap_interval(images, lift(load(METRICS[name].code)), SEED, resamples=DRAWS)
        if isinstance(interval, Interval):
            found[name] = (interval.low, interval.high)
    return found


def read_predictions(folder: Path, result: Result) -> pd.DataFrame:
    """Return a run's predictions: part, sample, label, predicted, and ``p_<class>``; raises DamagedError."""
    import pandas as pd

    path = folder / result.predictions
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise damage_error(path, str(error)) from None


@dataclass(frozen=True)
class McNemar:
    """Of ``n`` images: ``both`` right, ``b`` only the first right, ``c`` only the second right; exact two-sided ``p``."""

    n: int
    both: int
    b: int
    c: int
    p: float


def test_pair(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Return McNemar's exact test of two runs' right answers (N,) bool on the same images, in the same order."""
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    return McNemar(len(first), int((first & second).sum()), b, c, sign_flip_p(np.ones(b + c, np.int64), b - c))


def pair_answers(one: tuple[Path, Result], other: tuple[Path, Result]) -> tuple[np.ndarray, np.ndarray] | str:
    """Return which test images each of two runs answered rightly, (N,) bool each, in the same order; or why they differ."""
    if reason := find_other_test(one[1], other[1]):
        return reason
    try:
        tables = [read_predictions(path, result) for path, result in (one, other)]
    except DamagedError as error:
        return str(error)
    tested = [frame[frame["part"] == "test"].sort_values("sample", kind="stable") for frame in tables]
    names = [frame["sample"].to_numpy() for frame in tested]
    if len(names[0]) != len(names[1]) or (names[0] != names[1]).any():
        common = len(np.intersect1d(names[0], names[1]))
        return f"they are tested on different images: {len(names[0])} and {len(names[1])}, {common} of them the same"
    labels = [frame["label"].to_numpy() for frame in tested]
    if (labels[0] != labels[1]).any():
        return f"{int((labels[0] != labels[1]).sum())} of their test images have different labels"
    answers = [frame["predicted"].to_numpy() == label for frame, label in zip(tested, labels, strict=True)]
    return answers[0], answers[1]


def find_other_test(ours: Result, theirs: Result) -> str:
    """Return why two runs are tested on different classes, sets or builds of a set, or ""."""
    if ours.config.trial or theirs.config.trial:
        return "a trial of fer search is not tested"
    if sorted(ours.data.classes) != sorted(theirs.data.classes):
        return f"they are tested on different classes: {', '.join(ours.data.classes)} and {', '.join(theirs.data.classes)}"
    sets = [result.config.data.sets[-1] for result in (ours, theirs)]
    if sets[0] != sets[1]:
        return f"they are tested on different data sets, {sets[0]} and {sets[1]}"
    builds = [tested_build(result) for result in (ours, theirs)]
    if builds[0] != builds[1]:
        return f"they are tested on different builds of {sets[0]}, with fingerprints {builds[0]} and {builds[1]}"
    return ""


def tested_build(result: Result) -> str:
    """Return the fingerprint of the set that a run is tested on."""
    return result.fingerprint.split("+")[-1]
