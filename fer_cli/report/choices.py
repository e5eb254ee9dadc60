"""Which options of a study a report uses, and on which data sets the study has finished runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fer_cli.choices import last_choice
from fer_cli.config import Compute
from fer_cli.data.kept import About
from fer_cli.errors import DamagedError, FerError
from fer_cli.outputs import RESULT
from fer_cli.plan import Plan, make_plan
from fer_cli.report.collect import find_results
from fer_cli.results import Result, read_result
from fer_cli.study import Choice, load_study

Found = dict[str, Result | DamagedError]
"""Run id -> its result, or its damage."""


def fill_choice(given: Choice, last: Choice, data: str | None, recipe: bool | None = None) -> Choice:
    """Return options for a data set: those given, else those of the last ``fer ablate`` where they still apply.

    ``recipe``: whether arms get the settings that ``fer search`` chose; None: as in the last run.
    """
    like = data == last.data
    same = like and given.profile in {"", last.profile}
    return Choice(
        given.profile or last.profile,
        data,
        given.seeds or (last.seeds if same else None),
        given.split or (last.split if like else None),
        given.epochs or (last.epochs if same else None),
        (same and last.recipe and not given.settings) if recipe is None else recipe,
        given.settings if given.settings is not None else (last.settings if same and not recipe else None),
    )


def find_plans(
    name: str, compute: Compute, given: Choice, strict: bool, describe: About, recipe: bool | None = None
) -> Iterator[tuple[Plan, Found, bool]]:
    """Yield a study's plan on each data set with a finished run of it, the results, and whether the set was chosen for it.

    ``strict``: raise StudyError or DataError if the study cannot run on the given set, or on its own.
    """
    last = last_choice(load_study(name), compute.results)
    seen: set[str] = set()
    for data in [given.data] if given.data else [last.data, None, *find_sets(compute.results)]:
        try:
            plan = make_plan(name, fill_choice(given, last, data, recipe), compute, describe=describe)
        except FerError:
            if strict and (given.data or (data is None and not seen)):
                raise
            continue  # the study cannot run on that set
        found = {} if plan.data in seen else find_results(plan)
        seen.add(plan.data)
        if any(isinstance(result, Result) for result in found.values()):
            yield plan, found, bool(given.data) or data in {None, last.data}


def find_sets(results: Path) -> list[str]:
    """Return the names of the sets that finished runs were trained on, sorted."""
    names = set()
    for path in (results / "runs").glob(f"*/{RESULT}"):
        try:
            names.add(read_result(path.parent).config.data.name)
        except DamagedError:
            continue
    return sorted(names)
