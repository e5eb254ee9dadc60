"""What a statistical test returns: a result, or the words that say why there is none. Never NaN."""

from __future__ import annotations

from dataclasses import dataclass

ALPHA = 0.05  # two-sided; a smaller p counts as a difference


@dataclass(frozen=True)
class PValue:
    """The result of a two-sided test."""

    test: str
    """Name of the test."""
    statistic: float
    p: float
    n: int
    """Units that were tested: pairs of scores, images or people."""


@dataclass(frozen=True)
class NotTestable:
    """Why there is no test."""

    why: str

    def __str__(self) -> str:
        return self.why


Outcome = PValue | NotTestable
