"""The expression network of the teacher study of 2024 (section 2): regions of the face in every frame, then time.

Each frame passes stages 1 to 3 of an SE-ResNet; RoIAlign cuts the regions out of its map; the fourth stage, which keeps
their size (a stride would leave 4x4 of 7x7; the paper says nothing), and the attention over regions refine them; the regions
of each third of the face are joined, pass a ConvLSTM, and frames are summarised (``temporal``). Label correction and losses
are those of self-cure learning.

For 16 frames and 7 classes, 32,223,310 parameters in the paper's size, for colour, with an importance head of two layers;
small and grey 577,306, and 575,834 with a head of one. For a seed, a part's initial weights do not depend on the others.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from fer_cli.config import THIRDS
from fer_cli.errors import StudyError
from fer_cli.models.clip_net import PAPER, SMALL, ClipNet, Size
from fer_cli.models.convlstm import ConvLSTM
from fer_cli.models.roi import RegionAttention, Thirds
from fer_cli.models.roi_align import roi_align
from fer_cli.models.temporal import TEMPORAL


class ExpressionNet(ClipNet):
    """Clips (B, T, C, H, W) and boxes (B, T, R, 4) in [0, 1] as x0, y0, x1, y1 -> logits; settings as in ``ModelConfig``."""

    def __init__(
        self,
        classes: int,
        channels: int,
        frames: int,
        size: Size,
        regions: str = "au",
        region_attention: Literal["sigmoid", "softmax", "none"] = "sigmoid",
        convlstm: bool = True,
        temporal: str = "attention",
    ) -> None:
        super().__init__(channels, frames, size, depth=4)
        self.bins, thirds, seen = size.bins, THIRDS[regions], self.widths[3]
        self.regions = sum(thirds)
        self.region_attention: nn.Module | None = None
        if region_attention != "none":
            with self.own_draw("region attention"):
                self.region_attention = RegionAttention(seen, self.regions, region_attention)
        with self.own_draw("thirds"):
            self.thirds = Thirds(seen, size.width, thirds)
        self.convlstm: nn.ModuleList | None = None
        if convlstm:
            with self.own_draw("convlstm"):
                self.convlstm = nn.ModuleList(ConvLSTM(size.width, size.width) for _ in thirds)
        with self.own_draw("temporal"):
            self.temporal = TEMPORAL[temporal](len(thirds) * size.width, frames, size.bins)
        self.feature_size = int(self.temporal.feature_size)  # type: ignore[arg-type]
        with self.own_draw("classifier"):
            self.fc = nn.Linear(self.feature_size, classes)

    def features(self, x: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return features (B, ``feature_size``); raises StudyError for missing boxes or another number of regions."""
        return self.temporal(self.over_time(x, boxes))  # type: ignore[no-any-return]

    def over_time(self, clips: Tensor, boxes: Tensor | None) -> Tensor:
        """Return the maps (B, T, 3 w, bins, bins) of the face's thirds, after the ConvLSTMs if there are any."""
        seen = self.see(clips)
        expected = (*clips.shape[:2], self.regions, 4)
        if boxes is None or boxes.shape != expected:
            given = "none" if boxes is None else "x".join(map(str, boxes.shape))
            raise StudyError(f"boxes: the network takes {'x'.join(map(str, expected))}, not {given}; set model.regions")
        cut = roi_align(seen, boxes.flatten(0, 1), self.bins)  # (B T, R, C, bins, bins)
        fine = self.get_submodule("layer4")(cut.flatten(0, 1)).unflatten(0, (*clips.shape[:2], self.regions))
        if self.region_attention is not None:
            fine = self.region_attention(fine)
        maps = [one.unflatten(0, clips.shape[:2]) for one in self.thirds(fine.flatten(0, 1))]
        if self.convlstm is not None:
            maps = [lstm(one) for lstm, one in zip(self.convlstm, maps, strict=True)]
        return torch.cat(maps, 2)

    def read_gates(self, seen: dict[str, Tensor], clips: int) -> dict[str, Tensor]:
        """Return ``regions`` (B, R) and ``frames`` (B, T), the weights of regions and frames, if there are any."""
        named = {"regions": "region_attention.weights", "frames": "temporal.weights"}
        return {name: seen[gate] for name, gate in named.items() if gate in seen}


def teacher_expression(classes: int, channels: int = 1, image_size: int = 48, frames: int = 16, **own: Any) -> ExpressionNet:
    """Return the small network; ``image_size`` is ignored."""
    return ExpressionNet(classes, channels, frames, SMALL, **own)


def teacher_expression_paper(
    classes: int, channels: int = 3, image_size: int = 224, frames: int = 16, **own: Any
) -> ExpressionNet:
    """Return the network in the paper's size; ``image_size`` is ignored."""
    return ExpressionNet(classes, channels, frames, PAPER, **own)
