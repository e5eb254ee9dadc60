"""``fer show`` and ``fer diff``: one run in full, and two runs side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, Results
from fer_cli.cli.runs import RunName, watch_runs
from fer_cli.cli.screen import pause_collection, print_report, say
from fer_cli.cli.screen import show as print_text
from fer_cli.commands import given_results, write_command


def show(
    run: RunName,
    config: Annotated[bool, typer.Option("--config", help="Print all settings as JSON, and nothing else.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Show a run: scores with intervals, confusion matrix, settings, data and split, curves, files, provenance, warnings.

    Also the runs it starts from (pre-training, shared training) and those that start from it.
    """
    from fer_cli.inventory.describe import config_text, describe_run
    from fer_cli.inventory.find import find_run
    from fer_cli.inventory.rows import list_rows

    folder = find_run(results, run)
    if config:
        print_text(config_text(folder))
        return
    with pause_collection():
        rows = list_rows(results, watch=watch_runs)
    print_report(describe_run(folder, rows))
    state = next(row.state for row in rows if row.run_id == folder.run_id)
    if state == "done":
        say(f"next: {write_command('fer rerun', folder.run_id, results=given_results(results))}")


def diff(
    run: RunName,
    other: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare it with.")],
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Compare two runs: settings, data, code, libraries and machine that differ, scores, and answers on the same images.

    On the same test images, McNemar's exact test counts the images on which only one of the two is right.
    """
    from fer_cli.inventory.compare import compare_runs
    from fer_cli.inventory.find import find_run

    print_report(compare_runs(find_run(results, run), find_run(results, other)))
