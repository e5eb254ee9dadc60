"""BACKBONES, and the one function that turns settings into a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from fer_cli.config import RESNETS, ModelConfig
from fer_cli.models.comparators import COMPARATORS
from fer_cli.models.multiscale import MultiScale
from fer_cli.models.resnet import resnet18, resnet18_small, resnet50, resnet50_small
from fer_cli.models.scn import Recogniser
from fer_cli.models.vgg import vgg16, vgg_small

Maker = Callable[[ModelConfig, int, int], Any]
"""Makes a backbone from settings, number of classes and side of the image in pixels."""


def of_resnet(make: Callable[..., nn.Module]) -> Maker:
    """Return a maker that hands the settings of attention and down-sampling to a residual network."""

    def made(config: ModelConfig, classes: int, image_size: int) -> nn.Module:
        options = {"groups": config.groups} if config.attention == "sge" else {}
        options |= {"reduction": config.reduction} if config.reduction is not None else {}
        return make(classes, config.channels, attention=config.attention, downsample=config.downsample, **options)

    return made


def of_parts(config: ModelConfig, classes: int, image_size: int) -> nn.Module:
    """Return the multi-scale network with the parts that are switched on."""
    return MultiScale(classes, config.channels, image_size, config.parts)


def of_comparator(name: str) -> Maker:
    """Return a maker of a re-implemented comparator."""
    return lambda config, classes, image_size: COMPARATORS[name](classes, config.channels, image_size)


BACKBONES: dict[str, Maker] = {
    **dict(zip(RESNETS, map(of_resnet, (resnet18, resnet18_small, resnet50, resnet50_small)), strict=True)),
    "multiscale": of_parts,
    **{name: of_comparator(name) for name in COMPARATORS},
    "vgg16": lambda config, classes, image_size: vgg16(classes, config.channels, image_size),
    "vgg-small": lambda config, classes, image_size: vgg_small(classes, config.channels, image_size),
}


def build_model(config: ModelConfig, classes: int, attention: bool, image_size: int = 48, joined: int = 0) -> Recogniser:
    """Return the network of ``config`` for ``classes`` classes, with an importance head if ``attention``.

    ``joined``: features of other kinds that its classifier gets beside the pooled ones (residual networks only). All else
    begins with the weights it has without them. Raises StudyError where parts do not fit together or the images are too
    small.
    """
    backbone = BACKBONES[config.backbone](config, classes, image_size)
    made = Recogniser(backbone, attention, config.dropout, config.normalise == "image", config.freeze)
    if joined:  # last, so that all else begins as it does without
        backbone.fc = nn.Linear(backbone.feature_size + joined, classes)
    return made
