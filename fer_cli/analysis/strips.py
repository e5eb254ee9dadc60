"""Figures of clips: regions on a face, attention over time, corrected labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from fer_cli.analysis.figures import show_face
from fer_cli.data.regions import NAMES
from fer_cli.drawing import COLUMN, SMALL, Words, page, wrap_text

if TYPE_CHECKING:
    from fer_cli.analysis.seen import Change, Clips

SHOWN = 8
"""Most frames of a strip."""
MOST_BESIDE = 4
"""Most frames beside words."""


def pick_frames(count: int) -> np.ndarray:
    """Return the positions of at most ``SHOWN`` evenly spaced frames of ``count``."""
    return np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))


def region_figure(words: Words, seen: Clips, place: int, kind: str) -> Figure:
    """Return a figure of a clip's middle frame, repeated for each box, which is coloured by its region's mean weight."""
    assert seen.boxes is not None
    strip = seen.strip(place)
    middle = len(strip) // 2
    face, boxes = strip[middle], seen.boxes[place, middle]
    weights = None if seen.regions is None else seen.regions.mean(0)
    columns = min(5, len(boxes))
    rows = -(-len(boxes) // columns)
    figure = page(COLUMN, rows * (COLUMN / columns + 0.3), words)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    grid = panels[: len(boxes)]
    for axes in panels[len(boxes) :]:
        axes.set_axis_off()
    scale = Normalize(0.0, 1.0)
    colours = ScalarMappable(scale, "viridis_r")
    side = face.shape[0]
    for axes, name, box, number in zip(grid, NAMES[kind], boxes, range(len(boxes)), strict=True):
        show_face(axes, face)
        x0, y0, x1, y1 = box * side - 0.5
        colour = "#D55E00" if weights is None else colours.to_rgba(weights[number])
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.5))
        lines = wrap_text(name, COLUMN / columns - 0.1, SMALL)
        lines += [] if weights is None else [f"{weights[number]:.2f}"]
        axes.set_title("\n".join(lines), size=SMALL)
    return figure


def strip_figure(title: str, foot: str, seen: Clips, places: list[int]) -> Figure:
    """Return a filmstrip per clip over its attention (bars) and true intensity (line, 0 to 1)."""
    assert seen.frames is not None
    shown = pick_frames(seen.frames.shape[1])
    figure = page(COLUMN, 1.15 * len(places) + 0.2, Words(title, (), [strip_key(seen.intensity is not None)], [foot]))
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(wspace=0.0, hspace=0.0, w_pad=0.02, h_pad=0.02)
    grid = figure.add_gridspec(2 * len(places), len(shown), height_ratios=[0.6, 1.0] * len(places))
    top = float(seen.frames[places].max())
    for row, place in enumerate(places):
        strip = seen.strip(place)
        for column, frame in enumerate(shown):
            axes = figure.add_subplot(grid[2 * row, column])
            show_face(axes, strip[frame])
            if column == 0:
                axes.set_ylabel("\n".join(wrap_text(seen.labels[place], 0.5, SMALL, hyphens=True)), size=SMALL)
        axes = figure.add_subplot(grid[2 * row + 1, :])
        count = seen.frames.shape[1]
        axes.bar(np.arange(count), seen.frames[place], width=0.8, color="#0072B2")
        axes.axhline(1 / count, color="0.5", linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.5, count - 0.5), ylim=(0, 1.1 * max(top, 1 / count)), ylabel="attention")
        axes.yaxis.set_major_locator(MaxNLocator(3))
        if seen.intensity is not None:
            other = axes.twinx()
            other.plot(np.arange(count), seen.intensity[place], color="#D55E00", marker="o", ms=2, lw=1)
            other.set(ylim=(-0.02, 1.1), ylabel="intensity", yticks=[0, 1])
            other.grid(visible=False)
        if row == len(places) - 1:
            axes.set_xlabel("frame")
    return figure


def strip_key(intensity: bool) -> list[Artist]:
    """Return the legend of a filmstrip's panels."""
    keys: list[Artist] = [
        Patch(color="#0072B2", label="attention"),
        Line2D([], [], color="0.5", ls=":", lw=0.8, label="uniform"),
    ]
    return [*keys, *([Line2D([], [], color="#D55E00", marker="o", ms=2, lw=1, label="true intensity")] if intensity else [])]


def correction_figure(words: Words, changes: list[Change]) -> Figure:
    """Return a filmstrip per replaced label, with the true, given and new label."""
    shown = pick_frames(len(changes[0].frames))
    shown = shown[:: 2 if len(shown) > MOST_BESIDE else 1]
    figure = page(COLUMN, 0.55 * len(changes), words)
    grid = figure.subplots(len(changes), len(shown) + 2, squeeze=False)
    for row, change in enumerate(changes):
        for column, frame in enumerate(shown, start=2):
            show_face(grid[row, column], change.frames[frame])
        for axes in grid[row, :2]:
            axes.set_axis_off()
        verdict = "right" if change.new == change.true else "wrong"
        text = f"given: {change.given}\nnew: {change.new} ({verdict})\ntrue: {change.true}"
        grid[row, 0].text(0.0, 0.5, text, transform=grid[row, 0].transAxes, va="center", size=SMALL)
    return figure
