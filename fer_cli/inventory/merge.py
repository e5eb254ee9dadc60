"""Join results folders, such as those of shards or of several machines: ``fer merge``.

Finished runs are copied, checked by hash and moved into place whole; nothing that is there is overwritten, so a second call
changes nothing and an interrupted one is completed by the next. Folders of different data, or of different versions, are
refused before anything is written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from fer_cli.data.kept import read_kept
from fer_cli.errors import DamagedError, ResultsError
from fer_cli.inventory.bin import remove_runs
from fer_cli.inventory.rows import run_ids
from fer_cli.places import open_regular, whole_file
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from fer_cli.sweeps import name_version
from fer_cli.uses import add_use, read_uses

DRAFTS = ".merging"
RECORDS = ("sets/*.json", "studies/*.json", "sweeps/*.json")
"""Records beside the runs that are copied where the goal has none."""


@dataclass
class Merged:
    """What a merge did with each run, by run id."""

    copied: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Neither done in the source nor copied."""
    running: list[str] = field(default_factory=list)
    """Done in the source, but trained by a process in the goal."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    """Done in both, with other predictions: the goal's are kept."""


@dataclass
class Side:
    """A results folder: its finished runs, fingerprints by data set, and versions with the number of their runs."""

    results: Path
    done: dict[str, Result] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    fingerprints: dict[str, set[str]] = field(default_factory=dict)
    versions: set[str] = field(default_factory=set)


def merge_results(
    sources: Sequence[Path],
    goal: Path,
    mixed: bool = False,
    watch: Callable[[Sequence[str]], Iterable[str]] = lambda names: names,
) -> Merged:
    """Copy the finished runs of ``sources`` into ``goal``; ``mixed``: accept other versions of fer or PyTorch.

    Raises ResultsError, before anything is written, for a folder without runs, the goal itself, a goal in another results
    folder, or folders that do not belong together.
    """
    for source in sources:
        if source.resolve() == goal.resolve():
            raise ResultsError(f"{source}: is the folder to merge into; give the others, and --results for the goal")
    for parent in goal.resolve().parents:
        if any(parent.glob("runs/*/*.json")):
            raise ResultsError(f"{goal}: lies in the results folder {parent}; choose another place with --results")
    sides = [read_side(source, watch) for source in sources]
    every = [*sides, *([read_side(goal, watch)] if any((goal / "runs").glob("*/result.json")) else [])]
    refuse_other_data(every)
    if not mixed:
        refuse_other_versions(every)
    merged = Merged()
    goal.mkdir(parents=True, exist_ok=True)
    with drafts_folder(goal) as drafts:
        for side in sides:
            merged.unfinished += side.unfinished
            merged.damaged += side.damaged.items()
            for name, result in side.done.items():
                merge_run(RunFolder(side.results, name), RunFolder(goal, name), result, drafts, merged)
            copy_records(side.results, goal)
    done = {*merged.copied, *merged.present, *merged.differing}
    merged.unfinished = [name for name in dict.fromkeys(merged.unfinished) if name not in done]
    return merged


def read_side(results: Path, watch: Callable[[Sequence[str]], Iterable[str]]) -> Side:
    """Return what a results folder holds; raises ResultsError if it has no runs."""
    side = Side(results)
    for name in watch(run_ids(results)):
        folder = RunFolder(results, name)
        found = folder.find_result()
        if isinstance(found, Result):
            side.done[name] = found
            code = found.provenance
            side.versions.add(name_version(code.fer, code.commit, code.dirty, code.libraries.get("torch")))
            for data, fingerprint in zip(found.config.sets, found.fingerprint.split("+"), strict=False):
                side.fingerprints.setdefault(data, set()).add(fingerprint)
        elif isinstance(found, DamagedError):
            side.damaged[name] = str(found)
        else:
            side.unfinished.append(name)
    for data in side.fingerprints:
        if (kept := read_kept(results, data)) is not None:  # the build of the last command; older runs are in no table
            side.fingerprints[data] = {kept.info.fingerprint}
    return side


