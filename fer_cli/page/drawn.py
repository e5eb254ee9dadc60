"""The figures of a page: those of the report as inline SVG, and confusion matrices as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from markupsafe import Markup

from fer_cli.blocks import Figure
from fer_cli.page.svg import MOST_BYTES, has_raster, inline_svg
from fer_cli.page.tables import Matrix, shade_confusion
from fer_cli.report import Written

MOST_DRAWN = 400_000
"""Bytes of all figures; further ones are only named."""
MOST_MATRICES = 8
CAPTIONS = {
    "curves": "Accuracy and loss by epoch",
    "levels": "Scores by level",
    "differences": "Differences between arms with 95 % intervals",
    "ranks": "Mean ranks of the arms",
}
"""First word of a figure's file name -> caption; others have the words of their file name."""


@dataclass(frozen=True)
class Drawn:
    """An inline figure."""

    svg: Markup
    caption: str


@contextmanager
def draw_as_svg() -> Iterator[None]:
    """Let figures be written as SVG too, with their text as text."""
    from matplotlib import rc_context

    from fer_cli.formats import use_formats

    with use_formats(("svg",)), rc_context({"svg.fonttype": "none"}):
        yield


def find_figures(written: Written) -> list[Path]:
    """Return the figures of a report that has some, else draw those of its study, without analyses of networks.

    Confusion matrices are not drawn: the page has them as tables.
    """
    from fer_cli.report.curves import draw_curves
    from fer_cli.report.differences import draw_differences
    from fer_cli.report.levels import draw_levels
    from fer_cli.report.ranks import draw_ranks

    material = written.material
    paths = [block.path for block in written.report.blocks if isinstance(block, Figure)]
    if not paths:
        here = (material.plan, material.cells, material.folder)
        paths = [*draw_curves(*here), *draw_levels(*here)]
        paths += [*draw_differences(material.scales, *here[1:]), *draw_ranks(material.scales, *here[1:])]
    return [path for path in paths if path.suffix == ".png" and not path.stem.startswith("confusion")]


def inline_figures(paths: Sequence[Path], refused: str) -> tuple[list[Drawn], list[str]]:
    """Return figures that fit as SVG, and notes on the others; ``refused``: why pixels must not be shown, or ""."""
    found: list[Drawn] = []
    left, notes = MOST_DRAWN, []
    for path in paths:
        caption = CAPTIONS.get(path.stem.partition("-")[0], path.stem.replace("-", " "))
        svg = None
        with suppress(OSError, ParseError, ValueError):
            svg = inline_svg(path.with_suffix(".svg"), f"f{len(found) + 1}", caption)
        where = f"figures/{path.parent.name}/{path.name}"
        if svg is None:
            notes.append(f"{where}: not drawn as SVG")
        elif refused and has_raster(svg):
            notes.append(f"{where}: not on this page; {refused}")
        elif (size := len(svg.encode())) > min(left, MOST_BYTES):
            notes.append(f"{where}: left out to keep this page small")
        else:
            left -= size
            found.append(Drawn(svg, caption))
    return found, notes


def list_matrices(written: Written) -> tuple[list[Matrix], list[str]]:
    """Return the confusion matrices that the study's figures show too, one per arm, and a note on those left out."""
    from fer_cli.drawing import seed_count
    from fer_cli.report.canvas import label_cell, point_label
    from fer_cli.report.confusion import select_cells, sum_confusion

    plan = written.material.plan
    chosen = [cell for level in select_cells(plan, written.material.cells) for cell in level]
    found = []
    for cell in chosen[:MOST_MATRICES]:
        counts = seed_count(len(cell.results), len(cell.planned))
        title = ", ".join(filter(None, [label_cell(cell), point_label(cell.at), counts]))
        found.append(shade_confusion(title, sum_confusion(cell), cell.ordered[0].data.classes))
    lost = len(chosen) - len(found)
    return found, [f"{lost} more are under Runs, run by run, and in figures/{plan.stem}"] if lost else []
