"""What the class-centre loss does to the features in training (Sun 2024, section 4.1), from the ``centres.csv`` of runs.

Features of all classes that are nearly alike cost as much as the spread of the centres: the loss is 1. The mean over the
channels of the features' standard deviation within a batch shows it. Both are smoothed over WINDOW steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_cli.analysis.outcome import Group, figure_path, groups_of, summarise
from fer_cli.blocks import Block, Figure, Note, Table
from fer_cli.config import Compute
from fer_cli.outputs import read_centres
from fer_cli.plan import Plan

WINDOW = 20
"""Steps of the moving average."""
MOST_LINES = 5
DRAWN = {"deviation": "deviation of features", "loss": "class-centre loss"}
"""Quantity of a step -> label of its axis."""


@dataclass(frozen=True)
class Trace:
    """Smoothed quantities of an arm's trainings, by seed: name -> (steps - WINDOW + 1,) each."""

    group: Group
    values: dict[str, list[np.ndarray]]

    @property
    def measures(self) -> list[tuple[float, float, float, float]]:
        """Return, for each seed, the lowest deviation, the share of steps before it, and deviation and loss at the end."""
        pairs = zip(self.values["deviation"], self.values["loss"], strict=True)
        return [(float(d.min()), int(d.argmin()) / max(1, len(d) - 1), float(d[-1]), float(loss[-1])) for d, loss in pairs]


def centres_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return a table and figures of deviation and loss of each arm that is trained with the class-centre loss."""
    del compute
    groups = groups_of(plan)
    if not any(group.done for group in groups):
        return [Note("centres: no run is done")]
    traces = [trace for group in groups if (trace := read_trace(group)) is not None]
    if not traces:
        return [Note("centres: no finished run has the class-centre loss")]
    columns = ["lowest deviation of features", "reached after % of the steps", "deviation at the end", "loss at the end"]
    units = ("plain", "%", "plain", "plain")
    rows = [
        (
            trace.group.label,
            [
                summarise(values, len(trace.group.planned), "%" if unit == "%" else "plain")
                for values, unit in zip(zip(*trace.measures, strict=True), units, strict=True)
            ],
        )
        for trace in traces
    ]
    notes = [
        f"means over {WINDOW} steps; deviation: of each channel within a batch, mean over the channels; loss: before its "
        "weight; it is 1 where features are as far from their centres as the centres are from their mean"
    ]
    return [Table("Class-centre loss in training: mean ± sd (n)", columns, rows, notes), *draw(plan, traces, folder)]


def read_trace(group: Group) -> Trace | None:
    """Return the quantities of a group's finished trainings; None without the class-centre loss, or of older runs."""
    found = [
        steps
        for item in group.done
        if item.run.config.learning.center_weight > 0
        and (steps := read_centres((item.trained or item).folder.file("centres.csv"))) is not None
    ]
    if not found:
        return None
    deviations, losses = zip(*((steps["deviation"], steps["loss"] / steps["weight"]) for steps in found), strict=True)
    return Trace(group, {"deviation": [*map(smooth, deviations)], "loss": [*map(smooth, losses)]})


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the moving average of (N,) over WINDOW steps, or over all if there are fewer."""
    width = min(WINDOW, len(values))
    return np.convolve(values, np.ones(width) / width, mode="valid")


def draw(plan: Plan, traces: Sequence[Trace], folder: Path) -> list[Block]:
    """Write the figures, of at most MOST_LINES arms each, and return them; an arm is drawn at its first grid point."""
    from matplotlib.lines import Line2D

    from fer_cli.drawing import (
        COLUMN,
        SD_BAND,
        Words,
        band,
        class_styles,
        format_seeds,
        page,
        save,
        seed_count,
        split_evenly,
    )

    styles, blocks = class_styles(list(plan.study.arms)), list[Block]()
    first = list({trace.group.arm: trace for trace in reversed(traces)}.values())[::-1]
    for number, shown in enumerate(split_evenly(first, MOST_LINES), start=1):
        keys = [
            Line2D(
                [],
                [],
                color=styles[trace.group.arm][0],
                lw=3,
                label=f"{trace.group.label}, {seed_count(len(trace.values['loss']), len(trace.group.planned))}",
            )
            for trace in shown
        ]
        seeds = format_seeds(sorted({seed for trace in shown for seed in trace.group.seeds}))
        prints = " and ".join(sorted({item.fingerprint for trace in shown for item in trace.group.done}))
        meaning = f"loss before its weight; means over {WINDOW} steps; {SD_BAND}"
        foot = [f"{plan.title}; fingerprint {prints}; {seeds}", meaning]
        figure = page(COLUMN, 3.2, Words(f"{plan.study.name}: the class-centre loss by step", (), [keys], foot))
        panels = figure.subplots(len(DRAWN), 1, sharex=True)
        for axes, (name, words) in zip(panels, DRAWN.items(), strict=True):
            for trace in shown:
                colour = styles[trace.group.arm][0]
                mean, sd = band(trace.values[name])
                steps = np.arange(len(mean)) + WINDOW
                if sd is not None:
                    axes.fill_between(steps, mean - sd, mean + sd, color=colour, alpha=0.18, lw=0)
                axes.plot(steps, mean, color=colour, lw=1.4)
            axes.set_ylabel(words)
            axes.set_ylim(bottom=0)
        panels[-1].axhline(1.0, color="0.5", lw=0.8, ls=":")
        panels[-1].set_xlabel("step")
        figure.align_ylabels(panels)
        blocks.append(Figure(save(figure, figure_path(folder, "centres", *([str(number)] if number > 1 else [])))))
    return blocks
