"""The trials of ``fer search``, and the recipe that they give.

A trial is a run of its own (``RunConfig.trial``) on the training and validation part of a seed's fold, which reads no image
of the test part. Every arm of a study gets as many trials; the setting with the best mean of the validation score that
selects checkpoints is chosen, its own where that is as good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from fer_cli.config import Compute, Known, RunConfig
from fer_cli.errors import ResultsError, StudyError, nearest
from fer_cli.escape import cut
from fer_cli.expand import find_point, name_data, resolve_arm
from fer_cli.plan import Item, Plan, add_run, find_sets, prerequisites_of
from fer_cli.provenance import provenance
from fer_cli.recipes import DIGITS, Recipe, Tried, Tuned, choose, hash_settings, name_recipe, write_changes
from fer_cli.search import RATE, count_trials, list_settings
from fer_cli.settings import Settings, nest
from fer_cli.study import Choice, PlannedRun, Study, load_study
from fer_cli.tasks import task_of
from fer_cli.yamls import explain

DIVERGED = "FloatingPointError:"
"""How the error of a diverged training begins."""


@dataclass(frozen=True)
class Trial:
    """A setting of an arm, as changes to its own, and its runs, one per seed."""

    settings: Settings
    items: list[Item]


@dataclass(frozen=True)
class SearchPlan(Plan):
    """The trials of a study's arms on a data set."""

    own: dict[str, RunConfig] = field(default_factory=dict)
    """Arm -> its own settings, at the first seed."""
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the plan's title in MLflow."""
        return f"search of {super().title}"

    @property
    def stem(self) -> str:
        """Return the name of the recipe, with a prefix."""
        return f"search-{self.recipe_name}"

    @property
    def recipe_name(self) -> str:
        """Return the name of the recipe's file, without suffix."""
        data = name_data(self.study, self.choice)
        return name_recipe(self.study.name, data, self.choice.profile, self.choice.split)


def plan_search(name: str, choice: Choice, compute: Compute, prepare: Callable[[str], None] | None = None) -> SearchPlan:
    """Return the trials of study ``name``, validated; raises StudyError for an arm that cannot be searched.

    ``prepare``: as in ``make_plan``.
    """
    from fer_cli.data.manifest import load_known

    study = load_study(name)
    own = list_own(study, choice, lambda data: load_known(compute.data_root, data))
    tried = list_trials(study, own)
    runs = [run for trials in tried.values() for _, planned in trials for run in planned]
    configs = [config for run in runs for config in (run.config, *prerequisites_of(run.config))]
    infos = find_sets(sorted({data for config in configs for data in config.sets}), compute, prepare, None)
    found: dict[str, Item] = {}
    planned = {
        arm: [Trial(changes, [add_run(found, run, compute.results, infos) for run in seeds]) for changes, seeds in trials]
        for arm, trials in tried.items()
    }
    items = list({item.run_id: item for trials in planned.values() for trial in trials for item in trial.items}.values())
    wanted = {item.run_id for item in items}
    data = "+".join(sorted({data for run in runs for data in run.config.sets}))
    first = [item for run_id, item in found.items() if run_id not in wanted]
    firsts = {arm: next(iter(configs.values())) for arm, configs in own.items()}
    return SearchPlan(study, choice, data, items, first, given=name, own=firsts, trials=planned)


Listed = dict[str, list[tuple[Settings, list[PlannedRun]]]]
"""Arm -> its settings, each with the runs of its seeds."""


def list_own(study: Study, choice: Choice, known: Callable[[str], Known]) -> dict[str, dict[int, RunConfig]]:
    """Return every arm's own settings by seed of the search; raises StudyError for an arm that cannot be searched."""
    try:
        study.check_search()
    except ValueError as error:
        raise StudyError(f"{study.name}.yaml: {error}") from None
    at, seeds = find_point(study, study.search.at), study.seeds[: study.search.seeds]
    own = {arm: {seed: resolve_arm(study, choice, arm, at, seed, known) for seed in seeds} for arm in study.arms}
    for arm, config in ((arm, configs[seeds[0]]) for arm, configs in own.items()):
        if not task_of(config).trains_network:
            why = f"its runs ({config.kind}) select nothing on a validation part"
            raise StudyError(f"{study.name}.yaml: search: arm {cut(arm)}: {why}, so there is nothing to choose settings by")
    return own


