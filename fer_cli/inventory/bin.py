"""Remove runs into a bin under the results folder, ``bin/<time>-<run_id>``, restore them, and empty the bin.

A run is moved by one rename under its lock, so a kill at any moment leaves it whole, here or there. Nothing outside the
results folder is touched and no symbolic link is followed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from fer_cli.errors import ResultsError
from fer_cli.inventory.find import MOST, close_over, find_dependents, match_id
from fer_cli.inventory.rows import Row, list_rows
from fer_cli.runs import RunFolder

BIN = "bin"
DOOMED = ".emptied-"
"""Beginning of the name of an entry that is being deleted: the next emptying finishes it, and nothing restores it."""


@dataclass(frozen=True)
class Entry:
    """A removed run in the bin."""

    path: Path

    @property
    def run_id(self) -> str:
        """Return the run's id."""
        return self.path.name.split("-", 1)[1]


def choose_runs(results: Path, wanted: Iterable[str], with_dependents: bool, rows: list[Row] | None = None) -> list[str]:
    """Return the ids of the runs to remove, dependents first, given ids or their first digits.

    Raises ResultsError for an unknown or ambiguous id, a running run, or a run that others start from, unless they are
    removed too.
    """
    rows = list_rows(results) if rows is None else rows
    known = {row.run_id: row for row in rows}
    names = list(dict.fromkeys(match_id(text, known, f"under {results}; fer runs lists all") for text in wanted))
    after = find_dependents(results, rows, names, deep=with_dependents)
    chosen = close_over(names, after) if with_dependents else names
    for name in names:
        others = [other for other in after[name] if other not in chosen]
        if others:
            more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
            start = "starts" if len(others) == 1 else "start"
            raise ResultsError(
                f"{name}: {', '.join(others[:MOST])}{more} {start} from it; remove them too with --with-dependents"
            )
    if busy := [name for name in chosen if known[name].state == "running"]:
        raise ResultsError(f"{busy[0]}: {known[busy[0]].reason}; end that process first, or leave this run")
    check_place(results)
    for name in chosen:
        check_folder(results / "runs" / name)
    return chosen


def remove_runs(results: Path, names: Iterable[str]) -> Iterator[Entry]:
    """Move runs into the bin, one after another, and yield their entries; raises ResultsError for a run that began."""
    check_place(results)
    bin_folder = results / BIN
    bin_folder.mkdir(exist_ok=True)
    for name in names:
        folder = RunFolder(results, name)
        check_folder(folder.path)
        with lock_run(folder):
            if folder.claimed:
                raise ResultsError(f"{name}: {folder.owner()} began to train it; end that process first, or leave this run")
            goal = free_place(bin_folder, name)
            folder.path.rename(goal)
        yield Entry(goal)


def free_place(bin_folder: Path, name: str) -> Path:
    """Return a path in the bin that is not taken: two copies of a run may be removed within a second."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        path = bin_folder / f"{stamp}{f'.{number}' if number else ''}-{name}"
        if not os.path.lexists(path):
            return path
    raise ResultsError(f"{bin_folder}: too many copies of {name}; empty it with fer rm --empty-bin")


@contextmanager
def lock_run(folder: RunFolder) -> Iterator[None]:
    """Hold the lock under which runs are claimed; it moves with the folder, and is not created in one that is gone."""
    if not folder.path.is_dir():
        raise ResultsError(f"{folder.path}: gone; another process removed it")
    with FileLock(folder.file(".lock")):
        yield


def check_place(results: Path) -> None:
    """Raise ResultsError if runs or bin are symbolic links, which lead out of the results folder."""
    for name in ("runs", BIN):
        if (results / name).is_symlink():
            raise ResultsError(f"{results / name}: a symbolic link; fer rm touches nothing outside the results folder")


def check_folder(path: Path) -> None:
    """Raise ResultsError if a run's folder is a symbolic link."""
    if path.is_symlink():
        raise ResultsError(f"{path}: a symbolic link; fer rm does not follow it; remove the link yourself")


def list_bin(results: Path) -> list[Entry]:
    """Return the removed runs, oldest first; other files in the bin are left out."""
    check_place(results)
    folder = results / BIN
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return [Entry(path) for path in paths if is_entry(path.name)]


def is_entry(name: str) -> bool:
    """Return whether a name is a removed run's: a time, a hyphen, an id."""
    stamp, _, run_id = name.partition("-")
    return len(stamp) >= 15 and stamp[:8].isdigit() and stamp[8] == "T" and stamp[9:15].isdigit() and bool(run_id)


def restore_run(results: Path, text: str) -> tuple[str, int]:
    """Move a removed run back, the last removed of several copies; return its id and the number of copies left."""
    entries = list_bin(results)
    if not entries:
        raise ResultsError(f"{results / BIN}: empty; there is no run to restore")
    name = match_id(text, {entry.run_id for entry in entries}, f"in {results / BIN}")
    copies = [entry for entry in entries if entry.run_id == name]
    goal = results / "runs" / name
    if os.path.lexists(goal):
        raise ResultsError(f"{goal}: there is a run with this id again; remove it first with fer rm {name}")
    goal.parent.mkdir(exist_ok=True)
    copies[-1].path.rename(goal)
    return name, len(copies) - 1


def empty_bin(results: Path) -> Iterator[Entry]:
    """Delete removed runs for good and yield each; interrupted, the next call finishes it."""
    for entry in list_bin(results):
        doomed = entry.path.with_name(f"{DOOMED}{entry.path.name}")
        entry.path.rename(doomed)
        shutil.rmtree(doomed)
        yield entry
    for left in (results / BIN).glob(f"{DOOMED}*"):
        if not left.is_symlink():
            shutil.rmtree(left)
