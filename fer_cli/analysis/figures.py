"""The figures of the analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from fer_cli.drawing import COLUMN, MARGIN, SMALL, Words, class_styles, page, text_width, wrap_text

if TYPE_CHECKING:
    from fer_cli.analysis.activity import Column

GREY = "#D9D9D9"


@dataclass(frozen=True)
class Panel:
    """One scatter plot: points, their labels, and the highlighted classes; others are grey."""

    title: str
    points: list[list[float]]
    labels: list[str]
    classes: list[str]


def scatter_figure(title: str, panels: list[Panel], classes: list[str], origin: str) -> Figure:
    """Return one scatter plot per panel, classes styled by position; ``origin``: the footer."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    styles = class_styles(classes)
    labels = {label for panel in panels for label in panel.classes}
    keys = [
        Line2D([], [], color=colour, marker=marker, ms=4, lw=0, label=label)
        for label, (colour, marker) in styles.items()
        if label in labels
    ]
    if any(set(panel.labels) - set(panel.classes) for panel in panels):
        keys.append(Line2D([], [], color=GREY, marker="o", ms=4, lw=0, label="other classes"))
    figure = page(COLUMN, (1.9 if columns > 1 else 3.2) * rows, Words(title, (), [keys], [origin]))
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        points, names = np.array(panel.points), np.array(panel.labels)
        others = ~np.isin(names, panel.classes)
        axes.scatter(points[others, 0], points[others, 1], s=3, c=GREY, marker="o", linewidths=0)
        for label in panel.classes:
            colour, marker = styles[label]
            here = points[names == label]
            axes.scatter(here[:, 0], here[:, 1], s=6, c=colour, marker=marker, alpha=0.8, linewidths=0)
        lines = [line for part in panel.title.split("\n") for line in wrap_text(part, COLUMN / columns - 0.25, 8)]
        axes.set_title("\n".join(lines))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(visible=True, color="#A0A0A0")
    return figure


def maps_figure(words: Words, faces: list[np.ndarray], labels: list[str], columns: list[Column]) -> Figure:
    """Return a figure with a row per face, (H, W) or (H, W, 3) uint8, and its maps.

    Neighbouring columns on one scale share a colour bar.
    """
    count, shown = len(faces), len(columns) + 1
    names = max(text_width(label, SMALL) for label in labels)
    side = (COLUMN - 2 * MARGIN - 0.25) / shown
    upright = side >= names  # labels of rows, else beside them
    side = side if upright else (COLUMN - 2 * MARGIN - names - 0.1) / shown
    figure = page(COLUMN, (side + 0.03) * count + 0.9, words)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(w_pad=0.012, h_pad=0.012, wspace=0.0, hspace=0.0)
    grid = figure.add_gridspec(count + 1, shown, height_ratios=[*[1.0] * count, 0.07])
    panels = [[figure.add_subplot(grid[row, place]) for place in range(shown)] for row in range(count)]
    beside: dict[str, Any] = {} if upright else {"rotation": 0, "ha": "right", "va": "center"}
    for row, (face, label) in enumerate(zip(faces, labels, strict=True)):
        show_face(panels[row][0], face)
        panels[row][0].set_ylabel(label, size=SMALL, labelpad=2, **beside)
    panels[0][0].set_title("face", size=SMALL, pad=3)
    drawn = [
        [show_map(panels[row][place], face, column.values[row], column) for row, face in enumerate(faces)][-1]
        for place, column in enumerate(columns, start=1)
    ]
    place = 0
    while place < len(columns):
        same = place + 1
        while same < len(columns) and scale_of(columns[same]) == scale_of(columns[place]):
            same += 1
        stage, *rest = columns[place].title.split("\n")
        for number in range(place, same):  # the stage of several is below their bar
            title = columns[number].title if same == place + 1 else columns[number].title.split("\n")[-1]
            panels[0][number + 1].set_title(title, size=SMALL, pad=3)
        bar = figure.add_subplot(grid[count, place + 1 : same + 1])
        draw_bar(figure, bar, drawn[place], columns[place], stage if same > place + 1 and rest else "")
        place = same
    return figure


def scale_of(column: Column) -> tuple[str, float, float]:
    """Return what columns with a common colour bar share: the stage and its scale."""
    return column.title.split("\n")[0], column.low, column.high


def show_map(axes: Axes, face: np.ndarray, values: np.ndarray, column: Column) -> AxesImage:
    """Draw one map, over its face if the column says so."""
    height, width = face.shape[:2]
    if column.overlay:
        show_face(axes, face)
    image = axes.imshow(
        values,
        cmap="viridis",
        vmin=column.low,
        vmax=column.high,
        alpha=0.6 if column.overlay else None,
        interpolation="bilinear" if column.overlay else "nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def draw_bar(figure: Figure, axes: Axes, drawn: AxesImage, column: Column, label: str) -> None:
    """Draw a colour bar with the ends of its scale below, inside its width, and a label under them."""
    bar = figure.colorbar(ScalarMappable(drawn.norm, drawn.cmap), cax=axes, orientation="horizontal")
    bar.set_ticks([])
    low, high = (f"{end:.2f}".removeprefix("0") if end >= 0.005 else "0" for end in (column.low, column.high))
    for text, at, side, down in ((low, 0.03, "left", 2), (label, 0.5, "center", 11), (high, 0.97, "right", 2)):
        axes.annotate(text, (at, 0), (0, -down), "axes fraction", "offset points", ha=side, va="top", size=SMALL)


def show_face(axes: Axes, face: np.ndarray) -> None:
    """Draw a face (H, W) grey or (H, W, 3) RGB, uint8."""
    axes.imshow(face, cmap="gray", vmin=0, vmax=255)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
