"""RENDERERS: write the blocks of a report as Markdown, LaTeX (booktabs), CSV or terminal text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from fer_cli import escape
from fer_cli.blocks import Block, Cell, Note, Part, Table, cell_text, is_bold
from fer_cli.report.latex import grid_of, latex_document

if TYPE_CHECKING:
    from fer_cli.report.frame import ScoreRows


@dataclass(frozen=True)
class Report:
    """Blocks in order, and the scores that their numbers come from."""

    title: str
    blocks: Sequence[Block]
    scores: ScoreRows | None = None
    metrics: Sequence[str] = ()  # metrics in the CSV, which covers the test part
    page_columns: int = 2  # of the page that the LaTeX tables are fitted to, 1 or 2

    @property
    def head(self) -> list[str]:
        """Return the notes before the first table."""
        return [block.text for block in self.blocks if isinstance(block, Note) and block.head]

    @property
    def foot(self) -> list[str]:
        """Return the notes after the last table."""
        return [block.text for block in self.blocks if isinstance(block, Note) and not block.head]

    @property
    def parts(self) -> dict[Part, list[str]]:
        """Return the notes after the last table by their heading, in order of the headings."""
        found: dict[Part, list[str]] = {part: [] for part in get_args(Part)}
        for block in self.blocks:
            if isinstance(block, Note) and not block.head:
                found[block.part].append(block.text)
        return {part: lines for part, lines in found.items() if lines}

    @property
    def tables(self) -> list[Table]:
        """Return the tables that every format shows."""
        return [block for block in self.blocks if isinstance(block, Table) and not block.only]

    def shown(self, form: str) -> list[Table]:
        """Return the tables that a format shows, such as ``html``."""
        return [block for block in self.blocks if isinstance(block, Table) and (not block.only or form in block.only)]


def render_markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    lines = [f"# {escape.markdown(report.title)}", "", *markdown_list(report.head), ""]
    for table in report.tables:
        lines += [f"## {escape.markdown(table.title)}", ""]
        lines.append(markdown_row(["", *table.columns]))
        lines.append("|" + "---|" * (len(table.columns) + 1))
        lines += [markdown_row([label, *cells]) for label, cells in table.rows]
        lines += ["", *markdown_list(table.notes), *([""] if table.notes else [])]
    for part, notes in report.parts.items():
        lines += [f"## {part}", "", *markdown_list(notes), ""]
    return "\n".join(lines)


def markdown_list(lines: list[str]) -> list[str]:
    """Return the items of a Markdown list."""
    return [f"- {escape.markdown(line)}" for line in lines]


def markdown_row(cells: Sequence[Cell]) -> str:
    """Return a row of a Markdown table."""
    texts = [(escape.markdown(cell_text(cell)), is_bold(cell)) for cell in cells]
    return "| " + " | ".join(f"**{text}**" if bold else text for text, bold in texts) + " |"


def render_latex(report: Report) -> str:
    """Return every table as a float with caption and label, with the notes of the report as comments."""
    return latex_document(report.title, [*report.head, *report.foot], map(grid_of, report.tables), report.page_columns)


def render_csv(report: Report) -> str:
    """Return one row per run and metric, from which every cell can be recomputed."""
    assert report.scores is not None
    scores = report.scores.tested(report.metrics)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(escape.csv_cell, scores.columns))
    writer.writerows(map(escape.csv_cell, row) for row in scores.rows)
    return out.getvalue()


def render_terminal(report: Report) -> str:
    """Return the report with box-drawing tables and colours, fitted to the terminal's width."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    def safe(text: str, style: str = "") -> Text:
        return Text(escape.terminal(text, kept=""), style)

    console = Console(force_terminal=True)
    with console.capture() as captured:
        console.print(safe(report.title, "bold"))
        for line in report.head:
            console.print(Padding(safe(f"• {line}"), (0, 0, 0, 1)))
        for table in report.tables:
            grid = Grid()
            for column in ("", *table.columns):
                grid.add_column(safe(column))
            for label, cells in table.rows:
                grid.add_row(safe(label), *(safe(cell_text(cell), "bold green" if is_bold(cell) else "") for cell in cells))
            console.print("", safe(table.title, "bold"), grid, sep="\n")
            for note in table.notes:
                console.print(Padding(safe(note, "dim"), (0, 0, 0, 1)))
        for part, lines in report.parts.items():
            console.print("", safe(part, "bold"), sep="\n")
            for line in lines:
                console.print(Padding(safe(f"• {line}"), (0, 0, 0, 1)))
    return captured.get()


RENDERERS: dict[str, Callable[[Report], str]] = {
    "md": render_markdown,
    "csv": render_csv,
    "tex": render_latex,
    "terminal": render_terminal,
}
"""Name or file suffix -> function."""
FILES = ("md", "csv", "tex")  # formats that `fer report` writes
