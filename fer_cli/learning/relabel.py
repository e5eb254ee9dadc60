"""Relabelling (Fan 2025, Eq 3) and its calibrated form (Eq 6).

A label is replaced by the most probable class if that class's probability exceeds the label's by a threshold: delta 2 in
SCN, delta 2 x (1 - alpha) with the calibration strategy. The article's text says that important images are relabelled; its
equations, and SCN, relabel the low-importance group, as here unless ``relabel_scope: all``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fer_cli.config import LearningConfig
from fer_cli.learning.losses import decision_logits, low_group


def thresholds(alpha: Tensor, config: LearningConfig) -> Tensor:
    """Return the probability margin (B,) by which each image's best class must exceed its label to replace it."""
    if not config.parts.calibrates:
        return torch.full_like(alpha, config.relabel_margin)
    return config.relabel_margin * (alpha if config.cs_threshold == "inverted" else 1.0 - alpha)


@torch.no_grad()
def relabel(logits: Tensor, alpha: Tensor, labels: Tensor, config: LearningConfig) -> Tensor:
    """Return new labels (B,) for raw ``logits`` (B, K), which are weighted by alpha unless ``relabel_logits: raw``."""
    judged = logits if config.relabel_logits == "raw" else decision_logits(logits, alpha, config)
    probabilities = judged.softmax(1)
    best, candidate = probabilities.max(1)
    lead = best - probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    change = lead > thresholds(alpha, config)
    if config.relabel_scope == "low":
        change &= low_group(alpha, config.beta)
    return torch.where(change, candidate, labels)
