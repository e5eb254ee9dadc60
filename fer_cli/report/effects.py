"""Effect sizes with intervals, one panel per outcome; a published value is a mark beside ours. 84 mm wide, one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fer_cli.drawing import COLUMN, PALETTE, Words, page, save, text_width, wrap_text

ROW, HEAD, LINE, TAIL = 0.24, 0.36, 0.15, 0.4
"""Heights in inches: of an effect, of a panel's title, of its further lines, of the axis."""
BOLD = 1.2
"""Width of bold text beside plain text, at most."""
OURS, PRINTED = PALETTE[0], PALETTE[1]
TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
"""Many effects are below .1, few far above it."""
APART = 0.17
"""Rows by which our mark is above and the printed one below the line of its effect."""
SIZES: dict[Any, Any] = {"ours": 4.5, "printed": 5.5}
"""Diameters of marks in points."""


@dataclass(frozen=True)
class Effect:
    """An effect size in [0, 1] with its intervals; ``printed``: the published value."""

    name: str
    value: float
    wide: tuple[float, float] | None
    narrow: tuple[float, float] | None = None
    printed: float | None = None


def draw_effects(
    title: str,
    groups: Mapping[str, Sequence[Effect]],
    path: Path,
    notes: Sequence[str] = (),
    foot: str = "",
    ours: str = "estimate, 95 % (thin) and 90 % interval",
) -> Path:
    """Write the figure and return its path; ``groups``: outcome -> effects, ``ours``: what the dots and lines are."""
    keys: list[list[Artist]] = [[Line2D([], [], color=OURS, marker="o", ms=SIZES["ours"], lw=1, label=ours)]]
    if any(effect.printed is not None for effects in groups.values() for effect in effects):
        style = {"color": PRINTED, "marker": "D", "mfc": "none", "ms": SIZES["printed"], "lw": 0}
        keys.append([Line2D([], [], **style, label="printed in the paper")])
    left = max(text_width(shorten(effect.name), 8) for effects in groups.values() for effect in effects) + 0.35
    titles = [wrap_text(outcome, (COLUMN - left) / BOLD, 9) for outcome in groups]
    heights = [
        HEAD + LINE * (len(lines) - 1) + ROW * len(those) for lines, those in zip(titles, groups.values(), strict=True)
    ]
    figure = page(COLUMN, sum(heights) + TAIL, Words(title, notes, keys, [foot] if foot else []))
    panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, lines, effects in zip(panels, titles, groups.values(), strict=True):
        draw_panel(axes, "\n".join(lines), effects)
    end = axis_end(groups)
    for axes in panels:
        axes.set_xscale("function", functions=(signed_root, np.square))
        axes.set_xlim(0, end)
        ticks = [tick for tick in TICKS if tick <= end]
        axes.set_xticks(ticks, [f"{tick:g}".replace("0.", ".") for tick in ticks])
    panels[-1].set_xlabel("partial η² (square-root scale)")
    return save(figure, path)


def draw_panel(axes: Axes, title: str, effects: Sequence[Effect]) -> None:
    """Draw the effects on one outcome from top to bottom."""
    axes.set_title(title, loc="left", weight="bold")
    for place, effect in enumerate(effects):
        row = place - (APART if effect.printed is not None else 0.0)
        for interval, width in ((effect.wide, 1.0), (effect.narrow, 2.6)):
            if interval is not None:
                axes.plot(interval, (row, row), color=OURS, lw=width, solid_capstyle="butt")
        axes.plot(effect.value, row, color=OURS, marker="o", ms=SIZES["ours"], clip_on=False, zorder=3)
        if effect.printed is not None:
            style = {"color": PRINTED, "marker": "D", "mfc": "none", "ms": SIZES["printed"], "lw": 0}
            axes.plot(effect.printed, place + APART, **style, clip_on=False, zorder=4)
    axes.set_yticks(range(len(effects)), [shorten(effect.name) for effect in effects])
    axes.set_ylim(len(effects) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, pad=6)


def signed_root(values: np.ndarray) -> np.ndarray:
    """Return square roots, of negative values with their sign: margins of an axis may ask for these."""
    roots: np.ndarray = np.sign(values) * np.sqrt(np.abs(values))
    return roots


def shorten(name: str, most: int = 20) -> str:
    """Return a name of at most ``most`` characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def axis_end(groups: Mapping[str, Sequence[Effect]]) -> float:
    """Return the end of the common axis: the next tenth above everything drawn, at most 1."""
    ends = [
        number
        for effects in groups.values()
        for effect in effects
        for number in (effect.value, effect.printed, effect.wide and effect.wide[1])
        if number is not None
    ]
    return min(1.0, (int(10 * max(ends, default=0.0)) + 1) / 10)
