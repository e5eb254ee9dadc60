"""What all figures of a study share: the arms' colours and the page around the panels.

A page is a heading, keys, panels and a grey footer that says what the numbers rest on. Heading and footer have their own
height in inches, so that no panel grows into them.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fer_cli.drawing import MARKERS, PALETTE
from fer_cli.plan import Plan
from fer_cli.report.collect import Cell, Point
from fer_cli.report.tables import row_label, short

FACTORS = {
    "data.label_noise": "label noise (share of training labels)",
    "data.max_images": "training images (at most)",
    "train.epochs": "epochs of training",
    "corrupt.occlusion": "occlusion (share of the area)",
    "corrupt.light": "light that is left (share)",
    "corrupt.blur": "blur (sd in pixels)",
    "corrupt.downscale": "downscaling (factor)",
    "corrupt.noise": "image noise (sd, share of the range)",
    "corrupt.jpeg": "JPEG quality",
}
"""Grid factor -> what stands below an axis; what precedes the bracket is its name. Others go by their dotted name."""
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a dollar in an arm's name is no formula
}
"""Matplotlib's settings while figures are made and written."""
KEY: dict[str, Any] = {
    "fontsize": 8.5,
    "frameon": False,
    "borderpad": 0.2,
    "borderaxespad": 0,
    "labelspacing": 0.35,
    "columnspacing": 1.6,
}
"""How legends look."""
MARGIN, LINE, SMALL = 0.12, 1.35, 7.0
"""Inches around the text of a page; height of a line of text in font sizes; font size of the footer in points."""
SD_BAND = "band: mean ± one sample standard deviation over seeds (none for one seed)"


@dataclass(frozen=True)
class Words:
    """What stands around the panels of a page."""

    title: str
    notes: Sequence[str]
    keys: Sequence[Sequence[Artist]]
    """Rows of legend entries."""
    foot: Sequence[str]


def arm_looks(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return each arm's colour and marker, by its place in the study, so that all figures agree."""
    arms = enumerate(plan.study.arms)
    return {arm: (PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]) for place, arm in arms}


def arm_label(plan: Plan, arm: str) -> str:
    """Return an arm as tables call it, with a word of warning where its split leaks."""
    return row_label(plan, arm, ())


def factor_name(factor: str) -> str:
    """Return a grid factor in words: ``corrupt.noise`` -> ``image noise``."""
    return FACTORS.get(factor, short(factor)).split(" (")[0]


def point_words(at: Point) -> str:
    """Return a grid point in words, e.g. ``label noise 0.2``."""
    return ", ".join(f"{factor_name(key)} {value}" for key, value in at)


def common(points: Sequence[Point]) -> Point:
    """Return the factors in which all points agree."""
    return tuple(pair for pair in points[0] if all(pair in point for point in points))


def seeds_words(n: int, planned: int) -> str:
    """Return ``n = 5 seeds``, or ``n = 2 of 5 seeds`` where some are missing."""
    return f"n = {n} seed{'s' * (n != 1)}" if n == planned else f"n = {n} of {planned} seeds"


def footer(plan: Plan, cells: Iterable[Cell], *more: str) -> list[str]:
    """Return the grey lines below a figure: what its numbers rest on."""
    used = list(cells)
    prints = sorted({result.fingerprint for cell in used for result in cell.results.values()})
    seeds = sorted({seed for cell in used for seed in cell.results})
    rest = f"data set {plan.data}, fingerprint {' and '.join(prints)}; {listed(seeds)}"
    return [f"{plan.title}; {rest}", "; ".join(more)]


def listed(seeds: Sequence[int]) -> str:
    """Return ``seeds 0, 2``, or ``seeds 0–4`` where more than two follow on one another."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]}–{seeds[-1]}"
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds))}"


def text_width(text: str, size: float) -> float:
    """Return the width of a line in inches at a font size in points."""
    font = get_font(findfont(FontProperties()))
    font.set_size(size, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 72


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Return text in lines that fit ``width`` inches at a font size in points."""
    full = text_width(text, size)
    if full <= width:
        return [text] if text else []
    return textwrap.wrap(text, max(10, int(0.95 * len(text) * width / full)), break_on_hyphens=False)


def page(width: float, height: float, words: Words) -> Figure:
    """Return a figure without panels yet; those added will fill ``width`` x ``height`` inches below heading and keys."""
    room = width - 2 * MARGIN
    head = [(line, 11.0, "black", "bold") for line in wrapped(words.title, 0.88 * room, 11)]
    head += [(line, 8.5, "0.3", "normal") for note in words.notes for line in wrapped(note, room, 8.5)]
    foot = [line for note in words.foot for line in wrapped(note, room, SMALL)]
    counts = [key_columns([str(entry.get_label()) for entry in row], room) for row in words.keys]
    keys = [0.19 * math.ceil(len(row) / columns) + 0.04 for row, columns in zip(words.keys, counts, strict=True)]
    above = 1.7 * MARGIN + sum(size * LINE / 72 for _, size, _, _ in head) + sum(keys)
    below = 2 * MARGIN + len(foot) * SMALL * LINE / 72
    total = above + height + below
    layout = ConstrainedLayoutEngine(rect=(0, below / total, 1, height / total), w_pad=0.08, h_pad=0.06)
    figure = Figure(figsize=(width, total), layout=layout)
    down = MARGIN
    for line, size, colour, weight in head:
        figure.text(MARGIN / width, 1 - down / total, line, size=size, color=colour, weight=weight, va="top")
        down += size * LINE / 72
    for row, columns, tall in zip(words.keys, counts, keys, strict=True):
        corner = (MARGIN / width, 1 - down / total)
        figure.legend(handles=list(row), ncols=columns, loc="upper left", bbox_to_anchor=corner, **KEY)
        down += tall
    for place, line in enumerate(reversed(foot)):
        up = MARGIN + place * SMALL * LINE / 72
        figure.text(MARGIN / width, up / total, line, size=SMALL, color="0.45", va="bottom")
    return figure


def key_columns(labels: Sequence[str], room: float) -> int:
    """Return how many legend entries stand side by side in ``room`` inches; entries fill columns from the top."""
    wide = [text_width(label, KEY["fontsize"]) + 4.5 * KEY["fontsize"] / 72 for label in labels]
    for rows in range(1, len(wide)):
        columns = math.ceil(len(wide) / rows)
        if sum(max(column) for column in np.array_split(wide, columns)) <= room:
            return columns
    return 1


def numbered(folder: Path, stem: str, number: int) -> Path:
    """Return the path of the ``number``-th figure of a kind, from 1: ``curves.png``, ``curves-2.png``."""
    return folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")


def chunks(entries: Sequence[Any], most: int) -> list[list[Any]]:
    """Return entries in order in as few lists of at most ``most`` as there can be, of about equal length."""
    count = math.ceil(len(entries) / most)
    size = math.ceil(len(entries) / max(1, count))
    return [list(entries[start : start + size]) for start in range(0, len(entries), max(1, size))]
