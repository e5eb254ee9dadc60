"""The multi-scale fused network and its lightweight baseline (He 2025, Fig 1) as one configurable class.

The article names the parts (blueprint-separable dilated convolutions, SGE attention, global average pooling instead of the
fully connected head, cross-layer connections) but no width, depth, input size or rate; ours: a 3x3 stem of 32 channels and
four stages of two convolutions with 32, 64, 128 and 256 channels, each followed by 2x2 max-pooling. "Cross-layer connection"
can mean shortcuts within a stage or concatenating low and high stages; each is an option. ``LADDER`` adds one part at a
time, from the baseline to the proposed network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.config import PartsConfig
from fer_cli.models.attention import attention_settings, make_attention
from fer_cli.models.bsconv import BSD
from fer_cli.models.scn import Network

STEM = 32
WIDTHS = (32, 64, 128, 256)
JOINED = WIDTHS[1:]
"""Widths of the stages whose pooled maps the cross-layer connection concatenates: 448 features."""
HIDDEN = 256
"""Width of the fully connected head."""


def convolution(parts: PartsConfig, cin: int, cout: int) -> nn.Module:
    """Return a 3x3 convolution of the configured kind that keeps the size of the map."""
    if parts.conv == "dense":
        rate = parts.rates[0]
        return nn.Conv2d(cin, cout, 3, padding=rate, dilation=rate, bias=False)
    return BSD(cin, cout, parts.rates, parts.merge, parts.pw_kernel, "s" if parts.conv == "bsconv-s" else "u")


def rung(head: str, conv: str, rates: list[int], attention: str = "none", residual: bool = False) -> PartsConfig:
    """Return settings without the cross-layer connection."""
    settings = {"head": head, "conv": conv, "rates": rates, "attention": attention, "residual": residual}
    return PartsConfig.model_validate(settings | {"concat": False})


LADDER: dict[str, PartsConfig] = {
    "lightweight": rung("fc", "dense", [1]),
    "lightweight+gap": rung("gap", "dense", [1]),
    "lightweight+gap+bsconv": rung("gap", "bsconv-u", [1]),
    "lightweight+gap+bsconv-d2": rung("gap", "bsconv-u", [2]),
    "lightweight+gap+bsd": rung("gap", "bsconv-u", [1, 2, 3]),
    "lightweight+gap+bsd+sge": rung("gap", "bsconv-u", [1, 2, 3], "sge"),
    "lightweight+gap+bsd+sge+residual": rung("gap", "bsconv-u", [1, 2, 3], "sge", residual=True),
    "multiscale": PartsConfig(),
}
"""Steps from the lightweight baseline to the proposed network, one part at a time (the fourth changes the rate)."""


class Stage(nn.Module):
    """Two convolutions, attention, shortcut, pooling: (B, cin, H, W) -> (B, cout, H // 2, W // 2)."""

    def __init__(self, cin: int, cout: int, parts: PartsConfig) -> None:
        super().__init__()
        self.conv1 = convolution(parts, cin, cout)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = convolution(parts, cout, cout)
        self.bn2 = nn.BatchNorm2d(cout)
        self.attention = make_attention(parts.attention, cout, **attention_settings(parts.attention, parts))
        self.shortcut: nn.Module | None = None
        if parts.residual:
            widened = nn.Sequential(nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))
            self.shortcut = nn.Identity() if cin == cout else widened

    def forward(self, x: Tensor) -> Tensor:
        """Return the stage's output."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.attention(self.bn2(self.conv2(out)))
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return F.max_pool2d(F.relu(out), 2)


class MultiScale(Network):
    """Stem, four stages, head; ``image_size`` of 16 or more matters to the fc head only; by default the proposed network."""

    def __init__(self, classes: int, channels: int = 3, image_size: int = 48, parts: PartsConfig | None = None) -> None:
        super().__init__()
        parts = parts or PartsConfig()
        self.stem = nn.Conv2d(channels, STEM, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(STEM)
        befores = (STEM, *WIDTHS[:-1])
        self.stages = nn.ModuleList(Stage(cin, cout, parts) for cin, cout in zip(befores, WIDTHS, strict=True))
        self.concat = parts.concat
        self.hidden: nn.Module | None = None
        self.feature_size = sum(JOINED) if parts.concat else WIDTHS[-1]
        if parts.head == "fc":
            side = image_size // 2 ** len(WIDTHS)
            self.hidden = nn.Sequential(
                nn.Flatten(), nn.Linear(WIDTHS[-1] * side * side, HIDDEN), nn.ReLU(), nn.Dropout(0.5)
            )
            self.feature_size = HIDDEN
        self.fc = nn.Linear(self.feature_size, classes)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and ".attention." not in name:
                # fan-in: PyTorch's fan-out counts every channel of a depthwise kernel
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the outputs (B, 32, S/2, S/2) to (B, 256, S/16, S/16) of the four stages for images (B, channels, S, S)."""
        x = F.relu(self.bn(self.stem(x)))
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def features(self, x: Tensor) -> Tensor:
        """Return features (B, F): pooled maps, concatenated or of the last stage, or the fully connected head's output."""
        maps = self.maps(x)
        if self.hidden is not None:
            return self.hidden(maps[-1])  # type: ignore[no-any-return]
        used = maps[-len(JOINED) :] if self.concat else maps[-1:]
        return torch.cat([each.mean((2, 3)) for each in used], 1)
