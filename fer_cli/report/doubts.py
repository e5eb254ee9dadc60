"""Why a figure may say less than it seems to: networks that hardly learned, and what guessing would give."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from fer_cli.ablate import Item, Plan
from fer_cli.config import K_FOLD
from fer_cli.report.collect import Cell, history_file

HARDLY = 0.5
"""Share of its rightly labelled training images that a network must tell in its last epoch, else it has hardly learned."""


def learned_share(item: Item) -> float | None:
    """Return the share of the training images, augmented, that the network of a finished run told in its last epoch.

    It is a share of the rightly labelled ones, as planted label noise is not to be learned. None where a run has no history.
    """
    trained = item.trained or item
    path = history_file(trained, item.folder.result())
    if item.run.config.features.fitted or not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not rows[-1].get("train/accuracy"):
        return None
    return float(rows[-1]["train/accuracy"]) / max(1e-9, 1 - trained.run.config.data.label_noise)


def hardly_learned(plan: Plan) -> list[str]:
    """Return a line for each arm some of whose trainings ended before they had learned their own training images."""
    lines = []
    for arm in plan.study.arms:
        done = [item for item in plan.items if item.run.arm == arm and item.folder.status == "done"]
        trainings = {(item.trained or item).run_id: item for item in done}
        shares = [share for item in trainings.values() if (share := learned_share(item)) is not None]
        short = [share for share in shares if share < HARDLY]
        if short:
            lines.append(
                f"{arm}: hardly learned in {len(short)} of {len(shares)} trainings, which in the last epoch told "
                f"{sum(short) / len(short):.0%} of their own training images, augmented; such scores say how far training "
                "came, and little of what the arm is worth"
            )
    return lines


def commonest(cells: Iterable[Cell], metric: str) -> float | None:
    """Return what always answering the commonest class of each test part scores on average; None where not defined."""
    values = []
    for cell in cells:
        for result in cell.results.values():
            counts = [sum(row) for row in result["metrics"][cell.part]["confusion"]]  # row: truth
            present = sum(count > 0 for count in counts)
            values.append({"accuracy": max(counts) / sum(counts), "macro_recall": 1 / present}.get(metric))
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def interval_line(plan: Plan) -> str:
    """Return what the intervals of differences leave out."""
    several = len({item.run.seed for item in plan.items}) > 1
    folds = several and any(d.split in K_FOLD and d.test is None for d in (item.run.config.data for item in plan.items))
    shared = "; folds share most of their training images, which intervals take as independent: they are too narrow"
    return "intervals are not corrected for the number of comparisons" + (shared if folds else "")
