"""Three simulated annotators: what each would call a picture, by a stated confusion matrix.

An annotator errs with a rate of their own; an error falls on the classes people confuse with the true one more often than on
the others. Label noise made of annotations is therefore real, known and recoverable.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fer_cli.config import CONFUSABLE

ERROR_RATES = (0.08, 0.15, 0.25)
"""Share of pictures each annotator names wrongly."""
ALIKE_WEIGHT = 6.0
"""How much likelier a class people confuse with the true one is than any other wrong class."""


def confusion(annotator: int, classes: list[str]) -> np.ndarray:
    """Return (K, K): row = truth, column = what annotator 0, 1 or 2 says; rows sum to 1."""
    alike = [set(pair) for pair in CONFUSABLE]
    weights = np.array([[ALIKE_WEIGHT if {a, b} in alike else 1.0 for b in classes] for a in classes])
    np.fill_diagonal(weights, 0)
    wrong = weights / weights.sum(1, keepdims=True)
    rate = ERROR_RATES[annotator]
    return np.asarray((1 - rate) * np.eye(len(classes)) + rate * wrong)


@lru_cache
def confusions(classes: tuple[str, ...]) -> np.ndarray:
    """Return (3, K, K): ``confusion`` of every annotator."""
    return np.stack([confusion(annotator, list(classes)) for annotator in range(len(ERROR_RATES))])


def annotate(label: str, classes: list[str], rng: np.random.Generator) -> dict[str, str]:
    """Return what each annotator calls a picture of ``label``: ``annotator_1`` to ``annotator_3``."""
    rows = confusions(tuple(classes))[:, classes.index(label)]
    return {f"annotator_{i + 1}": classes[rng.choice(len(classes), p=row)] for i, row in enumerate(rows)}
