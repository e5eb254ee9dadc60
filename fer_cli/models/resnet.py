"""Residual networks (He 2016) with torchvision's parameter names, so that its ImageNet weights load.

``resnet18`` and ``resnet50`` are torchvision's networks, whose bottlenecks have the stride in the 3x3. The small variants,
for faces of 48 to 112 pixels, use a quarter of the width and replace the 7x7 stride-2 stem and max-pooling by one 3x3
convolution, with stride 2 in ResNet-50. All take an ``ATTENTION`` block after the last batch norm of each residual branch
(Aly 2023, Fig 5; Sun 2024, Fig 7-8) and a ``DOWNSAMPLE`` variant (Aly 2023, Fig 4). For a given seed, shared weights are
initialised identically whatever these two are: attention weights are drawn last, and down-sampling has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.errors import StudyError
from fer_cli.models.attention import make_attention
from fer_cli.models.downsample import DOWNSAMPLE, PooledConv, Steps, mean_pool
from fer_cli.models.scn import Network


def conv3x3(cin: int, cout: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution without bias: (B, cin, H, W) -> (B, cout, ceil(H / stride), ceil(W / stride))."""
    return nn.Conv2d(cin, cout, 3, stride, dilation, dilation, bias=False)


def projection(cin: int, cout: int, steps: Steps) -> nn.Sequential | None:
    """Return the shortcut's 1x1 convolution and batch norm, or None for an identity shortcut."""
    if cin == cout and not steps.begins:
        return None
    conv = PooledConv(cin, cout) if steps.pool_shortcut else nn.Conv2d(cin, cout, 1, steps.shortcut, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, attention, and a shortcut: (B, cin, H, W) -> (B, width, H/2 or H, W/2 or W)."""

    expansion: ClassVar[int] = 1

    def __init__(self, cin: int, width: int, steps: Steps) -> None:
        super().__init__()
        if steps.pointwise != 1:
            raise StudyError("downsample: v1 requires bottlenecks; ResNet-18's basic blocks have no 1x1 in the main path")
        self.enter = mean_pool() if steps.enter else nn.Identity()
        self.conv1 = conv3x3(cin, width, steps.stride, steps.dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, dilation=steps.later_dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(cin, width, steps)
        self.attention: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        x = self.enter(x)
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.attention(self.bn2(self.conv2(out)))
        return F.relu(out + shortcut, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, attention, and a shortcut: (B, cin, H, W) -> (B, 4 width, H/2 or H, W/2 or W)."""

    expansion: ClassVar[int] = 4

    def __init__(self, cin: int, width: int, steps: Steps) -> None:
        super().__init__()
        cout = self.expansion * width
        self.enter = mean_pool() if steps.enter else nn.Identity()
        self.conv1 = nn.Conv2d(cin, width, 1, steps.pointwise, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, steps.stride, steps.dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.downsample = projection(cin, cout, steps)
        self.attention: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        x = self.enter(x)
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.attention(self.bn3(self.conv3(out)))
        return F.relu(out + shortcut, inplace=True)


Block = type[BasicBlock] | type[Bottleneck]


def stage(block: Block, cin: int, width: int, steps: Sequence[Steps]) -> nn.Sequential:
    """Return one block per entry of ``steps``; the first changes the number of channels."""
    cout = block.expansion * width
    return nn.Sequential(block(cin, width, steps[0]), *(block(cout, width, step) for step in steps[1:]))


TINY: dict[str, Any] = {"widths": (16, 32, 64, 64), "blocks": (2, 2, 2, 2), "stem": "small-stride2", "keep_last": True}
"""Shape of the trunk of small networks on clips."""
Stem = Literal["large", "small", "small-stride2", "middle"]


class Trunk(Network):
    """Stem and stages of residual blocks, one per width, named as torchvision's; the last stages may be left out.

    ``keep_last``: the fourth stage keeps the size of its input.
    """

    def __init__(
        self,
        channels: int,
        block: Block,
        widths: Sequence[int],
        blocks: Sequence[int],
        stem: Stem,
        downsample: str = "none",
        keep_last: bool = False,
    ) -> None:
        super().__init__()
        kernel, stride = {"large": (7, 2), "middle": (5, 2), "small": (3, 1), "small-stride2": (3, 2)}[stem]
        self.conv1 = nn.Conv2d(channels, widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "large" else nn.Identity()
        self.widths = [block.expansion * width for width in widths]
        """Channels of the stages' outputs."""
        inputs = (widths[0], *self.widths)
        for index, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            keeps = keep_last and index == 3
            steps = [Steps()] * depth if keeps else DOWNSAMPLE[downsample].steps(index, depth)
            self.add_module(f"layer{index + 1}", stage(block, inputs[index], width, steps))

    def draw_weights(self, attention: str, **options: Any) -> None:
        """Draw the convolutions' weights, and give every block its ``attention`` block, drawn last."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():  # drawn last, so that other initial weights do not change
            if isinstance(module, BasicBlock | Bottleneck):
                module.attention = make_attention(attention, module.conv1.out_channels * module.expansion, **options)

    def enter(self, x: Tensor) -> Tensor:
        """Return the stem's output (B, C, H', W') for images (B, channels, H, W)."""
        return self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))  # type: ignore[no-any-return]


class ResNet(Trunk):
    """Stem, four stages of residual blocks, global average pooling, ``fc``; ``options``: settings of the attention block."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        block: Block = BasicBlock,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (2, 2, 2, 2),
        stem: Stem = "large",
        attention: str = "none",
        downsample: str = "none",
        keep_last: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(channels, block, widths, blocks, stem, downsample, keep_last)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = self.widths[3]
        self.fc = nn.Linear(self.feature_size, classes)
        self.draw_weights(attention, **options)

    @property
    def stages(self) -> list[nn.Module]:
        """The four stages in forward order."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the outputs (B, C, H', W') of the four stages for images (B, channels, H, W)."""
        x = self.enter(x)
        outputs = []
        for layer in self.stages:
            x = layer(x)
            outputs.append(x)
        return outputs

    def features(self, x: Tensor) -> Tensor:
        """Return pooled features (B, F) of images (B, channels, H, W)."""
        return torch.flatten(self.avgpool(self.maps(x)[-1]), 1)


def resnet18(classes: int, channels: int = 3, image_size: int = 224, **options: Any) -> ResNet:
    """Return torchvision's ResNet-18: 11,689,512 parameters for 3 channels and 1,000 classes, 11,179,590 for 6.

    ``options``, here and below: attention, downsample and the attention block's settings. ``image_size`` is ignored.
    """
    return ResNet(classes, channels, **options)


def resnet18_small(classes: int, channels: int = 1, image_size: int = 48, **options: Any) -> ResNet:
    """Return ResNet-18 at a quarter of the width with a 3x3 stem: 700,791 parameters for 1 channel and 7 classes."""
    return ResNet(classes, channels, widths=(16, 32, 64, 128), stem="small", **options)


def resnet10_small(classes: int, channels: int = 1, image_size: int = 48, **options: Any) -> ResNet:
    """Return one block per stage, 16 to 96 channels, 5x5 stride-2 stem: 177,095 parameters for 1 channel and 7 classes.

    Of ten shapes given equal processor time, it had the highest accuracy on validation images of synth-basic and CK+48.
    """
    return ResNet(classes, channels, widths=(16, 24, 48, 96), blocks=(1, 1, 1, 1), stem="middle", **options)


def resnet50(classes: int, channels: int = 3, image_size: int = 224, **options: Any) -> ResNet:
    """Return torchvision's ResNet-50: 25,557,032 parameters for 3 channels and 1,000 classes, 23,522,375 for 7."""
    return ResNet(classes, channels, Bottleneck, blocks=(3, 4, 6, 3), **options)


def resnet50_small(classes: int, channels: int = 1, image_size: int = 48, **options: Any) -> ResNet:
    """Return ResNet-50 at a quarter of the width, 3x3 stride-2 stem: 1,482,359 parameters for 1 channel and 7 classes."""
    return ResNet(classes, channels, Bottleneck, (16, 32, 64, 128), (3, 4, 6, 3), "small-stride2", **options)


def se_resnet50(classes: int, channels: int = 3, image_size: int = 224) -> ResNet:
    """Return ResNet-50 with squeeze-and-excitation: 28,071,976 parameters for 3 channels and 1,000 classes."""
    return resnet50(classes, channels, image_size, attention="se")


def se_resnet18_tiny(classes: int, channels: int = 1, image_size: int = 48) -> ResNet:
    """Return the stem and stages of the small networks on clips: 325,559 parameters for 1 channel and 7 classes.

    SE-ResNet-18 of 16 to 64 channels, 3x3 stride-2 stem; the fourth stage keeps the size, SE's hidden layers are 4 wide.
    """
    return ResNet(classes, channels, **TINY, attention="se", least=4)
