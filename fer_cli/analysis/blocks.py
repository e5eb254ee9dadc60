"""Recognition and mutual information by block size (He 2025, Table 3).

The paper gives an accuracy and an "average mutual information" for blocks of 1x1, 2x2, 5x5 and 7x7 and for positive and
negative expressions, without defining them. From 1x1 to 7x7 accuracy rises and information falls, so n x n must be the
number of cells. Here the maps of stages 2 to 4 are resized to 14x14, concatenated and averaged over the cells of an n x n
grid. Accuracy: all cells, standardised and reduced to at most 128 principal components, are classified by multinomial
logistic regression over all classes; the share of the group's test images that are recognised. Information: each cell's
standardised features are quantised by k-means with 8 centres; mutual information of code and label in bits, over test
images of the group and neutral ones, averaged over cells. Its bounds are 1.585 bits (positive and neutral: 3 labels) and
2.322 bits (negative and neutral: 5 labels); the paper's 1.115 for positive ones exceeds the 1 bit of two labels, so it must
include a third one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fer_cli.analysis.outcome import GROUPS, TRAINS, Group, cache_result, groups_of, note_none, summarise
from fer_cli.blocks import Block, Cell, Note, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan

VERSION = 1
GRID = (1, 2, 5, 7)
MOST = 4000  # most training images used, drawn at random: their cells must fit into memory


def block_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return recall, mutual information with the class, and between cells, by grid, arm and group."""
    groups, notes = groups_of(plan), list[str]()
    numbers: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        if not has_stages(group.planned[0]):
            notes.append(f"blocks: {group.label} is omitted: its network has no stages with feature maps")
        elif group.done:
            numbers[group.label] = [measure_blocks(item, compute) for item in group.done]
    groups = [group for group in groups if has_stages(group.planned[0])]
    known = [values for each in numbers.values() for values in each]
    if not known:
        return [*map(Note, notes)] or [note_none(plan, "blocks", TRAINS)]
    names = [name for name in GROUPS if any(name in values["labels"] for values in known)]
    if not names:
        return [*map(Note, notes), Note("blocks: not computed; the set has no positive or negative expressions")]
    tables = [table_of(kind, groups, names, numbers) for kind in KINDS]
    if any(values["train"] > MOST for values in known):
        notes.append(f"blocks: fitted on {MOST} training images drawn at random")
    return [*tables, *map(Note, notes)]


def has_stages(item: Item) -> bool:
    """Return whether a run's network has stages with feature maps."""
    return item.run.config.model.network.stages


def measure_blocks(item: Item, compute: Compute) -> dict[str, Any]:
    """Return the cached measurements of one finished run."""

    def measure() -> dict[str, Any]:
        from fer_cli.analysis.information import block_numbers
        from fer_cli.analysis.reopen import reopen

        return block_numbers(reopen(item, compute), GRID, MOST)

    values: dict[str, Any] = cache_result(item, "blocks", VERSION, {"grid": GRID, "most": MOST}, measure)
    return values


KINDS = {
    "recall": (
        "Recognition from the means of n×n cells in %, mean ± sd (n)",
        [
            "maps of stages 2 to 4 at 14×14, averaged over the cells of an n×n grid; logistic regression over all classes "
            "on at most 128 principal components; share of the group's test images that are recognised",
        ],
    ),
    "information": (
        "Mutual information of a cell's code and the class in bits, mean over cells ± sd (n)",
        [
            "code: k-means of the cell's features, 8 centres; over test images of the group and neutral ones; by chance: "
            "with shuffled labels, the bias of estimating from few images",
        ],
    ),
    "between": (
        "Mutual information of two cells' codes in bits, mean over pairs of cells ± sd (n)",
        ["over the same test images; for a single cell: the entropy of its code"],
    ),
}
"""Measure -> title and notes of its table."""


def table_of(kind: str, groups: list[Group], names: list[str], numbers: dict[str, list[dict[str, Any]]]) -> Table:
    """Return the table of one measure: a row per arm and group of classes, a column per grid."""
    title, notes = KINDS[kind]
    columns = [f"{n}×{n}" for n in GRID]
    columns += {"recall": [], "information": ["at most", "by chance, 7×7"], "between": ["at most"]}[kind]
    rows = []
    for group in groups:
        runs = numbers.get(group.label, [])
        for name in names:
            planned = len(group.planned)
            found = [[values["grids"][str(n)].get(name, {}) for values in runs] for n in GRID]
            texts: list[Cell] = [cell(kind, values, planned) for values in found]
            if kind == "information":
                bounds = {f"{values['bound'][name]:.3f}" for values in runs if name in values["bound"]}
                texts.append("/".join(sorted(bounds)))
                texts.append(cell("chance", found[-1], planned))
            elif kind == "between":
                texts.append("3.000")
            rows.append((f"{group.label}, {name}", texts))
    labels = {name: members for each in numbers.values() for values in each for name, members in values["labels"].items()}
    members = [f"{name}: {', '.join(labels[name])}" for name in names if name in labels]
    return Table(title, columns, rows, notes if kind == "recall" else [*notes, *members])


def cell(kind: str, values: list[dict[str, float | None]], planned: int) -> Number:
    """Return one table cell, recall in percent."""
    return summarise([value.get(kind) for value in values], planned, "%" if kind == "recall" else "plain")
