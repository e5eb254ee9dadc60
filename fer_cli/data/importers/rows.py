"""Rows of a user's table as text: CSV, or the known columns of Parquet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import isnan
from pathlib import Path
from typing import Any

from fer_cli.data.files import known_name, read_number
from fer_cli.data.importers.fer2013 import PARTS as USAGE
from fer_cli.data.importers.found import Found, named_once, read_rows
from fer_cli.data.importers.own import PARTS
from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut

PARQUET = ".parquet"
TABLES = {".csv", PARQUET}
BATCH = 1024
"""Rows of a Parquet file read at a time."""


def table_rows(table: Path, needs: tuple[str, ...], known: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (line or row, cells) of a table; ``known``: optional columns, in any case. Raises DataError as ``read_rows``."""
    if table.suffix.lower() == PARQUET:
        yield from parquet_rows(table, needs, known)
    else:
        yield from ((f"line {line}", row) for line, row in read_rows(table, needs))


def header_of(table: Path) -> list[str]:
    """Return the column names of a table in lower case; empty if it has no rows."""
    if table.suffix.lower() == PARQUET:
        return [name.lower() for name in parquet_columns(table)]
    return [name.lower() for name in next((row for _, row in read_rows(table, ())), {})]


def parquet_columns(table: Path) -> list[str]:
    """Return the column names of a Parquet file; raises DataError for an invalid one, and for two of one name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with table.open("rb") as stream:
            return named_once(table, [str(name).strip() for name in pq.ParquetFile(stream).schema_arrow.names])
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{table}: not a Parquet table ({' '.join(str(error).split())})") from None


def parquet_rows(table: Path, needs: tuple[str, ...], known: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (``row N`` from 1, cells as text) of a Parquet file; lists are joined with blanks, null becomes "".

    Raises DataError for an incomplete file, and for cells that are no text, numbers or lists of them.
    """
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
            for batch in file.iter_batches(BATCH, columns=wanted, use_threads=False):
                for row in batch.select(wanted).to_pylist():
                    number += 1
                    where = f"{table}, row {number}"
                    yield f"row {number}", {name.strip(): cell_text(cell, name, where) for name, cell in row.items()}
    except (pa.ArrowException, ValueError, OSError) as error:
        where = f"{table}, after row {number}" if number else str(table)
        raise DataError(f"{where}: cannot be read ({' '.join(str(error).split())}); is the file complete?") from None


def cell_text(cell: Any, column: str, where: str) -> str:
    """Return a cell as CSV text, bytes as the UTF-8 text they are; raises DataError for other bytes and for records."""
    if cell is None or (isinstance(cell, float) and isnan(cell)):
        return ""
    if isinstance(cell, list):
        return " ".join(cell_text(part, column, where) for part in cell)
    if isinstance(cell, dict | tuple):
        raise DataError(
            f"{where}: column '{cut(column)}' holds records, not text; write one column for each of their fields"
        )
    if isinstance(cell, bytes):
        try:
            return cell.decode().strip()
        except UnicodeDecodeError:
            what = "bytes that are not UTF-8 text"
            raise DataError(f"{where}: column '{cut(column)}' holds {what}; write it as text") from None
    return str(cell).strip()


def row_part(row: dict[str, str], where: str) -> str:
    """Return the part in a row's cell ``split``, ``none`` if empty; raises DataError for an unknown one."""
    word = row.get("split", "").strip().lower()
    known = PARTS | USAGE
    if word not in known and word not in {"", "none"}:
        raise DataError(f"{where}: unknown part '{cut(row['split'])}'{nearest(word, known)}")
    return known.get(word, "none")


def row_frame(row: dict[str, str], where: str) -> int:
    """Return the number in a row's cell ``frame``, 0 if empty; raises DataError unless it is a storable integer from 0."""
    frame = row.get("frame", "")
    if frame and not frame.isdecimal():
        raise DataError(f"{where}: frame '{cut(frame)}' is not an integer from 0")
    return read_number(frame, where)


class Owners:
    """Checks that each sequence belongs to one subject."""

    def __init__(self) -> None:
        self._subjects: dict[str, str] = {}

    def check(self, image: Found, where: str) -> None:
        """Add an image; raises DataError with ``where`` if its sequence belongs to another subject."""
        known = known_name(image.sequence)
        owner = self._subjects.setdefault(known, image.subject) if known else image.subject
        if owner != image.subject:
            what = f"sequence '{image.sequence}' belongs to subjects '{owner}' and '{image.subject}'"
            raise DataError(f"{where}: {what}; give each sequence its own name")
