"""Findings of the audit, and what several checks read from a paper: accuracies, and recalls by class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from fer_cli.papers.printed import Printed, Span
from fer_cli.papers.schema import ClassScores, Confusion, Hits, Paper, Scores, Unit, as_share

Verdict = Literal["impossible", "inconsistent", "suspicious"]
VERDICTS: dict[Verdict, str] = {
    "impossible": "no values that round to the printed ones satisfy the arithmetic",
    "inconsistent": "two statements of the paper contradict each other, though each is possible alone",
    "suspicious": "possible, but unlikely or ambiguous: ask the authors",
}


@dataclass(frozen=True)
class Found:
    """What a check found: the place, the cells that are concerned, and the arithmetic in one line."""

    place: str
    cells: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Accuracy:
    """An accuracy that is printed at one or more places; ``share``: in [0, 1]; ``cited``: another paper's."""

    places: tuple[str, ...]
    cells: tuple[str, ...]
    model: str
    set: str | None
    printed: Printed
    share: Span
    unit: Unit
    runs: int
    cited: bool = False


@dataclass(frozen=True)
class Recalls:
    """Recalls of one model by class, with the number of images of each class (None: not known)."""

    place: str
    model: str
    set: str | None
    shares: dict[str, Span]
    texts: dict[str, str]
    counts: dict[str, int | None]
    unit: Unit
    runs: int


def show_share(share: Span, unit: Unit, digits: int = 4) -> str:
    """Return an interval of shares as the table prints it."""
    return f"{(share * 100).text(digits)} %" if unit == "%" else share.text(digits)


def show_printed(printed: Printed, unit: Unit) -> str:
    """Return a printed number with its unit."""
    return f"{printed.text} %" if unit == "%" and not printed.percent else printed.text


def join(*keys: str) -> str:
    """Return the name of a cell."""
    return " / ".join(keys)


def list_accuracies(paper: Paper) -> Iterator[Accuracy]:
    """Yield every printed accuracy."""
    for table in paper.tables.values():
        place = (table.place,)
        if isinstance(table, Scores):
            for row, cells in table.rows.items():
                for name, cell in cells.items():
                    column = table.column(name)
                    unit = column.unit or table.unit
                    if cell is not None and cell.exact and column.metric == "accuracy" and unit != "plain":
                        model, share, cited = table.models.get(row, row), table.share(name, cell), row in table.cited
                        yield Accuracy(place, (join(row, name),), model, column.set, cell, share, unit, table.runs, cited)
        elif isinstance(table, ClassScores | Confusion) and table.accuracy is not None:
            share = as_share(table.accuracy, table.unit)
            yield Accuracy(place, ("accuracy",), table.model, table.set, table.accuracy, share, table.unit, table.runs)
        elif isinstance(table, Hits):
            for row, hit in table.rows.items():
                if hit.accuracy is not None:
                    share = as_share(hit.accuracy, table.unit)
                    yield Accuracy(place, (join(row, "accuracy"),), row, table.set, hit.accuracy, share, table.unit, 1)


def merge_equal(accuracies: Iterable[Accuracy]) -> list[Accuracy]:
    """Return accuracies with those of one model on one test set that are printed alike at several places as one."""
    merged: dict[tuple[object, ...], Accuracy] = {}
    for one in accuracies:
        key = (one.model, one.set or one.places, one.printed.text, one.unit, one.runs, one.cited)
        if (first := merged.get(key)) is not None:
            places, cells = (dict.fromkeys([*a, *b]) for a, b in ((first.places, one.places), (first.cells, one.cells)))
            one = replace(first, places=tuple(places), cells=tuple(cells))  # noqa: PLW2901
        merged[key] = one
    return list(merged.values())


def list_recalls(paper: Paper) -> Iterator[Recalls]:
    """Yield the recalls of every table by class and confusion matrix that prints all of them."""
    for table in paper.tables.values():
        if isinstance(table, ClassScores):
            support = paper.support(table.set)
            counts = {name: support.get(name) if row.n is None else row.n for name, row in table.rows.items()}
            shares = {name: as_share(row.recall, table.unit) for name, row in table.rows.items() if row.recall is not None}
            texts = {
                name: show_printed(row.recall, table.unit) for name, row in table.rows.items() if row.recall is not None
            }
            yield Recalls(table.place, table.model, table.set, shares, texts, counts, table.unit, table.runs)
        elif isinstance(table, Confusion):
            support = paper.support(table.set)
            diagonal = {name: cells.get(name) for name, cells in table.rows.items()}
            if table.normalised:
                shares = {name: as_share(cell, table.unit) for name, cell in diagonal.items() if cell is not None}
                texts = {name: show_printed(cell, table.unit) for name, cell in diagonal.items() if cell is not None}
                counts = {name: support.get(name) for name in table.rows}
            else:
                counts = {name: count_images(table, name, support) for name in table.rows}
                rates = {name: cell.value / n for name, cell in diagonal.items() if cell and (n := counts[name])}
                shares = {name: Span(rate, rate) for name, rate in rates.items()}
                texts = {name: show_share(share, table.unit) for name, share in shares.items()}
            yield Recalls(table.place, table.model, table.set, shares, texts, counts, table.unit, table.runs)


def count_images(table: Confusion, name: str, support: dict[str, int]) -> int | None:
    """Return the images of a class in a matrix of counts: its row's sum, or where a cell is not printed the set's."""
    if (given := table.whole_row(name)) is not None:
        return round(sum(cell.value for cell in given))
    return support.get(name) if table.runs == 1 else None
