"""The graph of planned runs: dependencies and states.

A run may start from another's weights (``Item.start``) or share another's training (``Item.trained``), which must be done
first. ``make_plan`` builds the graph from a study, ``read_runs`` from run folders alone, without the data sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.config import Compute, RunConfig
from fer_cli.errors import DamagedError, FerError, ResultsError, StudyError, nearest
from fer_cli.expand import expand, hash_configs
from fer_cli.outputs import RESULT
from fer_cli.overrides import name_settings
from fer_cli.recipes import Recipe, load_recipe, recipe_path
from fer_cli.results import SIMULATED, Result, find_damage, read_result
from fer_cli.runs import RunFolder, Status, read_config
from fer_cli.study import Choice, PlannedRun, Study, load_study, study_names
from fer_cli.tasks import task_of

if TYPE_CHECKING:
    from fer_cli.config.auto import Known
    from fer_cli.data.kept import About
    from fer_cli.data.manifest import SetInfo


@dataclass(frozen=True)
class Item:
    """A planned run, its folder, and the runs whose weights (``start``) or whole training (``trained``) it uses."""

    run: PlannedRun
    fingerprint: str
    folder: RunFolder
    start: Item | None = None
    trained: Item | None = None
    images: int = 0  # about how many it trains on
    validation: int = 0  # about how many it validates on after each epoch
    classes: int = 0

    @property
    def run_id(self) -> str:
        """Return the run's id."""
        return self.folder.run_id

    @property
    def needs(self) -> tuple[Item, ...]:
        """Return the runs that must be done before this one."""
        return tuple(item for item in (self.start, self.trained) if item is not None)

    @property
    def network(self) -> Item | None:
        """Return the run that trains the network of this one, which may be this one; None without a network."""
        return self.trained or (self if task_of(self.run.config).trains_network else self.start)

    @property
    def epochs(self) -> int:
        """Return the run's estimated time in epochs; 1 if it only tests."""
        return 1 if self.trained is not None else task_of(self.run.config).cost(self.run.config)


@dataclass(frozen=True)
class Plan:
    """A study expanded on a data set; ``first``: runs that others depend on, in no table."""

    study: Study
    choice: Choice
    data: str
    items: list[Item]
    first: list[Item] = field(default_factory=list)
    recipe: Recipe | None = None
    """The settings that were chosen for the arms, if the choice asks for them."""
    recipe_file: Path | None = None
    """Where the recipe of the study is, or would be."""
    given: str = ""
    """Name or path by which the study was given."""

    @cached_property
    def factors(self) -> dict[str, list[Any]]:
        """Return the grid factors and their values as printed in tables, in the study's order."""
        found: dict[str, dict[Any, None]] = {}
        for item in self.items:
            for factor, value in item.run.at:
                found.setdefault(factor, {})[value] = None
        return {factor: list(values) for factor, values in found.items()}

    @cached_property
    def configs(self) -> str:
        """Return the hash of the configs of the runs in tables."""
        return hash_configs(item.run for item in self.items)

    @property
    def sets(self) -> list[str]:
        """Return the data sets of the runs in tables, sorted."""
        return sorted({name for item in self.items for name in item.run.config.sets})

    @cached_property
    def everything(self) -> list[Item]:
        """Return all runs, each after its dependencies."""
        known = {item.run_id: item for item in [*self.first, *self.items]}
        order = sort_runs({name: [need.run_id for need in item.needs] for name, item in known.items()})
        return [known[name] for name in order]

    def states(self) -> dict[str, Status]:
        """Return the current state of each run by run id."""
        return {item.run_id: item.folder.status for item in self.everything}

    @property
    def title(self) -> str:
        """Return the plan's title in MLflow and reports."""
        split = f", split {self.choice.split}" if self.choice.split else ""
        split += f", {self.choice.epochs:g} x epochs" if self.choice.epochs else ""
        split += f", {', '.join(self.choice.settings)}" if self.choice.settings else ""
        split += ", recipe" if self.choice.recipe else ""
        return f"{self.study.name} on {self.data} ({self.choice.profile}{split})"

    @property
    def stem(self) -> str:
        """Return the file name prefix of the plan's tables and figures."""
        scaled = f"epochs{self.choice.epochs:g}" if self.choice.epochs else None
        tuned = "recipe" if self.choice.recipe else None
        given = name_settings(self.choice.settings)
        parts = [self.study.name, self.data, self.choice.profile, self.choice.split, scaled, given, tuned]
        return "-".join(filter(None, parts))


