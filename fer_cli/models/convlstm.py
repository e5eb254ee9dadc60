"""Convolutional LSTM (Shi 2015) as in the teacher study of 2024, section 2.3.

i, f, o, g = one convolution of [x_t, h_{t-1}]; c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g); h_t = sigmoid(o) tanh(c_t).
h_0 = c_0 = 0. The gates' order and the lack of peepholes follow the public code (ndrplz/ConvLSTM_pytorch). The paper calls
the output a three-dimensional vector; it is a map with channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvLSTM(nn.Module):
    """One layer: maps (B, T, ``inputs``, H, W) -> all hidden states (B, T, ``hidden``, H, W).

    4 h (i + h) k^2 + 4 h parameters for i inputs, h hidden channels and ``kernel`` k. Biases start at 0, those of the forget
    gate at ``forget_bias``.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int = 3, forget_bias: float = 0.0) -> None:
        super().__init__()
        self.inputs, self.hidden, self.padding = inputs, hidden, kernel // 2
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, kernel, padding=self.padding)
        assert self.gates.bias is not None
        nn.init.zeros_(self.gates.bias)
        nn.init.constant_(self.gates.bias.detach()[hidden : 2 * hidden], forget_bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the hidden states; the inputs' part of all steps is one convolution."""
        of_input, of_state = torch.split(self.gates.weight, [self.inputs, self.hidden], 1)
        given = F.conv2d(maps.flatten(0, 1), of_input, self.gates.bias, padding=self.padding)
        hidden, cell, states = None, None, []
        for gates in given.reshape(*maps.shape[:2], *given.shape[1:]).unbind(1):
            if hidden is not None:  # else it is 0
                gates = gates + F.conv2d(hidden, of_state, padding=self.padding)  # noqa: PLW2901
            opened, new = torch.split(gates, [3 * self.hidden, self.hidden], 1)
            enter, keep, leave = torch.sigmoid(opened).chunk(3, 1)
            added = enter * torch.tanh(new)
            cell = added if cell is None else keep * cell + added
            hidden = leave * torch.tanh(cell)
            states.append(hidden)
        return torch.stack(states, 1)

    def multiply_adds(self, output: Tensor) -> int:
        """Return the multiply-adds of ``output`` (B, T, hidden, H, W), those of the first step's zero state not counted."""
        batch, steps, _, height, width = output.shape
        per_input = self.gates.weight[:, : self.inputs].numel()
        per_state = self.gates.weight[:, self.inputs :].numel()
        return batch * height * width * (steps * per_input + (steps - 1) * per_state)
