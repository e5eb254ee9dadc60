"""``fer status`` and ``fer cancel``: look at sweeps, wherever they were started, and end them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, OfStudy, Results
from fer_cli.cli.screen import duration, is_terminal, pause_collection, print_table, say
from fer_cli.commands import given_results, write_command
from fer_cli.errors import StudyError

if TYPE_CHECKING:
    from pathlib import Path

    from fer_cli.inventory.progress import RunState, SweepState

LOOK_S = 10.0
UNFINISHED = 1
"""Exit code of --watch when nothing is left to wait for and runs failed."""


def status(
    study: OfStudy = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat until all runs are done or failed.")] = False,
    interval: Annotated[
        float | None,
        typer.Option("--interval", min=0.1, max=86400, help="Seconds between two looks of --watch.", show_default="10"),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every run, not only those under way and failed.")] = False,
    states: Annotated[bool, typer.Option("--states", help="Explain the states instead.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Show how far sweeps are: runs done, running (where, since when), failed and waiting, and the time to go.

    All is read from run folders, so it does not matter which machine or scheduler trains them. The time to go assumes that
    as many runs go on at a time as now. Exit codes: 0; with --watch 1 if runs failed, are damaged or blocked.
    """
    from fer_cli.inventory.progress import STATES, read_progress

    if interval is not None and not watch:
        raise StudyError("--interval: has no effect without --watch")
    if states:
        print_table(("state", "meaning"), list(STATES.items()))
        return
    shown = ""
    while True:
        with pause_collection():
            found = read_progress(results, study)
        line = "; ".join(write_counts(one) for one in found)
        if not watch or is_terminal(sys.stdout):
            if watch:
                print("\x1b[H\x1b[J", end="")
            print_progress(found, every)
        elif line != shown:
            say(line)
        shown = line
        if not watch:
            break
        if all(one.over for one in found):
            raise typer.Exit(0 if all(one.ok for one in found) else UNFINISHED)
        time.sleep(LOOK_S if interval is None else interval)
    say(f"next: {next_command(found, study, results)}")


def cancel(study: OfStudy = None, results: Results = DEFAULT_RESULTS) -> None:
    """End the commands and Slurm jobs that train under a results folder, on this and other machines.

    Runs stop after the step under way and stay resumable: the same fer ablate continues them after their last whole epoch.
    """
    from fer_cli.inventory.cancel import cancel_sweeps

    lines = list(cancel_sweeps(results, study))
    for line in lines:
        say(line)
    if not lines:
        say(f"nothing trains under {results}{f' for {study}' if study else ''}")
    say(f"next: {write_command('fer status', results=given_results(results))}")


def print_progress(sweeps: Sequence[SweepState], every: bool) -> None:
    """Print a table of sweeps and one of their runs to stdout."""
    head = ("sweep", "runs", "done", "running", "failed", "queued", "waiting", "blocked", "time to go")
    rows = []
    for one in sweeps:
        counts = one.counts
        failed = counts["failed"] + counts["damaged"]
        numbers = [counts["done"], counts["running"], failed, counts["queued"], counts["waiting"], counts["blocked"]]
        rows.append((one.sweep.title, str(len(one.runs)), *map(str, numbers), duration(one.left)))
    print_table(head, rows)
    runs = [(one, run) for one in sweeps for run in one.runs if every or run.state in {"running", "failed", "damaged"}]
    if runs:
        print_table(("run_id", "state", "run", "where", "since", "progress", "reason"), [row_of(run) for _, run in runs])


def row_of(run: RunState) -> tuple[str, ...]:
    """Return the cells of a run."""
    since = "-" if run.seconds is None else f"{duration(run.seconds)} ago"
    progress = f"{100 * run.progress:.0f} %" if run.state != "failed" else "-"
    return (run.run.run_id, run.state, run.run.title, run.where or "-", since, progress, run.reason or "-")


def write_counts(one: SweepState) -> str:
    """Return a sweep's counts and time to go in a line."""
    counts = ", ".join(f"{number} {state}" for state, number in sorted(one.counts.items()))
    return f"{one.sweep.title}: {counts}; time to go {duration(one.left)}"


def next_command(found: Sequence[SweepState], study: str | None, results: Path) -> str:
    """Return what to do next: look again, report (or list the runs of a study whose file is unknown), or see a failure."""
    from fer_cli.study import study_names

    where = given_results(results)
    if any(run.state in {"failed", "damaged"} for one in found for run in one.runs):
        name = next(run.run.run_id for one in found for run in one.runs if run.state in {"failed", "damaged"})
        return write_command("fer show", name, results=where)
    if all(one.ok for one in found):
        sweep = found[0].sweep
        given = sweep.given or (sweep.study if sweep.study in study_names() else "")
        return write_command("fer report" if given else "fer runs", study=given or sweep.study, results=where)
    return write_command("fer status", study=study, watch=True, results=where)
