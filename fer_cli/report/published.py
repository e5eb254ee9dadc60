"""The paper's tables beside ours: each in its own form, theirs and ours with data set, n and protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fer_cli.blocks import DASH, Number, Table
from fer_cli.blocks import Cell as Entry
from fer_cli.config import METRICS, RunConfig
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells, Point
from fer_cli.report.doubts import Doubts
from fer_cli.report.tables import factor_label, layout
from fer_cli.study import Published

TABLE = re.compile(r"(Tables \d+(?:, \d+)*(?: and \d+)?|Table \d+|Fig(?:ure)?s \d+(?:, \d+)*(?: and \d+)?|Fig(?:ure)? \d+)")


def published_tables(plan: Plan, cells: Cells, doubts: Doubts) -> list[Table]:
    """Return a table per table of the paper and metric; none without published values."""
    paper = plan.study.paper
    if paper is None or not paper.published:
        return []
    groups: dict[tuple[str, str], list[Published]] = {}
    for one in paper.published:
        found = TABLE.search(one.where)
        groups.setdefault((found[1] if found else one.where, one.metric), []).append(one)
    return [
        published_table(f"{paper.cite}, {where}: {METRICS[metric].label} in %", metric, values, plan, cells, doubts)
        for (where, metric), values in groups.items()
    ]


def published_table(title: str, metric: str, values: list[Published], plan: Plan, cells: Cells, doubts: Doubts) -> Table:
    """Return one table: the paper's rows and data sets, then ours at the study's first grid point."""
    sets = list(dict.fromkeys(one.data for one in values))
    at = first_point(plan)
    rows: list[tuple[str, list[Entry]]] = []
    shown = []
    for arm in dict.fromkeys(one.arm for one in values):
        theirs: list[Entry] = []
        for name in sets:
            found = [Number(one.value) for one in values if (one.arm, one.data) == (arm, name)]
            theirs.append(found[0] if len(found) == 1 else ", ".join(number.text for number in found) or DASH)
        cell = cells[arm, at]
        n, planned = len(cell.results), len(cell.planned)
        ours = Number(cell.mean(metric), cell.sd(metric), n=n, planned=planned, marks=doubts.marks(cell))
        rows.append((arm, [*theirs, ours]))
        shown.append(cell)
    columns = [*(f"theirs: {name}" for name in sets), describe_ours(plan, at)]
    notes = doubts.legend(shown)
    notes += [f"{one.arm} on {one.data}: {text}" for one in values if (text := describe_source(one))]
    notes += describe_others(sets, plan)
    return Table(title, columns, rows, notes, kind="published")


def describe_others(sets: Sequence[str], plan: Plan) -> list[str]:
    """Return how the paper's values of each data set were obtained."""
    same = [name for name in sets if is_set(name, plan, [item.run.config for item in plan.items])]
    others = [name for name in sets if name not in same]
    which = f" on {', '.join(others)}" if same else ""
    lines = [f"theirs{which} were obtained on other data, splits and seeds, and are not comparable"] if others else []
    return lines + ([f"theirs on {', '.join(same)} were obtained with other splits and seeds"] if same else [])


def is_set(name: str, plan: Plan, configs: Iterable[RunConfig]) -> bool:
    """Return whether the paper's data set is a plan's: if its name, or its name and test part, has the same letters."""
    parts = {config.data.test_part for config in configs}
    names = [plan.data, *(f"{plan.data}{part}" for part in parts if len(parts) == 1)]
    return plain(name) in map(plain, names)


def plain(name: str) -> str:
    """Return the letters and digits of a name in lower case; a plus counts, as CK+ is not CK."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def describe_ours(plan: Plan, at: Point) -> str:
    """Return the heading of our column: data set, grid values, n and split."""
    splits = sorted({item.run.config.data.split for item in plan.items if item.run.config.sets})
    where = "".join(f", {factor_label(key)} {value}" for key, value in at)
    n = len({item.run.seed for item in plan.items})
    return f"ours: {plan.data}{where}, n = {n}{f', split {chr(47).join(splits)}' if splits else ''}"


def describe_source(one: Published) -> str:
    """Return what a published value's source says besides the table that it names first, and its note."""
    found = TABLE.match(one.where)
    place = one.where[found.end() :] if found else one.where if TABLE.search(one.where) else ""
    return "; ".join(filter(None, [place.strip(" ,;"), one.note]))


def first_point(plan: Plan) -> Point:
    """Return the first grid point, which has the study's own settings."""
    shape = layout(plan)
    return shape.point(plan, shape.columns[0], shape.others[0])