def sort_runs(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the keys of ``needs``, dependencies first, else in the given order; raises ResultsError for a cycle."""
    places = {name: place for place, name in enumerate(needs)}
    sorter = TopologicalSorter({name: [need for need in before if need in places] for name, before in needs.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ResultsError(f"runs depend on each other in a cycle, {circle}; remove the folder of one of them") from None
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
    describe: About | None = None,
) -> Plan:
    """Return the plan of study ``name``, with all configs validated and all data sets found.

    ``prepare``: called with each required data set, which it may build; without it, embedded sets that are not built are
    planned by their recipes. ``describe``: returns the stored description of a set, else it is read from the data root.
    """
    from fer_cli.data.manifest import load_known

    def known(data: str) -> Known:
        return load_known(compute.data_root, data) if describe is None else describe(data).known

    study = load_study(name)
    recipe = load_recipe(name, study, choice, known) if choice.recipe else None
    runs = expand(study, choice, known, {} if recipe is None else recipe.chosen)
    for arm in only:
        if arm not in study.arms:
            raise StudyError(f"--only: no arm '{arm}' in {study.name}{nearest(arm, study.arms)}")
    configs = [config for run in runs for config in (run.config, *prerequisites_of(run.config))]
    names = sorted({data for config in configs for data in config.sets})
    infos = find_sets(names, compute, prepare, describe)
    check_classes(study, runs, infos)

    found: dict[str, Item] = {}
    chosen = [run for run in runs if not only or run.arm in only]
    shared = [task_of(run.config).training(run.config) is not None for run in chosen]
    order = sorted(range(len(chosen)), key=shared.__getitem__)  # runs of the study before shared trainings: maybe identical
    added = {place: add_run(found, chosen[place], compute.results, infos) for place in order}
    items = [added[place] for place in range(len(chosen))]
    wanted = {item.run_id for item in items}
    data = "+".join(sorted({data for run in runs for data in run.config.sets})) or SIMULATED
    where = recipe_path(name, study, choice)
    first = [item for run_id, item in found.items() if run_id not in wanted]
    return Plan(study, choice, data, items, first, recipe, where, name)


def plan_all(
    choice: Choice, compute: Compute, check: Callable[[Plan], object], prepare: Callable[[str], None] | None = None
) -> Iterator[tuple[str, Plan | FerError]]:
    """Yield each shipped study's name with its plan, or why it has none that can run, such as a data set that is not built.

    ``check``: raises a FerError for a plan with a run that cannot succeed. Raises the first study's error if none has
    such a plan. Plans are made one by one, so that each sees the runs of those before.
    """
    error: FerError | None = None
    planned = 0
    for name in study_names():
        try:
            plan = make_plan(name, choice, compute, prepare=prepare)
            check(plan)
        except FerError as reason:
            error = error or reason
            yield name, reason
        else:
            planned += 1
            yield name, plan
    if error is not None and not planned:
        raise error


def find_sets(
    names: Iterable[str], compute: Compute, prepare: Callable[[str], None] | None, describe: About | None
) -> dict[str, SetInfo]:
    """Return the description of each data set; raises DataError if one is missing."""
    from fer_cli.data.manifest import expected_info, verified_info

    infos: dict[str, SetInfo] = {}
    for data in names:
        if describe is not None:
            infos[data] = describe(data).info
        elif prepare is None:
            infos[data] = expected_info(compute.data_root, data)
        else:
            prepare(data)
            infos[data] = verified_info(compute.data_root, data)
    return infos


def add_run(found: dict[str, Item], run: PlannedRun, results: Path, infos: Mapping[str, SetInfo]) -> Item:
    """Add a run and its dependencies to ``found`` if missing, and return its item."""
    fingerprint = "+".join(infos[data].fingerprint for data in run.config.sets) or SIMULATED
    start = trained = None
    task = task_of(run.config)
    if (config := task.before(run.config)) is not None:
        start = add_run(found, PlannedRun(task.name_before(run.config), (), config.seed, config, ()), results, infos)
    if (config := task.training(run.config)) is not None:
        trained = add_run(found, replace(run, at=(), config=config), results, infos)
    identity = fingerprint if start is None else f"{fingerprint}<{start.run_id}"
    folder = RunFolder(results, run.run_id(identity))
    return found.setdefault(folder.run_id, Item(run, fingerprint, folder, start, trained, *part_sizes(run.config, infos)))


def part_sizes(config: RunConfig, infos: Mapping[str, SetInfo]) -> tuple[int, int, int]:
    """Return about how many images a run trains and validates on, and its number of classes; 0 for a simulation.

    Drawing the split decides exactly; official and listed parts are taken for folds, as the manifest is not read here.
    """
    if config.simulated:
        return 0, 0, 0
    data, info = config.data, infos[config.data.name]
    classes = data.classes or info.classes
    images = sum(info.counts.get(label, 0) for label in classes) or round(info.kept * len(classes) / len(info.classes))
    if (clips := info.clips or info.sequences) and config.model.network.clips:
        images = round(images * clips / info.kept)
    share = {"holdout": data.test_fraction, "loso": 1 / max(2, info.subjects)}.get(data.split, 1 / data.folds)
    rest = images if data.test is not None else images * (1 - share)
    train, val = round(rest * (1 - data.val_fraction)), round(rest * data.val_fraction)
    if data.max_subjects is not None and info.subjects:
        train = min(train, round(images * data.max_subjects / info.subjects))
    return min(train, data.max_images or train), min(val, data.max_val or val), len(classes)


def prerequisites_of(config: RunConfig, behind: tuple[RunConfig, ...] = ()) -> list[RunConfig]:
    """Return the dependencies of a run with dependents ``behind``; raises StudyError for a cycle."""
    found = []
    task = task_of(config)
    for before in (task.before(config), task.training(config)):
        if before is not None:
            if before in (config, *behind):
                raise StudyError(f"a run on {before.data.name} with {before.model.backbone} would depend on itself")
            found += [before, *prerequisites_of(before, (config, *behind))]
    return found


def check_classes(study: Study, runs: list[PlannedRun], infos: dict[str, SetInfo]) -> None:
    """Raise StudyError if results on different classes would share a table column."""
    columns: dict[Any, tuple[str, list[str]]] = {}
    for run in runs:
        tested = task_of(run.config).classes(run.config, tested_classes(run.config, infos))
        arm, other = columns.setdefault(dict(run.at).get(study.report.columns or ""), (run.title, tested))
        if sorted(other) != sorted(tested):
            raise StudyError(
                f"{study.name}: '{arm}' is tested on {len(other)} classes ({', '.join(other)}), '{run.title}' on "
                f"{len(tested)} ({', '.join(tested)}); they cannot share a column: set data.classes or make it the columns"
            )


def tested_classes(config: RunConfig, infos: Mapping[str, SetInfo]) -> list[str]:
    """Return the classes of the test images of a run; none for a simulation."""
    if config.simulated:
        return []
    data = config.data
    trained = list(data.classes) or infos[data.name].classes
    return trained if data.test is None else [label for label in trained if label in infos[data.test].classes]


def is_runnable(status: Status, retry_failed: bool) -> bool:
    """Return whether ``fer ablate`` trains a run in this state."""
    return status in {"new", "stale"} or (status in {"failed", "damaged"} and retry_failed)


def finished_results(results: Path, but: Iterable[str] = ()) -> Iterator[Result]:
    """Yield the results of all finished, undamaged runs under ``results``, except ids in ``but``."""
    excluded = set(but)
    for path in sorted((results / "runs").glob(f"*/{RESULT}")):
        if path.parent.name not in excluded and find_damage(path.parent) is None:
            yield read_result(path.parent)


def read_runs(results: Path, run_ids: Iterable[str] | None = None) -> dict[str, Item]:
    """Return undamaged runs by id, read from their folders, each after its dependencies; raises ResultsError for a cycle.

    Runs without a result have the settings of their ``config.json`` and the fingerprint "". ``run_ids``: only these runs and
    their dependencies.
    """
    left = [path.name for path in sorted((results / "runs").glob("*/"))] if run_ids is None else list(run_ids)
    found: dict[str, Result | RunConfig] = {}
    while left:
        folder = RunFolder(results, left.pop(0))
        if folder.run_id not in found:
            with suppress(DamagedError):
                found[folder.run_id] = (
                    folder.result() if folder.status == "done" else read_config(folder.file("config.json"))
                )
                left += dependencies_of(found[folder.run_id])
    items: dict[str, Item] = {}
    for name in sort_runs({name: dependencies_of(content) for name, content in found.items()}):
        content = found[name]
        start = trained = None
        config, fingerprint = (content.config, content.fingerprint) if isinstance(content, Result) else (content, "")
        if isinstance(content, Result):
            start, trained = (items.get(run_id or "") for run_id in (content.pretrained_by, content.trained_by))
        run = PlannedRun(config.model.backbone, (), config.seed, config, ())
        items[name] = Item(run, fingerprint, RunFolder(results, name), start, trained)
    return items


def dependencies_of(content: Result | RunConfig) -> list[str]:
    """Return the run ids that a result depends on; unknown ([]) for settings."""
    return [name for name in (content.pretrained_by, content.trained_by) if name] if isinstance(content, Result) else []


def describe_other_builds(plan: Plan, results: Path) -> str:
    """Return a phrase on runs under ``results`` with other builds of the plan's sets, which tables exclude; "" if none."""
    built = {item.run.config.sets: item.fingerprint for item in plan.everything}
    others, edited = Counter[str](), Counter[str]()
    own = {model.backbone: model.source_sha256 for model in (item.run.config.model for item in plan.items)}
    for result in finished_results(results, but=(item.run_id for item in plan.everything)):
        sets = result.config.sets
        if result.config.trial:
            continue
        model = result.config.model
        if model.source_sha256 and own.get(model.backbone, model.source_sha256) != model.source_sha256:
            edited[model.title] += 1
        elif sets in built and result.fingerprint != built[sets]:
            others["+".join(sets)] += 1
    counts = ", ".join(f"{n} on {names}" for names, n in sorted(others.items()))
    texts = [f"runs under {results} on other builds of these sets are not used: {counts}"] if counts else []
    counts = ", ".join(f"{n} of {title}" for title, n in sorted(edited.items()))
    texts += [f"runs under {results} of other sources of own networks are not used: {counts}"] if counts else []
    return "; ".join(texts)
