"""Study files: YAML, strictly validated.

A study has base settings, arms, a grid and levels that are crossed with every arm, seeds, and profiles (size presets). Seed
s determines the split: with k folds (``subject``, ``random``, ``sequence``) fold s mod k of the partition with split seed s
div k, with ``loso`` the left-out person s, with ``holdout`` the s-th draw; ``official`` and ``list`` have fixed parts. Arms
with the same seed share split, noise and initial weights. ``data.split: auto`` is the strictest split of the data set.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from fer_cli.config import METRICS, RunConfig, Section, hash_run
from fer_cli.config.analyses import ANALYSES, MEASURES
from fer_cli.config.registry import one_of
from fer_cli.errors import StudyError, nearest
from fer_cli.escape import PATH, bad_name, cut
from fer_cli.places import shipped_folder, user_path
from fer_cli.search import Search
from fer_cli.settings import Settings, empty_groups, flatten, grid_key, leaves
from fer_cli.yamls import explain, parse_yaml, read_text

DEFAULT_PROFILE = "small"
MOST_ARMS = 1_000
MOST_RUNS = 100_000  # arms x grid points x seeds
SIMULATIONS = {"ancova": "fer analyze ancova"}
"""Kind of simulation, the value of ``simulation`` in its file -> command that runs it; it is no study and trains nothing."""
SIMULATION = re.compile(r"^simulation:", re.MULTILINE)


class Published(Section):
    """A value published in the paper, and its data set; ``where``: table, figure or sentence."""

    arm: str
    data: str
    metric: Annotated[str, one_of(METRICS)]
    value: float = Field(ge=0, le=1)
    where: str
    note: str = ""


class Paper(Section):
    """The paper of a study; ``left_out``: settings that it does not specify, and our choices."""

    cite: str
    figure: str = ""
    published: list[Published] = []
    tables: dict[str, dict[str, dict[str, float]]] = {}
    """Further published values, which analyses print beside ours: table -> row -> column -> value."""
    left_out: str = ""


class Claim(Section):
    """A statement about an arm that a study's results support or contradict (see ``fer_cli.judge``).

    It says that ``arm`` scores higher than the arm ``over`` by more than ``margin``, or at least ``at_least``; or, with
    ``cost``, that it needs less of it than ``over``; or, with ``measure``, that it has the better one.
    """

    text: Annotated[str, Field(min_length=1)]
    arm: str
    over: str | None = None
    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    metric: Annotated[str, one_of(METRICS)] = "accuracy"
    cost: Literal["parameters", "multiply_adds"] | None = None
    """What ``arm`` needs less of, instead of a metric; counted, not tested. ``margin``: a share of what ``over`` needs."""
    measure: Annotated[str, one_of(MEASURES)] | None = None
    """What is compared instead of a metric: a number that an analysis keeps of each run; ``arm`` has the better one."""
    at: dict[str, Any] = {}
    """Grid values or levels where it is made; it is judged at every value of the factors left out."""
    margin: Annotated[float, Field(gt=-1, lt=1)] = 0.0
    """Share, 0.01 for one point; if negative, the arm may score that much lower."""
    leaks: bool = False  # whether it is about data leakage, so that leaky arms can be judged
    source: Annotated[str, Field(min_length=1)]
    """Place in the paper, or why it is ours."""
    ours: bool = False  # whether no paper makes it, in a study about a paper

    @model_validator(mode="after")
    def _one_yardstick(self) -> Claim:
        if (self.over is None) == (self.at_least is None):
            raise ValueError("give one of over (the other arm) and at_least (a score)")
        if self.over is None and self.margin:
            raise ValueError("margin: needs over; add it to at_least instead")
        for name in ("cost", "measure"):
            others = {"metric", "cost", "measure"} - {name}
            if getattr(self, name) is not None and (self.over is None or others & self.model_fields_set):
                raise ValueError(f"{name}: needs over, and no at_least, {' or '.join(sorted(others))}")
        if not self.text.strip() or not self.source.strip():
            raise ValueError("text and source need visible characters")
        return self


class Report(Section):
    """The layout of the study's tables; ``against``: the baseline arm."""

    columns: str | None = None  # grid factor of the columns; None: a single column
    metrics: list[Annotated[str, one_of(METRICS)]] = Field(["accuracy", "macro_f1"], min_length=1)
    against: str
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Further comparisons: an arm, and the one it is compared with."""
    bounds: list[str] = []
    """Arms that are upper bounds, with knowledge no method has: never bold."""
    analyses: list[Annotated[str, one_of(ANALYSES)]] = []

    @field_validator("metrics", "bounds", "analyses", mode="after")
    @classmethod
    def _once_each(cls, names: list[str]) -> list[str]:
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"'{cut(twice[0])}' is given twice")
        return names


def settings_in(tree: Settings, where: str) -> Settings:
    """Return the settings of a study's part by dotted name; raises ValueError for duplicates and unknown empty groups."""
    for name in empty_groups(tree):
        section: Any = RunConfig
        for part in name.split("."):
            known = getattr(section, "model_fields", {})
            if part not in known:
                raise ValueError(f"{where}: {cut(name)}: unknown key, and without settings{nearest(part, known)}")
            section = known[part].annotation
    return flatten(tree, where)


