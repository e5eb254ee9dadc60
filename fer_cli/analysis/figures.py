"""The figures of the analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from fer_cli.drawing import Words, class_styles, page

if TYPE_CHECKING:
    from fer_cli.analysis.activity import Column

GREY = "#D9D9D9"
COLUMNS = 4


@dataclass(frozen=True)
class Panel:
    """One scatter plot: points, their labels, and the highlighted classes; others are grey."""

    title: str
    points: list[list[float]]
    labels: list[str]
    classes: list[str]


def scatter_figure(title: str, panels: list[Panel], classes: list[str], origin: str) -> Figure:
    """Return one scatter plot per panel, classes styled by position; ``origin``: the footer."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    styles = class_styles(classes)
    labels = {label for panel in panels for label in panel.classes}
    keys = [
        Line2D([], [], color=colour, marker=marker, ms=6, lw=0, label=label)
        for label, (colour, marker) in styles.items()
        if label in labels
    ]
    if any(set(panel.labels) - set(panel.classes) for panel in panels):
        keys.append(Line2D([], [], color=GREY, marker="o", ms=5, lw=0, label="other classes"))
    figure = page(max(3.1 * columns, 5.0), 3.4 * rows, Words(title, (), [keys], [origin]))
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        points, names = np.array(panel.points), np.array(panel.labels)
        others = ~np.isin(names, panel.classes)
        axes.scatter(points[others, 0], points[others, 1], s=9, c=GREY, marker="o", linewidths=0)
        for label in panel.classes:
            colour, marker = styles[label]
            here = points[names == label]
            axes.scatter(here[:, 0], here[:, 1], s=17, c=colour, marker=marker, alpha=0.8, linewidths=0)
        axes.set_title(panel.title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(visible=True, color="#A0A0A0")
    return figure


def maps_figure(title: str, faces: list[np.ndarray], labels: list[str], columns: list[Column]) -> Figure:
    """Return a figure with a row per face, (H, W) or (H, W, 3) uint8, and its maps, and a colour bar per column."""
    count = len(faces)
    figure = page(1.25 * (len(columns) + 1) + 0.6, 1.27 * count + 0.7, Words(title))
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    heights = [*[1.0] * count, 0.07]
    grid = figure.subplots(count + 1, len(columns) + 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    grid[count, 0].set_axis_off()
    for row, (face, label) in enumerate(zip(faces, labels, strict=True)):
        show_face(grid[row, 0], face)
        grid[row, 0].set_ylabel(label)
    grid[0, 0].set_title("face")
    for place, column in enumerate(columns, start=1):
        drawn = None
        for row, (face, values) in enumerate(zip(faces, column.values, strict=True)):
            axes = grid[row, place]
            height, width = face.shape[:2]
            if column.overlay:
                show_face(axes, face)
            axes.grid(visible=False)
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
        grid[0, place].set_title(column.title)
        assert drawn is not None
        bar = figure.colorbar(ScalarMappable(drawn.norm, drawn.cmap), cax=grid[count, place], orientation="horizontal")
        bar.set_ticks([column.low, column.high], labels=[f"{column.low:.2f}", f"{column.high:.2f}"])
        bar.ax.tick_params(labelsize=8, length=2)
        first, last = bar.ax.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
    return figure


def show_face(axes: Axes, face: np.ndarray) -> None:
    """Draw a face (H, W) grey or (H, W, 3) RGB, uint8."""
    axes.imshow(face, cmap="gray", vmin=0, vmax=255)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
