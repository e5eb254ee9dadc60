"""Scores by class of simulated interaction, beside the published ones (Fan 2025, Tables 3 and 4).

``intensity``: mean probability of the true emotion tag; the paper does not define its "emotional intensity", and its values
lie near chance. ``categories``: precision, recall and F1 of each category of interaction.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_cli.analysis.outcome import Group, groups_on, note_none, summarise
from fer_cli.blocks import Block, Table, decimal
from fer_cli.blocks import Cell as Entry
from fer_cli.config import Compute
from fer_cli.metrics import per_class
from fer_cli.outputs import PREDICTIONS
from fer_cli.plan import Item, Plan

AVERAGE = "Average"
SCORES = ("precision", "recall", "F1")


def intensity_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return the mean probability of the true tag, per tag and arm, with the paper's values."""
    groups = groups_on(plan, "tags")
    title = "Mean probability of the true tag: mean ± sd (n)"
    table = tabulate(plan, groups, title, "Table 3", true_probabilities)
    if table is None:
        return [note_none(plan, "intensity", "simulates tags")]
    chance = 1 / (len(table.rows) - 1)
    table.notes.append(f"SIMULATION; guessing gives {chance:.3f}{describe_published(plan, 'Table 3')}")
    return [table]


def describe_published(plan: Plan, published: str) -> str:
    """Return the range of a table's published values in words, and of its averages if it has any; "" without values."""
    paper = plan.study.paper.tables.get(published, {}) if plan.study.paper else {}
    kinds = {
        "values": [value for name, row in paper.items() if name != AVERAGE for value in row.values()],
        "averages": list(paper.get(AVERAGE, {}).values()),
    }
    said = [f"{kind} {min(values):.3f} to {max(values):.3f}" for kind, values in kinds.items() if values]
    return f"; published: {', '.join(said)}" if said else ""


def categories_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return precision, recall and F1 of each category per arm, with the paper's values."""
    groups = groups_on(plan, "interaction")
    tables = []
    for place, score in enumerate(SCORES):
        measure = {0: precisions, 1: recalls, 2: f1_scores}[place]
        if (
            table := tabulate(plan, groups, f"{score} by category: mean ± sd (n)", f"Table 4, {score}", measure)
        ) is not None:
            guessed = f"SIMULATION; guessing among {len(table.rows)} categories gives about {1 / len(table.rows):.3f}"
            table.notes.append(guessed + describe_published(plan, f"Table 4, {score}"))
            tables.append(table)
    return [*tables] or [note_none(plan, "categories", "simulates interaction")]


def tabulate(
    plan: Plan, groups: list[Group], title: str, published: str, measure: Callable[[Item], dict[str, float]]
) -> Table | None:
    """Return a table of one value per class and arm, the published ones in columns of their own; None without results."""
    done = [group for group in groups if group.done]
    if not done:
        return None
    values = {group.arm: [measure(item) for item in group.done] for group in done}
    paper = plan.study.paper.tables.get(published, {}) if plan.study.paper else {}
    theirs = list(dict.fromkeys(arm for row in paper.values() for arm in row))
    rows = []
    for name in next(iter(values.values()))[0]:
        cells: list[Entry] = [summarise([run[name] for run in values[group.arm]], len(group.planned)) for group in done]
        cells += [decimal(paper[name][arm], 3) if arm in paper.get(name, {}) else "" for arm in theirs]
        rows.append((name, cells))
    cite = plan.study.paper.cite if plan.study.paper else ""
    return Table(title, [*values, *(f"{cite}, {published.split(',', maxsplit=1)[0]}: {arm}" for arm in theirs)], rows, [])


def true_probabilities(item: Item) -> dict[str, float]:
    """Return the mean probability that a run gives the true class, by class and on average."""
    import pandas as pd

    table = pd.read_parquet(item.folder.file(PREDICTIONS))
    classes = item.folder.result().data.classes
    found = {name: float(table.loc[table["label"] == name, f"p_{name}"].mean()) for name in classes}
    return {**found, AVERAGE: sum(found.values()) / len(found)}


def _by_class(item: Item, place: int) -> dict[str, float]:
    import numpy as np

    result = item.folder.result()
    values = per_class(np.array(result.metrics["test"].confusion))[place]
    return dict(zip(result.data.classes, values.tolist(), strict=True))


def precisions(item: Item) -> dict[str, float]:
    """Return the precision of each class."""
    return _by_class(item, 0)


def recalls(item: Item) -> dict[str, float]:
    """Return the recall of each class."""
    return _by_class(item, 1)


def f1_scores(item: Item) -> dict[str, float]:
    """Return the F1 of each class."""
    return _by_class(item, 2)
