"""Baseline networks of the articles, re-implemented for images of 48 to 112 pixels; none loads published weights.

Mini-Xception, three- and six-layer networks (Aly 2023, Table 4) and a multi-task network (He 2025, Table 2). The capsule
network is in ``capsule``, the face-recognition designs of Fan 2025 are in ``face_nets``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.errors import StudyError
from fer_cli.models.multiscale import LADDER, MultiScale
from fer_cli.models.scn import Network


def norm(channels: int) -> nn.BatchNorm2d:
    """Return batch norm with Keras's epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3)


def same_max_pool(x: Tensor) -> Tensor:
    """Return 3x3 stride-2 max-pooling with Keras's ``same`` padding: even sides are padded at the end only."""
    height, width = x.shape[2:]
    return F.max_pool2d(F.pad(x, (width % 2, 1, height % 2, 1), value=float("-inf")), 3, 2)


class XceptionModule(nn.Module):
    """Two depthwise-separable 3x3 convolutions, pooling, shortcut: (B, cin, H, W) -> (B, cout, H/2, W/2), rounded up."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, 2, bias=False), norm(cout))
        layers: list[nn.Module] = []
        for width in (cin, cout):
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)]
            layers += [nn.Conv2d(width, cout, 1, bias=False), norm(cout), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps."""
        return same_max_pool(self.body(x)) + self.shortcut(x)  # type: ignore[no-any-return]


class MiniXception(Network):
    """Mini-Xception (Arriaga 2017), layer by layer as in its public Keras code; accepts any ``image_size``.

    Keras counts 58,423 parameters for 1x64x64 and 7 classes: 56,951 trainable ones, this network's parameters, and 1,472
    running means and variances, buffers here. The original ends with a 3x3 convolution to one map per class and the mean of
    each map. Both are linear, so the mean is taken first: ``features`` are the nine shifted means of each last map (9 x 128
    values) and ``fc`` holds the convolution's weights: the same logits with 16 times fewer multiply-adds at 64 pixels.
    Differences: PyTorch's momentum of running statistics and initial weights; L2 decay is left to the optimiser.
    """

    WIDTHS = (16, 32, 64, 128)
    STEM = 8

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, self.STEM, 3, bias=False), norm(self.STEM), nn.ReLU(),
            nn.Conv2d(self.STEM, self.STEM, 3, bias=False), norm(self.STEM), nn.ReLU(),
        )  # fmt: skip
        befores = (self.STEM, *self.WIDTHS[:-1])
        self.body = nn.Sequential(*(XceptionModule(cin, cout) for cin, cout in zip(befores, self.WIDTHS, strict=True)))
        self.feature_size = 9 * self.WIDTHS[-1]
        self.fc = nn.Linear(self.feature_size, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the mean input (B, 9 x 128) of each of the nine taps of a padded 3x3 kernel over all positions."""
        last = self.body(self.stem(x))  # (B, 128, H, W)
        return F.unfold(last, 3, padding=1).mean(2)  # per channel, nine taps in row-major order


class PlainCNN(Network):
    """3x3 convolutions with batch norm and ReLU, 2x2 max-pooling after every ``pool_every`` of them, one hidden layer.

    Aly 2023 compares with a three-layer (Subramanian 2021) and a six-layer network (Borgalli 2022) without specifying any
    layer, so "three" and "six" count convolutions here, and widths, pooling and the hidden layer are ours.
    """

    def __init__(self, classes: int, channels: int, image_size: int, widths: Sequence[int], pool_every: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        befores = (channels, *widths[:-1])
        for place, (cin, cout) in enumerate(zip(befores, widths, strict=True), start=1):
            layers += [nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU()]
            if place % pool_every == 0:
                layers.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*layers)
        side = image_size // 2 ** (len(widths) // pool_every)
        self.feature_size = 128
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1] * side * side, self.feature_size), nn.ReLU(), nn.Dropout(0.5)
        )
        self.fc = nn.Linear(self.feature_size, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the hidden layer (B, 128)."""
        return self.hidden(self.body(x))  # type: ignore[no-any-return]


VALENCES = ("negative", "neutral", "positive")
VALENCE = {
    "angry": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sad": "negative",
    "contempt": "negative",
    "neutral": "neutral",
    "happy": "positive",
    "surprise": "positive",
    "focused": "neutral",
    "distracted": "negative",
    "curious": "positive",
    "confused": "negative",
    "tired": "negative",
}
"""Valence of each expression: He 2025's positive and negative groups, extended to all class names by convention."""
VALENCE_WEIGHT = 0.5


def encode_valences(classes: Sequence[str]) -> Tensor:
    """Return the index of each class's valence in ``VALENCES``, (K,) int64; raises StudyError for classes without one."""
    unknown = [name for name in classes if name not in VALENCE]
    if unknown:
        raise StudyError(f"mtl-fer: no valence defined for {', '.join(unknown)}; add it to VALENCE")
    return torch.tensor([VALENCES.index(VALENCE[name]) for name in classes])


def valence_loss(valence_logits: Tensor, labels: Tensor, valences: Tensor) -> Tensor:
    """Return the valence loss term, half the cross-entropy; ``labels``: classes (B,), ``valences``: as encoded (K,)."""
    return VALENCE_WEIGHT * F.cross_entropy(valence_logits, valences[labels])


class MtlFer(MultiScale):
    """MTL-FER, light: the lightweight baseline's trunk with a class head ``fc`` and a valence head ``valence``.

    Re-implements the idea only: He 2025 names "Multi-Task Facial Expression Recognition" without a reference. The second
    task needs no extra labels, as valence follows from the class; its head is used in training only (``valence_loss``).
    """

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        super().__init__(classes, channels, image_size, LADDER["lightweight"])
        self.valence = nn.Linear(self.feature_size, len(VALENCES))


def cnn3(classes: int, channels: int = 1, image_size: int = 48) -> PlainCNN:
    """Return three convolutions of 32, 64 and 128 channels, each followed by pooling."""
    return PlainCNN(classes, channels, image_size, (32, 64, 128), pool_every=1)


def cnn6(classes: int, channels: int = 1, image_size: int = 48) -> PlainCNN:
    """Return six convolutions, two each of 32, 64 and 128 channels, each pair followed by pooling."""
    return PlainCNN(classes, channels, image_size, (32, 32, 64, 64, 128, 128), pool_every=2)
