"""Attention blocks, (B, C, H, W) -> (B, C, H, W), that reweight channels and positions.

``sge``: spatial group-wise enhance (He 2025, Eq 1-8; Li 2019). ``se``: squeeze-and-excitation (Sun 2024, Fig 6-7; Hu 2018).
``cbam``: convolutional block attention (Aly 2023, Fig 1; Woo 2018). ``soft-threshold``: see ``shrinkage``. In residual
networks the block follows the last batch norm of each residual branch, before the addition.
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
GateStart = Literal["zero", "one"]
MOMENTUM = 0.01
"""Momentum of the batch norm of spatial gates in the public CBAM."""

SGE_EPSILON = 1e-5
"""Added to the standard deviation, outside the root (He 2025, Eq 5)."""


class GroupGate(Gate):
    """Gates (B, G, H, W) of maps (B, C, H, W): similarity of each position in a channel group to the group's mean."""

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
            raise StudyError("unbiased: undefined for 1x1 maps; remove the setting or use larger images")
        mean = channel_means(x)  # (B, C), Eq 1
        z = torch.bmm(positions(x), mean.unsqueeze(2) * membership(x, self.groups)).float()  # (B, HW, G), Eq 2
        z = z.transpose(1, 2).reshape(size, self.groups, height, width)
        deviation = z.std((2, 3), correction=int(self.unbiased), keepdim=True)  # Eq 4
        z = (z - z.mean((2, 3), keepdim=True)) / (deviation + SGE_EPSILON)  # Eq 5
        return torch.sigmoid(self.gamma[:, None, None] * z + self.beta[:, None, None]).to(x.dtype)  # Eq 6-7


def membership(x: Tensor, groups: int) -> Tensor:
    """Return the group membership (C, G) of the channels of ``x``, 0 or 1; products with it are faster than 5-D maps."""
    return torch.eye(groups, dtype=x.dtype, device=x.device).repeat_interleave(x.shape[1] // groups, 0)


class SGE(nn.Module):
    """Spatial group-wise enhance: one gate per channel group and position; 2 ``groups`` parameters.

    Eq 4 uses the population standard deviation, the public code the ``unbiased`` one. ``gamma`` and ``beta`` initialise
    scale and shift, which like those of a batch norm are exempt from weight decay.
    """

    def __init__(
        self, channels: int, groups: int = 8, unbiased: bool = False, gamma: float = 0.0, beta: float = 1.0
    ) -> None:
        super().__init__()
        self.gate = GroupGate(channels, groups, unbiased, gamma, beta)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times the gates (Eq 7)."""
        gate = self.gate(x)  # (B, G, H, W)
        per_channel = torch.matmul(positions(gate), membership(x, gate.shape[1]).T)  # (B, HW, C)
        return x * per_channel.transpose(1, 2).reshape(x.shape)


class SqueezeGate(Gate):
    """Gates (B, C, 1, 1) of maps (B, C, H, W): FC, ReLU, FC and sigmoid of the channel means."""

    def __init__(self, channels: int, reduction: int, bias: bool, least: int) -> None:
        super().__init__()
        hidden = max(least, squeezed_width(channels, reduction))
        self.reduce = nn.Linear(channels, hidden, bias)
        self.expand = nn.Linear(hidden, channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        return torch.sigmoid(self.expand(F.relu(self.reduce(channel_means(x)))))[:, :, None, None]


class SE(nn.Module):
    """Squeeze-and-excitation: one gate per channel; 2 C^2 / ``reduction`` parameters, plus biases if ``bias``.

    ``least``: minimum width of the hidden layer, for narrow networks.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False, least: int = 1) -> None:
        super().__init__()
        self.gate = SqueezeGate(channels, reduction, bias, least)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times the gates."""
        return x * self.gate(x)  # type: ignore[no-any-return]


class ChannelGate(Gate):
    """Gates (B, C, 1, 1) of maps (B, C, H, W): sigmoid of a shared MLP's summed outputs for channel means and maxima."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = squeezed_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        peak = F.adaptive_max_pool2d(x, 1).flatten(1)  # ten times faster than amax in bf16 on the CPU
        mean, largest = (self.expand(F.relu(self.reduce(pooled))) for pooled in (channel_means(x), peak))
        return torch.sigmoid(mean + largest)[:, :, None, None]


class SpatialGate(Gate):
    """Gates (B, 1, H, W) of maps (B, C, H, W): convolution of channel maximum and mean, batch norm, sigmoid."""

    def __init__(self, kernel: int, start: GateStart = "one") -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise StudyError(f"kernel: {kernel} is even; use an odd number")
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=MOMENTUM if start == "zero" else 0.1)
        if start == "zero":
            nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates."""
        places = positions(x)
        pooled = torch.stack([places.max(2).values, places.mean(2)], 1)  # (B, 2, HW)
        return torch.sigmoid(self.bn(self.conv(pooled.reshape(x.shape[0], 2, *x.shape[2:]))))


class CBAM(nn.Module):
    """Channel gates, then spatial gates (or reversed by ``order``); 2 C^2 / r + C / r + C + 2 k^2 + 2 parameters.

    ``reduction`` r is 16 and ``kernel`` k is 7 in the public code; Aly 2023 specifies neither. ``gate_start``: scale of the
    spatial gate's batch norm at the start, ``zero`` in the public residual network (Jongchan/attention-module).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel: int = 7,
        order: Order = "channel-spatial",
        gate_start: GateStart = "one",
    ) -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduction)
        self.spatial = SpatialGate(kernel, gate_start)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times both gates."""
        gates = (self.channel, self.spatial) if self.order == "channel-spatial" else (self.spatial, self.channel)
        for gate in gates:
            x = x * gate(x)
        return x


def none(channels: int) -> nn.Module:
    """Return an identity block."""
    return nn.Identity()


def make_attention(name: str, channels: int, **own: Any) -> nn.Module:
    """Return the block ``name`` for maps of ``channels`` channels, with its own settings."""
    return load(ATTENTION[name].code)(channels, **own)  # type: ignore[no-any-return]


def attention_settings(name: str, config: ModelConfig | PartsConfig) -> dict[str, Any]:
    """Return the settings of ``config`` that the block ``name`` takes, without those that are None."""
    given = {setting: getattr(config, setting, None) for setting in ATTENTION[name].takes}
    return {setting: value for setting, value in given.items() if value is not None}
