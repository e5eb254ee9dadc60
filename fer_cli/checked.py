"""Which runs were found whole, and in which state of their files: a report of thousands of runs reads no file twice.

``runs/.checked.json`` is made again where it is missing, of another version or damaged; a file that changed since (time,
size or inode) is read again. It holds for this results folder alone: files that are copied have other times.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from fer_cli.places import read_text, write_text

FILE = ".checked.json"
VERSION = 1
"""Raised when more is checked of a run, or otherwise."""
SETTLED = 100_000_000
"""Nanoseconds since a file was written before its state is kept: two contents within one tick of the clock have one time."""

Sign = tuple[int, ...]
"""What changes with a file's content: time (ns), size and inode; nothing where there is none."""
Files = tuple[tuple[str, Sign], ...]
"""Name and sign of each file that is read of a run."""

_found: dict[Path, dict[str, Any]] = {}
"""Folder of runs -> runs that this process found whole."""


@cache
def read_records(runs: Path) -> dict[str, Any]:
    """Return what was kept of the runs in a folder: run id -> their files, and the final training accuracy of histories."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
        content = json.loads(read_text(runs / FILE))
        if content["version"] == VERSION and isinstance(content["runs"], dict):
            return dict(content["runs"])
    return {}


def is_verified(folder: Path, files: Files) -> bool:
    """Return whether a run was found whole with these files as they are now."""
    kept = read_records(folder.parent).get(folder.name)
    return isinstance(kept, dict) and kept.get("files") == [[name, list(sign)] for name, sign in files]


def stored_accuracy(history: Path, sign: Sign) -> float | None:
    """Return the final training accuracy that was kept of a history in this state, or None."""
    kept = read_records(history.parent.parent).get(history.parent.name)
    if isinstance(kept, dict) and [history.name, list(sign)] in kept.get("files", []):
        accuracy = kept.get("final", {}).get(history.name)
        return accuracy if isinstance(accuracy, float) else None
    return None


def record_verified(folder: Path, files: Files, final: dict[str, float]) -> None:
    """Note that a run was found whole; ``final``: training accuracy of the last epoch of each of its histories."""
    if max(sign[0] for _, sign in files) < time.time_ns() - SETTLED:
        entry = {"files": [[name, list(sign)] for name, sign in files], "final": final}
        _found.setdefault(folder.parent, {})[folder.name] = entry


def save_verified(results: Path) -> None:
    """Write down what this process found whole under a results folder; where nothing can be written, nothing is kept."""
    runs = results / "runs"
    if new := _found.pop(runs, None):
        with suppress(OSError):
            write_text(runs / FILE, json.dumps({"version": VERSION, "runs": read_records(runs) | new}))
        read_records.cache_clear()
