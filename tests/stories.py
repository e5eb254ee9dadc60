"""Made-up runs for the contract of executors: real folders and claims, a moment's work in place of training.

Workers on a cluster import this file, so it imports little.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fer_cli import claims
from fer_cli.config import Compute, RunConfig
from fer_cli.executors import EXECUTORS, Agenda, Job, Options, Outcome
from fer_cli.plan import Item
from fer_cli.runs import RunFolder
from fer_cli.study import PlannedRun
from tests.fakes import fake_result, leave
from tests.processes import wait_for


def work(job: Job) -> Outcome:
    """Do what the title says in place of training, under a claim; leave a result that holds when, and in which process."""
    with job.folder.claim() as mine:
        if not mine:
            return Outcome(job.run_id, job.title, "elsewhere")
        began = time.monotonic()
        if "die" in job.title:
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow" in job.title:
            time.sleep(0.6)
        if "patient" in job.title:
            wait_for(lambda: len(list(job.folder.results.glob("runs/*/result.json"))) == 3, 60)
        if "endless" in job.title:
            job.folder.write_progress(0, 1)
            for _ in range(3000):  # in short steps, as trainings have them
                time.sleep(0.1)
        if "fail" in job.title:
            job.folder.write_error("Oops: no\n")
            return Outcome(job.run_id, job.title, "failed", "Oops: no")
        times = {"began": began, "ended": time.monotonic(), "process": os.getpid(), "place": str(job.folder.results)}
        job.folder.file("times.json").write_text(json.dumps(times))
        leave(job.folder, fake_result(job.run_id, job.config))
    return Outcome(job.run_id, job.title, "done")


def succeed(job: Job) -> Outcome:
    """Leave a result, whatever the title says."""
    with job.folder.claim():
        leave(job.folder, fake_result(job.run_id, job.config))
    return Outcome(job.run_id, job.title, "done")


def note(job: Job) -> Outcome:
    """Leave nothing: only the scheduling counts."""
    return Outcome(job.run_id, job.title, "done")


def fill_disk(job: Job) -> Outcome:
    """Fail as on a full disk."""
    (job.folder.results / f"tried-{job.title}").touch()
    raise OSError(28, "No space left on device")


def take_over(job: Job) -> Outcome:
    """Do the work where a claim is dead after less than the usual time; a worker process has the usual one."""
    claims.SILENT_S = 0.3
    return work(job)


def die_once(job: Job) -> Outcome:
    """Be killed in the middle of the run ``once``, the first time."""
    mark = job.folder.results / "died"
    if job.title == "once" and not mark.exists():
        with job.folder.claim():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return work(job)


def fail_twice(job: Job) -> Outcome:
    """Fail the first two times, or each time if the title says so; count how often."""
    with (job.folder.results / job.title).open("a") as stream:
        stream.write("x")
        tries = stream.tell()
    if job.title == "shaky" and tries < 3:
        with job.folder.claim():
            job.folder.write_error("Oops: not yet\n")
        return Outcome(job.run_id, job.title, "failed", "Oops: not yet")
    return work(job)


class Story:
    """Items by title, an agenda of them, and what was reported."""

    def __init__(self, results: Path, needs: dict[str, Sequence[str]]) -> None:
        self.compute = Compute(data_root=results, results=results, track=False)
        results.mkdir(exist_ok=True)
        self.items: dict[str, Item] = {}
        for title, before in needs.items():
            config = RunConfig(seed=len(self.items))
            start, trained = [*(self.items[need] for need in before), None, None][:2]
            folder = RunFolder(results, config.run_id("x"))
            self.items[title] = Item(PlannedRun(title, (), config.seed, config, ()), "x", folder, start, trained)
        self.titles = {item.run_id: title for title, item in self.items.items()}
        self.begun: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.settled: dict[str, str] = {}
        self.waited: list[str] = []

    def agenda(self, **how: Any) -> Agenda:
        def settle(item: Item, why: str) -> None:
            self.settled[self.titles[item.run_id]] = why

        def waiting(items: list[Item]) -> None:
            self.waited += [self.titles[item.run_id] for item in items]

        return Agenda(list(self.items.values()), self.job_of, settle, Options(**{"jobs": 2, **how}), waiting)

    def job_of(self, item: Item) -> Job:
        self.begun.append(title := self.titles[item.run_id])
        return Job(title, item.run.config, "x", item.folder, self.compute, None)

    def done(self, outcome: Outcome) -> None:
        self.ended.append((self.titles[outcome.run_id], outcome.status))

    def execute(self, name: str, run: Callable[[Job], Outcome] = work, **how: Any) -> Agenda:
        made = self.agenda(executor=name, **how)
        EXECUTORS[name](made, run, self.done)
        return made

    def seen(self, title: str, key: str) -> float:
        return float(json.loads(self.items[title].folder.file("times.json").read_text())[key])

    def states(self) -> dict[str, str]:
        return {title: item.folder.status for title, item in self.items.items()}
