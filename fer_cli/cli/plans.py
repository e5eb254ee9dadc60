"""What ``fer ablate`` would train: tables of the runs of a study, or of all shipped studies, and a command for each run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fer_cli.cli.screen import duration, print_table, say, show, with_progress
from fer_cli.errors import FerError

if TYPE_CHECKING:
    from fer_cli.config import Compute
    from fer_cli.plan import Plan
    from fer_cli.runs import Status
    from fer_cli.study import Choice


def print_plan(plan: Plan, compute: Compute, jobs: int, states: Mapping[str, Status], reference: str | None = None) -> None:
    """Print a table of runs with their state to stdout and the totals to stderr.

    ``reference``: what the last column differs from, by default the baseline arm.
    """
    from fer_cli.estimate import estimate, steps_of
    from fer_cli.plan import describe_other_builds

    times = estimate(plan, compute, states, timing=True)
    rows = []
    for item in plan.everything:
        state = states[item.run_id]
        left = duration(times[item.run_id]) if item.run_id in times else ""
        differs = ", ".join(f"{key}={value}" for key, value in item.run.differs) or "-"
        steps = f"{steps_of(item):,}" if steps_of(item) else "-"
        rows.append((item.run_id, state, left, steps, item.run.title, differs))
    print_table(
        ("run_id", "state", "estimate", "steps", "run", f"differs from {reference or plan.study.report.against}"), rows
    )
    count = len(plan.first) + len(plan.items)
    say(f"{count} runs, {count - len(times)} done, {len(times)} to train; time: {sum_times(times, jobs)}")
    say_undrawn(count_undrawn(plan, compute), compute)
    if others := describe_other_builds(plan, compute.results):
        say(others)
    for item in plan.everything:
        if states[item.run_id] == "damaged":
            say(f"damaged: {item.run.title}: {item.folder.damage}")


def print_commands(plan: Plan, command: Callable[[str], str], retry_failed: bool) -> None:
    """Print a command for each unfinished run to stdout, after those it depends on, which a comment names."""
    from fer_cli.imports import is_own
    from fer_cli.plan import is_runnable

    states = plan.states()
    left = [item for item in plan.everything if is_runnable(states[item.run_id], retry_failed)]
    own = any(is_own(item.run.config.model.backbone) for item in left)  # whose module is looked for in this folder
    here = f"cd {shlex.quote(str(Path.cwd()))} && " if own else ""
    for item in left:
        needs = [need.run_id for need in item.needs if states.get(need.run_id) != "done"]
        show(
            here + command(item.run_id) + (f"  # {item.run_id}, after {' '.join(needs)}" if needs else f"  # {item.run_id}")
        )
    counts = [f"{number} {state}" for state in ("done", "running", "failed", "damaged") if (number := count(states, state))]
    say(f"{len(left)} commands, each trains one run; not printed: {', '.join(counts) or 'none'}")
    say("runs that others start from come first; a command whose run waits for them trains them if nobody does")


def count(states: Mapping[str, Status], state: str) -> int:
    """Return how many runs are in a state."""
    return list(states.values()).count(state)  # type: ignore[arg-type]


def say_recipe(planned: Plan) -> None:
    """Print what a recipe gives the arms, or that there is one that is not applied."""
    from fer_cli.recipes import describe_recipe

    if planned.recipe is not None:
        for line in describe_recipe(planned.recipe, [item.run.config for item in planned.items]):
            say(line)
    elif planned.recipe_file is not None and planned.recipe_file.is_file():
        say(f"not applied: {planned.recipe_file}, settings that fer search chose; give each arm its own with --recipe")


def count_undrawn(plan: Plan, compute: Compute) -> dict[str, int]:
    """Return embedded set -> images for the sets that the plan needs and that are not built yet."""
    from fer_cli.data.manifest import expected_info

    names = sorted({name for item in plan.everything for name in item.run.config.sets})
    infos = {name: expected_info(compute.data_root, name) for name in names}
    return {name: info.kept for name, info in infos.items() if not info.files}


def print_plans(choice: Choice, compute: Compute, jobs: int) -> None:
    """Print a table of all shipped studies with the time of their unfinished runs; runs they share train once.

    A study that cannot run, such as one whose data set is not built and cannot be rendered, has the reason instead.
    """
    from fer_cli.checks import check_runs
    from fer_cli.estimate import estimate, steps_of
    from fer_cli.plan import plan_all
    from fer_cli.study import study_names

    rows: list[tuple[str, ...]] = []
    times: dict[str, float | None] = {}
    undrawn: dict[str, int] = {}
    plans = plan_all(choice, compute, lambda plan: check_runs(plan, compute, plan.states()))
    for name, planned in with_progress("studies", plans, len(study_names())):
        if isinstance(planned, FerError):
            rows.append((name, "-", "-", "-", "-", "-", str(planned)))
            continue
        found = estimate(planned, compute, planned.states(), timing=True)
        total, seeds = len(planned.everything), len({item.run.seed for item in planned.items})
        steps = max(map(steps_of, planned.everything))
        counts = (str(seeds), str(total), str(total - len(found)), f"{steps:,}" if steps else "-")
        rows.append((name, planned.data, *counts, sum_times(found, jobs)))
        times |= found
        undrawn |= count_undrawn(planned, compute)
    print_table(("study", "data", "seeds", "runs", "done", "most steps", "estimate"), rows)
    say(f"{len(times)} different runs to train; time: {sum_times(times, jobs)}")
    say_undrawn(undrawn, compute)


def sum_times(times: Mapping[str, float | None], jobs: int) -> str:
    """Return the duration of runs with these seconds, ``jobs`` at a time; unknown if one is."""
    known = [seconds for seconds in times.values() if seconds is not None]
    return duration(sum(known) / jobs) if len(known) == len(times) else "unknown until a similar run has been timed here"


def say_undrawn(undrawn: Mapping[str, int], compute: Compute) -> None:
    """Print which embedded sets are not begun yet, and their number of images."""
    for name, images in undrawn.items():
        say(f"{name} is not built under {compute.data_root}; of its {images:,} images, each run draws those it needs")
