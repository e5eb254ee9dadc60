"""Lightning trainers restricted to one process on one device, independent of the environment.

By default Lightning reads variables of Slurm, LSF, Kubernetes, torchrun and MPI, which change or abort training, prints a
hint if ``srun`` is on the path, and takes options that are not given from ``PL_TRAINER_*``. Results must not depend on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import Checkpoint

from fer_cli.learning.compute import ResolvedCompute


class OneProcess(LightningEnvironment):
    """A single-process environment, whatever rank a launcher assigned."""

    @property
    def creates_processes_externally(self) -> bool:
        """Return False: no launcher starts other processes."""
        return False

    def local_rank(self) -> int:
        """Return 0."""
        return 0

    def node_rank(self) -> int:
        """Return 0."""
        return 0

    def teardown(self) -> None:
        """Keep the environment unchanged."""


def new_trainer(
    epochs: int, resolved: ResolvedCompute, folder: Path, callbacks: list[pl.Callback], **limits: Any
) -> pl.Trainer:
    """Return a quiet, deterministic trainer; ``limits`` are Lightning's (e.g. ``limit_train_batches=1``)."""
    rank_zero_only.rank = 0  # type: ignore[attr-defined] # read from the environment when Lightning is imported
    SLURMEnvironment.detect = staticmethod(lambda: False)  # type: ignore[method-assign] # fit and predict call it, too
    with hide_lightning_variables():
        trainer = pl.Trainer(
            accelerator="gpu" if resolved.device == "cuda" else "cpu",
            devices=1,
            plugins=[OneProcess()],
            precision=resolved.precision,  # type: ignore[arg-type]
            max_epochs=epochs,
            callbacks=callbacks,
            default_root_dir=folder,
            deterministic=True if resolved.device == "cpu" else "warn",
            logger=False,
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **limits,
        )
    # Lightning's handler swallows SIGTERM during validation and prediction
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


@contextmanager
def hide_lightning_variables() -> Iterator[None]:
    """Hide the environment variables from which Lightning takes options that are not given."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PL_TRAINER_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
