"""DOWNSAMPLE: how a residual network halves its maps (Aly 2023, Fig 4).

A 1x1 convolution with stride 2 reads one position in four. Aly 2023 averages 2x2 positions first and uses stride 1. Stages
conv3 to conv5 halve their map, each in its first block:

``none``      torchvision: stride 2 in the first 3x3 of the main path and in the shortcut's 1x1.
``v1``        He 2016, and Aly's Fig 4 before the change: stride 2 in the first 1x1 of a bottleneck's main path, so both
              paths drop three quarters of their input. Bottlenecks only.
``both``      2x2 average pooling before both paths, no stride in either (Aly 2023).
``shortcut``  2x2 average pooling in the shortcut only; the main path's 3x3, which reads every position, keeps its stride.
``dilated``   the last stage keeps its size and uses dilation 2 in all convolutions after the one that had the stride
              (mentioned by Aly 2023).

None changes a parameter or its name, so one weights file fits all. Pooling keeps the last row and column of odd maps, so
that both paths agree: 7x7 -> 4x4.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Steps(NamedTuple):
    """Strides and dilations of one residual block; by default, of a block that keeps the size."""

    begins: bool = False
    """First block of conv3 to conv5: its shortcut has a 1x1 convolution, even for equal numbers of channels."""
    enter: bool = False
    """2x2 average pooling of the block's input, before both paths."""
    pointwise: int = 1
    """Stride of the first 1x1 of a bottleneck's main path."""
    stride: int = 1
    """Stride of the main path's first 3x3."""
    dilation: int = 1
    """Of the main path's first 3x3."""
    later_dilation: int = 1
    """Of its second 3x3, if any."""
    shortcut: int = 1
    """Stride of the shortcut's 1x1."""
    pool_shortcut: bool = False
    """2x2 average pooling before the shortcut's 1x1."""


class Downsample(NamedTuple):
    """Steps of the block that halves the map; ``last``: of the first and other blocks of a conv5 that keeps its size."""

    halving: Steps
    last: tuple[Steps, Steps] | None = None

    def steps(self, stage: int, depth: int) -> list[Steps]:
        """Return the steps of the ``depth`` blocks of ``stage``, 0 (conv2, which keeps its size) to 3 (conv5)."""
        first, rest = (Steps(), Steps()) if stage == 0 else (self.halving, Steps())
        if stage == 3 and self.last is not None:
            first, rest = self.last
        return [first, *[rest] * (depth - 1)]


DOWNSAMPLE: dict[str, Downsample] = {
    "none": Downsample(Steps(begins=True, stride=2, shortcut=2)),
    "v1": Downsample(Steps(begins=True, pointwise=2, shortcut=2)),
    "both": Downsample(Steps(begins=True, enter=True)),
    "shortcut": Downsample(Steps(begins=True, stride=2, pool_shortcut=True)),
    "dilated": Downsample(
        Steps(begins=True, stride=2, shortcut=2), (Steps(begins=True, later_dilation=2), Steps(dilation=2, later_dilation=2))
    ),
}


def mean_pool() -> nn.AvgPool2d:
    """Return 2x2 average pooling: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)); padding is not averaged."""
    return nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)


class PooledConv(nn.Conv2d):
    """2x2 average pooling and 1x1 convolution, with the parameter names of the strided convolution it replaces."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(cin, cout, 1, bias=False)
        self.pool = mean_pool()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, cout, ceil(H / 2), ceil(W / 2)) of (B, cin, H, W)."""
        return super().forward(self.pool(x))
