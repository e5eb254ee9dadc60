"""Executes a plan and summarises the outcomes."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fer_cli.choices import remember
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan
from fer_cli.sweeps import record_sweep
from fer_cli.tasks import task_of
from fer_cli.uses import Use, add_use

if TYPE_CHECKING:
    from fer_cli.executors import Agenda, Job, Options, Outcome
    from fer_cli.tracking import End, Mirror


@dataclass
class Summary:
    """The outcomes of one call of ``run_plan``."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, Path]] = field(default_factory=list)  # title, last line of the traceback, traceback file
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Title and warning: inert modules, a run that another process took over."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """Title, and file and reason, of each damaged run that was not retrained."""
    mirrored: bool = True  # whether MLflow has every newly trained run, if tracking is on

    @property
    def ok(self) -> bool:
        """Return whether no run is failed, damaged, blocked or lost by a scheduler."""
        return not (self.failures or self.damaged or self.counts["blocked"] or self.counts["lost"])

    @property
    def complete(self) -> bool:
        """Return whether every run of the plan is done."""
        return self.ok and not self.counts["running"]


class Observer(Protocol):
    """Callbacks during the execution of a plan."""

    def begun(self, item: Item) -> None:
        """Handle the start of a run."""
        return

    def done(self, item: Item, status: str) -> None:
        """Handle the end of a run: ``done``, ``failed``, ``lost``, or ``elsewhere`` (taken over by another process)."""
        return

    def waiting(self, items: list[Item]) -> None:
        """Handle waiting for these runs of other processes."""
        return


class Silent(Observer):
    """Ignores all events."""


def run_plan(
    plan: Plan,
    compute: Compute,
    options: Options | None = None,
    observer: Observer | None = None,
    chosen: bool = True,
    whole: Plan | None = None,
) -> Summary:
    """Train missing runs as ``options`` say; failed runs do not stop others.

    ``chosen``: whether the plan's options become the defaults of ``fer report``. ``whole``: the plan of which ``plan`` is a
    part; it is recorded for ``fer status``.
    """
    from fer_cli.data.kept import keep_sets
    from fer_cli.executors import EXECUTORS, Agenda, Options, choose_executor
    from fer_cli.executors.jobs import execute
    from fer_cli.tracking import close_mirror

    options = options or Options()
    compute.results.mkdir(parents=True, exist_ok=True)  # only here: a folder removed during training is not recreated
    if chosen:
        remember(plan, compute.results)
        record_sweep(whole or plan, compute.results)
    keep_sets(compute.results, compute.data_root, (name for item in plan.everything for name in item.run.config.sets))
    call = Call(plan, compute, observer or Silent(), options.timeout)
    end: End = "KILLED"
    try:
        agenda = Agenda(plan.everything, call.job_of, call.settle, options, call.observer.waiting)
        few = options.model_copy(update={"jobs": min(options.jobs, max(1, agenda.size))})
        EXECUTORS[choose_executor(few)](agenda, execute, call.note)
        call.summary.counts += count_left(agenda)
        end = "FINISHED" if call.summary.ok else "FAILED"
    finally:
        if call.mirror is not None and compute.results.is_dir():  # a removed folder is not recreated
            close_mirror(call.mirror, end, call.summary.mirrored)
    return call.summary


def count_left(agenda: Agenda) -> Counter[str]:
    """Return the runs that an executor left: to other processes, with those that wait for them, or ``fail_fast``'s."""
    held, waiting, unstarted = len(agenda.held), len(agenda.blocked), len(agenda.unstarted)
    if agenda.stopped:
        return Counter(running=held, unstarted=unstarted + waiting)
    return Counter(running=held + waiting, unstarted=unstarted)


class Call:
    """One call of ``run_plan``: makes jobs and summarises their outcomes."""

    def __init__(self, plan: Plan, compute: Compute, observer: Observer, timeout: float | None) -> None:
        self.plan, self.compute, self.observer, self.timeout = plan, compute, observer, timeout
        self.summary = Summary()
        self.mirror: Mirror | None = None
        self._opened = not compute.track
        self._items = {item.run_id: item for item in plan.everything}
        self._first = {item.run_id for item in plan.first}

    def job_of(self, item: Item) -> Job:
        """Return the job of a starting run; the first one opens the mirror."""
        from fer_cli.executors import Job
        from fer_cli.tracking import open_mirror

        if not self._opened:
            self.mirror, self._opened = open_mirror(self.compute.results, self.plan.study.name, self.plan.title), True
        self.observer.begun(item)
        tags = (("arm", item.run.arm), ("study", self.plan.study.name), ("seed", str(item.run.seed)))
        start, trained = (None if need is None else need.folder for need in (item.start, item.trained))
        config, folder = item.run.config, item.folder
        use = use_of(self.plan, item, item.run_id not in self._first)
        where = (folder, self.compute, self.mirror)
        return Job(item.run.title, config, item.fingerprint, *where, tags, start, trained, use, self.timeout)

    def settle(self, item: Item, status: str) -> None:
        """Record a run that is not trained, with the reason of a failure."""
        self.summary.counts["skipped" if status == "done" else status] += 1
        if status == "failed":
            self.summary.failures.append((item.run.title, item.folder.error_line(), item.folder.file("error.txt")))
        elif status == "done":
            add_use(item.folder.path, use_of(self.plan, item, item.run_id not in self._first))
        elif status == "damaged":
            self.summary.damaged.append((item.run.title, str(item.folder.damage)))

    def note(self, outcome: Outcome) -> None:
        """Record the outcome of a job."""
        item, summary = self._items[outcome.run_id], self.summary
        if outcome.status in {"elsewhere", "lost"}:
            summary.warnings += [(outcome.title, outcome.message)] if outcome.message else []
            summary.counts["lost"] += outcome.status == "lost"
        else:
            summary.counts[outcome.status] += 1
            summary.mirrored &= outcome.mirrored
        if outcome.status == "failed":
            summary.failures.append((outcome.title, outcome.message, item.folder.file("error.txt")))
        elif outcome.status == "done":
            summary.warnings += [(outcome.title, text) for text in item.folder.result().warnings]
        self.observer.done(item, outcome.status)


def use_of(plan: Plan, item: Item, table: bool) -> Use:
    """Return the record of a run's use in a plan; ``table``: whether it is in a table."""
    return Use(
        study=plan.study.name,
        title=plan.title,
        stem=plan.stem,
        profile=plan.choice.profile,
        data=plan.data,
        arm=item.run.arm,
        at=item.run.at,
        table=table,
        metric=plan.study.report.metrics[0],
    )


def smoke_plan(plan: Plan, compute: Compute, done: Callable[[Item], None] = lambda _: None) -> None:
    """Train one batch of every planned run in a temporary folder; the first error propagates."""
    with tempfile.TemporaryDirectory() as folder:
        for item in plan.items:
            task_of(item.run.config).smoke(item.run.config, compute, Path(folder))
            done(item)
