"""Plan a study, skip what is done, execute the rest, say what became of it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_cli.config import Machine
from fer_cli.errors import ResultsError, StudyError, nearest
from fer_cli.places import write_text
from fer_cli.runs import RunFolder, Status
from fer_cli.study import Choice, PlannedRun, Study, expand, load_study


@dataclass(frozen=True)
class Item:
    """A planned run with its identity and its folder."""

    run: PlannedRun
    fingerprint: str
    folder: RunFolder

    @property
    def run_id(self) -> str:
        """Return the run's identity."""
        return self.folder.run_id


@dataclass(frozen=True)
class Plan:
    """A study expanded on a built data set."""

    study: Study
    choice: Choice
    data: str
    items: list[Item]

    @property
    def title(self) -> str:
        """Return what the plan is called in MLflow and in file names."""
        return f"{self.study.name} on {self.data} ({self.choice.profile})"


@dataclass
class Summary:
    """What a call of ``run_plan`` did."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, Path]] = field(default_factory=list)
    """Title, last line of the traceback, traceback file."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Title and warning of runs trained now (inert modules)."""

    @property
    def ok(self) -> bool:
        """Return whether nothing is left failed."""
        return not self.failures


def make_plan(name: str, choice: Choice, machine: Machine, only: tuple[str, ...] = ()) -> Plan:
    """Return the plan of study ``name``; every config is validated and every data set found before this returns."""
    from fer_cli.data.manifest import load_info

    study = load_study(name)
    runs = expand(study, choice)
    for arm in only:
        if arm not in study.arms:
            raise StudyError(f"--only: no arm '{arm}' in {study.name}{nearest(arm, study.arms)}")
    names = sorted({run.config.data.name for run in runs})
    prints = {data: load_info(machine.data_root, data).fingerprint for data in names}
    items = []
    for run in runs:
        if only and run.arm not in only:
            continue
        fingerprint = prints[run.config.data.name]
        items.append(Item(run, fingerprint, RunFolder(machine.results, run.config.run_id(fingerprint))))
    return Plan(study, choice, "+".join(names), items)


def core_seconds_per_epoch(results: Path) -> dict[tuple[Any, ...], float]:
    """Return the median of seconds x threads per epoch of finished runs, by data set, image size, network and batch size."""
    measured: dict[tuple[Any, ...], list[float]] = {}
    for path in (results / "runs").glob("*/result.json"):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        config = result["config"]
        cost = result["seconds"]["total"] * result["machine"]["threads"] / config["train"]["epochs"]
        measured.setdefault(cost_key(config), []).append(cost)
    return {key: sorted(times)[len(times) // 2] for key, times in measured.items()}


def cost_key(config: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a run's time mostly depends on."""
    data, model, train = config["data"], config["model"], config["train"]
    return data["name"], data["image_size"], model["backbone"], train["batch_size"]


def estimate(plan: Plan, machine: Machine) -> dict[str, float | None]:
    """Return expected seconds per run id that is not done; None where no like run has been timed here."""
    known = core_seconds_per_epoch(machine.results)
    times: dict[str, float | None] = {}
    for item in plan.items:
        if item.folder.status != "done":
            each = known.get(cost_key(item.run.config.model_dump()))
            times[item.run_id] = None if each is None else each * item.run.config.train.epochs / machine.threads
    return times


def check_results_folder(results: Path) -> None:
    """Raise ResultsError, in one line, when the results folder cannot be written to."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise ResultsError(f"{results}: cannot write results there ({error.strerror}); use --results FOLDER") from None


def runnable(status: Status, retry_failed: bool) -> bool:
    """Return whether a run in this state is trained by the next command."""
    return status in {"new", "stale"} or (status == "failed" and retry_failed)


def check_runs(plan: Plan, machine: Machine) -> None:
    """Raise DataError or ResultsError for what would stop every run: bad splits, a missing GPU, unwritable results."""
    from fer_cli.data.manifest import load_set
    from fer_cli.data.splits import make_split
    from fer_cli.learning.machine import choose_means

    choose_means(machine)
    manifests = {name: load_set(machine.data_root, name).manifest for name in plan.data.split("+")}
    layouts = {
        (c.name, c.split, c.folds, c.fold, c.split_seed, c.val_fraction): c for c in (i.run.config.data for i in plan.items)
    }
    for config in layouts.values():
        make_split(manifests[config.name], config)
    check_results_folder(machine.results)


def run_plan(
    plan: Plan,
    machine: Machine,
    jobs: int = 1,
    retry_failed: bool = False,
    done: Callable[[Item, str], None] = lambda *_: None,
) -> Summary:
    """Train what is missing, in ``jobs`` processes; failed runs are isolated and reported in the summary."""
    from fer_cli.executors import EXECUTORS, Job, Outcome
    from fer_cli.tracking import Mirror, close_mirror, open_mirror

    remember(plan, machine.results)
    summary = Summary()
    by_id = {item.run_id: item for item in plan.items}
    todo = []
    for item in plan.items:
        status = item.folder.status
        if runnable(status, retry_failed):
            todo.append(item)
        else:
            summary.counts["skipped" if status == "done" else status] += 1
            if status == "failed":
                trace = item.folder.file("error.txt")
                summary.failures.append((item.run.title, trace.read_text(encoding="utf-8").strip().splitlines()[-1], trace))
    mirror: Mirror | None = None
    if machine.track and todo:
        mirror = open_mirror(machine.results, plan.study.name, plan.title)

    def report(outcome: Outcome) -> None:
        item = by_id[outcome.run_id]
        summary.counts["running" if outcome.status == "elsewhere" else outcome.status] += 1
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
        )
        for item in todo
    ]
    end = "KILLED"
    try:
        EXECUTORS["serial" if jobs == 1 else "processes"](work, jobs, report)
        end = "FINISHED" if summary.ok else "FAILED"
    finally:
        if mirror is not None:
            close_mirror(mirror, end)  # type: ignore[arg-type]
    return summary


def remember(plan: Plan, results: Path) -> None:
    """Note the choice that was run last, so that ``fer report`` shows the same table without being told."""
    choice = {"profile": plan.choice.profile, "data": plan.choice.data, "seeds": plan.choice.seeds}
    write_text(results / "studies" / f"{plan.study.name}.json", json.dumps(choice) + "\n")


def last_choice(study: str, results: Path) -> Choice:
    """Return the choice that was run last, or the default one."""
    path = results / "studies" / f"{study}.json"
    if not path.is_file():
        return Choice()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        seeds = None if kept["seeds"] is None else tuple(kept["seeds"])
        return Choice(kept["profile"], kept["data"], seeds)
    except (ValueError, KeyError, TypeError):
        raise ResultsError(f"{path}: cannot be read; remove it or pass --data and --profile") from None


def smoke_plan(plan: Plan, machine: Machine, done: Callable[[Item], None] = lambda _: None) -> None:
    """Train one batch of every planned run in a throw-away folder; the first error ends it."""
    from fer_cli.learning.smoke import smoke_run

    with tempfile.TemporaryDirectory() as folder:
        for item in plan.items:
            smoke_run(item.run.config, machine, Path(folder))
            done(item)
