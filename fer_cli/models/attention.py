"""The blocks of ``ATTENTION``: (B, C, H, W) -> (B, C, H, W) that weigh channels and positions.

``sge``: spatial group-wise enhance (He 2025, Eq 1-8; Li 2019). ``se``: squeeze-and-excitation (Sun 2024, Fig 6-7; Hu 2018).
``cbam``: convolutional block attention (Aly 2023, Fig 1; Woo 2018). ``soft-threshold``: see ``shrinkage``.

Residual networks put a block after the last batch norm of a residual branch, before the addition.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.config import ATTENTION, ModelConfig, PartsConfig, load
from fer_cli.errors import StudyError
from fer_cli.models.gates import Gate, channel_means, positions, squeezed_width

Order = Literal["channel-spatial", "spatial-channel"]

SGE_EPSILON = 1e-5
"""Added to the deviation, outside the root (He 2025, Eq 5)."""


class GroupGate(Gate):
    """Gates (B, G, H, W) of maps (B, C, H, W): how alike each position of a group of channels is to the group's mean."""

    def __init__(self, channels: int, groups: int, unbiased: bool, gamma: float, beta: float) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise StudyError(f"groups: {groups} groups do not divide {channels} channels evenly")
        self.groups, self.unbiased = groups, unbiased
        self.gamma = nn.Parameter(torch.full((groups,), gamma))
        self.beta = nn.Parameter(torch.full((groups,), beta))

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        size, _, height, width = x.shape
        if self.unbiased and height * width == 1:
            raise StudyError("unbiased: one position has no unbiased deviation; leave it out, or give larger images")
        mean = channel_means(x)  # (B, C), Eq 1
        z = torch.bmm(positions(x), mean.unsqueeze(2) * membership(x, self.groups)).float()  # (B, HW, G), Eq 2
        z = z.transpose(1, 2).reshape(size, self.groups, height, width)
        deviation = z.std((2, 3), correction=int(self.unbiased), keepdim=True)  # Eq 4
        z = (z - z.mean((2, 3), keepdim=True)) / (deviation + SGE_EPSILON)  # Eq 5
        return torch.sigmoid(self.gamma[:, None, None] * z + self.beta[:, None, None]).to(x.dtype)  # Eq 6-7


def membership(x: Tensor, groups: int) -> Tensor:
    """Return (C, G) of 0 and 1, which says to which of G groups each channel of maps (B, C, H, W) belongs.

    Products with it sum over a group, or hand a group's value to its channels, faster than maps in five dimensions.
    """
    return torch.eye(groups, dtype=x.dtype, device=x.device).repeat_interleave(x.shape[1] // groups, 0)


class SGE(nn.Module):
    """Spatial group-wise enhance: each group of channels has a gate per position; 2 ``groups`` parameters.

    Eq 4 takes the population's deviation, the public code the ``unbiased`` one. ``gamma`` and ``beta`` are the first values
    of scale and shift; they are vectors, as those of a batch norm are, and so are spared from weight decay with them.
    """

    def __init__(
        self, channels: int, groups: int = 8, unbiased: bool = False, gamma: float = 0.0, beta: float = 1.0
    ) -> None:
        super().__init__()
        self.gate = GroupGate(channels, groups, unbiased, gamma, beta)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, weighed (Eq 7)."""
        gate = self.gate(x)  # (B, G, H, W)
        each = torch.matmul(positions(gate), membership(x, gate.shape[1]).T)  # (B, HW, C)
        return x * each.transpose(1, 2).reshape(x.shape)


class SqueezeGate(Gate):
    """Gates (B, C, 1, 1) of maps (B, C, H, W): FC, ReLU, FC and sigmoid of the channels' means."""

    def __init__(self, channels: int, reduction: int, bias: bool) -> None:
        super().__init__()
        hidden = squeezed_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias)
        self.expand = nn.Linear(hidden, channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        return torch.sigmoid(self.expand(F.relu(self.reduce(channel_means(x)))))[:, :, None, None]


class SE(nn.Module):
    """Squeeze-and-excitation: each channel has a gate; 2 C^2 / ``reduction`` parameters, and the biases if any."""

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        self.gate = SqueezeGate(channels, reduction, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, weighed."""
        return x * self.gate(x)  # type: ignore[no-any-return]


class ChannelGate(Gate):
    """Gates (B, C, 1, 1) of maps (B, C, H, W): sigmoid of one network's answers to the channels' means and maxima, added."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = squeezed_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        peak = F.adaptive_max_pool2d(x, 1).flatten(1)  # on the CPU ten times faster than amax in bf16
        mean, largest = (self.expand(F.relu(self.reduce(pooled))) for pooled in (channel_means(x), peak))
        return torch.sigmoid(mean + largest)[:, :, None, None]


class SpatialGate(Gate):
    """Gates (B, 1, H, W) of maps (B, C, H, W): a convolution of the largest and the mean channel, batch norm, sigmoid."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise StudyError(f"kernel: {kernel} has no middle; give an odd number")
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        places = positions(x)
        both = torch.stack([places.max(2).values, places.mean(2)], 1)  # (B, 2, HW)
        both = both.reshape(len(x), 2, *x.shape[2:])
        return torch.sigmoid(self.bn(self.conv(both)))


class CBAM(nn.Module):
    """Channel gates, then spatial gates of what they leave; 2 C^2 / r + C / r + C + 2 k^2 + 2 parameters.

    ``reduction`` r is 16 and ``kernel`` k is 7 in the public code; Aly 2023 gives neither. ``order`` turns the two around.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7, order: Order = "channel-spatial") -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduction)
        self.spatial = SpatialGate(kernel)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, weighed twice."""
        gates = (self.channel, self.spatial) if self.order == "channel-spatial" else (self.spatial, self.channel)
        for gate in gates:
            x = x * gate(x)
        return x


def none(channels: int) -> nn.Module:
    """Return the block that changes nothing and takes no settings."""
    return nn.Identity()


def make_attention(name: str, channels: int, **own: Any) -> nn.Module:
    """Return the block of that name for maps of ``channels`` channels, with settings of its own."""
    return load(ATTENTION[name].code)(channels, **own)  # type: ignore[no-any-return]


def attention_settings(name: str, config: ModelConfig | PartsConfig) -> dict[str, Any]:
    """Return the settings of ``config`` that the block of that name takes, of those that are given and not None."""
    given = {setting: getattr(config, setting, None) for setting in ATTENTION[name].takes}
    return {setting: value for setting, value in given.items() if value is not None}
