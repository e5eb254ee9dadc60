"""The runs of a study as compact JSON, which the script of the page draws: settings, scores, curves, confusion, mistakes.

Facts of all runs are embedded; details only as far as the page stays small (``MOST_BYTES``): of each row of the table
the best and the worst seed first, then the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fer_cli.blocks import percent
from fer_cli.config import METRICS, RunConfig
from fer_cli.errors import DamagedError
from fer_cli.inventory.rows import explain_state, time_of, write_value
from fer_cli.outputs import RESULT, read_history
from fer_cli.page.markup import DATE
from fer_cli.page.mistakes import Album, Mistake, find_mistakes
from fer_cli.plan import Item, Plan
from fer_cli.report.canvas import factor_name
from fer_cli.report.collect import Cells, history_file
from fer_cli.results import Result

MOST_BYTES = 950_000
"""Size of a page without pictures; some room is left below the megabyte."""
MOST_POINTS = 60
"""Points of a learning curve; of more epochs, evenly spaced ones."""
SERIES = ("train/accuracy", "val/accuracy", "train/loss", "val/loss")
LISTED = 5
"""Mistakes listed per run, if no pictures are asked for."""


@dataclass
class Embedded:
    """The content of the page's JSON."""

    facts: dict[str, Any]
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Place of a run -> its confusion matrix, curves, mistakes and warnings."""
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Id of the run that trained a network -> its learning curves."""
    left_out: int = 0
    """Finished runs without details."""

    def as_json(self, pictures: dict[str, str]) -> dict[str, Any]:
        """Return everything, with pictures by key."""
        return {**self.facts, "details": self.details, "curves": self.curves, "pictures": pictures}


def embed_runs(plan: Plan, cells: Cells, album: Album, thumbnails: int, room: int) -> Embedded:
    """Return the runs of a plan; ``thumbnails``: mistakes shown per run; ``room``: bytes for all but pictures."""
    metrics = list(plan.study.report.metrics)
    found = Embedded(list_facts(plan, cells, metrics))
    left = room - measure(found.facts)
    ranked = list(rank_runs(plan, cells, metrics[0]))
    for place, item, result in ranked:
        mistakes = find_mistakes(item.folder.path, result, thumbnails or LISTED)
        detail = describe_result(item, result, mistakes)
        trained = (item.network or item).run_id
        curve = {} if trained in found.curves else read_curves(item, result)
        size = measure(detail) + measure(curve) + 20
        if size > left:
            break
        left -= size
        detail["pictures"] = album.add(result, mistakes) if thumbnails else []
        if curve:
            found.curves[trained] = curve
        if trained in found.curves:
            detail["curve"] = trained
        found.details[place] = {key: value for key, value in detail.items() if value}
    found.left_out = len(ranked) - len(found.details)
    return found


def measure(value: Any) -> int:
    """Return the size of a value as JSON in bytes."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def list_facts(plan: Plan, cells: Cells, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the settings and scores of all runs; settings as differences to those of the first run of the baseline."""
    first = next(item for item in plan.items if item.run.arm == plan.study.report.against)
    base = first.run.config.flat()
    groups: dict[Any, int] = {}
    own: dict[str, int] = {}
    listed: list[dict[str, Any]] = []
    starts, rows = [], []
    for item in plan.items:
        run = item.run
        flat = run.config.flat()
        place = groups.setdefault((run.arm, run.at), len(groups))
        if place == len(listed):
            kept = write_changes(flat, base, seeded(run.config, first.run.config))
            listed.append({"arm": run.arm, "at": [[factor_name(key), str(value)] for key, value in run.at], "diff": kept})
            starts.append(flat)
        changes = json.dumps(write_changes(flat, starts[place]))
        result = cells[run.arm, run.at].results.get(run.seed)
        rows.append(
            [item.run_id, place, run.seed, own.setdefault(changes, len(own)), *describe_state(item, result, metrics)]
        )
    return {
        "metrics": [METRICS[name].label for name in metrics],
        "base": {key: write_value(value) for key, value in base.items()},
        "baseRun": first.run_id,
        "cells": listed,
        "own": [json.loads(changes) for changes in own],
        "runs": rows,
    }


