"""TEMPORAL: how maps of several frames become one vector of features (teacher study 2024, section 2.3, Eq 1-5).

``attention``  w^s = ReLU(Q2 ReLU(Q1 o^s)) of each frame's channel means o^s (Eq 2-3); x = softmax(Q4 ReLU(Q3 w)) over
               frames (Eq 4); the weighted sum of the maps (Eq 5), averaged over positions. The text of Eq 2 says "channel
               dimension"; the mean is over positions. Eq 4 is garbled in print: the ReLU is read between its two layers.
``mean``       the mean over frames; ``last``: the last frame, both averaged over positions.
``lstm``       the last state of an LSTM over the frames' channel means, which the paper says loses the places.
``flatten``    all values, which the paper says need too many weights.

Attention depends on the number of frames: Q3 and Q4 are T x T. The paper gives no initial weights; with ours, a frame's
weight starts as that of its own content. Q2 starts with positive weights and Q1 with positive biases; otherwise w can be 0
for every clip, so that Q1 to Q3 get no gradient. Q3 and Q4 start as identities. At random they mix the frames, and in clips
with one telling moment at a random place attention hardly found it (after 80 steps, three seeds: +.01 to +.12 of the weight
beyond the moment's share of frames; with identities +.77 to +.83).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.gates import Gate
from fer_cli.models.precision import full_precision

REDUCTION = 16
"""Width of the channel means by that of Q1's output (ours)."""
LIVE_BIAS = 0.1
"""Initial bias of hidden units before a ReLU."""


def start_alive(hidden: nn.Linear, last: nn.Linear) -> None:
    """Let the output ReLU(last(ReLU(hidden(x)))) start above 0: no negative weight in ``last``, no bias below 0."""
    with torch.no_grad():
        hidden.bias.fill_(LIVE_BIAS)
        last.weight.abs_()
        last.bias.zero_()


class FrameWeights(Gate):
    """Weights (B, T) of frames, which sum to 1, from channel means (B, T, C), in float32 even under autocast.

    C h + 2 h + 1 + 2 T (T + 1) parameters, h = C / 16.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.q1, self.q2 = nn.Linear(channels, hidden), nn.Linear(hidden, 1)
        self.q3, self.q4 = nn.Linear(frames, frames), nn.Linear(frames, frames)
        start_alive(self.q1, self.q2)
        for layer in (self.q3, self.q4):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, means: Tensor) -> Tensor:
        """Return the weights."""
        with full_precision(means):
            scores = F.relu(self.q2(F.relu(self.q1(means.float())))).squeeze(2)  # (B, T), Eq 3
            return torch.softmax(self.q4(F.relu(self.q3(scores))), 1)  # Eq 4


class Attention(nn.Module):
    """Sum of the frames' maps, weighted by attention."""

    def __init__(self, channels: int, frames: int, side: int) -> None:
        super().__init__()
        self.feature_size = channels
        self.weights = FrameWeights(channels, frames)

    def merge(self, maps: Tensor) -> Tensor:
        """Return (B, C, H, W) of maps (B, T, C, H, W)."""
        weights = self.weights(maps.mean((3, 4)))
        return torch.einsum("bt,btchw->bchw", weights.to(maps.dtype), maps)  # Eq 5

    def forward(self, maps: Tensor) -> Tensor:
        """Return features (B, C)."""
        return self.merge(maps).mean((2, 3))


class Mean(nn.Module):
    """Mean over frames and positions."""

    def __init__(self, channels: int, frames: int, side: int) -> None:
        super().__init__()
        self.feature_size = channels

    def forward(self, maps: Tensor) -> Tensor:
        """Return features (B, C) of maps (B, T, C, H, W)."""
        return maps.mean((1, 3, 4))


class Last(Mean):
    """Mean over the positions of the last frame."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return features (B, C) of maps (B, T, C, H, W)."""
        return maps[:, -1].mean((2, 3))


class PooledLSTM(nn.Module):
    """Last hidden state of an LSTM over the frames' channel means; 8 C (C + 1) parameters."""

    def __init__(self, channels: int, frames: int, side: int) -> None:
        super().__init__()
        self.feature_size, self.frames = channels, frames
        self.lstm = nn.LSTM(channels, channels, batch_first=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return features (B, C) of maps (B, T, C, H, W)."""
        with full_precision(maps):
            states, _ = self.lstm(maps.float().mean((3, 4)))
        return states[:, -1]  # type: ignore[no-any-return]

    def multiply_adds(self, output: Tensor) -> int:
        """Return the multiply-adds of ``output`` (B, C)."""
        return output.numel() * 8 * self.feature_size * self.frames


class Flatten(nn.Module):
    """All values of all frames."""

    def __init__(self, channels: int, frames: int, side: int) -> None:
        super().__init__()
        self.feature_size = channels * frames * side**2

    def forward(self, maps: Tensor) -> Tensor:
        """Return features (B, T C H W) of maps (B, T, C, H, W)."""
        return maps.flatten(1)


TEMPORAL: dict[str, type[nn.Module]] = {
    "attention": Attention,
    "mean": Mean,
    "last": Last,
    "lstm": PooledLSTM,
    "flatten": Flatten,
}
