"""A backbone with an importance weight per image (Fan 2025, Eq 1; Wang 2020).

alpha_i = sigmoid(w_alpha . x_i + b) of the pooled feature x_i. The network returns raw logits and alpha; the learning method
decides whether alpha scales the logits or weights the loss.
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

    def features(self, x: Tensor) -> Tensor:
        """Return features (B, ``feature_size``) of images (B, channels, H, W)."""
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


class Recogniser(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> ``Scores``; without ``attention`` alpha is None and has no parameters.

    ``mean`` and ``std`` of the training pixels are buffers, so that checkpoints are self-contained. ``own_contrast``: each
    image is standardised by its own mean and standard deviation instead. ``frozen``: only the backbone's classifier is
    trained; its batch norms stay in evaluation mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, attention: bool, dropout: float = 0.0, own_contrast: bool = False, frozen: bool = False
    ) -> None:
        super().__init__()
        self.own_contrast, self.frozen = own_contrast, frozen
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.alpha = nn.Linear(backbone.feature_size, 1) if attention else None
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

    def pooled(self, images: Tensor) -> Tensor:
        """Return the backbone's features (B, F), with dropout in training."""
        if self.own_contrast:
            middle = images.mean((1, 2, 3), keepdim=True)
            images = (images - middle) / (images.std((1, 2, 3), keepdim=True) + 0.01)
        else:
            images = (images - self.mean) / self.std
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone.features(images)
        return self.dropout(features)  # type: ignore[no-any-return]

    def forward(self, images: Tensor, joined: Tensor | None = None) -> Scores:
        """Return raw logits, features and, with attention, alpha, all float32.

        ``joined``: additional features (B, D) for a classifier built for them. Both heads run in float32 even under
        autocast: in bf16, 256 images had only 75 distinct alphas, so ties within a batch decided what was relabelled.
        """
        features = self.pooled(images).float()
        with full_precision(features):
            logits = self.backbone.fc(features if joined is None else torch.cat([features, joined.float()], 1))
            alpha = None if self.alpha is None else torch.sigmoid(self.alpha(features)).squeeze(1)
        return Scores(logits, alpha, features)
