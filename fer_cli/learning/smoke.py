"""Smoke tests of runs: build, train, validate and predict one batch; nothing is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fer_cli.config import Compute, RunConfig
from fer_cli.data.manifest import load_set
from fer_cli.features import make_extractors
from fer_cli.features.fuse import fuse
from fer_cli.learning.fit import new_classifier
from fer_cli.learning.train import load_data, new_module, predict, prepare_torch
from fer_cli.learning.trainer import new_trainer

SAMPLE = 256
"""Training images used for features."""
CHUNK = 16
"""Batch size of the network on them."""


def smoke_network(config: RunConfig, compute: Compute, folder: Path) -> None:
    """Train and validate one batch and predict validation and test; raises whatever a real run would raise."""
    resolved = prepare_torch(compute)
    data, _ = load_data(config, compute)
    module = new_module(config, data)
    trainer = new_trainer(1, resolved, folder, [], limit_train_batches=1, limit_val_batches=1)
    trainer.fit(module, datamodule=data)
    predict(module, data, resolved)


def smoke_classifier(config: RunConfig, compute: Compute) -> None:
    """Fit the classifier on fused features of a few training images; ``cnn`` by an untrained network."""
    prepare_torch(compute)
    data, _ = load_data(config, compute)
    faces = load_set(compute.data_root, config.data.name).of_classes(config.data.classes)
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.train))[:SAMPLE])
    images = faces.images.select(data.split.train[chosen])
    extractors = make_extractors(config.features)
    parts = {name: extractor.transform(images, extractor.fit(images)) for name, extractor in extractors.items()}
    if "cnn" in config.features.blocks:
        module = new_module(config, data).eval()
        with torch.inference_mode():
            chunks = torch.split(data.train.images[chosen], CHUNK)
            parts["cnn"] = np.concatenate([module.judged.pooled(module.pixels(chunk)).numpy() for chunk in chunks])
    features = fuse(data.samples["train"][chosen], parts, np.arange(len(chosen)), config.features.scaling)
    new_classifier(config).fit(features.values, data.train.labels.numpy()[chosen])
