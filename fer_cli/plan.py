"""Planned runs as a graph: what each builds on, its state, and about how long it takes.

A run may start from another's weights (``Item.start``) or share another's training (``Item.trained``); such a run must be
done before it. The graph is made from a study by ``make_plan``, or from run folders alone by ``read_runs``, e.g. from a
results folder that was copied without the data sets.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from fer_cli.config import AUTO, SPLITS, Compute, RunConfig, Section
from fer_cli.errors import DamagedError, ResultsError, StudyError, nearest
from fer_cli.expand import expand
from fer_cli.places import read_text, write_text
from fer_cli.results import RESULT, Result, find_damage, read_config, read_result
from fer_cli.runs import RunFolder, Status
from fer_cli.study import DEFAULT_PROFILE, Choice, PlannedRun, Study, load_study
from fer_cli.tasks import task_of
from fer_cli.yamls import explain

if TYPE_CHECKING:
    from fer_cli.config.auto import Known
    from fer_cli.data.kept import About
    from fer_cli.data.manifest import SetInfo


@dataclass(frozen=True)
class Item:
    """A planned run with its identity, its folder and the runs it builds on."""

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
    def needs(self) -> tuple[Item, ...]:
        """Return the runs that must be done before this one."""
        return tuple(item for item in (self.start, self.trained) if item is not None)

    @property
    def epochs(self) -> int:
        """Return about how many epochs' time the run takes: one where it only tests."""
        return 1 if self.trained is not None else task_of(self.run.config).cost(self.run.config)


@dataclass(frozen=True)
class Plan:
    """A study expanded on a built data set."""

    study: Study
    choice: Choice
    data: str
    items: list[Item]
    first: list[Item] = field(default_factory=list)
    """Runs that others start from or share the training of, done before them; no part of any table."""

    @cached_property
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

    @cached_property
    def everything(self) -> list[Item]:
        """Return all runs, each after those it builds on."""
        known = {item.run_id: item for item in [*self.first, *self.items]}
        order = sort_runs({name: [need.run_id for need in item.needs] for name, item in known.items()})
        return [known[name] for name in order]

    def states(self) -> dict[str, Status]:
        """Return the state of each run as its files are now, by run id."""
        return {item.run_id: item.folder.status for item in self.everything}

    @property
    def title(self) -> str:
        """Return what the plan is called in MLflow and in file names."""
        split = f", split {self.choice.split}" if self.choice.split else ""
        return f"{self.study.name} on {self.data} ({self.choice.profile}{split})"

    @property
    def stem(self) -> str:
        """Return the name that files of the plan's tables and figures begin with."""
        return "-".join(filter(None, [self.study.name, self.data, self.choice.profile, self.choice.split]))


