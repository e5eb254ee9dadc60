"""Data without a card whose images are in a table, as in FER2013: a column ``pixels`` of whole numbers.

Each cell holds a square grey picture, row by row, with blanks between the numbers (in Parquet, or a list). The label is the
column ``label`` or ``emotion``; the official part ``split`` or ``Usage``; ``subject``, ``sequence`` and ``frame`` are
read where they are. A table has one size of picture: a row of another size was cut short.
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
"""FER2013's name of a column -> ours."""
COLUMNS = {PIXELS, "label", "split", "subject", "sequence", "frame", *ALIASES}


def is_pixel_table(table: Path) -> bool:
    """Return whether a table holds pictures; raises DataError where it cannot be read."""
    header = header_of(table)
    return PIXELS in header and "file" not in header


def pixel_rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (which line or row, cells) of a table of pictures, columns by our names.

    Raises DataError where no column holds the label, or two do, and as ``table_rows`` does.
    """
    names: dict[str, str] = {}
    for line, row in table_rows(table, (), COLUMNS):
        if not names:
            names = columns_of(table, list(row))
        yield line, {known: row[own] for known, own in names.items()}


def columns_of(table: Path, header: list[str]) -> dict[str, str]:
    """Return our name of each column that is read -> the table's; raises DataError where one is missing or duplicated."""
    names: dict[str, str] = {}
    for own in header:
        known = ALIASES.get(own.lower(), own.lower())
        if known in names:
            raise DataError(f"{table}: both columns '{names[known]}' and '{own}' say the {known}; remove one of them")
        if own.lower() in COLUMNS:
            names[known] = own
    if "label" not in names:
        raise DataError(f"{table}: no column 'label' (or 'emotion') beside '{names[PIXELS]}'")
    return names


def pixel_labels(table: Path) -> Iterator[str]:
    """Yield the label of each row that has one; raises DataError where none has."""
    some = False
    for _, row in pixel_rows(table):
        if row["label"]:
            some = True
            yield row["label"]
    if not some:
        raise DataError(f"{table}: no row with a label in it")


def scan_pixels(table: Path, card: Card) -> Scan:
    """Return every labelled row; pictures that cannot be read say why. Raises DataError where there is no other picture."""
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
    """Return the pictures, those of another size than most with that as their fault; raises DataError where all have one."""
    sizes = Counter(len(image.pixels or b"") for image in found if not image.fault)
    if not sizes:
        first = f"{found[0].sample}: {found[0].fault}" if found else "none has a label"
        raise DataError(f"{table}: no row whose pixels can be read ({first})")
    usual = max(sizes, key=lambda size: (sizes[size], size))
    side = isqrt(usual)
    return [
        image
        if image.fault or len(image.pixels or b"") == usual
        else replace(image, pixels=b"", fault=f"{len(image.pixels or b'')} pixels, most rows have {side} x {side}")
        for image in found
    ]
