"""``fer runs``: list the runs under a results folder; ``fer rm`` and others take the ids that it prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.complete import complete_run, complete_set
from fer_cli.cli.options import DEFAULT_RESULTS, OfStudy, Results
from fer_cli.cli.screen import pause_collection, print_table, say, with_progress, write_out
from fer_cli.commands import given_results, write_command

if TYPE_CHECKING:
    from fer_cli.inventory.rows import Row

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Id of a run, or its first digits (fer runs lists them).", autocompletion=complete_run
    ),
]


def watch_runs(names: Sequence[str]) -> Iterable[str]:
    """Yield run ids under a progress bar."""
    return with_progress("reading runs", names, len(names))


def runs(
    state: Annotated[
        str | None, typer.Option("--state", help="Only runs in this state: new, running, stale, failed, done or damaged.")
    ] = None,
    study: OfStudy = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Only runs trained or tested on this data set.", autocompletion=complete_set),
    ] = None,
    backbone: Annotated[str | None, typer.Option("--backbone", help="Only runs with this network.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="AGE", help="Only runs that changed within this time: 90m, 12h, 2d, 1w.")
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="age (youngest first), score (best first), seconds, state, data or id.")
    ] = "age",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with unrounded numbers.")] = False,
    states: Annotated[bool, typer.Option("--states", help="Explain the states instead.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """List runs: state, network, data, settings that are not the default, test scores, age, duration, study and arm.

    States: new (not trained), running (a living process trains it), stale (interrupted; the next fer ablate continues it),
    failed (error.txt says why), done, damaged (a file is invalid; fer ablate --retry-failed trains it again).
    """
    from fer_cli.inventory.rows import STATES, count_states, filter_rows, list_rows, parse_age, sort_rows

    if states:
        print_table(("state", "meaning"), list(STATES.items()))
        return
    age = None if since is None else parse_age(since)
    with pause_collection():
        every = list_rows(results, watch=watch_runs)
    found = sort_rows(filter_rows(every, age, state=state, study=study, data=data, backbone=backbone), sort)
    if csv:
        print_csv(found)
    else:
        print_table(HEAD, [write_row(row) for row in found])
    counts = ", ".join(count_states(found))
    say(f"{len(found)} of {len(every)} runs under {results}{': ' if counts else ''}{counts}")
    if found:
        say(f"next: {write_command('fer show', found[0].run_id, results=given_results(results))}")


HEAD = (
    "run_id", "state", "network", "data", "seed", "accuracy %", "macro-F1 %", "n", "age", "time", "study and arm", "differs"
)  # fmt: skip


def write_row(row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    from fer_cli.cli.screen import duration
    from fer_cli.inventory.text import write_age

    scores = ["-" if score is None else f"{100 * score:.2f}" for score in (row.accuracy, row.macro_f1)]
    n, seed = ("-" if value is None else str(value) for value in (row.n, row.seed))
    taken = "-" if row.seconds is None else duration(row.seconds)
    differs = row.differs if not row.reason else f"{row.differs}{'; ' if row.differs else ''}{row.reason}"
    return (
        row.run_id, row.state, row.network or "-", row.data or "-", seed, *scores, n, write_age(row.age), taken,
        row.study or "-", differs or "-",
    )  # fmt: skip


def print_csv(rows: Iterable[Row]) -> None:
    """Print rows as CSV to stdout."""
    import csv
    import io

    from fer_cli.escape import csv_cell

    head = (
        "run_id", "state", "network", "data", "seed", "accuracy", "macro_f1", "n", "age_seconds", "seconds", "study",
        "differs", "starts_from", "reason",
    )  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        values = (
            row.run_id, row.state, row.network, row.data, row.seed, row.accuracy, row.macro_f1, row.n, round(row.age),
            row.seconds, row.study, row.differs, " ".join(row.starts_from), row.reason,
        )  # fmt: skip
        writer.writerow(csv_cell("" if value is None else value) for value in values)
    write_out(text.getvalue())
