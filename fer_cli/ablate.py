"""Plan a study, skip what is done, execute the rest, say what became of it."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fer_cli.config import Machine
from fer_cli.plan import Item, Plan, remember, runnable
from fer_cli.tasks import task_of

if TYPE_CHECKING:
    from fer_cli.tracking import End, Mirror


@dataclass
class Summary:
    """What a call of ``run_plan`` did."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, Path]] = field(default_factory=list)
    """Title, last line of the traceback, traceback file."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Title and warning of runs trained now: inert modules, a run that another process took over."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """Title of each damaged run that is left so, and what is wrong with which of its files."""
    mirrored: bool = True
    """Whether MLflow has every run that was trained now, as far as it was to have it."""

    @property
    def ok(self) -> bool:
        """Return whether no run is left failed, damaged or without the run that it builds on."""
        return not (self.failures or self.damaged or self.counts["blocked"])

    @property
    def complete(self) -> bool:
        """Return whether every run of the plan is done."""
        return self.ok and not self.counts["running"]


def run_plan(
    plan: Plan,
    machine: Machine,
    jobs: int = 1,
    retry_failed: bool = False,
    done: Callable[[Item, str], None] = lambda *_: None,
    chosen: bool = True,
    wait: bool = True,
    waiting: Callable[[list[Item]], None] = lambda _: None,
) -> Summary:
    """Train what is missing, in ``jobs`` processes; failed runs are isolated and reported in the summary.

    ``chosen``: whether ``fer report`` is to take the plan's choice of data, profile and seeds from now on. ``wait``: whether
    to wait for runs that other processes train; one whose process dies is taken over. ``waiting`` is called with them first.
    """
    from fer_cli.data.kept import keep_sets
    from fer_cli.tracking import close_mirror, open_mirror

    machine.results.mkdir(parents=True, exist_ok=True)  # once: a folder that is removed while runs train stays away
    if chosen:
        remember(plan, machine.results)
    keep_sets(machine.results, machine.data_root, (name for item in plan.everything for name in item.run.config.data.sets))
    summary = Summary()
    mirror: Mirror | None = None
    opened = not machine.track
    end: End = "KILLED"
    try:
        for left in plan.waves:
            while left:
                todo, held = sort_out(left, retry_failed, summary)
                if todo and not opened:
                    mirror, opened = open_mirror(machine.results, plan.study.name, plan.title), True
                held += work_through(plan, todo, machine, mirror, jobs, summary, done)
                if held and not wait:
                    summary.counts["running"] += len(held)
                    break
                if left := held:
                    waiting(held)
                    wait_for_change(held)
        end = "FINISHED" if summary.ok else "FAILED"
    finally:
        if mirror is not None and machine.results.is_dir():  # a folder that was removed stays away
            close_mirror(mirror, end, summary.mirrored)
    return summary


POLL_S = 2.0
"""How often a command looks for a change in the runs that it waits for."""


def wait_for_change(items: list[Item]) -> None:
    """Return once at least one run is no longer worked on: it is done, it failed, or its process is gone."""
    while all(item.folder.status == "running" for item in items):
        time.sleep(POLL_S)


def sort_out(items: list[Item], retry_failed: bool, summary: Summary) -> tuple[list[Item], list[Item]]:
    """Return the items to train now and those that other processes train; count the rest, with the reasons of failures."""
    todo, held = [], []
    for item in items:
        status = item.folder.status
        if status == "running":
            held.append(item)
        elif not runnable(status, retry_failed):
            summary.counts["skipped" if status == "done" else status] += 1
            if status == "failed":
                summary.failures.append((item.run.title, item.folder.error_line(), item.folder.file("error.txt")))
            elif status == "damaged":
                summary.damaged.append((item.run.title, str(item.folder.damage)))
        elif all(need.folder.status == "done" for need in item.needs):
            todo.append(item)
        else:
            summary.counts["blocked"] += 1
    return todo, held


def work_through(
    plan: Plan,
    todo: list[Item],
    machine: Machine,
    mirror: Mirror | None,
    jobs: int,
    summary: Summary,
    done: Callable[[Item, str], None],
) -> list[Item]:
    """Train ``todo`` in ``jobs`` processes, enter every outcome in the summary and return what other processes took."""
    from fer_cli.executors import EXECUTORS, Job, Outcome

    by_id = {item.run_id: item for item in todo}
    held: list[Item] = []

    def report(outcome: Outcome) -> None:
        item = by_id[outcome.run_id]
        if outcome.status == "elsewhere":
            held.append(item)
            summary.warnings += [(outcome.title, outcome.message)] if outcome.message else []
            return
        summary.counts[outcome.status] += 1
        summary.mirrored &= outcome.mirrored
        if outcome.status == "failed":
            summary.failures.append((outcome.title, outcome.message, item.folder.file("error.txt")))
        elif outcome.status == "done":
            summary.warnings += [(outcome.title, text) for text in item.folder.result()["warnings"]]
        done(item, outcome.status)

    work = [
        Job(
            item.run.title,
            item.run.config,
            item.fingerprint,
            item.folder,
            machine,
            mirror,
            (("arm", item.run.arm), ("study", plan.study.name), ("seed", str(item.run.seed))),
            None if item.start is None else item.start.folder,
            None if item.trained is None else item.trained.folder,
        )
        for item in todo
    ]
    EXECUTORS["serial" if min(jobs, len(todo)) <= 1 else "processes"](work, jobs, report)
    return held


def smoke_plan(plan: Plan, machine: Machine, done: Callable[[Item], None] = lambda _: None) -> None:
    """Train one batch of every planned run in a throw-away folder; the first error ends it."""
    with tempfile.TemporaryDirectory() as folder:
        for item in plan.items:
            task_of(item.run.config).smoke(item.run.config, machine, Path(folder))
            done(item)
