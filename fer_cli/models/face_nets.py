"""VGG-Face-, DeepFace- and OpenFace-style networks at reduced width (comparators of Fan 2025, Fig 9-10).

Re-implementations of three face-recognition designs for faces of 48 to 112 instead of 152 to 224 pixels, trained from
scratch on expressions. Published weights are not used, so scores reflect the design, not the pretrained systems.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.scn import Network


def conv_bn(cin: int, cout: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and ReLU; stride 1 keeps the size of the map."""
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU())


class VggFace(Network):
    """VGG-Face (Parkhi 2015): the 16 weight layers of VGG, at a quarter of the width; ``image_size`` of 32 or more.

    Differences: 16 to 128 instead of 64 to 512 channels, fully connected layers of 256 instead of 4,096, batch norm after
    each convolution (without it 16 layers do not train from scratch), no face-recognition pre-training.
    """

    BLOCKS = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))
    """Channels and number of 3x3 convolutions before each 2x2 max-pooling."""

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for wider, depth in self.BLOCKS:
            for _ in range(depth):
                layers.append(conv_bn(width, wider, 3))
                width = wider
            layers.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*layers)
        side = image_size // 2 ** len(self.BLOCKS)
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(width * side * side, 256), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5),
        )  # fmt: skip
        self.feature_size = 256
        self.fc = nn.Linear(256, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the second hidden layer (B, 256) of images (B, channels, S, S)."""
        return self.hidden(self.body(x))  # type: ignore[no-any-return]


class LocallyConnected(nn.Module):
    """A convolution with unshared kernels: (B, cin, S, S) -> (B, cout, O, O), S the ``size``, O = (S - k) // stride + 1.

    ``weight``: (O O, cout, cin k k), positions in row-major order; ``bias``: (cout O O,), a vector, so that weight decay
    skips it like other biases.
    """

    def __init__(self, cin: int, cout: int, kernel: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.side = (size - kernel) // stride + 1
        fan_in = cin * kernel * kernel
        self.weight = nn.Parameter(torch.randn(self.side**2, cout, fan_in) * (2 / fan_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(cout * self.side**2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map."""
        patches = F.unfold(x, self.kernel, stride=self.stride)  # (B, cin k k, O O)
        out: Tensor = torch.einsum("pof,bfp->bop", self.weight, patches)
        return (out.flatten(1) + self.bias).reshape(x.shape[0], -1, self.side, self.side)

    def multiply_adds(self, output: Tensor) -> int:
        """Return the multiply-adds: each weight is applied once per image."""
        return len(output) * self.weight.numel()


class DeepFace(Network):
    """DeepFace (Taigman 2014): C1 - M2 - C3 - L4 - L5 - L6 - F7 - F8, with L locally connected; ``image_size`` >= 26.

    Differences: 5x5 and 3x3 kernels instead of 11x11, 9x9, 7x7 and 5x5, too large for 48 pixels; F7 of 256 instead of
    4,096; batch norm after C1 and C3; no 3-D frontalisation.
    """

    WIDTHS = (32, 16)
    """Channels of C1, and of every later map."""

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        super().__init__()
        first, later = self.WIDTHS
        self.c1 = nn.Sequential(nn.Conv2d(channels, first, 5, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.m2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.c3 = nn.Sequential(nn.Conv2d(first, later, 3, bias=False), nn.BatchNorm2d(later), nn.ReLU())
        side = (image_size - 4) // 2 - 2  # after C1, M2 and C3
        self.l4 = LocallyConnected(later, later, 3, side)
        self.l5 = LocallyConnected(later, later, 3, self.l4.side, stride=2)
        self.l6 = LocallyConnected(later, later, 3, self.l5.side)
        self.f7 = nn.Sequential(nn.Flatten(), nn.Linear(later * self.l6.side**2, 256), nn.ReLU(), nn.Dropout(0.5))
        self.feature_size = 256
        self.fc = nn.Linear(256, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return F7 (B, 256) of images (B, channels, S, S)."""
        x = self.c3(self.m2(self.c1(x)))
        for local in (self.l4, self.l5, self.l6):
            x = F.relu(local(x))
        return self.f7(x)  # type: ignore[no-any-return]


class PoolBranch(nn.Module):
    """3x3 max or root-mean-square pooling, then a 1x1 convolution unless ``cout`` is 0."""

    def __init__(self, cin: int, cout: int, kind: Literal["max", "l2"], stride: int = 1) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride
        self.project = conv_bn(cin, cout, 1) if cout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled map."""
        if self.kind == "max":
            pooled = F.max_pool2d(x, 3, self.stride, 1)
        else:
            pooled = (F.avg_pool2d(x.square(), 3, self.stride, 1) + 1e-6).sqrt()
        return self.project(pooled)  # type: ignore[no-any-return]


class Mix(NamedTuple):
    """Channels of one inception block; 0 omits a branch."""

    one: int
    """Of the 1x1 branch."""
    three: tuple[int, int]
    """Of the 3x3 branch: of its 1x1 reduction and its output."""
    five: tuple[int, int]
    """Of the 5x5 branch, likewise."""
    pool: Literal["max", "l2"]
    projected: int
    """Of the pooling branch; 0 omits its 1x1 and keeps the input channels."""
    stride: int = 1


NN4_SMALL2 = (
    Mix(16, (24, 32), (4, 8), "max", 8),
    Mix(16, (24, 32), (8, 16), "l2", 16),
    Mix(0, (32, 64), (8, 16), "max", 0, stride=2),
    Mix(64, (24, 48), (8, 16), "l2", 32),
    Mix(0, (40, 64), (16, 32), "max", 0, stride=2),
    Mix(64, (24, 96), (0, 0), "l2", 24),
    Mix(64, (24, 96), (0, 0), "max", 24),
)
"""Blocks 3a, 3b, 3c, 4a, 4e, 5a and 5b of OpenFace's nn4.small2, at a quarter of the channels."""


class Inception(nn.Module):
    """1x1, 3x3, 5x5 and pooling branches, concatenated: (B, cin, H, W) -> (B, ``width``, H/stride, W/stride)."""

    def __init__(self, cin: int, mix: Mix) -> None:
        super().__init__()
        branches: list[nn.Module] = [PoolBranch(cin, mix.projected, mix.pool, mix.stride)]
        for kernel, (reduced, wide) in ((3, mix.three), (5, mix.five)):
            if wide:
                branches.append(nn.Sequential(conv_bn(cin, reduced, 1), conv_bn(reduced, wide, kernel, mix.stride)))
        if mix.one:
            branches.append(conv_bn(cin, mix.one, 1))
        self.branches = nn.ModuleList(branches)
        self.width = mix.one + mix.three[1] + mix.five[1] + (mix.projected or cin)

    def forward(self, x: Tensor) -> Tensor:
        """Return the concatenated maps."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class OpenFace(Network):
    """OpenFace (Amos 2016, nn4.small2): inception blocks, a unit-length 128-D embedding, a linear classifier.

    Differences: a quarter of the channels; a 3x3 stem of stride 1 instead of 7x7 of stride 2, so that 48 pixels reach the
    last block as 3x3; batch norm but no local response normalisation; embedding and classifier are trained together, without
    triplets. The embedding is scaled by sqrt(128) to suit the classifier's default initialisation and learning rate. Any
    ``image_size``.
    """

    EMBEDDING = 128

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn(channels, 16, 3), nn.MaxPool2d(3, 2, 1), conv_bn(16, 16, 1), conv_bn(16, 48, 3), nn.MaxPool2d(3, 2, 1)
        )
        width = 48
        blocks: list[Inception] = []
        for mix in NN4_SMALL2:
            blocks.append(Inception(width, mix))
            width = blocks[-1].width
        self.body = nn.Sequential(*blocks)
        self.embedding = nn.Linear(width, self.EMBEDDING)
        self.feature_size = self.EMBEDDING
        self.fc = nn.Linear(self.EMBEDDING, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, 128) of length sqrt(128) of images (B, channels, S, S)."""
        pooled = self.body(self.stem(x)).mean((2, 3))  # (B, 184)
        return F.normalize(self.embedding(pooled)) * math.sqrt(self.EMBEDDING)
