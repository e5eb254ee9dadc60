"""``fer ablate``: train the missing runs of a study."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.drawn import begin_if_embedded
from fer_cli.cli.executing import (
    PRINT,
    Address,
    Asked,
    Cpus,
    Detach,
    ExecutorName,
    FailFast,
    Gpus,
    GpusPerTask,
    Jobs,
    NoSharedDisk,
    OnlyRun,
    Partition,
    PerGpu,
    Retries,
    RetryFailed,
    SbatchFile,
    Shard,
    Time,
    Timeout,
    make_compute,
    make_options,
)
from fer_cli.cli.options import (
    DEFAULT_RESULTS,
    DataName,
    DataRoot,
    Device,
    Epochs,
    ListPlan,
    LoggerName,
    NoTrack,
    NoWait,
    OptionalStudy,
    Precision,
    Profile,
    Results,
    Seeds,
    SetOption,
    SplitName,
    parse_seeds,
)
from fer_cli.cli.plans import print_commands, print_plan, print_plans, say_recipe
from fer_cli.cli.screen import pause_collection, progress_bar, say
from fer_cli.cli.watch import Watch, print_summary
from fer_cli.commands import choice_options, given_results, write_command
from fer_cli.errors import FerError, StudyError

if TYPE_CHECKING:
    from fer_cli.ablate import Summary
    from fer_cli.config import Compute
    from fer_cli.executors import Options
    from fer_cli.plan import Plan
    from fer_cli.study import Choice

LEFT = 3
"""Exit code when runs were left to another process and none failed."""

Budget = Annotated[
    float | None,
    typer.Option(
        "--budget", min=0.01, max=525600, metavar="MINUTES", help="Use fewer seeds and epochs so that the runs fit."
    ),
]


def ablate(
    study: OptionalStudy = None,
    every: Annotated[bool, typer.Option("--all", help="Take every shipped study, one after another.")] = False,
    data: DataName = None,
    profile: Profile = None,
    seeds: Seeds = None,
    split: SplitName = None,
    settings: SetOption = None,
    epochs: Epochs = None,
    budget: Budget = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Train this arm only; repeatable.")] = None,
    run: OnlyRun = None,
    shard: Shard = None,
    plan: ListPlan = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Train one batch of each run; keep nothing.")] = False,
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Give each arm the settings that fer search chose for it.")
    ] = False,
    jobs: Jobs = None,
    executor: ExecutorName = None,
    gpus: Gpus = None,
    per_gpu: PerGpu = None,
    timeout: Timeout = None,
    fail_fast: FailFast = False,
    retry_failed: RetryFailed = False,
    retries: Retries = 0,
    no_wait: NoWait = False,
    cpus_per_task: Cpus = None,
    gpus_per_task: GpusPerTask = None,
    partition: Partition = None,
    time: Time = None,
    sbatch: SbatchFile = None,
    detach: Detach = False,
    address: Address = None,
    no_shared_disk: NoSharedDisk = False,
    no_track: NoTrack = False,
    logger: LoggerName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Train all unfinished runs of a study, or of all studies; rerun the same command to resume after an interruption.

    Run states: new, running, stale (interrupted; the next command resumes it), damaged (unreadable file), failed, done.

    Exit codes: 0 all runs done; 1 runs failed, damaged, blocked or lost; 2 bad input; 3 runs left to another process
    (--no-wait, --detach); 130 interrupted; 143 terminated (SIGTERM).
    """
    carry_out_call(Asked(**locals()))


