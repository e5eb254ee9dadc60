"""Expands a study to planned runs with validated configurations."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from fer_cli.config import (
    AUTO,
    COMPANIONS,
    K_FOLD,
    REPLACED,
    SIMULATIONS,
    SPLITS,
    CorruptConfig,
    DataConfig,
    Known,
    LearningConfig,
    RunConfig,
    auto_split,
    drop_idle,
)
from fer_cli.errors import StudyError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.imports import hash_source, is_own
from fer_cli.overrides import check_settings, settings_of
from fer_cli.places import open_regular, user_path
from fer_cli.settings import Settings, grid_key, nest, value_text
from fer_cli.study import DEFAULT_PROFILE, MOST_RUNS, Choice, PlannedRun, Study
from fer_cli.yamls import explain

PEOPLE_KNOWN = Known(people=2)  # the default description of a set: its people are known


def expand(
    study: Study,
    choice: Choice,
    known: Callable[[str], Known] = lambda _: PEOPLE_KNOWN,
    tuned: Mapping[str, Settings] = MappingProxyType({}),
) -> list[PlannedRun]:
    """Return all planned runs, arms within grid points within seeds; raises StudyError for the first invalid setting.

    Settings override one another in the order base, with_data, profile, ``choice``, grid, arm, what the profile adds to the
    arm, and what a recipe chose for it, ``tuned``. ``known`` returns what is known of a data set, for ``data.split: auto``.
    """
    seeds = choice.seeds or study.seeds
    points = list_points(study)
    count = len(study.arms) * len(seeds) * len(points)
    if count > MOST_RUNS:
        raise StudyError(f"{study.name}: {count:,} runs (arms x grid points x seeds) exceed the limit of {MOST_RUNS:,}")
    base = _base_settings(study, choice)
    planned = []
    known = functools.cache(known)
    pins: dict[str, str] = {}
    bases = [_drop_idle(base, settings) for _, settings in points]
    remedy = "" if choice.epochs is None else f"with --epochs {choice.epochs:g}; use a larger factor"
    first = []
    for (_, settings), clean in zip(points, bases, strict=True):
        resolved = {arm: _resolve(study, clean, settings, arm, seeds[0], pins, choice, known, tuned) for arm in study.arms}
        _check_distinct(study, {arm: config for arm, (config, _) in resolved.items()}, remedy)
        first.append({arm: (config, config.flat(), why) for arm, (config, why) in resolved.items()})
    _check_points(study, points, [[config for config, *_ in arms.values()] for arms in first], remedy)
    _check_used(study, bases, [flat for arms in first for _, flat, _ in arms.values()])
    if choice.epochs is not None and all(config.simulated for arms in first for config, _, _ in arms.values()):
        raise StudyError(f"--epochs: the runs of {study.name} train no network; leave it out")
    for seed in seeds:
        for (at, _), arms in zip(points, first, strict=True):
            reseeded = {arm: (*_reseed(config, flat, seed), why) for arm, (config, flat, why) in arms.items()}
            reference = reseeded[study.report.against][1]
            for arm, (config, flat, why) in reseeded.items():
                differs = tuple((key, value) for key, value in flat.items() if value != reference.get(key))
                differs += tuple((key, None) for key in reference if key not in flat)  # of a mapping, as sequences.efficacy
                place = tuple((key, value_text(config.data.split if value == AUTO else value)) for key, value in at)
                planned.append(PlannedRun(arm, place, seed, config, differs, why))
    return planned


def _reseed(config: RunConfig, flat: Settings, seed: int) -> tuple[RunConfig, Settings]:
    """Return a valid config and its flat settings for another seed; only what follows from the seed changes."""
    flat = flat | _split_seeds(flat, seed) | {"seed": seed}
    places = {name: flat[f"data.{name}"] for name in ("fold", "split_seed")}
    return config.model_copy(update={"seed": seed, "data": config.data.model_copy(update=places)}), flat


Point = tuple[tuple[tuple[str, Any], ...], Settings]  # values or levels by factor, in the study's order, and their settings


def list_points(study: Study) -> list[Point]:
    """Return all combinations of grid values and levels."""
    factors = [[(key, value, {key: value}) for value in values] for key, values in study.grid.items()]
    factors += [[(factor, name, settings) for name, settings in named.items()] for factor, named in study.levels.items()]
    return [
        (tuple((factor, value) for factor, value, _ in chosen), {k: v for *_, own in chosen for k, v in own.items()})
        for chosen in itertools.product(*factors)
    ]


def find_point(study: Study, at: Mapping[str, Any]) -> Settings:
    """Return the settings of the first grid point with the values ``at``; raises StudyError if there is none."""
    wanted = {factor: grid_key(value) for factor, value in at.items()}
    for values, settings in list_points(study):
        if wanted.items() <= {factor: grid_key(value) for factor, value in values}.items():
            return settings
    raise StudyError(f"{study.name}: no grid point at {', '.join(f'{key} {value}' for key, value in at.items())}")


def name_data(study: Study, choice: Choice) -> str:
    """Return the data set of a study's base settings under the user's choice."""
    return str(_base_settings(study, choice).get("data.name", _defaults()["data.name"]))


def resolve_arm(study: Study, choice: Choice, arm: str, at: Settings, seed: int, known: Callable[[str], Known]) -> RunConfig:
    """Return an arm's own config at the grid point with settings ``at``, without a recipe and with all of its epochs."""
    whole = replace(choice, epochs=None)
    return _resolve(study, _drop_idle(_base_settings(study, whole), at), at, arm, seed, {}, whole, known, {})[0]


