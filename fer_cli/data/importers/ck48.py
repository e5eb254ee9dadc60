"""CK+48: the last three frames of each labelled CK+ sequence as 48x48 grey PNGs in one folder per class.

File names ``S010_004_00000017.png`` give subject, sequence and frame, which are kept for grouping.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Found, Scan, class_folders, first_layout
from fer_cli.data.importers.walk import image_files
from fer_cli.errors import DataError

NAME = re.compile(r"(?P<subject>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})", re.IGNORECASE)


def scan_ck48(source: Path, card: Card) -> Scan:
    """Return all images under ``source``; raises DataError for a malformed file name or a duplicate."""
    return first_layout(source, card, {f"class folders {', '.join(card.folders)}": by_class})


def by_class(source: Path, card: Card) -> Scan | None:
    """Return ``<class>/S010_004_00000017.png``."""
    folders = class_folders(source, card)
    if folders is None:
        return None
    found = []
    for folder, label in folders.items():
        for file in image_files(folder):
            match = NAME.fullmatch(file.stem)
            if match is None:
                raise DataError(f"{file}: not a CK+48 file name; expected <subject>_<sequence>_<frame>.png")
            subject = match["subject"].upper()
            sequence = f"{subject}_{match['sequence']}"
            found.append(Found(file.stem.upper(), file, label, subject, sequence, int(match["frame"])))
    return Scan("class folders", found)
