"""The pictures of the analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fer_cli.drawing import MARKERS, PALETTE

if TYPE_CHECKING:
    from fer_cli.analysis.activity import Column

GREY = "#D9D9D9"
WIDE = 4
"""Panels side by side."""


@dataclass(frozen=True)
class Panel:
    """One scatter: points, their classes, and the classes that stand out; the others are grey."""

    title: str
    points: list[list[float]]
    labels: list[str]
    classes: list[str]


def scatter_figure(panels: list[Panel], classes: list[str], origin: str) -> Figure:
    """Return one scatter per panel and a legend of all classes below; a class has colour and marker by its place.

    ``origin``: what the features are of, in small print.
    """
    columns = min(WIDE, len(panels))
    rows = -(-len(panels) // columns)
    width = max(3.1 * columns, 5.0)
    figure = Figure(figsize=(width, 3.4 * rows + 0.5), layout="constrained")
    styles = {label: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(classes)}
    handles = {}
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        points, labels = np.array(panel.points), np.array(panel.labels)
        others = ~np.isin(labels, panel.classes)
        if others.any():
            handles["other classes"] = axes.scatter(
                points[others, 0], points[others, 1], s=9, c=GREY, marker="o", linewidths=0
            )
        for label in panel.classes:
            colour, marker = styles[label]
            here = points[labels == label]
            handles[label] = axes.scatter(here[:, 0], here[:, 1], s=17, c=colour, marker=marker, alpha=0.8, linewidths=0)
        axes.set_title(panel.title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#A0A0A0")
    figure.suptitle(origin, fontsize=7, color="0.45", x=0.01, ha="left")
    order = [label for label in [*classes, "other classes"] if label in handles]
    figure.legend(
        [handles[label] for label in order],
        order,
        loc="outside lower center",
        ncols=min(len(order), int(width / 1.2)),
        fontsize=9,
        frameon=False,
        markerscale=1.6,
        handletextpad=0.2,
    )
    return figure


def maps_figure(title: str, faces: list[np.ndarray], labels: list[str], columns: list[Column]) -> Figure:
    """Return faces (H, W) or (H, W, 3) uint8, one a row, with the maps of each beside it and their scales below."""
    count = len(faces)
    figure = Figure(figsize=(1.25 * (len(columns) + 1) + 0.6, 1.27 * count + 1.1))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    heights = [*[1.0] * count, 0.07]
    grid = figure.subplots(count + 1, len(columns) + 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    grid[count, 0].set_axis_off()
    for row, (face, label) in enumerate(zip(faces, labels, strict=True)):
        show_face(grid[row, 0], face)
        grid[row, 0].set_ylabel(label, fontsize=9)
    grid[0, 0].set_title("face", fontsize=9)
    for place, column in enumerate(columns, start=1):
        drawn = None
        for row, (face, values) in enumerate(zip(faces, column.values, strict=True)):
            axes = grid[row, place]
            height, width = face.shape[:2]
            if column.overlay:
                show_face(axes, face)
            drawn = axes.imshow(
                values,
                cmap="viridis",
                vmin=column.low,
                vmax=column.high,
                alpha=0.6 if column.overlay else None,
                interpolation="bilinear" if column.overlay else "nearest",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            )
            axes.set_xticks([])
            axes.set_yticks([])
        grid[0, place].set_title(column.title, fontsize=9)
        assert drawn is not None
        bar = figure.colorbar(ScalarMappable(drawn.norm, drawn.cmap), cax=grid[count, place], orientation="horizontal")
        bar.set_ticks([column.low, column.high], labels=[f"{column.low:.2f}", f"{column.high:.2f}"])
        bar.ax.tick_params(labelsize=8, length=2)
        first, last = bar.ax.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
    figure.suptitle(title, fontsize=10)
    return figure


def show_face(axes: Axes, face: np.ndarray) -> None:
    """Draw a face (H, W) grey or (H, W, 3) RGB, uint8."""
    axes.imshow(face, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
