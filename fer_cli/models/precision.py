"""Where autocast must not reach: layers that are computed in float32 whatever the precision of the rest."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast on the device of ``x``; float32 input and weights then give float32 output."""
    if x.is_meta:  # knows no autocast, and computes nothing
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
