"""VGG-Face-, DeepFace- and OpenFace-style networks at reduced width (comparators of Fan 2025, Fig 9-10).

Re-implementations of three face-recognition designs, trained from scratch on expressions: their published weights are not
used, so their numbers say what the design does here, not what the pretrained systems do. Each keeps its design's layout
and is made for faces of 48 to 112 pixels in the place of 152 to 224.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(cin: int, cout: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch normalisation and ReLU; stride 1 keeps the size of the map."""
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU())


class VggFace(nn.Module):
    """VGG-Face (Parkhi 2015): the 16 weight layers of VGG, at a quarter of the width.

    What differs: 16 to 128 channels for 64 to 512, fully connected layers of 256 for 4,096, batch normalisation after each
    convolution (without it 16 layers do not train from scratch), no face-recognition pretraining.
    """

    BLOCKS = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))
    """Channels and number of 3x3 convolutions before each 2x2 max-pooling."""

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        """``image_size``: 32 or more."""
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

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]


class LocallyConnected(nn.Module):
    """A convolution whose kernels differ from place to place: (B, cin, S, S) -> (B, cout, O, O), O = (S - k) // stride + 1.

    ``weight``: (O O, cout, cin k k), places row by row; ``bias``: (cout O O,), a
    vector as other biases are, and so spared from weight decay with them.
    """

    def __init__(self, cin: int, cout: int, kernel: int, size: int, stride: int = 1) -> None:
        """``size``: side S of the map it will see."""
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.side = (size - kernel) // stride + 1
        behind = cin * kernel * kernel
        self.weight = nn.Parameter(torch.randn(self.side**2, cout, behind) * (2 / behind) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(cout * self.side**2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map."""
        patches = F.unfold(x, self.kernel, stride=self.stride)  # (B, cin k k, O O)
        out: Tensor = torch.einsum("pof,bfp->bop", self.weight, patches)
        return (out.flatten(1) + self.bias).reshape(len(x), -1, self.side, self.side)

    def multiply_adds(self, output: Tensor) -> int:
        """Return how many weights are applied: each once an image."""
        return len(output) * self.weight.numel()


class DeepFace(nn.Module):
    """DeepFace (Taigman 2014): two shared convolutions, three locally connected layers, one hidden layer.

    C1 - M2 - C3 - L4 - L5 - L6 - F7 - F8 in its names, strides and order. What differs: 5x5 and 3x3 kernels for 11x11,
    9x9, 7x7 and 5x5, which 48 pixels would not survive; F7 of 256 for 4,096; batch normalisation after the two shared
    convolutions; no 3-D frontalisation of the face before it.
    """

    WIDTHS = (32, 16)
    """Channels of C1, and of every later map."""

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        """``image_size``: 26 or more."""
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

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]


class PoolBranch(nn.Module):
    """3x3 pooling by the maximum or by the root of the mean square, then optionally a 1x1 convolution."""

    def __init__(self, cin: int, cout: int, kind: Literal["max", "l2"], stride: int = 1) -> None:
        """``cout`` 0: no convolution."""
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
    """Channels of one inception block; 0 leaves a branch out."""

    one: int
    """Of the 1x1 branch."""
    three: tuple[int, int]
    """Of the 3x3 branch, before and after its large kernel."""
    five: tuple[int, int]
    """Likewise of the 5x5 branch."""
    pool: Literal["max", "l2"]
    projected: int
    """Of the pooling branch; 0 leaves its 1x1 out and keeps the channels of the input."""
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
"""Blocks 3a, 3b, 3c, 4a, 4e, 5a and 5b of OpenFace's nn4.small2, with a quarter of its channels."""


class Inception(nn.Module):
    """Branches of 1x1, 3x3, 5x5 convolutions and pooling, joined: (B, cin, H, W) -> (B, ``width``, H/stride, W/stride)."""

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
        """Return the joined maps."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class OpenFace(nn.Module):
    """OpenFace (Amos 2016, nn4.small2): inception blocks, a 128-number embedding of unit length, a linear classifier.

    What differs: a quarter of the channels; a 3x3 stem of stride 1 for the 7x7 of stride 2, so that 48 pixels reach the
    last block as 3x3; batch normalisation only, without local response normalisation; no triplet training: embedding and
    classifier learn together. The unit embedding is scaled by sqrt(128), so that the classifier's usual initial weights and
    learning rate fit.
    """

    EMBEDDING = 128

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        """``image_size`` makes no difference: the network averages over places."""
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
        unit = F.normalize(self.embedding(pooled))
        return unit * math.sqrt(self.EMBEDDING)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]
