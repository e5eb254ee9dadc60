"""``fer merge``: join results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, Results, expand_path
from fer_cli.cli.runs import watch_runs
from fer_cli.cli.screen import pause_collection, say
from fer_cli.commands import given_results, write_command


def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results folders whose finished runs are copied; they stay as is.")
    ],
    mixed: Annotated[
        bool, typer.Option("--mixed-versions", help="Join runs of different versions of fer or PyTorch; tables say so.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Copy the finished runs of other results folders, such as those of shards, into this one; nothing is overwritten.

    Refused for folders of different data (fingerprints) or versions. Unfinished runs are left; an unfinished run of the goal
    that is done elsewhere goes to the bin. Exit codes: 0 merged, 1 damaged runs or other predictions of the same run, 2 bad
    input.
    """
    from fer_cli.inventory.merge import merge_results

    with pause_collection():
        merged = merge_results([expand_path(folder) or folder for folder in folders], results, mixed, watch_runs)
    for name, why in merged.damaged:
        say(f"damaged, not copied: {name}: {why}")
    for name in merged.differing:
        say(f"kept as it is: {name} has other predictions here than in another folder (fer diff compares runs)")
    for name in merged.running:
        say(f"not copied: {name} is trained here by {results}'s own process")
    say(
        f"{len(merged.copied)} runs copied, {len(merged.present)} already there, {len(merged.unfinished)} unfinished, "
        f"{len(merged.damaged)} damaged"
    )
    say(f"next: {write_command('fer track sync', results=given_results(results))} (mirrors them to MLflow)")
    if merged.damaged or merged.differing:
        raise typer.Exit(1)
