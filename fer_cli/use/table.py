"""Predictions as lines of CSV; a file that ends with its last whole line, whatever interrupts it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fer_cli.data.files import readable_name
from fer_cli.errors import DataError
from fer_cli.escape import csv_cell
from fer_cli.places import open_regular, same_file
from fer_cli.use.lines import LineFile
from fer_cli.use.predict import Seen

COLUMNS = ("file", "time_s", "face", "x", "y", "w", "h", "class")
"""Columns before the probability of each class; box in pixels, x and y of its upper left corner."""


def head_line(classes: Sequence[str]) -> str:
    """Return the line of column names."""
    return csv_line([*COLUMNS, *(f"p_{name}" for name in classes)])


def lines_of(seen: Seen, name: str, classes: Sequence[str]) -> Iterator[str]:
    """Yield a line per face of a picture or frame, and one with an empty class if there is none."""
    time = "" if seen.time_s is None else f"{seen.time_s:.4f}"
    if not seen.faces:
        yield csv_line([name, time, *[""] * (len(COLUMNS) - 2 + len(classes))])
    for one in seen.faces:
        left, top, right, bottom = one.box
        box = [f"{value:.1f}" for value in (left, top, right - left, bottom - top)]
        shares = one.probabilities
        yield csv_line([name, time, str(one.face), *box, classes[int(shares.argmax())], *(f"{p:.6f}" for p in shares)])


def csv_line(cells: Sequence[str]) -> str:
    """Return cells as a line of CSV without its end; numbers stay as they are."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([cell if is_number(cell) else csv_cell(cell) for cell in cells])
    return text.getvalue()


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, without anything around it."""
    if cell != cell.strip():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


class CsvFile(LineFile):
    """A CSV file that grows line by line."""

    holds = "the table holds the rows until then"


def is_replaceable(path: Path) -> bool:
    """Return whether a file may be written anew: it is missing, empty, or a table of predictions."""
    if not os.path.lexists(path):
        return True
    try:
        with open_regular(path) as stream:
            start = stream.read(64)
    except OSError:
        return False
    return not start or start.startswith(",".join(COLUMNS).encode())


def check_outputs(csv_path: Path | None, out: Path | None, inputs: Sequence[Path], replace: bool) -> None:
    """Raise DataError if an output is an input, a folder or a file that must not be replaced."""
    for option, path in (("--csv", csv_path), ("--out", out)):
        if path is None:
            continue
        shown = readable_name(path)
        for given in inputs:
            if same_file(path, given):
                raise DataError(f"{option} {shown}: is also an input; choose another name")
        if path.is_dir():
            raise DataError(f"{option} {shown}: a folder, not a file; name a file in it")
        mine = option == "--csv" and is_replaceable(path)
        if os.path.lexists(path) and not replace and not mine:
            raise DataError(f"{option} {shown}: exists; pass --replace to replace it, or choose another name")
    if csv_path is not None and out is not None and same_file(csv_path, out):
        raise DataError(f"--csv and --out: both are {readable_name(out)}")
