"""The page of one study: its answer, tables, claims, figures and runs, in one file without remote assets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fer_cli import __version__
from fer_cli.blocks import Note, Table, cell_text
from fer_cli.inventory.rows import time_of
from fer_cli.outputs import RESULT
from fer_cli.page.drawn import find_figures, inline_figures, list_matrices
from fer_cli.page.markup import DATE, render, write_json
from fer_cli.page.mistakes import Album, why_not_shown
from fer_cli.page.runs import MOST_BYTES, Embedded, embed_runs
from fer_cli.page.tables import Sheet, lay_out
from fer_cli.places import write_text
from fer_cli.report import Written

MOST_TABLES = 300_000
"""Bytes of the tables below the main one; further ones are only in the other formats."""
CELL = 60
"""Bytes of the markup of a cell."""
THUMBNAILS = 3
"""Mistakes per run that are shown as pictures, if the data sets allow it."""
VERDICTS = {
    "supported": ("✓", "supported"),
    "contradicted": ("✗", "contradicted"),
    "undecided": ("?", "undecided"),
    "not testable": ("–", "not-testable"),
}
"""Verdict -> sign and class of the style sheet."""
SECTIONS = {
    "answer": "Answer",
    "table": "Main table",
    "claims": "Claims",
    "figures": "Figures",
    "confusion": "Confusion",
    "more": "More tables",
    "runs": "Runs",
    "notes": "Notes",
    "again": "Compute it again",
}
"""Id of a section -> its name in the navigation, in order."""
Commands = Sequence[tuple[str, str]]
"""What a command does, and the command."""


@dataclass(frozen=True)
class Claim:
    """A judged claim: its text, verdict with sign and style, and the other cells by column."""

    text: str
    verdict: str
    sign: str
    style: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Summary:
    """What the index shows of a page; stored in the page itself."""

    study: str
    data: str
    profile: str
    answer: str
    claims: dict[str, int]
    n: str
    changed: str


@dataclass(frozen=True)
class Page:
    """A written page: its path and size in bytes, and what it leaves out."""

    path: Path
    size: int
    notes: list[str]


def write_page(written: Written, commands: Commands, thumbnails: int | None = None) -> Page:
    """Write ``pages/<stem>.html`` in the results folder; ``thumbnails``: pictures per run (None: as the sets allow).

    Raises OSError if the folder cannot be written.
    """
    plan, compute = written.material.plan, written.material.compute
    refused = why_not_shown(plan.sets)
    content = list_content(written, refused) | {"commands": commands}
    room = MOST_BYTES - len(render("study.html", **content, run_notes=[], data="").encode())
    shown = 0 if refused or not plan.sets else THUMBNAILS if thumbnails is None else thumbnails
    album = Album(compute.data_root, refused)
    runs = embed_runs(plan, written.material.cells, album, shown, room)
    notes = list(describe_room(runs, album, simulated=not plan.sets, wanted=thumbnails))
    text = render("study.html", **content, run_notes=notes, data=write_json(runs.as_json(album.pictures)))
    path = compute.results / "pages" / f"{plan.stem}.html"
    write_text(path, text)
    return Page(path, len(text.encode()), [*notes, *content["more_notes"]])


def list_content(written: Written, refused: str) -> dict[str, Any]:
    """Return what a page shows besides its runs, by name in the template; ``refused``: why it shows no pixels, or ""."""
    report, plan = written.report, written.material.plan
    tables = [block for block in report.blocks if isinstance(block, Table) and (not block.only or "html" in block.only)]
    main = next((table for table in tables if table.kind == "scores"), tables[0])
    claimed = [table for table in tables if table.kind == "claims"]
    more, more_notes = fit_tables([table for table in tables if table is not main and table not in claimed])
    figures, figure_notes = inline_figures(find_figures(written), refused)
    matrices, matrix_notes = list_matrices(written)
    notes = [block for block in report.blocks if isinstance(block, Note) and not block.head]
    summary = summarise(written, claimed)
    content: dict[str, Any] = {
        "title": report.title,
        "question": plan.study.question,
        "summary": write_json(asdict(summary)),
        "answer": list_answer(written),
        "facts": f"{summary.n}; last change {summary.changed}",
        "main": lay_out(main, "main-table"),
        "claims": [claim for table in claimed for claim in list_claims(table)],
        "claim_notes": [note for table in claimed for note in table.notes],
        "figures": figures,
        "figure_notes": figure_notes,
        "matrices": matrices,
        "matrix_notes": matrix_notes,
        "more": more,
        "more_notes": more_notes,
        "foot": {part: [note.text for note in notes if note.part == part] for part in (note.part for note in notes)},
        "runs_text": f"{len(plan.items):,} runs, {summary.n}. Scores are those of the test part.",
        "csv": f"tables/{plan.stem}.csv",
        "version": __version__,
    }
    empty = {"claims": not content["claims"], "figures": not (figures or figure_notes), "confusion": not matrices}
    empty |= {"more": not (more or more_notes), "notes": not notes}
    content["sections"] = [(key, name) for key, name in SECTIONS.items() if not empty.get(key)]
    return content


def list_answer(written: Written) -> list[str]:
    """Return the sentences that answer the study's question."""
    question = written.material.plan.study.question
    return [text for text in written.report.head if text != question]


