"""Figures of clips: regions on a face, attention over time, corrected labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_cli.analysis.figures import show_face
from fer_cli.data.regions import NAMES
from fer_cli.drawing import Words, page

if TYPE_CHECKING:
    from fer_cli.analysis.seen import Change, Clips

SHOWN = 8
"""Most frames of a strip."""


def pick_frames(count: int) -> np.ndarray:
    """Return the positions of at most ``SHOWN`` evenly spaced frames of ``count``."""
    return np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))


def region_figure(title: str, seen: Clips, place: int, kind: str) -> Figure:
    """Return a figure of a clip's middle frame, repeated for each box, which is coloured by its region's mean weight."""
    assert seen.boxes is not None
    strip = seen.strip(place)
    middle = len(strip) // 2
    face, boxes = strip[middle], seen.boxes[place, middle]
    weights = None if seen.regions is None else seen.regions.mean(0)
    figure = page(1.3 * len(boxes), 1.75, Words(title))
    grid = figure.subplots(1, len(boxes), squeeze=False)[0]
    scale = Normalize(0.0, 1.0)
    colours = ScalarMappable(scale, "viridis_r")
    side = face.shape[0]
    for axes, name, box, number in zip(grid, NAMES[kind], boxes, range(len(boxes)), strict=True):
        show_face(axes, face)
        x0, y0, x1, y1 = box * side - 0.5
        colour = "#D55E00" if weights is None else colours.to_rgba(weights[number])
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=2.5))
        axes.set_title(name if weights is None else f"{name}\n{weights[number]:.2f}", size=8)
    return figure


def strip_figure(title: str, seen: Clips, places: list[int]) -> Figure:
    """Return a filmstrip per clip over its attention (bars) and true intensity (line, 0 to 1)."""
    assert seen.frames is not None
    shown = pick_frames(seen.frames.shape[1])
    figure = page(1.05 * len(shown) + 0.8, 1.9 * len(places), Words(title))
    grid = figure.add_gridspec(2 * len(places), len(shown), height_ratios=[1.0, 0.75] * len(places))
    top = float(seen.frames[places].max())
    for row, place in enumerate(places):
        strip = seen.strip(place)
        for column, frame in enumerate(shown):
            axes = figure.add_subplot(grid[2 * row, column])
            show_face(axes, strip[frame])
            if column == 0:
                axes.set_ylabel(seen.labels[place])
        axes = figure.add_subplot(grid[2 * row + 1, :])
        count = seen.frames.shape[1]
        axes.bar(np.arange(count), seen.frames[place], width=0.8, color="#0072B2")
        axes.axhline(1 / count, color="0.5", linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.5, count - 0.5), ylim=(0, 1.1 * max(top, 1 / count)), ylabel="attention")
        if seen.intensity is not None:
            other = axes.twinx()
            other.plot(np.arange(count), seen.intensity[place], color="#D55E00", marker="o", ms=3)
            other.set(ylim=(-0.02, 1.1), ylabel="intensity")
            other.grid(visible=False)
        if row == len(places) - 1:
            axes.set_xlabel("frame")
    return figure


def correction_figure(title: str, changes: list[Change]) -> Figure:
    """Return a filmstrip per replaced label, with the true, given and new label."""
    shown = pick_frames(len(changes[0].frames))
    figure = page(1.05 * len(shown) + 2.0, 1.05 * len(changes), Words(title))
    grid = figure.subplots(len(changes), len(shown) + 2, squeeze=False)
    for row, change in enumerate(changes):
        for column, frame in enumerate(shown, start=2):
            show_face(grid[row, column], change.frames[frame])
        for axes in grid[row, :2]:
            axes.set_axis_off()
        verdict = "right" if change.new == change.true else "wrong"
        words = f"given: {change.given}\nnew: {change.new} ({verdict})\ntrue: {change.true}"
        grid[row, 0].text(0.0, 0.5, words, transform=grid[row, 0].transAxes, va="center", size=9)
    return figure
