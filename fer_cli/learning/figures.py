"""Two pictures per run: its confusion matrix and its training curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
from fer_cli.results import Result


def draw_run(folder: Path, result: Result) -> None:
    """Write ``confusion.png`` and, of a run trained by epochs, ``curves.png``."""
    save(confusion_figure(result), folder / "confusion.png")
    histories = [read_history(path) for path in sorted(folder.glob(HISTORIES))]
    if histories and result.selection.epoch is not None:
        save(curves_figure(result, histories), folder / "curves.png")


def confusion_figure(result: Result) -> Figure:
    """Return the confusion matrix of the test images, each row (truth) in percent."""
    scores, classes = result.metrics["test"], result.data.classes
    names = max(text_width(label, 7) for label in classes)
    title = f"confusion matrix, accuracy {100 * scores['accuracy']:.2f} %"
    words = Words(title, ["% of each true class"], foot=[f"run {result.run_id}; {scores.n} test images"])
    width = max(COLUMN, 0.26 * len(classes) + names + 0.6)
    figure = page(width, 0.24 * max(len(classes), 4) + 0.75 * names + 0.5, words)
    draw_matrix(figure.subplots(), np.array(scores.confusion), classes)
    return figure


def curves_figure(result: Result, histories: Sequence[list[dict[str, float]]]) -> Figure:
    """Return accuracy and loss per epoch on training and validation images, the chosen epoch marked.

    ``histories``: of each training that was tried, where relabelling margins were searched.
    """
    epoch = result.selection.epoch or 0
    keys = [
        Line2D([], [], color=PALETTE[0], lw=1.4, label="validation"),
        Line2D([], [], color=GREY, lw=1.0, ls=(0, (4, 2)), label="training"),
        Line2D([], [], color=PALETTE[0], lw=0, marker="o", ms=4, label=f"epoch chosen: {epoch}"),
    ]
    figure = page(COLUMN, 3.0, Words("accuracy and loss by epoch", (), [keys], [f"run {result.run_id}"]))
    for axes, quantity in zip(figure.subplots(2, 1), QUANTITIES, strict=True):
        for rows in histories:
            series = {name: [np.array([row[name] for row in rows])] for name in rows[0]}
            draw_curve(axes, series, quantity, epoch, PALETTE[0], GREY)
        finish_curves(axes, quantity, [len(rows) for rows in histories])
        axes.set_xlabel("epoch")
    return figure
