"""Capsule-Emotion, small: a re-implementation of a capsule network for expressions (comparator of He 2025, Table 2).

He 2025 names it without a reference or a size, so this is the network of Sabour 2017 (dynamic routing, Eq 1-4): a
convolutional stem, 8-D primary capsules, one 16-D class capsule per expression, three routing iterations. Differences: a
stem of two 3x3 stride-2 convolutions with batch norm instead of one 9x9, 8 capsule types instead of 32, no reconstruction
decoder, and gradients through the last routing iteration only, as in common code.

A class capsule's length l = s^2 / (1 + s^2) in [0, 1), s its length before the squash, is the probability that the class is
present; its log-odds log(l / (1 - l)) = log s^2 are the logits. They rank classes like the lengths, cross-entropy can
approach 0 (on lengths, which differ by at most 1, it stops at 1.17 for 7 classes), and their sigmoid restores the lengths
for ``margin_loss``. ``features`` are the concatenated class capsules; ``fc`` maps them to logits and has no weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.precision import full_precision
from fer_cli.models.scn import Network

PRIMARY = 8
"""Dimensions of a primary capsule (Sabour 2017, section 4)."""
CLASS = 16
"""Dimensions of a class capsule (section 4)."""
ITERATIONS = 3
PRESENT, ABSENT, DOWN_WEIGHT = 0.9, 0.1, 0.5
"""m+, m- and lambda of the margin loss (Eq 4)."""
TYPES = 8
"""Primary capsule types per position."""
EPSILON = 1e-7


def squash(s: Tensor) -> Tensor:
    """Return vectors (..., D) of unchanged direction and length n^2 / (1 + n^2) < 1, n the length of ``s`` (Eq 1)."""
    square = s.square().sum(-1, keepdim=True)
    return s * (square + EPSILON).sqrt() / (1 + square)


def route(votes: Tensor, iterations: int = ITERATIONS) -> tuple[Tensor, Tensor]:
    """Return class capsules (B, K, D) and couplings (B, N, K), summing to 1 over K, of votes (B, N, K, D) (Eq 2-3)."""
    settled = votes.detach()
    agreement = torch.zeros_like(settled[..., 0])  # (B, N, K)
    for _ in range(iterations - 1):
        shares = agreement.softmax(2)
        capsules = squash((shares.unsqueeze(3) * settled).sum(1))  # (B, K, D)
        agreement = agreement + (settled * capsules.unsqueeze(1)).sum(3)
    shares = agreement.softmax(2)
    return squash((shares.unsqueeze(3) * votes).sum(1)), shares


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Return the loss (B,) of capsule lengths (B, K) in [0, 1) and labels (B,) (Eq 4)."""
    present = F.one_hot(labels, lengths.shape[1]).to(lengths.dtype)
    missing = F.relu(PRESENT - lengths).square()
    surplus = F.relu(lengths - ABSENT).square()
    return (present * missing + DOWN_WEIGHT * (1 - present) * surplus).sum(1)


class ClassCapsules(nn.Module):
    """Votes of every primary capsule for every class, routed: (B, N, 8) -> (B, K, 16)."""

    def __init__(self, capsules: int, classes: int) -> None:
        super().__init__()
        scale = classes / (CLASS * capsules) ** 0.5  # initial lengths of class capsules are then about 0.5
        self.weight = nn.Parameter(scale * torch.randn(capsules, classes, CLASS, PRIMARY))

    def forward(self, primary: Tensor) -> Tensor:
        """Return the class capsules."""
        with full_precision(primary):  # lengths near 1 differ by less than bf16 can represent
            return route(torch.einsum("nkdp,bnp->bnkd", self.weight, primary.float()))[0]

    def multiply_adds(self, output: Tensor) -> int:
        """Return the multiply-adds of the votes, the only part with weights."""
        return len(output) * self.weight.numel()


class LogOdds(nn.Module):
    """Flattened class capsules (B, 16 K) -> log-odds of their lengths (B, K)."""

    def forward(self, flat: Tensor) -> Tensor:
        """Return log(l / (1 - l)); a large negative number for zero capsules."""
        capsules = flat.float().reshape(flat.shape[0], -1, CLASS)  # (B, K, 16)
        length = (capsules.square().sum(2) + EPSILON).sqrt()
        return length.log() - (1 - length).clamp(min=EPSILON).log()


class CapsuleEmotion(Network):
    """Stem, primary capsules, class capsules (Sabour 2017); logits are log-odds of the class capsules' lengths."""

    def __init__(self, classes: int, channels: int = 1, image_size: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        )  # fmt: skip
        self.primary = nn.Conv2d(64, TYPES * PRIMARY, 3, 2, 1)
        side = -(-image_size // 8)
        self.capsules = ClassCapsules(TYPES * side * side, classes)
        self.fc = LogOdds()
        self.feature_size = classes * CLASS

    def features(self, x: Tensor) -> Tensor:
        """Return the flattened class capsules (B, 16 K)."""
        grid = self.primary(self.stem(x)).unflatten(1, (TYPES, PRIMARY))  # (B, 8 types, 8 numbers, H, W)
        primary = squash(grid.float().permute(0, 1, 3, 4, 2).flatten(1, 3))  # (B, 8 H W, 8)
        return self.capsules(primary).flatten(1)  # type: ignore[no-any-return]
