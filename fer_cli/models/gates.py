"""What attention blocks share: gates whose values can be watched, and the width of a squeezed_width layer.

A block multiplies its input by gates, or subtracts thresholds. The module that computes them is a ``Gate``, so that figures
can read what it said (``watch_gates``) while training keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fer_cli.errors import StudyError


class Gate(nn.Module):
    """A module whose output, gates or thresholds, is worth a look."""


@contextmanager
def watch_gates(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that forward passes inside the ``with`` fill: name of each ``Gate`` -> its latest output, detached."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            seen[name] = output.detach()

        return hook

    handles = [
        module.register_forward_hook(keep(name)) for name, module in network.named_modules() if isinstance(module, Gate)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def positions(x: Tensor) -> Tensor:
    """Return maps (B, C, H, W) as (B, HW, C), a view of channels-last ones."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def channel_means(x: Tensor) -> Tensor:
    """Return the means (B, C) of maps (B, C, H, W) over positions.

    As a matrix product, which on the CPU is several times faster than a mean in bf16 and has a cheap gradient.
    """
    places = positions(x)
    share = places.new_full((len(x), 1, places.shape[1]), 1 / places.shape[1])
    return torch.bmm(share, places).squeeze(1)


def squeezed_width(channels: int, reduction: int) -> int:
    """Return ``channels`` / ``reduction``, rounded down; raises StudyError where nothing is left."""
    if not 1 <= reduction <= channels:
        raise StudyError(f"reduction: {reduction} does not fit a layer of {channels} channels; give 1 to {channels}")
    return channels // reduction
