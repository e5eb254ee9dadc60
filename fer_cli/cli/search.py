"""``fer search``: choose each arm's learning rate and knob on validation images, with the same effort for every arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from fer_cli.cli.ablate import LEFT, train
from fer_cli.cli.drawn import begin_if_embedded
from fer_cli.cli.executing import ExecutorName, Jobs, RetryFailed, compute_here, make_plain_options
from fer_cli.cli.options import (
    DEFAULT_RESULTS,
    DataName,
    DataRoot,
    Device,
    ListPlan,
    NoTrack,
    NoWait,
    Precision,
    Profile,
    Results,
    SplitName,
    StudyName,
)
from fer_cli.cli.plans import print_plan
from fer_cli.cli.screen import duration, pause_collection, print_table, say
from fer_cli.commands import choice_options, given_results, write_command

if TYPE_CHECKING:
    from fer_cli.ablate import Summary
    from fer_cli.config import Compute
    from fer_cli.recipes import Recipe
    from fer_cli.study import Choice
    from fer_cli.trials import SearchPlan


def search(
    study: StudyName,
    data: DataName = None,
    profile: Profile = None,
    split: SplitName = None,
    plan: ListPlan = False,
    jobs: Jobs = None,
    executor: ExecutorName = None,
    retry_failed: RetryFailed = False,
    no_wait: NoWait = False,
    no_track: NoTrack = False,
    device: Device = "auto",
    precision: Precision = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Try learning rates and one knob of every arm on validation images; rerun the same command to resume.

    The study's search: block says what is tried. Each arm gets as many trials, which read no test image. What was tried and
    chosen is written to recipes/ beside the study's file; fer ablate --recipe applies it.

    Exit codes: 0 the recipe is written; 1 trials failed, damaged or blocked; 2 bad input; 3 trials left to another process
    (--no-wait); 130 interrupted; 143 terminated (SIGTERM).
    """
    from fer_cli.checks import check_results_folder, check_runs
    from fer_cli.recipes import recipe_path, write_recipe
    from fer_cli.study import DEFAULT_PROFILE, Choice
    from fer_cli.trials import conclude, plan_search

    options = make_plain_options(jobs, executor, results, retry_failed, no_wait)
    compute = compute_here(results, data_root, options, device=device, precision=precision, track=not no_track)
    choice = Choice(profile or DEFAULT_PROFILE, data, split=split)
    prepare = None if plan else lambda name: begin_if_embedded(name, compute.data_root)
    with pause_collection():
        planned = plan_search(study, choice, compute, prepare)
    path = recipe_path(study, planned.study, choice)
    how: dict[str, Any] = {"jobs": jobs, "executor": executor, "no_track": no_track}
    how |= {name: value for name, value in (("device", device), ("precision", precision)) if value != "auto"}
    same = {"study": study, **choice_options(choice), "results": given_results(results), "data_root": data_root}
    again = write_command("fer search", **same, **how)
    states = planned.states()
    warnings = check_runs(planned, compute, states)
    check_results_folder(path.parent, "copy the study's YAML to a folder of yours, and search it there")
    if plan:
        print_plan(planned, compute, options.jobs, states, reference="the arm's own settings")
        say_effort(study, planned, choice, compute)
    for line in warnings:
        say(f"warning: {line}")
    if plan:
        say(f"next: {write_command('fer search', **same, **how, retry_failed=retry_failed, no_wait=no_wait)}")
        return
    summary = train(planned, compute, options, planned, chosen=False)
    end_unfinished(planned, summary, again)
    recipe = conclude(planned)
    write_recipe(path, recipe)
    print_recipe(recipe)
    say(f"written: {path}")
    say(f"next: {write_command('fer ablate', **same | {'recipe': True}, **how)}")


def say_effort(study: str, planned: SearchPlan, choice: Choice, compute: Compute) -> None:
    """Print how many trials each arm gets, and their time beside that of the study."""
    from fer_cli.estimate import time_whole
    from fer_cli.plan import make_plan

    block, count = planned.study.search, len(next(iter(planned.trials.values())))
    seeds = f"{block.seeds} seed{'s' * (block.seeds > 1)}"
    size = f"{block.epochs:g} x epochs" + (f", at most {block.images} training images" if block.images else "")
    say(f"{len(planned.trials)} arms, {count} settings each, {seeds}, {size}")
    times = time_whole(planned, compute), time_whole(make_plan(study, choice, compute), compute)
    if times[0] is not None and times[1]:
        share = f"{100 * times[0] / times[1]:.0f} % of the study's {duration(times[1])}"
        say(f"the search takes {duration(times[0])} by timed batches of one job, {share}")


def end_unfinished(planned: SearchPlan, summary: Summary, again: str) -> None:
    """Exit with the matching code unless all trials ended; a diverged one is a result."""
    from fer_cli.trials import diverged

    lost = [item for item in planned.everything if item.folder.status == "failed" and not diverged(item)]
    if lost or summary.damaged or summary.counts["blocked"]:
        say(f"next: {again} --retry-failed")
        raise typer.Exit(1)
    if summary.counts["running"]:
        say(f"next: {again} (waits for them)")
        raise typer.Exit(LEFT)


def print_recipe(recipe: Recipe) -> None:
    """Print per arm what was chosen, with its validation score and that of the arm's own settings."""
    from fer_cli.recipes import write_changes

    rows = []
    for arm, tuned in recipe.arms.items():
        scores = {write_changes(one.settings): one.score for one in tuned.tried}
        chosen = write_changes(tuned.chosen)
        own, best = ("diverged" if s is None else f"{s:.4f}" for s in (scores[write_changes({})], scores[chosen]))
        was = write_changes({name: tuned.own[name] for name in tuned.chosen}) if tuned.chosen else "-"
        rows.append((arm, str(len(tuned.tried)), tuned.select_on, own, best, chosen, was))
    print_table(("arm", "tried", "score", "own", "best", "chosen", "instead of"), rows)
