"""FER+: the faces of FER2013 relabelled by ten annotators, with the ``majority`` rule of microsoft/FERPlus.

Classes with a single vote are discarded; the label is the class with more than half of the remaining votes. Images without a
majority, or with majority "unknown" or "not a face", are skipped and listed.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import read_number
from fer_cli.data.importers.fer2013 import SIDE, part_of, pixel_rows
from fer_cli.data.importers.found import (
    Box,
    Found,
    Layout,
    Scan,
    first_layout,
    grey_pixels,
    part_above,
    tree,
    with_leftovers,
)
from fer_cli.data.importers.walk import below, folder_named, image_files, nearest_to_root
from fer_cli.digits import parse_number
from fer_cli.errors import DataError

VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""Vote columns, in the order of the table with header and of the lists without."""
TABLE, LIST = "fer2013new.csv", "label.csv"
PARTS = {"fer2013train": "train", "fer2013valid": "public", "fer2013test": "private"}
RESPLIT = {"train": "train", "val": "public", "valid": "public", "validation": "public", "test": "private"}
NAME = re.compile(r"fer\d+", re.IGNORECASE)
WHOLE = (0.0, 0.0, 48.0, 48.0)
NAMED = 35_714
"""Number of named images, the maximum of any labelling rule."""
NO_MAJORITY, NO_NAME = "no majority", "no image name (face unusable)"
OVERWRITTEN = "overwritten by a later row with the same image name"


def scan_ferplus(source: Path, card: Card) -> Scan:
    """Return all images under ``source`` with a majority label; raises DataError if table and images do not match."""
    layouts: dict[str, Layout] = {
        f"{TABLE} beside fer2013.csv": by_tables,
        f"FER2013Train, FER2013Valid, FER2013Test with images and {LIST}": by_lists,
        "class folders": by_folder,
    }
    return first_layout(source, card, layouts)


def majority(cells: list[str], where: str) -> str | None:
    """Return the majority column of ten vote counts, or None; raises DataError for malformed cells."""
    if len(cells) != len(VOTES) or not all(cell.strip().isdecimal() for cell in cells):
        raise DataError(f"{where}: expected {len(VOTES)} integer vote counts ({', '.join(VOTES)})")
    votes = [vote if (vote := read_number(cell.strip(), where)) > 1 else 0 for cell in cells]
    top = max(votes)
    return VOTES[votes.index(top)] if top > sum(votes) / 2 else None


class Sorter:
    """Assigns each row of votes a label, or a reason to skip the image."""

    def __init__(self, card: Card) -> None:
        """``card``: maps majority columns to labels."""
        self.card = card
        self.skipped: dict[str, list[str]] = {}

    def label(self, cells: list[str], name: str, where: str) -> str | None:
        """Return the label of a row, or None after recording ``name`` as skipped."""
        winner = majority(cells, where)
        label = None if winner is None else self.card.label(winner, where)
        if label is None:
            self.skip(NO_MAJORITY if winner is None else self.card.ignored[winner], name)
        return label

    def skip(self, reason: str, name: str) -> None:
        """Record an image that is left out."""
        self.skipped.setdefault(reason, []).append(name)


def by_tables(source: Path, card: Card) -> Scan | None:
    """Return the rows of ``fer2013new.csv`` with the pixels of the same rows of ``fer2013.csv``.

    Four image names occur in two rows of the official table; the row number is appended to them.
    """
    tables = tree(source, {".csv"})
    votes = nearest_to_root(tables, TABLE)
    if votes is None:
        return None
    pixels = nearest_to_root(tables, "fer2013.csv") or nearest_to_root(tables, "icml_face_data.csv")
    if pixels is None:
        if source.is_dir() and any(tree(source)):
            return None
        raise DataError(f"{votes}: has votes but no pixels; put fer2013.csv beside it and give --from their folder")
    sorter = Sorter(card)
    found: dict[int, Found] = {}
    names = Counter[str]()
    for ours, theirs in zip_longest(
        pixel_rows(votes, ("Usage", "Image name", *VOTES)), pixel_rows(pixels, ("pixels", "Usage"))
    ):
        if ours is None or theirs is None:
            longer = (theirs or ours)[1]
            raise DataError(f"{longer}: no matching row; {votes.name} and {pixels.name} must have the same rows")
        number, where, row = ours
        if part_of(row["Usage"], where) != part_of(theirs[2]["Usage"], theirs[1]):
            raise DataError(
                f"{where}: Usage is {row['Usage']}, but {theirs[2]['Usage']} at {theirs[1]}; rows must be in order"
            )
        name = row["Image name"]
        if not name:
            sorter.skip(NO_NAME, f"{below(source, votes)}, {where.rsplit(', ', 1)[1]}")
            continue
        names[Path(name).stem.lower()] += 1
        label = sorter.label([row[column] for column in VOTES], name, where)
        if label is not None:
            content = grey_pixels(theirs[2]["pixels"], theirs[1], SIDE)
            part = part_of(row["Usage"], where)
            found[number] = Found(Path(name).stem.lower(), pixels, label, "", "", 0, part, pixels=content)
    rows = [
        image if names[image.sample] == 1 else replace(image, sample=f"{image.sample}-row{number:05d}")
        for number, image in found.items()
    ]
    scan = Scan(f"votes of {votes.name} with the pixels of {pixels.name}", rows, sorter.skipped)
    return with_leftovers(source, scan, "image beside the tables")


