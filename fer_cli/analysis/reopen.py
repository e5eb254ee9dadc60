"""The network of a finished run, opened again: the weights that its test scores come from, and its data.

Everything is computed in float32 and in batches. A network looks at each image once, as it is; the scores of a run may
average over the image and its mirror image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fer_cli.ablate import Item
from fer_cli.config import Machine
from fer_cli.data.datamodule import EVAL_BATCH, Part, RunData
from fer_cli.errors import ResultsError
from fer_cli.learning.machine import Means
from fer_cli.learning.module import FerModule
from fer_cli.learning.record import load_weights
from fer_cli.learning.train import load_data, new_module, prepare_torch
from fer_cli.models.multiscale import MultiScale
from fer_cli.models.resnet import ResNet
from fer_cli.models.scn import Recogniser


@dataclass(frozen=True)
class Reopened:
    """A finished run's judged network in evaluation mode, its data, and the means of computation here."""

    module: FerModule
    data: RunData
    means: Means

    @property
    def network(self) -> Recogniser:
        """The network that the run's test scores are of."""
        return self.module.judged

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """Yield images (N, S, S) or (N, 3, S, S) uint8 as the network takes them: (B, C, S, S) float32 in [0, 1]."""
        for chunk in torch.split(images, EVAL_BATCH):
            yield self.module.pixels(chunk.to(self.means.device)).contiguous()


def reopen(item: Item, machine: Machine) -> Reopened:
    """Return the network of a finished run; raises ResultsError when its weights are gone.

    A file of weights that the training started from is not needed again.
    """
    means = prepare_torch(machine)
    config = item.run.config
    data, _ = load_data(config, machine)
    bare = config.model.model_copy(update={"weights": None, "weights_sha256": None})
    module = new_module(config.model_copy(update={"model": bare}), data)
    path = item.folder.file(item.folder.result()["selection"].get("weights", "best.pt"))
    if not path.is_file():
        raise ResultsError(f"{path}: gone, so the network cannot be looked at; remove {item.folder.path} and train it again")
    load_weights(path, module)
    return Reopened(module.to(means.device).eval(), data, means)


@torch.no_grad()
def pooled_features(run: Reopened, part: Part) -> np.ndarray:
    """Return what the classifier of the network gets of each image of a part: (N, F) float32."""
    chunks = []
    for pixels in run.batches(part.images):
        features = run.network(pixels).features
        assert features is not None
        chunks.append(features.float().cpu())
    return torch.cat(chunks).numpy()


def stages_of(network: Recogniser) -> list[nn.Module]:
    """Return the four stages of a residual or multi-scale network, from the image on; of other networks none."""
    backbone = network.get_submodule("backbone")
    if isinstance(backbone, ResNet):
        return [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    return list(backbone.stages) if isinstance(backbone, MultiScale) else []


@contextmanager
def watch(modules: list[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield a list that a forward pass inside the ``with`` fills: input and output of each module, in their order."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((inputs[0].detach(), output.detach()))

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
