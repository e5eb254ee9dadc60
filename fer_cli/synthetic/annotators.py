"""Three simulated annotators with known error rates and confusion matrices; confusable classes are mistaken more often."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fer_cli.config import CONFUSABLE

ERROR_RATES = (0.08, 0.15, 0.25)
"""Error rate of each annotator."""
ALIKE_WEIGHT = 6.0
"""Weight of a confusable class relative to any other wrong class."""


def confusion(annotator: int, classes: list[str]) -> np.ndarray:
    """Return (K, K): row = true class, column = class given by annotator 0, 1 or 2; rows sum to 1.

    Where there is only one class, everyone gives it.
    """
    if len(classes) == 1:
        return np.eye(1)
    weights = np.array([[ALIKE_WEIGHT if confusable(a, b) else 1.0 for b in classes] for a in classes])
    np.fill_diagonal(weights, 0)
    wrong = weights / weights.sum(1, keepdims=True)
    rate = ERROR_RATES[annotator]
    return np.asarray((1 - rate) * np.eye(len(classes)) + rate * wrong)


def confusable(a: str, b: str) -> bool:
    """Return whether people confuse two classes; also those of one expression, such as happy-quick and happy-slow."""
    stem = a.rpartition("-")[0]
    return [a, b] in CONFUSABLE or [b, a] in CONFUSABLE or stem == b.rpartition("-")[0] != ""


@lru_cache
def confusions(classes: tuple[str, ...]) -> np.ndarray:
    """Return (3, K, K): ``confusion`` of every annotator."""
    return np.stack([confusion(annotator, list(classes)) for annotator in range(len(ERROR_RATES))])


def annotate(label: str, classes: list[str], rng: np.random.Generator) -> dict[str, str]:
    """Return the annotations of an image or clip of ``label``: ``annotator_1`` to ``annotator_3``."""
    rows = confusions(tuple(classes))[:, classes.index(label)]
    return {f"annotator_{i + 1}": classes[rng.choice(len(classes), p=row)] for i, row in enumerate(rows)}
