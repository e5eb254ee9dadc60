"""CK+ 920: peak frames of the labelled CK+ sequences and one neutral frame of each of the 593, 48x48 grey.

The classes are numbered as in FER2013 plus contempt, not as in CK+. Subjects are unknown.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.ckplus import NAME
from fer_cli.data.importers.found import (
    Found,
    Scan,
    class_folders,
    first_layout,
    grey_pixels,
    read_rows,
    table_with,
    with_leftovers,
)
from fer_cli.data.importers.walk import image_files, visible_folders
from fer_cli.errors import DataError, nearest

PARTS = {"training": "train", "publictest": "val", "privatetest": "test"}
"""Name of a part in the table, in lower case without blanks."""
OUTSIDE = "outside the class folders"


def scan_ckplus920(source: Path, card: Card) -> Scan:
    """Return all images of the table or the numbered folders; raises DataError for unknown class numbers."""
    return first_layout(
        source,
        card,
        {
            "a csv file with emotion,pixels,Usage": from_table,
            "numbered folders 0 to 7": by_code,
            f"class folders {', '.join(card.folders)}": by_word,
        },
    )


def from_table(source: Path, card: Card) -> Scan | None:
    """Return the rows of ``emotion,pixels[,Usage]``."""
    table = table_with(source, ("emotion", "pixels"))
    if table is None:
        return None
    found, skipped = [], dict[str, list[str]]()
    for line, row in read_rows(table, ("emotion", "pixels")):
        where = f"{table}, line {line}"
        label = card.label(row["emotion"], where)
        if label is None:
            skipped.setdefault("ignored class", []).append(f"{table.name} line {line}")
            continue
        pixels = grey_pixels(row["pixels"], where)
        part = part_of(row["Usage"], where) if "Usage" in row else "none"
        found.append(Found(f"line{line:06d}", table, label, "", "", 0, part, pixels=pixels))
    return with_leftovers(source, Scan("table of pixels", found, skipped), "not in the table")


def part_of(usage: str, where: str) -> str:
    """Return our name of the part in a cell of ``Usage``; raises DataError for other words."""
    key = usage.replace(" ", "").lower()
    if key not in PARTS:
        raise DataError(f"{where}: Usage '{usage}' is not Training, PublicTest or PrivateTest{nearest(key, PARTS)}")
    return PARTS[key]


def by_code(source: Path, card: Card) -> Scan | None:
    """Return ``<0..7>/680.png``."""
    if not source.is_dir():
        return None
    level = [folder for root in (source, *visible_folders(source)) for folder in visible_folders(root)]
    numbered = {folder.name: folder for folder in level if len(folder.name) == 1 and folder.name in "0123456789"}
    if {"1", "8"} <= numbered.keys() and "0" not in numbered:
        hint = f"rename them to the card's numbers, {', '.join(f'{k} {v}' for k, v in card.codes.items())}"
        raise DataError(f"{numbered['1'].parent}: folders numbered from 1; {hint}")
    return images_in(source, class_folders(source, card, card.codes), "numbered folders") if numbered else None


def by_word(source: Path, card: Card) -> Scan | None:
    """Return ``<class>/680.png``."""
    return images_in(source, class_folders(source, card), "class folders") if source.is_dir() else None


def images_in(source: Path, folders: dict[Path, str] | None, layout: str) -> Scan | None:
    """Return the images in class folders; raises DataError for file names of another re-pack."""
    if folders is None:
        return None
    found = []
    for folder, label in folders.items():
        for file in image_files(folder):
            if NAME.fullmatch(file.stem):
                raise DataError(f"{file}: file name of CK+ or CK+48, which keep subjects; build ckplus or ck48 from it")
            found.append(Found(f"{label}_{file.stem}", file, label, "", "", 0, own=False))
    return with_leftovers(source, Scan(layout, found), OUTSIDE)
