"""Results that a test makes up: what it does not care about is filled in, so that the reader of results takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fer_cli.metrics import HEADLINE
from fer_cli.runs import RunFolder

CLASSES = ["angry", "happy", "sad"]
CONFUSION = [[20, 0, 0], [0, 15, 0], [0, 0, 15]]
ORIGIN: dict[str, Any] = {
    "machine": {"device": "cpu", "precision": "fp32", "threads": 1},
    "provenance": {"commit": "abc", "dirty": False, "fer": "0.1.0"},
}


def filled(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with every key that readers need: the given ones as they are, the others with plain values."""
    counts = {"train": 100, "val": 50, "test": 50, "shared_subjects": 0, "test_subjects": 4}
    metrics = result.get("metrics") or {"test": {}}
    classes = len(next((scores["confusion"] for scores in metrics.values() if "confusion" in scores), CONFUSION))
    return {
        "fingerprint": "f" * 16,
        "config": {},
        "health": {},
        "relabelled": None,
        "warnings": [],
        "seconds": {"total": 4.0},
        **ORIGIN,
        **result,
        "selection": {"rule": "val/macro_f1", "epoch": 2, **result.get("selection", {})},
        "data": {
            "classes": [f"class {code}" for code in range(classes)] if classes != len(CLASSES) else CLASSES,
            "split_hash": "s",
            "dropped": {},
            **counts,
            **result.get("data", {}),
        },
        "metrics": {
            part: {**dict.fromkeys(HEADLINE, 0.5), "n": 50, "confusion": CONFUSION, **scores}
            for part, scores in metrics.items()
        },
    }


def folder_at(path: Path) -> RunFolder:
    """Return a run's folder that is ``path`` itself, wherever that lies."""
    folder = RunFolder(path.parent, path.name)
    folder.path = path
    return folder
