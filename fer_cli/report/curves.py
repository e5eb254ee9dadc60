"""Accuracy and loss by epoch, mean over seeds, and the stability of validation accuracy late in training."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fer_cli.drawing import (
    COLUMN,
    GREY,
    MARGIN,
    QUANTITIES,
    SD_BAND,
    Words,
    draw_curve,
    finish_curves,
    page,
    save,
    seed_count,
    split_evenly,
    wrap_text,
)
from fer_cli.escape import csv_cell
from fer_cli.outputs import damage_error, read_history
from fer_cli.places import write_text
from fer_cli.plan import Plan
from fer_cli.report.canvas import arm_styles, factor_name, figure_file, footer, label_arms, point_label, shared_factors
from fer_cli.report.collect import Cells, Point, history_file
from fer_cli.report.measured import stability
from fer_cli.results import Selection

MOST_TOGETHER = 2  # most arms that share one pair of panels, of two lines each; with more, each has its own
MOST_ARMS = 5  # arms per file
MOST_TRAININGS = 6  # most grid points that are all drawn; of more, only the first is
RULES = {
    "val/macro_f1": "highest validation macro-F1",
    "val/accuracy": "highest validation accuracy",
    "val/loss": "lowest validation loss",
}
MEANING = (
    "training: the arm's loss on augmented images and training labels (with label noise); validation: cross-entropy on "
    "unmodified images and the set's labels"
)


@dataclass(frozen=True)
class Curve:
    """Training histories of one arm by seed, and the selected epochs."""

    arm: str
    label: str
    planned: int
    histories: list[pd.DataFrame]
    chosen: list[int]
    rules: list[str]

    @property
    def n(self) -> int:
        """Return the number of seeds."""
        return len(self.histories)

    @property
    def epochs(self) -> int:
        """Return the number of epochs that every seed has."""
        return min(len(history) for history in self.histories)

    def values(self, column: str) -> list[np.ndarray]:
        """Return one column of each seed's history, (epochs,) each."""
        return [history[column].to_numpy(float) for history in self.histories]

    def draw(self, axes: Axes, quantity: str, colour: str, pale: str) -> None:
        """Draw training, validation and the mean selected epoch; series are cut to the shortest."""
        series = {name: self.values(name) for name in (f"train/{quantity}", f"val/{quantity}")}
        draw_curve(axes, series, quantity, float(np.mean(self.chosen)), colour, pale)


def draw_curves(plan: Plan, cells: Cells, folder: Path) -> list[Path]:
    """Write the curves and ``curves.csv`` and return the files; none if no run has a history."""
    groups = group_trainings(plan)
    drawn = [(points, curves_at(plan, cells, points)) for points in groups]
    drawn = [(points, curves) for points, curves in drawn if curves]
    if not drawn:
        return []
    files: list[Path] = []
    for points, curves in drawn if len(groups) <= MOST_TRAININGS else drawn[:1]:
        used = [cell for (_, at), cell in cells.items() if at in points]
        foot = footer(plan, used, SD_BAND, MEANING, *describe_cuts(curves))
        arms = [curves] if len(curves) <= MOST_TOGETHER else split_evenly(curves, MOST_ARMS)
        for shown in arms:
            figure = (joint_figure if len(curves) <= MOST_TOGETHER else separate_figure)(plan, points, shown, foot)
            files.append(save(figure, figure_file(folder, "curves", len(files) + 1)))
    table = folder / "curves.csv"
    write_text(table, stability_csv(plan, drawn))
    return [*files, table]


def group_trainings(plan: Plan) -> list[list[Point]]:
    """Return the grid points, grouped where their runs share trainings (only test images differ)."""
    signs: dict[Point, set[tuple[str, int, str]]] = {}
    for item in plan.items:
        run = item.run
        signs.setdefault(run.at, set()).add((run.arm, run.seed, (item.trained or item).run_id))
    groups: dict[frozenset[tuple[str, int, str]], list[Point]] = {}
    for at, sign in signs.items():
        groups.setdefault(frozenset(sign), []).append(at)
    return list(groups.values())


def curves_at(plan: Plan, cells: Cells, points: Sequence[Point]) -> list[Curve]:
    """Return a curve per arm with at least one history; the grid points share their trainings."""
    found: dict[str, dict[int, tuple[pd.DataFrame, Selection]]] = {arm: {} for arm in plan.study.arms}
    planned: dict[str, set[int]] = {arm: set() for arm in plan.study.arms}
    for item in plan.items:
        run = item.run
        if run.at not in points:
            continue
        planned[run.arm].add(run.seed)
        result = cells[run.arm, run.at].results.get(run.seed)
        if result is not None and run.seed not in found[run.arm] and history_file(item, result).is_file():
            found[run.arm][run.seed] = history_frame(history_file(item, result)), result.selection
    labels = label_arms(plan, cells)
    return [
        Curve(
            arm,
            labels[arm],
            len(planned[arm]),
            [seeds[seed][0] for seed in sorted(seeds)],
            [seeds[seed][1].epoch or 0 for seed in sorted(seeds)],
            [seeds[seed][1].rule for seed in sorted(seeds)],
        )
        for arm, seeds in found.items()
        if seeds
    ]


