"""Random input of any network: images, or clips with boxes of regions where it takes them."""

import torch
from torch import Tensor

from fer_cli.config import BACKBONES, REGIONS, ModelConfig

FRAMES = 4


def random_boxes(count: int, frames: int, regions: int) -> Tensor:
    """Return boxes (N, T, R, 4) in [0, 1], at least a tenth of the side wide."""
    start = 0.6 * torch.rand(count, frames, regions, 2)
    return torch.cat([start, start + 0.1 + 0.3 * torch.rand(count, frames, regions, 2)], 3)


def random_input(config: ModelConfig, count: int, side: int = 48, frames: int = FRAMES) -> tuple[Tensor, ...]:
    """Return images (N, C, S, S), or clips (N, T, C, S, S) and boxes, as the backbone of ``config`` takes them."""
    known = BACKBONES[config.backbone]
    if not known.clips:
        return (torch.rand(count, config.channels, side, side),)
    clips = torch.rand(count, frames, config.channels, side, side)
    return (clips, random_boxes(count, frames, REGIONS[config.regions])) if known.regions else (clips,)
