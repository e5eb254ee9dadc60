"""Fits tables to the columns of a page: which columns wrap, how wide they are, and what is done where that is not enough.

The steps, in order: the natural widths; wrapped labels, headings and text; intervals below their differences; both columns
of the page (``table*``), likewise; a smaller font; and last, parts below each other. Widths are in points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fer_cli.report.widths import text_points

PAGES = {1: (345.0, 345.0), 2: (221.0, 452.0)}
"""Columns of the page -> ``\\columnwidth`` and ``\\textwidth`` of the class article on A4 at 10 pt, the narrowest of the
usual ones: 229 pt on letter paper, 252 pt in IEEEtran, 241 pt in acmart."""
SAFE = 0.97
"""Share of a width that is used: kerns and fonts differ."""
GAPS = (6.0, 3.0)
"""Space on each side of a column: LaTeX's ``\\tabcolsep``, and the least."""
SCALES = {"": 1.0, r"\footnotesize": 0.87, r"\scriptsize": 0.81}
"""Font size -> width of text beside ``\\normalsize``; small fonts are wider than their size."""
SPACE = text_points(" ")
LABEL = 70.0
"""A wrapped column of labels is at least so wide, if it has text for it."""
TALL, BASELINE, APART = 500.0, 12.0, 2.0
"""Height that the rows of a float may have, of a line, and between rows if some of them are wrapped."""


@dataclass(frozen=True)
class Piece:
    """The text of a cell in parts that stay on one line each."""

    parts: tuple[str, ...]
    bold: bool = False

    @property
    def text(self) -> str:
        """Return the whole text."""
        return " ".join(self.parts)

    @property
    def natural(self) -> float:
        """Return the width on one line."""
        return text_points(self.text, self.bold)

    @property
    def least(self) -> float:
        """Return the width of the longest part."""
        return max((text_points(part, self.bold) for part in self.parts), default=0.0)

    def lines(self, width: float) -> int:
        """Return how many lines the parts take, as many on each as fit ``width``."""
        count, used = 1, 0.0
        for part in self.parts:
            long = text_points(part, self.bold)
            if used and used + SPACE + long > width:
                count, used = count + 1, 0.0
            used += long + (SPACE if used else 0.0)
        return count


@dataclass(frozen=True)
class Grid:
    """A table as text: its columns' headings (the label's first), the label and cells of each row, and its notes."""

    title: str
    head: tuple[Piece, ...]
    rows: tuple[tuple[Piece, ...], ...]
    notes: tuple[str, ...] = ()

    def take(self, columns: Sequence[int]) -> Grid:
        """Return the grid with some of its columns."""
        rows = tuple(tuple(row[place] for place in columns) for row in self.rows)
        return replace(self, head=tuple(self.head[place] for place in columns), rows=rows)

    def column(self, place: int) -> list[Piece]:
        """Return the cells of a column with its heading."""
        return [self.head[place], *(row[place] for row in self.rows)]


