"""How far a sweep is, wherever it was started: read from run folders and the record of its plan (``fer status``)."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fer_cli.errors import DamagedError, ResultsError, nearest
from fer_cli.escape import cut
from fer_cli.executors.queue import read_job
from fer_cli.inventory.rows import run_ids
from fer_cli.runs import RunFolder
from fer_cli.sweeps import Sweep, SweepRun, read_sweeps
from fer_cli.uses import read_uses

STATES = {
    "done": "finished",
    "running": "a living process trains it",
    "failed": "ended with an error; fer ablate --retry-failed trains it again",
    "damaged": "one of its files is invalid; fer ablate --retry-failed trains it again",
    "blocked": "a run that it starts from failed",
    "queued": "a job of a scheduler waits, or is about to start",
    "waiting": "nobody works on it yet, or its process was interrupted",
}
"""State in ``fer status`` -> what it means."""


@dataclass(frozen=True)
class RunState:
    """One run of a sweep: ``where`` it is trained, for how many ``seconds``, ``progress`` in [0, 1], why it failed."""

    run: SweepRun
    state: str
    where: str = ""
    seconds: float | None = None
    progress: float = 0.0
    reason: str = ""
    took: float | None = None
    """Seconds of a finished run."""


@dataclass(frozen=True)
class SweepState:
    """All runs of a sweep, and the estimated seconds until it is done; None if nothing tells."""

    sweep: Sweep
    runs: list[RunState]
    left: float | None

    @property
    def counts(self) -> Counter[str]:
        """Return the number of runs by state."""
        return Counter(run.state for run in self.runs)

    @property
    def over(self) -> bool:
        """Return whether no run is left that could still be trained."""
        return not any(self.counts[state] for state in ("running", "queued", "waiting"))

    @property
    def ok(self) -> bool:
        """Return whether every run is done."""
        return self.counts["done"] == len(self.runs)


def read_progress(results: Path, study: str | None = None) -> list[SweepState]:
    """Return the state of each sweep, the latest first; raises ResultsError if there is none, or none of the study."""
    sweeps = list_sweeps(results)
    if not sweeps:
        raise ResultsError(f"no sweep under {results}; start one with fer ablate --study demo, or give --results FOLDER")
    if study is not None:
        check_study(study, {sweep.study for sweep in sweeps}, results)
        sweeps = [sweep for sweep in sweeps if sweep.study == study]
    return [read_sweep(results, sweep) for sweep in sweeps]


def list_sweeps(results: Path) -> list[Sweep]:
    """Return the recorded sweeps, the latest first, and those that only run folders tell of."""
    sweeps = read_sweeps(results)
    titles = {sweep.title for sweep in sweeps}
    return sweeps + [sweep for sweep in sweeps_of_runs(results) if sweep.title not in titles]


def check_study(study: str, known: Set[str], results: Path) -> None:
    """Raise ResultsError for a study without a sweep."""
    if study not in known:
        raise ResultsError(f"--study {cut(study)}: no sweep of it under {results}{nearest(study, known)}")


def sweeps_of_runs(results: Path) -> list[Sweep]:
    """Return sweeps by what run folders say of the studies that use them: for folders without records of plans."""
    found: dict[str, list[SweepRun]] = {}
    names: dict[str, tuple[str, str]] = {}
    with suppress(ResultsError):
        for name in run_ids(results):
            for use in read_uses(results / "runs" / name):
                names[use.title] = (use.study, use.stem)
                found.setdefault(use.title, []).append(SweepRun(run_id=name, title=use.place, arm=use.arm))
    return [
        Sweep(study=names[title][0], title=title, stem=names[title][1], runs=tuple(runs)) for title, runs in found.items()
    ]


def read_sweep(results: Path, sweep: Sweep) -> SweepState:
    """Return the state of one sweep."""
    states: dict[str, RunState] = {}
    for run in sweep.runs:  # each after those it depends on
        states[run.run_id] = read_run(RunFolder(results, run.run_id), run, states)
    runs = list(states.values())
    return SweepState(sweep, runs, estimate_left(runs))


def read_run(folder: RunFolder, run: SweepRun, before: dict[str, RunState]) -> RunState:
    """Return the state of one run; ``before``: the states of those it depends on."""
    status = folder.status
    if status == "done":
        found = folder.find_result()
        took = found.cost.seconds.total if found is not None and not isinstance(found, DamagedError) else None
        return RunState(run, "done", progress=1.0, took=took)
    if status == "running":
        with suppress(DamagedError):
            owner = folder.owner()
            seconds = max(0.0, time.time() - owner.since) if owner is not None and owner.since else None
            return RunState(run, "running", str(owner or ""), seconds, folder.progress())
    if status in {"failed", "damaged"}:
        return RunState(run, status, reason=folder.error_line() if status == "failed" else str(folder.damage))
    if any(before[need].state in {"failed", "damaged", "blocked"} for need in run.needs if need in before):
        return RunState(run, "blocked")
    if (job := read_job(folder)) is not None:
        return RunState(run, "queued", str(job), progress=folder.progress())
    return RunState(run, "waiting", progress=folder.progress(), reason="interrupted" if status == "stale" else "")


def estimate_left(runs: list[RunState]) -> float | None:
    """Return the seconds until all runs are done at the present pace; None if nothing was timed, or nothing runs.

    An epoch takes as long as in finished runs of the same arm, else of the sweep, else as in those under way.
    """
    todo = [run for run in runs if run.state in {"running", "queued", "waiting"}]
    busy = [run for run in todo if run.state == "running"]
    if not todo:
        return 0.0
    rates: dict[str, list[float]] = {}
    for run in runs:
        if run.took is not None:
            rates.setdefault(run.run.arm, []).append(run.took / run.run.epochs)
        elif run.seconds and run.progress > 0:
            rates.setdefault("", []).append(run.seconds / run.progress / run.run.epochs)
    if not rates or not busy:
        return None
    usual = statistics.median([rate for arm, all_of in rates.items() for rate in all_of if arm or len(rates) == 1])
    medians = {arm: statistics.median(all_of) for arm, all_of in rates.items()}
    work = sum(medians.get(run.run.arm, usual) * run.run.epochs * (1 - run.progress) for run in todo)
    return work / len(busy)