def _base_settings(study: Study, choice: Choice) -> Settings:
    """Return the settings before grid and arms; raises StudyError for an unknown profile or an invalid ``--split``."""
    if choice.profile not in (named := {*study.profiles, DEFAULT_PROFILE}):
        raise StudyError(f"{study.name}: no profile '{cut(choice.profile)}'{nearest(choice.profile, named)}")
    base, profile = study.base, study.profiles.get(choice.profile, {})
    data = choice.data or profile.get("data.name") or base.get("data.name")
    ground = base | study.with_data.get(str(data), {}) | profile
    if choice.data is not None:
        ground["data.name"] = choice.data
    if choice.split is not None:
        names = {AUTO, *SPLITS} - {"list"}
        if choice.split == "list":
            raise StudyError("--split list: set data.split and data.split_file in a copy of the study")
        if choice.split not in names:
            raise StudyError(f"--split: no split '{cut(choice.split)}'{nearest(choice.split, names)}")
        varied = {"grid": study.grid, **{f"arm {cut(arm)}": settings for arm, settings in study.arms.items()}}
        varied |= {f"levels.{key}": {k: 1 for own in named.values() for k in own} for key, named in study.levels.items()}
        if where := [place for place, settings in varied.items() if "data.split" in settings]:
            raise StudyError(f"--split: {where[0]} of {study.name} sets data.split: the study compares splits")
        ground["data.split"] = choice.split
    if choice.settings:
        ground = _set_settings(study, choice, ground)
    return ground


def _set_settings(study: Study, choice: Choice, ground: Settings) -> Settings:
    """Return ``ground`` with the settings of ``--set``; raises StudyError for one that the study compares, or unknown."""
    given = settings_of(choice.settings)
    arms: dict[str, Iterable[str]] = {f"arm '{cut(arm)}'": settings for arm, settings in study.arms.items()}
    added = study.profile_arms.get(choice.profile, {})
    arms |= {f"profile_arms.{choice.profile}.{cut(arm)}": settings for arm, settings in added.items()}
    levels = {f"levels.{key}": {k for own in named.values() for k in own} for key, named in study.levels.items()}
    check_settings(study.name, given, ground, _defaults(), {"the grid": study.grid, **levels, **arms})
    if choice.recipe:
        raise StudyError("--set: cannot be combined with --recipe, whose settings were chosen without it")
    return ground | given


