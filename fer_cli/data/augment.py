"""Random augmentation of training batches as tensor operations, without loops over images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import AugmentConfig


def augment(images: Tensor, config: AugmentConfig, seed: int) -> Tensor:
    """Return augmented images (B, C, H, W) or clips (B, T, C, H, W) float32 in [0, 1], deterministic for a seed.

    Flip, rotation, translation and scale in one bilinear resampling (edges repeated), then brightness and contrast, then at
    most one black square. All frames of a clip are changed alike.
    """
    shape = images.shape
    images = images.flatten(1, -3)
    generator = torch.Generator().manual_seed(seed)
    n = len(images)

    def uniform(*shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1).to(images.device)

    flip = torch.where(uniform(n) < 2 * config.flip - 1, -1.0, 1.0)
    angle = uniform(n) * math.radians(config.rotate)
    zoom = 1 + uniform(n) * config.scale
    shift = uniform(n, 2) * 2 * config.translate
    gain = 1 + uniform(n, 1, 1, 1) * config.contrast
    lift = uniform(n, 1, 1, 1) * config.brightness
    square = uniform(n, 4).add(1).div(2)

    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    matrix = torch.stack(
        [torch.stack([cos * flip, -sin, shift[:, 0]], 1), torch.stack([sin * flip, cos, shift[:, 1]], 1)], 1
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * gain + mean + lift).clamp(0, 1)
    erased = images if config.erase == 0 else images * ~_squares(images, square, config.erase)
    return erased.reshape(shape)


def _squares(images: Tensor, square: Tensor, share: float) -> Tensor:
    """Return a (B, 1, H, W) bool mask of one square, 10-30 % of the side, in a fraction ``share`` of the images."""
    height, width = images.shape[-2:]
    side = 0.1 + 0.2 * square[:, 0]
    top, left = square[:, 1] * (1 - side), square[:, 2] * (1 - side)
    rows = torch.arange(height, device=images.device) / height
    columns = torch.arange(width, device=images.device) / width
    in_rows = (rows >= top[:, None]) & (rows < (top + side)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + side)[:, None])
    mask = in_rows[:, :, None] & in_columns[:, None, :] & (square[:, 3] < share)[:, None, None]
    return mask[:, None]
