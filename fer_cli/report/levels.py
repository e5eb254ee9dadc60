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
from fer_cli.drawing import COLUMN, SD_BARS, Words, page, save, seed_count, split_evenly
from fer_cli.plan import Plan
from fer_cli.report.canvas import FACTORS, arm_styles, factor_name, footer, label_arms, point_label
from fer_cli.report.collect import Cells, Point
from fer_cli.report.tables import layout
from fer_cli.stats import sample_sd

FEWEST_LEVELS = 3
MOST_PANELS = 6  # most values of other factors that each get a panel; of more, only the first does
MOST_LINES = 5  # arms per panel; more arms get further panels on the same axes, each with the baseline
SHIFT = 0.012  # arms beside each other, as a share of the axis, so that bars of deviations do not hide each other


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
    styles, labels = arm_styles(plan), label_arms(plan, cells)
    arms = {arm: [level for levels in panels.values() for level in levels[arm]] for arm in plan.study.arms}
    keys: list[Artist] = [
        Line2D([], [], color=styles[arm][0], marker=styles[arm][1], ms=4, lw=1.2, label=legend_label(labels[arm], levels))
        for arm, levels in arms.items()
        if levels
    ]
    missing = any(level.n < level.planned for levels in arms.values() for level in levels)
    notes = ["hollow markers: not all planned seeds are done"] if missing else []
    skipped = [value for value in plan.factors[factor] if value not in numeric_levels(plan)]
    notes += [f"not drawn: {', '.join(map(str, skipped))}"] if skipped else []
    others = layout(plan).others
    notes += [f"1 of {len(others)} other grid points is drawn"] if len(panels) < len(others) else []
    foot = footer(plan, [cell for cell in cells.values() if cell.results], SD_BARS, "test images")
    title = f"{plan.study.name}: {METRICS[metric].label} by {factor_name(factor)}"
    groups = group_arms([arm for arm in arms if arms[arm]], plan.study.report.against)
    facets = [(other, group) for other in panels for group in groups]
    figure = page(COLUMN, 0.4 + (2.0 if len(facets) <= 3 else 1.5) * len(facets), Words(title, notes, [keys], foot))
    grid = figure.subplots(len(facets), 1, squeeze=False, sharex=True, sharey=True)
    numbers = numeric_levels(plan)
    for axes, (other, group) in zip(grid[:, 0], facets, strict=True):
        draw_panel(axes, {arm: panels[other][arm] for arm in group}, styles, is_logarithmic(numbers))
        axes.set_title(point_label(other), loc="left")
        axes.set_ylabel(f"{METRICS[metric].label} (%)")
    grid[-1, 0].set_xlabel(FACTORS.get(factor, factor))
    low, high = grid[0, 0].get_ylim()  # after all panels, which share it, are drawn
    grid[0, 0].set_ylim(max(low, 0), min(high, 101))
    set_ticks(grid[0, 0], numbers)
    return figure


def group_arms(arms: list[str], base: str) -> list[list[str]]:
    """Return the arms of each panel in order; with several panels, the baseline is in all of them."""
    if len(arms) <= MOST_LINES or base not in arms:
        return split_evenly(arms, MOST_LINES)
    groups = split_evenly([arm for arm in arms if arm != base], MOST_LINES - 1)
    return [[arm for arm in arms if arm == base or arm in group] for group in groups]


def legend_label(label: str, levels: Sequence[Level]) -> str:
    """Return an arm's legend entry with the number of seeds, or its range over levels."""
    counts, planned = sorted({level.n for level in levels}), levels[0].planned
    count = seed_count(counts[0], planned) if len(counts) == 1 else f"n = {counts[0]}–{counts[-1]} of {planned} seeds"
    return f"{label}, {count}"


def draw_panel(
    axes: Axes, arms: dict[str, list[Level]], styles: dict[str, tuple[str, str]], logarithmic: bool = False
) -> None:
    """Draw every arm's mean and deviation; markers of incomplete seeds are hollow."""
    values = [level.value for levels in arms.values() for level in levels]
    span = max(values, default=1.0) - min(values, default=0.0)
    for place, (arm, levels) in enumerate(arms.items()):
        colour, marker = styles[arm]
        beside = SHIFT * (place - (len(arms) - 1) / 2)
        x = [level.value * 10**beside if logarithmic else level.value + beside * span for level in levels]
        mean = np.array([100 * level.mean for level in levels])
        axes.plot(x, mean, color=colour, lw=1.2)
        for at, height, level in zip(x, mean, levels, strict=True):
            if level.sd is not None:
                axes.vlines(at, height - 100 * level.sd, height + 100 * level.sd, color=colour, lw=0.9, alpha=0.7)
            face = colour if level.n == level.planned else "white"
            axes.plot(at, height, marker, ms=4, color=colour, mfc=face)


def is_logarithmic(levels: Sequence[Any]) -> bool:
    """Return whether levels span a factor of ten or more."""
    return bool(levels[0] > 0 and levels[-1] / levels[0] >= 10)


def set_ticks(axes: Axes, levels: Sequence[Any]) -> None:
    """Put ticks at the levels, without those too close to the one before; the axis is logarithmic if they span a decade."""
    logarithmic = is_logarithmic(levels)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    place = np.log10(levels) if logarithmic else np.asarray(levels, float)
    shown = [0]
    for number in range(1, len(levels)):
        if (place[number] - place[shown[-1]]) >= 0.09 * (place[-1] - place[0]):
            shown.append(number)
    axes.set_xticks([levels[number] for number in shown], [f"{levels[number]:,g}" for number in shown])
