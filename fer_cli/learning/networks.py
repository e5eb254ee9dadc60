"""Check that the networks of planned runs can be built and their weights files loaded, without training."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from fer_cli.config import RunConfig
from fer_cli.learning.train import load_start_weights
from fer_cli.models.build import build_model


def check_networks(runs: Iterable[tuple[RunConfig, list[str]]]) -> None:
    """Build each distinct network of ``runs``, configs with their classes, once; on the meta device unless it loads a file.

    Raises StudyError for incompatible settings or too small images, DataError for weights that cannot be loaded.
    """
    seen = set()
    for config, classes in runs:
        importance, size = config.learning.parts.attention, config.data.image_size
        key = (config.model.model_dump_json(), tuple(classes), importance, size)
        if key in seen:
            continue
        seen.add(key)
        file = config.model.weights
        with torch.device("cpu" if file else "meta"):
            network = build_model(config.model, len(classes), importance, size)
        if file:
            load_start_weights(network, file, config.model.weights_sha256, classes)