@dataclass(frozen=True)
class Group:
    """Adjacent columns, ``first`` to ``last``, whose headings begin with the same words."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Fitted:
    """How a grid is set: in parts below each other, each with the widths of its columns (None: natural)."""

    parts: tuple[tuple[Grid, tuple[float | None, ...], tuple[Group, ...]], ...]
    wide: bool  # over both columns of the page
    gap: float
    font: str


def split_words(text: str) -> Piece:
    """Return text that may be wrapped at spaces."""
    return Piece(tuple(text.split()))


def fit(grid: Grid, page: int) -> Fitted:
    """Return the first way to set a grid that fits the page of 1 or 2 columns; if all are too tall, the least tall one."""
    grid, groups = group_headings(grid)
    narrow, wide = PAGES[page]
    best: tuple[float, Fitted] | None = None
    for width, font in [
        (narrow, ""),
        *([(wide, "")] if wide > narrow else []),
        *((wide, small) for small in SCALES if small),
    ]:
        scale = SCALES[font]
        for gap, stacked in ((GAPS[0], False), (GAPS[1], False), (GAPS[1], True)):
            widths = column_widths(grid, groups, width * SAFE / scale, gap / scale, stacked)
            if widths is None:
                continue
            found = Fitted(((grid, scaled(widths, scale), groups),), width > narrow, gap, font)
            height = sum(row_heights(grid, widths, scale))
            if height <= TALL:
                return found
            if best is None or height < best[0] - BASELINE:
                best = height, found
    return best[1] if best is not None else fit_parts(grid, page)


def scaled(widths: Sequence[float | None], scale: float) -> tuple[float | None, ...]:
    """Return widths in another font size."""
    return tuple(None if width is None else width * scale for width in widths)


def count_lines(grid: Grid, widths: Sequence[float | None]) -> list[int]:
    """Return about how many lines each row has in columns of these widths."""
    return [
        max(1 if width is None or not width else piece.lines(width) for piece, width in zip(row, widths, strict=True))
        for row in grid.rows
    ]


def row_heights(grid: Grid, widths: Sequence[float | None], scale: float) -> list[float]:
    """Return about how tall rows are, in points, in columns of these widths at ``SIZE``, for text ``scale`` as wide."""
    lines = count_lines(grid, widths)
    return [scale * BASELINE * count + (APART if max(lines) > 1 else 0.0) for count in lines]


def fit_parts(grid: Grid, page: int) -> Fitted:
    """Return a grid in the fewest parts of about equal numbers of columns, below each other, that fit the page."""
    narrow, wide = PAGES[page]
    columns, font = len(grid.head) - 1, r"\footnotesize"
    for count in range(2, columns + 1):
        size = -(-columns // count)
        chosen = [[0, *range(start, min(start + size, columns + 1))] for start in range(1, columns + 1, size)]
        parts = [grid.take(places) for places in chosen]
        limit, gap = wide * SAFE / SCALES[font], GAPS[1] / SCALES[font]
        widths = [column_widths(part, (), limit, gap, True) for part in parts]
        if all(one is not None for one in widths):
            sized = [scaled(some or (), SCALES[font]) for some in widths]
            return Fitted(
                tuple((part, some, ()) for part, some in zip(parts, sized, strict=True)), wide > narrow, GAPS[1], font
            )
    return force(grid, page)


def force(grid: Grid, page: int) -> Fitted:
    """Return a grid whose longest words are wider than the page: a part for each column, both of half its width."""
    narrow, wide = PAGES[page]
    half = wide * SAFE / 2 - 2 * GAPS[1]
    parts = [(grid.take([0, place]), (half, half), ()) for place in range(1, len(grid.head))]
    return Fitted(tuple(parts), wide > narrow, GAPS[1], r"\scriptsize")


def column_widths(
    grid: Grid, groups: Sequence[Group], limit: float, gap: float, stacked: bool
) -> tuple[float | None, ...] | None:
    """Return the width of each column within a limit, None for a natural one, or None if they do not fit.

    ``stacked``: cells of several parts, such as differences with their intervals, may be broken too, not only labels,
    headings and text.
    """
    columns = [grid.column(place) for place in range(len(grid.head))]
    natural = [max(piece.natural for piece in column) for column in columns]
    least = [
        min(full, max(LABEL if place == 0 else 0.0, *(shortest(piece, stacked or piece is column[0]) for piece in column)))
        for place, (full, column) in enumerate(zip(natural, columns, strict=True))
    ]
    for group in groups:  # a heading over several columns needs room as well
        span = slice(group.first, group.last + 1)
        between = 2 * gap * (group.last - group.first)
        for sizes, needed in ((natural, text_points(group.name)), (least, split_words(group.name).least)):
            extra = (needed - between - math.fsum(sizes[span])) / (group.last - group.first + 1)
            sizes[span] = [size + max(0.0, extra) for size in sizes[span]]
    room = limit - 2 * gap * len(columns)
    if math.fsum(natural) <= room:
        return tuple(None for _ in columns)
    if math.fsum(least) > room:
        return None
    slack = [full - small for full, small in zip(natural, least, strict=True)]
    share = (room - math.fsum(least)) / math.fsum(slack)
    grouped = {place for group in groups for place in range(group.first, group.last + 1)}
    return tuple(
        None if extra == 0.0 and place not in grouped else small + share * extra
        for place, (small, extra) in enumerate(zip(least, slack, strict=True))
    )


def shortest(piece: Piece, breakable: bool) -> float:
    """Return the least width of a cell: a number with an interval counts as one part unless it may be broken."""
    return piece.least if breakable or not is_number(piece.text) else piece.natural


def is_number(text: str) -> bool:
    """Return whether a cell begins with a number or is a dash."""
    return bool(re.match(r"[+−<]? ?\.?\d|–$|– ", text))


def group_headings(grid: Grid) -> tuple[Grid, tuple[Group, ...]]:
    """Return a grid whose adjacent headings that begin with the same words are without them, and these groups."""
    words = [heading.parts for heading in grid.head]
    groups, place = list[Group](), 1
    while place < len(words):
        last, same = place, 0
        for end in range(place + 1, len(words)):
            common = shared_words(words[place : end + 1])
            if common == 0 or (same and common < same):
                break
            last, same = end, common
        if same:
            groups.append(Group(" ".join(words[place][:same]).removesuffix(":"), place, last))
        place = last + 1
    short = {
        place: Piece(words[place][len(group_words(group, words[place])) :])
        for group in groups
        for place in range(group.first, group.last + 1)
    }
    head = tuple(short.get(place, heading) for place, heading in enumerate(grid.head))
    return replace(grid, head=head), tuple(groups)


def group_words(group: Group, words: Sequence[str]) -> Sequence[str]:
    """Return the words of a heading that its group has."""
    return words[: len(group.name.split())]


def shared_words(headings: Sequence[Sequence[str]]) -> int:
    """Return how many first words all headings share; 0 if what is left of any is empty or does not begin with a word."""
    count = 0
    while all(len(words) > count + 1 for words in headings) and len({words[count] for words in headings}) == 1:
        count += 1
    while count and not all(words[count][0].isalnum() and words[count - 1][-1] not in "+,-−" for words in headings):
        count -= 1
    return count
