"""Verified runs and the signatures of their files, so that reports of thousands of runs do not reread them.

``runs/.checked.json`` is a cache: it is rebuilt if invalid, and files whose time, size or inode changed are reread.
"""

from __future__ import annotations

import fnmatch
import json
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from fer_cli.outputs import CENTRES, HISTORIES, LABELS, PREDICTIONS, RESULT
from fer_cli.places import read_text, write_text

FILE = ".checked.json"
VERSION = 2  # incremented when the checks of a run, or what is kept of them, change
SETTLED = 100_000_000  # minimum age in ns of cached files: two writes within one clock tick have the same time

Sign = tuple[int, ...]  # signature of a file: time (ns), size and inode; () if it is missing
Files = tuple[tuple[str, Sign], ...]  # name and signature of each checked file of a run

_found: dict[Path, dict[str, Any]] = {}  # folder of runs -> runs verified by this process


def sign_file(path: str | Path) -> Sign:
    """Return a file's signature: time, size and inode; () if it is missing."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def sign_files(folder: Path, also: tuple[str, ...] = ()) -> Files:
    """Return names and signatures of the files of a run that are checked, and of the files ``also``."""
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except OSError:
        names = set()
    tables = sorted([*fnmatch.filter(names, HISTORIES), *fnmatch.filter(names, CENTRES)])
    checked = [*tables, *(name for name in (PREDICTIONS, LABELS) if name in names)]
    return tuple((name, sign_file(f"{folder}/{name}")) for name in (RESULT, *checked, *also))


@cache
def read_records(runs: Path) -> dict[str, Any]:
    """Return the cache of a folder: run id -> file signatures, and a number of some of the files."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
        content = json.loads(read_text(runs / FILE))
        if content["version"] == VERSION and isinstance(content["runs"], dict):
            return dict(content["runs"])
    return {}


def is_verified(folder: Path, files: Files) -> bool:
    """Return whether a run was verified with these file signatures."""
    kept = read_records(folder.parent).get(folder.name)
    return isinstance(kept, dict) and kept.get("files") == [[name, list(sign)] for name, sign in files]


def stored_number(path: Path, sign: Sign) -> float | None:
    """Return what is cached of a file with this signature, or None: see ``record_verified``."""
    kept = read_records(path.parent.parent).get(path.parent.name)
    if isinstance(kept, dict) and [path.name, list(sign)] in kept.get("files", []):
        number = kept.get("final", {}).get(path.name)
        return number if isinstance(number, float) else None
    return None


def record_verified(folder: Path, files: Files, final: dict[str, float]) -> None:
    """Record that a run is verified; ``final``: final training accuracy of each history, calibration of the predictions."""
    if max(sign[0] for _, sign in files) < time.time_ns() - SETTLED:
        entry = {"files": [[name, list(sign)] for name, sign in files], "final": final}
        _found.setdefault(folder.parent, {})[folder.name] = entry


def save_verified(results: Path) -> None:
    """Save the runs verified by this process, if the results folder is writable."""
    runs = results / "runs"
    if new := _found.pop(runs, None):
        with suppress(OSError):
            write_text(runs / FILE, json.dumps({"version": VERSION, "runs": read_records(runs) | new}))
        read_records.cache_clear()
