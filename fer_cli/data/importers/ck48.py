"""CK+48: the last three frames of each labelled CK+ sequence as 48x48 grey PNGs in one folder per class.

File names are ``S010_004_00000017.png``: subject, sequence of that subject, frame. Images of one sequence are
near-copies and images of one subject share a face, so both are kept for grouping.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Found, class_folders, image_files
from fer_cli.errors import DataError

NAME = re.compile(r"(?P<subject>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})", re.IGNORECASE)


def scan_ck48(source: Path, card: Card) -> list[Found]:
    """Return every image under ``source``; raises DataError on a file name of another pattern or an image seen twice."""
    found: dict[str, Found] = {}
    for folder, label in class_folders(source, card).items():
        for file in image_files(folder):
            match = NAME.fullmatch(file.stem)
            if match is None:
                raise DataError(f"{file}: not a CK+48 file name; expected <subject>_<sequence>_<frame>.png")
            sample = file.stem.upper()
            if sample in found:
                raise DataError(f"{file}: the same image also stands at {found[sample].file}; keep one of the two")
            subject = match["subject"].upper()
            sequence = f"{subject}_{match['sequence']}"
            found[sample] = Found(sample, file, label, subject, sequence, int(match["frame"]))
    return [found[sample] for sample in sorted(found)]
