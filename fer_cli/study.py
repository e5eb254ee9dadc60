"""Studies: one YAML, read strictly and expanded into planned runs. Pure: nothing here touches results or trains.

A study names a base, arms (what differs), a grid (what every arm is crossed with), seeds, and profiles (how large). What
seed s means for the split: of k folds (``subject``, ``random``, ``sequence``) it trains fold s modulo k with split seed s
div k, so seeds 0-4 are the five folds of one partition and 5-9 those of the next; of ``loso`` it leaves out person s; of
``holdout`` it is the s-th draw; of ``official`` and ``list``, whose parts are given, nothing. Arms of one seed share split,
noise and initial weights. ``data.split: auto`` becomes the strictest split that the data set allows, in every run by itself.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from fer_cli.config import (
    AUTO,
    COMPANIONS,
    K_FOLD,
    SPLITS,
    CorruptConfig,
    DataConfig,
    Known,
    RunConfig,
    Section,
    auto_split,
    without_idle,
)
from fer_cli.errors import StudyError, nearest
from fer_cli.escape import PATH, bad_name, cut
from fer_cli.places import open_regular, shipped, user_path
from fer_cli.settings import Settings, identity, in_words, leaves, nest, spread
from fer_cli.yamls import explain, parse_yaml, read_text

DEFAULT_PROFILE = "small"
MOST_ARMS = 1_000
MOST_RUNS = 100_000
"""Of a plan: arms x grid points x seeds."""


class Published(Section):
    """One figure of the paper, with the data set it was obtained on; never ours."""

    arm: str
    data: str
    metric: Literal["accuracy", "macro_f1"]
    value: float = Field(ge=0, le=1)
    where: str
    """Table, figure or sentence of the paper."""
    note: str = ""


class Paper(Section):
    """Which paper a study follows, and the figures printed beside ours."""

    cite: str
    figure: str = ""
    published: list[Published] = []
    left_out: str = ""
    """What the paper does not say, and what is done instead."""


class Report(Section):
    """How the study's table is laid out."""

    columns: str | None = None
    """Grid factor that makes the columns; none: one column."""
    metrics: list[Literal["accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall"]] = Field(
        ["accuracy", "macro_f1"], min_length=1
    )
    against: str
    """Arm that the others are compared with."""
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Further comparisons that the question asks for: an arm, and the one it is compared with."""
    per_seed: bool = False
    """Whether tables by seed follow, with a rank test of each arm against the one that the others are compared with."""
    analyses: list[Literal["embedding", "blocks", "maps"]] = []
    """What is looked at inside the trained networks, beside their scores."""


class Study(Section):
    """A study file's content."""

    name: str
    question: str
    paper: Paper | None = None
    base: dict[str, Any] = {}
    seeds: list[int] = Field([0, 1, 2, 3, 4], min_length=1)
    with_data: dict[str, Settings] = {}
    """Data set -> settings that are added when the study runs on it."""
    arms: dict[str, Settings] = Field(min_length=1)
    grid: dict[str, list[Any]] = {}
    profiles: dict[str, Settings] = {}
    report: Report

    @field_validator("base", mode="after")
    @classmethod
    def _base_in_one_spelling(cls, base: dict[str, Any]) -> Settings:
        return spread(base, "base")

    @field_validator("arms", "with_data", "profiles", mode="after")
    @classmethod
    def _in_one_spelling(cls, named: dict[str, Settings], info: ValidationInfo) -> dict[str, Settings]:
        return {name: spread(settings, f"{info.field_name}.{cut(name)}") for name, settings in named.items()}

    @model_validator(mode="after")
    def _names_agree(self) -> Study:
        self._check_names()
        if self.report.against not in self.arms:
            raise ValueError(f"report.against: no arm '{cut(self.report.against)}'{nearest(self.report.against, self.arms)}")
        for pair in self.report.pairs:
            if lost := [arm for arm in pair if arm not in self.arms]:
                raise ValueError(f"report.pairs: no arm '{cut(lost[0])}'{nearest(lost[0], self.arms)}")
            if pair[0] == pair[1] or pair[1] == self.report.against or self.report.pairs.count(pair) > 1:
                raise ValueError(f"report.pairs: {' and '.join(map(cut, pair))} are one arm, or compared already")
        columns = self.report.columns
        if columns is not None and columns not in self.grid:
            raise ValueError(f"report.columns: '{cut(columns)}' is not in grid{nearest(columns, self.grid)}")
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds: each a whole number from 0, without duplicates")
        for key, values in self.grid.items():
            if not values or len({identity(value) for value in values}) != len(values):
                raise ValueError(f"grid.{cut(key)}: at least one value, without duplicates (0 and 0.0 are one value)")
        parts = {"arms": self.arms, "with_data": self.with_data, "profiles": self.profiles}
        for where, settings in [(f"{part}.{name}", s) for part, named in parts.items() for name, s in named.items()]:
            if taken := sorted(set(settings) & set(self.grid)):
                raise ValueError(f"{cut(where)}: {taken[0]} is set by grid for every run; remove it from one of the two")
        for item in self.paper.published if self.paper else []:
            if item.arm not in self.arms:
                raise ValueError(f"paper.published: no arm '{cut(item.arm)}'{nearest(item.arm, self.arms)}")
        return self

    def _check_names(self) -> None:
        """Raise ValueError for a name that no table could show, a grid value that is no value, and too many arms."""
        if len(self.arms) > MOST_ARMS:
            raise ValueError(f"arms: {len(self.arms):,}, where {MOST_ARMS:,} is the limit")
        named = {"name": [self.name], "arms": self.arms, "with_data": self.with_data, "profiles": self.profiles}
        named["grid"] = self.grid
        for key, values in self.grid.items():
            if any(isinstance(value, dict) for value in values):
                raise ValueError(f"grid.{cut(key)}: each value a scalar or a list; give each setting its own line in grid")
            named[f"grid.{cut(key)}"] = [leaf for value in values for leaf in leaves(value)]
        for where, names in named.items():
            for name in names:
                if wrong := bad_name(name):
                    raise ValueError(f"{where}: {cut(repr(name))}: {wrong}")


