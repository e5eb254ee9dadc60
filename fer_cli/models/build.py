"""BACKBONES, and the one function that turns settings into a network."""

from __future__ import annotations

from collections.abc import Callable

from fer_cli.config import ModelConfig
from fer_cli.models.resnet import ResNet, resnet18, resnet18_small
from fer_cli.models.scn import Recogniser

BACKBONES: dict[str, Callable[[int, int], ResNet]] = {
    "resnet18": resnet18,
    "resnet18-small": resnet18_small,
}


def build_model(config: ModelConfig, classes: int, attention: bool) -> Recogniser:
    """Return the network of ``config`` for ``classes`` classes, with an importance head if ``attention``."""
    backbone = BACKBONES[config.backbone](classes, config.channels)
    return Recogniser(backbone, attention, config.dropout, config.normalise == "image")
