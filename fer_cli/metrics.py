"""Scores of a set of predictions, from label names alone; all of them from scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

HEADLINE = ("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall")
"""Metrics that are one number in [0, 1]; macro recall is the mean class accuracy."""


def score(truth: Sequence[str] | np.ndarray, predicted: Sequence[str] | np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return every metric of ``predicted`` against ``truth`` (label names).

    Macro averages go over the classes that occur in either; per-class recall is None for a class without images; rows
    of the confusion matrix are the truth, rows and columns in the order of ``classes``.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    present = [label for label in classes if (truth == label).any() or (predicted == label).any()]
    macro = precision_recall_fscore_support(truth, predicted, labels=present, average="macro", zero_division=0.0)
    weighted = precision_recall_fscore_support(truth, predicted, labels=present, average="weighted", zero_division=0.0)
    matrix = confusion_matrix(truth, predicted, labels=classes)
    support = matrix.sum(axis=1)
    recall = [float(matrix[i, i] / support[i]) if support[i] else None for i in range(len(classes))]
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(macro[2]),
        "weighted_f1": float(weighted[2]),
        "macro_precision": float(macro[0]),
        "macro_recall": float(macro[1]),
        "recall": dict(zip(classes, recall, strict=True)),
        "confusion": matrix.tolist(),
        "n": len(truth),
    }


def majority_baseline(confusion: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return every metric of always answering the majority class of a test part, given any confusion matrix of it.

    Only the sums of its rows matter, which are how many images each class has; of equal classes the first is answered.
    """
    return _constant_answer(tuple(sum(row) for row in confusion))


@lru_cache
def _constant_answer(counts: tuple[int, ...]) -> dict[str, Any]:
    classes = [str(code) for code in range(len(counts))]
    truth = np.repeat(classes, counts)
    return score(truth, np.full(len(truth), classes[int(np.argmax(counts))]), classes)