def read_votes(table: Path) -> Iterator[tuple[str, str, Box | None, list[str]]]:
    """Yield (location, image name, box unless it is the whole image, ten vote counts) of a ``label.csv``."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{table}, line {reader.line_num}"
                if len(cells) not in (11, 12):
                    raise DataError(f"{where}: {len(cells)} cells; expected image, box and {len(VOTES)} votes")
                box = parse_box(cells[1], where) if len(cells) == 12 else None
                yield where, cells[0].strip(), box, cells[-10:]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: not a text table ({error})") from None


def parse_box(cell: str, where: str) -> Box | None:
    """Return a box such as ``(0, 0, 40, 48)``, None for the whole image; raises DataError for an invalid one."""
    try:
        left, top, right, bottom = map(parse_number, cell.strip(" ()").split(","))
    except ValueError:
        raise DataError(f"{where}: '{cell}' is not a box (left, top, right, bottom)") from None
    return None if (left, top, right, bottom) == WHOLE else (left, top, right, bottom)


def by_lists(source: Path, card: Card) -> Scan | None:
    """Return ``FER2013Train/fer0000000.png`` with the votes of ``FER2013Train/label.csv``, and likewise the other parts."""
    if not source.is_dir():
        return None
    homes = {part: folder_named(source, name, depth=3) for name, part in PARTS.items()}
    sorter = Sorter(card)
    found = []
    any_list = False
    for part, home in homes.items():
        if home is None or not (home / LIST).is_file():
            continue
        any_list = True
        images = {file.name.lower(): file for file in image_files(home)}
        rows = list(read_votes(home / LIST))
        # The authors' script wrote the images in order, so of two rows with one name, the last is on disk.
        last = {name.lower(): where for where, name, _, _ in rows}
        for where, name, box, cells in rows:
            file = images.get(name.lower())
            if last[name.lower()] != where:
                sorter.skip(OVERWRITTEN, f"{below(source, home / LIST)}, {where.rsplit(', ', 1)[1]}")
                continue
            label = sorter.label(cells, below(source, file or home / name), where)
            if label is None:
                continue
            if file is None:
                raise DataError(f"{where}: {home / name} is missing; write the images of fer2013.csv there first")
            found.append(Found(file.stem.lower(), file, label, "", "", 0, part, box))
    if not any_list:
        return None
    # The votes in the lists differ from those in the table, so the card's counts do not apply.
    scan = Scan(f"part folders with {LIST}", found, sorter.skipped, {}, most=NAMED)
    return with_leftovers(source, scan, f"not in {LIST}")


def by_folder(source: Path, card: Card) -> Scan | None:
    """Return ``<part>/<class>/fer0000000.png`` of re-packs, labelled by an unknown rule."""
    files = tree(source)
    words = {word.lower() for word in card.folders}
    if not any(file.parent.name.lower() in words for file in files):
        return None
    # With only train and test, the official part of test is unknown.
    homes = [part_above(file.parent, source, PARTS | RESPLIT) for file in files]
    whole = {"train", "public", "private"} <= set(homes)
    found, skipped = [], []
    for file, home in zip(files, homes, strict=True):
        if file.parent.name.isdigit():
            raise DataError(f"{file.parent}: ambiguous numbered class folder; rename such folders to anger, fear, ...")
        label = card.label(file.parent.name, str(file))
        if label is None:
            skipped.append(below(source, file))
            continue
        own = NAME.fullmatch(file.stem) is not None
        sample = file.stem.lower() if own else "-".join(word for word in (home, label, file.stem) if word)
        found.append(Found(sample, file, label, "", "", 0, (whole and home) or "none", own=own))
    layout = "class folders, labelled by an unknown rule"
    return Scan(layout, found, {"no expression by its folder": skipped} if skipped else {}, {}, most=NAMED)
