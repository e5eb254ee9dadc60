"""Losses of the self-cure family (Fan 2025, Eq 1, 2, 5; Wang 2020) and the class-centre loss (Sun 2024, Eq 9-10).

Shapes: logits (B, K) float32, alpha (B,) float32 in (0, 1), labels (B,) int64. Each loss is a scalar. Unlike in the article,
where the sum of Fan's Eq 5 grows with the batch, it is divided by the batch size; the other readings are options.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import LearningConfig
from fer_cli.models.capsule import margin_loss

LEAST_WRONG = 1e-12
"""Lower bound of 1 - p in the focal loss: powers below 1 have no gradient at 0."""
CENTRE_EPSILON = 1e-8
"""Added to the spread of the centres, which may be 0."""


def decision_logits(logits: Tensor, alpha: Tensor | None, config: LearningConfig) -> Tensor:
    """Return the logits used for prediction and loss: alpha x logits if the method weights logits, else the raw ones."""
    if alpha is None or not config.parts.weighs_logits:
        return logits
    return alpha.unsqueeze(1) * logits


def high_group_size(n: int, beta: float) -> int:
    """Return the size of the high-importance group of ``n`` images: floor(beta x n)."""
    return math.floor(beta * n + 1e-9)


def low_group(alpha: Tensor, beta: float) -> Tensor:
    """Return a (B,) bool mask of the low-importance group: all but the floor(beta x B) largest alpha."""
    mask = torch.ones_like(alpha, dtype=torch.bool)
    order = torch.argsort(alpha, descending=True, stable=True)
    mask[order[: high_group_size(len(alpha), beta)]] = False
    return mask


def rank_regularisation(alpha: Tensor, beta: float, margin: float) -> Tensor:
    """Return max(0, margin - (mean of high alpha - mean of low alpha)), Eq 2; 0 if a group is empty."""
    low = low_group(alpha, beta)
    if bool(low.all()) or not bool(low.any()):
        return alpha.sum() * 0.0
    return F.relu(margin - (alpha[~low].mean() - alpha[low].mean()))


def calibration_loss(logits: Tensor, alpha: Tensor, labels: Tensor, config: LearningConfig) -> Tensor:
    """Return Eq 5: the sum of 1 - alpha over misclassified images; ``cs_loss: reversed`` sums alpha instead.

    Minimising it raises alpha on misclassified images, against the weighted cross-entropy, which lowers it on hard images.
    """
    wrong = logits.detach().argmax(1) != labels
    each = alpha if config.cs_loss == "reversed" else 1.0 - alpha
    total = (each * wrong).sum()
    if config.cs_reduction == "batch":
        return total / len(labels)
    if config.cs_reduction == "mean_wrong":
        return total / wrong.sum().clamp(min=1)
    return total


def classification_loss(logits: Tensor, labels: Tensor, config: LearningConfig, reduction: str) -> Tensor:
    """Return cross-entropy, smoothed, focal or margin loss as configured: per image (B,), or the "mean"."""
    if config.capsule_margin:
        each = margin_loss(torch.sigmoid(logits), labels)
        return each.mean() if reduction == "mean" else each
    if config.focal_gamma == 0:
        return F.cross_entropy(logits, labels, reduction=reduction, label_smoothing=config.label_smoothing)
    each = F.cross_entropy(logits, labels, reduction="none")
    wrong = (-torch.expm1(-each)).clamp_min(LEAST_WRONG)  # 1 - p, with p = exp(-cross-entropy)
    each = wrong**config.focal_gamma * each
    return each.mean() if reduction == "mean" else each


def center_spread(centres: Tensor, config: LearningConfig) -> Tensor:
    """Return the spread of the centres (K, D): squared distances from their mean, divided as configured."""
    classes, size = centres.shape
    over = {"population": classes, "unbiased": max(1, classes - 1), "elementwise": classes * size}[config.center_spread]
    return ((centres - centres.mean(0)) ** 2).sum() / over


def class_center_loss(points: Tensor, centres: Tensor, labels: Tensor, config: LearningConfig) -> Tensor:
    """Return squared distances of points (B, D) from their class centre (K, D), divided by the spread of the centres.

    Sun 2024, Eq 9-10: the formula, not the text, which swaps numerator and denominator. Invariant to a common scale of
    points and centres, so shrinking both does not help. Difference: 1e-8 is added to the spread.
    """
    distances = ((points - centres[labels]) ** 2).sum(1)  # (B,)
    apart = center_spread(centres, config)
    spread = (apart.detach() if config.center_detach else apart) + CENTRE_EPSILON
    total = (distances / spread).sum()
    return total / len(labels) if config.center_reduction == "mean" else total


def method_loss(logits: Tensor, alpha: Tensor | None, labels: Tensor, config: LearningConfig) -> dict[str, Tensor]:
    """Return the total as ``loss`` and its terms by name; ``logits`` are raw.

    ``ce``: cross-entropy. ``scn``: weighted-logit cross-entropy + rank term. ``cs``: alpha-weighted mean of cross-entropy
    + Eq 5. ``scn-cs``: weighted-logit cross-entropy + Eq 5.
    """
    decided = decision_logits(logits, alpha, config)
    if alpha is None:
        loss = classification_loss(decided, labels, config, "mean")
        return {"loss": loss, "ce": loss.detach()}
    if config.parts.weighs_logits:
        ce = classification_loss(decided, labels, config, "mean")
    else:
        ce = (alpha * classification_loss(decided, labels, config, "none")).sum() / alpha.sum()
    parts = {"ce": ce.detach()}
    loss = ce
    if config.parts.calibrates:
        calibration = calibration_loss(decided, alpha, labels, config)
        parts["calibration"] = calibration.detach()
        loss = loss + calibration
    if config.uses_rank:
        rank = rank_regularisation(alpha, config.beta, config.rank_margin)
        parts["rank"] = rank.detach()
        gamma = config.rank_gamma
        loss = loss + rank if config.rank_form == "sum" else gamma * rank + (1 - gamma) * loss
    return {"loss": loss, **parts}
