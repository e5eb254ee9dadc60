"""Why scores are no evidence about a method: underfitted networks, data leakage, the majority-class baseline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from fer_cli.blocks import MARKS, Mark
from fer_cli.data.importers.hints import few
from fer_cli.metrics import majority_baseline
from fer_cli.overlap import leak_of
from fer_cli.plan import Item, Plan
from fer_cli.report.collect import Cell, Cells, Point, history_file
from fer_cli.results import Result, read_final_accuracy

UNDERFITTED = 0.5  # a network is underfitted if its final accuracy on correctly labelled training images is below this
ESTIMATED = "on correctly labelled images, estimated,"
Place = tuple[str, Point]
"""Arm and grid point of a cell."""


@dataclass(frozen=True)
class Weak:
    """The underfitted runs of a cell: their final training accuracies, and its number of trainings."""

    accuracies: tuple[float, ...]
    trainings: int
    estimated: bool = False
    """Whether some accuracies are estimates for correctly labelled images alone."""

    def __str__(self) -> str:
        mean = 100 * sum(self.accuracies) / len(self.accuracies)
        which = f"{ESTIMATED} " if self.estimated else ""
        return f"underfitted in {len(self.accuracies)}/{self.trainings} runs (final training accuracy {which}{mean:.1f} %)"


@dataclass(frozen=True)
class Doubts:
    """The red flags of a report's cells."""

    underfitted: dict[Place, Weak] = field(default_factory=dict)
    leaky: dict[Place, str] = field(default_factory=dict)
    """Cell -> how test images or people take part in training or selection."""

    def marks(self, cell: Cell) -> tuple[Mark, ...]:
        """Return the red flags of a cell."""
        place = (cell.arm, cell.at)
        flags: dict[Mark, bool] = {"underfitted": place in self.underfitted, "leaky": place in self.leaky}
        return tuple(mark for mark, found in flags.items() if found)

    def why(self, cell: Cell, leaks: bool = False) -> str:
        """Return why a cell's scores are no evidence about its arm, "" if they are; ``leaks``: leakage is the subject."""
        place = (cell.arm, cell.at)
        if place in self.underfitted:
            return str(self.underfitted[place])
        return "" if leaks else self.leaky.get(place, "")

    def legend(self, cells: Iterable[Cell]) -> list[str]:
        """Return a line for each red flag among cells."""
        shown = list(cells)
        lines = []
        weak = {cell.arm: None for cell in shown if "underfitted" in self.marks(cell)}
        if weak:
            found = {arm: [one for (name, _), one in self.underfitted.items() if name == arm] for arm in weak}
            arms = few([describe_weak(arm, some) for arm, some in found.items()])
            which = f"{ESTIMATED} " if any(one.estimated for some in found.values() for one in some) else ""
            limit = f"final training accuracy {which}below {100 * UNDERFITTED:.0f} %"
            lines.append(f"{MARKS['underfitted']} underfitted, no evidence about the method ({limit} in some runs): {arms}")
        leaks: dict[str, dict[str, None]] = {}
        for cell in shown:
            if "leaky" in self.marks(cell):
                leaks.setdefault(self.leaky[cell.arm, cell.at], {})[cell.arm] = None
        lines += [f"{MARKS['leaky']} {why}: {few(list(arms))}" for why, arms in leaks.items()]
        return lines


def describe_weak(arm: str, found: list[Weak]) -> str:
    """Return an arm with its number of underfitted trainings and their mean training accuracy."""
    accuracies = [accuracy for weak in found for accuracy in weak.accuracies]
    mean = 100 * sum(accuracies) / len(accuracies)
    return f"{arm} {len(accuracies)}/{sum(weak.trainings for weak in found)} ({mean:.1f} %)"


def find_doubts(plan: Plan, cells: Cells) -> Doubts:
    """Return the red flags of all cells."""
    found = Doubts()
    items: dict[Place, list[Item]] = {}
    for item in plan.items:
        items.setdefault((item.run.arm, item.run.at), []).append(item)
    for place, cell in cells.items():
        if weak := find_weak(cell, items[place]):
            found.underfitted[place] = weak
        if leak := find_leak(cell):
            found.leaky[place] = leak
    return found


def find_weak(cell: Cell, items: Iterable[Item]) -> Weak | None:
    """Return the underfitted trainings of a cell, None without any."""
    trainings = {
        (item.network or item).run_id: final_training_accuracy(item, cell.results[item.run.seed])
        for item in items
        if item.run.seed in cell.results
    }
    known = [accuracy for accuracy in trainings.values() if accuracy is not None]
    short = [accuracy for accuracy in known if accuracy.share < UNDERFITTED]
    estimated = any(accuracy.estimated for accuracy in short)
    return Weak(tuple(accuracy.share for accuracy in short), len(known), estimated) if short else None


class Accuracy(NamedTuple):
    """A final accuracy on training images; ``estimated``: for those with a correct label, by their expected share."""

    share: float
    estimated: bool


def final_training_accuracy(item: Item, result: Result) -> Accuracy | None:
    """Return the final accuracy of a run's network on training images with a correct label, None without history.

    The network of a run that trains none is that of the run it starts from.
    """
    if (trained := item.network) is None:
        return None
    share = read_final_accuracy(history_file(trained, result))
    if share is None:
        return None
    config = trained.run.config
    wrong = config.data.wrong_share(len(result.data.classes)) if config.learning.confident == "none" else 0.0
    return Accuracy(share / max(1e-9, 1 - wrong), wrong > 0)


def find_leak(cell: Cell) -> str:
    """Return how test images, or the people in them, take part in training or selection; "" if they do not."""
    return leak_of(cell.ordered, cell.leaky)


def baseline(cells: Iterable[Cell], metric: str) -> float | None:
    """Return the score of the majority-class baseline, averaged over the results' test parts; None without results."""
    confusions = [result.metrics[cell.part].confusion for cell in cells for result in cell.results.values()]
    values = [majority_baseline(confusion)[metric] for confusion in confusions]
    return sum(values) / len(values) if values else None


OVERLAP = "the training sets of different folds or draws overlap"
