"""From recognised expressions to the levels of a factor.

Convention (ours; the teacher study does not say how it classified teachers as expressive): the share of positive expressions
of each unit (a teacher, course or subject); at least the median of the units is ``high``, below it ``low``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut
from fer_cli.interaction.emotions import EXPRESSIONS

HIGH, LOW = "high", "low"


@dataclass(frozen=True)
class Levels:
    """One row per unit, in order of name."""

    units: list[str]
    counts: np.ndarray
    """(units,) int64: predictions of each."""
    shares: np.ndarray
    """(units,) float64 in [0, 1]: share of positive expressions."""
    median: float
    positive: tuple[str, ...]

    @property
    def levels(self) -> list[str]:
        """Return ``high`` or ``low`` for each unit."""
        return [HIGH if share >= self.median else LOW for share in self.shares]

    @property
    def tied(self) -> int:
        """Return the number of units exactly at the median, which count as high."""
        return int((self.shares == self.median).sum())


def choose_positive(classes: Sequence[str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the positive expressions among classes: ``given``, else the convention's; raises DataError for others."""
    for name in given:
        if name not in classes:
            raise DataError(f"--positive: no expression '{cut(name)}'{nearest(name, classes)}")
    if given:
        return checked(tuple(dict.fromkeys(given)), classes)
    emotions = next((one for one in EXPRESSIONS.values() if set(classes) <= set(one.classes)), None)
    if emotions is None:
        odd = min(set(classes) - set(EXPRESSIONS["basic"].classes))
        raise DataError(f"'{cut(odd)}' is neither a basic nor a learning expression; name the positive ones with --positive")
    ordered = sorted(emotions.classes, key=lambda name: -emotions.valence[name])
    return checked(tuple(name for name in ordered if name in emotions.positive and name in classes), classes)


def checked(positive: tuple[str, ...], classes: Collection[str]) -> tuple[str, ...]:
    """Return the positive expressions; raises DataError if they are none or all of the classes."""
    if not positive or len(positive) == len(set(classes)):
        which = "none" if not positive else "each"
        raise DataError(f"{which} of the expressions {', '.join(map(cut, classes))} is positive; choose with --positive")
    return positive


def split_units(units: Sequence[str], predicted: Sequence[str], positive: tuple[str, ...], column: str) -> Levels:
    """Return the level of each unit; ``units`` and ``predicted``: one per prediction.

    Raises DataError for fewer than two units, and where all have the same share.
    """
    names, codes = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"--by {cut(column)}: one unit only, '{cut(names[0])}'; levels need two or more to be compared")
    counts = np.bincount(codes)
    hits = np.bincount(codes, weights=np.isin(np.asarray(predicted, dtype=str), positive))
    shares = hits / counts
    if np.ptp(shares) == 0:
        raise DataError(
            f"--by {cut(column)}: all {len(names)} units have the same share of {', '.join(positive)} ({shares[0]:.3f}), "
            "so none is high or low; choose other expressions with --positive"
        )
    found = Levels([str(name) for name in names], counts, shares, float(np.median(shares)), positive)
    if LOW not in found.levels:
        raise DataError(
            f"--by {cut(column)}: more than half of the {len(names)} units have the lowest share ({shares.min():.3f}), so "
            "all are at least the median; choose other expressions with --positive"
        )
    return found
