"""What attention blocks share: gates whose values can be watched, and the width of a squeezed layer.

A block multiplies its input by gates, or subtracts thresholds. The module that computes them is a ``Gate``, so that figures
can read what it said (``watch_gates``) while training keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


def squeezed(channels: int, reduction: int) -> int:
    """Return ``channels`` / ``reduction``, rounded down; raises StudyError where nothing is left."""
    if not 1 <= reduction <= channels:
        raise StudyError(f"reduction: {reduction} does not fit a layer of {channels} channels; give 1 to {channels}")
    return channels // reduction
