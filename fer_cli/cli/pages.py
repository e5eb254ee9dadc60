"""``fer report --html``: a page per study, and the index of all pages."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from fer_cli.cli.advice import choice_options, given_results, write_command
from fer_cli.cli.screen import say

if TYPE_CHECKING:
    from fer_cli.report import Written


def drawing() -> AbstractContextManager[None]:
    """Return a context in which reports draw what pages need."""
    from fer_cli.page.drawn import draw_as_svg

    return draw_as_svg()


def print_pages(written: list[Written], results: Path, data_root: Path | None, thumbnails: int | None) -> None:
    """Write the pages of reports and the index, print their paths, and say what to open."""
    from fer_cli.page.index import write_index
    from fer_cli.page.study import write_page
    from fer_cli.study import study_names

    for one in written:
        page = write_page(one, list_commands(one, results, data_root), thumbnails)
        say(f"written: {page.path} ({page.size / 1000:,.0f} kB)")
        for note in page.notes:
            say(f"{page.path.name}: {note}")
    index = write_index(results / "pages", study_names())
    say(f"next: open {index if len(written) != 1 else page.path} in a browser")


def list_commands(written: Written, results: Path, data_root: Path | None) -> list[tuple[str, str]]:
    """Return the commands that compute a page's numbers again, with what each does."""
    material = written.material
    same = {"study": material.study, **choice_options(written.choice), "results": given_results(results), "data_root": data_root}
    first = next(result.run_id for cell in material.cells.values() for result in cell.ordered)
    where = {"results": given_results(results)}
    judged = [("judge the claims", write_command("fer report", **same, claims=True))] if material.plan.study.claims else []
    return [
        ("train the runs that are missing", write_command("fer ablate", **same)),
        ("make the tables, figures and this page from the run folders", write_command("fer report", **same, html=True)),
        *judged,
        ("print one run, here the first", write_command("fer show", first, **where)),
        ("train one run again and compare the scores", write_command("fer rerun", first, **where, data_root=data_root)),
    ]
