"""One batch through everything a run does: build, train, validate, predict; nothing is kept."""

from __future__ import annotations

from pathlib import Path

from fer_cli.config import Machine, RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.learning.train import new_module, new_trainer, predict, prepare_torch


def smoke_run(config: RunConfig, machine: Machine, folder: Path) -> None:
    """Train and validate one batch and predict validation and test once; raises whatever a real run would raise."""
    means = prepare_torch(machine)
    data = RunData(load_set(machine.data_root, config.data.name), config)
    module = new_module(config, data)
    trainer = new_trainer(1, means, folder, [], limit_train_batches=1, limit_val_batches=1)
    trainer.fit(module, datamodule=data)
    predict(module, data, means)
