"""Plan a study, skip what is done, execute the rest, say what became of it."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from fer_cli.config import AUTO, SPLITS, Machine, RunConfig, Section
from fer_cli.errors import ResultsError, StudyError, nearest
from fer_cli.places import read_text, write_text
from fer_cli.runs import RunFolder, Status
from fer_cli.study import DEFAULT_PROFILE, Choice, PlannedRun, Study, expand, load_study
from fer_cli.yamls import explain

if TYPE_CHECKING:
    from fer_cli.config.auto import Known
    from fer_cli.data.kept import About
    from fer_cli.data.manifest import SetInfo
    from fer_cli.tracking import End, Mirror


@dataclass(frozen=True)
class Item:
    """A planned run with its identity and its folder."""

    run: PlannedRun
    fingerprint: str
    folder: RunFolder
    start: Item | None = None
    """The run whose weights this one starts from."""
    trained: Item | None = None
    """The run whose training is this one's too; this one only tests."""

    @property
    def run_id(self) -> str:
        """Return the run's identity."""
        return self.folder.run_id

    @property
    def epochs(self) -> int:
        """Return about how many epochs' time the run takes: one where it only tests."""
        return 1 if self.trained is not None or self.run.config.features.fitted else self.run.config.train.epochs

    @property
    def prior(self) -> Item | None:
        """Return the run that must be done before this one."""
        return self.trained or self.start

    @property
    def depth(self) -> int:
        """Return how many runs come before this one, one after the other."""
        return 0 if self.prior is None else 1 + self.prior.depth


@dataclass(frozen=True)
class Plan:
    """A study expanded on a built data set."""

    study: Study
    choice: Choice
    data: str
    items: list[Item]
    first: list[Item] = field(default_factory=list)
    """Runs that others start from or share the training of, done before them; no part of any table."""

    @property
    def factors(self) -> dict[str, list[Any]]:
        """Return what every arm is crossed with: factor -> its values as tables print them, in the study's order."""
        found: dict[str, dict[Any, None]] = {}
        for item in self.items:
            for factor, value in item.run.at:
                found.setdefault(factor, {})[value] = None
        return {factor: list(values) for factor, values in found.items()}

    @property
    def sets(self) -> list[str]:
        """Return the data sets that the tables are of, in order."""
        return sorted({name for item in self.items for name in item.run.config.data.sets})

    @property
    def everything(self) -> list[Item]:
        """Return all runs, each after the one it needs."""
        return sorted([*self.first, *self.items], key=lambda item: item.depth)

    @property
    def waves(self) -> list[list[Item]]:
        """Return all runs in groups, none of which needs another of its own group."""
        return [list(group) for _, group in groupby(self.everything, key=lambda item: item.depth)]

    @property
    def title(self) -> str:
        """Return what the plan is called in MLflow and in file names."""
        split = f", split {self.choice.split}" if self.choice.split else ""
        return f"{self.study.name} on {self.data} ({self.choice.profile}{split})"

    @property
    def stem(self) -> str:
        """Return the name that files of the plan's tables and figures begin with."""
        return "-".join(filter(None, [self.study.name, self.data, self.choice.profile, self.choice.split]))


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


def make_plan(
    name: str,
    choice: Choice,
    machine: Machine,
    only: tuple[str, ...] = (),
    prepare: Callable[[str], None] | None = None,
    about: About | None = None,
) -> Plan:
    """Return the plan of study ``name``; every config is validated and every data set found before this returns.

    ``prepare`` is called with each data set that is needed before it is looked for; it may build it. Without it, embedded
    sets that are not built are planned as they will be drawn. ``about``: returns what is known of a set, else looked up.
    """
    from fer_cli.data.manifest import expected_info, known_about, verified_info

    def known(data: str) -> Known:
        return known_about(machine.data_root, data) if about is None else about(data).known

    study = load_study(name)
    runs = expand(study, choice, known)
    for arm in only:
        if arm not in study.arms:
            raise StudyError(f"--only: no arm '{arm}' in {study.name}{nearest(arm, study.arms)}")
    begun = [config for run in runs for config in chain_of(run.config)]
    configs = [*(run.config for run in runs), *begun]
    infos: dict[str, SetInfo] = {}
    for data in sorted({data for config in configs for data in config.data.sets}):
        if about is not None:
            infos[data] = about(data).info
        elif prepare is None:
            infos[data] = expected_info(machine.data_root, data)
        else:
            prepare(data)
            infos[data] = verified_info(machine.data_root, data)
    check_classes(study, runs, infos)

    folders: dict[str, Item] = {}

    def item_of(run: PlannedRun) -> Item:
        fingerprint = "+".join(infos[data].fingerprint for data in run.config.data.sets)
        start = trained = None
        if (config := run.config.before()) is not None:
            title = "network of the features" if run.config.features.fitted else f"pre-training on {config.data.name}"
            start = item_of(PlannedRun(title, (), config.seed, config, ()))
        if (config := run.config.training()) is not None:
            trained = item_of(replace(run, at=(), config=config))
        identity = fingerprint if start is None else f"{fingerprint}<{start.run_id}"
        folder = RunFolder(machine.results, run.config.run_id(identity))
        return folders.setdefault(folder.run_id, Item(run, fingerprint, folder, start, trained))

    chosen = [run for run in runs if not only or run.arm in only]
    for run in sorted(chosen, key=lambda run: run.config.training() is not None):
        item_of(run)  # runs of the study before the trainings that others of them share, which may be the same
    wanted = [item_of(run) for run in chosen]
    items = {item.run_id for item in wanted}
    names = sorted({data for run in runs for data in run.config.data.sets})
    first = [item for name, item in folders.items() if name not in items]
    return Plan(study, choice, "+".join(names), wanted, first)


