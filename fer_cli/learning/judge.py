"""A trained network's decisions on prepared samples, without Lightning."""

from __future__ import annotations

import torch
from torch import Tensor

from fer_cli.config import ModelConfig, RunConfig
from fer_cli.data.augment import mirror
from fer_cli.learning.losses import decision_logits
from fer_cli.models.scn import Recogniser, Scores


def scale_pixels(images: Tensor, model: ModelConfig) -> Tensor:
    """Return (B, C, S, S) float32 in [0, 1] of stills (B, 1, C, S, S) uint8, grey repeated; of clips (B, T, C, S, S)."""
    scaled = images.float().div_(255).expand(-1, -1, model.channels, -1, -1)
    return scaled if model.network.clips else scaled.squeeze(1)


def judge_samples(
    network: Recogniser, images: Tensor, config: RunConfig, joined: Tensor | None = None, boxes: Tensor | None = None
) -> Scores:
    """Return decision logits and alpha of samples (B, T, C, S, S) uint8, averaged over mirror images if so set.

    ``boxes`` (B, T, R, 4): regions of the face. ``joined`` features (B, D) are never mirrored.
    """
    views = [(images, boxes)]
    if config.model.mirror_average:
        views.append((images.flip(-1), None if boxes is None else mirror(boxes, config.model.regions)))
    scores: list[Scores] = [network(scale_pixels(view, config.model).contiguous(), joined, seen) for view, seen in views]
    logits = [decision_logits(one.logits, one.alpha, config.learning) for one in scores]
    alphas = [one.alpha for one in scores if one.alpha is not None]
    return Scores(torch.stack(logits).mean(0), torch.stack(alphas).mean(0) if alphas else None)
