"""Look-ups in the MLflow store of a results folder, read with sqlite3: MLflow itself takes two seconds to import."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

STORE = "mlflow.db"
Places = tuple[tuple[str, str], ...]
"""Study, and arm with grid point."""


def ask(results: Path, query: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a query to the store, opened for reading only; none if there is no store, or another's."""
    path = results / STORE
    if path.is_file():
        with (
            suppress(sqlite3.Error, OSError),
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", timeout=1, uri=True)) as connection,
        ):
            return connection.execute(query, values).fetchall()
    return []


def read_places(results: Path) -> dict[str, Places]:
    """Return run id -> studies and arms by the tags of the store."""
    found: dict[str, Places] = {}
    query = (
        "SELECT runs.value, studies.value, arms.value FROM tags runs JOIN tags studies USING (run_uuid) JOIN tags arms "
        "USING (run_uuid) WHERE runs.key = 'fer.run_id' AND studies.key = 'study' AND arms.key = 'arm' ORDER BY 1, 2, 3"
    )
    for run_id, study, arm in ask(results, query):
        if (study, arm) not in found.get(run_id, ()):
            found[run_id] = (*found.get(run_id, ()), (study, arm))
    return found


def read_titles(results: Path) -> dict[str, str]:
    """Return run id -> title of the parent run by the tags of the store."""
    query = (
        "SELECT runs.value, titles.value FROM tags runs JOIN tags parents USING (run_uuid) JOIN tags titles ON "
        "titles.run_uuid = parents.value WHERE runs.key = 'fer.run_id' AND parents.key = 'mlflow.parentRunId' AND "
        "titles.key = 'fer.title'"
    )
    return dict(ask(results, query))


def find_parent(results: Path, title: str) -> tuple[str, str, str] | None:
    """Return experiment id, name of the study, and run id in MLflow of a plan's parent run, or None."""
    query = (
        "SELECT runs.experiment_id, experiments.name, runs.run_uuid FROM runs JOIN experiments USING (experiment_id) "
        "JOIN tags titles USING (run_uuid) JOIN tags kinds USING (run_uuid) WHERE titles.key = 'fer.title' AND "
        "titles.value = ? AND kinds.key = 'fer.kind' AND kinds.value = 'study' AND runs.lifecycle_stage = 'active'"
    )
    rows = ask(results, query, [title])
    return (str(rows[0][0]), str(rows[0][1]), str(rows[0][2])) if rows else None
