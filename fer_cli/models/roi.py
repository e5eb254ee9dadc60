"""Regions of the face (teacher study 2024, section 2.2): weights of regions, and their maps merged by thirds of the face.

The paper describes the attention over regions in words only; it is built like its Eq 2-4: u_r = channel compression of the
region's channel means over positions and frames, a = sigmoid(Q ReLU(Q' u)), and each region's maps are multiplied by a_r. As
the means are over frames, a does not depend on their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.gates import Gate
from fer_cli.models.precision import full_precision
from fer_cli.models.temporal import start_alive

COMPRESSED = 128
"""Width of the hidden layer of the channel compression."""
DEAD = 0.99
"""Share of zero outputs above which the channel compression counts as dead: the weights of regions are then constant."""


class ChannelCompression(nn.Module):
    """Two linear layers with a ReLU after each: (..., C) -> (...); 128 C + 257 parameters.

    While training it counts its zero outputs, as the last ReLU can die. It starts alive; the paper gives no start.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, COMPRESSED), nn.Linear(COMPRESSED, 1)
        start_alive(self.fc1, self.fc2)
        self.forget_counts()

    def forget_counts(self) -> None:
        """Start counting again."""
        self._zeros: Tensor | None = None
        self._outputs = 0

    def forward(self, means: Tensor) -> Tensor:
        """Return the compressed values, all at least 0."""
        u = F.relu(self.fc2(F.relu(self.fc1(means)))).squeeze(-1)
        if self.training and not u.is_meta:
            zeros = (u.detach() == 0).sum()
            self._zeros = zeros if self._zeros is None else self._zeros + zeros
            self._outputs += u.numel()
        return u

    def dead_share(self) -> float | None:
        """Return the share of zeros among the outputs since the counts started, None before any."""
        return None if self._zeros is None else float(self._zeros) / self._outputs


def dead_regions(network: nn.Module) -> float | None:
    """Return ``dead_share`` of the network's channel compression and start counting again; None if it has none.

    Above ``DEAD`` the attention over regions is constant, which a report should say.
    """
    for module in network.modules():
        if isinstance(module, ChannelCompression):
            share = module.dead_share()
            module.forget_counts()
            return share
    return None


class RegionWeights(Gate):
    """Weights (B, R) of regions from their channel means (B, R, C): in (0, 1), or with a mean of 1 for ``softmax``.

    128 C + 257 + 2 R (R + 1) parameters. In float32 even under autocast.
    """

    def __init__(self, channels: int, regions: int, kind: Literal["sigmoid", "softmax"]) -> None:
        super().__init__()
        self.kind = kind
        self.compress = ChannelCompression(channels)
        self.q1, self.q = nn.Linear(regions, regions), nn.Linear(regions, regions)

    def forward(self, means: Tensor) -> Tensor:
        """Return the weights."""
        with full_precision(means):
            scores = self.q(F.relu(self.q1(self.compress(means.float()))))
            return torch.sigmoid(scores) if self.kind == "sigmoid" else scores.shape[1] * torch.softmax(scores, 1)


class RegionAttention(nn.Module):
    """Maps of regions (B, T, R, C, H, W) times one weight per clip and region."""

    def __init__(self, channels: int, regions: int, kind: Literal["sigmoid", "softmax"]) -> None:
        super().__init__()
        self.weights = RegionWeights(channels, regions, kind)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighted maps."""
        weights = self.weights(maps.mean((4, 5)).mean(1))  # (B, R)
        scale: Tensor = weights.to(maps.dtype)[:, None, :, None, None, None]
        return maps * scale


class Thirds(nn.Module):
    """Maps of regions (N, R, C, H, W), in the order of the face's thirds -> one map (N, ``width``, H, W) per third.

    A third's regions are joined by channels and mixed by a 1x1 convolution with batch norm and ReLU: R C w + 6 w parameters
    for ``width`` w. ``sizes``: regions per third.
    """

    def __init__(self, channels: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(size * channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for size in sizes
        )

    def forward(self, maps: Tensor) -> list[Tensor]:
        """Return the maps of the thirds."""
        parts = torch.split(maps, self.sizes, 1)
        return [mix(part.flatten(1, 2)) for mix, part in zip(self.mix, parts, strict=True)]
