"""The network of a run: which one, which of its parts, and what its weights are before training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fer_cli.config.networks import ATTENTION, BACKBONES
from fer_cli.config.registry import one_of
from fer_cli.config.section import Section
from fer_cli.escape import bad_folder, bad_name, cut

MOST_DILATION = 8
"""Largest rate: rates side by side are computed as one kernel of 2 x rate + 1 pixels a side."""

Attention = Annotated[str, one_of(ATTENTION)]


class PartsConfig(Section):
    """Parts of the multi-scale network; as they stand, the proposed network of He 2025."""

    head: Literal["fc", "gap"] = "gap"
    """Two linear layers on the flattened last map, or one on its channel means."""
    conv: Literal["dense", "bsconv-u", "bsconv-s"] = "bsconv-u"
    """Kind of every convolution but the stem's."""
    rates: list[int] = Field([1, 2, 3], min_length=1)
    """Dilations that each convolution applies side by side; a dense one takes a single rate."""
    merge: Literal["sum", "concat"] = "sum"
    """How the maps of several rates become one: added, or joined and mixed by a 1x1 convolution."""
    pw_kernel: Literal[1, 3] = 1
    """Kernel of the pointwise stage; 3 is the article's wording taken literally."""
    attention: Attention = "sge"
    """Block at the end of each stage."""
    groups: int = Field(8, ge=1)
    """Channel groups of ``sge``."""
    residual: bool = True
    """Whether each stage has a shortcut."""
    concat: bool = True
    """Whether the pooled maps of stages 2, 3 and 4 are joined; else stage 4 alone is classified."""

    @model_validator(mode="after")
    def _can_be_built(self) -> PartsConfig:
        if min(self.rates) < 1 or max(self.rates) > MOST_DILATION or len(set(self.rates)) != len(self.rates):
            raise ValueError(f"rates: whole numbers from 1 to {MOST_DILATION}, none twice")
        if self.conv == "dense" and (len(self.rates) > 1 or self.pw_kernel != 1):
            raise ValueError("conv: dense has one rate and no pointwise stage; several rates need a blueprint convolution")
        if self.conv == "bsconv-s" and self.pw_kernel != 1:
            raise ValueError("pw_kernel: belongs to bsconv-u; the subspace of bsconv-s is 1x1")
        if len(self.rates) == 1 and self.merge != "sum":
            raise ValueError(f"merge: {self.merge} has no effect on a single rate")
        if "groups" not in ATTENTION[self.attention].takes and self.groups != PartsConfig.model_fields["groups"].default:
            raise ValueError(f"groups: has no effect with attention {self.attention}")
        if self.head == "fc" and self.concat:
            raise ValueError("concat: joins pooled maps and needs head: gap")
        return self


class ModelConfig(Section):
    """The network."""

    backbone: Annotated[str, one_of(BACKBONES)] = "resnet18-small"
    channels: Literal[1, 3] = 1
    """Input channels; grey images are repeated for 3 (as ImageNet weights need)."""
    attention: Attention = "none"
    """Block after the last norm of every residual branch of a ResNet."""
    reduction: int | None = Field(None, ge=1)
    """Channels over the width of the hidden layer of ``se``, ``cbam`` (none: 16) and ``soft-threshold`` (none: 4)."""
    groups: int = Field(8, ge=1)
    """Channel groups of ``sge``."""
    downsample: Literal["none", "v1", "both", "shortcut", "dilated"] = "none"
    """How a ResNet halves its maps: strides (``none``), strides in the first 1x1 of each path (``v1``, bottlenecks only),
    2x2 means before both paths or the shortcut (Aly 2023), or dilation instead of the last stride."""
    parts: PartsConfig = PartsConfig()
    """Of backbone ``multiscale``."""
    weights: str | None = None
    """File of weights to start from, e.g. torchvision's of ImageNet."""
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of ``weights``, which makes its content a part of the run's identity; a study adds it by itself."""
    pretrain: str | None = None
    """Embedded set on which the backbone is trained first; the classifier on top of it starts anew."""
    freeze: bool = False
    """Whether the backbone keeps the weights it starts from and only the classifier on top of it is trained (Sun 2024)."""
    normalise: Literal["train", "image"] = "train"
    """Pixels are standardised by the training part's mean and deviation, or each image by its own."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of pooled features dropped before the classifier, in training only."""
    mirror_average: bool = True
    """Validation and test average the logits of an image and its mirror image; expressions have no handedness."""

    @model_validator(mode="after")
    def _makes_sense(self) -> ModelConfig:
        if wrong := bad_name(self.pretrain) or bad_folder(self.pretrain):
            raise ValueError(f"pretrain: {cut(repr(self.pretrain))}: {wrong}")
        if self.weights is not None and self.pretrain is not None:
            raise ValueError("weights: the run starts from model.pretrain already; give one of the two")
        if self.weights is not None and self.weights_sha256 is None:
            raise ValueError("weights: give weights_sha256 too, else another file would pass for this one")
        if self.freeze and self.weights is None and self.pretrain is None:
            raise ValueError("freeze: random weights would stay random; give model.weights or model.pretrain")
        if self.downsample == "v1" and not BACKBONES[self.backbone].bottlenecks:
            able = ", ".join(name for name, backbone in BACKBONES.items() if backbone.bottlenecks)
            raise ValueError(f"downsample: v1 is of bottlenecks only ({able})")
        return self

    @property
    def block(self) -> str:
        """Return the name of the network's attention block, ``none`` where it has none."""
        takes = BACKBONES[self.backbone].takes
        return self.parts.attention if "parts" in takes else self.attention if "attention" in takes else "none"

    def idle(self) -> dict[str, str]:
        """Return the settings that were given but change nothing, each with the reason."""
        network, block = BACKBONES[self.backbone], ATTENTION[self.attention]
        needs = {
            "attention": ("attention" in network.takes, f"backbone {self.backbone} takes none"),
            "downsample": ("downsample" in network.takes, f"backbone {self.backbone} has its own"),
            "reduction": ("reduction" in block.takes, f"attention is {self.attention}"),
            "groups": ("groups" in block.takes, f"attention is {self.attention}"),
            "parts": ("parts" in network.takes, f"backbone is {self.backbone}"),
            "weights_sha256": (self.weights is not None, "weights names no file"),
        }
        given = self.model_dump(exclude_defaults=True)
        return {name: why for name, (used, why) in needs.items() if name in given and not used}