def _resolve(
    study: Study,
    ground: Settings,
    at: Settings,
    arm: str,
    seed: int,
    pins: dict[str, str],
    choice: Choice,
    known: Callable[[str], Known],
    tuned: Mapping[str, Settings],
) -> tuple[RunConfig, str]:
    """Return one run's config and the reason of its automatic split; ``pins``: cached SHA-256 by file."""
    own = at | study.arms[arm] | study.profile_arms.get(choice.profile, {}).get(arm, {}) | tuned.get(arm, {})
    settings = _drop_unused(ground, own, study.name)
    settings, why = _choose_split(settings, choice, known)
    for key in REPLACED.keys() & settings.keys():
        raise StudyError(f"{study.name}.yaml: arm {cut(arm)}: {key} was replaced by {REPLACED[key]}")
    for key in ("seed", "data.fold", "data.split_seed"):
        if key in settings:
            raise StudyError(f"{study.name}.yaml: {key}: is set by seeds; remove it from base, grid and arms")
    settings |= _split_seeds(settings, seed) | {"seed": seed}
    settings |= _hash_own(settings, study.name, pins)
    for setting, pin in PINNED.items():
        settings |= _hash_file(settings, setting, pin, study.name, pins)
    try:
        config = RunConfig.model_validate(nest(settings, study.name))
        if choice.epochs is None or config.simulated:
            return config, why
        if "train.epochs" in study.grid:
            raise StudyError(f"--epochs: the grid of {study.name} compares train.epochs; leave it out")
        epochs = max(1, round(config.train.epochs * choice.epochs))
        settings = settings | {"train.epochs": epochs}
        return RunConfig.model_validate(nest(settings, study.name)), why
    except ValidationError as error:
        problem = explain(error, RunConfig)
        given = any(problem.startswith(key) for key in settings_of(choice.settings))
        raise StudyError(f"{'--set' if given else f'{study.name}.yaml'}: arm {cut(arm)}: {problem}") from None


def _drop_unused(ground: Settings, own: Settings, name: str) -> Settings:
    """Return ``ground`` and ``own`` together without what the ground says of learning methods that an arm does not use."""
    settings = ground | own
    learning = {key: value for key, value in settings.items() if key.startswith("learning.")}
    try:
        idle = LearningConfig.model_validate(nest(learning, name).get("learning", {})).idle() if learning else {}
    except ValidationError:
        return settings  # reported where the whole run is validated
    return {key: value for key, value in settings.items() if key in own or key.removeprefix("learning.") not in idle}


def _check_used(study: Study, bases: list[Settings], runs: list[Settings]) -> None:
    """Raise StudyError for a setting of a learning method in base, with_data or profile that no run has."""
    usual = _defaults()
    given = {key for base in bases for key in base if key.startswith("learning.") and base[key] != usual.get(key)}
    for key in sorted(given):
        if all(flat.get(key) == usual.get(key) for flat in runs) and not any(key in own for own in study.arms.values()):
            raise StudyError(f"{study.name}.yaml: {key} has no effect: no arm uses it; remove it from base or profile")


PINNED = {
    "data.noise_file": "data.noise_sha256",
    "data.split_file": "data.split_sha256",
    "model.weights": "model.weights_sha256",
}
"""Setting of a file -> setting of its SHA-256."""


def _choose_split(settings: Settings, choice: Choice, known: Callable[[str], Known]) -> tuple[Settings, str]:
    """Return settings with a resolved split and without idle settings, and the reason of an automatic split."""
    data = settings.get("data.name", _defaults()["data.name"])
    if (settings.get("data.split") != AUTO and choice.split is None) or not isinstance(data, str):
        return settings, ""
    info, why = known(data), ""
    if settings["data.split"] == AUTO:
        split, why = auto_split(info)
        settings = settings | {"data.split": split}
    return drop_idle(settings, info), why


