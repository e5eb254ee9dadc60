"""The columns of a user's CSV, as text, and the sample of one analysis taken from them.

Separators are commas, semicolons or tabs, whichever splits the header into most names. Every row that is left out is counted
by its reason. Numbers use a decimal point; infinite ones are errors.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_cli.digits import parse_number
from fer_cli.errors import DataError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.interaction.design import CROSS
from fer_cli.places import open_regular

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null"})
"""Cells without a value."""
MOST_BYTES = 64 * 2**20
LARGEST = 1e100
"""Numbers beyond overflow when squared."""
SMALLEST = 1e-100
"""Differences below vanish when squared."""


@dataclass(frozen=True)
class Columns:
    """A table of text: ``rows`` of cells by column; None is a cell of a joined table that has no such row."""

    where: str
    names: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    lines: tuple[int, ...]
    """Line of each row in its file."""

    def place(self, name: str, option: str) -> int:
        """Return the position of a column; raises DataError, with the nearest name, if it is missing or named twice."""
        if name not in self.names:
            raise DataError(f"{self.where}: {option}: no column '{cut(name)}'{nearest(name, filter(None, self.names))}")
        if self.names.count(name) > 1:
            raise DataError(f"{self.where}: {option}: {self.names.count(name)} columns are named '{cut(name)}'; rename them")
        return self.names.index(name)


@dataclass(frozen=True)
class Sample:
    """The rows of one analysis, all without missing values; factors are given by names of levels."""

    where: str
    outcome: str
    values: np.ndarray
    """(n,) float64."""
    factors: dict[str, tuple[str, ...]]
    """Factor -> its levels in order."""
    codes: np.ndarray
    """(n, factors) int64, positions in those levels."""
    covariates: dict[str, np.ndarray]
    """Name -> (n,) float64."""
    dropped: dict[str, int]
    """Reason -> rows left out; each row counts once."""


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV file; raises DataError if it is missing, empty, not text or not a table."""
    where = cut(path, PATH)
    try:
        with open_regular(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{where}: no such file; give a CSV with one row per person") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{where}: larger than the limit of {MOST_BYTES // 2**20} MiB")
    if b"\0" in content or content[:4] in {b"PAR1", b"PK\3\4", b"%PDF"}:
        raise DataError(f"{where}: not a CSV but a binary file; export the table as CSV")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{where}, line {line}: not UTF-8; export the table as CSV (UTF-8)") from None
    if not text.strip():
        raise DataError(f"{where}: empty; its first line must name the columns")
    return parse_columns(text, where)


def parse_columns(text: str, where: str) -> Columns:
    """Return the columns of CSV text; raises DataError for rows of another length than the header, and for no row."""
    first = next(line for line in io.StringIO(text) if line.strip())
    separator = max(",;\t", key=first.count)
    table: list[tuple[int, list[str]]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                table.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num}: not a CSV ({error})") from None
    if not table:
        raise DataError(f"{where}: empty; its first line must name the columns")
    header = table[0][1]
    for line, cells in table[1:]:
        if len(cells) != len(header):
            what = f"{len(cells)} cells, but the header names {len(header)} columns"
            raise DataError(f"{where}, line {line}: {what}; quote cells that contain a separator")
    if len(table) < 2:
        raise DataError(f"{where}: no rows below the header ({', '.join(map(cut, header[:6]))})")
    return Columns(where, tuple(header), tuple(tuple(cells) for _, cells in table[1:]), tuple(line for line, _ in table[1:]))


def join_columns(left: Columns, right: Columns, key: str) -> Columns:
    """Return ``left`` with the other columns of ``right``, matched by ``key``.

    Raises DataError if the key is missing in one of them or repeats in ``right``, and for a column in both.
    """
    here, there = left.place(key, "--on"), right.place(key, "--on")
    others = [place for place in range(len(right.names)) if place != there]
    if both := [right.names[place] for place in others if right.names[place] in left.names]:
        raise DataError(f"{right.where}: column '{cut(both[0])}' is also in {left.where}; rename one of the two")
    found: dict[str | None, tuple[str | None, ...]] = {}
    for line, row in zip(right.lines, right.rows, strict=True):
        if row[there] in found:
            raise DataError(f"{right.where}, line {line}: {key} '{cut(row[there])}' has two rows; keep one row for each")
        if row[there] not in MISSING:
            found[row[there]] = tuple(row[place] for place in others)
    if not any(row[here] in found for row in left.rows):
        example = f"'{cut(left.rows[0][here])}' and '{cut(right.rows[0][there])}'"
        raise DataError(f"{right.where}: no {key} of {left.where} is in it (first ones: {example})")
    none = (None,) * len(others)
    rows = tuple(row + found.get(row[here], none) for row in left.rows)
    return replace(left, names=left.names + tuple(right.names[place] for place in others), rows=rows)


