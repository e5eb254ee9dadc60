"""Making room in the store of computed features: which entries there are, how large, and their removal.

Only regular files that are named as the store names its own are ever looked at: links, folders and all others stay. An entry
that a process is writing is locked, and stays too. What is removed is computed anew when it is next needed.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from filelock import FileLock, Timeout

DAY_S = 24 * 60 * 60
OWN = re.compile(
    r"(?P<draft>\.)?(?P<key>(?P<kind>[a-z][a-z0-9_-]*)-[0-9a-f]{32})"
    r"(\.json|\.lock|\.[a-z][a-z0-9_-]*\.npy)(?(draft)\.[0-9]+(-[0-9a-f]{8})?\.tmp)"
)
"""Names that the store gives: an entry's record, lock and arrays, and drafts of these, which a killed process leaves."""


@dataclass(frozen=True)
class Stored:
    """The files of one entry."""

    key: str
    kind: str
    """Name of the extractor."""
    files: tuple[Path, ...]
    size: int
    """Bytes of all files."""


def list_entries(folder: Path, older_than: float | None = None) -> list[Stored]:
    """Return the entries in the store's folder, by name; of these, only the ones ``older_than`` days old or more.

    An entry is as old as the last of its files. What an interrupted process left of one counts as one, too. There are none
    where there is no folder.
    """
    found: dict[tuple[str, str], list[tuple[Path, int, float]]] = defaultdict(list)
    for path in folder.iterdir() if folder.is_dir() else ():
        if (name := OWN.fullmatch(path.name)) is None:
            continue
        try:
            about = path.lstat()
        except FileNotFoundError:  # a draft that got its name meanwhile
            continue
        if S_ISREG(about.st_mode):
            found[name["key"], name["kind"]].append((path, about.st_size, about.st_mtime))
    latest = math.inf if older_than is None else time.time() - older_than * DAY_S
    entries = []
    for (key, kind), files in sorted(found.items()):
        paths, sizes, times = zip(*files, strict=True)
        if max(times) <= latest:
            entries.append(Stored(key, kind, tuple(sorted(paths)), sum(sizes)))
    return entries


def remove_entries(entries: list[Stored]) -> Iterator[Stored]:
    """Remove entries and yield those that are gone; one that is being written, or whose lock is a link, stays."""
    for entry in entries:
        path = entry.files[0].parent / f"{entry.key}.lock"
        if path.is_symlink():
            continue
        try:
            with FileLock(path, timeout=0):
                for file in sorted(entry.files, key=lambda file: file.suffix != ".json"):  # without its record it is none
                    file.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
        except Timeout:
            continue
        yield entry
