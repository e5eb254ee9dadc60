"""The picture of a benchmark: how many times faster the suite is than the plain code beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import NullLocator

from fer_cli.drawing import PALETTE, Words, page, save

TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def draw_ratios(content: dict[str, Any], path: Path) -> list[Path]:
    """Write a bar per row with a ratio, on a logarithmic axis, and return the file; nothing without such rows."""
    rows = [row for rows in content["rows"].values() for row in rows if row["ratio"] is not None]
    if not rows:
        return []
    machine = content["machine"]
    foot = [f"{machine['processor']}, {machine['threads']} threads, {machine['precision']}, {machine['instructions']}"]
    title = "times faster than plain code (medians, measured in turns)"
    figure = page(8.5, 0.34 * len(rows) + 0.5, Words(title, ["line: as fast as the plain code"], foot=foot))
    axes = figure.subplots()
    labels = [f"{row['case']}\n{row['against']}" for row in reversed(rows)]
    ratios = [row["ratio"] for row in reversed(rows)]
    bars = axes.barh(labels, ratios, color=[PALETTE[0] if ratio >= 1 else PALETTE[1] for ratio in ratios])
    axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="black", lw=1)
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(0.5, *ratios) * 0.9, max(2, *ratios) * 1.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", labelsize=7)
    return [save(figure, path)]
