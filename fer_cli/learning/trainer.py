"""Lightning's trainer, of one process on one device whatever started that process.

By itself Lightning reads the environment: variables of Slurm, LSF, Kubernetes, torchrun and MPI change how it trains or end
it, ``srun`` on the path gives a hint per run, and ``PL_TRAINER_*`` replace every option that is not given. A result must not
depend on any of these.
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
    """The only process of a training, whatever rank a launcher gave it."""

    @property
    def creates_processes_externally(self) -> bool:
        """Return that no launcher starts others."""
        return False

    def local_rank(self) -> int:
        """Return 0, the first on its machine."""
        return 0

    def node_rank(self) -> int:
        """Return 0, the first machine."""
        return 0

    def teardown(self) -> None:
        """Leave the environment as it is."""


def new_trainer(
    epochs: int, resolved: ResolvedCompute, folder: Path, callbacks: list[pl.Callback], **limits: Any
) -> pl.Trainer:
    """Return a quiet, deterministic trainer; ``limits`` are Lightning's (e.g. ``limit_train_batches=1``)."""
    rank_zero_only.rank = 0  # type: ignore[attr-defined] # read from the environment when Lightning is imported
    SLURMEnvironment.detect = staticmethod(never)  # type: ignore[method-assign] # asked by fit and predict, too
    with hide_lightning_variables():
        return pl.Trainer(
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


def never() -> bool:
    """Return False: no training is Slurm's to steer."""
    return False


@contextmanager
def hide_lightning_variables() -> Iterator[None]:
    """Hide the variables from which Lightning takes options that are not given."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PL_TRAINER_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