def carry_out_call(asked: Asked) -> None:
    """Plan and train what a call asks for, and say how to go on."""
    from fer_cli.overrides import parse_settings
    from fer_cli.study import DEFAULT_PROFILE, Choice

    if asked.plan and asked.smoke:
        raise StudyError("--plan: cannot be combined with --smoke, which trains; give one of them")
    options = make_options(asked)
    call = Call(asked, options, make_compute(asked, options))
    profile, seeds = asked.profile or DEFAULT_PROFILE, parse_seeds(asked.seeds)
    given = parse_settings(asked.settings)
    choice = Choice(profile, asked.data, seeds, asked.split, asked.epochs, asked.recipe, given)
    if asked.every:
        refuse_with_all(asked)
        ablate_all(call, choice)
        return
    if asked.study is None:
        raise StudyError("give a study with --study NAME, or --all; fer studies lists the shipped ones")
    whole, choice = plan_runs(asked.study, choice, call)
    planned = choose_part(whole, asked, call.command(asked.study, choice, plan=True))
    part = {"only": asked.only, "run": asked.run, "shard": asked.shard}
    if asked.executor == PRINT and not (asked.plan or asked.smoke):
        call.check(planned)
        print_commands(planned, call.absolute(asked.study, choice), asked.retry_failed)
        return
    if (summary := carry_out(planned, call, whole)) is not None:
        end(summary, call.command(asked.study, choice, **part), call.report(asked.study, choice))
        return
    again = call.command(asked.study, choice, **part, **asked.once())
    if asked.budget is not None:
        say(f"fits {asked.budget:g} minutes; the same without a budget: {again}")
    say(f"next: {again}")


@dataclass(frozen=True)
class Call:
    """One call: its options, and what they mean here."""

    asked: Asked
    options: Options
    compute: Compute

    @property
    def prepare(self) -> Callable[[str], None] | None:
        """Return what builds a data set before its study is planned; None where nothing may be built."""
        return None if self.asked.plan else lambda name: begin_if_embedded(name, self.compute.data_root)

    @cached_property
    def how(self) -> dict[str, Any]:
        """Return the options of execution to repeat in suggested commands."""
        return self.asked.repeated()

    def command(self, study: str | None, choice: Choice, **part: Any) -> str:
        """Return the command that trains the same runs; ``study``: None for all."""
        same = {"all": study is None, "study": study, **self._same(choice), **part, **self.how}
        return write_command("fer ablate", **same)

    def absolute(self, study: str, choice: Choice) -> Callable[[str], str]:
        """Return a function that writes the command that trains one run, from any folder."""
        from fer_cli.places import user_path
        from fer_cli.study import study_names

        given = {"study": study, **self._same(choice), **self.how, "executor": None, "jobs": None, "fail_fast": False}
        given |= {"study": study if study in study_names() else user_path(study).absolute()}
        given |= {"results": self.compute.results.absolute(), "data_root": self.compute.data_root.absolute()}
        given |= {"retry_failed": self.asked.retry_failed, "only": self.asked.only}
        return lambda run_id: write_command("fer ablate", **given, run=run_id)

    def report(self, study: str, choice: Choice) -> str:
        """Return the command that reports the runs."""
        return write_command("fer report", study=study, **self._same(choice))

    def check(self, plan: Plan) -> None:
        """Raise a FerError if a run of a plan cannot succeed, and print warnings; with --plan, print the plan."""
        from fer_cli.checks import check_runs

        states = plan.states()
        warnings = check_runs(plan, self.compute, states)
        if self.asked.plan:
            print_plan(plan, self.compute, self.options.jobs, states)
        say_recipe(plan)
        for line in warnings:
            say(f"warning: {line}")

    @property
    def where(self) -> dict[str, Any]:
        """Return the options of folders to repeat in suggested commands."""
        return {"results": given_results(self.asked.results), "data_root": self.asked.data_root}

    def _same(self, choice: Choice) -> dict[str, Any]:
        return {**choice_options(choice), **self.where}


def refuse_with_all(asked: Asked) -> None:
    """Raise StudyError for an option that needs one study."""
    needing = ("study", "only", "run", "shard", "budget", "smoke")
    names = [f"--{name}" for name in needing if getattr(asked, name)]
    names += ["--set"] if asked.settings else []
    names += ["--executor print"] if asked.executor == PRINT else []
    if names:
        raise StudyError(f"--all: cannot be combined with {', '.join(names)}, which takes one study")


