"""RunConfig: everything that can change a number. Machine: everything that may not.

Both are frozen pydantic models that refuse unknown keys and wrong types. A run's identity is the hash of its non-default
settings and the fingerprint of its data (``RunConfig.run_id``); fields added later with a default keep old identities.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA = 2
"""Raised by hand whenever the meaning of an existing setting, or the training code behind it, changes results."""


@dataclass(frozen=True)
class Method:
    """Which parts of the self-cure family a learning method switches on (Fan 2025, Eq 1-6 and Fig 8)."""

    attention: bool = False
    """An importance weight alpha in (0, 1) per image (Eq 1)."""
    weighs_logits: bool = False
    """alpha scales the logits; otherwise it weighs the loss of each image."""
    rank: bool = False
    """Rank regularisation (Eq 2)."""
    calibrates: bool = False
    """Calibration loss over misclassified images (Eq 5)."""
    relabels: bool = False
    """Labels of the low-importance group may be replaced (Eq 3, Eq 6)."""


METHODS: dict[str, Method] = {
    "ce": Method(),
    "scn": Method(attention=True, weighs_logits=True, rank=True, relabels=True),
    "cs": Method(attention=True, calibrates=True),
    "scn-cs": Method(attention=True, weighs_logits=True, calibrates=True, relabels=True),
}


class Section(BaseModel):
    """A group of settings: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Which images, how they are split, and what is planted in the training labels."""

    name: str = "synth-basic"
    classes: list[str] = []
    """Images of these classes only, in this order; none: all of the set's."""
    test: str | None = None
    """Another set, all of which is tested on; ``name`` then gives training and validation images only."""
    max_images: int | None = Field(None, ge=1)
    """Largest number of training images, drawn evenly over classes; fewer are a part of more."""
    max_subjects: int | None = Field(None, ge=1)
    """Largest number of people in the training part; fewer are a part of more."""
    image_size: int = Field(48, ge=16, le=512)
    """Side of the square input in pixels; images are resized once, when they are loaded."""
    split: Literal["subject", "random"] = "subject"
    """``subject``: stratified k-fold that keeps each person in one part. ``random`` ignores people and leaks."""
    folds: int = Field(5, ge=2)
    fold: int = Field(0, ge=0)
    split_seed: int = Field(0, ge=0)
    val_fraction: float = Field(0.15, gt=0, le=0.5)
    """Share of the training part held out to choose the checkpoint, grouped as the split is."""
    label_noise: float = Field(0.0, ge=0, lt=1)
    """Share of training labels replaced by another class, drawn uniformly (validation and test stay as they are)."""
    noise_seed: int | None = Field(None, ge=0)
    """Seed of the planted noise; none: the run's seed, so that all arms of one seed share the same flips."""

    @model_validator(mode="after")
    def _makes_sense(self) -> DataConfig:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are 0 to {self.folds - 1}")
        if self.test == self.name:
            raise ValueError(f"test: '{self.test}' is the training set itself; leave test out to test on its folds")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError("classes: at least two, none twice")
        return self

    @property
    def sets(self) -> tuple[str, ...]:
        """Return the data sets a run reads."""
        return (self.name,) if self.test is None else (self.name, self.test)


class ModelConfig(Section):
    """The network."""

    backbone: Literal["resnet18", "resnet18-small"] = "resnet18-small"
    channels: Literal[1, 3] = 1
    """Input channels; grey images are repeated for 3 (as ImageNet weights need)."""
    pretrain: str | None = None
    """Embedded set on which the backbone is trained first; the classifier on top of it starts anew."""
    normalise: Literal["train", "image"] = "train"
    """Pixels are standardised by the training part's mean and deviation, or each image by its own."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of pooled features dropped before the classifier, in training only."""
    mirror_average: bool = True
    """Validation and test average the logits of an image and its mirror image; expressions have no handedness."""