@dataclass(frozen=True)
class Choice:
    """What a user may change of a study without editing it."""

    profile: str = DEFAULT_PROFILE
    data: str | None = None
    seeds: tuple[int, ...] | None = None
    split: str | None = None


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the plan at one seed."""

    arm: str
    at: tuple[tuple[str, Any], ...]
    """Grid factor and value, in the grid's order."""
    seed: int
    config: RunConfig
    differs: tuple[tuple[str, Any], ...]
    """Settings in which it differs from the baseline arm at the same grid values and seed."""
    why_split: str = ""
    """Why it has the split it has, where the study leaves that to the data set."""

    @property
    def title(self) -> str:
        """Return a short name, e.g. ``SCN · data.label_noise 0.2 · seed 3``."""
        return " · ".join([self.arm, *(f"{key} {value}" for key, value in self.at), f"seed {self.seed}"])


def study_names() -> list[str]:
    """Return the names of all shipped studies."""
    return sorted(path.stem for path in shipped("experiments").glob("*.yaml"))


def load_study(name: str) -> Study:
    """Return a study by name, or by path to a YAML; raises StudyError naming what is wrong and where."""
    given = name.endswith((".yaml", ".yml"))
    path = user_path(name) if given else shipped("experiments") / f"{name}.yaml"
    if not given and name not in study_names():
        raise StudyError(f"no study named '{cut(name)}'{nearest(name, study_names())}")
    if not os.path.lexists(path):
        raise StudyError(f"{cut(path, PATH)}: no such file{nearest(name, study_names())}")
    tree = parse_yaml(read_text(path, StudyError), path.name, StudyError)
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        raise StudyError(f"{cut(path.name)}: {explain(error, Study)}") from None
    if study.name != path.stem:
        raise StudyError(f"{cut(path.name)}: name: '{cut(study.name)}' must be the file's name, '{cut(path.stem)}'")
    return study


PEOPLE_KNOWN = Known(people=2)
"""What is taken for granted of a set that nobody has looked at: embedded ones name their people."""


def expand(study: Study, choice: Choice, known: Callable[[str], Known] = lambda _: PEOPLE_KNOWN) -> list[PlannedRun]:
    """Return every planned run, arms within grid values within seeds; raises StudyError on the first bad setting.

    Precedence: base, then with_data, profile, grid, arm; ``choice.data`` overrides the data set of all, ``choice.split`` the
    split of all. ``known`` returns what a data set says of its images, which ``data.split: auto`` asks for.
    """
    if choice.profile not in {*study.profiles, DEFAULT_PROFILE}:
        named = {*study.profiles, DEFAULT_PROFILE}
        raise StudyError(f"{study.name}: no profile '{cut(choice.profile)}'{nearest(choice.profile, named)}")
    seeds = choice.seeds or study.seeds
    count = len(study.arms) * len(seeds) * math.prod(len(values) for values in study.grid.values())
    if count > MOST_RUNS:
        raise StudyError(f"{study.name}: {count:,} runs (arms x grid points x seeds), where {MOST_RUNS:,} is the limit")
    ground = _ground(study, choice)
    planned = []
    look = functools.cache(known)
    pins: dict[str, str] = {}
    points = list(itertools.product(*([(key, value) for value in values] for key, values in study.grid.items())))
    for seed in seeds:
        seen: dict[tuple[Any, ...], Any] = {}
        for at in points:
            resolved = {arm: _resolve(study, ground, dict(at), arm, seed, pins, choice, look) for arm in study.arms}
            configs = {arm: config for arm, (config, _) in resolved.items()}
            _distinct(study, configs)
            reference = configs[study.report.against].flat()
            for arm, (config, why) in resolved.items():
                differs = tuple((key, value) for key, value in config.flat().items() if value != reference[key])
                place = tuple((key, in_words(config.data.split if value == AUTO else value)) for key, value in at)
                if (arm, place) in seen:
                    same = f"{seen[arm, place]} and {dict(at)} are the same runs on {config.data.name}"
                    raise StudyError(f"{study.name}: grid: {same}; remove one of the two")
                seen[arm, place] = dict(at)
                planned.append(PlannedRun(arm, place, seed, config, differs, why))
    return planned


