"""The tables of a report as the rows of a template: the same text as in Markdown, split for layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_cli.blocks import MARKS, Cell, Mark, Table
from fer_cli.drawing import row_shares, share_text

MEANINGS: dict[Mark, str] = {
    "underfitted": "underfitted: low accuracy on its own training images, so not evidence about the method",
    "leaky": "leaky split: people or images of the test part take part in training or selection, so the score is too high",
}
"""Red flag of a cell -> what it means, where the notes of its table do not explain its sign."""
SHADES = 10
"""Steps of shading of a confusion matrix, the classes ``s0`` to ``s10`` of the style sheet."""


@dataclass(frozen=True)
class Entry:
    """A cell: the number (``main``), its spread and n (``rest``) and red flags (``marks``); a text is all ``main``."""

    main: str
    rest: str = ""
    bold: bool = False
    number: bool = False
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A table of a page; ``key``: its id, ``flags``: mark -> sign and meaning of those that its cells have."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Entry]]]
    notes: Sequence[str]
    flags: dict[str, tuple[str, str]]


def lay_out(table: Table, key: str) -> Sheet:
    """Return a table of a report as one of a page."""
    rows = [(label, [lay_out_cell(cell) for cell in cells]) for label, cells in table.rows]
    marks = {mark for _, cells in rows for cell in cells for mark in cell.marks}
    flags: dict[str, tuple[str, str]] = {
        mark: (sign, explain_mark(mark, table.notes)) for mark, sign in MARKS.items() if mark in marks
    }
    return Sheet(key, table.title, table.columns, rows, table.notes, flags)


def lay_out_cell(cell: Cell) -> Entry:
    """Return a cell, its number apart from what follows it."""
    if isinstance(cell, str):
        return Entry(cell)
    main, _, rest = " ".join(filter(None, [cell.core, cell.count])).partition(" ")
    return Entry(main, rest, cell.best, True, cell.marks)


def explain_mark(mark: Mark, notes: Sequence[str]) -> str:
    """Return what a red flag means: the note that begins with its sign, else the general meaning."""
    sign = MARKS[mark]
    return next((note.removeprefix(sign).lstrip(": ") for note in notes if note.startswith(sign)), MEANINGS[mark])


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: for each true class its counts as (count, shade, % of the row), and its recall in %."""

    title: str
    classes: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[int, int, str]], str]]


def shade_confusion(title: str, counts: np.ndarray, classes: Sequence[str]) -> Matrix:
    """Return a confusion matrix (K, K), rows the truth, shaded by the share of its row."""
    shares = np.nan_to_num(row_shares(counts))
    rows = []
    for place, label in enumerate(classes):
        cells = [
            (int(count), round(SHADES * float(share)), share_text(float(share)) or "0")
            for count, share in zip(counts[place], shares[place], strict=True)
        ]
        recall = f"{100 * shares[place, place]:.1f}" if counts[place].sum() else "–"
        rows.append((label, cells, recall))
    return Matrix(title, classes, rows)
