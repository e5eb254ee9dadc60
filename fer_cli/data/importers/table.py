"""Data without a card, listed in a CSV or Parquet table.

Columns are ``file,label`` and optionally ``subject,sequence,frame,split`` and the face box ``left,top,right,bottom`` in
pixels. Paths are relative to the table's folder and must not leave it. For a column ``pixels`` instead of ``file``, see
``fer_cli.data.importers.pixels``.
"""

from __future__ import annotations

import math
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.formats import IMAGE_SUFFIXES, NOT_READ, UNREAD
from fer_cli.data.importers.found import Box, Found, Scan, first_layout, inside
from fer_cli.data.importers.hints import where_to_point
from fer_cli.data.importers.own import own_card, why_ignored
from fer_cli.data.importers.pixels import is_pixel_table, pixel_labels, scan_pixels
from fer_cli.data.importers.rows import TABLES, Owners, row_frame, row_part, table_rows
from fer_cli.data.importers.walk import files_below, is_junk, real, tables_in, tidy
from fer_cli.digits import parse_number
from fer_cli.errors import DataError

NEEDS = ("file", "label")
EDGES = ("left", "top", "right", "bottom")
COLUMNS = (*NEEDS, "subject", "sequence", "frame", "split", *EDGES)
"""Known columns; others are ignored."""
TAKES = "a table with columns file,label or pixels,label (CSV or Parquet)"

Rows = list[tuple[str, dict[str, str]]]
"""Line or row, and its cells."""


def scan_table(source: Path, card: Card) -> Scan:
    """Return all rows of the table ``source``, or of the only table in that folder.

    Raises DataError for an unknown class, a path out of the folder, an empty box, a duplicate row, and a sequence of two
    subjects.
    """
    return first_layout(source, card, {TAKES: by_table})


def by_table(source: Path, card: Card) -> Scan | None:
    """Return the images in the table; None without a table."""
    table = table_in(source)
    if table is None:
        return None
    if is_pixel_table(table):
        return scan_pixels(table, card)
    rows, skipped = read_table(table)
    found: dict[str, Found] = {}
    lines: dict[str, str] = {}
    owners = Owners()
    for line, row in rows:
        where = f"{table}, {line}"
        label = card.label(row["label"], where)
        if label is None:
            skipped.setdefault(why_ignored(card, row["label"]), []).append(row["file"])
            continue
        if (name := UNREAD.get(Path(row["file"]).suffix.lower())) is not None:
            inside(table.parent, row["file"], where)
            skipped.setdefault(f"{name}, {NOT_READ}", []).append(row["file"])
            continue
        image = row_image(table.parent, row, label, where)
        if image.sample in found:
            raise DataError(f"{where}: duplicates {lines[image.sample]}; keep one of the two rows")
        owners.check(image, where)
        found[image.sample], lines[image.sample] = image, line
    listed = {real(inside(table.parent, row["file"], str(table))) for _, row in rows}
    listed |= {real(inside(table.parent, file, str(table))) for file in skipped.get("row without a label", [])}
    unlisted = [
        f.relative_to(table.parent).as_posix()
        for f in files_below(table.parent, within=table.parent)
        if real(f) not in listed
    ]
    if unlisted:
        skipped["image not in the table"] = unlisted
    return Scan(f"table {table.name}", list(found.values()), skipped)


def table_in(source: Path) -> Path | None:
    """Return ``source`` if it is a table, or the only table in it; raises DataError for several."""
    if source.is_file():
        return source if source.suffix.lower() in TABLES else None
    if not source.is_dir():
        return None
    tables = sorted(p for p in tables_in(source, source) if p.suffix.lower() in TABLES and not is_junk(p.name))
    if len(tables) > 1:
        raise DataError(
            f"{source}: contains both {tables[0].name} and {tables[1].name}; give --from one of them, with all rows"
        )
    return tables[0] if tables else None


def read_table(table: Path) -> tuple[Rows, dict[str, list[str]]]:
    """Return the labelled rows and, as skipped, the files of unlabelled ones; raises DataError for no labelled row."""
    rows: Rows = []
    unlabelled: list[str] = []
    for line, row in table_rows(table, NEEDS, COLUMNS):
        if not rows and not unlabelled:
            check_columns(table, list(row))
        if row["label"]:
            rows.append((line, row))
        else:
            unlabelled.append(row["file"])
    if not rows:
        raise DataError(f"{table}: contains no row with a label")
    return rows, {"row without a label": unlabelled} if unlabelled else {}


def check_columns(table: Path, header: list[str]) -> None:
    """Raise DataError for a known column in capitals, and for incomplete box columns."""
    for name in header:
        if name not in COLUMNS and name.lower() in COLUMNS:
            raise DataError(f"{table}: column '{name}' is spelt in capitals; name it {name.lower()}")
    missing = [edge for edge in EDGES if edge not in header]
    if missing and len(missing) < len(EDGES):
        raise DataError(f"{table}: no column '{missing[0]}'; a face needs all of {', '.join(EDGES)}")


def row_image(root: Path, row: dict[str, str], label: str, where: str) -> Found:
    """Return the image of a labelled row; raises DataError with ``where`` for an invalid cell."""
    file = tidy(inside(root, row["file"], where))
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        raise DataError(f"{where}: {file.name} is not an image; supported are {', '.join(sorted(IMAGE_SUFFIXES))}")
    split, frame, box = row_part(row, where), row_frame(row, where), row_box(row, where)
    # Several faces of one image are several samples, named by their boxes.
    sample = file.relative_to(root).as_posix() + (f"@{','.join(f'{edge:g}' for edge in box)}" if box else "")
    subject, sequence = row.get("subject", ""), row.get("sequence", "")
    return Found(sample, file, label, subject, sequence, frame, split, box, own=False)


def row_box(row: dict[str, str], where: str) -> Box | None:
    """Return the face box, None if its four cells are empty; raises DataError for an invalid one."""
    cells = [row.get(edge, "") for edge in EDGES]
    if not any(cells):
        return None
    try:
        left, top, right, bottom = map(parse_number, cells)
    except ValueError:
        raise DataError(f"{where}: box {', '.join(cells)} is not four numbers") from None
    if not all(map(math.isfinite, (left, top, right, bottom))) or right <= left or bottom <= top:
        raise DataError(f"{where}: box {', '.join(cells)} is empty; the order is {', '.join(EDGES)}")
    return left, top, right, bottom


def card_from_table(name: str, source: Path, codes: dict[str, str] | None = None) -> Card:
    """Return a card for the labels in a table; raises DataError without a table, and for numbers outside ``codes``."""
    table = table_in(source)
    if table is None:
        what = "no such file or folder" if not source.exists() else "contains no csv" if source.is_dir() else "not a csv"
        raise DataError(f"{source}: {what}; --layout csv takes {TAKES}, or its folder{where_to_point(source)}")
    if is_pixel_table(table):
        return own_card(name, pixel_labels(table), f"{table}: label", codes=codes)
    rows, _ = read_table(table)
    return own_card(name, (row["label"] for _, row in rows), f"{table}: label", codes=codes)
