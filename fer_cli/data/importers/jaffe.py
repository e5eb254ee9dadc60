"""JAFFE: 213 images of ten women, seven posed expressions; ``KA.AN1.39.tiff`` is person KA, angry, first repeat, No. 39."""

from __future__ import annotations

import re
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import (
    Found,
    Scan,
    check_folder,
    class_folders,
    first_layout,
    grey_pixels,
    read_rows,
    table_with,
    with_leftovers,
)
from fer_cli.data.importers.walk import files_below, image_files
from fer_cli.errors import DataError

NAME = re.compile(r"(?P<image>(?P<subject>[A-Z]{2})\.(?P<class>[A-Z]{2})(?P<repeat>\d)\.\d+)(\.tiff?)?", re.IGNORECASE)
"""Pattern of names without the last suffix; conversions are called ``KA.AN1.39.tiff.png``."""
OUTSIDE = "not a JAFFE file name"


def scan_jaffe(source: Path, card: Card) -> Scan:
    """Return all images; raises DataError if folder and file name disagree, or a class is unknown."""
    return first_layout(
        source,
        card,
        {
            "KA.AN1.39.tiff in any folder": by_name,
            "class folders ANGRY, ... with angry1.jpg": by_class,
            "jaffe_pixels.csv with emotion,pixels": from_table,
        },
    )


def by_name(source: Path, card: Card) -> Scan | None:
    """Return ``KA.AN1.39.tiff``, flat or in class folders, as TIFF or converted."""
    found = []
    for file in files_below(source) if source.is_dir() else ():
        match = NAME.fullmatch(file.stem)
        if match is None:
            continue
        label = card.label(match["class"], str(file))
        if label is None:
            raise DataError(f"{file}: '{match['class']}' is not an expression of JAFFE")
        check_folder(file, label, card)
        found.append(Found(match["image"].upper(), file, label, match["subject"].upper(), "", int(match["repeat"])))
    return with_leftovers(source, Scan("JAFFE file names", found), OUTSIDE) if found else None


def by_class(source: Path, card: Card) -> Scan | None:
    """Return ``ANGRY/angry1.jpg``; subjects (and, in the known copy, the neutral class) are lost."""
    folders = class_folders(source, card) if source.is_dir() else None
    if folders is None:
        return None
    found = [
        Found(f"{label}_{file.stem}", file, label, "", "", 0, own=False)
        for folder, label in folders.items()
        for file in image_files(folder)
    ]
    return with_leftovers(source, Scan("class folders, subjects lost", found, counts={}), "outside the class folders")


def from_table(source: Path, card: Card) -> Scan | None:
    """Return the rows of ``emotion,pixels``, numbered as in FER2013; subjects are lost."""
    table = table_with(source, ("emotion", "pixels"))
    if table is None:
        return None
    found = []
    for line, row in read_rows(table, ("emotion", "pixels")):
        if row["emotion"] == "emotion":  # the script that writes this table appends the header on every run
            continue
        where = f"{table}, line {line}"
        label = card.label(row["emotion"], where)
        if label is None:
            raise DataError(f"{where}: class '{row['emotion']}' is not an expression of JAFFE")
        found.append(Found(f"line{line:06d}", table, label, "", "", 0, pixels=grey_pixels(row["pixels"], where)))
    return with_leftovers(source, Scan("table of pixels, subjects lost", found, counts={}), "not in the table")