def list_trials(study: Study, own: dict[str, dict[int, RunConfig]]) -> Listed:
    """Return the trials of every arm, as many for each, its own settings first; ``own``: see ``list_own``."""
    search = study.search
    flats = {arm: next(iter(configs.values())).flat() for arm, configs in own.items()}
    count = count_trials(search, flats)
    found: Listed = {}
    for arm, configs in own.items():
        found[arm] = []
        for changes in list_settings(search, arm, flats[arm], count):
            label = write_changes(changes)
            runs = [
                PlannedRun(arm, (("trial", label),), seed, trial_of(study, arm, config, changes), tuple(changes.items()))
                for seed, config in configs.items()
            ]
            found[arm].append((changes, runs))
    return found


def trial_of(study: Study, arm: str, own: RunConfig, changes: Settings) -> RunConfig:
    """Return the run of one trial; raises StudyError for an invalid setting."""
    search, alike = study.search, task_of(own).training(own) or own
    settings = alike.flat() | {"trial": True, "train.epochs": max(1, round(own.train.epochs * search.epochs))}
    if search.images is not None:
        settings["data.max_images"] = min(search.images, own.data.max_images or search.images)
    if unknown := sorted(set(changes) - set(settings)):
        raise StudyError(
            f"{study.name}.yaml: search.knobs.{cut(arm)}: no setting '{cut(unknown[0])}'{nearest(unknown[0], settings)}"
        )
    try:
        trial = RunConfig.model_validate(nest(settings | changes, study.name))
    except ValidationError as error:
        place = f"search.knobs.{cut(arm)}" if changes and RATE not in changes else f"search: arm {cut(arm)}"
        raise StudyError(f"{study.name}.yaml: {place}: {explain(error, RunConfig)}") from None
    epochs, learning = trial.train.epochs, trial.learning
    if learning.parts.relabels and learning.first_relabel_epoch(epochs) > learning.last_relabel_epoch(epochs):
        raise StudyError(
            f"{study.name}.yaml: search.epochs: arm {cut(arm)}: a trial of {epochs} epochs ends before relabelling starts, "
            f"in epoch {learning.first_relabel_epoch(epochs)}; use search.images to shorten trials"
        )
    return trial


def conclude(plan: SearchPlan) -> Recipe:
    """Return the recipe of finished trials; raises ResultsError if one is not finished or all of an arm diverged."""
    arms = {}
    for arm, trials in plan.trials.items():
        tried = [Tried(settings=trial.settings, scores=list(map(score_of, trial.items))) for trial in trials]
        own, rule = plan.own[arm], plan.own[arm].train.select_on
        if (best := choose(tried, rule)) is None:
            raise ResultsError(f"{plan.title}: every trial of arm '{cut(arm)}' diverged; lower its train.lr")
        names = dict.fromkeys(name for trial in trials for name in trial.settings)
        values = own.flat()
        arms[arm] = Tuned(
            made_for=hash_settings(own),
            select_on=rule,
            own={name: values[name] for name in names},
            chosen=best.settings,
            tried=tried,
        )
    search, made = plan.study.search, provenance()
    commit = f", commit {str(made['commit'])[:12]}" if made["commit"] else ""
    return Recipe(
        study=plan.study.name,
        data=name_data(plan.study, plan.choice),
        profile=plan.choice.profile,
        split=plan.choice.split,
        fingerprint=plan.items[0].fingerprint,
        seeds=plan.study.seeds[: search.seeds],
        at=search.at,
        epochs=search.epochs,
        images=search.images,
        code=f"fer {made['fer']}{commit}",
        arms=arms,
    )


def score_of(item: Item) -> float | None:
    """Return the validation score of a trial, or None if it diverged; raises ResultsError if it is not finished."""
    status = item.folder.status
    if status == "done":
        value = item.folder.result().selection.value
        return None if value is None else round(value, DIGITS)
    if diverged(item):
        return None
    raise ResultsError(f"{item.run.title}: its state is {status}; run the same command again")


def diverged(item: Item) -> bool:
    """Return whether a trial failed because its loss or score was not finite."""
    return item.folder.status == "failed" and item.folder.error_line().startswith(DIVERGED)
