"""Results that a test makes up: what it does not care about is filled in, and predictions give its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_cli.config import RunConfig
from fer_cli.results import Result, Scores
from fer_cli.runs import RunFolder

CLASSES = ["angry", "happy", "sad"]
CONFUSION = [[20, 0, 0], [0, 15, 0], [0, 0, 15]]
ORIGIN: dict[str, Any] = {
    "machine": {"device": "cpu", "precision": "fp32", "threads": 1},
    "provenance": {"commit": "abc", "dirty": False, "fer": "0.1.0"},
}
Counts = Sequence[Sequence[int]]


def fake_result(
    run_id: str = "abc", config: RunConfig | None = None, counts: dict[str, Counts] | None = None, **changes: Any
) -> Result:
    """Return a result with the given confusion matrices (rows are the truth) and plain values for all that is not given."""
    matrices = {"test": CONFUSION} if counts is None else counts
    classes = len(matrices["test"])
    data = {
        "classes": CLASSES if classes == len(CLASSES) else [f"class {code}" for code in range(classes)],
        "split_hash": "s",
        "dropped": {},
        "train": 100,
        "val": 50,
        "test": 50,
        "shared_subjects": 0,
        "test_subjects": 4,
        **changes.pop("data", {}),
    }
    content = {
        "kind": "stills",
        "fingerprint": "f" * 16,
        "health": {},
        "relabelled": None,
        "warnings": [],
        "cost": {"seconds": {"total": 4.0}},
        **ORIGIN,
        "run_id": run_id,
        "config": config or RunConfig(),
        "data": data,
        "selection": {"rule": "val/macro_f1", "epoch": 2, **changes.pop("selection", {})},
        "metrics": {part: Scores.of(np.array(matrix), data["classes"]) for part, matrix in matrices.items()},
    }
    return Result.model_validate(content | changes)


def leave(folder: RunFolder, result: Result) -> None:
    """Write a result and predictions that have its confusion matrices."""
    folder.path.mkdir(parents=True, exist_ok=True)
    rows = [
        (part, label, answer)
        for part, scores in result.metrics.items()
        for label, row in zip(result.data.classes, scores.confusion, strict=True)
        for answer, count in zip(result.data.classes, row, strict=True)
        for _ in range(count)
    ]
    frame = pd.DataFrame(rows, columns=["part", "label", "predicted"])
    frame.assign(sample=[f"{place:05d}" for place in range(len(rows))]).to_parquet(folder.file(result.predictions))
    folder.write_result(result)


def changed(folder: RunFolder, **changes: Any) -> None:
    """Write a finished run's result again, some of it changed."""
    content = {name: getattr(folder.result(), name) for name in Result.model_fields if name != "schema_"}
    folder.write_result(Result.model_validate(content | changes))


def spread(accuracy: float, sizes: Sequence[int]) -> list[list[int]]:
    """Return a confusion matrix of classes of these sizes: right answers spread over all, wrong ones name the next class."""
    hits = round(accuracy * sum(sizes))
    right = [size * hits // sum(sizes) for size in sizes]
    for place in range(hits - sum(right)):
        right[place] += 1
    matrix = np.diag(right)
    for place, size in enumerate(sizes):
        matrix[place, (place + 1) % len(sizes)] += size - right[place]
    return [[int(count) for count in row] for row in matrix]


def folder_at(path: Path) -> RunFolder:
    """Return a run's folder that is ``path`` itself, wherever that lies."""
    folder = RunFolder(path.parent, path.name)
    folder.path = path
    return folder
