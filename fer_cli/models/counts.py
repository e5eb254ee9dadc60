"""What a network costs: its trained numbers, and its multiply-adds for one input.

Convention, as in the tables of the articles (ResNet-18 for six classes at 224x224: 1,813,564,416, "1.81 GFLOPs"): one
multiply-add per weight of a convolution or linear layer and place where it is applied. Not counted: biases, norms,
activations, pooling, additions of shortcuts, scaling by attention, products of two activations (softmax attention).
A layer that holds weights but is neither says its own count by a method ``multiply_adds(output) -> int``; a layer that
runs several times, as in recurrence, is counted each time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers training may change; running statistics of norms are buffers and not among them."""
    return sum(weights.numel() for weights in network.parameters())


def count_multiply_adds(network: nn.Module, *input_shapes: Sequence[int]) -> int:
    """Return the multiply-adds of one input, its shape given without the batch, e.g. ``(3, 224, 224)``.

    A network of several inputs gets a shape for each.

    Nothing is computed and ``network`` is left alone: a copy without values, in eval mode, is run on PyTorch's meta device.
    """
    total = 0

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        total += layer_multiply_adds(layer, output)

    shadow = copy.deepcopy(network).to("meta").eval()
    for layer in shadow.modules():
        if isinstance(layer, (*CONVOLUTIONS, nn.Linear)) or hasattr(layer, "multiply_adds"):
            layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(*(torch.empty(1, *shape, device="meta") for shape in input_shapes))
    return total


def layer_multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Return the multiply-adds by which ``layer`` made ``output``: weights behind each output number x numbers."""
    if isinstance(layer, CONVOLUTIONS):
        return output.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    return int(layer.multiply_adds(output))  # type: ignore[operator]
