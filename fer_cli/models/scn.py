"""A backbone with an importance weight per image (Fan 2025, Eq 1; Wang 2020).

alpha_i = sigmoid(w_alpha . x_i + b) from the pooled feature x_i. Whether alpha scales the logits or weighs the loss is the
learning method's choice; the network hands out raw logits and alpha.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fer_cli.models.precision import full_precision


class Backbone(Protocol):
    """A network in two steps: features, and the classifier on top of them."""

    fc: nn.Module
    feature_size: int

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all weights."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch to training or evaluation."""
        ...

    def features(self, x: Tensor) -> Tensor:
        """Return features (B, ``feature_size``) of images (B, channels, H, W)."""
        ...


class Scores(NamedTuple):
    """What a recogniser says of a batch: raw logits (B, K), importance alpha (B,) in (0, 1) or none, features (B, F)."""

    logits: Tensor
    alpha: Tensor | None
    features: Tensor | None = None


class Recogniser(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> ``Scores``; with ``attention`` off there is no alpha and no parameter for it.

    ``mean`` and ``std`` of the training pixels are part of the network, so that a checkpoint needs nothing beside it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, attention: bool, dropout: float = 0.0, own_contrast: bool = False, frozen: bool = False
    ) -> None:
        """``own_contrast``: each image is standardised by its own mean and deviation instead.

        ``frozen``: of the backbone only the classifier is trained; its batch norms stay as they are, too.
        """
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
        """Return the parameters that training leaves as they are: those of a frozen backbone but for its classifier."""
        own = {id(weight) for weight in self.backbone.fc.parameters()}
        return [weight for weight in self.backbone.parameters() if id(weight) not in own] if self.frozen else []

    def train(self, mode: bool = True) -> Recogniser:
        """Switch to training or evaluation; a frozen backbone is always evaluated."""
        super().train(mode)
        if self.frozen:
            self.backbone.train(False)
            self.backbone.fc.train(mode)
        return self

    def pooled(self, images: Tensor) -> Tensor:
        """Return the backbone's features (B, F), some of them dropped in training where ``dropout`` says so."""
        if self.own_contrast:
            middle = images.mean((1, 2, 3), keepdim=True)
            images = (images - middle) / (images.std((1, 2, 3), keepdim=True) + 0.01)
        else:
            images = (images - self.mean) / self.std
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone.features(images)
        return self.dropout(features)  # type: ignore[no-any-return]

    def forward(self, images: Tensor, joined: Tensor | None = None) -> Scores:
        """Return raw logits, features and, with attention, alpha, all of them float32.

        Both heads are computed in float32 whatever the autocast precision: bf16 has so few numbers between 0 and 1 that 256
        images had 75 distinct alphas, and their order within a batch decided which were relabelled.

        ``joined``: features (B, D) that the classifier gets beside the backbone's, where it was made for D of them.
        """
        features = self.pooled(images).float()
        with full_precision(features):
            logits = self.backbone.fc(features if joined is None else torch.cat([features, joined.float()], 1))
            alpha = None if self.alpha is None else torch.sigmoid(self.alpha(features)).squeeze(1)
        return Scores(logits, alpha, features)
