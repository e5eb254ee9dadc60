"""RoIAlign (He 2017, Mask R-CNN): a box of a map, resampled to a fixed number of bins.

The mean of two by two bilinear samples per bin, at the box's exact, unrounded place (``aligned``). Boxes are fractions of
the image, so that no scale of the map is needed. Samples beyond the centres of the outermost pixels take the border's value.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.models.precision import full_precision

SAMPLES = 2
"""Sampling points of a bin, per axis."""


def roi_align(maps: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Return the content (N, R, C, side, side) float32 of ``boxes`` in ``maps``.

    maps: (N, C, H, W). boxes: (N, R, 4) in [0, 1] as x0, y0, x1, y1, fractions of the image. In float32 even under autocast:
    places in bf16 would be off by up to half a percent of the image.
    """
    count, regions, _ = boxes.shape
    points = SAMPLES * side
    with full_precision(maps):
        boxes = boxes.float()
        steps = (torch.arange(points, device=boxes.device, dtype=torch.float32) + 0.5) / points
        start, extent = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
        places = 2 * (start[..., None] + extent[..., None] * steps) - 1  # (N, R, 2, points): x and y in [-1, 1]
        x = places[:, :, 0, None, :].expand(-1, -1, points, -1)
        y = places[:, :, 1, :, None].expand(-1, -1, -1, points)
        grid = torch.stack([x, y], -1).reshape(count, regions * points, points, 2)
        sampled = F.grid_sample(maps.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
        bins = F.avg_pool2d(sampled, SAMPLES)  # (N, C, R side, side)
    return bins.reshape(count, -1, regions, side, side).transpose(1, 2)
