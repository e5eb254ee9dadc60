"""LaTeX: each table as a float with booktabs, caption and label, fitted to a page of one or two columns (see ``fit.py``).

Numbers of values leave the cells for the caption where all cells have the same one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from fer_cli import escape
from fer_cli.blocks import Cell, Table, cell_text, is_bold
from fer_cli.report.fit import (
    APART,
    BASELINE,
    GAPS,
    PAGES,
    SAFE,
    SCALES,
    Fitted,
    Grid,
    Group,
    Piece,
    count_lines,
    fit,
    is_number,
    row_heights,
    scaled,
    split_words,
)

PACKAGES = r"needs \usepackage{booktabs,array}"
COUNT = re.compile(r"^(.*?) \((\d+)\)((?: [†‡*]+)?)$")
"""A number, how many values it rests on, and flags; a count of planned values, ``n = 2/5``, stays with its number."""
COUNTED = re.compile(r" ?\(n\)")
SAID = re.compile(r", n = \d+$")
"""A title that says the number of seeds itself."""
LABEL_LENGTH = 40
PAGE, HEAD, RULES = 574.0, 16.0, 14.0
"""Heights in points: of a page (592) but for a little, of the space around caption and notes, of a tabular's rules."""


def latex_document(title: str, comments: Iterable[str], grids: Iterable[Grid], columns: int = 2) -> str:
    """Return all grids as floats for a page of 1 or 2 columns, after comments; captions begin with the title."""
    lines = [escape.latex_comment(line) for line in (f"{PACKAGES}; made for {columns}-column pages", *comments)]
    moved = [move_counts(grid) for grid in grids]
    counts = {count for _, count in moved if count is not None}
    everywhere = counts.pop() if len(counts) == 1 else None
    labels: list[str] = []
    for grid, count in moved:
        n = count or (everywhere if has_intervals(grid) and not SAID.search(grid.title) else None)
        label = unique_label(f"tab:{slug(title)}:{slug(re.split(': | in %| in points', grid.title)[0])}", labels)
        caption = caption_text(title, grid.title, n)
        for number, (fitted, notes) in enumerate(break_rows(fit(grid, columns), grid.notes, caption, columns)):
            own = caption if number == 0 else f"{caption} (continued)"
            lines += ["", *float_lines(fitted, notes, own, label if number == 0 else "")]
    return "\n".join(lines) + "\n"


def grid_of(table: Table) -> Grid:
    """Return a table as text."""
    head = (Piece(()), *map(split_words, table.columns))
    rows = [(split_words(label), *map(piece_of, cells)) for label, cells in table.rows]
    return Grid(table.title, head, tuple(rows), tuple(table.notes))


def piece_of(cell: Cell) -> Piece:
    """Return a cell's text; of numbers, only the interval may go to another line."""
    return piece(cell_text(cell), is_bold(cell))


def piece(text: str, bold: bool = False) -> Piece:
    """Return the text of a cell in parts that stay on one line each."""
    if not is_number(text):
        return Piece(split_words(text).parts, bold)
    if found := re.match(r"([^\[]+) (\[.*)$", text):
        return Piece(found.groups(), bold)
    return Piece((text,) if len(text) < LABEL_LENGTH else tuple(text.split()), bold)


def move_counts(grid: Grid) -> tuple[Grid, str | None]:
    """Return a grid whose cells leave their number of values to the caption, and that number; as it is if they differ."""
    rows: list[tuple[Piece, ...]] = []
    every: set[str] = set()
    for label, *cells in grid.rows:
        found = [COUNT.match(cell.text) if is_number(cell.text) else None for cell in cells]
        every |= {one[2] for one in found if one}
        bare = [cell if one is None else piece(one[1] + one[3], cell.bold) for cell, one in zip(cells, found, strict=True)]
        rows.append((label, *bare))
    if len(every) != 1:
        return grid, None
    return Grid(grid.title, grid.head, tuple(rows), grid.notes), every.pop()


def has_intervals(grid: Grid) -> bool:
    """Return whether cells are numbers with intervals."""
    return any(len(cell.parts) == 2 and is_number(cell.text) for row in grid.rows for cell in row[1:])


def caption_text(title: str, table: str, n: str | None) -> str:
    """Return study, data set, what the table shows, and the number of values."""
    if n is None:
        return f"{title}; {table}"
    if COUNTED.search(table):
        return f"{title}; {COUNTED.sub(f' (n = {n})', table)}"
    return f"{title}; {table}; n = {n}"


def slug(text: str) -> str:
    """Return text as a part of a label: lower-case letters, digits and hyphens, cut after a word."""
    whole = re.sub(r"[^a-z0-9]+", "-", COUNTED.sub("", text).lower()).strip("-")
    cut = whole[: LABEL_LENGTH + 1].rpartition("-")[0] if len(whole) > LABEL_LENGTH else whole
    return cut or whole[:LABEL_LENGTH] or "table"


def unique_label(label: str, known: list[str]) -> str:
    """Return a label that is not known yet, and add it: ``tab:a``, ``tab:a-2``."""
    number, found = 2, label
    while found in known:
        found, number = f"{label}-{number}", number + 1
    known.append(found)
    return found


