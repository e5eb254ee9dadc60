"""Reads reports in Markdown back and writes their LaTeX again, without the runs: ``python -m fer_cli.report.reread *.md``.

For tables of runs that are elsewhere, or for pages of one column (``--columns 1``): the Markdown has the text of every cell.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from fer_cli.escape import CODE
from fer_cli.places import read_text, write_text
from fer_cli.report.fit import Grid, Piece, split_words
from fer_cli.report.latex import latex_document, piece

ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
CELL = re.compile(r"(?<!\\)((?:\\\\)*)\|")
"""The end of a table's cell, after an even number of backslashes."""


def plain_text(markdown: str) -> str:
    """Return Markdown as text: the inverse of ``escape.markdown``."""
    parts, place = [], 0
    for code in CODE.finditer(markdown):
        parts += [ESCAPED.sub(r"\1", markdown[place : code.start()]), code.group()]
        place = code.end()
    return "".join([*parts, ESCAPED.sub(r"\1", markdown[place:])])


def read_report(markdown: str) -> tuple[str, list[str], list[Grid]]:
    """Return a report's title, its notes before and after the tables, and its tables."""
    title, notes, grids = "", list[str](), list[Grid]()
    head, *sections = re.split(r"^## ", markdown, flags=re.MULTILINE)
    for line in head.splitlines():
        if line.startswith("# "):
            title = plain_text(line.removeprefix("# "))
        elif line.startswith("- "):
            notes.append(plain_text(line.removeprefix("- ")))
    for section in sections:
        heading, *lines = section.splitlines()
        rows = [split_row(line) for line in lines if line.startswith("|")]
        items = [plain_text(line.removeprefix("- ")) for line in lines if line.startswith("- ")]
        if rows:
            top = tuple(split_words(plain_text(cell)) for cell in rows[0])
            body = [(split_words(plain_text(row[0])), *map(read_cell, row[1:])) for row in rows[2:]]
            grids.append(Grid(plain_text(heading), top, tuple(body), tuple(items)))
        else:
            notes += items
    return title, notes, grids


def split_row(line: str) -> list[str]:
    """Return the cells of a row."""
    marked = CELL.sub(lambda found: f"{found[1]}\n", line)
    return [cell.strip() for cell in marked.split("\n")[1:-1]]


def read_cell(markdown: str) -> Piece:
    """Return a cell with whether it is bold."""
    bold = len(markdown) > 4 and markdown.startswith("**") and markdown.endswith("**")
    return piece(plain_text(markdown[2:-2] if bold else markdown), bold)


def rewrite(path: Path, columns: int = 2) -> str:
    """Return the LaTeX of a report in Markdown."""
    title, notes, grids = read_report(read_text(path))
    return latex_document(title, notes, grids, columns)


def main(given: Sequence[str] | None = None) -> None:
    """Write the .tex beside each .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--columns", type=int, choices=(1, 2), default=2, help="columns of the page")
    options = parser.parse_args(given)
    for path in options.files:
        write_text(path.with_suffix(".tex"), rewrite(path, options.columns))


if __name__ == "__main__":
    main()
