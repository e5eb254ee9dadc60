"""The scores of cells as the sides of a comparison, with the answers by test image where all seeds share one test part.

``fer_cli.judge`` weighs two sides; the report's differences and its claims are both weighed here, so that they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from fer_cli.config import METRICS, Compute, load
from fer_cli.data.identity import known_codes
from fer_cli.data.kept import is_built
from fer_cli.data.manifest import load_info, read_manifest
from fer_cli.errors import DataError
from fer_cli.judge import Case, Images, Side, Weighed, weigh
from fer_cli.plan import Item, Plan
from fer_cli.report.collect import Cell, common_hash
from fer_cli.report.doubts import Doubts, Place
from fer_cli.stats import NotTestable, pseudo_values
from fer_cli.study import Claim


@dataclass(frozen=True)
class Scales:
    """What turns cells into sides: the plan's items, their red flags, and the machine with the data sets."""

    plan: Plan
    doubts: Doubts
    compute: Compute

    @cached_property
    def items(self) -> dict[Place, list[Item]]:
        """The plan's items by cell."""
        found: dict[Place, list[Item]] = {}
        for item in self.plan.items:
            found.setdefault((item.run.arm, item.run.at), []).append(item)
        return found

    def side(self, cell: Cell, metric: str, hashed: str = "test_hash", doubt: str = "") -> Side:
        """Return the scores of a cell with its answers by image; ``hashed``: the hash that identifies test parts."""
        items = self.items[cell.arm, cell.at]
        return cell.side(metric, hashed, doubt, lambda: read_images(items, cell, metric, self.compute))

    def sides(self, cells: list[Cell], metric: str, leaks: bool = False) -> list[Side]:
        """Return the scores of cells that are compared, with their red flags; ``leaks``: see ``Doubts.why``."""
        hashed = common_hash(cells)
        return [self.side(cell, metric, hashed, self.doubts.why(cell, leaks)) for cell in cells]

    def compare(self, ours: Cell, theirs: Cell, metric: str) -> Weighed | NotTestable:
        """Return the difference of two cells' means with its spread, whatever their red flags."""
        hashed = common_hash([ours, theirs])
        claim = Claim(text="difference", arm=ours.arm, over=theirs.arm, metric=metric, source="table")
        return weigh(Case(claim, ours.at, self.side(ours, metric, hashed), self.side(theirs, metric, hashed)))


def read_images(items: list[Item], cell: Cell, metric: str, compute: Compute) -> Images | NotTestable:
    """Return the contributions of test images to a metric by seed (S, N), with the people in them if the set is built."""
    import pandas as pd

    folders = {item.run.seed: item.folder for item in items}
    values, samples = [], None
    for seed in cell.seeds:
        result = cell.results[seed]
        columns = ["part", "sample", "label", "predicted"]
        table = pd.read_parquet(folders[seed].file(result.predictions), columns=columns)
        table = table[table["part"] == cell.part].sort_values("sample", kind="stable")
        names = tuple(table["sample"].astype(str))
        if samples is not None and names != samples:
            return NotTestable(f"{cell.arm}: seeds were tested on different images")
        samples = names
        truth, answers = (pd.Categorical(table[name], result.data.classes).codes.astype(np.int64) for name in columns[2:])
        values.append(pseudo_values(truth, answers, len(result.data.classes), load(METRICS[metric].code)))
    if samples is None:
        return NotTestable(f"{cell.arm}: no seed is done")
    data = cell.ordered[0].config.data
    return Images(np.array(values), samples, find_people(compute.data_root, data.test or data.name, samples))


def find_people(data_root: Path, name: str, samples: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the person in each sample, or None if the set is not built, has changed, or does not name people."""
    people = _read_people(data_root, name)
    if any(sample not in people for sample in samples):
        return None
    return tuple(people[sample] for sample in samples)


@cache
def _read_people(data_root: Path, name: str) -> Mapping[str, str]:
    """Return the person in each sample of a built set; {} unless all are named."""
    if not is_built(data_root, name):
        return {}
    try:
        table = read_manifest(data_root / name, load_info(data_root, name), ["sample", "subject"])
    except DataError:
        return {}
    if (known_codes(table["subject"]) < 0).any():
        return {}
    return dict(zip(table["sample"].astype(str), table["subject"].astype(str), strict=True))
