"""Forest plot: the differences of the tables in points with their 95 % intervals, one axis for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fer_cli.blocks import MARKS
from fer_cli.config import METRICS
from fer_cli.drawing import COLUMN, GREY, MARGIN, PALETTE, Words, page, save, wrap_text
from fer_cli.plan import Plan
from fer_cli.report.canvas import factor_name, figure_file, footer, label_arms, point_label
from fer_cli.report.collect import Cells
from fer_cli.report.compared import Compared, compare_arms, list_pairs
from fer_cli.report.sides import Scales
from fer_cli.report.tables import layout

NAMES = 1.25
"""Most inches for the labels of rows."""
ROW, LINE, HEAD, TAIL = 0.17, 0.125, 0.36, 0.5
"""Heights in inches: of a row, of its further lines, of a panel's title, of the axis."""
MOST_HEIGHT = 7.5
"""Inches of panels on a page."""
FEW = 2
"""At most so many rows of a column of the table share a panel with those of other columns."""
SIZE = 7.0


@dataclass(frozen=True)
class Panel:
    """One set of differences: its title, and label and value of each row."""

    title: str
    rows: Sequence[tuple[str, Compared]]

    @property
    def labels(self) -> list[list[str]]:
        """Return the label of each row, wrapped."""
        return [wrap_text(label, NAMES, SIZE) for label, _ in self.rows]

    @property
    def heading(self) -> list[str]:
        """Return its title, wrapped to the width of the axes; bold text is wider."""
        return wrap_text(self.title, COLUMN - NAMES - 2 * MARGIN - 0.1, SIZE * 1.15)

    @property
    def height(self) -> float:
        """Return its height in inches."""
        return HEAD + LINE * (len(self.heading) - 1) + sum(ROW + LINE * (len(lines) - 1) for lines in self.labels)


def draw_differences(scales: Scales, cells: Cells, folder: Path) -> list[Path]:
    """Write the differences that the tables show, to the baseline arm and asked for; nothing without two finished arms."""
    plan = scales.plan
    pages: list[list[Panel]] = []
    for panel in difference_panels(scales, cells):
        if pages and sum(one.height for one in pages[-1]) + panel.height <= MOST_HEIGHT:
            pages[-1].append(panel)
        else:
            pages.append([panel])
    limits = value_range([panel for panels in pages for panel in panels])
    marks = {mark: None for panels in pages for panel in panels for _, one in panel.rows for mark in one.marks}
    flags = [f"{MARKS[mark]} {mark}" for mark in marks]
    done = [cell for cell in cells.values() if cell.results]
    foot = footer(plan, done, "intervals are not corrected for their number", *flags)
    figures = [differences_figure(plan, panels, limits, foot) for panels in pages]
    return [save(figure, figure_file(folder, "differences", number)) for number, figure in enumerate(figures, start=1)]


def difference_panels(scales: Scales, cells: Cells) -> Iterator[Panel]:
    """Yield a panel per metric, column of the tables and kind of comparison, without rows that have no difference.

    With several columns, only the first metric is drawn.
    """
    plan = scales.plan
    shape, base, labels = layout(plan), plan.study.report.against, label_arms(plan, cells)
    metrics = plan.study.report.metrics if shape.columns == [None] else plan.study.report.metrics[:1]
    kinds = {
        f"difference to {labels[base]}": [
            (name, labels[arm]) for name, (arm, _) in list_pairs(plan).items() if name in plan.study.arms
        ],
        "further differences": [
            (name, f"{labels[arm]} against {labels[other]}")
            for name, (arm, other) in list_pairs(plan).items()
            if name not in plan.study.arms
        ],
    }
    for metric in metrics:
        compared = {(one.label, one.at): one for one in compare_arms(cells, scales, metric, tested=False)}
        for kind, pairs in kinds.items():
            title, together = f"{METRICS[metric].label}, {kind}", list[tuple[str, Compared]]()
            for column in shape.columns:
                where = "" if column is None else f", {factor_name(column[0])} {column[1]}"
                rows = []
                for name, label in pairs:
                    for other in shape.others:
                        found = compared[name, shape.point(plan, column, other)]
                        if found.number.value is not None:
                            name_at = ", ".join(filter(None, [label, point_label(other)]))
                            rows.append((f"{name_at} {found.number.signs}".rstrip(), found))
                if len(pairs) * len(shape.others) <= FEW:
                    together += [(label + where, found) for label, found in rows]
                elif rows:
                    yield Panel(title + where, rows)
            if together:
                yield Panel(title, together)


def value_range(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return the limits in points that all panels share: all intervals and zero, with a margin."""
    ends = [0.0]
    for panel in panels:
        for _, found in panel.rows:
            ends += [100 * end for end in (found.number.value, *(found.number.interval or ())) if end is not None]
    margin = 0.05 * (max(ends) - min(ends) or 1.0)
    return min(ends) - margin, max(ends) + margin


def differences_figure(plan: Plan, panels: Sequence[Panel], limits: tuple[float, float], foot: Sequence[str]) -> Figure:
    """Return a page of panels below each other."""
    found = [difference for panel in panels for _, difference in panel.rows]
    colour = PALETTE[0]
    keys = [Line2D([], [], color=colour, marker="o", ms=4, lw=1.2, label="paired, 95 % interval")]
    if any(one.unpaired for one in found):
        keys.append(Line2D([], [], color=colour, marker="o", mfc="white", ms=4, lw=1.2, label="unpaired (Welch)"))
    if any(one.number.interval is None for one in found):
        keys.append(Line2D([], [], color=colour, marker="o", ms=4, lw=0, label="no interval"))
    words = Words(f"{plan.study.name}: differences between arms", (), [keys], foot)
    figure = page(COLUMN, sum(panel.height for panel in panels) + TAIL, words)
    heights = [panel.height for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        draw_panel(axes, panel)
        axes.set_title("\n".join(panel.heading), loc="left", size=SIZE, weight="bold")
    grid[-1].set_xlim(*limits)
    grid[-1].xaxis.set_major_locator(MaxNLocator(6))
    grid[-1].xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
    grid[-1].set_xlabel("difference in points")
    return figure


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw the rows from top to bottom."""
    places, down = [], 0.0
    for lines in panel.labels:
        tall = ROW + LINE * (len(lines) - 1)
        places.append(down + tall / 2)
        down += tall
    axes.axvline(0, color=GREY, lw=0.9)
    for place, (_, found) in zip(places, panel.rows, strict=True):
        number = found.number
        assert number.value is not None
        if number.interval is not None:
            low, high = number.interval
            axes.hlines(place, 100 * low, 100 * high, color=PALETTE[0], lw=1.2)
        face = "white" if found.unpaired else PALETTE[0]
        axes.plot(100 * number.value, place, marker="o", ms=4, color=PALETTE[0], mfc=face)
    axes.set_yticks(places, ["\n".join(lines) for lines in panel.labels], size=SIZE)
    axes.set_ylim(down, 0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
