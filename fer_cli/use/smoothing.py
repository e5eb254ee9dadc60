"""Expressions smoothed over time by the filter of an HMM, one step per event.

States are the recogniser's classes. The emission is its confusion matrix on the validation part plus 1 in each cell, rows
normalised. The chain is in another state a second later with a probability of 0.3, for every state alike (our convention:
expressions and the pauses between them last some three seconds; in 60 timelines of rendered lessons the label of a second
differs from the one before with 0.36); for another interval it is the power of that chain. Probabilities are taken as soft
observations (``hmm.observe``), the mean of an interval's frames as one of them, and a time without a face as a missing one.

It is off by default: on a rendered lesson of 60 s (two people, one observation a second) it lowered the share of right
seconds of all six networks, most for weak ones (.49 to .35, .41 to .33), least for the best (.883 to .875). Neither hard
observations, nor the probabilities as likelihoods without the confusion, nor powers of either gained more than 0.8 points on
average at any stay probability from 0.2 to 0.8, and accuracy is highest where the chain hardly remembers anything. Errors of
the best networks lie at changes of the label, where a filter lags: the second after an error, with its label, was never
wrong. Those of weak ones last: it was in three of four cases. The lesson also served to choose 0.3: nothing here is a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_cli.errors import FerError
from fer_cli.interaction.decoding import Predictions, estimate_emission
from fer_cli.interaction.hmm import filter_states, observe, propagate
from fer_cli.interaction.states import of_classes
from fer_cli.outputs import PREDICTIONS

PART = "val"
STAY = 0.7
"""Probability of the state of a second ago."""


class Smoother:
    """Filters the expressions of each student."""

    def __init__(self, classes: list[str], emission: np.ndarray, interval_s: float) -> None:
        """Take the emission (K, K) of states that are the K classes, and the seconds between two events."""
        self.classes, self.emission = classes, emission
        self.transition = of_classes(classes).stay(stay_probability(len(classes), interval_s)).transition
        self._states: dict[str, np.ndarray] = {}

    def push(self, student: str, probabilities: np.ndarray | None) -> np.ndarray:
        """Return P(state | observations so far), (K,), after one more; ``probabilities``: (K,), None without a face."""
        size = len(self.classes)
        before = self._states.get(student)
        prior = np.full(size, 1 / size) if before is None else propagate(before[None], self.transition[None])[0]
        given = np.full(size, np.nan) if probabilities is None else probabilities
        likelihood = observe(self.emission, given[None, None])
        found = filter_states(prior / prior.sum(), self.transition, likelihood).gamma[0, 0]
        self._states[student] = found
        return np.asarray(found)

    def forget(self, student: str) -> None:
        """Drop the state of a student who has left."""
        self._states.pop(student, None)


def stay_probability(size: int, interval_s: float) -> float:
    """Return the probability that the chain of ``size`` states is where it was ``interval_s`` seconds earlier.

    All of its eigenvalues but the first are equal, so powers have a closed form; one second gives ``STAY``.
    """
    second = STAY - (1 - STAY) / (size - 1)
    return float(1 / size + (1 - 1 / size) * second**interval_s)


class Confusion(NamedTuple):
    """What a run's validation predictions say of its errors."""

    emission: np.ndarray
    """(K, K) P(recognised class | class), rows sum to 1."""
    n: int
    accuracy: float


def read_confusion(folder: Path, classes: list[str]) -> Confusion | None:
    """Return the confusion of a run on its validation part; None without predictions, or for those of other classes."""
    import pandas as pd

    columns = [f"p_{name}" for name in classes]
    try:
        table = pd.read_parquet(folder / PREDICTIONS, columns=["part", "label", *columns])
    except (OSError, ValueError, KeyError):
        return None
    table = table[table["part"] == PART]
    try:
        predictions = Predictions(table[columns].to_numpy(np.float64), table["label"].tolist(), classes)
        emission = estimate_emission(predictions, of_classes(classes)) if len(table) else None
    except (FerError, KeyError):
        return None
    if emission is None:
        return None
    answers = np.array(classes, object)[predictions.probabilities.argmax(axis=1)]
    return Confusion(emission, len(table), float((answers == table["label"].to_numpy()).mean()))
