"""Settings whose defaults changed, or that were replaced: how older runs are read, and what run ids say of them.

Runs from before ``learning.relabel_view`` relabelled the training view, from epoch ``learning.relabel_start`` on (none: a
seventh of the epochs); those from before ``model.gate_start`` began CBAM's spatial gates at one. Such runs keep their ids,
and a run with these settings today has the id of then. Runs with the new defaults have other ids, which name them.
"""

from __future__ import annotations

from typing import Any

from fer_cli.config.learning import LearningConfig
from fer_cli.config.model import ModelConfig

REPLACED = {"learning.relabel_start": "learning.relabel_from, a share of the epochs"}
"""Setting of older versions -> what a study says today."""


def seventh(epochs: int) -> int:
    """Return a seventh of the epochs, rounded up: the former first epoch with relabelling (10 of 70 in SCN)."""
    return -(-epochs // 7)


def read_older(settings: Any) -> Any:
    """Return the settings of a run, given as nested mappings, in today's words; only older runs have ``relabel_start``.

    Settings of the wrong types, e.g. in a file that was edited, are returned as they are.
    """
    learning, model = (settings.get(name) if isinstance(settings, dict) else None for name in ("learning", "model"))
    if not isinstance(learning, dict) or "relabel_start" not in learning:
        return settings
    train, method = settings.get("train", {}), learning.get("method", "")
    if not isinstance(train, dict) or not isinstance(method, str):
        return settings
    epochs = train.get("epochs")
    rest = {name: value for name, value in learning.items() if name != "relabel_start"}
    if method in {"scn", "scn-cs"} and isinstance(epochs, int) and epochs > 0:
        start = learning["relabel_start"]
        first = max(0, min(start, epochs + 1)) if isinstance(start, int) else seventh(epochs)
        rest |= {"relabel_view": "train", "relabel_from": (first - 1) / epochs}
    changed = {"learning": rest}
    if isinstance(model, dict) and model.get("attention") == "cbam":
        changed["model"] = model | {"gate_start": "one"}
    return settings | changed


def name_changed(settings: dict[str, Any], learning: LearningConfig, model: ModelConfig, epochs: int) -> None:
    """Rewrite the non-default ``settings`` of a run, from which its id is made, as the module says."""
    if learning.parts.relabels:
        own = settings["learning"]
        for name in ("relabel_view", "relabel_from"):
            own.pop(name, None)
        first = learning.first_relabel_epoch(epochs)
        if learning.relabel_view == "clean":
            own |= {"relabel_view": "clean", "relabel_from": learning.relabel_from}
        elif first != seventh(epochs):
            own["relabel_start"] = first
    if model.attention == "cbam" and "attention" in model.network.takes:
        own = settings["model"]
        own.pop("gate_start", None)
        if model.gate_start == "zero":
            own["gate_start"] = "zero"
