"""Region layer (teacher study 2024, section 3.1; Zhao 2016, DRML): a separate convolution for each patch of a map.

Patch (i, j) passes BN_ij, ReLU and conv3x3_ij, padded by zeros at the patch's border; the patches are put back, added to the
map, and a ReLU follows, as in DRML's prototxt (the PyTorch port omits the last ReLU). The paper also speaks of weights by a
patch's contribution, hence ``merge: gate``: the map times the sigmoid of the convolution. It is run as one grouped call.

A map whose side is no multiple of the grid g is resized to g ceil(side / g), bilinear; the port breaks there, and padding
would make dead patches. If a patch is a single pixel, only the centre of its kernel sees anything but zeros.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.models.gates import Gate


def fit_grid(maps: Tensor, grid: int) -> Tensor:
    """Return maps (N, C, H, W), resized so that ``grid`` divides both sides."""
    height, width = (grid * -(-side // grid) for side in maps.shape[2:])
    if maps.shape[2:] == (height, width):
        return maps
    return F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)


def to_patches(maps: Tensor, grid: int) -> Tensor:
    """Return maps (N, C, H, W) as (N, g g C, H / g, W / g), patches in row-major order."""
    count, channels, height, width = maps.shape
    patches = maps.reshape(count, channels, grid, height // grid, grid, width // grid)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(count, grid**2 * channels, height // grid, width // grid)


def from_patches(patches: Tensor, grid: int) -> Tensor:
    """Return maps (N, C, H, W) of patches (N, g g C, H / g, W / g)."""
    count, joined, height, width = patches.shape
    maps = patches.reshape(count, grid, grid, joined // grid**2, height, width)
    return maps.permute(0, 3, 1, 4, 2, 5).reshape(count, -1, grid * height, grid * width)


class Response(Gate):
    """Batch norm, ReLU and 3x3 convolution of maps (N, C, H, W), each patch of ``grid`` x ``grid`` with its own weights.

    g^2 (9 C^2 + 3 C) parameters. ``gate``: the output is a sigmoid.
    """

    def __init__(self, channels: int, grid: int, gate: bool) -> None:
        super().__init__()
        self.grid, self.gate = grid, gate
        self.bn = nn.BatchNorm2d(grid**2 * channels)
        self.conv = nn.Conv2d(grid**2 * channels, grid**2 * channels, 3, padding=1, groups=grid**2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the response, shaped as ``x``."""
        response = from_patches(self.conv(F.relu(self.bn(to_patches(x, self.grid)), inplace=True)), self.grid)
        return torch.sigmoid(response) if self.gate else response


class RegionLayer(nn.Module):
    """Maps (N, C, H, W) -> (N, C, H', W'), H' and W' the next multiples of the grid.

    ``layer``: ``local``; ``shared``: one convolution with the same weights everywhere, which crosses the patches' borders;
    ``none``: the ReLU alone, at the map's own size. A response of 0 gives the ReLU of the map for ``sum``.
    """

    def __init__(
        self,
        channels: int,
        layer: Literal["local", "shared", "none"] = "local",
        merge: Literal["sum", "gate"] = "sum",
        grid: int = 7,
    ) -> None:
        super().__init__()
        self.grid, self.merge = grid, merge
        self.response = None if layer == "none" else Response(channels, grid if layer == "local" else 1, merge == "gate")

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged maps."""
        if self.response is None:
            return F.relu(x)
        x = fit_grid(x, self.grid)
        response = self.response(x)
        return F.relu(x + response if self.merge == "sum" else x * response)
