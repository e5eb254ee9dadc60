"""Data without a card in a pixel table, as in FER2013: a column ``pixels`` of integers.

Each cell is a square grey image, row by row, separated by blanks (in Parquet, also a list). The label is in the column
``label`` or ``emotion``, the official part in ``split`` or ``Usage``; ``subject``, ``sequence`` and ``frame`` are optional.
All images of a table have one size; a row of another size was truncated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import isqrt
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Found, Scan, square_pixels
from fer_cli.data.importers.own import why_ignored
from fer_cli.data.importers.rows import Owners, header_of, row_frame, row_part, table_rows
from fer_cli.errors import DataError

PIXELS = "pixels"
ALIASES = {"emotion": "label", "usage": "split"}
"""Column names of FER2013 -> ours."""
COLUMNS = {PIXELS, "label", "split", "subject", "sequence", "frame", *ALIASES}


def is_pixel_table(table: Path) -> bool:
    """Return whether a table contains pixels; raises DataError if it cannot be read."""
    header = header_of(table)
    return PIXELS in header and "file" not in header


def pixel_rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (location, cells) of a pixel table, columns by our names; raises as ``columns_of`` and ``table_rows`` do."""
    names: dict[str, str] = {}
    for line, row in table_rows(table, (), COLUMNS):
        if not names:
            names = columns_of(table, list(row))
        yield line, {known: row[own] for known, own in names.items()}


def columns_of(table: Path, header: list[str]) -> dict[str, str]:
    """Return our name of each used column -> the table's; raises DataError for a missing or duplicate one."""
    names: dict[str, str] = {}
    for own in header:
        known = ALIASES.get(own.lower(), own.lower())
        if known in names:
            raise DataError(f"{table}: both columns '{names[known]}' and '{own}' give the {known}; remove one of them")
        if own.lower() in COLUMNS:
            names[known] = own
    if "label" not in names:
        raise DataError(f"{table}: no column 'label' (or 'emotion') beside '{names[PIXELS]}'")
    return names


def pixel_labels(table: Path) -> Iterator[str]:
    """Yield the label of each row that has one; raises DataError if none has."""
    labelled = False
    for _, row in pixel_rows(table):
        if row["label"]:
            labelled = True
            yield row["label"]
    if not labelled:
        raise DataError(f"{table}: contains no row with a label")


def scan_pixels(table: Path, card: Card) -> Scan:
    """Return all labelled rows, unreadable ones with a reason; raises DataError if all are unreadable."""
    found: list[Found] = []
    skipped: dict[str, list[str]] = {}
    owners = Owners()
    for number, (line, row) in enumerate(pixel_rows(table), 1):
        where = f"{table}, {line}"
        label = card.label(row["label"], where) if row["label"] else None
        if label is None:
            reason = why_ignored(card, row["label"]) if row["label"] else "row without a label"
            skipped.setdefault(reason, []).append(f"{table.name}, {line}")
            continue
        pixels, fault = b"", ""
        try:
            pixels = square_pixels(row[PIXELS])
        except ValueError as error:
            fault = str(error)
        who, part, frame = (row.get("subject", ""), row.get("sequence", "")), row_part(row, where), row_frame(row, where)
        image = Found(f"row{number:05d}", table, label, *who, frame, part, pixels=pixels, fault=fault, own=False)
        owners.check(image, where)
        found.append(image)
    return Scan(f"table {table.name} of pixels", of_one_size(table, found), skipped)


def of_one_size(table: Path, found: list[Found]) -> list[Found]:
    """Return the images, marking those of an unusual size as faulty; raises DataError if all are faulty."""
    sizes = Counter(len(image.pixels or b"") for image in found if not image.fault)
    if not sizes:
        first = f"{found[0].sample}: {found[0].fault}" if found else "none has a label"
        raise DataError(f"{table}: contains no row with readable pixels ({first})")
    usual = max(sizes, key=lambda size: (sizes[size], size))
    side = isqrt(usual)
    return [
        image
        if image.fault or len(image.pixels or b"") == usual
        else replace(image, pixels=b"", fault=f"{len(image.pixels or b'')} pixels, most rows have {side} x {side}")
        for image in found
    ]
