"""The page of one study: its answer, tables, claims, figures and runs, in one file without remote assets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import ParseError

from markupsafe import Markup

from fer_cli import __version__
from fer_cli.blocks import Figure, Note, Table, cell_text
from fer_cli.page.markup import DATE, render, write_json
from fer_cli.page.mistakes import Album, why_not_shown
from fer_cli.page.runs import MOST_BYTES, embed_runs
from fer_cli.page.svg import MOST_BYTES as MOST_FIGURE
from fer_cli.page.svg import has_raster, inline_svg
from fer_cli.page.tables import Matrix, Sheet, lay_out, shade_confusion
from fer_cli.places import write_text
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.report.render import Report
from fer_cli.results import RESULT

MOST_TABLES = 300_000
"""Bytes of the tables below the main one; further ones are only in the other formats."""
MOST_DRAWN = 400_000
"""Bytes of all figures; further ones are only named."""
MOST_MATRICES = 8
TABLES_ROOM, FORM = 60, "html"  # bytes per cell of a table, besides its text; the format of ``Table.only``
VERDICTS = {
    "supported": ("✓", "supported"),
    "contradicted": ("✗", "contradicted"),
    "undecided": ("?", "undecided"),
    "not testable": ("–", "not-testable"),
}
"""Verdict -> sign and class of the style sheet."""
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
class Drawn:
    """An inline figure."""

    svg: Markup
    caption: str


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
    """A written page: its path and size in bytes, and notes on what it leaves out."""

    path: Path
    size: int
    notes: list[str]


def write_page(
    report: Report, plan: Plan, cells: Cells, results: Path, data_root: Path, commands: Commands, thumbnails: int | None = None
) -> Page:
    """Write ``results/pages/<stem>.html``; ``thumbnails``: mistakes shown as pictures per run (None: as the sets allow).

    Raises OSError if the folder cannot be written.
    """
    path = results / "pages" / f"{plan.stem}.html"
    tables = [block for block in report.blocks if isinstance(block, Table) and (not block.only or FORM in block.only)]
    scores = [table for table in tables if table.kind == "scores"]
    main = (scores or tables)[0]
    claimed = [table for table in tables if table.kind == "claims"]
    rest = [table for table in tables if table is not main and table not in claimed]
    more, more_notes = fit_tables(rest)
    refused = why_not_shown(plan.sets)
    drawn, figure_notes = draw_figures(report, bool(refused), refused)
    summary = summarise(report, plan, cells, claimed)
    notes = [block for block in report.blocks if isinstance(block, Note) and not block.head]
    parts = list(dict.fromkeys(note.part for note in notes))
    matrices, matrix_notes = show_matrices(plan, cells)
    content = {
        "title": report.title,
        "question": plan.study.question,
        "summary": write_json(asdict(summary)),
        "answer": report.head,
        "facts": f"{summary.n}; last change {summary.changed}",
        "main": lay_out(main, "main-table"),
        "claims": [claim for table in claimed for claim in list_claims(table)],
        "claim_notes": [note for table in claimed for note in table.notes],
        "figures": drawn,
        "figure_notes": figure_notes,
        "matrices": matrices,
        "matrix_notes": matrix_notes,
        "more": more,
        "more_notes": more_notes,
        "foot": [(part, [note.text for note in notes if note.part == part]) for part in parts],
        "commands": commands,
        "csv": f"tables/{plan.stem}.csv",
        "version": __version__,
    }
    names = {"answer": "Answer", "table": "Main table", "claims": "Claims", "figures": "Figures", "matrices": "Confusion"}
    names |= {"more": "More tables", "runs": "Runs", "foot": "Notes", "again": "Compute it again"}
    keys = {"matrices": "confusion", "foot": "notes"}
    content["sections"] = [(keys.get(key, key), name) for key, name in names.items() if content.get(key, True)]
    album = Album(data_root, refused)
    bare = {"runs_text": "", "run_notes": [], "data": ""}
    room = MOST_BYTES - len(render("study.html", **content, **bare).encode())
    shown = 0 if refused or not plan.sets else 3 if thumbnails is None else thumbnails
    runs = embed_runs(plan, cells, album, shown, room)
    run_notes = list(describe_room(runs.left_out, len(runs.details), album, plan, thumbnails))
    bare = {"runs_text": count_runs(plan, cells), "run_notes": run_notes, "data": write_json(runs.as_json(album.pictures))}
    text = render("study.html", **content, **bare)
    write_text(path, text)
    return Page(path, len(text.encode()), [*run_notes, *more_notes])


def fit_tables(tables: Sequence[Table]) -> tuple[list[Sheet], list[str]]:
    """Return the tables that fit ``MOST_TABLES``, in order, and a note that names the others."""
    left, kept, lost = MOST_TABLES, [], []
    for place, table in enumerate(tables, start=1):
        size = sum(len(cell_text(cell)) + TABLES_ROOM for _, cells in table.rows for cell in cells)
        if size > left:
            lost.append(table.title)
            continue
        left -= size
        kept.append(lay_out(table, f"table-{place}"))
    return kept, [f"left out to keep this page small, in the CSV: {title}" for title in lost]


def draw_figures(report: Report, restricted: bool, refused: str) -> tuple[list[Drawn], list[str]]:
    """Return the figures of a report that are drawn as SVG, and notes on the others; ``restricted``: none with pixels.

    Confusion matrices are left out, which the page has as tables.
    """
    left, found, notes = MOST_DRAWN, [], []
    for block in report.blocks:
        if not isinstance(block, Figure) or block.path.stem.startswith("confusion") or block.path.suffix == ".csv":
            continue
        path, caption = block.path.with_suffix(".svg"), block.path.stem.replace("-", " ")
        svg = None
        with suppress(OSError, ParseError, ValueError):
            svg = inline_svg(path, f"f{len(found) + 1}", caption)
        if svg is None:
            notes.append(f"{block.path.name}: in figures/{block.path.parent.name}")
        elif restricted and has_raster(svg):
            notes.append(f"{block.path.name}: {refused}")
        elif (size := len(svg.encode())) > min(left, MOST_FIGURE):
            notes.append(f"{block.path.name}: too large for this page; see figures/{block.path.parent.name}")
        else:
            left -= size
            found.append(Drawn(svg, caption))
    return found, notes


def show_matrices(plan: Plan, cells: Cells) -> tuple[list[Matrix], list[str]]:
    """Return the confusion matrices that the figures of the study show too, one per arm, and a note on those left out."""
    from fer_cli.report.canvas import arm_label, point_label, seed_count
    from fer_cli.report.confusion import select_cells, sum_confusion

    chosen = [cell for level in select_cells(plan, cells) for cell in level]
    found = [
        shade_confusion(
            ", ".join(
                filter(None, [arm_label(plan, cell.arm), point_label(cell.at), seed_count(len(cell.results), len(cell.planned))])
            ),
            sum_confusion(cell),
            cell.ordered[0].data.classes,
        )
        for cell in chosen[:MOST_MATRICES]
    ]
    lost = len(chosen) - len(found)
    return found, [f"{lost} more are under Runs, by run, and in the figures"] if lost else []


def list_claims(table: Table) -> Iterator[Claim]:
    """Yield the claims of a table of claims, with their verdicts."""
    for label, cells in table.rows:
        facts = [(name, cell_text(cell)) for name, cell in zip(table.columns, cells, strict=True)]
        verdict = next((value for _, value in facts if value in VERDICTS), "undecided")
        sign, style = VERDICTS[verdict]
        kept = [(name, value) for name, value in facts if value not in {verdict, "", "–"}]
        yield Claim(label, verdict, sign, style, kept)


def summarise(report: Report, plan: Plan, cells: Cells, claimed: Sequence[Table]) -> Summary:
    """Return the row of a page in the index."""
    verdicts = [claim.verdict for table in claimed for claim in list_claims(table)]
    done = [item for item in plan.items if item.run.seed in cells[item.run.arm, item.run.at].results]
    changed = max(item.folder.file(RESULT).lstat().st_mtime for item in done)
    seeds = sorted({item.run.seed for item in done})
    runs = f"{len(done)} runs" if len(done) == len(plan.items) else f"{len(done)} of {len(plan.items)} runs"
    return Summary(
        plan.study.name,
        plan.data,
        plan.choice.profile,
        " ".join(report.head[:2]) or plan.study.question,
        {verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts},
        f"{len(seeds)} seed{'s' * (len(seeds) != 1)}, {runs}",
        datetime.fromtimestamp(changed, UTC).strftime(DATE),
    )


def count_runs(plan: Plan, cells: Cells) -> str:
    """Return how many runs the page lists and how many are done."""
    done = sum(len(cell.results) for cell in cells.values())
    return f"{len(plan.items):,} runs, {done:,} done. Scores are those of the test part, in %."


def describe_room(left_out: int, kept: int, album: Album, plan: Plan, thumbnails: int | None) -> Iterator[str]:
    """Yield what the page leaves out, and why."""
    if left_out:
        yield (
            f"curves, confusion matrix and mistakes are here for {kept} of {kept + left_out} finished runs, of each row of the "
            "table the best and the worst seed first, to keep this page small; fer show RUN has those of any run"
        )
    if album.refused:
        yield album.refused
    elif thumbnails == 0:
        yield "no images are shown, as asked for (--thumbnails 0)"
    elif not plan.sets:
        yield "no images are shown: the runs are simulations"
    if album.lost:
        yield f"{album.lost} images of mistakes are left out"


