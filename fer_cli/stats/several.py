"""Several tests at once: Holm's correction (1979, Scandinavian Journal of Statistics 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values adjusted so that any false alarm among them has at most the level's probability, in the given order.

    The k-th smallest of m is multiplied by m - k + 1, never falls below the one before, and is at most 1.
    """
    values = np.asarray(ps, float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, steps)
    return [float(p) for p in adjusted]
