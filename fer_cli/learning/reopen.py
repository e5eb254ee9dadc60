"""Reload the network of a finished run, with the weights behind its test scores, and its data.

Here images are passed once, without mirroring; a run's scores may average an image and its mirror image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fer_cli.config import Compute, RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.prepare import Prepared
from fer_cli.errors import ResultsError
from fer_cli.learning.compute import ResolvedCompute
from fer_cli.learning.module import FerModule
from fer_cli.learning.record import load_weights
from fer_cli.learning.train import load_data, new_module, prepare_torch
from fer_cli.models.scn import Recogniser
from fer_cli.runs import RunFolder


@dataclass(frozen=True)
class Reopened:
    """A finished run's judged network in evaluation mode, its data, and the resolved compute settings."""

    module: FerModule
    data: RunData
    resolved: ResolvedCompute

    @property
    def network(self) -> Recogniser:
        """The network behind the run's test scores."""
        return self.module.judged

    def batches(self, images: Prepared | Tensor) -> Iterator[Tensor]:
        """Yield network inputs (B, C, S, S) float32 in [0, 1] of stills (N, 1, C, S, S) uint8."""
        size = self.data.eval_batch
        for start in range(0, len(images), size):
            yield self.module.pixels(images[start : start + size].to(self.resolved.device)).contiguous()


def open_run(config: RunConfig, folder: RunFolder, compute: Compute) -> Reopened:
    """Return a finished run reloaded, without its initial weights file; raises ResultsError if its weights are missing."""
    resolved = prepare_torch(compute)
    data, _ = load_data(config, compute)
    bare = config.model.model_copy(update={"weights": None, "weights_sha256": None})
    module = new_module(config.model_copy(update={"model": bare}), data)
    load_weights(weights_path(folder), module)
    return Reopened(module.to(resolved.device).eval(), data, resolved)


def weights_path(folder: RunFolder) -> Path:
    """Return the path of a finished run's selected weights; raises ResultsError if missing."""
    path = folder.file(folder.result().selection.weights)
    if not path.is_file():
        raise ResultsError(f"{path}: missing, but the network is needed; remove {folder.path} and train it again")
    return path
