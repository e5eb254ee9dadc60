"""DOWNSAMPLE: where a residual network halves its maps (Aly 2023, Fig 4).

A 1x1 convolution with stride 2 reads one position in four. Aly 2023 takes 2x2 means first and gives the convolution
stride 1. Stages conv3 to conv5 halve their map, each in its first block:

``none``      torchvision's network: stride 2 in the first 3x3 of the main path and in the shortcut's 1x1.
``v1``        the network of He 2016 and of Aly's Fig 4 before the change: in bottlenecks the main path's first 1x1 has the
              stride, so that both paths drop three quarters of their input. Of bottlenecks only.
``both``      2x2 means before both paths, no stride in either (Aly 2023).
``shortcut``  2x2 means in the shortcut only; the main path's 3x3, which reads every position, keeps its stride.
``dilated``   the last stage keeps its size; what its stride skipped is read by dilation 2 (mentioned by Aly 2023). The
              convolution that had the stride keeps its taps, all later ones of the stage move theirs apart.

None of them changes a parameter or its name, so that one file of weights fits all. Maps of odd size keep their last row and
column in the means, so that both paths agree: 7x7 -> 4x4.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Steps(NamedTuple):
    """Strides and dilations of one residual block; as they stand here: of a block that keeps the size."""

    begins: bool = False
    """First block of conv3 to conv5: its shortcut has a 1x1 convolution, even where the number of channels stays."""
    enter: bool = False
    """2x2 means of the block's input, before both paths."""
    pointwise: int = 1
    """Stride of the 1x1 by which the main path of a bottleneck begins."""
    stride: int = 1
    """Stride of the main path's first 3x3."""
    dilation: int = 1
    """Of the main path's first 3x3."""
    later_dilation: int = 1
    """Of its second, if it has one."""
    shortcut: int = 1
    """Stride of the shortcut's 1x1."""
    pool_shortcut: bool = False
    """2x2 means before the shortcut's 1x1."""


class Downsample(NamedTuple):
    """The block that halves the map, and the first and the other blocks of conv5 where that keeps its size."""

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
"""Name -> how a residual network halves its maps."""


def mean_pool() -> nn.AvgPool2d:
    """Return 2x2 means with stride 2: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)), of what there is at the border."""
    return nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)


class PooledConv(nn.Conv2d):
    """1x1 convolution of 2x2 means, with the parameter name of the convolution with stride 2 whose place it takes."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(cin, cout, 1, bias=False)
        self.pool = mean_pool()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, cout, ceil(H / 2), ceil(W / 2)) of (B, cin, H, W)."""
        return super().forward(self.pool(x))
