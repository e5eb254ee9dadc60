"""Data without a card, one folder per class: ``happy/a.jpg``, or ``train/happy/a.jpg`` beside ``val`` and ``test``.

A regular expression may find the subject in each path; a path without a match is an error, because an unknown person could
be on both sides of a split.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.formats import IMAGE_SUFFIXES
from fer_cli.data.importers.found import Found, Scan, first_layout
from fer_cli.data.importers.hints import where_to_point
from fer_cli.data.importers.own import PARTS, SPELLINGS, own_card, why_ignored
from fer_cli.data.importers.patterns import compile_pattern, read_groups, search_names
from fer_cli.data.importers.walk import below, files_below, image_files, visible_folders
from fer_cli.errors import DataError

DEPTH = 2
"""Maximum depth of the class folders, or of the parts that contain them, below the source."""


def scan_folder(source: Path, card: Card, subject_regex: str | None = None, suffixes: set[str] = IMAGE_SUFFIXES) -> Scan:
    """Return all images (or files of other ``suffixes``) below the class folders of ``source``.

    ``subject_regex``: pattern with the group ``subject``, searched in each path below the parent of the classes or parts.
    Raises DataError for an unknown class folder, class folders in two places, and a path without a match.
    """
    pattern = None if subject_regex is None else compile_pattern(subject_regex, "subject")
    words = ", ".join(card.folders or card.codes)
    return first_layout(source, card, {f"class folders {words}": lambda root, own: by_folder(root, own, pattern, suffixes)})


def by_folder(
    source: Path, card: Card, pattern: re.Pattern[str] | None = None, suffixes: set[str] = IMAGE_SUFFIXES
) -> Scan | None:
    """Return ``[<part>/]<class>/.../<any name>``; None if no folder is named after a class."""
    known = {word.lower() for word in (card.folders | card.codes)}
    home = home_of_classes(source, known)
    if home is None:
        return None
    found, skipped, seen = [], dict[str, list[str]](), set()
    for folder, split in class_folders_in(home, known):
        label = card.label(folder.name, str(folder))
        files = list(files_below(folder, suffixes, within=source))
        seen.update(files)
        if label is not None:
            found += [Found(file.relative_to(home).as_posix(), file, label, "", "", 0, split, own=False) for file in files]
        elif files:
            skipped.setdefault(why_ignored(card, folder.name), []).extend(below(source, file) for file in files)
    if pattern is not None:
        found = with_people(found, pattern)
    outside = [below(source, file) for file in files_below(source, suffixes, within=source) if file not in seen]
    if outside:
        skipped["image outside the class folders"] = outside
    parts = sorted({image.split for image in found} - {"none"}, key=list(PARTS.values()).index)
    return Scan(f"class folders in {', '.join(parts)}" if parts else "class folders", found, skipped)


def with_people(found: list[Found], pattern: re.Pattern[str]) -> list[Found]:
    """Return the images with subject, sequence and frame from their paths; raises DataError as ``read_groups`` does."""
    whole = []
    for image, match in zip(found, search_names(pattern, [image.sample for image in found]), strict=True):
        subject, sequence, frame = read_groups(match, pattern, image.sample, str(image.file))
        whole.append(replace(image, subject=subject, sequence=sequence, frame=frame))
    return whole


def home_of_classes(source: Path, known: set[str]) -> Path | None:
    """Return the topmost folder that contains class folders, or parts with class folders; None without."""
    level = [source] if source.is_dir() else []
    for _ in range(DEPTH + 1):
        homes = [root for root in level if any(f.name.lower() in known for f, _ in class_folders_in(root, known))]
        if len(homes) > 1:
            raise DataError(f"{source}: class folders in both {homes[0]} and {homes[1]}; give --from one of them")
        if homes:
            return homes[0]
        level = [inner for root in level for inner in visible_folders(root)]
    return None


def class_folders_in(home: Path, known: set[str]) -> list[tuple[Path, str]]:
    """Return the class folders of ``home`` with their parts; folders beside train, val and test are not classes."""
    folders = visible_folders(home)
    parts = [folder for folder in folders if folder.name.lower() in PARTS and folder.name.lower() not in known]
    if not parts:
        return [(folder, "none") for folder in folders]
    return [(folder, PARTS[part.name.lower()]) for part in parts for folder in visible_folders(part)]


def card_from_folder(
    name: str, source: Path, codes: dict[str, str] | None = None, suffixes: set[str] = IMAGE_SUFFIXES
) -> Card:
    """Return a card for class folders on disk; ``codes``: see ``read_codes``; ``suffixes``: of the files that count.

    Raises DataError for no class folders, or a numbered one without a code.
    """
    if not source.is_dir():
        what = "a file, not a folder" if source.exists() else "no such folder"
        raise DataError(f"{source}: {what}; --layout folder takes the parent of the class folders")
    home, folders = source, with_images(source, source, suffixes)
    for _ in range(DEPTH):
        if len(folders) != 1 or parts_in(folders) or folders[0].name.lower() in SPELLINGS:
            break
        inner = with_images(folders[0], source, suffixes)
        if image_files(folders[0], suffixes) and len(inner) < 2:  # a class folder with a sub-folder
            break
        home, folders = folders[0], inner
    if not folders:
        takes = "--layout folder takes <class>/<image> or train/<class>/<image>"
        raise DataError(f"{source}: contains no class folders; {takes}{where_to_point(source)}")
    if all(not image_files(folder, suffixes) and holds_expressions(folder) for folder in folders) and not parts_in(folders):
        below = "--label '(?P<subject>[^/]+)/(?P<label>[^/]+)/'"
        raise DataError(f"{home}: class folders are below {folders[0].name}, ...; if these are people: {below}")
    classes = [folder for folder, _ in class_folders_in(home, set())]
    used = {folder.name.lower() for folder in classes if any(files_below(folder, suffixes, within=source))}
    empty = {folder.name.lower() for folder in classes} - used
    if parts_in(folders) and not used:
        raise DataError(
            f"{home}: no class folders in {parts_in(folders)[0].name}; where a table has the labels, use --layout csv"
        )
    return own_card(name, used, f"{home}: class folder", dict.fromkeys(empty, "no image in it"), codes)


def with_images(home: Path, source: Path, suffixes: set[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the sub-folders that contain images at any depth, without following links out of ``source``."""
    folders = visible_folders(home) if home.is_dir() else []
    return [folder for folder in folders if any(files_below(folder, suffixes, within=source))]


def parts_in(folders: list[Path]) -> list[Path]:
    """Return the folders named after a part of a split."""
    return [folder for folder in folders if folder.name.lower() in PARTS]


def holds_expressions(folder: Path) -> bool:
    """Return whether a sub-folder is named after a basic expression, as in a folder per subject."""
    return any(inner.name.lower() in SPELLINGS for inner in visible_folders(folder))
