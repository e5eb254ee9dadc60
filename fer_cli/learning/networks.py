"""The weights that networks start from, and whether those of planned runs can be built and loaded; without Lightning."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import cast

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from fer_cli.config import RunConfig
from fer_cli.errors import DataError, StudyError
from fer_cli.models.build import build_model
from fer_cli.models.own import OwnNetwork, check_own_network
from fer_cli.models.scn import Network, Recogniser
from fer_cli.models.weights import CLASSIFIER, join_names, load_weights_file
from fer_cli.places import user_path

log = logging.getLogger("fer")


def check_networks(runs: Iterable[tuple[RunConfig, list[str]]]) -> None:
    """Build each distinct network of ``runs``, configs with their classes, once.

    On the meta device, unless it loads a file or is the user's own, which is also tried on a batch. Raises StudyError for
    incompatible settings, adaptation without batch norms and too small images, DataError for weights that cannot be loaded.
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
        own = "own" in config.model.network.takes
        with torch.random.fork_rng(devices=[]), torch.device("cpu" if file or own else "meta"):
            network = build_model(config.model, len(classes), importance, size, frames=frames)
        if config.model.adapt != "none" and not any(isinstance(part, _BatchNorm) for part in network.modules()):
            raise StudyError(f"model.adapt: batch-norm: backbone {config.model.backbone} has no batch norms")
        if own:
            check_own_network(config.model, cast(Network, network.backbone), size)
        if file:
            load_start_weights(network, file, config.model.weights_sha256, classes)


def load_start_weights(model: Recogniser, path: str, sha256: str | None, classes: list[str]) -> str:
    """Load the backbone's weights and return a summary; raises DataError if the file changed, is damaged or does not fit."""
    own = isinstance(model.backbone, OwnNetwork)  # whose file names the weights as the user's module does
    part = model.get_submodule("backbone.body" if own else "backbone")
    loaded = load_weights_file(user_path(path), part, classes=classes, body=own)
    if loaded.sha256 != sha256:
        raise DataError(f"{path}: changed since the run was planned (SHA-256 {loaded.sha256[:12]}); plan it again")
    absent = (name for name in (*loaded.missing, *loaded.mismatched) if not name.endswith(".num_batches_tracked"))
    lost = [name for name in absent if own or not CLASSIFIER.fullmatch(name)]
    if model.frozen and lost:
        raise DataError(f"{path}: model.freeze: no weights for {join_names(lost)}, which would stay random; remove freeze")
    log.info("%s: %s", path, loaded)
    return str(loaded)
