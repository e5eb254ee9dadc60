"""Spatiotemporal feature disentanglement (teacher study 2024, section 3.2, Eq 11-12, Fig 4), a paraphrase of DSTA-Net.

A block attends over elements (cells, or frames) with one map X for all positions of the other kind. With queries and keys Q
and K of element channels, other positions s = 1..S, and d channels of Q:

``avg_tanh``         X = tanh(sum_s Q_s K_s' / (d S)), the default: the paper's text computes maps by tanh
``avg_softmax``      X = mean_s softmax(Q_s K_s'), Eq 11 and the average that the paper settles on; no 1 / sqrt(d), as there
``all_pairs``        X = softmax(sum_s sum_t Q_s K_t'), Eq 12, which equals softmax((sum_s Q_s) (sum_t K_t)')
``all_pairs_naive``  the same numbers from all pairs, at the cost for which the paper rejects them
``frame``            X_s = tanh(Q_s K_s' / d), a map for each position

Then Y = X F, linear, + F, LeakyReLU(.1), linear with batch norm, + , LeakyReLU(.1). The paper prints A^s as V x V; it is
V x Z. It states the same complexity for the scheme it rejects and the one it chooses; see ``map_multiply_adds``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.precision import full_precision

NARROWING = 4
"""Channels by those of queries and keys (ours)."""
SLOPE = 0.1
NAIVE_PART = 2**24
"""Maximum number of values of a part of all pairs' maps that are held at once."""


def attention_map(queries: Tensor, keys: Tensor, mode: str) -> Tensor:
    """Return maps (B, V, V), for ``frame`` (B, S, V, V), of queries and keys (B, S, V, d)."""
    positions, width = queries.shape[1], queries.shape[3]
    if mode == "avg_tanh":  # one product of (V, S d) and (S d, V)
        wide, tall = queries.transpose(1, 2).flatten(2), keys.transpose(1, 2).flatten(2)
        return torch.tanh(wide @ tall.transpose(1, 2) / (width * positions))
    if mode == "avg_softmax":
        return torch.softmax(queries @ keys.transpose(2, 3), 3).mean(1)
    if mode == "all_pairs":
        return torch.softmax(queries.sum(1) @ keys.sum(1).transpose(1, 2), 2)
    if mode == "all_pairs_naive":
        return torch.softmax(sum_pairs(queries, keys), 2)
    return torch.tanh(queries @ keys.transpose(2, 3) / width)


def sum_pairs(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the sum (B, V, V) of the S^2 products of all pairs of positions, in bounded memory."""
    batch, positions, elements, _ = queries.shape
    at_once = max(1, NAIVE_PART // (batch * positions * elements**2))
    turned = keys.transpose(2, 3)[:, None]  # (B, 1, S, d, V)
    return torch.stack([(part[:, :, None] @ turned).sum((1, 2)) for part in torch.split(queries, at_once, 1)]).sum(0)


def map_multiply_adds(mode: str, frames: int, cells: int, width: int) -> int:
    """Return the multiply-adds of the maps of a pair of blocks, over cells and over frames, with queries of ``width``.

    ``all_pairs_naive``: 2 S^2 V^2 Z. ``all_pairs``, factored: V^2 Z + S^2 Z. Others: S V^2 Z + V S^2 Z.
    """
    if mode == "all_pairs_naive":
        return 2 * frames**2 * cells**2 * width
    if mode == "all_pairs":
        return (cells**2 + frames**2) * width
    return (frames * cells**2 + cells * frames**2) * width


class ElementAttention(nn.Module):
    """A block on (B, S, V, Z), attention over the V elements; 2 (Z + 1) Z / 4 + 2 Z (Z + 1) + 2 Z parameters.

    Maps are computed in float32 even under autocast.
    """

    def __init__(self, width: int, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.query, self.key = nn.Linear(width, width // NARROWING), nn.Linear(width, width // NARROWING)
        self.mix, self.feed = nn.Linear(width, width), nn.Linear(width, width)
        self.bn = nn.BatchNorm1d(width)

    def map_of(self, x: Tensor) -> Tensor:
        """Return the map over elements, (B, V, V), or (B, S, V, V) for ``frame``."""
        with full_precision(x):
            x = x.float()
            return attention_map(self.query(x), self.key(x), self.mode)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, shaped as ``x``."""
        weights = self.map_of(x).to(x.dtype)
        gathered = (weights if weights.ndim == 4 else weights[:, None]) @ x
        x = F.leaky_relu(x + self.mix(gathered), SLOPE)
        fed = self.bn(self.feed(x).flatten(0, 2)).unflatten(0, x.shape[:3])
        return F.leaky_relu(x + fed, SLOPE)


class Disentangle(nn.Module):
    """``layers`` times a block over cells, then one over frames: (B, T, V, Z) -> (B, T, V, Z).

    The output does not depend on where a frame stands: frames in another order give outputs in that order, as the paper has
    no codes of positions.
    """

    def __init__(self, width: int, mode: str, layers: int = 2) -> None:
        super().__init__()
        self.over_cells = nn.ModuleList(ElementAttention(width, mode) for _ in range(layers))
        self.over_frames = nn.ModuleList(ElementAttention(width, mode) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output."""
        for space, time in zip(self.over_cells, self.over_frames, strict=True):
            x = time(space(x).transpose(1, 2)).transpose(1, 2)
        return x
