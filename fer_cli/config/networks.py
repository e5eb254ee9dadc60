"""BACKBONES and ATTENTION: the networks and attention blocks that settings can name, and what each of them can do."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class AttentionBlock:
    """A block (B, C, H, W) -> (B, C, H, W) of a residual or multi-scale network."""

    code: str
    """Class or function of the number of channels and of the settings that it takes."""
    takes: tuple[str, ...] = ()
    """Settings beside the number of channels, where they are given: ``groups``, ``reduction``."""
    gates: str = ""
    """Which of the values of its last ``Gate`` per position a figure lays over faces; none: it has no such gates, and
    what goes into it and comes out are drawn side by side."""

    @property
    def picture(self) -> str:
        """What a figure of the block shows, in words."""
        if self.gates:
            return f"gates over the face ({self.gates})"
        return "mean absolute activation before and after the block, on one scale"


ATTENTION: dict[str, AttentionBlock] = {
    "none": AttentionBlock("fer_cli.models.attention:none"),
    "sge": AttentionBlock("fer_cli.models.attention:SGE", takes=("groups",), gates="mean over groups"),
    "se": AttentionBlock("fer_cli.models.attention:SE", takes=("reduction",)),
    "cbam": AttentionBlock("fer_cli.models.attention:CBAM", takes=("reduction",), gates="spatial"),
    "soft-threshold": AttentionBlock("fer_cli.models.shrinkage:SoftThreshold", takes=("reduction",)),
}


@dataclass(frozen=True)
class Backbone:
    """A network with ``features`` (B, F), a last step ``fc`` from them to logits, and ``feature_size`` F."""

    code: str
    """Class or function of the numbers of classes and input channels, the side of the image, and the settings it takes."""
    takes: tuple[str, ...] = ()
    """Settings of ``model`` that change it: ``attention``, ``downsample``, ``parts``."""
    least: int = 16
    """Side of the smallest images that it takes, in pixels."""
    stages: bool = False
    """Whether it has ``stages`` and their ``maps``, which analyses look at."""
    bottlenecks: bool = False
    """Whether its main path begins with a 1x1 convolution, which downsample v1 needs."""
    capsules: bool = False
    """Whether its logits come from lengths of capsules, which learning.capsule_margin needs."""
    joins: bool = False
    """Whether its classifier can get further features beside its own, which features.classifier: network needs."""


RESNET = Backbone("", takes=("attention", "downsample"), stages=True, joins=True)
"""What all residual networks have in common."""

BACKBONES: dict[str, Backbone] = {
    "resnet18": replace(RESNET, code="fer_cli.models.resnet:resnet18"),
    "resnet18-small": replace(RESNET, code="fer_cli.models.resnet:resnet18_small"),
    "resnet50": replace(RESNET, code="fer_cli.models.resnet:resnet50", bottlenecks=True),
    "resnet50-small": replace(RESNET, code="fer_cli.models.resnet:resnet50_small", bottlenecks=True),
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
}
