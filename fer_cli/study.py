"""Studies: one YAML, read strictly and expanded into planned runs. Pure: nothing here touches results or trains.

A study names a base, arms (what differs), a grid and levels (what every arm is crossed with), seeds, and profiles (how
large). What
seed s means for the split: of k folds (``subject``, ``random``, ``sequence``) it trains fold s modulo k with split seed s
div k, so seeds 0-4 are the five folds of one partition and 5-9 those of the next; of ``loso`` it leaves out person s; of
``holdout`` it is the s-th draw; of ``official`` and ``list``, whose parts are given, nothing. Arms of one seed share split,
noise and initial weights. ``data.split: auto`` becomes the strictest split that the data set allows, in every run by itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from fer_cli.config import METRICS, RunConfig, Section
from fer_cli.config.registry import one_of
from fer_cli.errors import StudyError, nearest
from fer_cli.escape import PATH, bad_name, cut
from fer_cli.places import shipped_folder, user_path
from fer_cli.settings import Settings, identity, leaves, spread
from fer_cli.yamls import explain, parse_yaml, read_text

DEFAULT_PROFILE = "small"
MOST_ARMS = 1_000
MOST_RUNS = 100_000
"""Of a plan: arms x grid points x seeds."""


ANALYSES = {
    "embedding": "fer_cli.analysis.embedding:embedding_analysis",
    "blocks": "fer_cli.analysis.blocks:block_analysis",
    "maps": "fer_cli.analysis.maps:maps_analysis",
}
"""Name -> function of a plan, the machine and the folder of figures, which looks into trained networks."""


class Published(Section):
    """One figure of the paper, with the data set it was obtained on; never ours."""

    arm: str
    data: str
    metric: Annotated[str, one_of(METRICS)]
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
    metrics: list[Annotated[str, one_of(METRICS)]] = Field(["accuracy", "macro_f1"], min_length=1)
    against: str
    """Arm that the others are compared with."""
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Further comparisons that the question asks for: an arm, and the one it is compared with."""
    per_seed: bool = False
    """Whether tables by seed follow, with a rank test of each arm against the one that the others are compared with."""
    analyses: list[Annotated[str, one_of(ANALYSES)]] = []
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
    levels: dict[str, dict[str, Settings]] = {}
    """Factor -> level -> settings: what arms are crossed with where a level is more than one setting."""
    profiles: dict[str, Settings] = {}
    report: Report

    @field_validator("base", mode="after")
    @classmethod
    def _base_in_one_spelling(cls, base: dict[str, Any]) -> Settings:
        return flatten(base, "base")

    @field_validator("arms", "with_data", "profiles", mode="after")
    @classmethod
    def _in_one_spelling(cls, named: dict[str, Settings], info: ValidationInfo) -> dict[str, Settings]:
        return {name: flatten(settings, f"{info.field_name}.{cut(name)}") for name, settings in named.items()}

    @field_validator("levels", mode="after")
    @classmethod
    def _levels_in_one_spelling(cls, levels: dict[str, dict[str, Settings]]) -> dict[str, dict[str, Settings]]:
        return {
            factor: {name: flatten(settings, f"levels.{cut(factor)}.{cut(name)}") for name, settings in named.items()}
            for factor, named in levels.items()
        }

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
        self._check_levels()
        columns, factors = self.report.columns, [*self.grid, *self.levels]
        if columns is not None and columns not in factors:
            raise ValueError(f"report.columns: '{cut(columns)}' is in neither grid nor levels{nearest(columns, factors)}")
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds: each a whole number from 0, without duplicates")
        for key, values in self.grid.items():
            if not values or len({grid_key(value) for value in values}) != len(values):
                raise ValueError(f"grid.{cut(key)}: at least one value, without duplicates (0 and 0.0 are one value)")
        parts = {"arms": self.arms, "with_data": self.with_data, "profiles": self.profiles}
        for where, settings in [(f"{part}.{name}", s) for part, named in parts.items() for name, s in named.items()]:
            if taken := sorted(set(settings) & set(self.grid)):
                raise ValueError(f"{cut(where)}: {taken[0]} is set by grid for every run; remove it from one of the two")
        for item in self.paper.published if self.paper else []:
            if item.arm not in self.arms:
                raise ValueError(f"paper.published: no arm '{cut(item.arm)}'{nearest(item.arm, self.arms)}")
        return self

    def _check_levels(self) -> None:
        """Raise ValueError for a factor without levels, and for a setting that two factors, or a factor and an arm, set."""
        owners = dict.fromkeys(self.grid, "grid")
        for factor, named in self.levels.items():
            if factor in self.grid:
                raise ValueError(f"levels.{cut(factor)}: is in grid, too; give one of the two another name")
            if len(named) < 2:
                raise ValueError(f"levels.{cut(factor)}: at least two levels")
            for setting in dict.fromkeys(key for settings in named.values() for key in settings):
                if owners.setdefault(setting, f"levels.{factor}") != f"levels.{factor}":
                    raise ValueError(f"levels.{cut(factor)}: {setting} is set by {owners[setting]}, too")
        for arm, settings in self.arms.items():
            if taken := sorted(setting for setting in settings if owners.get(setting, "grid") != "grid"):
                raise ValueError(f"arms.{cut(arm)}: {taken[0]} is set by {owners[taken[0]]}; remove it from one of the two")

    def _check_names(self) -> None:
        """Raise ValueError for a name that no table could show, a grid value that is no value, and too many arms."""
        if len(self.arms) > MOST_ARMS:
            raise ValueError(f"arms: {len(self.arms):,}, where {MOST_ARMS:,} is the limit")
        named = {"name": [self.name], "arms": self.arms, "with_data": self.with_data, "profiles": self.profiles}
        named |= {
            "grid": self.grid,
            "levels": self.levels,
            **{f"levels.{cut(key)}": one for key, one in self.levels.items()},
        }
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
    return sorted(path.stem for path in shipped_folder("experiments").glob("*.yaml"))


def load_study(name: str) -> Study:
    """Return a study by name, or by path to a YAML; raises StudyError naming what is wrong and where."""
    given = name.endswith((".yaml", ".yml"))
    path = user_path(name) if given else shipped_folder("experiments") / f"{name}.yaml"
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
