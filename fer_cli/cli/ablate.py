"""``fer ablate``: train the missing runs of a study."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.advice import choice_options, given_results, write_command
from fer_cli.cli.drawn import begin_if_embedded
from fer_cli.cli.options import (
    DEFAULT_RESULTS,
    DataName,
    DataRoot,
    Device,
    Epochs,
    ExecutorName,
    Jobs,
    ListPlan,
    NoTrack,
    NoWait,
    OptionalStudy,
    Precision,
    Profile,
    Results,
    RetryFailed,
    Seeds,
    SplitName,
    data_root_or_default,
    parse_seeds,
    thread_count,
)
from fer_cli.cli.plans import print_plan, print_plans, say_recipe
from fer_cli.cli.screen import duration, pause_collection, progress_bar, say
from fer_cli.errors import FerError, StudyError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from fer_cli.ablate import Summary
    from fer_cli.config import Compute
    from fer_cli.plan import Item, Plan
    from fer_cli.study import Choice

SAID_EVERY = 10.0
"""Seconds between lines about drawing on a plain stream."""
LEFT = 3
"""Exit code when runs were left to another process and none failed."""

Budget = Annotated[
    float | None,
    typer.Option("--budget", min=0.01, metavar="MINUTES", help="Use fewer seeds and epochs so that the runs fit."),
]


def ablate(
    study: OptionalStudy = None,
    every: Annotated[bool, typer.Option("--all", help="Take every shipped study, one after another.")] = False,
    data: DataName = None,
    profile: Profile = None,
    seeds: Seeds = None,
    split: SplitName = None,
    epochs: Epochs = None,
    budget: Budget = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Train this arm only; repeatable.")] = None,
    plan: ListPlan = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Train one batch of each run; keep nothing.")] = False,
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Give each arm the settings that fer search chose for it.")
    ] = False,
    jobs: Jobs = 1,
    executor: ExecutorName = None,
    retry_failed: RetryFailed = False,
    no_wait: NoWait = False,
    no_track: NoTrack = False,
    device: Device = "auto",
    precision: Precision = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Train all unfinished runs of a study, or of all studies; rerun the same command to resume after an interruption.

    Run states: new, running, stale (interrupted; the next command resumes it), damaged (unreadable file), failed, done.

    Exit codes: 0 all runs done; 1 runs failed, damaged or blocked; 2 bad input; 3 runs left to another process (--no-wait);
    130 interrupted; 143 terminated (SIGTERM).
    """
    from fer_cli.executors import choose_executor
    from fer_cli.study import DEFAULT_PROFILE, Choice

    choose_executor(executor, jobs)
    compute = compute_here(results, data_root, device=device, precision=precision, jobs=jobs, track=not no_track)
    choice = Choice(profile or DEFAULT_PROFILE, data, parse_seeds(seeds), split, epochs, recipe)
    how: dict[str, Any] = {"jobs": jobs if jobs > 1 else None, "executor": executor, "no_track": no_track}
    how |= {name: value for name, value in (("device", device), ("precision", precision)) if value != "auto"}
    call = Call(compute, jobs, executor, plan, smoke, retry_failed, not no_wait, results, data_root, how)
    if every:
        refuse_with_all(study, only, budget, smoke)
        ablate_all(call, choice)
        return
    if study is None:
        raise StudyError("give a study with --study NAME, or --all; fer ablate --all --plan lists the shipped studies")
    planned, choice = plan_runs(study, choice, compute, tuple(only or ()), call.prepare, budget, jobs)
    again = call.command(study, choice, only)
    if (summary := carry_out(planned, call)) is not None:
        end(summary, again, call.report(study, choice))
        return
    if budget is not None:
        say(f"fits {budget:g} minutes; the same without a budget: {again}")
    say(f"next: {again}")


@dataclass(frozen=True)
class Call:
    """The options of one call, apart from those that choose runs."""

    compute: Compute
    jobs: int
    executor: str | None
    plan: bool
    smoke: bool
    retry_failed: bool
    wait: bool
    results: Path
    data_root: Path | None
    how: dict[str, Any]
    """Options to repeat in suggested commands."""

    @property
    def prepare(self) -> Callable[[str], None] | None:
        """Return what builds a data set before its study is planned; None where nothing may be built."""
        return None if self.plan else lambda name: begin_if_embedded(name, self.compute.data_root)

    def command(self, study: str | None, choice: Choice, only: list[str] | None = None) -> str:
        """Return the command that trains the same runs; ``study``: None for all."""
        return write_command("fer ablate", all=study is None, study=study, **self._same(choice), only=only, **self.how)

    def report(self, study: str, choice: Choice) -> str:
        """Return the command that reports the runs."""
        return write_command("fer report", study=study, **self._same(choice))

    def _same(self, choice: Choice) -> dict[str, Any]:
        return {**choice_options(choice), "results": given_results(self.results), "data_root": self.data_root}


