"""Sums of dilated depthwise 3x3 convolutions, whose kernels' gradient CPUs compute in half the time.

With one large summed kernel, the convolution and the gradient of its input are fast, but oneDNN needs three times as long as
for both of them for the gradient of a 7x7 kernel, and longer still for that of a dilated 3x3 kernel. A kernel of rate r
combines only positions r apart, so its gradient is that of a plain 3x3 kernel on the r x r grids of such positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

LEAST = 3
"""Rows and columns of a grid: for fewer, oneDNN computes the gradient of a 3x3 kernel a hundred times slower."""


def sum_kernels(weights: Sequence[Tensor], rates: Sequence[int]) -> Tensor:
    """Return the kernel (C, 1, K, K) that sums 3x3 kernels (C, 1, 3, 3) dilated at ``rates``; K = 2 x largest rate + 1."""
    reach = max(rates)
    kernels = []
    for rate, weight in zip(rates, weights, strict=True):
        spread = weight.new_zeros(len(weight), 1, 2 * rate + 1, 2 * rate + 1)
        spread[:, :, ::rate, ::rate] = weight
        kernels.append(F.pad(spread, [reach - rate] * 4))
    return torch.stack(kernels).sum(0)


def convolve(x: Tensor, rates: tuple[int, ...], weights: Sequence[Tensor]) -> Tensor:
    """Return maps (B, C, H, W) convolved, channel by channel, with the sum of 3x3 ``weights`` (C, 1, 3, 3) at ``rates``."""
    return DilatedSum.apply(x, rates, *weights)  # type: ignore[no-any-return, no-untyped-call]


class DilatedSum(torch.autograd.Function):
    """The convolution of ``convolve``, with the gradient of this module."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rates: tuple[int, ...], *weights: Tensor) -> Tensor:
        """Return the convolved maps (B, C, H, W), zeros around the border."""
        kernel = sum_kernels(weights, rates)
        ctx.rates = rates
        ctx.save_for_backward(x, kernel)
        return F.conv2d(x, kernel, padding=max(rates), groups=len(kernel))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the maps and of each rate's kernels."""
        x, kernel = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = F.conv2d(gradient, kernel.flip(2, 3), padding=max(ctx.rates), groups=len(kernel))
        wanted = zip(ctx.rates, ctx.needs_input_grad[2:], strict=True)
        return of_x, None, *(kernel_gradient(x, gradient, rate) if wants else None for rate, wants in wanted)


def kernel_gradient(x: Tensor, gradient: Tensor, rate: int) -> Tensor:
    """Return the gradient (C, 1, 3, 3) of kernels at ``rate`` for maps ``x`` and the output's ``gradient`` (B, C, H, W)."""
    channels = x.shape[1]
    sparse, of_output = split_grid(x, rate), split_grid(gradient, rate)
    return conv2d_weight(sparse, torch.Size((channels, 1, 3, 3)), of_output, padding=1, groups=channels)  # type: ignore[no-any-return, no-untyped-call]


def split_grid(x: Tensor, rate: int) -> Tensor:
    """Return maps (B, C, H, W) as the rate^2 grids of positions ``rate`` apart: (rate^2 B, C, rows, columns).

    Zeros fill up the border, to ``LEAST`` rows and columns at least; the result has channels-last memory, in which the
    gradient is fastest.
    """
    size, channels, height, width = x.shape
    rows, columns = (max(LEAST, math.ceil(length / rate)) for length in (height, width))
    if (rows * rate, columns * rate) != (height, width):
        x = F.pad(x, (0, columns * rate - width, 0, rows * rate - height))
    grids = x.permute(0, 2, 3, 1).reshape(size, rows, rate, columns, rate, channels).permute(2, 4, 0, 1, 3, 5)
    return grids.reshape(rate * rate * size, rows, columns, channels).permute(0, 3, 1, 2)
