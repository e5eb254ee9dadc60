"""List and delete entries of the feature cache; deleted features are recomputed when they are next needed.

Only regular files whose names match the cache's naming scheme are touched; links, folders and locked entries are kept.
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
"""File names of the cache: an entry's record, lock and arrays, and temporary files left by a killed process."""


@dataclass(frozen=True)
class Stored:
    """The files of one cache entry."""

    key: str
    kind: str
    files: tuple[Path, ...]
    size: int
    """Bytes of all files."""


def list_entries(folder: Path, older_than: float | None = None) -> list[Stored]:
    """Return the cache entries in ``folder`` sorted by name, optionally only those at least ``older_than`` days old.

    An entry's age is that of its newest file. Partial entries of interrupted processes are included.
    """
    found: dict[tuple[str, str], list[tuple[Path, int, float]]] = defaultdict(list)
    for path in folder.iterdir() if folder.is_dir() else ():
        if (name := OWN.fullmatch(path.name)) is None:
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:  # a temporary file that was renamed meanwhile
            continue
        if S_ISREG(status.st_mode):
            found[name["key"], name["kind"]].append((path, status.st_size, status.st_mtime))
    latest = math.inf if older_than is None else time.time() - older_than * DAY_S
    entries = []
    for (key, kind), files in sorted(found.items()):
        paths, sizes, times = zip(*files, strict=True)
        if max(times) <= latest:
            entries.append(Stored(key, kind, tuple(sorted(paths)), sum(sizes)))
    return entries


def remove_entries(entries: list[Stored]) -> Iterator[Stored]:
    """Delete entries and yield the deleted ones; entries being written or whose lock is a link are kept."""
    for entry in entries:
        path = entry.files[0].parent / f"{entry.key}.lock"
        if path.is_symlink():
            continue
        try:
            with FileLock(path, timeout=0):
                for file in sorted(entry.files, key=lambda file: file.suffix != ".json"):  # no record, no entry
                    file.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
        except Timeout:
            continue
        yield entry
