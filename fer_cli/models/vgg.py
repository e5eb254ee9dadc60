"""VGG networks (Simonyan 2015): VGG-16 with torchvision's parameter names, to load its ImageNet weights, and a small one.

VGG-16 is the deep feature extractor of Sun 2024 (section 3.1, Table 2): its feature is fc7 after ReLU, 4,096 values. As in
torchvision, the last map is averaged to 7x7, so that sides other than 224 work; convolutions have He initialisation, linear
layers N(0, 0.01), biases 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fer_cli.models.face_nets import conv_bn
from fer_cli.models.scn import Network

Stages = Sequence[tuple[int, int]]
"""Channels and number of 3x3 convolutions before each 2x2 max-pooling."""

CONFIGURATION_D: Stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Simonyan 2015, Table 1, column D: 13 convolutions."""
FC_SIZE = 4096
"""Width of fc6 and fc7 (Simonyan 2015, Table 1)."""
POOLED_SIDE = 7
"""Side of fc6's input map."""


class Convolutions(nn.Sequential):
    """torchvision's ``features`` layers, callable as a backbone's ``features``.

    The attribute ``features`` is both the name of the kernels in weights files and the function returning (B, 4096). So a
    call continues through ``later``, pooling and hidden layers; ``maps`` stops at the last map, and so does a slice.
    """

    later: tuple[nn.Module, nn.Sequential] | None = None
    """Pooling and classifier, whose last layer is skipped; a tuple, so that they are not registered as submodules here."""

    def maps(self, x: Tensor) -> Tensor:
        """Return the last map (B, C, H', W') of images (B, channels, H, W); each stage halves the sides."""
        for layer in self:
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return the last hidden layer after ReLU (B, F), with dropout in training, of images (B, channels, H, W)."""
        maps = self.maps(x)
        if self.later is None:
            return maps
        pool, classifier = self.later
        return classifier[:-1](torch.flatten(pool(maps), 1))  # type: ignore[no-any-return]


class VGG(nn.Module):
    """3x3 convolutions and 2x2 max-pooling without batch norm, two hidden layers, a linear classifier; default: VGG-16."""

    def __init__(self, classes: int, channels: int = 3, stages: Stages = CONFIGURATION_D, hidden: int = FC_SIZE) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for wider, depth in stages:
            for _ in range(depth):
                layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU(inplace=True)]
                width = wider
            layers.append(nn.MaxPool2d(2))
        self.features = Convolutions(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED_SIDE)
        self.classifier = nn.Sequential(
            nn.Linear(width * POOLED_SIDE**2, hidden), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(hidden, classes),
        )  # fmt: skip
        self.features.later = (self.avgpool, self.classifier)
        self.feature_size = hidden
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    @property
    def fc(self) -> nn.Module:
        """The layer from features to logits, torchvision's ``classifier.6``."""
        return self.classifier[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) of images (B, channels, H, W)."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]


class VggSmall(Network):
    """Six 3x3 convolutions of 32, 64 and 128 channels, two each, and one hidden layer of 256, for 48 to 112 pixels.

    The first three stages of VGG's configuration B at half the width (a quarter of the cost). Differences: batch norm after
    each convolution (Ioffe 2015), to train from scratch; global average pooling instead of the last max-pooling, for any
    image side; one hidden layer of 256 instead of two of 4,096. ``cnn6`` of ``comparators`` has the same convolutions but
    flattens its last map into 128.
    """

    WIDTHS = (32, 64, 128)

    def __init__(self, classes: int, channels: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for cin, cout in zip((channels, *self.WIDTHS[:-1]), self.WIDTHS, strict=True):
            layers += [conv_bn(cin, cout, 3), conv_bn(cout, cout, 3), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers[:-1])
        self.feature_size = 256
        self.hidden = nn.Sequential(nn.Linear(self.WIDTHS[-1], self.feature_size), nn.ReLU(), nn.Dropout(0.5))
        self.fc = nn.Linear(self.feature_size, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the hidden layer after ReLU (B, 256), with dropout in training, of images (B, channels, H, W)."""
        return self.hidden(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


def vgg16(classes: int, channels: int = 3, image_size: int = 224) -> VGG:
    """Return torchvision's VGG-16: 138,357,544 parameters for 3 channels and 1,000 classes, 134,285,126 for 6.

    Any ``image_size`` of 32 or more; the last map is averaged to 7x7 or, below 224, upsampled by repetition.
    """
    return VGG(classes, channels)


def vgg_small(classes: int, channels: int = 1, image_size: int = 48) -> VggSmall:
    """Return the small network: 321,703 parameters for 1 channel and 7 classes at any ``image_size``."""
    return VggSmall(classes, channels)
