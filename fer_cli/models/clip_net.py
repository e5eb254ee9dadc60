"""What networks on clips share: the trunk that sees each frame, its sizes, and checks of their input.

The paper's trunk is SE-ResNet-50 for 224-pixel images; ``SMALL`` is for faces of 48 to 112 pixels. A trunk's weights can
start from a network on stills with the same stem and stages (``Backbone.trunk`` in the config).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fer_cli.errors import StudyError
from fer_cli.models.gates import watch_gates
from fer_cli.models.resnet import TINY, BasicBlock, Block, Bottleneck, Trunk
from fer_cli.seeds import derive_seed


class Size(NamedTuple):
    """Widths of a network on clips."""

    block: Block
    shape: dict[str, Any]
    """Arguments of ``Trunk``."""
    least: int
    """Minimum width of hidden layers of squeeze-and-excitation."""
    bins: int
    """Side of a region's map."""
    width: int
    """Channels after the merging convolutions: of each third of the face, or of the region layer."""


SMALL = Size(BasicBlock, TINY, 4, 4, 32)
PAPER = Size(
    Bottleneck,
    {"widths": (64, 128, 256, 512), "blocks": (3, 4, 6, 3), "stem": "large", "keep_last": True},
    1,
    7,
    128,
)


class ClipNet(Trunk):
    """A network on clips (B, T, C, H, W) float32, standardised; ``depth``: stages of the trunk, 3 or 4."""

    def __init__(self, channels: int, frames: int, size: Size, depth: int) -> None:
        shape = size.shape | {"widths": size.shape["widths"][:depth], "blocks": size.shape["blocks"][:depth]}
        super().__init__(channels, size.block, **shape)
        self.draw_weights("se", least=size.least)
        self.frames = frames
        self._draw = int(torch.randint(2**62, (), device="cpu"))

    @contextmanager
    def own_draw(self, part: str) -> Iterator[None]:
        """Draw the weights of a part from its own random numbers, so that they do not depend on which other parts exist."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self._draw, part))
            yield

    def see(self, clips: Tensor) -> Tensor:
        """Return the third stage's maps (B T, C, H', W') of the frames; raises StudyError for other numbers of frames."""
        if clips.ndim != 5 or clips.shape[1] != self.frames:
            shape = "x".join(map(str, clips.shape))
            raise StudyError(f"frames: the network takes clips (B, {self.frames}, C, H, W), not {shape}; set data.frames")
        x = self.enter(clips.flatten(0, 1))
        for index in (1, 2, 3):
            x = self.get_submodule(f"layer{index}")(x)
        return x

    def features(self, x: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return features (B, ``feature_size``) of clips, with boxes (B, T, R, 4) of regions if the network takes them."""
        raise NotImplementedError

    def forward(self, x: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return logits (B, classes)."""
        return self.fc(self.features(x, boxes))  # type: ignore[no-any-return]

    @torch.no_grad()
    def attention(self, clips: Tensor, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Return what the network weighs in clips, float32 -- see ``read_gates`` of each network."""
        with watch_gates(self) as seen:
            self.features(clips, boxes)
        return {name: values.float() for name, values in self.read_gates(seen, len(clips)).items()}

    def read_gates(self, seen: dict[str, Tensor], clips: int) -> dict[str, Tensor]:
        """Return the recorded gates that explain a decision, by name."""
        raise NotImplementedError
