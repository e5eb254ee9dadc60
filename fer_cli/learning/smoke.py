"""One batch through everything a run does: build, train, validate, predict; nothing is kept."""

from __future__ import annotations

from pathlib import Path

from fer_cli.config import Machine, RunConfig
from fer_cli.learning.train import load_data, new_module, new_trainer, predict, prepare_torch


def smoke_run(config: RunConfig, machine: Machine, folder: Path) -> None:
    """Train and validate one batch and predict validation and test once; raises whatever a real run would raise."""
    means = prepare_torch(machine)
    data, _ = load_data(config, machine)
    module = new_module(config, data)
    trainer = new_trainer(1, means, folder, [], limit_train_batches=1, limit_val_batches=1)
    trainer.fit(module, datamodule=data)
    predict(module, data, means)
