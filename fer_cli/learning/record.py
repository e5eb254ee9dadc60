"""Callback that saves a run's history, best weights and resume checkpoint; writing of weights, and loading into a module."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from fer_cli.config import RunConfig
from fer_cli.learning.module import FerModule
from fer_cli.learning.saved import read_weights
from fer_cli.models.weights import CLASSIFIER
from fer_cli.outputs import damage_error
from fer_cli.places import whole_file
from fer_cli.runs import OnEpoch, RunFolder


class Record(Checkpoint):
    """Writes ``history.csv``, ``best.pt`` and ``last.ckpt`` at the end of every epoch, after all other hooks.

    Its state (history, best epoch) is stored in ``last.ckpt`` and never read back from the other files, so a kill between
    two writes cannot make them inconsistent: the repeated epoch rewrites its weights.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, on_epoch: OnEpoch, stage: str = "") -> None:
        self.folder, self.config, self.on_epoch, self.stage = folder, config, on_epoch, stage
        self.rows: list[dict[str, float]] = []
        self.centres: list[dict[str, float]] = []
        """What the class-centre loss did in each step, if there is one; ``centres.csv``."""
        self.best_epoch = 0
        self.best_value = math.nan
        self._began = time.monotonic()

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch so far."""
        return self.folder.path / f"best{self.stage}.pt"

    @property
    def last_path(self) -> Path:
        """Checkpoint to resume from after the last complete epoch."""
        return self.folder.path / f"last{self.stage}.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """Return the state for the checkpoint."""
        return {"rows": self.rows, "centres": self.centres, "best_epoch": self.best_epoch, "best_value": self.best_value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an interrupted run."""
        self.rows = list(state_dict["rows"])
        self.centres = list(state_dict.get("centres", []))
        self.best_epoch, self.best_value = state_dict["best_epoch"], state_dict["best_value"]

    def is_better(self, value: float) -> bool:
        """Return whether ``value`` is at least as good as the best so far; ties go to the latest epoch."""
        if math.isnan(value) or math.isnan(self.best_value):
            return not math.isnan(value)
        return value <= self.best_value if self.config.train.select_on == "val/loss" else value >= self.best_value

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the finished epoch."""
        assert isinstance(pl_module, FerModule)
        epoch = trainer.current_epoch + 1
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row = {"epoch": epoch, **logged, "lr": rate, "seconds": time.monotonic() - self._began}
        self.folder.check_claim()  # never write to a folder that was deleted or claimed by another process
        self.rows.append(row)
        self.centres += pl_module.centre_rows
        if not math.isfinite(row["train/loss"]):
            raise FloatingPointError(f"loss was not finite in epoch {epoch}; lower train.lr or use --precision fp32")
        value = row[self.config.train.select_on]
        if self.is_better(value):
            self.best_epoch, self.best_value = epoch, value
            save_weights(self.best_path, pl_module, epoch)
        with whole_file(self.last_path) as draft:
            trainer.save_checkpoint(draft)
        with whole_file(self.folder.path / f"history{self.stage}.csv") as draft:
            pd.DataFrame(self.rows).to_csv(draft, index=False)
        if self.centres:
            with whole_file(self.folder.path / f"centres{self.stage}.csv") as draft:
                pd.DataFrame(self.centres).to_csv(draft, index=False)
        self.on_epoch(epoch, row)


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write a ``torch.load`` file atomically; a full disk raises OSError, unlike ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with whole_file(path) as draft:
        draft.write_bytes(buffer.getvalue())  # without a copy; of a view in an error's frames, 3.13 cannot free the buffer


def save_weights(path: Path, module: FerModule, epoch: int) -> None:
    """Write the judged network's weights with their class names; readable with ``weights_only=True``."""
    content = {"state": module.judged.state_dict(), "classes": module.classes}
    write_tensors(path, content | {"config": module.config.model_dump_json(), "epoch": epoch})


def load_weights(path: Path, module: FerModule) -> None:
    """Load ``best.pt`` into ``module``; raises DamagedError if it does not fit the network, ValueError for other classes."""
    content = read_weights(path)
    if content["classes"] != module.classes:
        raise ValueError(f"{path}: trained on classes {content['classes']}, the data set has {module.classes}")
    try:
        module.judged.load_state_dict(content["state"])
    except (RuntimeError, TypeError, AttributeError) as error:  # names or shapes of another network
        raise damage_error(path, str(error)) from None


def load_backbone(path: Path, module: FerModule) -> None:
    """Load the backbone of ``path``, without its classifier, into a new module and its weight average.

    A network on clips has parts that the file lacks, and may lack the last stage.
    """
    state = {
        name.removeprefix("backbone."): value
        for name, value in read_weights(path)["state"].items()
        if name.startswith("backbone.") and not CLASSIFIER.fullmatch(name)
    }
    trunk = module.config.model.network.trunk
    for network in {id(one): one for one in (module.model, module.judged)}.values():
        backbone = network.get_submodule("backbone")
        own = backbone.state_dict()
        fitting = {name: value for name, value in state.items() if name in own} if trunk is not None else state
        try:
            backbone.load_state_dict(own | fitting)
        except (RuntimeError, TypeError, AttributeError) as error:  # shapes of another network
            raise damage_error(path, str(error)) from None
