"""The action network of the teacher study of 2024 (section 3): a region layer, then attention over cells and frames.

Each frame passes stages 1 to 3 of an SE-ResNet, a 1x1 convolution to ``width`` channels (ours: at 1,024 channels the region
layer would have 462,572,544 parameters, at 128 it has 7,244,160) and the region layer. The map is pooled to cells (ours: the
paper does not define its body parts), cells and frames attend to each other, and two layers classify the mean over both.

With ``motion`` (ours), frames enter minus the clip's mean picture. Person, clothes and background, which stay the same,
otherwise hide the action from a mean over cells and frames until training has seen many people.

No part depends on the order of the frames, as the paper has no codes of positions: a movement and its reverse look the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.config import RegionConfig
from fer_cli.models.clip_net import PAPER, SMALL, ClipNet, Size
from fer_cli.models.disentangle import Disentangle
from fer_cli.models.region_layer import RegionLayer


class ActionNet(ClipNet):
    """Clips (B, T, C, H, W) -> logits; settings as in ``ModelConfig``."""

    def __init__(
        self,
        classes: int,
        channels: int,
        frames: int,
        size: Size,
        region: RegionConfig = RegionConfig(),  # noqa: B008 -- frozen
        cells: int = 3,
        disentangle: str = "avg_tanh",
        motion: bool = False,
    ) -> None:
        super().__init__(channels, frames, size, depth=3)
        self.cells, self.grid, self.feature_size, self.motion = cells, region.grid, size.width, motion
        with self.own_draw("narrow"):
            self.narrow = nn.Conv2d(self.widths[2], size.width, 1, bias=False)
        with self.own_draw("region"):
            self.region = RegionLayer(size.width, region.layer, region.merge, region.grid)
        self.disentangle: nn.Module | None = None
        if disentangle != "none":
            with self.own_draw("disentangle"):
                self.disentangle = Disentangle(size.width, disentangle)
        with self.own_draw("classifier"):
            self.hidden = nn.Linear(size.width, size.width)
            self.fc = nn.Linear(size.width, classes)

    def features(self, x: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return features (B, ``width``); boxes are not used."""
        if self.motion:
            x = x - x.mean(1, keepdim=True)
        maps = self.region(self.narrow(self.see(x)))
        if self.disentangle is None:
            means = maps.mean((2, 3)).reshape(*x.shape[:2], -1).mean(1)
        else:
            pooled = F.adaptive_avg_pool2d(maps, self.cells).flatten(2)  # (B T, Z, V)
            means = self.disentangle(pooled.transpose(1, 2).reshape(*x.shape[:2], self.cells**2, -1)).mean((1, 2))
        return F.relu(self.hidden(means))

    def read_gates(self, seen: dict[str, Tensor], clips: int) -> dict[str, Tensor]:
        """Return ``patches`` (B, T, G, G), if there is a region layer: the mean gate, or mean absolute response, of each."""
        if "region.response" not in seen:
            return {}
        sizes = torch.as_tensor(seen["region.response"]).float().abs().mean(1, keepdim=True)
        patches = F.adaptive_avg_pool2d(sizes, self.grid)
        return {"patches": patches.reshape(clips, self.frames, self.grid, self.grid)}


def teacher_action(classes: int, channels: int = 1, image_size: int = 112, frames: int = 16, **own: Any) -> ActionNet:
    """Return the small network: 646,551 parameters for 7 classes, 456,288 of the region layer; ``image_size`` is ignored."""
    return ActionNet(classes, channels, frames, SMALL, **own)


def teacher_action_paper(classes: int, channels: int = 3, image_size: int = 224, frames: int = 16, **own: Any) -> ActionNet:
    """Return the network in the paper's size: 17,044,167 parameters for 7 classes; ``image_size`` is ignored."""
    return ActionNet(classes, channels, frames, PAPER, **own)
