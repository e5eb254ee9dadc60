"""Whether the networks of planned runs can be built and their files of weights loaded, found without training any."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from fer_cli.config import RunConfig
from fer_cli.learning.train import load_start_weights
from fer_cli.models.build import build_model


def check_networks(runs: Iterable[tuple[RunConfig, list[str]]]) -> None:
    """Build each different network of ``runs``, configs with their classes, once.

    Raises StudyError where parts do not fit together or images are too small, DataError for a file of weights that cannot
    be loaded into its network. No memory is taken, but for a network that a file is loaded into.
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
