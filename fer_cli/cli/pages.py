"""``fer report --html``: a page per study, and the index of all pages."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.advice import report_options
from fer_cli.cli.screen import say
from fer_cli.commands import choice_options, given_results, write_command
from fer_cli.errors import StudyError

if TYPE_CHECKING:
    from fer_cli.report import Written


Html = Annotated[
    bool, typer.Option("--html", help="Write results/pages/*.html instead of printing: a page per study, and their index.")
]
Thumbnails = Annotated[
    int | None,
    typer.Option(
        "--thumbnails",
        min=0,
        max=20,
        help="Worst mistakes per run shown as pictures on pages; none if the data card forbids it.",
        show_default="3",
    ),
]


def check_pages(html: bool, claims: bool, thumbnails: int | None) -> None:
    """Raise StudyError for options that do not belong together."""
    if html and claims:
        raise StudyError("--html and --claims: a page shows the claims already; give one of the two")
    if thumbnails is not None and not html:
        raise StudyError("--thumbnails is for pages: add --html")


def draw_for(html: bool) -> AbstractContextManager[None]:
    """Return a context in which figures are drawn as pages need them."""
    if not html:
        return nullcontext()
    from fer_cli.page.drawn import draw_as_svg

    return draw_as_svg()


def list_formats(text: str, html: bool) -> tuple[str, ...]:
    """Return the formats of figures beside PNG; pages need SVG."""
    from fer_cli.formats import parse_formats

    return tuple(dict.fromkeys([*parse_formats(text), *(["svg"] if html else [])]))


def write_pages(written: list[Written], results: Path, data_root: Path | None, thumbnails: int | None) -> None:
    """Write the pages of reports and the index, print their paths and what they leave out, and say what to open."""
    from fer_cli.page.index import write_index
    from fer_cli.page.study import write_page
    from fer_cli.study import study_names

    pages = []
    for one in written:
        with draw_for(html=True):
            pages.append(write_page(one, list_commands(one, results, data_root), thumbnails))
        say(f"written: {pages[-1].path} ({pages[-1].size / 1000:,.0f} kB)")
        for note in pages[-1].notes:
            say(f"{pages[-1].path.name}: {note}")
        if one.missing:
            broken = f", {len(one.damaged)} of them damaged, e.g. {one.damaged[0]}" if one.damaged else ""
            say(f"{one.missing} of {one.planned} runs are not done{broken}")
    index = write_index(results / "pages", study_names())
    say(f"written: {index}; next: open {pages[0].path if len(pages) == 1 else index} in a browser")


def list_commands(written: Written, results: Path, data_root: Path | None) -> list[tuple[str, str]]:
    """Return the commands that compute a page's numbers again, with what each does."""
    material, where = written.material, {"results": given_results(results)}
    train = {"study": material.study, **choice_options(written.choice), **where, "data_root": data_root}
    same = train | report_options(material.plan)
    first = next(result.run_id for cell in material.cells.values() for result in cell.ordered)
    judged = (
        [("judge the claims", write_command("fer report", **same | {"set": None}, claims=True))]
        if material.plan.study.claims
        else []
    )
    return [
        ("train the runs that are missing", write_command("fer ablate", **train)),
        ("make the tables, figures and this page from the run folders", write_command("fer report", **same, html=True)),
        *judged,
        ("print one run, here the first", write_command("fer show", first, **where)),
        ("train one run again and compare the scores", write_command("fer rerun", first, **where, data_root=data_root)),
    ]