class AugmentConfig(Section):
    """Random changes of each training batch; shares of the image side, degrees, or probabilities."""

    flip: float = Field(0.5, ge=0, le=1)
    rotate: float = Field(15.0, ge=0, le=180)
    """Largest rotation in degrees, either way."""
    translate: float = Field(0.1, ge=0, le=0.5)
    scale: float = Field(0.15, ge=0, lt=1)
    brightness: float = Field(0.25, ge=0, le=1)
    contrast: float = Field(0.4, ge=0, lt=1)
    erase: float = Field(0.0, ge=0, le=1)
    """Probability that a square of 10-30 % of the side is blacked out."""


class TrainConfig(Section):
    """Optimisation, and the rule that picks the checkpoint."""

    epochs: int = Field(40, ge=1)
    batch_size: int = Field(64, ge=2)
    class_balance: float = Field(1.0, ge=0, le=1)
    """Training images are drawn with probability 1 / (images of their class) ** class_balance; 0: each once an epoch."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(2e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.1, ge=0)
    """Of weight matrices and kernels, not of biases and norms; decoupled in ``adamw``."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of ``sgd`` only."""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    weight_average: float = Field(0.98, ge=0, lt=1)
    """Per-step decay of the exponential moving average of the weights that is validated, tested and kept; 0: none."""
    select_on: Literal["val/macro_f1", "val/accuracy", "val/loss"] = "val/macro_f1"
    """The best value on the validation part picks the checkpoint; of equal epochs the last, whose step size is smallest."""

    @model_validator(mode="after")
    def _decay_fits_optimizer(self) -> TrainConfig:
        if self.optimizer != "adamw" and "weight_decay" not in self.model_fields_set:
            raise ValueError(f"weight_decay: give one for {self.optimizer}; the default is meant for adamw")
        return self