def history_frame(path: Path) -> pd.DataFrame:
    """Return a history; raises DamagedError if a plotted column is missing."""
    frame = pd.DataFrame(read_history(path))
    if lost := [name for part in ("train", "val") for quantity in QUANTITIES if (name := f"{part}/{quantity}") not in frame]:
        raise damage_error(path, f"no column {lost[0]}")
    return frame


def stability_csv(plan: Plan, drawn: Sequence[tuple[list[Point], list[Curve]]]) -> str:
    """Return a CSV row per arm and training; a factor that the training does not depend on reads ``all``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["arm", *plan.factors, "n", "planned", "epochs", "from_epoch", "val_accuracy_sd"]
    writer.writerow(map(csv_cell, head))
    for points, curves in drawn:
        fixed = dict(shared_factors(points))
        where = [fixed.get(factor, "all") for factor in plan.factors]
        for curve in curves:
            spread = stability([values[: curve.epochs] for values in curve.values("val/accuracy")])
            text = "" if spread is None else f"{spread:.6f}"
            row = [curve.arm, *where, curve.n, curve.planned, curve.epochs, curve.epochs // 2 + 1, text]
            writer.writerow(map(csv_cell, row))
    return out.getvalue()


def describe_cuts(curves: Sequence[Curve]) -> list[str]:
    """Return a note on the arms whose seeds have histories of unequal length."""
    uneven = [curve.arm for curve in curves if len({len(history) for history in curve.histories}) > 1]
    return [f"{', '.join(uneven)}: seeds of unequal length, cut to the shortest"] if uneven else []


def heading(plan: Plan, points: Sequence[Point], curves: Sequence[Curve]) -> tuple[str, list[str]]:
    """Return title and notes of a page of curves."""
    at = point_label(shared_factors(points))
    title = f"{plan.study.name}: accuracy and loss by epoch{f', {at}' if at else ''}"
    rules = sorted({rule for curve in curves for rule in curve.rules})
    notes = [f"checkpoint chosen by {' or '.join(RULES[rule] for rule in rules)} (ties go to the latest epoch)"]
    if shared := [factor for factor in plan.factors if factor not in dict(shared_factors(points))]:
        notes.append(f"all levels of {' and '.join(map(factor_name, shared))} share one training: only test images differ")
    elsewhere = group_trainings(plan)
    if len(elsewhere) > MOST_TRAININGS:
        notes.append(f"the first of {len(elsewhere)} grid points; curves.csv has all")
    return title, notes


def style_key(colour: str) -> list[Artist]:
    """Return the legend entries of the line styles."""
    return [
        Line2D([], [], color=colour, lw=1.4, label="validation (solid)"),
        Line2D([], [], color=GREY if colour == "black" else colour, lw=1.0, ls=(0, (4, 2)), label="training (dashed)"),
        Patch(color=colour, alpha=0.18, lw=0, label="± 1 sd over seeds"),
        Line2D([], [], color=colour, lw=0, marker="o", ms=4, label="selected epoch"),
    ]


def joint_figure(plan: Plan, points: Sequence[Point], curves: Sequence[Curve], foot: Sequence[str]) -> Figure:
    """Return one panel of accuracy and one of loss, each with all arms."""
    styles = arm_styles(plan)
    arms = [Line2D([], [], color=styles[c.arm][0], lw=3, label=f"{c.label}, {seed_count(c.n, c.planned)}") for c in curves]
    title, notes = heading(plan, points, curves)
    figure = page(COLUMN, 3.0, Words(title, notes, [arms, style_key("0.35")], foot))
    panels = figure.subplots(2, 1, sharex=True)
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for curve in curves:
            curve.draw(axes, quantity, styles[curve.arm][0], styles[curve.arm][0])
        finish_curves(axes, quantity, [curve.epochs for curve in curves])
    panels[-1].set_xlabel("epoch")
    figure.align_ylabels(panels)
    return figure


def separate_figure(plan: Plan, points: Sequence[Point], curves: Sequence[Curve], foot: Sequence[str]) -> Figure:
    """Return a row per arm, accuracy beside loss, on shared scales."""
    styles = arm_styles(plan)
    title, notes = heading(plan, points, curves)
    if len({curve.epochs for curve in curves}) > 1:
        notes.append("horizontal axes differ: arms are trained for different numbers of epochs")
    names = [
        wrap_text(f"{curve.label}, {seed_count(curve.n, curve.planned)}", COLUMN - 0.5 - 2 * MARGIN, 8) for curve in curves
    ]
    height = sum(1.0 + 0.15 * len(lines) for lines in names) + 0.35
    figure = page(COLUMN, height, Words(title, notes, [style_key("black")], foot))
    panels = figure.subplots(len(curves), 2, squeeze=False)
    for row, (curve, lines) in enumerate(zip(curves, names, strict=True)):
        for axes, quantity in zip(panels[row], QUANTITIES, strict=True):
            curve.draw(axes, quantity, styles[curve.arm][0], GREY)
            finish_curves(axes, quantity, [curve.epochs])
        panels[row, 0].set_title("\n".join(lines), loc="left", pad=9)  # above the ticks of the panel beside it
    for column in panels.T:
        low = min(axes.get_ylim()[0] for axes in column)
        high = max(axes.get_ylim()[1] for axes in column)
        for axes in column:
            axes.set_ylim(low, high)
        column[-1].set_xlabel("epoch")
        figure.align_ylabels(column)
    return figure