def refuse_with_all(study: str | None, only: list[str] | None, budget: float | None, smoke: bool) -> None:
    """Raise StudyError for an option that needs one study."""
    given = {"--study": study, "--only": only, "--budget": budget, "--smoke": smoke}
    if names := [name for name, value in given.items() if value]:
        raise StudyError(f"--all: cannot be combined with {', '.join(names)}, which takes one study")


def ablate_all(call: Call, choice: Choice) -> None:
    """Plan or train every shipped study, one after another; those that cannot be planned here are named."""
    from fer_cli.plan import plan_all

    again = call.command(None, choice)
    if call.plan:
        print_plans(choice, call.compute, call.jobs)
        say(f"next: {again}")
        return
    total = Total()
    for name, planned in plan_all(choice, call.compute, call.prepare):
        if isinstance(planned, FerError):
            say(f"{name} is left out: {planned}")
        elif (summary := carry_out(planned, call)) is not None:
            total.ok, total.complete = total.ok and summary.ok, total.complete and summary.complete
    end(total, again, call.report("scn-cs", choice))


@dataclass
class Total:
    """Whether the runs of several studies are done; as in ``ablate.Summary``."""

    ok: bool = True
    complete: bool = True


def carry_out(planned: Plan, call: Call) -> Summary | None:
    """Check a plan and train its missing runs; with --plan or --smoke, only print or try them, and return None."""
    from fer_cli.checks import check_runs

    states = planned.states()
    warnings = check_runs(planned, call.compute, states)
    if call.plan:
        print_plan(planned, call.compute, call.jobs, states)
    say_recipe(planned)
    for line in warnings:
        say(f"warning: {line}")
    if call.smoke:
        run_smoke(planned, call.compute)
    if call.plan or call.smoke:
        return None
    return train(planned, call.compute, call.jobs, call.retry_failed, wait=call.wait, executor=call.executor)


def plan_runs(
    study: str,
    choice: Choice,
    compute: Compute,
    only: tuple[str, ...],
    prepare: Callable[[str], None] | None,
    budget: float | None,
    jobs: int,
) -> tuple[Plan, Choice]:
    """Return the plan and its options, with fewer seeds and epochs where ``budget`` (minutes) says so."""
    from fer_cli.estimate import estimate, fit_budget
    from fer_cli.plan import make_plan

    with pause_collection():
        planned = make_plan(study, choice, compute, only, prepare)
        if budget is not None:
            choice = fit_budget(planned, estimate(planned, compute, planned.states(), timing=True), jobs, budget)
            planned = make_plan(study, choice, compute, only, prepare)
    return planned, choice


def train(plan: Plan, compute: Compute, jobs: int, retry_failed: bool, **how: Any) -> Summary:
    """Train the missing runs with a progress display, print the summary and return it; ``how``: passed to ``run_plan``."""
    from fer_cli.ablate import run_plan
    from fer_cli.signals import end_on_sigterm

    end_on_sigterm()
    began = time.monotonic()
    with Watch(plan, compute, jobs, retry_failed) as watch:
        summary = run_plan(plan, compute, jobs, retry_failed, watch, **how)
    if compute.track and summary.counts["done"]:
        from fer_cli.inventory.parents import log_plan

        log_plan(plan, compute.results)
    print_summary(summary, time.monotonic() - began)
    return summary