def break_rows(fitted: Fitted, notes: Sequence[str], caption: str, page: int) -> Iterator[tuple[Fitted, Sequence[str]]]:
    """Yield floats that a page has room for, one if it suffices; the last has the notes."""
    scale, width = SCALES[fitted.font], PAGES[page][fitted.wide]
    fixed = HEAD + text_height(caption, width, "")
    tall = []
    for grid, widths, groups in fitted.parts:
        whole = scaled(widths, 1 / scale)
        tall.append(row_heights(grid, whole, scale))
        fixed += RULES + sum(row_heights(replace(grid, rows=(grid.head,) * (2 if groups else 1)), whole, scale))
    heights = [sum(each) for each in zip(*tall, strict=True)]
    starts = find_starts(heights, PAGE - fixed, sum(text_height(note, width, r"\footnotesize") for note in notes))
    for start, end in pairwise([*starts, len(heights)]):
        parts = tuple((replace(grid, rows=grid.rows[start:end]), widths, groups) for grid, widths, groups in fitted.parts)
        yield replace(fitted, parts=parts), notes if end == len(heights) else ()


def find_starts(heights: Sequence[float], room: float, notes: float) -> list[int]:
    """Return the first row of each float: rows of these ``heights`` fill the ``room``, beside the notes in the last one."""
    starts, used = [0], 0.0
    for place, height in enumerate(heights):
        if used + height > room and place > starts[-1]:
            starts.append(place)
            used = 0.0
        used += height
    last = len(heights) - 1
    if used + notes > room and starts[-1] < last:
        fits = (place for place in range(starts[-1] + 1, last) if sum(heights[place:]) + notes <= room)
        starts.append(next(fits, last))
    return starts


def text_height(text: str, width: float, font: str) -> float:
    """Return about how tall a paragraph is in points."""
    return BASELINE * SCALES[font] * split_words(text).lines(width * SAFE / SCALES[font])


def float_lines(fitted: Fitted, notes: Sequence[str], caption: str, label: str) -> Iterator[str]:
    """Yield the lines of a float."""
    name = "table*" if fitted.wide else "table"
    yield rf"\begin{{{name}}}"
    yield r"\centering"
    yield rf"\caption{{{prose(caption)}}}"
    if label:
        yield rf"\label{{{label}}}"
    if fitted.gap != GAPS[0]:
        yield rf"\setlength{{\tabcolsep}}{{{fitted.gap:g}pt}}"
    if fitted.font:
        yield fitted.font
    for number, (part, widths, groups) in enumerate(fitted.parts):
        if number:
            yield r"\par\medskip"
        yield from tabular_lines(part, widths, groups, fitted)
    if notes:
        yield r"\par\smallskip"
    for note in notes:
        yield rf"\par\raggedright\footnotesize {prose(note)}"
    yield rf"\end{{{name}}}"


def tabular_lines(grid: Grid, widths: Sequence[float | None], groups: Sequence[Group], fitted: Fitted) -> Iterator[str]:
    """Yield the lines of a tabular; ``widths``: of the columns in points, None for natural ones."""
    places = ["l", *"c" * (len(widths) - 1)]
    kinds = [plain if width is None else paragraph(plain, width) for plain, width in zip(places, widths, strict=True)]
    yield rf"\begin{{tabular}}{{{''.join(kinds)}}}"
    yield r"\toprule"
    if groups:
        yield escape.latex_row(group_cells(groups, widths, fitted.gap))
        yield " ".join(rf"\cmidrule(lr){{{group.first + 1}-{group.last + 1}}}" for group in groups)
    wrapped = [width is not None for width in widths]
    yield escape.latex_row([prose(heading.text) for heading in grid.head])
    yield r"\midrule"
    apart = any(count > 1 for count in count_lines(grid, scaled(widths, 1 / SCALES[fitted.font])))
    for number, row in enumerate(grid.rows):
        if apart and number:
            yield rf"\addlinespace[{APART:g}pt]"
        yield escape.latex_row([cell_latex(cell, wrap) for cell, wrap in zip(row, wrapped, strict=True)])
    yield r"\bottomrule"
    yield r"\end{tabular}"


def paragraph(plain: str, width: float) -> str:
    """Return the type of a column that wraps its text."""
    side = r"\raggedright" if plain == "l" else r"\centering"
    return rf">{{{side}\arraybackslash}}p{{{width:.1f}pt}}"


def group_cells(groups: Sequence[Group], widths: Sequence[float | None], gap: float) -> list[str]:
    """Return the cells of the row of headings over several columns."""
    cells, place = [""], 1
    for group in groups:
        cells += [""] * (group.first - place)
        span = [width for width in widths[group.first : group.last + 1] if width is not None]
        many = group.last - group.first + 1
        kind = paragraph("c", math.fsum(span) + 2 * gap * (many - 1)) if len(span) == many else "c"
        cells.append(rf"\multicolumn{{{many}}}{{{kind}}}{{{prose(group.name)}}}")
        place = group.last + 1
    return cells + [""] * (len(widths) - place)


def cell_latex(cell: Piece, wrapped: bool) -> str:
    """Return a cell; in a column that wraps, the parts of numbers stay on one line."""
    parts = [prose(part) for part in cell.parts]
    if wrapped and is_number(cell.text):
        parts = [part.replace(" ", "~") for part in parts]
    text = " ".join(parts)
    return rf"\textbf{{{text}}}" if cell.bold else text


def prose(text: str) -> str:
    """Return text for LaTeX; words in backticks are code."""
    text = escape.one_line(text)
    parts, place = [], 0
    for code in escape.CODE.finditer(text):
        parts += [escape.latex(text[place : code.start()]), rf"\texttt{{{escape.latex(code.group()[1:-1])}}}"]
        place = code.end()
    return "".join([*parts, escape.latex(text[place:])])
