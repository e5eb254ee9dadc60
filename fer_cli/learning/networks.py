"""The weights that networks start from, and whether those of planned runs can be built and loaded; without Lightning."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from fer_cli.config import RunConfig
from fer_cli.errors import DataError, StudyError
from fer_cli.models.build import build_model
from fer_cli.models.scn import Recogniser
from fer_cli.models.weights import CLASSIFIER, join_names, load_weights_file
from fer_cli.places import user_path

log = logging.getLogger("fer")


def check_networks(runs: Iterable[tuple[RunConfig, list[str]]]) -> None:
    """Build each distinct network of ``runs``, configs with their classes, once; on the meta device unless it loads a file.

    Raises StudyError for incompatible settings, adaptation without batch norms and too small images, DataError for weights
    that cannot be loaded.
    """
    seen = set()
    for config, classes in runs:
        importance, size = config.learning.parts.attention, config.data.image_size
        frames = config.data.frames
        key = (config.model.model_dump_json(), tuple(classes), importance, size, frames)
        if key in seen:
            continue
        seen.add(key)
        file = config.model.weights
        with torch.device("cpu" if file else "meta"):
            network = build_model(config.model, len(classes), importance, size, frames=frames)
        if config.model.adapt != "none" and not any(isinstance(part, _BatchNorm) for part in network.modules()):
            raise StudyError(f"model.adapt: batch-norm: backbone {config.model.backbone} has no batch norms")
        if file:
            load_start_weights(network, file, config.model.weights_sha256, classes)


def load_start_weights(model: Recogniser, path: str, sha256: str | None, classes: list[str]) -> str:
    """Load the backbone's weights and return a summary; raises DataError if the file changed, is damaged or does not fit."""
    loaded = load_weights_file(user_path(path), model.get_submodule("backbone"), classes=classes)
    if loaded.sha256 != sha256:
        raise DataError(f"{path}: changed since the run was planned (SHA-256 {loaded.sha256[:12]}); plan it again")
    absent = (name for name in (*loaded.missing, *loaded.mismatched) if not name.endswith(".num_batches_tracked"))
    lost = [name for name in absent if not CLASSIFIER.fullmatch(name)]
    if model.frozen and lost:
        raise DataError(f"{path}: model.freeze: no weights for {join_names(lost)}, which would stay random; remove freeze")
    log.info("%s: %s", path, loaded)
    return str(loaded)
