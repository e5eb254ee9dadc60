"""``fer show`` and ``fer diff``: one run in full, and two runs side by side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.advice import given_results, write_command
from fer_cli.cli.options import DEFAULT_RESULTS, Results
from fer_cli.cli.runs import RunName, watch_runs
from fer_cli.cli.screen import pause_collection, printing, say
from fer_cli.cli.screen import show as print_text

if TYPE_CHECKING:
    from fer_cli.report.render import Report


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


def print_report(report: Report) -> None:
    """Print a report to stdout: boxes and colours on a terminal, Markdown elsewhere."""
    from fer_cli.report.render import RENDERERS

    if sys.stdout is not None and sys.stdout.isatty():
        with printing(sys.stdout):
            sys.stdout.write(RENDERERS["terminal"](report))
    else:
        print_text(RENDERERS["md"](report))