def fit_tables(tables: Sequence[Table]) -> tuple[list[Sheet], list[str]]:
    """Return the tables that fit ``MOST_TABLES``, in order, and a note that names each other."""
    left, kept, lost = MOST_TABLES, [], []
    for place, table in enumerate(tables, start=1):
        size = sum(len(cell_text(cell)) + CELL for _, cells in table.rows for cell in cells)
        if size > left:
            lost.append(f"left out to keep this page small; its numbers are in the CSV: {table.title}")
            continue
        left -= size
        kept.append(lay_out(table, f"table-{place}"))
    return kept, lost


def list_claims(table: Table) -> Iterator[Claim]:
    """Yield the claims of a table of claims, with their verdicts."""
    for label, cells in table.rows:
        facts = [(name, cell_text(cell)) for name, cell in zip(table.columns, cells, strict=True)]
        verdict = next((value for _, value in facts if value in VERDICTS), "undecided")
        sign, style = VERDICTS[verdict]
        kept = [(name, value) for name, value in facts if value not in {verdict, "", "–"}]
        yield Claim(label, verdict, sign, style, kept)


def summarise(written: Written, claimed: Sequence[Table]) -> Summary:
    """Return the row of a page in the index."""
    plan, cells = written.material.plan, written.material.cells
    verdicts = [claim.verdict for table in claimed for claim in list_claims(table)]
    done = [item for item in plan.items if item.run.seed in cells[item.run.arm, item.run.at].results]
    changed = max(time_of(item.folder, RESULT) for item in done)
    seeds = len({item.run.seed for item in done})
    runs = "all runs done" if len(done) == len(plan.items) else f"{len(done):,} of {len(plan.items):,} runs done"
    return Summary(
        plan.study.name,
        plan.data,
        plan.choice.profile,
        " ".join(list_answer(written)),
        {verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts},
        f"{seeds} seed{'s' * (seeds != 1)}, {runs}",
        datetime.fromtimestamp(changed, UTC).strftime(DATE),
    )


def describe_room(runs: Embedded, album: Album, simulated: bool, wanted: int | None) -> Iterator[str]:
    """Yield what the list of runs leaves out, and why."""
    if runs.left_out:
        kept = len(runs.details)
        yield (
            f"curves, confusion matrix and mistakes are here for {kept:,} of {kept + runs.left_out:,} finished runs, to "
            "keep this page small: of each cell of the table the best seed first, then the worst; fer show RUN has them all"
        )
    if album.refused:
        yield album.refused
    elif simulated:
        yield "no images are shown: the runs are simulations"
    elif wanted == 0:
        yield "no images are shown, as asked for (--thumbnails 0)"
    if album.lost:
        yield f"{album.lost} images of mistakes are left out to keep this page small"