def chain_of(config: RunConfig) -> list[RunConfig]:
    """Return the runs that must come before a run, the nearest first."""
    before = config.before()
    return [] if before is None else [before, *chain_of(before)]


def check_classes(study: Study, runs: list[PlannedRun], infos: dict[str, SetInfo]) -> None:
    """Raise StudyError where results on different classes (seven and eight, say) would stand in one column of the table."""
    columns: dict[Any, tuple[str, list[str]]] = {}
    for run in runs:
        data = run.config.data
        trained = list(data.classes) or infos[data.name].classes
        tested = trained if data.test is None else [label for label in trained if label in infos[data.test].classes]
        arm, other = columns.setdefault(dict(run.at).get(study.report.columns or ""), (run.title, tested))
        if sorted(other) != sorted(tested):
            raise StudyError(
                f"{study.name}: '{arm}' is tested on {len(other)} classes ({', '.join(other)}), '{run.title}' on "
                f"{len(tested)} ({', '.join(tested)}); they cannot share a column: set data.classes, or make it the columns"
            )


def runnable(status: Status, retry_failed: bool) -> bool:
    """Return whether a run in this state is trained by the next command."""
    return status in {"new", "stale"} or (status in {"failed", "damaged"} and retry_failed)


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
        elif item.prior is None or item.prior.folder.status == "done":
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
            item.run_id,
            item.run.title,
            item.run.config,
            item.fingerprint,
            machine,
            mirror,
            (("arm", item.run.arm), ("study", plan.study.name), ("seed", str(item.run.seed))),
            None if item.start is None else item.start.folder.file("best.pt"),
            None if item.trained is None else item.trained.folder.path,
        )
        for item in todo
    ]
    EXECUTORS["serial" if min(jobs, len(todo)) <= 1 else "processes"](work, jobs, report)
    return held


def remember(plan: Plan, results: Path) -> None:
    """Note the choice that was run last, so that ``fer report`` shows the same table without being told."""
    choice = asdict(plan.choice)
    write_text(results / "studies" / f"{plan.study.name}.json", json.dumps(choice) + "\n")


class Kept(Section):
    """The content of ``studies/<name>.json``: the choice that was run last."""

    profile: str
    data: str | None
    seeds: list[Annotated[int, Field(ge=0)]] | None
    split: str | None = None


def last_choice(study: Study, results: Path) -> Choice:
    """Return the choice that was run last, or the default one; raises ResultsError when it cannot be read."""
    path = results / "studies" / f"{study.name}.json"
    remedy = "remove it; without it, fer report shows the study's own data, profile and seeds"
    try:
        kept = Kept.model_validate_json(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return Choice()
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; {remedy}") from None
    except ValueError as error:
        what = explain(error, Kept)[:200] if isinstance(error, ValidationError) else "not UTF-8"
        raise ResultsError(f"{path}: {what}; {remedy}") from None
    if kept.profile not in {*study.profiles, DEFAULT_PROFILE}:
        raise ResultsError(f"{path}: profile: {study.name} has no profile '{kept.profile[:80]}'; {remedy}")
    if kept.split not in {None, AUTO, *SPLITS}:
        raise ResultsError(f"{path}: split: there is no split '{str(kept.split)[:80]}'; {remedy}")
    return Choice(kept.profile, kept.data, None if kept.seeds is None else tuple(kept.seeds), kept.split)


def smoke_plan(plan: Plan, machine: Machine, done: Callable[[Item], None] = lambda _: None) -> None:
    """Train one batch of every planned run in a throw-away folder; the first error ends it."""
    from fer_cli.learning.smoke import smoke_run

    with tempfile.TemporaryDirectory() as folder:
        for item in plan.items:
            smoke_run(item.run.config, machine, Path(folder))
            done(item)
