"""Settings of a run's network and of its initial weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fer_cli.config.networks import ATTENTION, BACKBONES, Backbone, NetworkName, network_of
from fer_cli.config.registry import one_of
from fer_cli.config.section import Section
from fer_cli.escape import bad_folder, bad_name, cut
from fer_cli.imports import is_own

MOST_DILATION = 8
"""Maximum rate: parallel rates are computed as one kernel with a side of 2 x rate + 1 pixels."""

THIRDS: dict[str, tuple[int, int, int]] = {"au": (3, 2, 4), "important": (5, 3, 1), "none": (1, 1, 1)}
"""Kind of regions -> number of boxes in the upper, middle and lower third of the face, in the order of the boxes."""
REGIONS = {kind: sum(thirds) for kind, thirds in THIRDS.items()}
"""Kind of regions -> number of boxes."""

Attention = Annotated[str, one_of(ATTENTION)]


class PartsConfig(Section):
    """Parts of the multi-scale network; by default, the proposed network of He 2025."""

    head: Literal["fc", "gap"] = "gap"
    """Two linear layers on the flattened last map, or one on its channel means."""
    conv: Literal["dense", "bsconv-u", "bsconv-s"] = "bsconv-u"
    """Kind of all convolutions except the stem."""
    rates: list[int] = Field([1, 2, 3], min_length=1)
    """Parallel dilation rates of each convolution; only one for dense convolutions."""
    merge: Literal["sum", "concat"] = "sum"
    """How the maps of several rates are merged: summed, or concatenated and mixed by a 1x1 convolution."""
    pw_kernel: Literal[1, 3] = 1
    """Kernel size of the pointwise stage; 3 is the literal reading of the article."""
    attention: Attention = "sge"
    """Block at the end of each stage."""
    groups: int = Field(8, ge=1)
    """Channel groups of ``sge``."""
    residual: bool = True
    """Whether each stage has a shortcut."""
    concat: bool = True
    """Whether the pooled maps of stages 2, 3 and 4 are concatenated; else only stage 4 is used."""

    @model_validator(mode="after")
    def _can_be_built(self) -> PartsConfig:
        if min(self.rates) < 1 or max(self.rates) > MOST_DILATION or len(set(self.rates)) != len(self.rates):
            raise ValueError(f"rates: must be integers from 1 to {MOST_DILATION} without duplicates")
        if self.conv == "dense" and (len(self.rates) > 1 or self.pw_kernel != 1):
            raise ValueError("conv: dense has one rate and no pointwise stage; for several rates use bsconv-u or bsconv-s")
        if self.conv == "bsconv-s" and self.pw_kernel != 1:
            raise ValueError("pw_kernel: 3 requires bsconv-u; the subspace of bsconv-s is 1x1")
        if len(self.rates) == 1 and self.merge != "sum":
            raise ValueError(f"merge: {self.merge} has no effect with a single rate")
        if "groups" not in ATTENTION[self.attention].takes and self.groups != PartsConfig.model_fields["groups"].default:
            raise ValueError(f"groups: has no effect with attention {self.attention}")
        if self.head == "fc" and self.concat:
            raise ValueError("concat: requires head: gap")
        return self


class RegionConfig(Section):
    """Region layer of the action network (teacher study 2024, section 3.1)."""

    layer: Literal["local", "shared", "none"] = "local"
    """A convolution for each patch of the map, one for the whole map, or none."""
    merge: Literal["sum", "gate"] = "sum"
    """Whether the convolution is added to the map (DRML), or its sigmoid multiplies the map."""
    grid: int = Field(7, ge=1, le=28)
    """Patches per side; the map is resized to the next multiple."""

    @model_validator(mode="after")
    def _counts(self) -> RegionConfig:
        idle = [name for name in ("merge", "grid") if getattr(self, name) != type(self).model_fields[name].default]
        if self.layer == "none" and idle:
            raise ValueError(f"{idle[0]}: has no effect with layer: none")
        return self


class ModelConfig(Section):
    """The network."""

    backbone: NetworkName = "resnet18-small"
    """A name in ``BACKBONES``, or ``module:name`` of your own code (see ``fer_cli.models.own``)."""
    source_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of the source of your own network, which makes its content part of the run id; studies add it
    automatically."""
    channels: Literal[1, 3] = 1
    """Input channels; grey images are repeated for 3, as ImageNet weights require."""
    attention: Attention = "none"
    """Block after the last norm of every residual branch of a ResNet."""
    reduction: int | None = Field(None, ge=1)
    """Reduction ratio of the hidden layer of ``se``, ``cbam`` (none: 16) and ``soft-threshold`` (none: 4)."""
    groups: int = Field(8, ge=1)
    """Channel groups of ``sge``."""
    gate_start: Literal["zero", "one"] = "zero"
    """Initial scale of the batch norm of CBAM's spatial gates in a ResNet. ``zero``, with momentum 0.01, as in the public
    residual network: all gates begin at 1/2. ``one``: PyTorch's defaults, with momentum 0.1."""
    downsample: Literal["none", "v1", "both", "shortcut", "dilated"] = "none"
    """How a ResNet halves its maps: strides (``none``), strides in the first 1x1 of each path (``v1``, bottlenecks only),
    2x2 average pooling before both paths or the shortcut (Aly 2023), or dilation instead of the last stride."""
    parts: PartsConfig = PartsConfig()
    """For backbone ``multiscale``."""
    regions: Literal["au", "important", "none"] = "au"
    """Boxes of the expression network: nine of action units, nine of facial features, or the three thirds of the face."""
    region_attention: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    """Weights of the regions: each in (0, 1), with a mean of 1, or all 1."""
    convlstm: bool = True
    """Whether each third of the face passes a ConvLSTM, before ``temporal``."""
    temporal: Literal["attention", "mean", "last", "lstm", "flatten"] = "attention"
    """How the expression network summarises frames: weighted or plain mean, last frame, LSTM of means, or all values."""
    region: RegionConfig = RegionConfig()
    """For action networks."""
    cells: int = Field(3, ge=1, le=14)
    """Cells per side into which the action network pools its map before ``disentangle``."""
    disentangle: Literal["avg_tanh", "avg_softmax", "all_pairs", "all_pairs_naive", "frame", "none"] = "avg_tanh"
    """Spatiotemporal attention maps of the action network: averaged over frames with tanh or softmax, summed over all pairs
    of frames (``naive``: at the paper's cost), one per frame; ``none``: mean pooling."""
    motion: bool = False
    """Whether the action network sees each frame minus the clip's mean picture: what moves, not person and background."""
    importance_layers: Literal[1, 2] | None = None
    """Layers from features to the importance weight alpha; none: 1 for images, 2 for clips."""
    weights: str | None = None
    """File of initial weights, e.g. torchvision's ImageNet weights."""
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of ``weights``, which makes its content part of the run id; studies add it automatically."""
    pretrain: str | None = None
    """Embedded set on which the backbone is pre-trained; the classifier is reinitialised."""
    freeze: bool = False
    """Whether the backbone is frozen and only the classifier is trained (Sun 2024)."""
    normalise: Literal["train", "image"] = "train"
    """Standardise pixels by mean and standard deviation of the training part, or of each image."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout probability of pooled features before the classifier."""
    adapt: Literal["none", "batch-norm"] = "none"
    """Whether batch norms are re-estimated on unlabelled images of the other set that the network is tested on."""
    mirror_average: bool = True
    """Whether validation and test average the logits of an image and its mirror image."""

    @model_validator(mode="after")
    def _makes_sense(self) -> ModelConfig:
        if wrong := bad_name(self.pretrain) or bad_folder(self.pretrain):
            raise ValueError(f"pretrain: {cut(repr(self.pretrain))}: {wrong}")
        if is_own(self.backbone) and self.source_sha256 is None:
            raise ValueError("backbone: requires source_sha256, so that an edited network is a new run")
        if self.weights is not None and self.pretrain is not None:
            raise ValueError("weights: cannot be combined with model.pretrain; give one of the two")
        if self.weights is not None and self.weights_sha256 is None:
            raise ValueError("weights: requires weights_sha256, so that a changed file is detected")
        if self.freeze and self.weights is None and self.pretrain is None:
            raise ValueError("freeze: random weights would be frozen; give model.weights or model.pretrain")
        if self.freeze and self.network.clips and self.weights is None:
            raise ValueError("freeze: model.pretrain starts the trunk only, and the rest would stay random; remove freeze")
        if self.downsample == "v1" and not self.network.bottlenecks:
            able = ", ".join(name for name, backbone in BACKBONES.items() if backbone.bottlenecks)
            raise ValueError(f"downsample: v1 requires bottlenecks ({able})")
        return self

    @property
    def network(self) -> Backbone:
        """Return what the network can do."""
        return network_of(self.backbone)

    @property
    def own(self) -> str:
        """Return the name of the user's own network."""
        return self.backbone

    @property
    def title(self) -> str:
        """Return the name of the network in tables; of an own one, with the beginning of its source's hash."""
        return f"{self.backbone} (source {self.source_sha256[:8]})" if self.source_sha256 else self.backbone

    @property
    def block(self) -> str:
        """Return the name of the network's attention block, or ``none``."""
        takes = self.network.takes
        return self.parts.attention if "parts" in takes else self.attention if "attention" in takes else "none"

    def idle(self) -> dict[str, str]:
        """Return given settings without effect -> reason."""
        network, block = self.network, ATTENTION[self.attention]
        needs = {
            "attention": ("attention" in network.takes, f"backbone {self.backbone} takes none"),
            "downsample": ("downsample" in network.takes, f"backbone {self.backbone} has its own"),
            "reduction": ("reduction" in block.takes, f"attention is {self.attention}"),
            "groups": ("groups" in block.takes, f"attention is {self.attention}"),
            "gate_start": ("gate_start" in block.takes, f"attention is {self.attention}"),
            "parts": ("parts" in network.takes, f"backbone is {self.backbone}"),
            "source_sha256": ("own" in network.takes, f"backbone is {self.backbone}"),
            "weights_sha256": (self.weights is not None, "weights names no file"),
        }
        for name in ("regions", "region_attention", "convlstm", "temporal", "region", "disentangle", "motion"):
            needs[name] = (name in network.takes, f"backbone is {self.backbone}")
        why = "disentangle is none" if "cells" in network.takes else f"backbone is {self.backbone}"
        needs["cells"] = ("cells" in network.takes and self.disentangle != "none", why)
        given = self.model_dump(exclude_defaults=True)
        return {name: why for name, (used, why) in needs.items() if name in given and not used}
