"""Checks of single cells: values that no such quantity has, whatever else the paper prints.

A p value and partial eta squared lie in 0 to 1; F, mean squares, run times, information and numbers of images are not
negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fer_cli.papers.findings import Found, join, show_printed
from fer_cli.papers.printed import Printed, Span
from fer_cli.papers.schema import (
    Anova,
    AnyTable,
    ClassScores,
    Confusion,
    Hits,
    Information,
    Paper,
    Runtime,
    Scores,
    Shares,
    as_share,
)

WHOLE = Span(0.0, 1.0)
SHARES = {"p": "p value", "eta2": "partial eta squared"}
"""Columns of an analysis of variance that lie in 0 to 1 -> their name."""
PROPER: dict[type[AnyTable], str] = {Runtime: "a time or rate", Information: "mutual information or entropy"}
"""Kinds of tables whose cells are not negative -> what they hold."""


def check_range(paper: Paper) -> Iterator[Found]:
    """Yield shares outside [0, 1]."""
    for table in paper.tables.values():
        for keys, cell in table.cells().items():
            unit = (table.column(keys[-1]).unit or table.unit) if isinstance(table, Scores) else table.unit
            if holds_shares(table, keys[-1]) and (unit != "plain" or cell.percent) and not as_share(cell, unit).meets(WHOLE):
                yield Found(table.place, (join(*keys),), f"{show_printed(cell, unit)} is not a share between 0 and 100 %")


def holds_shares(table: AnyTable, column: str) -> bool:
    """Return whether the cells of a column are shares of a whole."""
    if isinstance(table, Confusion):
        return table.normalised
    return isinstance(table, Scores | ClassScores | Shares) or (isinstance(table, Hits) and column == "accuracy")


def check_values(paper: Paper) -> Iterator[Found]:
    """Yield other cells with a value that the quantity cannot have."""
    for table in paper.tables.values():
        fault = judge_cell(table)
        for keys, cell in table.cells().items():
            if fault is not None and (text := fault(keys[-1], cell)) is not None:
                yield Found(table.place, (join(*keys),), text)


def judge_cell(table: AnyTable) -> Callable[[str, Printed], str | None] | None:
    """Return the check of a table's cells, a function of column and cell that says what is wrong; None without one."""
    if isinstance(table, Anova):
        return in_anova
    if isinstance(table, Confusion) and not table.normalised:
        return lambda _, cell: None if is_count(cell) else f"{cell.text} is not a number of images"
    if (what := PROPER.get(type(table))) is not None:
        return lambda _, cell: below_zero(cell, what)
    return None


def in_anova(column: str, cell: Printed) -> str | None:
    """Return what is wrong with a cell of an analysis of variance."""
    if column in SHARES:
        return None if cell.span.meets(WHOLE) else f"{cell.text} is not a {SHARES[column]}, which lies between 0 and 1"
    return below_zero(cell, {"f": "an F value", "ms": "a mean square"}.get(column, f"a {column}"))


def below_zero(cell: Printed, what: str) -> str | None:
    """Return what is wrong with a negative value."""
    return f"{cell.text} is not {what}, which is at least 0" if cell.span.high < -cell.span.slack else None


def is_count(cell: Printed) -> bool:
    """Return whether a cell may be a number of images, or a mean of several."""
    return cell.span.high >= -cell.span.slack and not cell.percent
