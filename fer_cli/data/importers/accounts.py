"""Accounting of all files below a source: images of the set, left out for a reason, or counted by suffix.

Images and videos (by suffix or first bytes) that an importer does not mention are listed one by one; other files are
counted.
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

LINK = "link out of the source; not followed"
PICTURE = "image not part of this layout"
FILM = "video not part of this layout"
HIDDEN = "hidden or system files"
NO_SUFFIX = "without suffix"

Where = Callable[[Path], Path]
"""Returns the real path of a folder (cached)."""


def accounts(source: Path, scan: Scan) -> Scan:
    """Return the scan with all unmentioned images, videos and outward links listed by reason, and other files counted.

    Images reached through a link out of ``source`` are removed. Raises DataError for an unreadable folder.
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
        if (folder(file.parent), file.name) in known:
            continue
        name = readable_name(below(source, file))
        if name in names:
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
    """Return the possible file names in an entry of ``Scan.skipped``: all of it, or the part before a face or row."""
    return [entry, *(entry.rpartition(mark)[0] for mark in (", ", ": "))]


def without_links_out(source: Path, found: list[Found], folder: Where) -> tuple[list[Found], set[str]]:
    """Return the images inside ``source``, and the links through which the others were reached."""
    home, links = real(source), set[str]()
    outside = {parent: not folder(parent).is_relative_to(home) for parent in {image.file.parent for image in found}}
    kept = []
    for image in found:
        away = outside[image.file.parent]
        if not away and not (leads_out(image.file, home) and why_unreadable(image.file) is None):
            kept.append(image)
            continue
        steps = [image.file, *image.file.parents]
        way = [step for step in steps if step.is_relative_to(source) and step != source and leads_out(step, home)]
        links.add(readable_name(below(source, way[-1] if way else image.file)))
    return kept, links


def every_file(source: Path, folder: Where) -> Iterator[Path]:
    """Yield all files below ``source`` in order, hidden ones included, and all links to folders outside it."""
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
    """Return why an unused file is left out; None if it is neither an image, a video nor an outward link."""
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
    """Return why a file of unknown suffix is left out; None if its first bytes are not those of an image or video."""
    try:
        with file.open("rb") as stream:
            kind = kind_of(stream.read(HEAD))
    except OSError as error:
        return f"cannot be opened to check for an image ({problem(error)})"
    return None if kind is None else f"{kind} content without a matching suffix; rename the file"


def other_kind(file: Path, source: Path) -> str:
    """Return the suffix under which any other file is counted."""
    if any(is_junk(part) for part in file.relative_to(source).parts):
        return HIDDEN
    return readable_name(file.suffix.lower()) or NO_SUFFIX
