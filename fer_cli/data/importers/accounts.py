"""Every file below a source is accounted for: an image of the set, left out for a reason, or counted by its suffix.

An importer says what it reads and what it passes over; what it does not mention is found here. Pictures and films, told by
their suffix or else their first bytes, are listed one by one; tables, texts and archives are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from fer_cli.data.archive import archive_of
from fer_cli.data.files import problem, readable_name, why_unreadable
from fer_cli.data.formats import HEAD, IMAGE_SUFFIXES, NOT_READ, PLAIN, UNREAD, VIDEO_SUFFIXES, kind_of
from fer_cli.data.importers.found import Found, Scan
from fer_cli.data.importers.walk import below, is_junk, leads_out, real, walk_folders

LINK = "a link that leads out of the source; it is not followed"
PICTURE = "picture where this layout has none"
FILM = "film where this layout has none"
HIDDEN = "hidden or left by a system"
NO_SUFFIX = "without a suffix"

Where = Callable[[Path], Path]
"""Where a folder really is; remembered, for a folder has many files."""


def accounts(source: Path, scan: Scan) -> Scan:
    """Return the scan with a reason for every picture, film and link out that it does not name, and the other files counted.

    Images that are reached through a link out of ``source`` are taken from it, and so
    are entries of an archive that are not read. Raises DataError for a folder that cannot be listed.
    """
    if not source.is_dir():
        return scan
    folder = cache(real)
    found, links = without_links_out(source, scan.found, folder)
    archive = archive_of(source)
    skipped = {reason: list(names) for reason, names in (scan.skipped | (archive.refused if archive else {})).items()}
    names = {part for listed in skipped.values() for name in listed for part in files_in(name)}
    known = {(folder(image.file.parent), image.file.name) for image in found}
    others: Counter[str] = Counter()
    for file in every_file(source, folder):
        name = readable_name(below(source, file))
        if (folder(file.parent), file.name) in known or name in names:
            continue
        reason = why_left_out(file, source)
        if reason == LINK:
            links.add(name)
        elif reason is not None:
            skipped.setdefault(reason, []).append(name)
        else:
            others[other_kind(file, source)] += 1
    if links:
        skipped[LINK] = sorted(links)
    return replace(scan, found=found, skipped=skipped, others=dict(sorted(others.items())))


def files_in(entry: str) -> list[str]:
    """Return what may be a file's name in an entry of ``Scan.skipped``: all of it, or what stands before a face or row."""
    return [entry, *(entry.rpartition(mark)[0] for mark in (", ", ": "))]


def without_links_out(source: Path, found: list[Found], folder: Where) -> tuple[list[Found], set[str]]:
    """Return the images that are reached without leaving ``source``, and the links by which the others are."""
    home, links = real(source), set[str]()
    kept = []
    for image in found:
        away = not folder(image.file.parent).is_relative_to(home)
        if not away and not (leads_out(image.file, home) and why_unreadable(image.file) is None):
            kept.append(image)
            continue
        steps = [image.file, *image.file.parents]
        way = [step for step in steps if step.is_relative_to(source) and step != source and leads_out(step, home)]
        links.add(readable_name(below(source, way[-1] if way else image.file)))
    return kept, links


def every_file(source: Path, folder: Where) -> Iterator[Path]:
    """Yield every file below ``source`` in order, and every link to a folder out of it; hidden folders are looked into."""
    home, seen = real(source), set[Path]()
    for where, folders, files in walk_folders(source, follow=True):
        here = folder(where)
        if here in seen or not here.is_relative_to(home):
            if here not in seen:
                yield where
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        yield from (where / name for name in sorted(files))


def why_left_out(file: Path, source: Path) -> str | None:
    """Return why a file that no image is made from is left out; None where it is neither picture, film nor link out."""
    if any(is_junk(part) for part in file.relative_to(source).parts):
        return None
    fault = why_unreadable(file)
    if leads_out(file, real(source)) and fault in {None, "a folder, not a file"}:
        return LINK
    suffix = file.suffix.lower()
    if suffix in UNREAD:
        return f"{UNREAD[suffix]}, {NOT_READ}"
    if suffix in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        return PICTURE if suffix in IMAGE_SUFFIXES else FILM
    return None if suffix in PLAIN or fault is not None else why_by_content(file)


def why_by_content(file: Path) -> str | None:
    """Return why a file that its name does not tell is left out; None where its first bytes tell no picture or film."""
    try:
        with file.open("rb") as stream:
            kind = kind_of(stream.read(HEAD))
    except OSError as error:
        return f"cannot be opened to see whether it is a picture ({problem(error)})"
    return None if kind is None else f"{kind} by its content, not by its name; give it the suffix of its format"


def other_kind(file: Path, source: Path) -> str:
    """Return what a file that is neither picture nor film is counted as: its suffix."""
    if any(is_junk(part) for part in file.relative_to(source).parts):
        return HIDDEN
    return readable_name(file.suffix.lower()) or NO_SUFFIX
