"""A backbone with an importance weight per image (Fan 2025, Eq 1; Wang 2020).

alpha_i = sigmoid(w_alpha . x_i + b) of the pooled feature x_i. The network returns raw logits and alpha; the learning method
decides whether alpha scales the logits or weights the loss. The teacher study of 2024 (Eq 6) prints one layer before the
sigmoid for clips, its text two: linear, ReLU, linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fer_cli.models.precision import full_precision


class Backbone(Protocol):
    """A network of two parts: feature extractor and classifier."""

    fc: nn.Module
    feature_size: int

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all weights."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Set training or evaluation mode."""
        ...

    def features(self, x: Tensor, *boxes: Tensor) -> Tensor:
        """Return features (B, ``feature_size``) of images (B, channels, H, W), or of clips and boxes of regions."""
        ...


class Network(nn.Module):
    """A backbone as a module: images (B, channels, S, S), S the ``image_size`` it is built for -> logits (B, classes)."""

    fc: nn.Module

    def features(self, x: Tensor) -> Tensor:
        """Return features (B, ``feature_size``)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]


class Scores(NamedTuple):
    """Outputs for a batch: raw logits (B, K), importance alpha (B,) in (0, 1) or None, features (B, F)."""

    logits: Tensor
    alpha: Tensor | None
    features: Tensor | None = None


WIDEST = 64
"""Maximum width of the hidden layer of alpha; the sixth part of 384 features in the paper's size, of 96 in the small one."""


def importance_head(features: int, layers: int) -> nn.Module:
    """Return one or two layers from features (B, F) to one value before the sigmoid; between them F / 6, at most 64."""
    if layers == 1:
        return nn.Linear(features, 1)
    hidden = max(1, min(WIDEST, features // 6))
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))


class Recogniser(nn.Module):
    """Images (B, C, H, W) or clips (B, T, C, H, W) in [0, 1] -> ``Scores``.

    ``attention``: number of layers from features to alpha, 1 or 2; with 0, alpha is None and has no parameters. ``mean`` and
    ``std`` of the training pixels are buffers, so that checkpoints are self-contained. ``own_contrast``: each image or clip
    is standardised by its own mean and standard deviation instead. ``frozen``: only the backbone's classifier is trained;
    its batch norms stay in evaluation mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, attention: int, dropout: float = 0.0, own_contrast: bool = False, frozen: bool = False
    ) -> None:
        super().__init__()
        self.own_contrast, self.frozen = own_contrast, frozen
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.alpha = importance_head(backbone.feature_size, attention) if attention else None
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("std", torch.tensor(0.5))
        for weight in self.frozen_parameters():
            weight.requires_grad_(False)

    def frozen_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are not trained: those of a frozen backbone, without its classifier."""
        own = {id(weight) for weight in self.backbone.fc.parameters()}
        return [weight for weight in self.backbone.parameters() if id(weight) not in own] if self.frozen else []

    def train(self, mode: bool = True) -> Recogniser:
        """Set training or evaluation mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.train(False)
            self.backbone.fc.train(mode)
        return self

    def standardise(self, samples: Tensor) -> Tensor:
        """Return images or clips by the training part's mean and standard deviation, or by their own."""
        if not self.own_contrast:
            return (samples - self.mean) / self.std
        own = tuple(range(1, samples.ndim))
        middle = samples.mean(own, keepdim=True)
        return (samples - middle) / (samples.std(own, keepdim=True) + 0.01)

    def pooled(self, images: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return the backbone's features (B, F), with dropout in training."""
        regions = () if boxes is None else (boxes,)
        images = self.standardise(images)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone.features(images, *regions)
        return self.dropout(features)  # type: ignore[no-any-return]

    def attention(self, clips: Tensor, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Return what a network on clips weighs in clips (B, T, C, H, W) in [0, 1]: float32 without gradient, by name.

        ``frames`` (B, T) and ``regions`` (B, R) of an expression network with attention over them, ``patches``
        (B, T, G, G) of an action network with a region layer.
        """
        return self.backbone.attention(self.standardise(clips), boxes)  # type: ignore[attr-defined,no-any-return]

    def forward(self, images: Tensor, joined: Tensor | None = None, boxes: Tensor | None = None) -> Scores:
        """Return raw logits, features and, with attention, alpha, all float32.

        ``joined``: additional features (B, D) for a classifier built for them. ``boxes``: of regions, (B, T, R, 4). Both
        heads run in float32 even under autocast: in bf16, 256 images had only 75 distinct alphas, so ties within a batch
        decided what was relabelled.
        """
        features = self.pooled(images, boxes).float()
        with full_precision(features):
            logits = self.backbone.fc(features if joined is None else torch.cat([features, joined.float()], 1))
            alpha = None if self.alpha is None else torch.sigmoid(self.alpha(features)).squeeze(1)
        return Scores(logits, alpha, features)
