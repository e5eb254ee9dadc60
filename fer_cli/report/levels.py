"""Line plots of a metric by level of a grid factor (label noise, occlusion, training images), one line per arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from fer_cli.config import METRICS
from fer_cli.drawing import Words, page, save
from fer_cli.plan import Plan
from fer_cli.report.canvas import FACTORS, SD_BAND, arm_label, arm_styles, factor_name, footer, point_label, seed_count
from fer_cli.report.collect import Cells, Point
from fer_cli.report.tables import layout
from fer_cli.stats import sample_sd

FEWEST_LEVELS = 3
MOST_PANELS = 6  # most values of other factors that each get a panel; of more, only the first does


@dataclass(frozen=True)
class Level:
    """One arm at one factor value: mean and sample deviation (shares in [0, 1]) over n of the planned seeds."""

    value: float
    mean: float
    sd: float | None
    n: int
    planned: int


def numeric_levels(plan: Plan) -> list[float]:
    """Return the numeric values of the column factor, ascending."""
    values = plan.factors.get(plan.study.report.columns or "", [])
    return sorted(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))


def level_points(plan: Plan, cells: Cells, arm: str, other: Point, metric: str) -> list[Level]:
    """Return an arm's levels with at least one result, ascending; ``other``: the remaining grid values."""
    shape, factor = layout(plan), str(plan.study.report.columns)
    found = []
    for value in numeric_levels(plan):
        cell = cells.get((arm, shape.point(plan, (factor, value), other)))
        if cell is not None and cell.results:
            values = cell.values(metric)
            mean = sum(values) / len(values)
            found.append(Level(value, mean, sample_sd(values), len(values), len(cell.planned)))
    return found


def draw_levels(plan: Plan, cells: Cells, folder: Path) -> list[Path]:
    """Write ``levels.png`` if the columns are at least three numbers, and return its path."""
    if len(numeric_levels(plan)) < FEWEST_LEVELS:
        return []
    metric = plan.study.report.metrics[0]
    others = layout(plan).others
    panels = {
        other: {arm: level_points(plan, cells, arm, other, metric) for arm in plan.study.arms}
        for other in (others if len(others) <= MOST_PANELS else others[:1])
    }
    if not any(levels for arms in panels.values() for levels in arms.values()):
        return []
    return [save(levels_figure(plan, cells, panels), folder / "levels.png")]


def levels_figure(plan: Plan, cells: Cells, panels: dict[Point, dict[str, list[Level]]]) -> Figure:
    """Return a panel per remaining grid point, on shared scales."""
    metric, factor = plan.study.report.metrics[0], str(plan.study.report.columns)
    styles = arm_styles(plan)
    arms = {arm: [level for levels in panels.values() for level in levels[arm]] for arm in plan.study.arms}
    keys: list[Artist] = [
        Line2D([], [], color=styles[arm][0], marker=styles[arm][1], ms=5.5, lw=1.6, label=legend_label(plan, arm, levels))
        for arm, levels in arms.items()
        if levels
    ]
    missing = any(level.n < level.planned for levels in arms.values() for level in levels)
    notes = ["hollow markers: not all planned seeds are done"] if missing else []
    skipped = [value for value in plan.factors[factor] if value not in numeric_levels(plan)]
    notes += [f"not drawn: {', '.join(map(str, skipped))}"] if skipped else []
    others = layout(plan).others
    notes += [f"1 of {len(others)} other grid points is drawn"] if len(panels) < len(others) else []
    foot = footer(plan, [cell for cell in cells.values() if cell.results], SD_BAND, "test images")
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    rows = -(-len(panels) // columns)
    title = f"{plan.study.name}: {METRICS[metric].label} by {factor_name(factor)}"
    figure = page(max(7.0, 3.6 * columns), 4.0 if rows == 1 else 3.2 * rows, Words(title, notes, [keys], foot))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for place, (axes, (other, levels)) in enumerate(zip(grid.flat, panels.items(), strict=False)):
        draw_panel(axes, levels, styles)
        axes.set_title(point_label(other))
        if place + columns >= len(panels):  # no panel below
            axes.set_xlabel(FACTORS.get(factor, factor))
            axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{METRICS[metric].label} (%)")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    low, high = grid[0, 0].get_ylim()  # after all panels, which share it, are drawn
    grid[0, 0].set_ylim(max(low, 0), min(high, 101))
    set_ticks(grid[0, 0], numeric_levels(plan))
    return figure


def legend_label(plan: Plan, arm: str, levels: Sequence[Level]) -> str:
    """Return an arm's legend entry with the number of seeds, or its range over levels."""
    counts, planned = sorted({level.n for level in levels}), levels[0].planned
    count = seed_count(counts[0], planned) if len(counts) == 1 else f"n = {counts[0]}–{counts[-1]} of {planned} seeds"
    return f"{arm_label(plan, arm)}, {count}"


def draw_panel(axes: Axes, arms: dict[str, list[Level]], styles: dict[str, tuple[str, str]]) -> None:
    """Draw every arm's mean and band; markers of incomplete seeds are hollow."""
    for arm, levels in arms.items():
        colour, marker = styles[arm]
        x, mean = ([getattr(level, name) for level in levels] for name in ("value", "mean"))
        sd = np.array([np.nan if level.sd is None else level.sd for level in levels])
        axes.fill_between(x, 100 * (mean - sd), 100 * (mean + sd), color=colour, alpha=0.09, lw=0)
        for edge in (mean - sd, mean + sd):
            axes.plot(x, 100 * edge, color=colour, lw=0.7, alpha=0.35)
        axes.plot(x, 100 * np.array(mean), color=colour, lw=1.6)
        for level in levels:
            face = colour if level.n == level.planned else "white"
            axes.plot(level.value, 100 * level.mean, marker, ms=5.5, color=colour, mfc=face)


def set_ticks(axes: Axes, levels: Sequence[Any]) -> None:
    """Put ticks at the levels; the axis is logarithmic if they span a factor of ten or more."""
    if levels[0] > 0 and levels[-1] / levels[0] >= 10:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(levels, [f"{level:,g}" for level in levels])
