"""Shell completion of the names of studies, data sets, profiles and runs, from file names alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import typer

from fer_cli.places import user_path

MOST = 200
"""Names that are offered."""


def matching(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with what is typed, sorted."""
    return sorted({name for name in names if name.startswith(incomplete)})[:MOST]


def complete_study(incomplete: str) -> list[str]:
    """Return the shipped studies and the YAML files at the path that is typed."""
    from fer_cli.study import study_names

    typed = incomplete[: incomplete.rfind("/") + 1]  # kept as it is, with ./ or ~/
    files: list[str] = []
    with suppress(OSError):
        files = [f"{typed}{path.name}" for path in user_path(typed or ".").glob("*.y*ml")]
    return matching([*study_names(), *files], incomplete)


def complete_profile(context: typer.Context, incomplete: str) -> list[str]:
    """Return the profiles of the study that is given, else those of most studies."""
    from fer_cli.errors import FerError
    from fer_cli.study import DEFAULT_PROFILE, load_study

    names = {"smoke", DEFAULT_PROFILE, "paper"}
    if study := context.params.get("study"):
        with suppress(FerError):
            names = {*load_study(str(study)).profiles, DEFAULT_PROFILE}
    return matching(names, incomplete)


def complete_set(context: typer.Context, incomplete: str) -> list[str]:
    """Return the data sets that are built, and those with a card."""
    from fer_cli.config import default_data_root
    from fer_cli.data.cards import card_names

    root = Path(context.params.get("data_root") or default_data_root())
    built: list[str] = []
    with suppress(OSError):
        built = [path.parent.name for path in root.glob("*/set.json")]
    return matching([*built, *card_names()], incomplete)


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of runs in the results folder."""
    results = Path(context.params.get("results") or os.environ.get("FER_RESULTS") or "results")
    names: list[str] = []
    with suppress(OSError):
        names = [entry.name for entry in os.scandir(results / "runs") if entry.is_dir()]
    return matching(names, incomplete)