def seeded(config: RunConfig, other: RunConfig) -> set[str]:
    """Return the settings that follow from the seed where two runs have different ones."""
    return {"seed", "data.fold", "data.split_seed", "data.noise_seed"} if config.seed != other.seed else set()


def write_changes(flat: dict[str, Any], base: dict[str, Any], but: set[str] = frozenset()) -> dict[str, str]:  # type: ignore[assignment]
    """Return the settings that differ from others, as text; a setting that only the others have is a dash."""
    keys = [key for key in dict.fromkeys([*flat, *base]) if flat.get(key) != base.get(key) and key not in but]
    return {key: write_value(flat[key]) if key in flat else "–" for key in keys}


def describe_state(item: Item, result: Result | None, metrics: Sequence[str]) -> list[Any]:
    """Return state, scores in %, n, seconds, time and reason of a run, None where there is none."""
    if result is None:
        state = item.folder.status
        return [state, *(None for _ in metrics), None, None, None, explain_state(item.folder, state)]
    scores = result.metrics["test"]
    values = [percent(scores[name]) for name in metrics]
    when = datetime.fromtimestamp(time_of(item.folder, RESULT), UTC).strftime(DATE)
    return ["done", *values, scores.n, f"{result.cost.seconds.total:.0f}", when, ""]


def rank_runs(plan: Plan, cells: Cells, metric: str) -> Iterator[tuple[int, Item, Result]]:
    """Yield the finished runs with their places: of each cell the best seed, then of each the worst, then the others."""
    places = {(item.run.arm, item.run.at, item.run.seed): place for place, item in enumerate(plan.items)}
    orders = []
    for (arm, at), cell in cells.items():
        ranked = sorted(cell.seeds, key=lambda seed: -cell.results[seed].metrics["test"][metric])
        ranked = [*ranked[:1], *ranked[:0:-1]]
        orders.append([(places[arm, at, seed], cell.results[seed]) for seed in ranked])
    for turn in range(max(map(len, orders), default=0)):
        for order in orders:
            if turn < len(order):
                place, result = order[turn]
                yield place, plan.items[place], result


def describe_result(item: Item, result: Result, mistakes: Sequence[Mistake]) -> dict[str, Any]:
    """Return a run's confusion matrix, selection, cost, warnings and worst mistakes."""
    scores, chosen, seconds = result.metrics["test"], result.selection, result.cost.seconds
    network = result.cost.parameters
    facts = {
        "checkpoint": f"epoch {chosen.epoch} by {chosen.rule}" if chosen.epoch is not None else chosen.rule,
        "samples": f"train {result.data.train}, validation {result.data.val}, test {result.data.test}",
        "time": f"{seconds.total:.0f} s, of which training {seconds.training:.0f} s",
        "parameters": "" if network is None else f"{network:,}",
        "starts from": ", ".join(filter(None, [result.pretrained_by, result.trained_by])),
        "code": f"{result.origin.provenance.version}{' with uncommitted changes' if result.origin.provenance.dirty else ''}",
    }
    return {
        "classes": result.data.classes,
        "confusion": scores.confusion,
        "facts": {key: value for key, value in facts.items() if value},
        "warnings": result.warnings,
        "mistakes": [
            [one.sample, one.true, one.predicted, "" if one.confidence is None else f"{100 * one.confidence:.0f}"]
            for one in mistakes
        ],
    }


def read_curves(item: Item, result: Result) -> dict[str, Any]:
    """Return the learning curves of a run's network: epochs and values by series; {} without a history."""
    if item.network is None:
        return {}
    with suppress(DamagedError):
        rows = read_history(history_file(item.network, result))
        places = np.unique(np.linspace(0, len(rows) - 1, min(MOST_POINTS, len(rows))).round().astype(int))
        kept = [rows[place] for place in places]
        series = {
            name: [None if np.isnan(row[name]) else float(f"{row[name]:.3g}") for row in kept]
            for name in SERIES
            if name in rows[0]
        }
        chosen = result.selection.epoch
        return {"epochs": [int(row["epoch"]) for row in kept], "of": len(rows), "chosen": chosen, **series}
    return {}
