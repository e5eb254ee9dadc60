"""Find a run by the beginning of its id, and the runs that start from another."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from fer_cli.config import RunConfig
from fer_cli.errors import DamagedError, ResultsError
from fer_cli.escape import cut
from fer_cli.inventory.rows import Row, run_ids
from fer_cli.runs import RunFolder, read_config
from fer_cli.tasks import task_of

MOST = 6
"""Ids named in a message."""
MOST_NAMES = 20_000
"""Ids searched for the nearest."""


def match_id(text: str, known: Iterable[str], where: str) -> str:
    """Return the one known id that is ``text`` or begins with it; raises ResultsError if none or several do."""
    names = list(known)
    if text in names:
        return text
    found = [name for name in names if text and name.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        raise ResultsError(
            f"{cut(text)}: {len(found)} runs begin with it: {', '.join(found[:MOST])}{more}; give more digits"
        )
    raise ResultsError(f"no run {cut(repr(text))} {where}{name_nearest(text, names)}")


def name_nearest(text: str, names: Iterable[str]) -> str:
    """Return ``"; nearest: a, b, c"``: the ids that share the longest beginning with a text, then the most characters."""
    short = cut(text)

    def closeness(name: str) -> tuple[int, float]:
        shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(short, name, strict=False))
        return -len(list(shared)), -difflib.SequenceMatcher(None, short, name).ratio()

    found = sorted(sorted(names)[:MOST_NAMES], key=closeness)[:3]
    return f"; nearest: {', '.join(map(cut, found))}" if found else ""


def find_run(results: Path, text: str) -> RunFolder:
    """Return the folder of the run whose id begins with ``text``; raises ResultsError if none or several do."""
    return RunFolder(results, match_id(text, run_ids(results), f"under {results}; fer runs lists all"))


def find_dependents(results: Path, rows: Iterable[Row], wanted: Iterable[str], deep: bool = False) -> dict[str, list[str]]:
    """Return for each wanted run the runs that took or will take its weights or training; ``deep``: and for each of those.

    Finished runs name the runs they started from; others are matched by the settings of the run they require.
    """
    every = {row.run_id: row for row in rows}
    after: dict[str, list[str]] = {}
    for row in every.values():
        for name in row.starts_from:
            after.setdefault(name, []).append(row.run_id)
    unfinished = read_configs(results, (row for row in every.values() if row.state != "done"))
    needs = {name: required(config) for name, config in unfinished.items()}
    found: dict[str, list[str]] = {}
    left = list(wanted)
    while left:
        if (name := left.pop()) in found:
            continue
        mine = read_configs(results, [every[name]] if name in every and needs else []).get(name)
        waiting = [other for other, configs in needs.items() if other != name and mine is not None and mine in configs]
        found[name] = list(dict.fromkeys([*after.get(name, []), *waiting]))
        left += found[name] if deep else []
    return found


def required(config: RunConfig) -> list[RunConfig]:
    """Return the settings of the runs whose weights or training a run takes."""
    task = task_of(config)
    return [one for one in (task.before(config), task.training(config)) if one is not None]


def read_configs(results: Path, rows: Iterable[Row]) -> dict[str, RunConfig]:
    """Return the settings of runs by id, without those that cannot be read."""
    found = {}
    for row in rows:
        with suppress(DamagedError):
            found[row.run_id] = read_config(RunFolder(results, row.run_id).file("config.json"))
    return found


def close_over(wanted: Iterable[str], dependents: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the wanted runs and all that directly or indirectly start from them, dependents first."""
    order: list[str] = []

    def visit(name: str, behind: tuple[str, ...]) -> None:
        if name in order or name in behind:
            return
        for other in dependents.get(name, ()):
            visit(other, (*behind, name))
        order.append(name)

    for name in wanted:
        visit(name, ())
    return order