class Study(Section):
    """The content of a study file."""

    name: str
    question: str
    paper: Paper | None = None
    base: dict[str, Any] = {}
    seeds: list[int] = Field([0, 1, 2, 3, 4], min_length=1)
    with_data: dict[str, Settings] = {}  # data set -> settings added for it
    arms: dict[str, Settings] = Field(min_length=1)
    grid: dict[str, list[Any]] = {}
    levels: dict[str, dict[str, Settings]] = {}  # factor -> level -> settings, crossed with arms like the grid
    profiles: dict[str, Settings] = {}
    profile_arms: dict[str, dict[str, Settings]] = {}  # profile -> arm -> settings added to that arm
    claims: list[Claim] = []
    search: Search = Search()  # trials of ``fer search``
    report: Report

    @field_validator("base", mode="after")
    @classmethod
    def _base_in_one_spelling(cls, base: dict[str, Any]) -> Settings:
        return settings_in(base, "base")

    @field_validator("arms", "with_data", "profiles", mode="after")
    @classmethod
    def _in_one_spelling(cls, named: dict[str, Settings], info: ValidationInfo) -> dict[str, Settings]:
        return {name: settings_in(settings, f"{info.field_name}.{cut(name)}") for name, settings in named.items()}

    @field_validator("levels", "profile_arms", mode="after")
    @classmethod
    def _levels_in_one_spelling(
        cls, given: dict[str, dict[str, Settings]], info: ValidationInfo
    ) -> dict[str, dict[str, Settings]]:
        return {
            key: {
                name: settings_in(settings, f"{info.field_name}.{cut(key)}.{cut(name)}") for name, settings in named.items()
            }
            for key, named in given.items()
        }

    @model_validator(mode="after")
    def _names_agree(self) -> Study:
        self._check_names()
        self._check_arms()
        self._check_pairs()
        self._check_profile_arms()
        self._check_levels()
        columns, factors = self.report.columns, [*self.grid, *self.levels]
        if columns is not None and columns not in factors:
            raise ValueError(f"report.columns: '{cut(columns)}' is in neither grid nor levels{nearest(columns, factors)}")
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds: must be whole numbers from 0 without duplicates")
        for key, values in self.grid.items():
            if not values or len({grid_key(value) for value in values}) != len(values):
                raise ValueError(f"grid.{cut(key)}: needs at least one value and no duplicates (0 and 0.0 are equal)")
        parts = {"arms": self.arms, "with_data": self.with_data, "profiles": self.profiles}
        for where, settings in [(f"{part}.{name}", s) for part, named in parts.items() for name, s in named.items()]:
            if taken := sorted(set(settings) & set(self.grid)):
                raise ValueError(f"{cut(where)}: {taken[0]} is also set by grid; remove it from one of the two")
        self._check_claims()
        if "search" in self.model_fields_set:
            self.check_search()
        return self

    def _check_pairs(self) -> None:
        """Raise ValueError for a pair with an unknown arm, and for one that is the same test as another comparison."""
        base, bounds = self.report.against, self.report.bounds
        for pair in self.report.pairs:
            if lost := [arm for arm in pair if arm not in self.arms]:
                raise ValueError(f"report.pairs: no arm '{cut(lost[0])}'{nearest(lost[0], self.arms)}")
            same = [{*other} for other in self.report.pairs].count({*pair})
            again = pair[1] == base and pair[0] not in bounds  # all arms but upper bounds are compared with the baseline
            if pair[0] == pair[1] or again or same > 1:
                raise ValueError(f"report.pairs: {' and '.join(map(cut, pair))} are the same arm, or are already compared")

    def check_search(self) -> None:
        """Raise ValueError for a search of unknown arms, factors or values, or of a setting that the study varies."""
        values = {**self.grid, **{factor: list(named) for factor, named in self.levels.items()}}
        taken = dict.fromkeys(self.grid, "grid")
        for factor, named in self.levels.items():
            taken |= {key: f"levels.{factor}" for settings in named.values() for key in settings}
        self.search.check(self.arms, values, taken, len(self.seeds))

    def _check_claims(self) -> None:
        """Raise ValueError for a claim about unknown arms, factors or values, and for one made twice."""
        values = {**self.grid, **{factor: list(named) for factor, named in self.levels.items()}}
        seen: list[tuple[Any, ...]] = []
        for place, claim in enumerate(self.claims):
            where = f"claims.{place}"
            for name in filter(None, (claim.arm, claim.over)):
                if name not in self.arms:
                    raise ValueError(f"{where}: no arm '{cut(name)}'{nearest(name, self.arms)}")
            if claim.arm == claim.over:
                raise ValueError(f"{where}: '{cut(claim.arm)}' is compared with itself")
            for factor, value in claim.at.items():
                if factor not in values:
                    raise ValueError(f"{where}.at: '{cut(factor)}' is in neither grid nor levels{nearest(factor, values)}")
                if grid_key(value) not in map(grid_key, values[factor]):
                    known = nearest(str(value), map(str, values[factor]))
                    raise ValueError(f"{where}.at.{cut(factor)}: '{cut(value)}' is not one of its values{known}")
            at = sorted((factor, grid_key(value)) for factor, value in claim.at.items())
            rest = (claim.at_least, claim.cost or claim.measure or claim.metric, at, claim.margin)
            made = (claim.arm, claim.over, *rest)
            if made in seen:
                raise ValueError(f"{where}: the same as claims.{seen.index(made)}")
            if not claim.margin and (back := (claim.over, claim.arm, *rest)) in seen:
                raise ValueError(
                    f"{where}: the reverse of claims.{seen.index(back)}, and so the same test; remove one of the two"
                )
            seen.append(made)

    def _check_arms(self) -> None:
        """Raise ValueError for an arm in report or paper that the study does not have."""
        named = [("report.against", self.report.against), *(("report.bounds", arm) for arm in self.report.bounds)]
        named += [("paper.published", item.arm) for item in (self.paper.published if self.paper else [])]
        for where, arm in named:
            if arm not in self.arms:
                raise ValueError(f"{where}: no arm '{cut(arm)}'{nearest(arm, self.arms)}")

    def _check_profile_arms(self) -> None:
        """Raise ValueError for settings of an arm in a profile where the study has no such profile or arm."""
        for profile, arms in self.profile_arms.items():
            if profile not in {*self.profiles, DEFAULT_PROFILE}:
                raise ValueError(f"profile_arms: no profile '{cut(profile)}'{nearest(profile, self.profiles)}")
            for arm, settings in arms.items():
                if arm not in self.arms:
                    raise ValueError(f"profile_arms.{cut(profile)}: no arm '{cut(arm)}'{nearest(arm, self.arms)}")
                if taken := sorted(set(settings) & set(self.grid)):
                    raise ValueError(
                        f"profile_arms.{cut(profile)}.{cut(arm)}: {taken[0]} is also set by grid; remove one of the two"
                    )

    def _check_levels(self) -> None:
        """Raise ValueError for a factor with fewer than two levels, and for a setting that is set twice."""
        owners = dict.fromkeys(self.grid, "grid")
        for factor, named in self.levels.items():
            if factor in self.grid:
                raise ValueError(f"levels.{cut(factor)}: is also in grid; rename one of the two")
            if len(named) < 2:
                raise ValueError(f"levels.{cut(factor)}: needs at least two levels")
            for setting in dict.fromkeys(key for settings in named.values() for key in settings):
                if owners.setdefault(setting, f"levels.{factor}") != f"levels.{factor}":
                    raise ValueError(f"levels.{cut(factor)}: {setting} is also set by {owners[setting]}")
        own = {f"arms.{cut(arm)}": settings for arm, settings in self.arms.items()}
        for profile, arms in self.profile_arms.items():
            own |= {f"profile_arms.{cut(profile)}.{cut(arm)}": settings for arm, settings in arms.items()}
        for where, settings in own.items():
            if taken := sorted(setting for setting in settings if owners.get(setting, "grid") != "grid"):
                raise ValueError(f"{where}: {taken[0]} is also set by {owners[taken[0]]}; remove one of the two")

    def _check_names(self) -> None:
        """Raise ValueError for an invalid name or grid value, and for too many arms."""
        if len(self.arms) > MOST_ARMS:
            raise ValueError(f"arms: {len(self.arms):,} exceed the limit of {MOST_ARMS:,}")
        named = {"name": [self.name], "arms": self.arms, "with_data": self.with_data, "profiles": self.profiles}
        named |= {"grid": self.grid, "levels": self.levels}
        named |= {f"levels.{cut(key)}": one for key, one in self.levels.items()}
        for key, values in self.grid.items():
            if any(isinstance(value, dict) for value in values):
                raise ValueError(f"grid.{cut(key)}: values must be scalars or lists; give each setting its own line")
            named[f"grid.{cut(key)}"] = [leaf for value in values for leaf in leaves(value)]
        for where, names in named.items():
            for name in names:
                if wrong := bad_name(name):
                    raise ValueError(f"{where}: {cut(repr(name))}: {wrong}")


