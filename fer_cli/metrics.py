"""The code of METRICS: functions of a confusion matrix (rows are the truth), tested against scikit-learn.

They are fast for thousands of runs, and apply to old runs; scikit-learn takes a second to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fer_cli.config import METRICS, load


def accuracy(counts: np.ndarray) -> float:
    """Return the accuracy of a confusion matrix (K, K)."""
    return float(counts.trace() / counts.sum())


def per_class(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 by class, (K,) each, 0 if undefined."""
    right, truth, answers = counts.diagonal(), counts.sum(1), counts.sum(0)
    return right / np.maximum(answers, 1), right / np.maximum(truth, 1), 2 * right / np.maximum(truth + answers, 1)


def macro(values: np.ndarray, counts: np.ndarray) -> float:
    """Return the mean of (K,) values over classes that occur in truth or predictions."""
    return float(values[counts.sum(1) + counts.sum(0) > 0].mean())


def weighted_f1(counts: np.ndarray) -> float:
    """Return the mean F1 over classes, weighted by support."""
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


def unweighted_recall(counts: np.ndarray) -> float:
    """Return the mean recall over classes that have images; ``macro_recall`` also counts those that are only predicted."""
    return float(per_class(counts)[1][counts.sum(1) > 0].mean())


def compute_metrics(counts: np.ndarray, names: Iterable[str]) -> dict[str, float]:
    """Return metrics of a confusion matrix (K, K) by name."""
    return {name: load(METRICS[name].code)(counts) for name in names}


def confusion_counts(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix (K, K) int64 of class codes (N,)."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def score_counts(counts: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return all metrics of a confusion matrix (K, K), recall by class (None without images) and n."""
    recall, support = per_class(counts)[1], counts.sum(-1)
    return {
        **compute_metrics(counts, METRICS),
        "recall": {name: float(recall[i]) if support[i] else None for i, name in enumerate(classes)},
        "confusion": counts.tolist(),
        "n": int(support.sum()),
    }


def score(truth: Sequence[str] | np.ndarray, predicted: Sequence[str] | np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return all metrics of ``predicted`` against ``truth`` (label names); raises KeyError for labels not in ``classes``."""
    place = {name: code for code, name in enumerate(classes)}
    codes, answers = (
        np.array([place[name] for name in np.asarray(labels).tolist()], np.int64) for labels in (truth, predicted)
    )
    return score_counts(confusion_counts(codes, answers, len(classes)), classes)


def majority_baseline(confusion: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return all metrics of always predicting the majority class (the first, if tied), given any confusion matrix."""
    return _majority_scores(tuple(sum(row) for row in confusion), tuple(METRICS))


@lru_cache
def _majority_scores(counts: tuple[int, ...], metrics: tuple[str, ...]) -> dict[str, Any]:
    del metrics  # only part of the cache key
    matrix = np.zeros((len(counts), len(counts)), np.int64)
    matrix[:, int(np.argmax(counts))] = counts
    return score_counts(matrix, list(map(str, range(len(counts)))))
