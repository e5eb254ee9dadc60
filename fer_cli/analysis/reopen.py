"""Reads the network of a finished run for analyses, in float32 and in batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from fer_cli.config import Compute
from fer_cli.data.datamodule import Part
from fer_cli.learning.reopen import Reopened, open_run
from fer_cli.models.scn import Recogniser
from fer_cli.plan import Item

__all__ = ["Reopened", "pooled_features", "reopen", "stages_of", "watch"]


def reopen(item: Item, compute: Compute) -> Reopened:
    """Return the network of a finished run; raises ResultsError if its weights are missing."""
    return open_run(item.run.config, item.folder, compute)


@torch.no_grad()
def pooled_features(run: Reopened, part: Part) -> np.ndarray:
    """Return the backbone's pooled features of each image of a part: (N, F) float32."""
    return torch.cat([run.network.pooled(pixels).float().cpu() for pixels in run.batches(part.images)]).numpy()


def stages_of(network: Recogniser) -> list[nn.Module]:
    """Return the stages of a network from the input on; [] if it has none."""
    return list(getattr(network.backbone, "stages", []))


@contextmanager
def watch(modules: list[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield a list that a forward pass in the body fills with the input and output of each module, in call order."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((inputs[0].detach(), output.detach()))

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
