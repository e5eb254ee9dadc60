"""From a plan and its run folders to cells: the values of one arm at one grid point, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fer_cli.ablate import Item, Plan
from fer_cli.stats import Difference, paired_difference, sample_sd, unpaired_difference

Point = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Cell:
    """Everything known of one arm at one grid point: planned seeds, and the results that are there."""

    arm: str
    at: Point
    planned: list[int]
    results: dict[int, dict[str, Any]]
    """Seed -> result.json."""

    @property
    def complete(self) -> bool:
        """Return whether every planned seed has a result."""
        return set(self.planned) == set(self.results)

    @property
    def seeds(self) -> list[int]:
        """Return seeds with a result, in order."""
        return sorted(self.results)

    def values(self, metric: str) -> list[float]:
        """Return the test metric of each seed, in the order of ``seeds``."""
        return [self.results[seed]["metrics"]["test"][metric] for seed in self.seeds]

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds, or None while seeds are missing."""
        values = self.values(metric)
        return sum(values) / len(values) if self.complete and values else None

    def sd(self, metric: str) -> float | None:
        """Return the sample deviation over seeds."""
        return sample_sd(self.values(metric))

    def against(self, other: Cell, metric: str) -> Difference | None:
        """Return this cell minus ``other``: paired by seed where both used the same splits, else unpaired."""
        if not (self.complete and other.complete) or self.planned != other.planned or not self.results:
            return None
        mine, theirs = ([cell.results[s]["data"]["split_hash"] for s in cell.seeds] for cell in (self, other))
        compare = paired_difference if mine == theirs else unpaired_difference
        return compare(self.values(metric), other.values(metric))


def collect(plan: Plan) -> dict[tuple[str, Point], Cell]:
    """Return the cells of a plan by arm and grid point, in the plan's order."""
    groups: dict[tuple[str, Point], list[Item]] = {}
    for item in plan.items:
        groups.setdefault((item.run.arm, item.run.at), []).append(item)
    return {
        (arm, at): Cell(
            arm,
            at,
            sorted(item.run.seed for item in items),
            {item.run.seed: item.folder.result() for item in items if item.folder.status == "done"},
        )
        for (arm, at), items in groups.items()
    }
