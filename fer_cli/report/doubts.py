"""Caveats: underfitted networks, the majority-class baseline, overlapping folds."""

from __future__ import annotations

from collections.abc import Iterable

from fer_cli.metrics import majority_baseline
from fer_cli.plan import Item, Plan
from fer_cli.report.collect import Cell, Cells, history_file, is_resampled
from fer_cli.results import Result, read_final_accuracy

UNDERFITTED = 0.5  # a network is underfitted if its final accuracy on correctly labelled training images is below this

Weak = dict[str, tuple[list[float], int]]
"""Arm with underfitted runs -> their final training accuracies, and its number of trainings."""


def final_training_accuracy(item: Item, result: Result) -> float | None:
    """Return the final accuracy of a run's network on training images, divided by the expected share of correct labels.

    None without history. The network of a run that trains none is that of the run it starts from.
    """
    if (trained := item.network) is None:
        return None
    share = read_final_accuracy(history_file(trained, result))
    if share is None:
        return None
    config = trained.run.config
    wrong = config.data.wrong_share(len(result.data.classes)) if config.learning.confident == "none" else 0.0
    return share / max(1e-9, 1 - wrong)


def find_underfitted(plan: Plan, cells: Cells) -> Weak:
    """Return the arms with underfitted runs."""
    trainings: dict[str, dict[str, float | None]] = {arm: {} for arm in plan.study.arms}
    for item in plan.items:
        result = cells[item.run.arm, item.run.at].results.get(item.run.seed)
        name = (item.network or item).run_id
        if result is not None and name not in trainings[item.run.arm]:
            trainings[item.run.arm][name] = final_training_accuracy(item, result)
    found = {}
    for arm, accuracies in trainings.items():
        shares = [share for share in accuracies.values() if share is not None]
        if short := [share for share in shares if share < UNDERFITTED]:
            found[arm] = (short, len(shares))
    return found


def underfitted_lines(weak: Weak) -> list[str]:
    """Return a line for each arm with underfitted runs."""
    return [
        f"{arm}: underfitted in {len(short)}/{runs} runs (final training accuracy {100 * sum(short) / len(short):.0f} %); "
        "not evidence about the method"
        for arm, (short, runs) in weak.items()
    ]


def baseline(cells: Iterable[Cell], metric: str) -> float | None:
    """Return the score of the majority-class baseline, averaged over the results' test parts; None without results."""
    confusions = [result.metrics[cell.part].confusion for cell in cells for result in cell.results.values()]
    values = [majority_baseline(confusion)[metric] for confusion in confusions]
    return sum(values) / len(values) if values else None


OVERLAP = "the training sets of different folds or draws overlap"


def has_resampled_splits(plan: Plan) -> bool:
    """Return whether several seeds draw their test parts from the same images."""
    several = len({item.run.seed for item in plan.items}) > 1
    return several and any(is_resampled(item.run.config) for item in plan.items)


def interval_line(plan: Plan) -> str:
    """Return how the intervals of differences were computed, and their limits."""
    line = "intervals are not corrected for the number of comparisons; there is none where all differences are equal"
    if not has_resampled_splits(plan):
        return line
    return (
        f"{line}; {OVERLAP}, so their intervals use the corrected resampled t-test (Nadeau and Bengio 2003: variance times "
        "1/n + n_test/n_train, with validation images counted in n_train)"
    )


def rank_caveat(cells: Iterable[Cell]) -> list[str]:
    """Return a caveat on rank tests over these cells; none if all seeds share one test part."""
    if not any(cell.overlap for cell in cells):
        return []
    return [f"{OVERLAP}: the rank test assumes independent pairs and is not corrected for this, so p is too small"]
