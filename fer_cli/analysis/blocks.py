"""Recognition and mutual information by the size of blocks (He 2025, Table 3).

The article gives an accuracy and an "average mutual information" for blocks of 1x1, 2x2, 5x5 and 7x7, for positive and for
negative expressions, and defines neither. Its accuracy rises and its information falls from 1x1 to 7x7, which makes sense
only if n x n is the number of cells: more cells say more together and each of them less. So here the maps of stages 2 to 4
are resized to 14x14 and joined, and their means over the cells of an n x n grid are

- read by multinomial logistic regression on at most 128 principal components of the standardised cells, all classes told
  apart; accuracy is the share of the group's test images that are recognised;
- coded, each cell by itself, by k-means of its standardised features with 8 centres; the information is that of a cell's
  code and the label, in bits, among the group's and neutral test images, averaged over cells.

Group and neutral have 3 labels (positive) and 5 (negative), which bounds the information by 1.585 and 2.322 bits. The
article's 1.115 for positive ones would exceed the 1 bit of two labels, so some third must have been counted there too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fer_cli.analysis.outcome import GROUPS, Group, cache_result, groups_of, summarise
from fer_cli.blocks import Block, Cell, Note, Number, Table
from fer_cli.config import BACKBONES, Compute
from fer_cli.plan import Item, Plan

VERSION = 1
GRID = (1, 2, 5, 7)
MOST = 4000
"""Training images that are read; of more, as many are drawn at random: their cells must fit into memory."""


def block_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return recall, mutual information with the class, and mutual information between cells, per grid, arm and group."""
    groups, notes = groups_of(plan), list[str]()
    numbers: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        if not has_stages(group.planned[0]):
            notes.append(f"blocks: {group.label} is left out: its network has no stages whose maps could be cut into cells")
        elif group.done:
            numbers[group.label] = [numbers_of(item, compute) for item in group.done]
    groups = [group for group in groups if has_stages(group.planned[0])]
    known = [values for each in numbers.values() for values in each]
    if not known:
        return [Note(note) for note in notes or ["blocks: no run is done"]]
    names = [name for name in GROUPS if any(name in values["labels"] for values in known)]
    if not names:
        notes.append("blocks: the classes are no positive and negative expressions; nothing is computed")
        return [Note(note) for note in notes]
    tables = [table_of(kind, groups, names, numbers) for kind in KINDS]
    if any(values["train"] > MOST for values in known):
        notes.append(f"blocks: fitted on {MOST} training images drawn at random")
    return [*tables, *map(Note, notes)]


def has_stages(item: Item) -> bool:
    """Return whether a run's network is one whose maps are read."""
    return BACKBONES[item.run.config.model.backbone].stages


def numbers_of(item: Item, compute: Compute) -> dict[str, Any]:
    """Return the numbers of one finished run."""

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
            "maps of stages 2 to 4 at 14×14, averaged over the cells of an n×n grid; logistic regression on at most 128 "
            "principal components, all classes told apart; share of the group's test images that are recognised",
        ],
    ),
    "information": (
        "Mutual information of a cell's code and the class in bits, mean over cells ± sd (n)",
        [
            "code: k-means of the cell's features, 8 centres; among test images of the group and neutral ones; by chance: "
            "the same with shuffled labels, which is what counting so few images adds",
        ],
    ),
    "between": (
        "Mutual information of two cells' codes in bits, mean over pairs of cells ± sd (n)",
        ["among the same test images; of a single cell: the entropy of its code"],
    ),
}
"""Number -> title and notes of its table."""


def table_of(kind: str, groups: list[Group], names: list[str], numbers: dict[str, list[dict[str, Any]]]) -> Table:
    """Return the table of one number: a row per arm and group of classes, a column per grid."""
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
                texts.append(
                    "/".join(sorted({f"{values['bound'][name]:.3f}" for values in runs if name in values["bound"]}))
                )
                texts.append(cell("chance", found[-1], planned))
            elif kind == "between":
                texts.append("3.000")
            rows.append((f"{group.label}, {name}", texts))
    told = {name: labels for each in numbers.values() for values in each for name, labels in values["labels"].items()}
    members = [f"{name}: {', '.join(told[name])}" for name in names if name in told]
    return Table(title, columns, rows, notes if kind == "recall" else [*notes, *members])


def cell(kind: str, values: list[dict[str, float | None]], planned: int) -> Number:
    """Return one cell; recall in percent."""
    return summarise([value.get(kind) for value in values], planned, "%" if kind == "recall" else "plain")
