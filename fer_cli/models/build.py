"""Build networks from settings."""

from __future__ import annotations

from torch import nn

from fer_cli.config import ModelConfig, load
from fer_cli.errors import StudyError
from fer_cli.models.attention import attention_settings
from fer_cli.models.scn import Backbone, Recogniser


def build_backbone(config: ModelConfig, classes: int, image_size: int, frames: int = 1) -> Backbone:
    """Return the backbone of ``config``; raises StudyError if ``image_size`` is too small or settings are incompatible.

    ``frames``: of a clip, which only networks on clips take.
    """
    known = config.network
    if image_size < known.least:
        raise StudyError(f"image_size: {config.backbone} needs at least {known.least} pixels, not {image_size}")
    own = {name: getattr(config, name) for name in known.takes}
    if known.clips:
        own["frames"] = frames
    if "attention" in known.takes:
        own |= attention_settings(config.attention, config)
    return load(known.code)(classes, config.channels, image_size, **own)  # type: ignore[no-any-return]


def build_model(
    config: ModelConfig, classes: int, attention: bool, image_size: int = 48, joined: int = 0, frames: int = 1
) -> Recogniser:
    """Return the network of ``config``, with an importance head if ``attention``; raises as ``build_backbone``.

    ``joined``: number of additional features that the classifier takes; all other initial weights do not depend on it.
    """
    backbone = build_backbone(config, classes, image_size, frames)
    layers = (config.importance_layers or (2 if config.network.clips else 1)) if attention else 0
    made = Recogniser(backbone, layers, config.dropout, config.normalise == "image", config.freeze)
    if joined:  # drawn last, so that other initial weights do not change
        backbone.fc = nn.Linear(backbone.feature_size + joined, classes)
    return made
