"""Further measures of arms: precision, recall and F1 by class, calibration, and what networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from fer_cli.blocks import Cell as Entry
from fer_cli.blocks import Kind, Number, Table
from fer_cli.metrics import per_class
from fer_cli.outputs import BINS
from fer_cli.plan import Item, Plan
from fer_cli.report.collect import Cell, Cells, Point
from fer_cli.report.doubts import Doubts
from fer_cli.report.published import first_point
from fer_cli.report.tables import describe_spread, headings, layout, row_label
from fer_cli.results import read_calibration
from fer_cli.stats import sample_sd

CLASS_SCORES = ("precision", "recall", "F1")
"""In the order of ``per_class``."""
SHOWN = "F1"
"""The one that every format shows; the others are in HTML alone."""


def mean_number(values: Sequence[float | None], planned: int) -> Number:
    """Return the mean and deviation of the defined values, with their number."""
    known = [value for value in values if value is not None]
    if not known:
        return Number(None)
    return Number(sum(known) / len(known), sample_sd(known), n=len(known), planned=planned)


def class_tables(plan: Plan, cells: Cells, doubts: Doubts) -> list[Table]:
    """Return precision, recall and F1 by class of each arm at the first grid point, means over seeds."""
    shape = layout(plan)
    at = first_point(plan)
    here = [cell for arm in shape.arms if (cell := cells.get((arm, at))) is not None and cell.results]
    if not here:
        return []
    classes = here[0].ordered[0].data.classes
    found = {cell.arm: [class_scores(result.metrics[cell.part].confusion) for result in cell.ordered] for cell in here}
    order = [[result.data.classes for result in cell.ordered] for cell in here]
    if any(names != classes for arm in order for names in arm):
        return []
    where = "".join(f", {key.rsplit('.', 1)[-1].replace('_', ' ')} {value}" for key, value in at)
    tables = []
    for place, name in enumerate(CLASS_SCORES):
        rows: list[tuple[str, list[Entry]]] = []
        for cell in here:
            scores = [
                mean_number([seed[place][code] for seed in found[cell.arm]], len(cell.planned))
                for code in range(len(classes))
            ]
            rows.append((cell.arm, [replace(score, marks=doubts.marks(cell)) for score in scores]))
        only = frozenset() if name == SHOWN else frozenset({"html"})
        title = f"{name} by class in %: {describe_spread(plan)}{where}"
        tables.append(Table(title, list(classes), rows, doubts.legend(here), kind="classes", only=only))
    return tables


def class_scores(confusion: Sequence[Sequence[int]]) -> list[list[float | None]]:
    """Return precision, recall and F1 by class; recall and F1 are undefined (None) for a class without test images.

    Precision of a class that is never predicted is undefined too.
    """
    counts = np.array(confusion)
    precision, recall, f1 = per_class(counts)
    truth, answers = counts.sum(1) > 0, counts.sum(0) > 0
    defined = (answers, truth, truth)
    return [
        [float(value) if known else None for value, known in zip(values, there, strict=True)]
        for values, there in zip((precision, recall, f1), defined, strict=True)
    ]


def calibration_table(plan: Plan, cells: Cells, doubts: Doubts) -> list[Table]:
    """Return the expected calibration error per arm and column; none if no run stored probabilities."""
    shape, folders = layout(plan), {item.run_id: item.folder.path for item in plan.items}
    rows: list[tuple[str, list[Entry]]] = []
    for arm in shape.arms:
        for other in shape.others:
            entries: list[Entry] = []
            for column in shape.columns:
                cell = cells[arm, shape.point(plan, column, other)]
                errors = [read_calibration(folders[result.run_id], result) for result in cell.ordered]
                entries.append(replace(mean_number(errors, len(cell.planned)), marks=doubts.marks(cell)))
            rows.append((row_label(arm, other), entries))
    if not any(isinstance(entry, Number) and entry.value is not None for _, entries in rows for entry in entries):
        return []
    notes = [
        *doubts.legend(cells.values()),
        f"expected calibration error: distance of accuracy and mean probability of the answer in {BINS} equal bins, "
        "averaged over test images; lower is better",
    ]
    columns = headings(shape, "calibration error")
    return [Table(f"Calibration error in %: {describe_spread(plan)}", columns, rows, notes, kind="diagnostics")]


def cost_table(plan: Plan, cells: Cells) -> list[Table]:
    """Return parameters, multiply-adds, seconds to train and, where measured, milliseconds an image of each arm."""
    names = ("parameters", "multiply-adds", "s to train", "n", "ms an image")
    columns: dict[str, dict[str, Number]] = {name: {} for name in names}
    for arm, groups in group_arms(plan, cells).items():
        results = [result for cell, _ in groups for result in cell.ordered]
        counts = {(one.cost.parameters, one.cost.multiply_adds) for one in results if one.cost.parameters is not None}
        if len(counts) == 1:
            parameters, adds = next(iter(counts))
            columns["parameters"][arm] = Number(parameters, unit="count")
            if adds:
                columns["multiply-adds"][arm] = Number(adds, unit="count")
        trained = {one.trained_by or one.run_id: one.cost.seconds.training for one in results}  # tests may share a training
        if taken := [seconds for seconds in trained.values() if seconds > 0]:
            columns["s to train"][arm] = Number(
                median(taken), interval=(min(taken), max(taken)) if len(taken) > 1 else None, unit="plain", digits=1
            )
            columns["n"][arm] = Number(len(taken), unit="count")
        if measured := [ms for _, items in groups for item in items if (ms := read_milliseconds(item)) is not None]:
            columns["ms an image"][arm] = Number(sum(measured) / len(measured), unit="plain", digits=2)
    shown = [name for name, values in columns.items() if values]
    arms = [arm for arm in plan.study.arms if any(arm in columns[name] for name in shown)]
    if not arms:
        return []
    rows = [(arm, [columns[name].get(arm, Number(None)) for name in shown]) for arm in arms]
    words = {
        "multiply-adds": f"multiply-adds: per {describe_input(plan)}, of convolutions and linear layers with attention "
        "blocks, without normalisation, pooling and the scaling of maps",
        "s to train": "seconds to train: median [least, most] of n trainings, on the machines under Provenance, busy or not",
        "ms an image": "ms an image: batches of one, by the analysis `efficiency`",
    }
    kind: Kind = "cost"
    return [Table("Model complexity", shown, rows, [text for name, text in words.items() if name in shown], kind=kind)]


def describe_input(plan: Plan) -> str:
    """Return what a network of the plan takes: ``image``, or ``clip of 8 frames``, with each number that occurs."""
    configs = [item.run.config for item in plan.items if not item.run.config.simulated]
    frames = sorted({config.data.frames for config in configs if config.model.network.clips})
    stills = ["image"] if any(not config.model.network.clips for config in configs) else []
    clips = f"clip of {' or '.join(map(str, frames))} frame{'s' * (frames != [1])}" if frames else ""
    return " or ".join(filter(None, [*stills, clips]))


def group_arms(plan: Plan, cells: Cells) -> dict[str, list[tuple[Cell, list[Item]]]]:
    """Return each arm's cells with the finished items in them."""
    items: dict[tuple[str, Point], list[Item]] = {}
    for item in plan.items:
        items.setdefault((item.run.arm, item.run.at), []).append(item)
    found: dict[str, list[tuple[Cell, list[Item]]]] = {}
    for place, cell in cells.items():
        found.setdefault(cell.arm, []).append((cell, [one for one in items[place] if one.run.seed in cell.results]))
    return found


def read_milliseconds(item: Item) -> float | None:
    """Return the time of one image in a run's network, None if the analysis ``efficiency`` has not measured it."""
    if not item.folder.file("analysis-efficiency.json").is_file():
        return None
    from fer_cli.analysis.outcome import read_cached

    found = read_cached(item, "efficiency")
    return 1000 * float(found["seconds"]["1"]) if found else None
