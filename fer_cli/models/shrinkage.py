"""Soft thresholding with learned thresholds (Sun 2024, Fig 8; Zhao 2020, deep residual shrinkage network).

A = mean of |x| over positions, alpha = sigmoid(FC(ReLU(BN(FC(A))))), tau = alpha A, y = sign(x) max(|x| - tau, 0); one
threshold per image and channel. Sun 2024 says that this reduces the number of channels, but it keeps the shape.

The hidden layer has a quarter of the input's width, as in the TFLearn code of Zhao 2020; ``reduction=1`` matches its Keras
code, ``norm=False`` the description in Sun 2024. The block follows the last batch norm of a post-activation residual block,
before the addition; Zhao 2020 uses pre-activation blocks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.gates import Gate, channel_means, squeezed_width


def soft_threshold(x: Tensor, tau: Tensor) -> Tensor:
    """Return sign(x) max(|x| - tau, 0): values within tau of 0 become 0, others move tau towards it."""
    return torch.sign(x) * F.relu(x.abs() - tau)


class Threshold(Gate):
    """Thresholds (B, C, 1, 1) of maps (B, C, H, W): a learned fraction, in (0, 1), of each channel's mean |x|."""

    def __init__(self, channels: int, reduction: int, norm: bool) -> None:
        super().__init__()
        hidden = squeezed_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.bn = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the thresholds."""
        size = channel_means(x.abs())  # (B, C)
        share = torch.sigmoid(self.expand(F.relu(self.bn(self.reduce(size)))))
        return (share * size)[:, :, None, None]


class SoftThreshold(nn.Module):
    """Soft thresholding of (B, C, H, W): small values, regarded as noise, become 0; ``norm``: batch norm before the ReLU."""

    def __init__(self, channels: int, reduction: int = 4, norm: bool = True) -> None:
        super().__init__()
        self.threshold = Threshold(channels, reduction, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the thresholded maps."""
        return soft_threshold(x, self.threshold(x))
