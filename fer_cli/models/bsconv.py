"""Blueprint-separable convolutions, plain (He 2025, Eq 9-16; Haase 2020) and dilated at several rates (He 2025, Fig 4).

Each output kernel is a single-channel blueprint Y scaled per input channel: W[v, z] = mu[v, z] Y[v] (Eq 10). So the
convolution is a 1x1 convolution with mu (Eq 15) followed by a depthwise one with Y (Eq 16): Z V + V k^2 weights instead of
Z V k^2. In the subspace form S, mu is the product of two thin matrices, the first kept near orthonormal.

Differences: the article's text has two pointwise stages, its equations one; U, the default, follows the equations, S the
text. It dilates "both stages", but dilating a 1x1 changes nothing, so only the depthwise stage is dilated; ``pw_kernel=3``
replaces the 1x1 by a dilated 3x3. It gives no rates: 1, 2 and 3 are ours. The batch norm after a convolution belongs to the
surrounding network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.errors import StudyError
from fer_cli.models.dilated import convolve, sum_kernels
from fer_cli.models.precision import full_precision

Merge = Literal["sum", "concat"]
Variant = Literal["u", "s"]
ORTHONORMAL_WEIGHT = 0.1
"""Weight of the subspace regulariser in the loss (public code of BSConv)."""


class Depthwise(nn.Conv2d):
    """Depthwise convolution, in float32 even under autocast.

    PyTorch 2.13's bf16 CPU kernel for dilated depthwise convolutions occasionally returns arbitrarily wrong weight
    gradients, and float32 is faster there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map, float32 under autocast."""
        with full_precision(x):
            return super().forward(x.to(self.weight.dtype))


def depthwise(channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> Depthwise:
    """Return a depthwise convolution, padded so that stride 1 keeps the size of the map."""
    padding = dilation * (kernel // 2)
    return Depthwise(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


BLOCK = 16
"""Channels per bf16 matrix unit."""


def bf16_on_cpu() -> bool:
    """Return whether convolutions on the CPU are computed in bf16."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def learns_on_cpu(weights: Sequence[Tensor]) -> bool:
    """Return whether the gradients of ``weights`` will be computed on the CPU in full precision."""
    learns = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
    return learns and weights[0].device.type == "cpu" and not bf16_on_cpu()


