"""The YAML header of model cards, as the Hugging Face hub documents it (hub-docs, ``modelcard.md``).

The hub checks headers on its server; here a test holds them to the documented keys. The licence of a network is its owner's
to choose, so it is ``other`` until then.
"""

from __future__ import annotations

from typing import Any

import yaml

from fer_cli.config import METRICS
from fer_cli.results import Result

TASKS = {"images": "image-classification", "clips": "video-classification"}
"""What a network answers about -> the hub's name of the task."""
HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1"}
"""Score of the suite -> the hub's name of the metric."""


def describe_for_hub(result: Result, name: str, unit: str) -> dict[str, Any]:
    """Return the header of a network's card as YAML mappings; ``name``: of the model, ``unit``: images or clips.

    Scores are those of the run's test part, with the numbers of ``Result``.
    """
    data, scores = result.config.data, result.metrics["test"]
    metrics = [
        {"type": there, "name": METRICS[here].label, "value": round(float(scores[here]), 6)}
        for here, there in HUB_METRICS.items()
    ]
    tested = data.test or data.name
    measured = {
        "task": {"type": TASKS[unit]},
        "dataset": {"type": tested, "name": tested, "split": "test"},
        "metrics": metrics,
    }
    return {
        "language": "en",
        "license": "other",
        "license_name": "to-be-chosen-by-the-owner",
        "library_name": "onnx",
        "pipeline_tag": TASKS[unit],
        "tags": ["facial-expression-recognition", "onnx"],
        "metrics": list(HUB_METRICS.values()),
        "model-index": [{"name": name, "results": [measured]}],
    }


def header_lines(header: dict[str, Any]) -> list[str]:
    """Return a header as the first lines of a card."""
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=120)
    return ["---", *text.splitlines(), "---", ""]
