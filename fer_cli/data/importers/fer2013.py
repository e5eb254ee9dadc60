"""FER2013: 48x48 grey faces from an image search, as a pixel table or image files.

The table (``emotion,pixels,Usage``) and file names such as ``PrivateTest_10118481.jpg`` keep the official parts; renumbered
re-packs are read without parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import (
    Found,
    Layout,
    Scan,
    duplicate_name_error,
    first_layout,
    grey_pixels,
    part_above,
    read_rows,
    same_content,
    tree,
    with_leftovers,
)
from fer_cli.data.importers.walk import below, nearest_to_root
from fer_cli.errors import DataError

SIDE = 48
PARTS = {"training": "train", "publictest": "public", "privatetest": "private"}
"""The set's name of a part, in lower case -> ours."""
RESPLIT = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
"""Folders of re-packs, which distinguish files of one name but are not the official parts."""
NAME = re.compile(r"(?P<part>Training|PublicTest|PrivateTest)_(?P<number>\d+)", re.IGNORECASE)


def scan_fer2013(source: Path, card: Card) -> Scan:
    """Return all labelled images under ``source``; raises DataError for an unknown class, part or pixel count."""
    layouts: dict[str, Layout] = {
        "fer2013.csv or icml_face_data.csv (emotion, pixels, Usage)": by_table,
        "class folders with files named Training_*, PublicTest_*, PrivateTest_*": by_file_name,
        "train.csv (emotion, pixels)": by_challenge_table,
        "class folders of renamed files": by_folder,
    }
    return first_layout(source, card, layouts)


def part_of(usage: str, where: str) -> str:
    """Return our name of an official part; raises DataError for other words."""
    if (part := PARTS.get(usage.strip().lower())) is None:
        raise DataError(f"{where}: Usage '{usage}' is not Training, PublicTest or PrivateTest")
    return part


def pixel_rows(table: Path, needs: tuple[str, ...]) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield (row number from 1, location, row) of a pixel table."""
    for number, (line, row) in enumerate(read_rows(table, needs), 1):
        yield number, f"{table}, line {line}", row


def table_images(table: Path, card: Card, needs: tuple[str, ...]) -> Iterator[Found]:
    """Yield an image for each labelled row; without a column Usage, all are in the Training part."""
    for number, where, row in pixel_rows(table, needs):
        label = card.label(row["emotion"], where)
        if label is not None:
            part = part_of(row.get("Usage", "Training"), where)
            pixels = grey_pixels(row["pixels"], where, SIDE)
            yield Found(f"row{number:05d}", table, label, "", "", 0, part, pixels=pixels)


def by_table(source: Path, card: Card) -> Scan | None:
    """Return the rows of the official table, or of the later one with blanks before column names."""
    tables = tree(source, {".csv"})
    table = nearest_to_root(tables, "fer2013.csv") or nearest_to_root(tables, "icml_face_data.csv")
    if table is None:
        return None
    found = list(table_images(table, card, ("emotion", "pixels", "Usage")))
    return with_leftovers(source, Scan(f"table {table.name}", found), "image beside the table")


def by_challenge_table(source: Path, card: Card) -> Scan | None:
    """Return the rows of ``train.csv``, the labelled part of the challenge; its ``test.csv`` has no labels."""
    tables = tree(source, {".csv"})
    table = nearest_to_root(tables, "train.csv")
    if table is None:
        return None
    found = list(table_images(table, card, ("emotion", "pixels")))
    skipped = {}
    unlabelled = table.parent / "test.csv"
    if unlabelled in tables:
        header, rows = "", 0
        for _, _, row in pixel_rows(unlabelled, ("pixels",)):
            header, rows = header or ",".join(row), rows + 1
        if "emotion" in header.split(","):
            raise DataError(f"{unlabelled}: has labels but no Usage, so its part is unknown; use fer2013.csv instead")
        skipped["no label"] = [f"{below(source, unlabelled)}: {rows} rows"]
    scan = Scan("table train.csv, the Training part only", found, skipped, card.split_counts.get("train", {}))
    return with_leftovers(source, scan, "image beside the table")


def class_word(file: Path) -> str:
    """Return the class folder's name; raises DataError for a number, whose meaning differs between re-packs."""
    folder = file.parent
    if folder.name.isdigit():
        raise DataError(f"{folder}: ambiguous numbered class folder; rename such folders to angry, disgust, ...")
    return folder.name


def by_file_name(source: Path, card: Card) -> Scan | None:
    """Return ``<any>/<class>/PrivateTest_10118481.jpg``, with the part from the file name."""
    files = [(file, NAME.fullmatch(file.stem)) for file in tree(source)]
    if not any(match for _, match in files):
        return None
    found = []
    for file, match in files:
        if match is not None:
            label = card.label(class_word(file), str(file))
            part = part_of(match["part"], str(file))
            if label is not None:
                found.append(Found(f"{part}-{match['number']}", file, label, "", "", 0, part))
    scan = Scan("class folders, part read from the file name", separate_names(found))
    return with_leftovers(source, scan, "not an official file name (augmented copy?)")


def separate_names(found: list[Found]) -> list[Found]:
    """Return the images, with the class appended to names that occur with different faces in two classes.

    The usual re-pack has two such names, Training_52789098 and Training_8475486. Raises DataError for equal content, or a
    name that occurs twice in one class.
    """
    groups: dict[str, list[Found]] = {}
    for image in found:
        groups.setdefault(image.sample, []).append(image)
    whole = []
    for group in groups.values():
        for place, image in enumerate(group):
            for other in group[:place]:
                if image.label == other.label or same_content(image, other):
                    raise duplicate_name_error(image, other)
        alone = len(group) == 1
        whole += group if alone else [replace(one, sample=f"{one.sample}-{one.label}") for one in group]
    return whole


def by_folder(source: Path, card: Card) -> Scan | None:
    """Return images such as ``train/angry/im0.png``, without parts unless the folders have the official names."""
    files = tree(source)
    words = {word.lower() for word in card.folders}
    if not any(file.parent.name.lower() in words for file in files):
        if any(file.parent.name.isdigit() for file in files):
            class_word(next(file for file in files if file.parent.name.isdigit()))
        return None
    parts = [part_above(file.parent, source, PARTS) for file in files]
    official = all(part is not None for part in parts)
    found = []
    for file, part in zip(files, parts, strict=True):
        label = card.label(class_word(file), str(file))
        home = part or part_above(file.parent, source, RESPLIT)
        if label is not None:
            sample = "-".join(word for word in (home, label, file.stem) if word)
            found.append(Found(sample, file, label, "", "", 0, (official and part) or "none", own=False))
    layout = "class folders in Training, PublicTest, PrivateTest" if official else "class folders without official split"
    return Scan(layout, found, counts=None if official else dict(card.counts))
