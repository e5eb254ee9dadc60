"""FEI: 200 people, frontal, neutral (``1a.jpg``) and smiling (``1b.jpg``).

The images come in several versions (manually aligned, spatially normalised, cropped), imported one at a time. The original
shots ``1-01.jpg`` to ``200-14.jpg`` are skipped, since their expressions are not documented.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Found, Scan, check_folder, first_layout
from fer_cli.data.importers.walk import below, files_below
from fer_cli.errors import DataError

FRONTAL = re.compile(r"(?P<person>\d{1,3})(?P<class>[a-z])", re.IGNORECASE)
SHOT = re.compile(r"\d{1,3}-\d{2}")
PART = re.compile(r"[\s_-]*part[\s_-]*\d+$", re.IGNORECASE)
PEOPLE = 200
UNKNOWN_SHOT = "original shot with undocumented expression"


def scan_fei(source: Path, card: Card) -> Scan:
    """Return the frontal images; raises DataError if there are two versions below ``source``."""
    return first_layout(
        source, card, {"frontalimages_manuallyaligned_part1/1a.jpg, or files of such names in any folder": by_name}
    )


def by_name(source: Path, card: Card) -> Scan | None:
    """Return ``1a.jpg`` and ``1b.jpg`` in any folders, the two parts of the zips merged or not."""
    files = list(files_below(source)) if source.is_dir() else []
    found, skipped, versions = [], dict[str, list[str]](), dict[str, Path]()
    for file in files:
        match = FRONTAL.fullmatch(file.stem)
        if match is None:
            reason = UNKNOWN_SHOT if SHOT.fullmatch(file.stem) else "not an FEI file name"
            skipped.setdefault(reason, []).append(below(source, file))
            continue
        label = card.label(match["class"], str(file))
        if label is None or not 1 <= int(match["person"]) <= PEOPLE:
            raise DataError(f"{file}: FEI has persons 1 to {PEOPLE}, each as <person>a.jpg and <person>b.jpg")
        check_folder(file, label, card)
        versions.setdefault(version_of(file, source, card), file)
        subject = f"{int(match['person']):03d}"
        found.append(Found(f"{subject}{match['class'].lower()}", file, label, subject, "", 0))
    if len(versions) > 1:
        one, other = (below(source, file) for file in list(versions.values())[:2])
        raise DataError(f"{source}: two versions of the frontal images ({one}, {other}); give --from the folder of one")
    if found or UNKNOWN_SHOT in skipped:
        return Scan("frontal pictures", found, skipped)
    return None


def version_of(file: Path, source: Path, card: Card) -> str:
    """Return the folder that identifies the version of the images, ignoring part numbers and class folders."""
    folder = file.parent
    while folder != source and (folder.name.lower() in card.folders or not PART.sub("", folder.name)):
        folder = folder.parent
    return PART.sub("", folder.name).lower()