class LearningConfig(Section):
    """The loss, and self-cure learning with its documented readings (Fan 2025, Eq 1-6)."""

    method: Literal["ce", "scn", "cs", "scn-cs"] = "ce"
    beta: float = Field(0.7, gt=0, lt=1)
    """Share of a batch that forms the high-importance group (Wang 2020)."""
    rank_margin: float = Field(0.15, ge=0, le=1)
    """delta 1 of Eq 2."""
    rank_form: Literal["sum", "gamma"] = "sum"
    """``sum``: loss + rank term. ``gamma``: gamma x rank term + (1 - gamma) x loss."""
    rank_gamma: float = Field(0.5, gt=0, lt=1)
    relabel_margin: float = Field(0.2, ge=0, lt=1)
    """delta 2 of Eq 3."""
    relabel_scope: Literal["low", "all"] = "low"
    """Only the low-importance group may be relabelled (article), or all images (public code of SCN)."""
    relabel_logits: Literal["weighted", "raw"] = "weighted"
    relabel_start: int | None = Field(None, ge=1)
    """First epoch (from 1) that relabels; none: a seventh of the epochs, rounded up (10 of 70 in SCN)."""
    cs_loss: Literal["literal", "reversed", "literal+rr"] = "literal"
    """Eq 5 sums 1 - alpha over misclassified images; ``reversed`` sums alpha; ``literal+rr`` keeps Eq 2 beside it."""
    cs_reduction: Literal["batch", "sum", "mean_wrong"] = "batch"
    """Divide Eq 5 by the batch size, by nothing, or by the number of misclassified images."""
    cs_threshold: Literal["literal", "inverted", "val_search"] = "literal"
    """Eq 6 relabels above delta2 x (1 - alpha); ``inverted``: delta2 x alpha; ``val_search``: delta 2 from validation."""

    @property
    def parts(self) -> Method:
        """What the method switches on."""
        return METHODS[self.method]

    @property
    def uses_rank(self) -> bool:
        """Whether rank regularisation is part of the loss."""
        return self.parts.rank or (self.parts.calibrates and self.cs_loss == "literal+rr")

    def first_relabel_epoch(self, epochs: int) -> int:
        """Return the first epoch, counted from 1, whose batches may be relabelled."""
        return self.relabel_start if self.relabel_start is not None else -(-epochs // 7)

    def idle(self) -> dict[str, str]:
        """Return the settings that were given but change nothing, each with the reason."""
        parts = self.parts
        needs = {
            "beta": (self.uses_rank or (parts.relabels and self.relabel_scope == "low"), "no group split is used"),
            "rank_margin": (self.uses_rank, "rank regularisation is off"),
            "rank_form": (self.uses_rank, "rank regularisation is off"),
            "rank_gamma": (self.uses_rank and self.rank_form == "gamma", "rank_form is not gamma"),
            "relabel_margin": (
                parts.relabels and not (parts.calibrates and self.cs_threshold == "val_search"),
                "relabelling is off" if not parts.relabels else "cs_threshold searches it",
            ),
            "relabel_scope": (parts.relabels, "relabelling is off"),
            "relabel_logits": (parts.relabels, "relabelling is off"),
            "relabel_start": (parts.relabels, "relabelling is off"),
            "cs_loss": (parts.calibrates, "the calibration strategy is off"),
            "cs_reduction": (parts.calibrates, "the calibration strategy is off"),
            "cs_threshold": (parts.calibrates and parts.relabels, "calibrated relabelling is off"),
        }
        given = self.model_dump(exclude_defaults=True)
        return {name: why for name, (used, why) in needs.items() if name in given and not used}


class RunConfig(Section):
    """One training run, entirely: two equal RunConfigs on equal data and machine give equal numbers."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    learning: LearningConfig = LearningConfig()
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _every_setting_counts(self) -> RunConfig:
        idle = {f"learning.{name}": why for name, why in self.learning.idle().items()}
        if self.train.momentum != TrainConfig().momentum and self.train.optimizer != "sgd":
            idle["train.momentum"] = f"the optimizer is {self.train.optimizer}"
        if self.data.noise_seed is not None and self.data.label_noise == 0:
            idle["data.noise_seed"] = "data.label_noise is 0"
        if self.model.pretrain in self.data.sets:
            raise ValueError(f"model.pretrain: '{self.model.pretrain}' is also the run's data; its test people would leak")
        if idle:
            raise ValueError("; ".join(f"{name} has no effect: {why}" for name, why in idle.items()))
        return self

    def pretraining(self) -> RunConfig | None:
        """Return the run whose weights this one starts from, or None; the same for every run on like images and network."""
        if self.model.pretrain is None:
            return None
        data = DataConfig(name=self.model.pretrain, image_size=self.data.image_size, folds=10)
        model = self.model.model_copy(update={"pretrain": None})
        augment = AugmentConfig(rotate=25.0, translate=0.12, scale=0.25, brightness=0.35, contrast=0.6, erase=0.4)
        train = TrainConfig(epochs=8, class_balance=0.0, weight_average=0.99)
        return RunConfig(data=data, model=model, augment=augment, train=train)

    def run_id(self, fingerprint: str) -> str:
        """Return the run's name: 12 hex digits over schema, non-default settings and the data's fingerprint.

        ``fingerprint``: of the run's sets, and, where it starts from another run's weights, that run's name.
        """
        content = {"schema": SCHEMA, "config": self.model_dump(mode="json", exclude_defaults=True), "data": fingerprint}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def flat(self) -> dict[str, Any]:
        """Return every setting under its dotted name, e.g. ``{"data.label_noise": 0.2, ...}``."""
        return flatten(self.model_dump(mode="json"))


class Machine(Section):
    """Where and how a run is executed; recorded with each result, never part of its identity."""

    data_root: Path
    results: Path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` takes bf16 autocast only where the processor or GPU has fast bf16 matrix units."""
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Processor threads of one run."""
    track: bool = True
    """Whether runs are mirrored to the MLflow store under ``results``."""


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def default_data_root() -> Path:
    """Return where built data sets live: ``FER_DATA``, else ``~/.local/share/fer``."""
    return Path(os.environ.get("FER_DATA") or Path.home() / ".local" / "share" / "fer").expanduser()
