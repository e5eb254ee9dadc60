"""Scores of a set of predictions, from label names alone, as scikit-learn computes them: the code of METRICS.

Each is a function of confusion matrices, rows the truth: that is all of a finished run's predictions it takes to compute a
metric of an old run, and it is quick for thousands of runs. scikit-learn itself takes a second to import; the tests compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fer_cli.config import METRICS, load


def accuracy(counts: np.ndarray) -> float:
    """Return the share of right answers of a confusion matrix (K, K)."""
    return float(counts.trace() / counts.sum())


def per_class(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 of each class, (K,) each, 0 where undefined."""
    right, truth, answers = counts.diagonal(), counts.sum(1), counts.sum(0)
    return right / np.maximum(answers, 1), right / np.maximum(truth, 1), 2 * right / np.maximum(truth + answers, 1)


def macro(values: np.ndarray, counts: np.ndarray) -> float:
    """Return the mean of (K,) values over the classes that occur in truth or answers."""
    return float(values[counts.sum(1) + counts.sum(0) > 0].mean())


def weighted_f1(counts: np.ndarray) -> float:
    """Return the mean F1 over classes, each weighted by its images."""
    occurs = counts.sum(1) + counts.sum(0) > 0
    truth = counts.sum(1)[occurs]
    return float((per_class(counts)[2][occurs] * truth).sum() / truth.sum())


def macro_f1(counts: np.ndarray) -> float:
    """Return the mean F1 over classes."""
    return macro(per_class(counts)[2], counts)


def macro_precision(counts: np.ndarray) -> float:
    """Return the mean precision over classes."""
    return macro(per_class(counts)[0], counts)


def macro_recall(counts: np.ndarray) -> float:
    """Return the mean recall over classes, which is the mean class accuracy."""
    return macro(per_class(counts)[1], counts)


HEADLINE = tuple(METRICS)
"""Metrics that are one number in [0, 1]."""


def compute_metrics(counts: np.ndarray, names: Iterable[str]) -> dict[str, float]:
    """Return metrics of a confusion matrix (K, K) by name."""
    return {name: load(METRICS[name].code)(counts) for name in names}


def confusion_counts(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix (K, K) int64 of class positions (N,), rows the truth."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def score_counts(counts: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return every metric of a confusion matrix (K, K), with recall per class (None for one without images) and n."""
    recall, support = per_class(counts)[1], counts.sum(-1)
    return {
        **compute_metrics(counts, METRICS),
        "recall": {name: float(recall[i]) if support[i] else None for i, name in enumerate(classes)},
        "confusion": counts.tolist(),
        "n": int(support.sum()),
    }


def score(truth: Sequence[str] | np.ndarray, predicted: Sequence[str] | np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return every metric of ``predicted`` against ``truth`` (label names).

    Macro averages go over the classes that occur in either; rows of the confusion matrix are the truth, rows and columns in
    the order of ``classes``. Raises KeyError for a label that is none of them.
    """
    place = {name: code for code, name in enumerate(classes)}
    codes, answers = (
        np.array([place[name] for name in np.asarray(labels).tolist()], np.int64) for labels in (truth, predicted)
    )
    return score_counts(confusion_counts(codes, answers, len(classes)), classes)


def majority_baseline(confusion: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return every metric of always answering the majority class of a test part, given any confusion matrix of it.

    Only the sums of its rows matter, which are how many images each class has; of equal classes the first is answered.
    """
    return _majority_scores(tuple(sum(row) for row in confusion), tuple(METRICS))


@lru_cache
def _majority_scores(counts: tuple[int, ...], metrics: tuple[str, ...]) -> dict[str, Any]:
    del metrics  # a part of the key alone: others have other answers
    matrix = np.zeros((len(counts), len(counts)), np.int64)
    matrix[:, int(np.argmax(counts))] = counts
    return score_counts(matrix, list(map(str, range(len(counts)))))
