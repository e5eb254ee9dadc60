"""Collects results into cells: the values of one arm at one grid point, by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fer_cli.errors import DamagedError, ResultsError
from fer_cli.judge import Images, Side
from fer_cli.overlap import mean_overlap
from fer_cli.plan import Item, Plan
from fer_cli.results import Result
from fer_cli.runs import history_name
from fer_cli.stats import NotTestable, Outcome, rank_test, sample_sd

Point = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Cell:
    """One arm at one grid point: planned seeds and available results."""

    arm: str
    at: Point
    planned: list[int]
    results: dict[int, Result]
    leaky: bool = False  # whether subjects may occur on both sides of the split in all its runs
    part: str = "test"
    """Part of a result whose scores are used, e.g. all test images or those with a detected face."""

    @property
    def complete(self) -> bool:
        """Return whether every planned seed has a result."""
        return set(self.planned) == set(self.results)

    @cached_property
    def seeds(self) -> list[int]:
        """Return the seeds that have a result, in order."""
        return sorted(self.results)

    @cached_property
    def ordered(self) -> list[Result]:
        """Return the results ordered by seed."""
        return [self.results[seed] for seed in self.seeds]

    def values(self, metric: str) -> list[float]:
        """Return the metric of each seed, in the order of ``seeds``."""
        return [result.metrics[self.part][metric] for result in self.ordered]

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds, or None while seeds are missing."""
        values = self.values(metric)
        return sum(values) / len(values) if self.complete and values else None

    def sd(self, metric: str) -> float | None:
        """Return the sample standard deviation over seeds."""
        return sample_sd(self.values(metric))

    @cached_property
    def overlap(self) -> float:
        """Return mean n_test/n_train of resampled splits, with validation counted as training; 0 for one test part."""
        return mean_overlap(self.results.values())

    def side(
        self, metric: str, hashed: str, doubt: str = "", images: Callable[[], Images | NotTestable] | None = None
    ) -> Side:
        """Return the scores as a side of a comparison; ``hashed``: the hash that identifies test parts."""
        scores = dict(zip(self.seeds, self.values(metric), strict=True))
        tested = [getattr(result.data, hashed) for result in self.ordered]
        return Side(self.arm, self.planned, scores, tested, self.overlap, doubt, images, self.simulated)

    @property
    def simulated(self) -> bool:
        """Return whether every seed simulates its own test samples, of which hashes may be alike."""
        return any(result.config.sequences.simulation is not None for result in self.results.values())

    @property
    def one_part(self) -> bool:
        """Return whether all seeds were tested on the same published images."""
        parts = {result.data.test_hash or result.data.split_hash for result in self.results.values()}
        return not self.overlap and not self.simulated and len(parts) == 1

    def rank_test(self, other: Cell, metric: str) -> Outcome:
        """Return the signed-rank test against ``other``, or why there is none: it needs independent test parts."""
        if self.one_part or other.one_part:
            return NotTestable("all seeds were tested on one part, so the signed-rank test holds for these images alone")
        tested = {result.metrics[cell.part].n for cell in (self, other) for result in cell.results.values()}
        images = tested.pop() if metric == "accuracy" and len(tested) == 1 else None
        return rank_test(self.values(metric), other.values(metric), images, max(self.overlap, other.overlap))


def common_hash(cells: Iterable[Cell]) -> str:
    """Return the name of the hash that tells test parts apart: older results lack that of the test part alone."""
    old = any(result.data.test_hash is None for cell in cells for result in cell.results.values())
    return "split_hash" if old else "test_hash"


Cells = dict[tuple[str, Point], Cell]


def find_results(plan: Plan) -> dict[str, Result | DamagedError]:
    """Return, by run id, each finished run's result or the reason why the run is damaged; each is read once."""
    found = {item.run_id: item.folder.find_result(item.run.config) or item.folder.damage for item in plan.items}
    return {run_id: result for run_id, result in found.items() if result is not None}


def collect(plan: Plan, found: Mapping[str, Result | DamagedError] | None = None) -> Cells:
    """Return the cells of a plan by arm and grid point, in its order; ``found``: the return value of ``find_results``."""
    known = find_results(plan) if found is None else found
    groups: dict[tuple[str, Point], list[Item]] = {}
    for item in plan.items:
        groups.setdefault((item.run.arm, item.run.at), []).append(item)
    return {
        (arm, at): Cell(
            arm,
            at,
            sorted(item.run.seed for item in items),
            {
                item.run.seed: check_settings(item, result)
                for item in items
                if isinstance(result := known.get(item.run_id), Result)
            },
            leaky=all(item.run.config.data.ignores_people for item in items),
        )
        for (arm, at), items in groups.items()
    }


def history_file(item: Item, result: Result) -> Path:
    """Return the history of the selected training."""
    return item.folder.file(history_name(result))


def check_settings(item: Item, result: Result) -> Result:
    """Return the result; raises ResultsError if its settings differ from the plan's, e.g. by a changed default."""
    path = item.folder.file("result.json")
    if result.config != item.run.config:
        flat, wanted = result.config.flat(), item.run.config.flat()
        changed = ", ".join(key for key in wanted if flat.get(key) != wanted[key])
        raise ResultsError(f"{path}: made with another value of {changed}; remove {item.folder.path} and rerun fer ablate")
    return result
