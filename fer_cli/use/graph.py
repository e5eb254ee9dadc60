"""A trained network as an ONNX graph: from faces uint8 to probabilities, with all that lies between inside.

Exported by ``torch.export`` and ``torch.onnx`` (dynamo); the number of samples is free in all networks. A sample and its
mirror image pass side by side, not one after the other, so that the network is in the graph once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from fer_cli.config import REGIONS, RunConfig
from fer_cli.data.augment import mirror
from fer_cli.errors import ResultsError
from fer_cli.learning.losses import decision_logits
from fer_cli.models.scn import Recogniser
from fer_cli.use.exported import BOXES, FACES, OUTPUT

PATCH = 8
"""Side of the patches of example faces, in pixels."""
SAMPLES = 2
"""Of the example input; with 1, the exporter takes the number for fixed."""
MOST_SAMPLES = 2**16
"""Upper limit of the free number of samples that the exporter reasons about."""


class Judge(nn.Module):
    """Faces (n, [S,] C, H, H) uint8, and boxes (n, S, R, 4) if the network takes any, -> probabilities (n, K) float32."""

    def __init__(self, network: Recogniser, config: RunConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, faces: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return the probabilities, of the mean logits of a sample and its mirror image if so set."""
        x = faces.float() / 255
        if x.shape[-3] != self.config.model.channels:
            x = x.repeat_interleave(self.config.model.channels, -3)
        if self.config.model.mirror_average:
            x = torch.stack([x, x.flip(-1)], 1).flatten(0, 1)
            if boxes is not None:
                boxes = torch.stack([boxes, mirror(boxes, self.config.model.regions)], 1).flatten(0, 1)
        scores = self.network(x, None, boxes)
        logits = decision_logits(scores.logits, scores.alpha, self.config.learning)
        if self.config.model.mirror_average:
            logits = logits.reshape(-1, 2, logits.shape[1]).mean(1)
        return logits.softmax(1)


def example_inputs(config: RunConfig, channels: int, count: int = SAMPLES, seed: int = 0) -> tuple[Tensor, ...]:
    """Return random faces uint8 of ``channels``, and boxes if the run's network takes any, as its graph takes them.

    Faces are patches of random brightness with noise: noise alone looks the same to a network, whatever the seed.
    """
    generator = torch.Generator().manual_seed(seed)
    known, side, frames = config.model.network, config.data.image_size, config.data.frames
    shape = (count, frames, channels) if known.clips else (count, channels)
    patches = torch.rand(*shape, -(-side // PATCH), -(-side // PATCH), generator=generator)
    wide = patches.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2)[..., :side, :side]
    faces = (192 * wide + 64 * torch.rand(wide.shape, generator=generator)).to(torch.uint8)
    if not known.regions:
        return (faces,)
    start = 0.6 * torch.rand(count, frames, REGIONS[config.model.regions], 2, generator=generator)
    extent = 0.1 + 0.3 * torch.rand(start.shape, generator=generator)
    return faces, torch.cat([start, start + extent], -1)


def to_graph(judge: Judge, example: tuple[Tensor, ...]) -> Any:
    """Return the ONNX model (``onnx.ModelProto``) of a network in evaluation mode; raises ResultsError if it cannot."""
    free = torch.export.Dim("n", min=1, max=MOST_SAMPLES)
    names = [FACES, BOXES][: len(example)]
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it warns that torchvision is not installed
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # of PyTorch about PyTorch
            shapes = tuple({0: free} for _ in example)
            program = torch.export.export(judge, example, dynamic_shapes=shapes, strict=False)
            made = torch.onnx.export(
                program, dynamo=True, input_names=names, output_names=[OUTPUT], external_data=False, verbose=False
            )
    except Exception as error:  # of any part of PyTorch's exporter
        reason = " ".join(str(error).split())[:300]
        raise ResultsError(f"{judge.config.model.backbone}: PyTorch cannot write it as ONNX ({reason})") from error
    finally:
        quiet.setLevel(level)
    assert made is not None
    model = made.model_proto
    for value in (*model.graph.input, *model.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ResultsError(f"{judge.config.model.backbone}: PyTorch fixed the number of samples of {value.name}")
    name_samples(model.graph)
    return model


def name_samples(graph: Any) -> None:
    """Call the free number of samples n, which PyTorch calls s and a number of its own."""
    own = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == own:
                size.dim_param = "n"
