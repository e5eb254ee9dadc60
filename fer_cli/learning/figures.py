"""Two pictures per run: its confusion matrix and its training curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fer_cli.drawing import (
    COLUMN,
    GREY,
    PALETTE,
    QUANTITIES,
    Words,
    draw_curve,
    draw_matrix,
    finish_curves,
    page,
    save,
    text_width,
)
from fer_cli.outputs import HISTORIES, read_history
from fer_cli.results import PARTS, Result

NOISE = {
    "labels/wrong_share": "wrong training labels (share)",
    "alpha/auroc_wrong": "AUROC of low α for wrong labels",
    "alpha/auroc_degraded": "AUROC of low α for degraded images",
}
"""Column of a history -> its words in the picture."""
LINES = ("-", (0, (4, 2)), (0, (1, 1)))
"""Line styles of these columns."""


def draw_noise(axes: Axes, histories: Sequence[list[dict[str, float]]], columns: Sequence[str]) -> None:
    """Draw columns of ``NOISE`` by epoch, of each training."""
    for place, name in enumerate(columns):
        for rows in histories:
            values = [row.get(name, np.nan) for row in rows]
            axes.plot(range(1, len(rows) + 1), values, color=PALETTE[1 + place], lw=1.4, ls=LINES[place])
    axes.set_ylim(0, 1)
    axes.set_xlim(1, max(2, *map(len, histories)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylabel("share or AUROC")
    axes.set_xlabel("epoch")


def draw_run(folder: Path, result: Result) -> None:
    """Write ``confusion.png`` and, of a run trained by epochs, ``curves.png``."""
    save(confusion_figure(result), folder / "confusion.png")
    histories = [read_history(path) for path in sorted(folder.glob(HISTORIES))]
    if histories and result.selection.epoch is not None:
        save(curves_figure(result, histories), folder / "curves.png")


def confusion_figure(result: Result) -> Figure:
    """Return the confusion matrix of the test images, of a trial the validation images; each row (truth) in percent."""
    scores, classes = result.scores, result.data.classes
    names = max(text_width(label, 7) for label in classes)
    title = f"confusion matrix, accuracy {100 * scores['accuracy']:.2f} %"
    words = Words(title, ["% of each true class"], foot=[f"run {result.run_id}; {scores.n} {PARTS[result.part]} images"])
    width = max(COLUMN, 0.26 * len(classes) + names + 0.6)
    figure = page(width, 0.24 * max(len(classes), 4) + 0.75 * names + 0.5, words)
    draw_matrix(figure.subplots(), np.array(scores.confusion), classes)
    return figure


def curves_figure(result: Result, histories: Sequence[list[dict[str, float]]]) -> Figure:
    """Return accuracy and loss per epoch on training and validation images, the chosen epoch marked.

    ``histories``: of each training that was tried, where relabelling margins were searched. Where labels are wrong, or may
    become so, a third panel has the share of wrong training labels and the AUROC of low alpha for planted noise.
    """
    epoch = result.selection.epoch or 0
    keys = [
        Line2D([], [], color=PALETTE[0], lw=1.4, label="validation"),
        Line2D([], [], color=GREY, lw=1.0, ls=(0, (4, 2)), label="training"),
        Line2D([], [], color=PALETTE[0], lw=0, marker="o", ms=4, label=f"epoch chosen: {epoch}"),
    ]
    noise = [name for name in NOISE if any(name in rows[0] for rows in histories)]
    more = [
        Line2D([], [], color=PALETTE[1 + place], lw=1.4, ls=LINES[place], label=NOISE[name])
        for place, name in enumerate(noise)
    ]
    words = Words("accuracy and loss by epoch", (), [keys, more] if more else [keys], [f"run {result.run_id}"])
    figure = page(COLUMN, 4.5 if noise else 3.0, words)
    panels = figure.subplots(3 if noise else 2, 1)
    if noise:
        draw_noise(panels[2], histories, noise)
    for axes, quantity in zip(panels[:2], QUANTITIES, strict=True):
        for rows in histories:
            series = {name: [np.array([row[name] for row in rows])] for name in rows[0]}
            draw_curve(axes, series, quantity, epoch, PALETTE[0], GREY)
        finish_curves(axes, quantity, [len(rows) for rows in histories])
        axes.set_xlabel("epoch")
    return figure
