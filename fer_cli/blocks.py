"""The blocks of a report: tables, figures and notes, made by sections and analyses and written by renderers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MINUS, DASH = "−", "–"
LEAST_P = 0.0001

Mark = Literal["underfitted", "leaky"]
MARKS: dict[Mark, str] = {"underfitted": "†", "leaky": "‡"}
"""Red flag of a cell -> its sign, written behind the number; the notes of its table explain it."""


@dataclass(frozen=True)
class Number:
    """An unrounded table cell; ``n`` of ``planned`` values, ``interval``: 95 % confidence; None: missing or not shown."""

    value: float | None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    planned: int | None = None
    """Planned values; where all are there the table says how many, not the cell."""
    unit: Literal["%", "points", "count", "plain", "p"] = "%"  # `%` and `points` (signed differences): shares, times 100
    digits: int = 2
    best: bool = False
    marks: tuple[Mark, ...] = ()

    @property
    def text(self) -> str:
        """Return the number as text: ``93.47 ± 0.52``, ``+1.20 [−0.35, +2.75]``, ``– n = 2/5``, ``61.00 ± 2.00 †``."""
        return " ".join([self.core, *filter(None, [self.count, self.signs])])

    @property
    def core(self) -> str:
        """Return the number with its deviation or interval, without flags."""
        texts = [DASH if self.value is None else self._format(self.value)]
        texts += [] if self.sd is None or self.value is None else [f"± {self._format(self.sd)}"]
        texts += [] if self.interval is None else [f"[{', '.join(map(self._format, self.interval))}]"]
        return " ".join(texts)

    @property
    def count(self) -> str:
        """Return how many of the planned values are there, ``n = 2/5``; "" if all are, ``(40)`` if none are planned."""
        if self.n is None or self.n == self.planned:
            return ""
        return f"({self.n})" if self.planned is None else f"n = {self.n}/{self.planned}"

    @property
    def signs(self) -> str:
        """Return the signs of the cell's red flags, ``†‡``."""
        return "".join(sign for mark, sign in MARKS.items() if mark in self.marks)

    def _format(self, value: float) -> str:
        if self.unit == "count":
            return f"{value:,.0f}"
        if self.unit == "p":
            return f"< {LEAST_P}" if value < LEAST_P else f"{value:.4f}"
        return decimal(value, self.digits) if self.unit == "plain" else percent(value, self.unit == "points", self.digits)


Cell = Number | str
Kind = Literal["", "scores", "claims", "differences", "published", "classes", "diagnostics", "cost", "seeds"]


@dataclass(frozen=True)
class Table:
    """A titled table; ``rows``: a label and one cell per column."""

    title: str
    columns: list[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    notes: list[str] = field(default_factory=list)
    kind: Kind = ""
    """What it shows; the first of ``scores`` is the report's main table."""
    only: frozenset[str] = frozenset()
    """Formats that show it, such as ``html``; empty: all."""


@dataclass(frozen=True)
class Figure:
    """A figure file."""

    path: Path


Part = Literal["Notes", "Protocol", "Provenance"]


@dataclass(frozen=True)
class Note:
    """A note before the first table (``head``: the answer) or after the last, under the heading ``part``."""

    text: str
    head: bool = False
    part: Part = "Notes"


Block = Table | Figure | Note


def decimal(value: float, digits: int) -> str:
    """Return a number with a typographic minus."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def percent(value: float, sign: bool = False, digits: int = 2) -> str:
    """Return a share in percent: ``93.47``, or with a sign ``+1.20`` / ``−0.35``."""
    return f"{100 * value:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def describe_p(p: float) -> str:
    """Return ``p = 0.0123`` or ``p < 0.0001``."""
    text = Number(p, unit="p").text
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def cell_text(cell: Cell) -> str:
    """Return the text of a cell."""
    return cell if isinstance(cell, str) else cell.text


def is_bold(cell: Cell) -> bool:
    """Return whether a cell is bold."""
    return isinstance(cell, Number) and cell.best
