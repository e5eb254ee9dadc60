"""Recipes: the settings that ``fer search`` chose for the arms of a study on a data set, with all that it tried.

``recipes/<study>-<data>-<profile>.yaml`` in the study's folder. A recipe holds for the settings it was made for: each arm
has a hash of its own, and a recipe of other settings is refused. ``fer ablate --recipe`` applies it last, over everything
that the study says of the arm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from fer_cli.commands import choice_options, write_command
from fer_cli.config import K_FOLD, SCHEMA, Known, RunConfig, Section
from fer_cli.errors import StudyError
from fer_cli.escape import PATH, cut
from fer_cli.expand import find_point, name_data, resolve_arm
from fer_cli.places import write_text
from fer_cli.settings import Settings
from fer_cli.study import Choice, Study, find_study_file
from fer_cli.tasks import task_of
from fer_cli.yamls import explain, parse_yaml, read_text

LOWER = "val/loss"
"""The rule of selection whose lower values are better."""
OF_SEEDS = ("seed", "data.fold", "data.split_seed")
DIGITS = 6
"""Decimals of scores in a recipe, which also settle ties."""


class Tried(Section):
    """One setting of an arm: changes to its own, and a score per seed, None where training diverged."""

    settings: dict[str, Any]
    scores: list[float | None] = Field(min_length=1)

    @property
    def score(self) -> float | None:
        """Return the mean over seeds, or None if training diverged in one."""
        found = [score for score in self.scores if score is not None]
        return fmean(found) if len(found) == len(self.scores) else None


class Tuned(Section):
    """The search of one arm."""

    made_for: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    """Hash of the arm's own settings, without seed and fold."""
    select_on: str
    own: dict[str, Any]
    """Its own values of what was tried."""
    chosen: dict[str, Any]
    """Changes to its own settings; none if they are the best."""
    tried: list[Tried] = Field(min_length=1)

    @model_validator(mode="after")
    def _best_of_tried(self) -> Tuned:
        if (best := choose(self.tried, self.select_on)) is None or best.settings != self.chosen:
            raise ValueError("chosen: not the best of the tried settings; search again instead of editing a recipe")
        return self


class Recipe(Section):
    """The content of a recipe."""

    version: Literal[1] = 1
    study: str
    data: str
    profile: str
    split: str | None = None
    fingerprint: str
    """Of the data set that trials were run on."""
    seeds: list[int] = Field(min_length=1)
    at: dict[str, Any]
    epochs: float
    images: int | None
    code: str
    arms: dict[str, Tuned] = Field(min_length=1)

    @property
    def chosen(self) -> dict[str, Settings]:
        """Return arm -> chosen settings."""
        return {arm: tuned.chosen for arm, tuned in self.arms.items()}

    @property
    def name(self) -> str:
        """Return the name of its file, without suffix."""
        return name_recipe(self.study, self.data, self.profile, self.split)

    @property
    def less_tried(self) -> dict[str, tuple[int, int]]:
        """Return arms that were tried with fewer settings than another -> their number and the largest."""
        counts = {arm: len(tuned.tried) for arm, tuned in self.arms.items()}
        most = max(counts.values())
        return {arm: (count, most) for arm, count in counts.items() if count < most}


def choose(tried: Sequence[Tried], rule: str) -> Tried | None:
    """Return the setting with the best score; ties go to the arm's own settings, then to the first; None if all diverged."""
    sign = -1 if rule == LOWER else 1
    scored = [(one, one.score) for one in tried]
    known = [(one, sign * score) for one, score in scored if score is not None]
    if not known:
        return None
    best = max(score for _, score in known)
    equal = [one for one, score in known if round(score - best, DIGITS) >= 0]
    return next((one for one in equal if not one.settings), equal[0])


def name_recipe(study: str, data: str, profile: str, split: str | None) -> str:
    """Return the file name of a recipe, without suffix."""
    return "-".join(filter(None, [study, data, profile, split]))


def recipe_path(name: str, study: Study, choice: Choice) -> Path:
    """Return where the recipe of a study, given by name or path, is: in ``recipes`` beside the study's file."""
    stem = name_recipe(study.name, name_data(study, choice), choice.profile, choice.split)
    return find_study_file(name).parent / "recipes" / f"{stem}.yaml"


