"""Rows of a table of one's own, as text: CSV, or Parquet, of which nothing but named columns is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import isnan
from pathlib import Path
from typing import Any

from fer_cli.data.importers.fer2013 import PARTS as USAGE
from fer_cli.data.importers.found import Found, read_rows
from fer_cli.data.importers.own import PARTS
from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut

PARQUET = ".parquet"
TABLES = {".csv", PARQUET}
BATCH = 1024
"""Rows of a Parquet file that are in memory at a time."""


def table_rows(table: Path, needs: tuple[str, ...], known: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (which line or row, cells) of a table; ``known``: columns that are read where there are any, in any case.

    Raises DataError as ``read_rows`` does.
    """
    if table.suffix.lower() == PARQUET:
        yield from parquet_rows(table, needs, known)
    else:
        yield from ((f"line {line}", row) for line, row in read_rows(table, needs))


def header_of(table: Path) -> list[str]:
    """Return the names of a table's columns, in lower case; empty where it has no row."""
    if table.suffix.lower() == PARQUET:
        return [name.lower() for name in parquet_columns(table)]
    return [name.lower() for name in next((row for _, row in read_rows(table, ())), {})]


def parquet_columns(table: Path) -> list[str]:
    """Return the names of a Parquet file's columns; raises DataError where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with table.open("rb") as stream:
            return [str(name).strip() for name in pq.ParquetFile(stream).schema_arrow.names]
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{table}: not a Parquet table ({' '.join(str(error).split())})") from None


def parquet_rows(table: Path, needs: tuple[str, ...], known: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (``row N`` from 1, cells as text) of a Parquet file; lists are written with blanks, nothing as an empty text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = parquet_columns(table)
    if missing := [name for name in needs if name not in header]:
        raise DataError(f"{table}: no column '{missing[0]}'; its columns are {', '.join(header) or 'none'}")
    number = 0
    try:
        with table.open("rb") as stream:
            file = pq.ParquetFile(stream)
            wanted = [name for name in file.schema_arrow.names if name.strip().lower() in known]
            for batch in file.iter_batches(BATCH, columns=wanted):
                for row in batch.select(wanted).to_pylist():
                    number += 1
                    yield f"row {number}", {name.strip(): cell_text(cell) for name, cell in row.items()}
    except (pa.ArrowException, ValueError, OSError) as error:
        where = f"{table}, after row {number}" if number else str(table)
        raise DataError(f"{where}: cannot be read ({' '.join(str(error).split())}); is the file whole?") from None


def cell_text(cell: Any) -> str:
    """Return a cell as a CSV would have it."""
    if cell is None or (isinstance(cell, float) and isnan(cell)):
        return ""
    return " ".join(map(str, cell)) if isinstance(cell, list) else str(cell).strip()


def row_part(row: dict[str, str], where: str) -> str:
    """Return the part that a row's cell ``split`` names, ``none`` where it is empty; raises DataError for another word."""
    word = row.get("split", "").strip().lower()
    known = PARTS | USAGE
    if word not in known and word not in {"", "none"}:
        raise DataError(f"{where}: no such part '{cut(row['split'])}'{nearest(word, known)}")
    return known.get(word, "none")


def row_frame(row: dict[str, str], where: str) -> int:
    """Return the number in a row's cell ``frame``, 0 where it is empty; raises DataError for what is no number from 0."""
    frame = row.get("frame", "")
    if frame and not frame.isdecimal():
        raise DataError(f"{where}: frame '{cut(frame)}' is no number from 0")
    return int(frame or 0)


class Owners:
    """Which subject each sequence belongs to."""

    def __init__(self) -> None:
        """Know none yet."""
        self._subjects: dict[str, str] = {}

    def check(self, image: Found, where: str) -> None:
        """Take an image up; raises DataError naming ``where`` its sequence belongs to another subject."""
        owner = self._subjects.setdefault(image.sequence, image.subject) if image.sequence else image.subject
        if owner != image.subject:
            what = f"sequence '{image.sequence}' belongs to subjects '{owner}' and '{image.subject}'"
            raise DataError(f"{where}: {what}; give each sequence its own name")
