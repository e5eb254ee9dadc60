"""Residual networks (He 2016) in torchvision's parameter names, so that its ImageNet files load.

``resnet18`` is torchvision's network. ``resnet18-small`` keeps its four stages of two basic blocks at a quarter of the
width and replaces the 7x7 stride-2 stem and the max-pooling by one 3x3 convolution, for faces of 48 to 112 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, cin, H, W) -> (B, cout, H/stride, W/stride)."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = (
            nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
            if stride != 1 or cin != cout
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out + shortcut, inplace=True)


def stage(cin: int, width: int, depth: int, stride: int) -> nn.Sequential:
    """Return ``depth`` blocks, the first of which changes width and size."""
    return nn.Sequential(BasicBlock(cin, width, stride), *(BasicBlock(width, width) for _ in range(depth - 1)))


class ResNet(nn.Module):
    """Stem, four stages of basic blocks, global average pooling, linear classifier ``fc``."""

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (2, 2, 2, 2),
        large_stem: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = (
            nn.Conv2d(channels, widths[0], 7, 2, 3, bias=False)
            if large_stem
            else nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large_stem else nn.Identity()
        self.layer1 = stage(widths[0], widths[0], blocks[0], 1)
        self.layer2 = stage(widths[0], widths[1], blocks[1], 2)
        self.layer3 = stage(widths[1], widths[2], blocks[2], 2)
        self.layer4 = stage(widths[2], widths[3], blocks[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], classes)
        self.feature_size = widths[3]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """Return pooled features (B, F) of images (B, channels, H, W)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) of images (B, channels, H, W)."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]


def resnet18(classes: int, channels: int = 3) -> ResNet:
    """Return torchvision's ResNet-18: 11,689,512 parameters for 3 channels and 1,000 classes."""
    return ResNet(classes, channels)


def resnet18_small(classes: int, channels: int = 1) -> ResNet:
    """Return ResNet-18 at a quarter of the width with a 3x3 stem, for faces of 48 to 112 pixels."""
    return ResNet(classes, channels, widths=(16, 32, 64, 128), large_stem=False)
