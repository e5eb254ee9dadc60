"""``fer rerun``: train a finished run again, elsewhere, and compare the predictions bit by bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.drawn import begin_if_embedded
from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, data_root_or_default, expand_path
from fer_cli.cli.runs import RunName
from fer_cli.cli.screen import print_table, progress_bar, say
from fer_cli.commands import given_results, write_command

if TYPE_CHECKING:
    from fer_cli.inventory.again import Difference, Step

DIFFERS = 1
"""Exit code if the predictions are not the same bits."""


def rerun(
    run: RunName,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", callback=expand_path, help="Keep the new run in this new or empty folder (default: delete)."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Train the recorded settings of a run again in a scratch folder, and compare the predictions; the run is not touched.

    Device, precision, threads and memory layout are the recorded ones. Runs that it starts from are reused if they are done,
    else trained again too. Exit codes: 0 the same bits, 1 different predictions (the differences are printed), 2 bad input.
    """
    from fer_cli.inventory.again import (
        check_build,
        choose_compute,
        compare_again,
        open_original,
        plan_steps,
        scratch_folder,
        train_step,
    )
    from fer_cli.inventory.find import find_run

    folder, root = find_run(results, run), data_root_or_default(data_root)
    result = open_original(folder)
    check_build(result, root)
    with scratch_folder(keep) as scratch:
        compute, notes = choose_compute(result, root, scratch)
        steps = plan_steps(folder, result, scratch, root)
        say(describe_choices(compute.device, compute.precision, compute.threads, compute.layout))
        for note in notes:
            say(f"warning: {note}")
        for step in steps:
            if step.reused:
                say(f"{step.title}: reused, {step.folder.run_id} is done")
                continue
            for name in step.config.sets:
                begin_if_embedded(name, root)
            say(f"{step.title}: trained again …")
            with watch_step(step):
                train_step(step, compute)
        found = compare_again(folder, result, steps[-1].folder)
    print_difference(found)
    if keep is not None:
        say(f"kept: {keep / 'runs' / folder.run_id}")
        say(f"next: {write_command('fer show', folder.run_id, results=keep)}")
    else:
        say(f"next: {write_command('fer show', folder.run_id, results=given_results(results))}")
    if not found.equal:
        raise typer.Exit(DIFFERS)


def describe_choices(device: str, precision: str, threads: int, layout: str) -> str:
    """Return the compute settings of a rerun in a line."""
    return f"as recorded: {device}, {precision}, {threads} thread{'s' * (threads > 1)}, layout {layout}"


def print_difference(found: Difference) -> None:
    """Print whether the predictions are equal, else a table of differences and what may explain them."""
    if found.equal:
        say(f"bit-equal: all {found.n} predictions and their probabilities are the same")
        return
    rows = [(name, f"{100 * was:.2f} %", f"{100 * now:.2f} %") for name, (was, now) in found.scores.items()]
    if found.wrong:
        say(f"not comparable image by image: {found.wrong}")
    else:
        rows += [
            (f"images of {part} whose class changed", "-", f"{changed} of {n}")
            for part, (changed, n) in found.changed.items()
        ]
        rows.append(("largest difference of a probability", "-", f"{found.largest:.3g}"))
    rows += [(name, was, now) for name, (was, now) in found.causes.items()]
    print_table(("not the same bits", "recorded", "rerun"), rows)
    if not found.causes:
        say("no recorded setting, library or machine differs: the training does not give the same bits twice here")


@contextmanager
def watch_step(step: Step) -> Iterator[None]:
    """Show the progress of a run that trains in this process."""
    over = threading.Event()

    def follow() -> None:
        with progress_bar() as bar:
            task = bar.add_task(step.title, total=100)
            while not over.wait(1.0):
                bar.update(task, completed=round(100 * step.folder.progress()))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
