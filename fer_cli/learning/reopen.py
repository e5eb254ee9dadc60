"""The network of a finished run, opened again: the weights that its test scores come from, and its data.

A network looks at each image once, as it is; the scores of a run may average over the image and its mirror image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fer_cli.config import Compute, RunConfig
from fer_cli.data.datamodule import EVAL_BATCH, RunData
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
    """A finished run's judged network in evaluation mode, its data, and the compute settings here."""

    module: FerModule
    data: RunData
    resolved: ResolvedCompute

    @property
    def network(self) -> Recogniser:
        """The network that the run's test scores are of."""
        return self.module.judged

    def batches(self, images: Prepared | Tensor) -> Iterator[Tensor]:
        """Yield images (N, T, C, S, S) uint8 as the network takes them: (B, C, S, S) float32 in [0, 1]."""
        for start in range(0, len(images), EVAL_BATCH):
            yield self.module.pixels(images[start : start + EVAL_BATCH].to(self.resolved.device)).contiguous()


def open_run(config: RunConfig, folder: RunFolder, compute: Compute) -> Reopened:
    """Return the network of a finished run; raises ResultsError when its weights are gone.

    A file of weights that the training started from is not needed again.
    """
    resolved = prepare_torch(compute)
    data, _ = load_data(config, compute)
    bare = config.model.model_copy(update={"weights": None, "weights_sha256": None})
    module = new_module(config.model_copy(update={"model": bare}), data)
    load_weights(weights_path(folder), module)
    return Reopened(module.to(resolved.device).eval(), data, resolved)


def weights_path(folder: RunFolder) -> Path:
    """Return the file with the weights of a finished run's test scores; raises ResultsError where it is gone."""
    path = folder.file(folder.result().selection.weights)
    if not path.is_file():
        raise ResultsError(f"{path}: missing, and the network is needed; remove {folder.path} and train it again")
    return path
