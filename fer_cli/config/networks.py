"""BACKBONES and ATTENTION: registries of networks and attention blocks with their capabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator

from fer_cli.errors import nearest
from fer_cli.escape import cut
from fer_cli.imports import is_own


@dataclass(frozen=True)
class AttentionBlock:
    """A block (B, C, H, W) -> (B, C, H, W) of a residual or multi-scale network."""

    code: str
    """Class or function with arguments ``channels`` and the settings in ``takes``."""
    takes: tuple[str, ...] = ()
    """Optional settings: ``groups``, ``reduction``, ``gate_start``."""
    gates: str = ""
    """Values of its last ``Gate`` per position that figures overlay on faces; empty: no such gates, so figures compare the
    block's input and output."""

    @property
    def picture(self) -> str:
        """Description of the block's figure."""
        if self.gates:
            return f"gates over the face ({self.gates})"
        return "mean absolute activation before and after the block, on one scale"


ATTENTION: dict[str, AttentionBlock] = {
    "none": AttentionBlock("fer_cli.models.attention:none"),
    "sge": AttentionBlock("fer_cli.models.attention:SGE", takes=("groups",), gates="mean over groups"),
    "se": AttentionBlock("fer_cli.models.attention:SE", takes=("reduction",)),
    "cbam": AttentionBlock("fer_cli.models.attention:CBAM", takes=("reduction", "gate_start"), gates="spatial"),
    "soft-threshold": AttentionBlock("fer_cli.models.shrinkage:SoftThreshold", takes=("reduction",)),
}


@dataclass(frozen=True)
class Backbone:
    """A network with ``features`` (B, F), a classifier ``fc`` from them to logits, and ``feature_size`` F."""

    code: str
    """Class or function with arguments ``classes``, ``channels``, ``image_size`` and the settings in ``takes``."""
    takes: tuple[str, ...] = ()
    """Supported settings of ``model``: ``attention``, ``downsample``, ``parts``."""
    least: int = 16
    """Minimum image side in pixels."""
    stages: bool = False
    """Whether it has ``stages`` and ``maps``, used by analyses."""
    bottlenecks: bool = False
    """Whether its blocks begin with a 1x1 convolution, required by downsample v1."""
    capsules: bool = False
    """Whether its logits derive from capsule lengths, required by learning.capsule_margin."""
    joins: bool = False
    """Whether its classifier can take additional features, required by features.classifier: network."""
    clips: bool = False
    """Whether a sample is a clip (T, C, H, W), T the argument ``frames``, instead of an image."""
    regions: bool = False
    """Whether it takes boxes of regions of the face."""
    trunk: str | None = None
    """Of a network on clips: the network on stills with the same stem and stages, whose weights can start it."""


RESNET = Backbone("", takes=("attention", "downsample"), stages=True, joins=True)
EXPRESSION = Backbone(
    "", takes=("regions", "region_attention", "convlstm", "temporal"), clips=True, regions=True, trunk="se-resnet18-tiny"
)
ACTION = Backbone("", takes=("region", "cells", "disentangle", "motion"), clips=True, trunk="se-resnet18-tiny")

BACKBONES: dict[str, Backbone] = {
    "resnet18": replace(RESNET, code="fer_cli.models.resnet:resnet18"),
    "resnet18-small": replace(RESNET, code="fer_cli.models.resnet:resnet18_small"),
    "resnet10-small": replace(RESNET, code="fer_cli.models.resnet:resnet10_small"),
    "resnet50": replace(RESNET, code="fer_cli.models.resnet:resnet50", bottlenecks=True),
    "resnet50-small": replace(RESNET, code="fer_cli.models.resnet:resnet50_small", bottlenecks=True),
    "se-resnet18-tiny": Backbone("fer_cli.models.resnet:se_resnet18_tiny", stages=True, joins=True),
    "se-resnet50": Backbone("fer_cli.models.resnet:se_resnet50", stages=True, joins=True),
    "multiscale": Backbone("fer_cli.models.multiscale:MultiScale", takes=("parts",), stages=True),
    "mini-xception": Backbone("fer_cli.models.comparators:MiniXception"),
    "cnn3": Backbone("fer_cli.models.comparators:cnn3"),
    "cnn6": Backbone("fer_cli.models.comparators:cnn6"),
    "capsule-emotion": Backbone("fer_cli.models.capsule:CapsuleEmotion", capsules=True),
    "mtl-fer": Backbone("fer_cli.models.comparators:MtlFer", stages=True),
    "vgg-face": Backbone("fer_cli.models.face_nets:VggFace", least=32),
    "deepface": Backbone("fer_cli.models.face_nets:DeepFace", least=26),
    "openface": Backbone("fer_cli.models.face_nets:OpenFace"),
    "vgg16": Backbone("fer_cli.models.vgg:vgg16", least=32),
    "vgg-small": Backbone("fer_cli.models.vgg:vgg_small"),
    "teacher-expression": replace(EXPRESSION, code="fer_cli.models.expression_net:teacher_expression"),
    "teacher-expression-paper": replace(
        EXPRESSION, code="fer_cli.models.expression_net:teacher_expression_paper", trunk="se-resnet50"
    ),
    "teacher-action": replace(ACTION, code="fer_cli.models.action_net:teacher_action"),
    "teacher-action-paper": replace(ACTION, code="fer_cli.models.action_net:teacher_action_paper", trunk="se-resnet50"),
}

OWN = Backbone("fer_cli.models.own:OwnNetwork", takes=("own", "source_sha256"), least=1, joins=True)
"""A network of the user's own code, named ``module:name``."""


def network_of(name: str) -> Backbone:
    """Return what a network of this valid name can do."""
    return BACKBONES.get(name, OWN)


def check_name(name: str) -> str:
    """Return a valid name of a network; raises ValueError with the nearest one."""
    if name in BACKBONES or is_own(name):
        return name
    if ":" in name:
        raise ValueError(f"'{cut(name)}' is not module:name, e.g. my_module:MyNet for class MyNet in my_module.py")
    raise ValueError(f"unknown name '{cut(name)}'{nearest(name, BACKBONES)}; your own network is module:name")


NetworkName = Annotated[str, AfterValidator(check_name)]
"""A name in ``BACKBONES``, or ``module:name``."""
