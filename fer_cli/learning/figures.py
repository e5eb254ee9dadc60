"""Two pictures per run: its confusion matrix and its training curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_cli.drawing import save
from fer_cli.results import Result


def draw_run(folder: Path, result: Result) -> None:
    """Write ``confusion.png`` and ``curves.png`` for a finished run."""
    save(confusion_figure(result.metrics["test"].confusion, result.data.classes), folder / "confusion.png")
    histories = sorted(folder.glob("history*.csv"))
    if not histories:  # nothing was trained by epochs
        return
    assert result.selection.epoch is not None
    curves = curves_figure([pd.read_csv(path) for path in histories], result.selection.epoch)
    save(curves, folder / "curves.png")


def confusion_figure(matrix: list[list[int]], classes: list[str]) -> Figure:
    """Return the matrix with rows (truth) scaled to 1; counts and shares in the cells."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.2 + 0.62 * len(classes)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.55 else "black"
            text = f"{count}\n{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return figure


def curves_figure(histories: list[pd.DataFrame], best_epoch: int) -> Figure:
    """Return loss and accuracy per epoch on training and validation, the chosen epoch marked."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    for position, quantity in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, position)
        for history in histories:
            axes.plot(history["epoch"], history[f"train/{quantity}"], color="tab:gray", label="training")
            axes.plot(history["epoch"], history[f"val/{quantity}"], color="tab:blue", label="validation")
        axes.axvline(best_epoch, color="tab:orange", linewidth=1, label=f"chosen: epoch {best_epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(list(unique.values()), list(unique), fontsize=8)
    return figure