def by_channel(x: Tensor, kernels: Tensor) -> Tensor:
    """Return maps (B, C, H, W), each channel convolved with its own kernel of ``kernels`` (C, 1, K, K), K odd.

    Under bf16 autocast on the CPU, dense kernels for groups of 16 channels, zero off the diagonal, are 2 to 3 times faster
    than the depthwise convolution.
    """
    channels, padding = len(kernels), kernels.shape[-1] // 2
    if x.device.type == "cpu" and channels % BLOCK == 0 and bf16_on_cpu():
        own = torch.eye(BLOCK, device=x.device).repeat(channels // BLOCK, 1)[:, :, None, None]
        return F.conv2d(x, kernels * own, padding=padding, groups=channels // BLOCK)
    with full_precision(x):
        return F.conv2d(x.to(kernels.dtype), kernels, padding=padding, groups=channels)


class Scales(nn.ModuleList):
    """Sum of depthwise 3x3 convolutions at several dilation rates: (B, C, H, W) -> (B, C, H, W).

    Computed as one convolution with the sum of the dilated kernels; iterate to get the convolution of each rate.
    """

    def __init__(self, channels: int, rates: Sequence[int]) -> None:
        super().__init__(depthwise(channels, 3, dilation=rate) for rate in rates)
        self.rates = tuple(rates)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum over all rates."""
        if x.is_meta:  # computes nothing
            return torch.empty_like(x)
        weights = tuple(self.parameters())
        if learns_on_cpu(weights) and max(self.rates) > 1:
            with full_precision(x):
                return convolve(x.to(weights[0].dtype), self.rates, weights)
        return by_channel(x, sum_kernels(weights, self.rates))

    def multiply_adds(self, output: Tensor) -> int:
        """Return the multiply-adds of the separate convolutions: nine per rate and output value."""
        return output.numel() * 9 * len(self)


class Subspace(nn.Module):
    """Two 1x1 convolutions through a subspace of ``middle`` channels: (B, Z, H, W) -> (B, V, H, W)."""

    def __init__(self, cin: int, cout: int, bn: bool = False) -> None:
        """``bn``: batch norm after the first 1x1."""
        super().__init__()
        middle = min(cin, max(4, math.ceil(0.25 * cin)))
        self.inward = nn.Conv2d(cin, middle, 1, bias=False)
        self.norm = nn.BatchNorm2d(middle) if bn else nn.Identity()
        self.outward = nn.Conv2d(middle, cout, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps (B, V, H, W)."""
        return self.outward(self.norm(self.inward(x)))  # type: ignore[no-any-return]

    def regulariser(self) -> Tensor:
        """Return |W W^T - I|_F of the first 1x1, W: (middle, Z); 0 for orthonormal rows."""
        rows = self.inward.weight.flatten(1)
        unit = torch.eye(len(rows), device=rows.device, dtype=rows.dtype)
        return torch.linalg.matrix_norm(rows @ rows.T - unit)  # type: ignore[no-any-return]


class BSConvU(nn.Module):
    """Unconstrained: 1x1, then depthwise: (B, Z, H, W) -> (B, V, H/stride, W/stride)."""

    def __init__(
        self, cin: int, cout: int, kernel: int = 3, stride: int = 1, dilation: int = 1, bn_mid: bool = False
    ) -> None:
        """``bn_mid``: batch norm between the two stages."""
        super().__init__()
        self.pointwise: nn.Module = nn.Conv2d(cin, cout, 1, bias=False)
        self.middle = nn.BatchNorm2d(cout) if bn_mid else nn.Identity()
        self.depthwise = depthwise(cout, kernel, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map."""
        return self.depthwise(self.middle(self.pointwise(x)))  # type: ignore[no-any-return]


class BSConvS(BSConvU):
    """Subspace: 1x1 to a quarter of the channels, 1x1, depthwise; shapes as ``BSConvU``; ``bn_mid``: after each 1x1."""

    pointwise: Subspace

    def __init__(
        self, cin: int, cout: int, kernel: int = 3, stride: int = 1, dilation: int = 1, bn_mid: bool = False
    ) -> None:
        super().__init__(cin, cout, kernel, stride, dilation, bn_mid)
        self.pointwise = Subspace(cin, cout, bn_mid)

    def regulariser(self) -> Tensor:
        """Return |W W^T - I|_F of the first 1x1, without its weight in the loss."""
        return self.pointwise.regulariser()


class BSD(nn.Module):
    """Blueprint-separable dilated: one pointwise stage, a depthwise 3x3 per rate, merged: (B, Z, H, W) -> (B, V, H, W).

    With one rate it equals ``BSConvU`` or ``BSConvS`` of that dilation.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        rates: Sequence[int] = (1, 2, 3),
        merge: Merge = "sum",
        pw_kernel: Literal[1, 3] = 1,
        variant: Variant = "u",
    ) -> None:
        """``pw_kernel=3``: the pointwise stage of the U form is a 3x3 dilated by the largest rate."""
        super().__init__()
        if not rates or min(rates) < 1:
            raise StudyError(f"rates: {tuple(rates)} must be dilations of 1 or more")
        if pw_kernel == 3 and variant == "s":
            raise StudyError("pw_kernel=3 requires the U form; the S form uses 1x1 convolutions")
        spread = max(rates)
        self.pointwise: nn.Module
        if variant == "s":
            self.pointwise = Subspace(cin, cout)
        elif pw_kernel == 3:
            self.pointwise = nn.Conv2d(cin, cout, 3, padding=spread, dilation=spread, bias=False)
        else:
            self.pointwise = nn.Conv2d(cin, cout, 1, bias=False)
        self.scales = Scales(cout, rates)
        self.mix = nn.Conv2d(len(rates) * cout, cout, 1, bias=False) if merge == "concat" else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged maps."""
        shared = self.pointwise(x)
        if self.mix is not None:
            return self.mix(torch.cat([scale(shared) for scale in self.scales], 1))  # type: ignore[no-any-return]
        return self.scales(shared)  # type: ignore[no-any-return]


def subspace_penalty(network: nn.Module) -> Tensor:
    """Return the S form's loss term: 0.1 times the sum of all regularisers in ``network``, or 0."""
    terms = [part.regulariser() for part in network.modules() if isinstance(part, Subspace)]
    return ORTHONORMAL_WEIGHT * torch.stack(terms).sum() if terms else torch.zeros(())