def choose_sample(table: Columns, outcome: str, factors: Sequence[str], covariates: Sequence[str]) -> Sample:
    """Return the rows without missing values in these columns.

    Raises DataError for a missing column, a column in two roles, a cell that is not a finite number, and no rows left.
    """
    check_roles(table.where, outcome, factors, covariates)
    numeric = {outcome: table.place(outcome, "--outcome")}
    named = {name: table.place(name, "--factors") for name in factors}
    numeric |= {name: table.place(name, "--covariate") for name in covariates}
    places = [numeric[outcome], *named.values(), *list(numeric.values())[1:]]
    dropped: Counter[str] = Counter()
    kept: list[int] = []
    for number, row in enumerate(table.rows):
        lost = next((place for place in places if row[place] is None or row[place] in MISSING), None)
        if lost is None:
            kept.append(number)
        else:
            reason = "no row in the joined table" if row[lost] is None else f"{cut(table.names[lost])} missing"
            dropped[reason] += 1
    if not kept:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise DataError(f"{table.where}: no row has a value in all of the columns ({reasons})")
    values = {name: read_numbers(table, name, place, kept) for name, place in numeric.items()}
    labels = {name: unite_numbers(table, name, [str(table.rows[n][place]) for n in kept]) for name, place in named.items()}
    levels = {name: sort_levels(set(column)) for name, column in labels.items()}
    order = {name: {level: code for code, level in enumerate(ranked)} for name, ranked in levels.items()}
    codes = [[order[name][label] for label in column] for name, column in labels.items()]
    whole = np.array(codes, dtype=np.int64).reshape(len(factors), len(kept)).T
    return Sample(table.where, outcome, values.pop(outcome), levels, whole, values, dict(dropped))


def check_roles(where: str, outcome: str, factors: Sequence[str], covariates: Sequence[str]) -> None:
    """Raise DataError if a name is given twice or no factor is given."""
    roles: dict[str, str] = {}
    if not factors:
        raise DataError(f"{where}: --factors: give at least one column")
    for role, names in (("outcome", [outcome]), ("factor", factors), ("covariate", covariates)):
        for name in names:
            if CROSS in name:
                raise DataError(f"{where}: column '{cut(name)}': '{CROSS}' is kept for interactions; rename it")
            if (other := roles.setdefault(name, role)) != role or [*names].count(name) > 1:
                what = f"both {other} and {role}" if other != role else f"given twice as {role}"
                raise DataError(f"{where}: column '{cut(name)}' is {what}; give each column once")


def read_numbers(table: Columns, name: str, place: int, kept: Sequence[int]) -> np.ndarray:
    """Return a column's numbers (n,) float64 of the kept rows; raises DataError with the line of the first bad cell."""
    values = np.empty(len(kept))
    for position, number in enumerate(kept):
        cell = str(table.rows[number][place])
        try:
            value = parse_number(cell)
        except ValueError:
            comma = "; use a decimal point" if cell.replace(",", "", 1).lstrip("-").isdigit() else ""
            what = f"'{cut(cell)}' in column '{cut(name)}' is not a number{comma}"
            raise DataError(f"{table.where}, line {table.lines[number]}: {what}") from None
        if math.isnan(value) or abs(value) > LARGEST:
            what = f"is beyond {LARGEST:g}" if math.isfinite(value) else "is not a finite number; leave unknown cells empty"
            raise DataError(f"{table.where}, line {table.lines[number]}: '{cut(cell)}' in column '{cut(name)}' {what}")
        values[position] = value
    return values


def is_number(text: str) -> bool:
    """Return whether text is a number."""
    try:
        return not math.isnan(parse_number(text))
    except ValueError:
        return False


def unite_numbers(table: Columns, name: str, labels: Sequence[str]) -> list[str]:
    """Return the labels of a factor, equal numbers by their shortest text: ``1.0`` and ``1`` are one level.

    Raises DataError where other levels are names, so that it is not known whether the two are numbers.
    """
    same: dict[float, str] = {}
    for label in sorted({label for label in labels if is_number(label)}, key=lambda text: (len(text), text)):
        short = same.setdefault(parse_number(label), label)
        if short != label and not all(map(is_number, labels)):
            what = f"levels '{cut(short)}' and '{cut(label)}' of factor '{cut(name)}' are the same number beside names"
            raise DataError(f"{table.where}: {what}; write them alike")
    return [same[parse_number(label)] if is_number(label) else label for label in labels]


def sort_levels(levels: set[str]) -> tuple[str, ...]:
    """Return levels by number if all are numbers, else by name."""
    if all(map(is_number, levels)):
        return tuple(sorted(levels, key=lambda level: (float(level), level)))
    return tuple(sorted(levels))


def split_names(text: str) -> list[str]:
    """Return the names of a comma-separated option; quotes keep a comma inside a name."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip()]
