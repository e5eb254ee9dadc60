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
    return count_on(copy.deepcopy(network).to("meta"), input_shapes)


def count_known(network: nn.Module, *input_shapes: Sequence[int] | None) -> int | None:
    """Return ``count_multiply_adds`` of a new network with a user's layers; None if one of them has weights of another kind.

    It is called with one sample of zeros on the CPU: a user's code may read values, or keep tensors on the CPU.
    """
    shadow = copy.deepcopy(network)
    total = count_on(shadow, input_shapes)
    return total if all(map(is_known, shadow.modules())) else None


def is_known(layer: nn.Module) -> bool:
    """Return whether the convention says what to count of a layer: it has none but counted weights, scales and shifts."""
    flat = all(weight.ndim <= 1 for weight in layer.parameters(recurse=False))
    return flat or is_counted(layer) or isinstance(layer, (nn.LayerNorm, nn.RMSNorm))


def is_counted(layer: nn.Module) -> bool:
    """Return whether the multiply-adds of a layer are counted."""
    return isinstance(layer, (*CONVOLUTIONS, nn.Linear)) or hasattr(layer, "multiply_adds")


def count_on(network: nn.Module, input_shapes: Sequence[Sequence[int] | None]) -> int:
    """Return the multiply-adds of a network, which is changed, for one sample of zeros on the device of its weights."""
    total, device = 0, next((weights.device for weights in network.parameters()), torch.device("meta"))

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        total += layer_multiply_adds(layer, output)

    network.eval()
    for layer in filter(is_counted, network.modules()):
        layer.register_forward_hook(count)
    with torch.no_grad():
        network(*(None if shape is None else torch.zeros(1, *shape, device=device) for shape in input_shapes))
    return total


def layer_multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Return the multiply-adds of ``layer`` for ``output``: weights per output value x output values."""
    if isinstance(layer, CONVOLUTIONS):
        return output.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    return int(layer.multiply_adds(output))  # type: ignore[operator]
