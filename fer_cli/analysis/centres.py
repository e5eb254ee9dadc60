"""What the class-centre loss does to the features in training (Sun 2024, section 4.1), from the ``centres.csv`` of runs.

Where the features of all classes lie at the mean of the centres, the mean loss is 1 whatever the centres are. The standard
deviation of the features within a batch, mean over the channels, shows how alike they are. Both are smoothed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fer_cli.analysis.outcome import TRAINS, Group, figure_path, groups_of, note_none, summarise
from fer_cli.blocks import Block, Figure, Note, Table
from fer_cli.config import Compute
from fer_cli.outputs import read_centres
from fer_cli.plan import Item, Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW = 20
"""Most steps of the moving average."""
MOST_LINES = 5
DRAWN = {"deviation": "deviation", "loss": "class-centre loss"}
"""Quantity of a step -> label of its axis."""


@dataclass(frozen=True)
class Trace:
    """Smoothed quantities of the trainings of one arm that noted them: name -> (windows,) each."""

    group: Group
    items: list[Item]
    values: dict[str, list[np.ndarray]]
    first: int
    """Last step of the first window."""

    @property
    def label(self) -> str:
        """Return the arm, and of how many planned seeds."""
        from fer_cli.drawing import seed_count

        return f"{self.group.label}, {seed_count(len(self.items), len(self.group.planned))}"

    @property
    def measures(self) -> list[tuple[float, float, float, float]]:
        """Return, for each seed, the lowest deviation, the share of windows up to it, and deviation and loss at the end."""
        pairs = zip(self.values["deviation"], self.values["loss"], strict=True)
        return [(float(d.min()), (int(d.argmin()) + 1) / len(d), float(d[-1]), float(loss[-1])) for d, loss in pairs]


def centres_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return a table and figures of deviation and loss of each arm that is trained with the class-centre loss."""
    del compute
    groups = groups_of(plan)
    if not any(group.done for group in groups):
        return [note_none(plan, "centres", TRAINS)]
    traces = [trace for group in groups if (trace := read_trace(group)) is not None]
    if not traces:
        return [Note("centres: no finished run has the class-centre loss")]
    columns = ["lowest deviation", "reached after % of the steps", "deviation at the end", "loss at the end"]
    units: tuple[Literal["plain", "%"], ...] = ("plain", "%", "plain", "plain")
    rows = [
        (
            trace.group.label,
            [
                summarise(values, len(trace.group.planned), unit)
                for values, unit in zip(zip(*trace.measures, strict=True), units, strict=True)
            ],
        )
        for trace in traces
    ]
    notes = [
        f"means over {WINDOW} steps; deviation: standard deviation within a batch of each channel of the features (or "
        "logits), mean over the channels; loss: before its weight"
    ]
    return [Table("Class-centre loss in training: mean ± sd (n)", columns, rows, notes), *draw(plan, traces, folder)]


def read_trace(group: Group) -> Trace | None:
    """Return the quantities of a group's finished trainings; None without the class-centre loss, or of older runs."""
    found = [
        (item, steps)
        for item in group.done
        if item.run.config.learning.center_weight > 0
        and (steps := read_centres((item.trained or item).folder.file("centres.csv"))) is not None
    ]
    if not found:
        return None
    values = {
        "deviation": [smooth(steps["deviation"]) for _, steps in found],
        "loss": [smooth(steps["loss"] / steps["weight"]) for _, steps in found],
    }
    return Trace(group, [item for item, _ in found], values, min(WINDOW, *(len(steps["loss"]) for _, steps in found)))


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the moving average of (N,) over WINDOW steps, or the mean of all if there are fewer."""
    width = min(WINDOW, len(values))
    return np.convolve(values, np.ones(width) / width, mode="valid")


def draw(plan: Plan, traces: Sequence[Trace], folder: Path) -> list[Block]:
    """Write the figures, of at most MOST_LINES arms each, and return them; an arm is drawn at its first grid point."""
    from matplotlib.lines import Line2D

    from fer_cli.drawing import COLUMN, SD_BAND, Words, class_styles, format_seeds, page, save, split_evenly

    styles, blocks = class_styles(list(plan.study.arms)), list[Block]()
    first = list({trace.group.arm: trace for trace in reversed(traces)}.values())[::-1]
    for number, shown in enumerate(split_evenly(first, MOST_LINES), start=1):
        keys = [Line2D([], [], color=styles[trace.group.arm][0], lw=3, label=trace.label) for trace in shown]
        items = [item for trace in shown for item in trace.items]
        prints = " and ".join(sorted({item.fingerprint for item in items}))
        seeds = format_seeds(sorted({item.run.seed for item in items}))
        meaning = f"loss before its weight; means over {WINDOW} steps; {SD_BAND}"
        foot = [f"{plan.title}; fingerprint {prints}; {seeds}", meaning]
        figure = page(COLUMN, 3.2, Words(f"{plan.study.name}: the class-centre loss by step", (), [keys], foot))
        panels = figure.subplots(len(DRAWN), 1, sharex=True)
        for axes, name in zip(panels, DRAWN, strict=True):
            for trace in shown:
                draw_quantity(axes, trace, name, styles[trace.group.arm][0])
            axes.set_ylabel(DRAWN[name])
            axes.set_ylim(bottom=0)
        if all(mean_loss(item) for item in items):
            panels[-1].axhline(1.0, color="0.5", lw=0.8, ls=":")
        panels[-1].set_xlabel("step")
        figure.align_ylabels(panels)
        blocks.append(Figure(save(figure, figure_path(folder, "centres", *([str(number)] if number > 1 else [])))))
    return blocks


def draw_quantity(axes: Axes, trace: Trace, name: str, colour: str) -> None:
    """Draw mean ± sd over seeds of a quantity at the last step of each window."""
    from fer_cli.drawing import band

    mean, sd = band(trace.values[name])
    steps = np.arange(len(mean)) + trace.first
    if sd is not None:
        axes.fill_between(steps, mean - sd, mean + sd, color=colour, alpha=0.18, lw=0)
    axes.plot(steps, mean, color=colour, lw=1.4, marker="o" if len(mean) == 1 else "")


def mean_loss(item: Item) -> bool:
    """Return whether a run's loss is 1 where all points lie at the mean of the centres."""
    learning = item.run.config.learning
    return learning.center_spread == "population" and learning.center_reduction == "mean"