def sort_runs(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the keys of ``needs``, each after those it needs; of runs at the same depth, the given order is kept.

    Needed runs that are no keys themselves are ignored. Raises ResultsError for runs that build on one another in a circle.
    """
    places = {name: place for place, name in enumerate(needs)}
    sorter = TopologicalSorter({name: [need for need in before if need in places] for name, before in needs.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ResultsError(f"runs build on one another in a circle, {circle}; remove the folder of one of them") from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        order += sorted(ready, key=places.__getitem__)
        sorter.done(*ready)
    return order


def make_plan(
    name: str,
    choice: Choice,
    compute: Compute,
    only: tuple[str, ...] = (),
    prepare: Callable[[str], None] | None = None,
    about: About | None = None,
) -> Plan:
    """Return the plan of study ``name``; every config is validated and every data set found before this returns.

    ``prepare`` is called with each data set that is needed before it is looked for; it may build it. Without it, embedded
    sets that are not built are planned as they will be drawn. ``about``: returns what is known of a set, else looked up.
    """
    from fer_cli.data.manifest import load_known

    def known(data: str) -> Known:
        return load_known(compute.data_root, data) if about is None else about(data).known

    study = load_study(name)
    runs = expand(study, choice, known)
    for arm in only:
        if arm not in study.arms:
            raise StudyError(f"--only: no arm '{arm}' in {study.name}{nearest(arm, study.arms)}")
    configs = [config for run in runs for config in (run.config, *prerequisites_of(run.config))]
    names = sorted({data for config in configs for data in config.data.sets})
    infos = find_sets(names, compute, prepare, about)
    check_classes(study, runs, infos)

    found: dict[str, Item] = {}
    chosen = [run for run in runs if not only or run.arm in only]
    for run in sorted(chosen, key=lambda run: task_of(run.config).training(run.config) is not None):
        add_run(found, run, compute.results, infos)  # runs of the study before trainings that others share, maybe the same
    items = [add_run(found, run, compute.results, infos) for run in chosen]
    wanted = {item.run_id for item in items}
    data = "+".join(sorted({data for run in runs for data in run.config.data.sets}))
    return Plan(study, choice, data, items, [item for name, item in found.items() if name not in wanted])


def find_sets(
    names: Iterable[str], compute: Compute, prepare: Callable[[str], None] | None, about: About | None
) -> dict[str, SetInfo]:
    """Return what each data set says of itself; raises DataError for one that is not there."""
    from fer_cli.data.manifest import expected_info, verified_info

    infos: dict[str, SetInfo] = {}
    for data in names:
        if about is not None:
            infos[data] = about(data).info
        elif prepare is None:
            infos[data] = expected_info(compute.data_root, data)
        else:
            prepare(data)
            infos[data] = verified_info(compute.data_root, data)
    return infos


def add_run(found: dict[str, Item], run: PlannedRun, results: Path, infos: Mapping[str, SetInfo]) -> Item:
    """Return the item of a run after adding it, and those it builds on, to ``found``, unless they are there."""
    fingerprint = "+".join(infos[data].fingerprint for data in run.config.data.sets)
    start = trained = None
    task = task_of(run.config)
    if (config := task.before(run.config)) is not None:
        start = add_run(found, PlannedRun(task.name_before(run.config), (), config.seed, config, ()), results, infos)
    if (config := task.training(run.config)) is not None:
        trained = add_run(found, replace(run, at=(), config=config), results, infos)
    identity = fingerprint if start is None else f"{fingerprint}<{start.run_id}"
    folder = RunFolder(results, run.config.run_id(identity))
    return found.setdefault(folder.run_id, Item(run, fingerprint, folder, start, trained))


def prerequisites_of(config: RunConfig, behind: tuple[RunConfig, ...] = ()) -> list[RunConfig]:
    """Return the runs that must be done before a run, itself needed by ``behind``; raises StudyError for a circle."""
    found = []
    task = task_of(config)
    for before in (task.before(config), task.training(config)):
        if before is not None:
            if before in (config, *behind):
                raise StudyError(f"a run on {before.data.name} with {before.model.backbone} would have to build on itself")
            found += [before, *prerequisites_of(before, (config, *behind))]
    return found


def check_classes(study: Study, runs: list[PlannedRun], infos: dict[str, SetInfo]) -> None:
    """Raise StudyError where results on different classes (seven and eight, say) would share a column of the table."""
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


def remember(plan: Plan, results: Path) -> None:
    """Note the choice that was run last, which ``fer report`` takes by default."""
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


def is_runnable(status: Status, retry_failed: bool) -> bool:
    """Return whether a run in this state is trained by the next command."""
    return status in {"new", "stale"} or (status in {"failed", "damaged"} and retry_failed)


def finished_results(results: Path, but: Iterable[str] = ()) -> Iterator[Result]:
    """Yield the result of every finished run under ``results``, without damaged ones and those whose ids are ``but``."""
    excluded = set(but)
    for path in sorted((results / "runs").glob(f"*/{RESULT}")):
        if path.parent.name not in excluded and find_damage(path.parent) is None:
            yield read_result(path.parent)


def read_runs(results: Path, run_ids: Iterable[str] | None = None) -> dict[str, Item]:
    """Return runs by id, from their folders alone, each after those it builds on; damaged ones are left out.

    A result says what its run is and builds on. Of a run without one, ``config.json`` gives the settings; its fingerprint is
    "". ``run_ids``: only these and what they build on. Raises ResultsError for runs that build on one another in a circle.
    """
    left = [path.name for path in sorted((results / "runs").glob("*/"))] if run_ids is None else list(run_ids)
    said: dict[str, Result | RunConfig] = {}
    while left:
        folder = RunFolder(results, left.pop(0))
        if folder.run_id not in said:
            with suppress(DamagedError):
                said[folder.run_id] = folder.result() if folder.status == "done" else read_config(folder.file("config.json"))
                left += dependencies_of(said[folder.run_id])
    items: dict[str, Item] = {}
    for name in sort_runs({name: dependencies_of(content) for name, content in said.items()}):
        content = said[name]
        start = trained = None
        config, fingerprint = (content.config, content.fingerprint) if isinstance(content, Result) else (content, "")
        if isinstance(content, Result):
            start, trained = (items.get(run_id or "") for run_id in (content.pretrained_by, content.trained_by))
        run = PlannedRun(config.model.backbone, (), config.seed, config, ())
        items[name] = Item(run, fingerprint, RunFolder(results, name), start, trained)
    return items


def dependencies_of(content: Result | RunConfig) -> list[str]:
    """Return the ids of the runs that a result builds on; settings alone do not say."""
    return [name for name in (content.pretrained_by, content.trained_by) if name] if isinstance(content, Result) else []


def core_seconds_per_epoch(results: Path) -> dict[tuple[Any, ...], float]:
    """Return the median of seconds x threads per epoch of runs trained here, by what their time mostly depends on."""
    measured: dict[tuple[Any, ...], list[float]] = {}
    for result in finished_results(results):
        config = result.config
        if result.trained_by is None and not config.features.blocks:
            cost = result.cost.seconds.total * result.machine.threads / config.train.epochs
            measured.setdefault(cost_key(config), []).append(cost)
    return {key: sorted(times)[len(times) // 2] for key, times in measured.items()}


def cost_key(config: RunConfig) -> tuple[Any, ...]:
    """Return data set, image size, network and batch size."""
    return config.data.name, config.data.image_size, config.model.backbone, config.train.batch_size


def estimate(plan: Plan, compute: Compute, states: Mapping[str, Status]) -> dict[str, float | None]:
    """Return expected seconds per run id that is not done; None where no like run has been timed here."""
    left = [item for item in plan.everything if states[item.run_id] != "done"]
    known = core_seconds_per_epoch(compute.results) if left else {}
    times: dict[str, float | None] = {}
    for item in left:
        each = known.get(cost_key(item.run.config))
        times[item.run_id] = None if each is None else each * item.epochs / compute.threads
    return times


def describe_other_builds(plan: Plan, results: Path) -> str:
    """Return a phrase on the runs under ``results`` whose sets were built otherwise than the plan's; "" without any.

    They are part of no table: another build has another fingerprint, and so have its runs another identity.
    """
    built = {item.run.config.data.sets: item.fingerprint for item in plan.everything}
    others: Counter[str] = Counter()
    for result in finished_results(results, but=(item.run_id for item in plan.everything)):
        sets = result.config.data.sets
        if sets in built and result.fingerprint != built[sets]:
            others["+".join(sets)] += 1
    counts = ", ".join(f"{n} on {names}" for names, n in sorted(others.items()))
    return f"runs under {results} on other builds of these sets, which are not used: {counts}" if counts else ""
