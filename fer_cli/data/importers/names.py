"""Data without a card, with labels in file names such as ``p01_happy_3.jpg``, in any folders.

A regular expression with the group ``label`` is searched in each path below the source; the groups ``subject``, ``sequence``
and ``frame`` are optional. Folders named train, val and test are parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fer_cli.data.cards import Card
from fer_cli.data.files import readable_name, shorten
from fer_cli.data.formats import IMAGE_SUFFIXES
from fer_cli.data.importers.found import Found, Scan, unique
from fer_cli.data.importers.hints import where_to_point
from fer_cli.data.importers.own import PARTS, own_card
from fer_cli.data.importers.patterns import compile_pattern, read_groups, search_names
from fer_cli.data.importers.walk import files_below
from fer_cli.errors import DataError
from fer_cli.escape import cut

UNMATCHED = "path not matched by --label"


@dataclass(frozen=True)
class Names:
    """The image files of a folder, and the matches of a pattern in their paths."""

    source: Path
    pattern: re.Pattern[str]
    files: list[Path]
    paths: list[str]
    """Relative to the source, with slashes."""
    matches: list[re.Match[str] | None]
    """None also for an empty label."""


def read_names(source: Path, label: str, suffixes: set[str] = IMAGE_SUFFIXES) -> Names:
    """Return the matches of pattern ``label`` in files of these ``suffixes`` in ``source``.

    Raises DataError for a bad pattern, no images or no matches.
    """
    pattern = compile_pattern(label, "label")
    if not source.is_dir():
        what = "a file, not a folder" if source.exists() else "no such folder"
        raise DataError(f"{source}: {what}; --label takes the folder of the images")
    files = list(files_below(source, suffixes, within=source))
    if not files:
        raise DataError(f"{source}: contains no images{where_to_point(source)}")
    paths = [file.relative_to(source).as_posix() for file in files]
    found = [match if match and (match["label"] or "").strip() else None for match in search_names(pattern, paths)]
    if not any(found):
        what = f"finds no label in any of {len(paths)} paths, such as '{shorten(readable_name(paths[0]))}'"
        raise DataError(f"{source}: --label '{cut(label)}' {what}")
    return Names(source, pattern, files, paths, found)


def words_of(names: Names) -> Iterable[str]:
    """Yield the label in each path."""
    return (match["label"] for match in names.matches if match)


def card_from_names(name: str, names: Names, codes: dict[str, str]) -> Card:
    """Return a card for the labels in file names; raises DataError for a number that is not in ``codes``."""
    return own_card(name, words_of(names), f"{names.source}: label", codes=codes)


def scan_names(names: Names, card: Card) -> Scan:
    """Return all images with a label in their path, the others as skipped; raises DataError as ``read_groups`` does."""
    found, skipped = [], []
    for file, path, match in zip(names.files, names.paths, names.matches, strict=True):
        label = card.label(match["label"], str(file)) if match else None
        if label is None:
            skipped.append(path)
            continue
        subject, sequence, frame = read_groups(match, names.pattern, path, str(file))
        found.append(Found(path, file, label, subject, sequence, frame, part_of(path), own=False))
    parts = sorted({image.split for image in found} - {"none"}, key=list(PARTS.values()).index)
    layout = f"labels from names in {', '.join(parts)}" if parts else "labels from names"
    return unique(Scan(layout, found, {UNMATCHED: skipped} if skipped else {}))


def part_of(path: str) -> str:
    """Return the part of the nearest folder named after one, ``none`` without."""
    folders = (folder.lower() for folder in reversed(PurePosixPath(path).parts[:-1]))
    return next((PARTS[folder] for folder in folders if folder in PARTS), "none")