def compute_here(results: Path, data_root: Path | None, jobs: int, **settings: Any) -> Compute:
    """Return the compute settings for ``jobs`` parallel runs; raises StudyError for an unknown device."""
    from pydantic import ValidationError

    from fer_cli.config import Compute
    from fer_cli.yamls import explain

    threads = max(1, thread_count() // jobs)
    try:
        return Compute(data_root=data_root_or_default(data_root), results=results, threads=threads, **settings)
    except ValidationError as error:
        raise StudyError(f"--{explain(error, Compute)}") from None


def end(summary: Summary | Total, again: str, report: str) -> None:
    """Print the next command and exit with the matching code."""
    if not summary.ok:
        say(f"next: {again} --retry-failed")
        raise typer.Exit(1)
    if not summary.complete:
        say(f"next: {again}, which waits for them")
        raise typer.Exit(LEFT)
    say(f"next: {report}")


def run_smoke(plan: Plan, compute: Compute) -> None:
    """Train one batch of each run under a progress bar."""
    from fer_cli.ablate import smoke_plan

    with progress_bar() as bar:
        task = bar.add_task("one batch each", total=len(plan.items))
        smoke_plan(plan, compute, lambda _: bar.advance(task))
    say(f"smoke test passed: {len(plan.items)} runs trained, validated and predicted one batch each")


class Watch:
    """Progress display: finished runs, and the epochs that active runs report."""

    def __init__(self, plan: Plan, compute: Compute, jobs: int, retry_failed: bool) -> None:
        from fer_cli.estimate import estimate
        from fer_cli.plan import is_runnable

        self.plan, self.plain = plan, not sys.stderr.isatty()
        everything, states = plan.everything, plan.states()
        self.todo = {item.run_id: item for item in everything if is_runnable(states[item.run_id], retry_failed)}
        self.under_way: dict[str, Item] = {}
        self.finished = self.epochs = 0
        self.data_root, self.sets = compute.data_root, sorted({n for item in everything for n in item.run.config.sets})
        self._said = 0.0
        self.began = time.monotonic()
        self.total = sum(item.epochs for item in self.todo.values())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        times = estimate(plan, compute, states)
        known = [times[name] for name in self.todo]
        if self.todo:
            total = sum(s for s in known if s is not None) / jobs if all(s is not None for s in known) else None
            say(f"{plan.title}: {len(self.todo)} of {len(everything)} runs to train; expected time {duration(total)}")
            if compute.track:
                from fer_cli.tracking import describe_store

                say(f"MLflow store: {describe_store(compute.results)}")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def begun(self, item: Item) -> None:
        """Record that a run began; a run taken over from another process is added to the total."""
        self.under_way[item.run_id] = item
        if item.run_id not in self.todo:
            self.todo[item.run_id] = item
            self.total += item.epochs

    def done(self, item: Item, status: str) -> None:
        """Record that a run ended; on a plain stream, print a line with the remaining time."""
        self.under_way.pop(item.run_id, None)
        if status == "elsewhere":
            return
        self.finished += 1
        self.epochs += item.epochs
        if not self.plain:
            return
        text = status
        if status == "done":
            result = item.folder.result()
            where = "validation accuracy" if result.config.trial else "accuracy"
            text = f"{where} {result.scores['accuracy']:.3f} in {duration(result.cost.seconds.total)}"
        elapsed = time.monotonic() - self.began
        left = elapsed / self.epochs * max(0, self.total - self.epochs)
        say(f"[{self.finished}/{len(self.todo)}] {item.run.title}: {text}; left {duration(left)}")

    def waiting(self, items: list[Item]) -> None:
        """Print which runs are awaited, and which process trains the first."""
        with suppress(FerError):  # it may just have ended
            owner = items[0].folder.owner()
            more = f" and {len(items) - 1} more" if len(items) > 1 else ""
            say(f"waiting for {items[0].run.title}{more}: {owner or 'another process'} trains it; use --no-wait not to wait")

    def epochs_done(self) -> float:
        """Return the number of completed epochs, including the progress of active runs."""
        return self.epochs + sum(item.epochs * item.folder.progress() for item in list(self.under_way.values()))

    def _show(self) -> None:
        with progress_bar() as bar:
            runs = bar.add_task(f"{self.plan.study.name}: runs", total=len(self.todo))
            epochs = bar.add_task("epochs", total=self.total)
            drawing = {name: bar.add_task(f"drawing {name}: people", visible=False) for name in self.sets}
            while not self._over.wait(1.0):
                if not self.plain:
                    bar.update(runs, completed=self.finished, total=len(self.todo))
                    bar.update(epochs, completed=round(self.epochs_done()), total=self.total)
                self._show_drawing(bar, drawing)

    def _show_drawing(self, bar: Progress, tasks: dict[str, TaskID]) -> None:
        """Show how far processes are that draw images of the plan's sets; on a plain stream, say it once in a while."""
        from fer_cli.data.manifest import read_drawing

        for name, task in tasks.items():
            found = read_drawing(self.data_root, name)
            if not self.plain:
                done, total = found or (0, 0)
                bar.update(task, completed=done, total=total, visible=found is not None)
            elif found is not None and time.monotonic() - self._said > SAID_EVERY:
                self._said = time.monotonic()
                say(f"drawing {name}: {found[0]} of {found[1]} people")


def print_summary(summary: Summary, seconds: float) -> None:
    """Print the outcome, and for each failed run where its traceback is."""
    for title, text in summary.warnings:
        say(f"warning: {title}: {text}")
    for title, message, trace in summary.failures:
        say(f"failed: {title}: {message} (traceback: {trace})")
    for title, text in summary.damaged:
        say(f"damaged: {title}: {text}")
    counts = summary.counts
    line = f"{counts['done']} done, {counts['failed']} failed, {counts['skipped']} skipped"
    others = {
        "damaged": "damaged",
        "blocked": "blocked: a run they depend on is not done",
        "running": "left to another process",
    }
    line += "".join(f", {counts[state]} {words}" for state, words in others.items() if counts[state])
    say(f"{line}; {duration(seconds)}")
