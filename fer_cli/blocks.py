"""The blocks of a report: tables, figures and notes, made by sections and analyses and written by renderers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MINUS, DASH = "−", "–"


@dataclass(frozen=True)
class Number:
    """An unrounded table cell; ``n`` of ``planned`` values, ``interval``: 95 % confidence; None: missing or not shown."""

    value: float | None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    planned: int | None = None
    unit: Literal["%", "points", "count", "plain"] = "%"  # `%` and `points` (signed differences): shares, shown times 100
    digits: int = 2
    best: bool = False

    @property
    def text(self) -> str:
        """Return the number as text: ``93.47 ± 0.52 (5)``, ``+1.20 [−0.35, +2.75]``, ``– (2/5)``."""
        texts = [DASH if self.value is None else self._format(self.value)]
        texts += [] if self.sd is None or self.value is None else [f"± {self._format(self.sd)}"]
        texts += [] if self.interval is None else [f"[{', '.join(map(self._format, self.interval))}]"]
        texts += [] if self.n is None else [f"({self.n})" if self.n == self.planned else f"({self.n}/{self.planned})"]
        return " ".join(texts)

    def _format(self, value: float) -> str:
        if self.unit == "count":
            return f"{value:,.0f}"
        return decimal(value, self.digits) if self.unit == "plain" else percent(value, self.unit == "points", self.digits)


Cell = Number | str


@dataclass(frozen=True)
class Table:
    """A titled table; ``rows``: a label and one cell per column."""

    title: str
    columns: list[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """A figure file."""

    path: Path


@dataclass(frozen=True)
class Note:
    """A note before the first table (``head``) or after the last."""

    text: str
    head: bool = False


Block = Table | Figure | Note


def decimal(value: float, digits: int) -> str:
    """Return a number with a typographic minus."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def percent(value: float, sign: bool = False, digits: int = 2) -> str:
    """Return a share in percent: ``93.47``, or with a sign ``+1.20`` / ``−0.35``."""
    return f"{100 * value:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def cell_text(cell: Cell) -> str:
    """Return the text of a cell."""
    return cell if isinstance(cell, str) else cell.text


def is_bold(cell: Cell) -> bool:
    """Return whether a cell is bold."""
    return isinstance(cell, Number) and cell.best
