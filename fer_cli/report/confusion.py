"""Confusion matrices of a study, one panel per arm, summed over seeds and normalised by row (truth)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fer_cli.blocks import percent
from fer_cli.drawing import (
    COLUMN,
    LINE,
    MARGIN,
    Words,
    draw_matrix,
    page,
    save,
    seed_count,
    split_evenly,
    text_width,
    wrap_text,
)
from fer_cli.plan import Plan
from fer_cli.report.canvas import figure_file, footer, label_cell, point_label, shared_factors
from fer_cli.report.collect import Cell, Cells, Point
from fer_cli.report.tables import layout

MOST_PANELS = 4  # panels per file
MOST_LEVELS = 3  # most values of the column factor that are all drawn; of more, only the first is
BARS = (0.8, 0.9)  # recall thresholds by which papers count classes
TITLE = 7.5  # font size above a panel
CELL = (0.24, 0.2)  # least width and height of a class in inches: room for "100"


def draw_confusions(plan: Plan, cells: Cells, folder: Path) -> list[Path]:
    """Write the matrices of all arms with a result and return the files."""
    pages: list[list[Cell]] = []
    for level in select_cells(plan, cells):
        for group in split_evenly(level, MOST_PANELS):
            if pages and len(pages[-1]) + len(group) <= MOST_PANELS:
                pages[-1] += group
            else:
                pages.append(group)
    return [save(confusion_panels(plan, p), figure_file(folder, "confusion", n)) for n, p in enumerate(pages, start=1)]


def select_cells(plan: Plan, cells: Cells) -> list[list[Cell]]:
    """Return the cells to draw by level: other factors at their first value, without arms that have no result."""
    shape = layout(plan)
    columns = shape.columns if len(shape.columns) <= MOST_LEVELS else shape.columns[:1]
    points = [shape.point(plan, column, shape.others[0]) for column in columns]
    levels = [[cells[arm, at] for arm in shape.arms if (arm, at) in cells] for at in points]
    return [[cell for cell in level if cell.ordered] for level in levels]


def sum_confusion(cell: Cell) -> np.ndarray:
    """Return a cell's confusion matrix (K, K), summed over seeds; rows are the truth."""
    counts: np.ndarray = np.sum([result.metrics[cell.part].confusion for result in cell.ordered], axis=0)
    return counts


def count_recognised(counts: np.ndarray, bar: float) -> int:
    """Return the number of classes whose recall is at least ``bar``."""
    totals = counts.sum(axis=1)
    hits = np.diag(counts)
    return int(((totals > 0) & (hits >= bar * totals - 1e-9)).sum())


def panel_title(cell: Cell, shared: Point, width: float) -> str:
    """Return arm, grid values not in ``shared``, seeds, accuracy, and the number of classes that reach ``BARS``."""
    counts = sum_confusion(cell)
    values = [result.metrics[cell.part]["accuracy"] for result in cell.ordered]
    spread = f" ± {percent(float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
    classes = int((counts.sum(axis=1) > 0).sum())
    tally = ", ".join(f"≥ {100 * bar:.0f} % in {count_recognised(counts, bar)}" for bar in BARS)
    own = point_label(tuple(pair for pair in cell.at if pair not in shared))
    name = wrap_text(label_cell(cell) + (f", {own}" if own else ""), width, TITLE)
    scores = [f"{seed_count(len(values), len(cell.planned))}, accuracy {percent(float(np.mean(values)))}{spread} %"]
    return "\n".join([*name, *scores, f"recall {tally} of {classes} classes"])


def confusion_panels(plan: Plan, cells: Sequence[Cell]) -> Figure:
    """Return a figure of one panel per cell; inner panels omit class names if all have the same classes."""
    named = [cell.ordered[0].data.classes for cell in cells]
    alike = all(classes == named[0] for classes in named)
    names, most = max(text_width(label, 7) for classes in named for label in classes), max(map(len, named))
    left, room = names + 0.35, COLUMN - 2 * MARGIN
    columns = 2 if len(cells) > 1 and alike and (room - left) / 2 >= max(CELL[0] * most, 1.25) else 1
    rows = math.ceil(len(cells) / columns)
    width = max((room - left) / columns, CELL[0] * most)
    shared = shared_factors([cell.at for cell in cells])
    titles = [panel_title(cell, shared, room / columns - 0.1) for cell in cells]
    # a row has labels below if one of its panels is the last of its column
    below = [not alike or (row + 2) * columns > len(cells) for row in range(rows)]
    height = rows * (CELL[1] * max(most, 5) + 0.12 + max(title.count("\n") + 1 for title in titles) * TITLE * LINE / 72)
    height += sum(below) * (0.75 * names + 0.35)
    at = point_label(shared)
    title = f"{plan.study.name}: confusion matrices{f', {at}' if at else ''}"
    foot = footer(plan, cells, "test images; counts summed over seeds; ±: sample standard deviation over seeds")
    words = Words(title, ["% of each true class"], [], foot)
    figure = page(max(COLUMN, width * columns + left + 2 * MARGIN), height, words)
    panels = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(panels.flat):
        if place >= len(cells):
            axes.set_axis_off()
            continue
        beside = not alike or place % columns == 0
        draw_matrix(axes, sum_confusion(cells[place]), named[place], beside, below[place // columns])
        axes.set_title(titles[place], fontsize=TITLE)
    return figure
