"""``fer rm``: move runs to a bin, restore them, empty the bin."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, Results
from fer_cli.cli.runs import watch_runs
from fer_cli.cli.screen import is_terminal, pause_collection, say
from fer_cli.cli.screen import show as print_text
from fer_cli.commands import given_results, write_command
from fer_cli.errors import ResultsError


def remove(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Ids of runs, or their first digits (fer runs lists them).")
    ] = None,
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="Also remove the runs that start from them.")
    ] = False,
    restore: Annotated[
        str | None, typer.Option("--restore", metavar="RUN", help="Move this run back from the bin instead.")
    ] = None,
    empty_bin: Annotated[bool, typer.Option("--empty-bin", help="Delete the runs in the bin for good instead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the bin is emptied.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Move runs to the bin under the results folder, bin/TIME-RUN; tables no longer use them.

    A running run is refused, and a run that others start from, unless they are removed too. Tables that are already written,
    and MLflow, keep what they have of it; fer track sync removes it from MLflow.
    """
    chosen = [name for name, given in (("RUN", runs), ("--restore", restore), ("--empty-bin", empty_bin)) if given]
    if len(chosen) != 1:
        what = f"{' and '.join(chosen)} cannot be combined" if chosen else "nothing to remove"
        raise ResultsError(f"{what}; give runs, or --restore RUN, or --empty-bin")
    if with_dependents and not runs:
        raise ResultsError(f"--with-dependents: cannot be combined with {chosen[0]}; it is for runs that are removed")
    if yes and not empty_bin:
        raise ResultsError("--yes: is for --empty-bin, which alone asks; leave it out")
    if runs:
        remove_chosen(runs, with_dependents, results)
    elif restore:
        restore_one(restore, results)
    else:
        empty(yes, results)


def remove_chosen(runs: list[str], with_dependents: bool, results: Results) -> None:
    """Move runs to the bin and print the path of each."""
    from fer_cli.inventory.bin import choose_runs, remove_runs
    from fer_cli.inventory.rows import list_rows

    with pause_collection():
        rows = list_rows(results, watch=watch_runs)
    names = choose_runs(results, runs, with_dependents, rows)
    entry = None
    for entry in remove_runs(results, names):
        print_text(str(entry.path))
    say(f"{len(names)} run{'s' * (len(names) > 1)} moved to {results / 'bin'}")
    if entry is not None:
        say(f"to undo: {write_command('fer rm', restore=entry.run_id, results=given_results(results))}")


def restore_one(text: str, results: Results) -> None:
    """Move a run back from the bin."""
    from fer_cli.inventory.bin import restore_run

    name, left = restore_run(results, text)
    say(f"restored: {name}" + (f"; {left} older copies of it are left in the bin" if left else ""))
    say(f"next: {write_command('fer show', name, results=given_results(results))}")


def empty(yes: bool, results: Results) -> None:
    """Delete the runs in the bin, after asking on a terminal; raises ResultsError without --yes elsewhere."""
    from fer_cli.inventory.bin import empty_bin, list_bin
    from fer_cli.inventory.text import measure_size, write_size

    entries = list_bin(results)
    what = f"{len(entries)} run{'s' * (len(entries) != 1)} in {results / 'bin'}"
    what += f", {write_size(sum(measure_size(entry.path) for entry in entries))}" if entries else ""
    if entries and not yes:
        if not is_terminal(sys.stdin):
            raise ResultsError(f"{what}: they cannot be restored afterwards; add --yes to delete them without being asked")
        if not typer.confirm(f"Delete {what}? They cannot be restored", err=True):
            say("nothing is deleted")
            return
    count = sum(1 for _ in empty_bin(results))
    say(f"deleted: {what}" if count else f"{results / 'bin'}: no runs in it")
