"""The options of a study's last run, which are the defaults of ``fer report``: ``studies/<name>.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from fer_cli.config import AUTO, SPLITS, Section
from fer_cli.errors import ResultsError, StudyError
from fer_cli.overrides import parse_settings
from fer_cli.places import read_text, write_text
from fer_cli.plan import Plan
from fer_cli.study import DEFAULT_PROFILE, Choice, Study
from fer_cli.yamls import explain


def remember(plan: Plan, results: Path) -> None:
    """Save the options of the last run, the defaults of ``fer report``."""
    choice = asdict(plan.choice)
    write_text(results / "studies" / f"{plan.study.name}.json", json.dumps(choice) + "\n")


class SavedChoice(Section):
    """The content of ``studies/<name>.json``: the options of the last run."""

    profile: str
    data: str | None
    seeds: list[Annotated[int, Field(ge=0)]] | None
    split: str | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    recipe: bool = False
    settings: list[str] | None = None


def last_choice(study: Study, results: Path) -> Choice:
    """Return the options of the last run, or defaults; raises ResultsError if the file is invalid."""
    path = results / "studies" / f"{study.name}.json"
    remedy = "remove it; fer report then uses the study's own data, profile and seeds"
    try:
        kept = SavedChoice.model_validate_json(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return Choice()
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; {remedy}") from None
    except ValueError as error:
        reason = explain(error, SavedChoice)[:200] if isinstance(error, ValidationError) else "not UTF-8"
        raise ResultsError(f"{path}: {reason}; {remedy}") from None
    if kept.profile not in {*study.profiles, DEFAULT_PROFILE}:
        raise ResultsError(f"{path}: profile: {study.name} has no profile '{kept.profile[:80]}'; {remedy}")
    if kept.split not in {None, AUTO, *SPLITS}:
        raise ResultsError(f"{path}: split: no split '{str(kept.split)[:80]}'; {remedy}")
    seeds = None if kept.seeds is None else tuple(kept.seeds)
    try:
        settings = parse_settings(kept.settings)
    except StudyError as error:
        raise ResultsError(f"{path}: settings: {error}; {remedy}") from None
    return Choice(kept.profile, kept.data, seeds, kept.split, kept.epochs, kept.recipe, settings)
