"""``build_model``, the one function that turns settings into a network."""

from __future__ import annotations

from torch import nn

from fer_cli.config import BACKBONES, ModelConfig, load
from fer_cli.errors import StudyError
from fer_cli.models.attention import attention_settings
from fer_cli.models.scn import Backbone, Recogniser


def build_backbone(config: ModelConfig, classes: int, image_size: int) -> Backbone:
    """Return the network that ``config`` names, with the settings that it takes.

    Raises StudyError where images of ``image_size`` pixels are too small for it, or settings do not fit together.
    """
    known = BACKBONES[config.backbone]
    if image_size < known.least:
        raise StudyError(f"image_size: {config.backbone} needs {known.least} pixels or more, not {image_size}")
    own = {name: getattr(config, name) for name in known.takes}
    if "attention" in known.takes:
        own |= attention_settings(config.attention, config)
    return load(known.code)(classes, config.channels, image_size, **own)  # type: ignore[no-any-return]


def build_model(config: ModelConfig, classes: int, attention: bool, image_size: int = 48, joined: int = 0) -> Recogniser:
    """Return the network of ``config`` for ``classes`` classes, with an importance head if ``attention``.

    ``joined``: features of other kinds that its classifier gets beside the pooled ones, of networks that join any. All else
    begins with the weights it has without them. Raises StudyError as ``build_backbone`` does.
    """
    backbone = build_backbone(config, classes, image_size)
    made = Recogniser(backbone, attention, config.dropout, config.normalise == "image", config.freeze)
    if joined:  # last, so that all else begins as it does without
        backbone.fc = nn.Linear(backbone.feature_size + joined, classes)
    return made