def ablate_all(call: Call, choice: Choice) -> None:
    """Plan or train every shipped study, one after another; those that cannot run here are named."""
    from fer_cli.plan import plan_all

    if call.asked.plan:
        print_plans(choice, call.compute, call.options.jobs)
        say(f"next: {call.command(None, choice, **call.asked.once())}")
        return
    total = Total()
    for name, planned in plan_all(choice, call.compute, call.check, call.prepare):
        if isinstance(planned, FerError):
            say(f"{name} is left out: {planned}")
            continue
        summary = train(planned, call.compute, call.options, planned)
        total.ok, total.complete = total.ok and summary.ok, total.complete and summary.complete
        if call.options.fail_fast and not summary.ok:
            break
    end(total, call.command(None, choice), write_command("fer report", all=True, **call.where))


@dataclass
class Total:
    """Whether the runs of several studies are done; as in ``ablate.Summary``."""

    ok: bool = True
    complete: bool = True


def carry_out(planned: Plan, call: Call, whole: Plan) -> Summary | None:
    """Check a plan and train its missing runs; with --plan or --smoke, only print or try them, and return None."""
    call.check(planned)
    if call.asked.smoke:
        run_smoke(planned, call.compute)
    if call.asked.plan or call.asked.smoke:
        return None
    return train(planned, call.compute, call.options, whole)


def plan_runs(study: str, choice: Choice, call: Call) -> tuple[Plan, Choice]:
    """Return the plan and its options, with fewer seeds and epochs where ``--budget`` says so."""
    from fer_cli.estimate import estimate, fit_budget
    from fer_cli.plan import make_plan

    only, compute = tuple(call.asked.only or ()), call.compute
    with pause_collection():
        planned = make_plan(study, choice, compute, only, call.prepare)
        if (budget := call.asked.budget) is not None:
            states = planned.states()
            times = estimate(planned, compute, dict.fromkeys(states, "new"), timing=True)
            choice = fit_budget(planned, times, states, call.options.jobs, budget)
            planned = make_plan(study, choice, compute, only, call.prepare)
    return planned, choice


def choose_part(plan: Plan, asked: Asked, listing: str) -> Plan:
    """Return the part of a plan that --run or --shard names; raises a FerError for an unknown run or shard.

    ``listing``: the command that lists the plan's runs.
    """
    if asked.run and asked.shard:
        raise StudyError("--run: cannot be combined with --shard")
    if asked.shard is not None:
        from fer_cli.parts import choose_shard

        part = choose_shard(plan, asked.shard)
        if not part.everything:
            say(f"--shard {asked.shard}: empty, as runs that start from each other stay together")
        return part
    if asked.run:
        from fer_cli.inventory.find import match_id
        from fer_cli.parts import choose_runs

        known = [item.run_id for item in plan.everything]
        where = f"in {plan.title}; {listing} lists all"
        return choose_runs(plan, [match_id(text, known, where) for text in asked.run])
    return plan


def train(plan: Plan, compute: Compute, options: Options, whole: Plan, chosen: bool = True) -> Summary:
    """Train the missing runs with a progress display, print the summary and return it; others: as in ``run_plan``."""
    from fer_cli.ablate import run_plan
    from fer_cli.sweeps import call_under_way

    began = clock.monotonic()
    compute.results.mkdir(parents=True, exist_ok=True)
    with call_under_way(compute.results, whole), Watch(plan, compute, options) as watch:
        summary = run_plan(plan, compute, options, watch, chosen, whole)
    if compute.track and summary.counts["done"]:
        from fer_cli.inventory.parents import log_plan

        log_plan(whole, compute.results)
    print_summary(summary, clock.monotonic() - began)
    return summary


def end(summary: Summary | Total, again: str, report: str) -> None:
    """Print the next command and exit with the matching code."""
    if not summary.ok:
        say(f"next: {again} --retry-failed")
        raise typer.Exit(1)
    if not summary.complete:
        say(f"next: {again} (waits for them)")
        raise typer.Exit(LEFT)
    say(f"next: {report}")


def run_smoke(plan: Plan, compute: Compute) -> None:
    """Train one batch of each run under a progress bar."""
    from fer_cli.ablate import smoke_plan

    with progress_bar() as bar:
        task = bar.add_task("one batch each", total=len(plan.items))
        smoke_plan(plan, compute, lambda _: bar.advance(task))
    say(f"smoke test passed: {len(plan.items)} runs trained, validated and predicted one batch each")
