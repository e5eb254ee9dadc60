"""The file of MLflow's own store in a results folder, ``mlflow.db``: whether it is writable, and its artifact addresses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

BUSY_S = 10.0
"""Timeout for a store locked by another program."""


def check_store(path: Path) -> None:
    """Raise sqlite3.Error or OSError if an existing store is not writable."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_file():
        raise OSError("not a file; remove it")
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute("ROLLBACK")


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
