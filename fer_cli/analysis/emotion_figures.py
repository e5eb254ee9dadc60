"""Figures of the emotion model: the cube of states, transitions with and without factors, and the way to the target region.

Fan et al. 2025, Figures 5, 6 and 11; all are drawn 84 mm wide, the width of a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fer_cli.drawing import COLUMN, GREY, PALETTE, Words, page, save
from fer_cli.interaction.ecem import Recovery, format_minutes

AXES = ("pleasure", "arousal", "dominance")
DEPTH = np.array([0.465, 0.315])
"""Where the third axis of the cube points in the plane."""
SIGNS = {1: ("positive", PALETTE[0], "o"), 0: ("neutral", PALETTE[6], "^"), -1: ("negative", PALETTE[1], "s")}
LINES = ("-", "--", "-.", ":")


def draw_emotion_cube(names: Sequence[str], pad: np.ndarray, sign: np.ndarray, valence: np.ndarray, path: Path) -> Path:
    """Write the cube of states. ``pad``: (N, 3) signs of pleasure, arousal, dominance; ``sign``, ``valence``: (N,)."""
    used = [entry for value, entry in SIGNS.items() if (sign == value).any()]
    keys = [Line2D([], [], color=colour, marker=marker, ms=6, lw=0, label=label) for label, colour, marker in used]
    foot = ["corners: signs of pleasure, arousal and dominance; in brackets: valence (our values)"]
    figure = page(COLUMN, 2.6, Words("Emotional states as octants", (), [keys], foot))
    axes = figure.add_subplot()
    axes.set_axis_off()
    corners = np.array([[p, a, d] for p in (-1, 1) for a in (-1, 1) for d in (-1, 1)])
    for one in corners:
        for axis in range(3):
            if one[axis] < 0:
                other = one.copy()
                other[axis] = 1
                behind = any(end[0] < 0 and end[1] < 0 and end[2] > 0 for end in (one, other))  # the hidden corner
                line = np.array([_project(one), _project(other)])
                axes.plot(line[:, 0], line[:, 1], color="0.7", lw=0.9, ls=":" if behind else "-", zorder=1)
    for name, signs, side, value in zip(names, pad, sign, valence, strict=True):
        _, colour, marker = SIGNS[int(side)]
        x, y = _project(signs)
        axes.plot([x], [y], color=colour, marker=marker, ms=7, lw=0, zorder=3)
        above = signs[1] > 0
        text = f"{name}\n({value:+.1f})".replace("-", "−")
        shift, side_of = ((0, 6), "bottom") if above else ((0, -6), "top")
        axes.annotate(text, (x, y), shift, textcoords="offset points", size=7.5, linespacing=1.0, ha="center", va=side_of)
    _draw_axes(axes)
    axes.set_xlim(-2.0, 2.0)
    axes.set_ylim(-2.05, 2.05)
    return save(figure, path)


def draw_transitions(names: Sequence[str], matrices: Mapping[str, np.ndarray], path: Path) -> Path:
    """Write a heat map per matrix (N, N), title -> matrix, side by side with one scale; rows are the state left."""
    count, size = len(matrices), len(names)
    top = max(float(matrix.max()) for matrix in matrices.values())
    title = "Transitions of emotional states" if count < 2 else "Transitions and incentives"
    figure = page(COLUMN, 2.05, Words(title, (), (), ["rows: state left, columns: state entered; one colour scale"]))
    grid = figure.subplots(1, count, squeeze=False)[0]
    image = None
    for place, (axes, (label, matrix)) in enumerate(zip(grid, matrices.items(), strict=True)):
        image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=top)
        axes.grid(visible=False)
        axes.set_title(label, size=8)
        axes.set_xticks(range(size), names, rotation=90, size=7)
        axes.set_yticks(range(size), names if place == 0 else [""] * size, size=7)
        axes.tick_params(length=0, pad=1.5)
    if image is not None:
        bar = figure.colorbar(image, ax=list(grid), shrink=0.75, aspect=14, pad=0.02)
        bar.ax.tick_params(labelsize=7, length=2)
        bar.locator = MaxNLocator(4)
        bar.update_ticks()
    return save(figure, path)


def draw_recoveries(curves: Sequence[Recovery], low: float, high: float, start: str, path: Path) -> Path:
    """Write the curves, the region [low, high] of valence and when it is reached; ``start``: in words."""
    styles = [(PALETTE[i % len(PALETTE)], LINES[i % len(LINES)]) for i in range(len(curves))]
    keys = [
        Line2D([], [], color=colour, ls=line, label=f"{curve.label}: {format_minutes(curve.reached)}")
        for curve, (colour, line) in zip(curves, styles, strict=True)
    ]
    foot = [f"start: {start}; key: time to the region (grey band); cross: region reached"]
    figure = page(COLUMN, 3.4, Words("Valence and entropy over time", (), [keys], foot))
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.axhspan(low, high, color="0.9", lw=0)
    for curve, (colour, line) in zip(curves, styles, strict=True):
        upper.plot(curve.time, curve.valence, color=colour, ls=line, lw=1.6)
        lower.plot(curve.time, curve.entropy, color=colour, ls=line, lw=1.6)
        if curve.reached is not None and curve.reached <= curve.time[-1]:
            here = float(np.interp(curve.reached, curve.time, curve.valence))
            upper.plot([curve.reached], [here], color=colour, marker="x", ms=6, mew=1.8, lw=0, zorder=4)
    upper.set_ylabel("valence (TEA)")
    lower.set_ylabel("entropy (nats)")
    lower.set_xlabel("time (min)")
    lower.set_xlim(0, max(float(curve.time[-1]) for curve in curves))
    figure.align_ylabels([upper, lower])
    return save(figure, path)


def _project(signs: np.ndarray) -> tuple[float, float]:
    """Return where a point of the cube (3,) lies in the plane: oblique, the third axis goes back to the right."""
    x, y = signs[:2] + signs[2] * DEPTH
    return float(x), float(y)


def _draw_axes(axes: Axes) -> None:
    """Draw the three axes through the centre of the cube, with names near their positive ends."""
    shifts = {"pleasure": (-12, -10), "arousal": (-18, -3), "dominance": (16, 1)}
    for unit, name in zip(np.eye(3), AXES, strict=True):
        end = _project(0.5 * unit)
        axes.annotate("", end, _project(-0.5 * unit), arrowprops={"arrowstyle": "->", "color": GREY, "lw": 1.0}, zorder=2)
        axes.annotate(name, end, shifts[name], textcoords="offset points", size=7, color="0.35", ha="center", va="bottom")
