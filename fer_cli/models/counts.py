"""Parameter and multiply-add counts of networks.

Convention of the articles' tables (ResNet-18 for six classes at 224x224: 1,813,564,416, "1.81 GFLOPs"): one multiply-add
per weight of a convolution or linear layer and position where it is applied. Not counted: biases, norms, activations,
pooling, shortcut additions, scaling by attention, products of two activations (softmax attention). Other layers with
weights report their count by a method ``multiply_adds(output) -> int``; layers that run several times count each time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters, without buffers such as running statistics."""
    return sum(weights.numel() for weights in network.parameters())


def count_multiply_adds(network: nn.Module, *input_shapes: Sequence[int] | None) -> int:
    """Return the multiply-adds of one sample, on the meta device; a shape per input, e.g. ``(3, 224, 224)``, or None."""
    total = 0

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        total += layer_multiply_adds(layer, output)

    shadow = copy.deepcopy(network).to("meta").eval()
    for layer in shadow.modules():
        if isinstance(layer, (*CONVOLUTIONS, nn.Linear)) or hasattr(layer, "multiply_adds"):
            layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(*(None if shape is None else torch.empty(1, *shape, device="meta") for shape in input_shapes))
    return total


def layer_multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Return the multiply-adds of ``layer`` for ``output``: weights per output value x output values."""
    if isinstance(layer, CONVOLUTIONS):
        return output.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    return int(layer.multiply_adds(output))  # type: ignore[operator]