def hash_settings(config: RunConfig) -> str:
    """Return 12 hex digits over an arm's own settings, without seed and fold, and without what only its test has."""
    own = task_of(config).training(config) or config
    settings = {name: value for name, value in own.flat().items() if name not in OF_SEEDS}
    usual = RunConfig().flat()
    kept = {name: value for name, value in settings.items() if value != usual.get(name)}
    text = json.dumps({"schema": SCHEMA, "config": kept}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a file; raises StudyError in one line if it is missing or invalid."""
    tree = parse_yaml(read_text(path, StudyError), path.name, StudyError)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise StudyError(f"{cut(path, PATH)}: {explain(error, Recipe)}") from None


def load_recipe(name: str, study: Study, choice: Choice, known: Callable[[str], Known]) -> Recipe:
    """Return the recipe of a study's arms as they are now; raises StudyError if there is none or it is of other settings."""
    path, data = recipe_path(name, study, choice), name_data(study, choice)
    given = choice_options(Choice(choice.profile, data, split=choice.split))
    again = f"search again with: {write_command('fer search', study=name, **given)}"
    if not path.is_file():
        raise StudyError(f"--recipe: no recipe at {cut(path, PATH)}; {again.replace('search again', 'make one')}")
    recipe = read_recipe(path)
    wanted = {"study": study.name, "data": data, "profile": choice.profile, "split": choice.split}
    for what, value in wanted.items():
        if (found := getattr(recipe, what)) != value:
            raise StudyError(f"{cut(path, PATH)}: made for {what} '{cut(found)}', not '{cut(value)}'; {again}")
    if lost := [arm for arm in study.arms if arm not in recipe.arms]:
        raise StudyError(f"{cut(path, PATH)}: arm '{cut(lost[0])}' is missing; {again}")
    if gone := [arm for arm in recipe.arms if arm not in study.arms]:
        raise StudyError(f"{cut(path, PATH)}: {study.name} has no arm '{cut(gone[0])}'; {again}")
    for arm, tuned in recipe.arms.items():
        own = resolve_arm(study, choice, arm, find_point(study, recipe.at), recipe.seeds[0], known)
        if hash_settings(own) != tuned.made_for:
            raise StudyError(f"{cut(path, PATH)}: made for other settings of arm '{cut(arm)}' than it has now; {again}")
    return recipe


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe, with one line per tried setting."""
    head = recipe.model_dump(mode="json", exclude={"arms"})
    lines = [
        "# Written by fer search; fer ablate and fer report apply it with --recipe. Settings are changes to the arm's own.",
        *(f"{name}: {write_value(value)}" for name, value in head.items()),
        "arms:",
    ]
    for arm, tuned in recipe.arms.items():
        lines.append(f"  {write_value(arm)}:")
        plain = tuned.model_dump(mode="json", exclude={"tried"})
        lines += [f"    {name}: {write_value(value)}" for name, value in plain.items()]
        lines.append("    tried:")
        lines += [f"    - {write_value(one.model_dump(mode='json'))}" for one in tuned.tried]
    write_text(path, "\n".join(lines) + "\n")


def write_value(value: Any) -> str:
    """Return a value as one line of JSON, which is YAML."""
    return json.dumps(value, ensure_ascii=False)


def write_changes(settings: Mapping[str, Any]) -> str:
    """Return changes to an arm's settings as text."""
    return (
        ", ".join(f"{name} {'none' if value is None else value}" for name, value in settings.items()) or "its own settings"
    )


def describe_recipe(recipe: Recipe, runs: Iterable[RunConfig]) -> list[str]:
    """Return lines on a recipe applied to a study's ``runs``: effort, what was chosen, and what is doubtful about it."""
    configs = list(runs)
    counts = sorted({len(tuned.tried) for tuned in recipe.arms.values()})
    seeds = ", ".join(map(str, recipe.seeds))
    size = f"{recipe.epochs:g} x epochs" + (f", at most {recipe.images} training images" if recipe.images else "")
    where = f", at {write_changes(recipe.at)}" if recipe.at else ""
    rules = " or ".join(sorted({tuned.select_on for tuned in recipe.arms.values()}))
    trained = f"{len(recipe.seeds)} seed{'s' * (len(recipe.seeds) > 1)} ({seeds}), {size}{where}"
    lines = [
        f"settings chosen by fer search (recipe {recipe.name}, {recipe.code}): {' to '.join(map(str, counts))} settings "
        f"tried per arm, each with {trained}, chosen by {rules}; trials read no test image"
    ]
    others = sorted({config.seed for config in configs} - set(recipe.seeds))
    if others and any(config.data.split in {*K_FOLD, "loso", "holdout"} and not config.data.test for config in configs):
        lines.append(
            f"the search saw no test image of seed {seeds}; test parts of the other seeds contain images that it trained or "
            "validated on"
        )
    lines.append(
        "chosen: "
        + "; ".join(
            f"{arm}: {write_changes(tuned.chosen)}"
            + (f" (own {write_changes({name: tuned.own.get(name) for name in tuned.chosen})})" if tuned.chosen else "")
            for arm, tuned in recipe.arms.items()
        )
    )
    lines += [
        f"UNEQUAL EFFORT: {arm} was tried with {count} settings, others with {most}"
        for arm, (count, most) in recipe.less_tried.items()
    ]
    return lines
