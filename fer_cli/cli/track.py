"""``fer track``: the MLflow mirror of the run folders."""

from __future__ import annotations

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, data_root_or_default
from fer_cli.cli.runs import watch_runs
from fer_cli.cli.screen import say

track_app = typer.Typer(help="The MLflow mirror of the run folders.", no_args_is_help=True)
WORDS = {
    "new": "new",
    "updated": "updated",
    "unchanged": "unchanged",
    "left": "left to the process that trains them",
    "not begun": "not begun",
    "unreadable": "without readable settings",
    "removed": "removed, as their folder is gone",
    "double": "removed, as they were mirrored twice",
}


@track_app.callback()
def track() -> None:
    """Mirror run folders to MLflow; runs are also mirrored while they train, unless with fer ablate --no-track."""


@track_app.command(epilog="Examples: fer track sync · MLFLOW_TRACKING_URI=http://host:5000 fer track sync")
def sync(results: Results = DEFAULT_RESULTS, data_root: DataRoot = None) -> None:
    """Rebuild the MLflow store from the run folders: RESULTS/mlflow.db, or the one that MLFLOW_TRACKING_URI names.

    One experiment per study; its parent run holds data set, commit, profile, a metric per arm (mean over seeds), tables and
    figures. A second call changes nothing; an interrupted one is completed by the next.
    """
    from fer_cli.inventory.mirror import sync_mirror
    from fer_cli.tracking import describe_store, view_command

    done = sync_mirror(results, data_root_or_default(data_root), watch_runs)
    counts = ", ".join(f"{done.counts[key]} {words}" for key, words in WORDS.items() if done.counts[key])
    say(f"{describe_store(results)}: {done.studies} studies; runs: {counts}")
    say(f"next: {view_command(results)}")