def _split_seeds(settings: Settings, seed: int) -> Settings:
    """Return fold and split seed of a seed, by kind of split; none for a simulation without images."""
    if (kind := settings.get("sequences.simulation")) in SIMULATIONS and not SIMULATIONS[kind].recognised:
        return {}
    split, folds = (settings.get(key, _defaults()[key]) for key in ("data.split", "data.folds"))
    if split in K_FOLD and isinstance(folds, int) and folds > 1:
        return {"data.fold": seed % folds, "data.split_seed": seed // folds}
    return {"loso": {"data.fold": seed}, "holdout": {"data.split_seed": seed}}.get(str(split), {})


def _drop_idle(ground: Settings, at: Settings) -> Settings:
    """Return ``ground`` without settings that a grid value disables, so that e.g. a grid of occlusion may start at 0."""
    off = {key for key in at if key in COMPANIONS and at[key] == _defaults().get(key)}
    if not off:
        return ground
    companions = {name for key in off for name in COMPANIONS[key]}
    matter = {"data.image_size", *COMPANIONS, *(name for names in COMPANIONS.values() for name in names)}
    tree = nest({key: value for key, value in (ground | at).items() if key in matter}, "study")
    try:
        data = DataConfig.model_validate(tree.get("data", {}))
        corrupt = CorruptConfig.model_validate(tree.get("corrupt", {}))
    except ValidationError:
        return ground  # reported where the whole run is validated
    idle = {f"data.{name}" for name in data.idle()} | {f"corrupt.{name}" for name in corrupt.idle(data.image_size)}
    return {key: value for key, value in ground.items() if key not in companions & idle}


@functools.cache
def _defaults() -> Settings:
    """Return all defaults by dotted setting."""
    return RunConfig().flat()


def _hash_file(settings: Settings, setting: str, key: str, study: str, pins: dict[str, str]) -> Settings:
    """Return ``key`` with the SHA-256 of a setting's file; raises StudyError if unreadable or unlike the given SHA-256."""
    path = settings.get(setting)
    if not isinstance(path, str):
        return {}
    if path not in pins:
        try:
            with open_regular(user_path(path)) as stream:
                pins[path] = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            problem = f"{cut(path, PATH)}: cannot be read from {Path.cwd()} ({why})"
            raise StudyError(f"{study}.yaml: {setting}: {problem}") from None
    found = pins[path]
    if settings.get(key, found) != found:
        raise StudyError(f"{study}.yaml: {key}: {cut(path, PATH)} has different content, with SHA-256 {found}")
    return {key: found}


def _hash_own(settings: Settings, study: str, pins: dict[str, str]) -> Settings:
    """Return ``model.source_sha256`` of the user's own network; raises StudyError if it has no source, or another one."""
    name, key = settings.get("model.backbone"), "model.source_sha256"
    if not isinstance(name, str) or not is_own(name):
        return {}
    if (place := f"source of {name}") not in pins:
        try:
            pins[place] = hash_source(name)
        except StudyError as error:
            raise StudyError(f"{study}.yaml: {error}") from None
    if settings.get(key, pins[place]) != pins[place]:
        raise StudyError(f"{study}.yaml: {key}: the source of {cut(name)} has SHA-256 {pins[place]}")
    return {key: pins[place]}


def _check_distinct(study: Study, configs: dict[str, RunConfig], remedy: str) -> None:
    """Raise StudyError if two arms are the same run; ``remedy``: see ``_check_points``."""
    seen: dict[str, str] = {}
    for arm, config in configs.items():
        first = seen.setdefault(config.effective.model_dump_json(), arm)
        if first != arm:
            same = f"arm '{cut(arm)}' changes nothing: it is the same run as arm '{cut(first)}'"
            if config != configs[first]:
                same += ", since no network is trained"
            raise StudyError(f"{study.name}.yaml: arms.{cut(arm)}: {same}; {remedy or 'change a setting or remove the arm'}")


def _check_points(study: Study, points: list[Point], configs: list[list[RunConfig]], remedy: str) -> None:
    """Raise StudyError if two grid points give the same run of every arm; ``remedy``: the remedy where epochs are scaled."""
    seen: dict[str, dict[str, Any]] = {}
    for (at, _), arms in zip(points, configs, strict=True):
        values = dict(at)
        other = seen.setdefault("|".join(config.effective.model_dump_json() for config in arms), values)
        if other != values:
            one, two = (", ".join(f"{key} {value}" for key, value in point.items()) for point in (other, values))
            same = f"{cut(one)} and {cut(two)} give the same runs on {arms[0].data.name}"
            raise StudyError(f"{study.name}.yaml: {same}; {remedy or 'remove one of the two'}")


def hash_configs(runs: Iterable[PlannedRun]) -> str:
    """Return 12 hex digits over arm, grid point and config of the runs, in any order; data sets' builds do not enter."""
    lines = sorted(f"{run.arm}|{run.at}|{run.run_id('')}" for run in runs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