def refuse_other_data(sides: list[Side]) -> None:
    """Raise ResultsError if two folders have runs on different builds of a data set."""
    for data in sorted({data for side in sides for data in side.fingerprints}):
        having = [side for side in sides if data in side.fingerprints]
        for side in having[1:]:
            if not side.fingerprints[data] & having[0].fingerprints[data]:
                names = [f"{one.results} has {', '.join(sorted(one.fingerprints[data]))}" for one in (having[0], side)]
                raise ResultsError(
                    f"{data} is not the same data in both: {'; '.join(names)}; runs on different builds share no table: "
                    f"build the same source with the same options on both machines and train again"
                )


def refuse_other_versions(sides: list[Side]) -> None:
    """Raise ResultsError if two folders were trained by different versions of fer or PyTorch."""
    first = next((side for side in sides if side.versions), None)
    for side in sides:
        if first is not None and side.versions and side.versions != first.versions:
            names = [f"{one.results} has {' and '.join(sorted(one.versions))}" for one in (first, side)]
            raise ResultsError(f"trained by different versions: {'; '.join(names)}; add --mixed-versions to join them")


@contextmanager
def drafts_folder(goal: Path) -> Iterator[Path]:
    """Yield a folder for copies under way; raises ResultsError if another merge into the goal is at work."""
    try:
        with FileLock(goal / f"{DRAFTS}.lock", timeout=0):
            drafts = goal / DRAFTS
            shutil.rmtree(drafts, ignore_errors=True)  # of a merge that was killed
            drafts.mkdir()
            try:
                yield drafts
            finally:
                shutil.rmtree(drafts, ignore_errors=True)
    except Timeout:
        raise ResultsError(f"{goal}: another fer merge is at work there; wait for it, then run the same command") from None


def merge_run(source: RunFolder, goal: RunFolder, result: Result, drafts: Path, merged: Merged) -> None:
    """Copy a finished run unless the goal has it; an unfinished run of the goal goes to the bin."""
    if os.path.lexists(goal.path):
        status = goal.status
        if status == "done":
            same = hash_file(goal.file(result.predictions)) == hash_file(source.file(result.predictions))
            (merged.present if same else merged.differing).append(source.run_id)
            for use in read_uses(source.path):
                add_use(goal.path, use)
            return
        if status == "running":
            merged.running.append(source.run_id)
            return
    draft = drafts / source.run_id
    copy_run(source.path, draft)
    if goal.path.is_dir():
        list(remove_runs(goal.results, [goal.run_id]))
    goal.path.parent.mkdir(exist_ok=True)
    draft.rename(goal.path)
    merged.copied.append(source.run_id)


def copy_run(source: Path, draft: Path) -> None:
    """Copy the files of a run, without links, locks and claims; raises ResultsError if a copy differs."""
    draft.mkdir()
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or path.name in {"claim.json", "heartbeat.txt"} or path.is_symlink():
            continue
        if path.is_file():
            shutil.copy2(path, draft / path.name)
            if hash_file(path) != hash_file(draft / path.name):
                raise ResultsError(f"{path}: changed while it was copied, or the disk is faulty; run the same command again")


def copy_records(source: Path, goal: Path) -> None:
    """Copy the records of sets, options and plans that the goal lacks."""
    for pattern in RECORDS:
        for path in source.glob(pattern):
            there = goal / path.relative_to(source)
            if path.is_file() and not path.is_symlink() and not os.path.lexists(there):
                with whole_file(there) as draft:  # half a record would be kept by the next merge
                    shutil.copy2(path, draft)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a regular file, "" if there is none."""
    try:
        with open_regular(path) as stream:
            found = hashlib.sha256()
            while block := stream.read(2**20):
                found.update(block)
            return found.hexdigest()
    except FileNotFoundError:
        return ""