def _ground(study: Study, choice: Choice) -> Settings:
    """Return the settings that all runs share before grid and arms; raises StudyError for a split that cannot be chosen."""
    base, profile = study.base, study.profiles.get(choice.profile, {})
    data = choice.data or profile.get("data.name") or base.get("data.name")
    ground = base | study.with_data.get(str(data), {}) | profile
    if choice.data is not None:
        ground["data.name"] = choice.data
    if choice.split is not None:
        names = {AUTO, *SPLITS} - {"list"}
        if choice.split == "list":
            raise StudyError("--split list: set data.split and data.split_file in a copy of the study, which name its file")
        if choice.split not in names:
            raise StudyError(f"--split: no split '{cut(choice.split)}'{nearest(choice.split, names)}")
        varied = {"grid": study.grid, **{f"arm {cut(arm)}": settings for arm, settings in study.arms.items()}}
        if where := [place for place, settings in varied.items() if "data.split" in settings]:
            raise StudyError(f"--split: {where[0]} of {study.name} sets data.split, which is what the study is about")
        ground["data.split"] = choice.split
    return ground


def _resolve(
    study: Study,
    ground: Settings,
    at: Settings,
    arm: str,
    seed: int,
    pins: dict[str, str],
    choice: Choice,
    known: Callable[[str], Known],
) -> tuple[RunConfig, str]:
    """Return the RunConfig of one arm at one point of the grid and one seed, and why it has its split where that was open.

    Errors name the place in the YAML. ``pins``: SHA-256 of files hashed so far.
    """
    settings = _clean_point(ground, at) | at | study.arms[arm]
    settings, why = _with_split(settings, choice, known)
    for key in ("seed", "data.fold", "data.split_seed"):
        if key in settings:
            raise StudyError(f"{study.name}.yaml: {key}: follows from seeds; remove it from base, grid and arms")
    settings |= _place(settings, seed) | {"seed": seed}
    for setting, pin in PINNED.items():
        settings |= _pinned(settings, setting, pin, study.name, pins)
    try:
        return RunConfig.model_validate(nest(settings, study.name)), why
    except ValidationError as error:
        raise StudyError(f"{study.name}.yaml: arm {cut(arm)}: {explain(error, RunConfig)}") from None


PINNED = {
    "data.noise_file": "data.noise_sha256",
    "data.split_file": "data.split_sha256",
    "model.weights": "model.weights_sha256",
}
"""Setting that names a file -> setting that holds the file's SHA-256."""


def _with_split(settings: Settings, choice: Choice, known: Callable[[str], Known]) -> tuple[Settings, str]:
    """Return settings with an open split closed, and why so; what has no effect on the split is left out then."""
    data = settings.get("data.name", DataConfig().name)
    if (settings.get("data.split") != AUTO and choice.split is None) or not isinstance(data, str):
        return settings, ""
    said, why = known(data), ""
    if settings["data.split"] == AUTO:
        split, why = auto_split(said)
        settings = settings | {"data.split": split}
    return without_idle(settings, said), why


def _place(settings: Settings, seed: int) -> Settings:
    """Return fold and split seed of a seed, by the rule of the split that the settings name."""
    split, folds = settings.get("data.split", DataConfig().split), settings.get("data.folds", DataConfig().folds)
    if split in K_FOLD and isinstance(folds, int) and folds > 1:
        return {"data.fold": seed % folds, "data.split_seed": seed // folds}
    return {"loso": {"data.fold": seed}, "holdout": {"data.split_seed": seed}}.get(str(split), {})


def _clean_point(ground: Settings, at: Settings) -> Settings:
    """Return ``ground`` without what has no effect because a grid value switches it off.

    A grid of amounts may so begin at nothing: ``corrupt.occlusion: [0.0, 0.2]`` with ``corrupt.occluder: mask`` in base
    has the plain run as its first point. Arms are left as they are.
    """
    off = {key for key in at if key in COMPANIONS and at[key] == _defaults().get(key)}
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
    """Return the default of every dotted setting."""
    return RunConfig().flat()


def _pinned(settings: Settings, setting: str, key: str, study: str, pins: dict[str, str]) -> Settings:
    """Return the SHA-256 of the file that ``setting`` names, under ``key``: its content is part of the run.

    Raises StudyError when it cannot be read, or is no longer the one the study gives a SHA-256 of.
    """
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
        raise StudyError(f"{study}.yaml: {key}: {cut(path, PATH)} has another content, of SHA-256 {found}")
    return {key: found}


def _distinct(study: Study, configs: dict[str, RunConfig]) -> None:
    """Raise StudyError when two arms are the same run."""
    seen: dict[str, str] = {}
    for arm, config in configs.items():
        first = seen.setdefault(config.model_dump_json(), arm)
        if first != arm:
            same = f"arm '{cut(arm)}' changes nothing: it is the same run as arm '{cut(first)}'"
            raise StudyError(f"{study.name}.yaml: arms.{cut(arm)}: {same}; change a setting or remove the arm")
