"""Random augmentation of training batches as tensor operations, without loops over images."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import AugmentConfig
from fer_cli.data.regions import CELL, MIRRORED


class Draws(NamedTuple):
    """Random changes of B samples."""

    flipped: Tensor
    """(B,) bool."""
    matrix: Tensor
    """(B, 2, 3): affine map from places in the result to places in the image; both reach from -1 to 1."""
    gain: Tensor
    """(B, 1, 1, 1), as is ``lift``: contrast and brightness."""
    lift: Tensor
    square: Tensor
    """(B, 4) in [0, 1]: see ``_squares``."""


def draw_changes(n: int, config: AugmentConfig, seed: int, device: torch.device) -> Draws:
    """Return the changes of ``n`` samples, deterministic for a seed."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1).to(device)

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
    return Draws(flip < 0, matrix, gain, lift, square)


def augment(images: Tensor, config: AugmentConfig, seed: int) -> Tensor:
    """Return augmented images (B, C, H, W) or clips (B, T, C, H, W) float32 in [0, 1], deterministic for a seed.

    Flip, rotation, translation and scale in one bilinear resampling (edges repeated), then brightness and contrast, then at
    most one black square. All frames of a clip are changed alike.
    """
    return apply_changes(images, draw_changes(len(images), config, seed, images.device), config)


def augment_clips(clips: Tensor, boxes: Tensor, config: AugmentConfig, regions: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return clips (B, T, C, H, W) as ``augment``, and their boxes (B, T, R, 4) after the same changes.

    ``regions``: kind of the boxes, ``model.regions``.
    """
    draws = draw_changes(len(clips), config, seed, clips.device)
    moved = move_boxes(boxes, draws.matrix)
    swapped = moved[:, :, MIRRORED[regions]]
    return apply_changes(clips, draws, config), torch.where(draws.flipped[:, None, None, None], swapped, moved)


def move_boxes(boxes: Tensor, matrix: Tensor) -> Tensor:
    """Return the boxes (B, T, R, 4) that bound the moved corners of ``boxes``, clipped to the image; see ``Draws.matrix``.

    Sides shorter than a map cell (``regions.CELL``) grow around their centre.
    """
    corners = boxes[..., [0, 1, 2, 1, 0, 3, 2, 3]].reshape(len(boxes), -1, 2) * 2 - 1
    turn, shift = matrix[:, :, :2], matrix[:, None, :, 2]
    (a, b), (c, d) = turn[:, 0].unbind(1), turn[:, 1].unbind(1)
    back = torch.stack([d, -c, -b, a], 1).reshape(-1, 2, 2) / (a * d - b * c)[:, None, None]  # inverse, transposed
    places = (((corners - shift) @ back + 1) / 2).reshape(*boxes.shape[:-1], 4, 2)
    low, high = places.amin(-2).clamp(0, 1), places.amax(-2).clamp(0, 1)
    middle = ((low + high) / 2).clamp(CELL / 2, 1 - CELL / 2)
    small = high - low < CELL
    low, high = torch.where(small, middle - CELL / 2, low), torch.where(small, middle + CELL / 2, high)
    return torch.cat([low, high], -1).clamp(0, 1)


def mirror(boxes: Tensor, regions: str) -> Tensor:
    """Return boxes (B, T, R, 4) of mirrored images; the left and right ones of kind ``regions`` are swapped."""
    left, top, right, bottom = boxes[:, :, MIRRORED[regions]].unbind(-1)
    return torch.stack([1 - right, top, 1 - left, bottom], -1)


def apply_changes(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Return changed images (B, C, H, W) or clips (B, T, C, H, W) float32 in [0, 1]."""
    shape = images.shape
    images = images.flatten(1, -3)
    grid = F.affine_grid(draws.matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * draws.gain + mean + draws.lift).clamp(0, 1)
    erased = images if config.erase == 0 else images * ~_squares(images, draws.square, config.erase)
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