@dataclass(frozen=True)
class Choice:
    """The options of a study that a user can override."""

    profile: str = DEFAULT_PROFILE
    data: str | None = None
    seeds: tuple[int, ...] | None = None
    split: str | None = None
    epochs: float | None = None  # factor of every run's epochs, rounded, at least one
    recipe: bool = False  # whether arms get the settings that fer search chose for them
    settings: tuple[str, ...] | None = None  # name=value, over those of base, data set and profile; None: not given


@dataclass(frozen=True)
class PlannedRun:
    """One arm at one grid point and seed; ``at``: grid factors and values."""

    arm: str
    at: tuple[tuple[str, Any], ...]
    seed: int
    config: RunConfig
    differs: tuple[tuple[str, Any], ...]  # settings that differ from the baseline arm at the same grid point and seed
    why_split: str = ""  # reason of an automatically chosen split

    @property
    def title(self) -> str:
        """Return a short name, e.g. ``SCN · data.label_noise 0.2 · seed 3``."""
        return " · ".join([self.arm, *(f"{key} {value}" for key, value in self.at), f"seed {self.seed}"])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return ``RunConfig.identity`` of its settings."""
        return self.config.identity()

    def run_id(self, fingerprint: str) -> str:
        """Return ``RunConfig.run_id`` of its settings."""
        return hash_run(self.identity, fingerprint)


def study_names() -> list[str]:
    """Return the names of all shipped studies, without simulations."""
    return sorted(path.stem for path in shipped_folder("experiments").glob("*.yaml") if not is_simulation(path))


def is_simulation(path: Path) -> bool:
    """Return whether a file describes a simulation, by a key at the start of one of its lines."""
    try:
        return SIMULATION.search(path.read_text(encoding="utf-8")) is not None
    except (OSError, ValueError):
        return False


def is_file_name(name: str) -> bool:
    """Return whether a study is given by its file rather than by its name."""
    return name.endswith((".yaml", ".yml"))


def find_study_file(name: str) -> Path:
    """Return the path of a study by name or path; the file may be missing."""
    return user_path(name) if is_file_name(name) else shipped_folder("experiments") / f"{name}.yaml"


def load_study(name: str) -> Study:
    """Return a study by name or path; raises StudyError with the place of the first error."""
    given, path = is_file_name(name), find_study_file(name)
    if not given and not is_simulation(path) and name not in study_names():
        raise StudyError(f"no study named '{cut(name)}'{nearest(name, [*study_names(), *SIMULATIONS])}")
    if not os.path.lexists(path):
        raise StudyError(f"{cut(path, PATH)}: no such file{nearest(name, study_names())}")
    study = read_study(read_text(path, StudyError), path.name, name, (*METRICS, *ANALYSES))
    if study.name != path.stem:
        raise StudyError(f"{cut(path.name)}: name: '{cut(study.name)}' must equal the file's name, '{cut(path.stem)}'")
    return study


@lru_cache(maxsize=16)
def read_study(text: str, file: str, name: str, known: tuple[str, ...]) -> Study:
    """Return the study in ``text``, of a file and by the name it was asked for; raises StudyError. Do not change it.

    ``known``: the names that it may use, as part of the key of the cache.
    """
    del known
    tree = parse_yaml(text, file, StudyError)
    if "simulation" in tree:
        kind = str(tree["simulation"])
        command = SIMULATIONS.get(kind)
        how = f"run it by: {command} --study {shlex.quote(name)}"
        if command is None:
            how = f"its kind '{cut(kind)}' is unknown{nearest(kind, SIMULATIONS)}"
        raise StudyError(f"{cut(file)}: a simulation, not a study; {how}")
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        raise StudyError(f"{cut(file)}: {explain(error, Study)}") from None
