"""A store of MLflow in a file, as ``mlflow.db``: whether it is writable and ours, and its artifact addresses."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fer_cli.escape import cut

BUSY_S = 10.0
"""Timeout for a store locked by another program."""


FIRST = {"experiments": "experiment_id", "runs": "run_uuid", "tags": "run_uuid", "metrics": "run_uuid", "params": "run_uuid"}
"""Tables that MLflow makes first, each with one of its columns."""
VERSION = "alembic_version"
REVISION = re.compile(r"^revision\b.*?=\s*[\"'](\w+)[\"']", re.MULTILINE)
OTHER = "move it away, or choose another --results or MLFLOW_TRACKING_URI"


def check_store(path: Path) -> None:
    """Raise sqlite3.Error or OSError if an existing store is not writable or holds another program's tables."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_file():
        raise OSError("not a file; remove it")
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            check_tables(connection)
        finally:
            connection.execute("ROLLBACK")


def check_tables(connection: sqlite3.Connection) -> None:
    """Raise OSError if there are tables, but not those of the installed MLflow or of an earlier one."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    names = {str(name) for (name,) in connection.execute(query)}
    columns = {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in FIRST}
    found = connection.execute(f"SELECT * FROM {VERSION}").fetchall() if VERSION in names else []  # noqa: S608
    needed = set(FIRST) if found else names - {VERSION}  # the first tables may be there alone, of one that was killed
    if other := sorted(name for name in needed if FIRST.get(name, "") not in columns.get(name, ())):
        what = f"without MLflow's table {other[0]}" if found else f"as {other[0]}"
        raise OSError(f"holds tables of another program, {cut(what)}; {OTHER}")
    revision = str(found[0][0]) if found else ""
    if revision and (known := known_revisions()) and revision not in known:
        raise OSError(f"its revision {cut(revision)} is of no version of MLflow up to the installed one; {OTHER}")


@cache
def known_revisions() -> frozenset[str]:
    """Return the revisions of tables that the installed MLflow can bring up to date; none if its files tell none."""
    spec = find_spec("mlflow")
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    paths = [path for folder in folders for path in Path(folder).glob("store/db_migrations/versions/*.py")]
    return frozenset(found for path in paths for found in REVISION.findall(path.read_text(encoding="utf-8")))


def move_addresses(results: Path) -> None:
    """Update the store's absolute artifact addresses, or MLflow would recreate a moved results folder at its old path."""
    path = results / "mlflow.db"
    if not path.is_file():
        return
    root = (results.resolve() / "mlartifacts").as_uri()
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            query = f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 (names from above)
            for row, address in connection.execute(query).fetchall():
                _, ours, rest = str(address).rpartition("/mlartifacts/")
                moved = f"{root}/{rest if ours else 'Default'}"
                if moved != address and str(address).startswith(("file:", "/")) and (ours or table == "experiments"):
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (moved, row))  # noqa: S608
