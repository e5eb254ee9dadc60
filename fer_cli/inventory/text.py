"""Small pieces of text and tables that the descriptions of runs share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from fer_cli.blocks import Cell, Table

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40
"""Most characters of a sparkline."""


def draw_sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Return a line of at most ``width`` bars from the smallest to the largest value; a dot for NaN or infinity.

    Of more values than characters, each character shows the last of its share.
    """
    if len(values) > width:
        values = [values[math.ceil((place + 1) * len(values) / width) - 1] for place in range(width)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "·" * len(values)
    low, high = min(finite), max(finite)
    step = (high - low) / (len(BARS) - 1)
    return "".join(
        "·" if not math.isfinite(value) else BARS[0 if step == 0 else min(len(BARS) - 1, round((value - low) / step))]
        for value in values
    )


def write_number(value: float) -> str:
    """Return a number of at most four significant digits."""
    return f"{value:.4g}"


def table(
    title: str, columns: list[str], rows: Iterable[tuple[str, Sequence[Cell]]], notes: Sequence[str] = ()
) -> list[Table]:
    """Return a table in a list, or an empty list if there are no rows."""
    content = list(rows)
    return [Table(title, columns, content, list(notes))] if content else []


def measure_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder without following links."""
    if path.is_dir() and not path.is_symlink():
        return sum(measure_size(one) for one in path.iterdir())
    return path.lstat().st_size


def write_size(size: float) -> str:
    """Return a number of bytes in B, KiB, MiB or GiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def write_age(seconds: float) -> str:
    """Return an age in its largest unit: ``40 s``, ``12 min``, ``5 h``, ``3 d``."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
