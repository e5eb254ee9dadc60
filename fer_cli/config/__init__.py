"""RunConfig: all settings that affect results. Compute: all that must not.

Both are frozen pydantic models that reject unknown keys and wrong types. A run's id hashes its non-default settings and the
fingerprint of its data (``RunConfig.run_id``), so fields added later with a default keep existing ids.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fer_cli.config.auto import AUTO, SPLITS, Known, auto_split, drop_idle
from fer_cli.config.data import COMPANIONS, CONFUSABLE, K_FOLD, OCCLUDERS, CorruptConfig, DataConfig
from fer_cli.config.features import CLASSIFIERS, CNN, EXTRACTORS, SCALINGS, FeaturesConfig
from fer_cli.config.learning import LearningConfig
from fer_cli.config.model import REGIONS, THIRDS, ModelConfig, PartsConfig, RegionConfig
from fer_cli.config.networks import ATTENTION, BACKBONES
from fer_cli.config.older import REPLACED, name_changed, read_older
from fer_cli.config.registry import load
from fer_cli.config.scores import METRICS
from fer_cli.config.section import Section
from fer_cli.config.sequences import SEQUENCE_MODELS, SIMULATIONS, SequencesConfig
from fer_cli.places import user_path

__all__ = [
    "ATTENTION",
    "AUTO",
    "BACKBONES",
    "CLASSIFIERS",
    "CNN",
    "COMPANIONS",
    "CONFUSABLE",
    "EXTRACTORS",
    "K_FOLD",
    "METRICS",
    "OCCLUDERS",
    "REGIONS",
    "REPLACED",
    "SCALINGS",
    "SCHEMA",
    "SEQUENCE_MODELS",
    "SIMULATIONS",
    "SPLITS",
    "THIRDS",
    "AugmentConfig",
    "Compute",
    "CorruptConfig",
    "DataConfig",
    "FeaturesConfig",
    "Known",
    "LearningConfig",
    "ModelConfig",
    "PartsConfig",
    "RegionConfig",
    "RunConfig",
    "Section",
    "SequencesConfig",
    "TrainConfig",
    "auto_split",
    "default_data_root",
    "drop_idle",
    "flatten",
    "load",
]

SCHEMA = 3
"""Increment by hand whenever an existing setting or the training code behind it gives different results.

3: classifier and alpha of every network are computed in float32 under bf16, too.
"""

REVISIONS: dict[str, int] = {}
"""Backbone -> revision, for networks that changed since SCHEMA was last incremented; invalidates their earlier results."""

EXTRACTOR_VERSIONS: dict[str, int] = {"hog": 2, "lbp": 2, "sift": 2}
"""Features -> extractor version, for features whose values changed for the same settings; see REVISIONS.

2: pictures of another size than the extractor's are resized without Intel's primitives.
"""

SPLIT_VERSIONS = {"official": 2, "list": 2}
"""Split -> version, for splits whose parts changed; see REVISIONS.

2: without known people or clips, the validation part is drawn image by image.
"""

MOMENTUM_VERSION = 2
"""Version of training by ``sgd`` with ``one-cycle``, whose schedule replaced ``train.momentum`` by 0.95 to 0.85 before."""


class AugmentConfig(Section):
    """Random augmentation of each training batch; fractions of the image side, degrees, or probabilities."""

    flip: float = Field(0.5, ge=0, le=1)
    rotate: float = Field(15.0, ge=0, le=180)
    """Maximum rotation in degrees, in either direction."""
    translate: float = Field(0.1, ge=0, le=0.5)
    scale: float = Field(0.15, ge=0, lt=1)
    brightness: float = Field(0.25, ge=0, le=1)
    contrast: float = Field(0.4, ge=0, lt=1)
    erase: float = Field(0.0, ge=0, le=1)
    """Probability of blacking out a square of 10-30 % of the image side."""


class TrainConfig(Section):
    """Optimisation and checkpoint selection."""

    epochs: int = Field(40, ge=1)
    batch_size: int = Field(64, ge=2)
    class_balance: float = Field(1.0, ge=0, le=1)
    """Training images are sampled with weight 1 / (images of their class) ** class_balance; 0: each once per epoch."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(2e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.1, ge=0)
    """For weight matrices and kernels, not biases and norms; decoupled in ``adamw``."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """For ``sgd`` only."""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    weight_average: float = Field(0.98, ge=0, lt=1)
    """Per-step decay of the exponential moving average of the weights, which is validated, tested and saved; 0: off."""
    select_on: Literal["val/macro_f1", "val/accuracy", "val/loss"] = "val/macro_f1"
    """The checkpoint with the best value on the validation part is selected; ties go to the latest epoch."""

    @model_validator(mode="after")
    def _decay_fits_optimizer(self) -> TrainConfig:
        if self.optimizer != "adamw" and "weight_decay" not in self.model_fields_set:
            raise ValueError(f"weight_decay: required for {self.optimizer}; the default is for adamw only")
        return self


USUAL_MOMENTUM = TrainConfig().momentum


class RunConfig(Section):
    """All settings of one run: equal RunConfigs on equal data and machine give equal results."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    learning: LearningConfig = LearningConfig()
    corrupt: CorruptConfig = CorruptConfig()
    features: FeaturesConfig = FeaturesConfig()
    sequences: SequencesConfig = SequencesConfig()
    task: Literal["stills", "features", "clips", "sequences"] | None = None
    """Kind of run, a name in ``fer_cli.tasks.TASKS``; none: implied by the other settings."""
    seed: int = Field(0, ge=0)
    trial: bool = False
    """Whether the run is a trial of ``fer search``: scored on the validation part, while the test part is never read."""

    @model_validator(mode="before")
    @classmethod
    def _of_older_versions(cls, settings: Any) -> Any:
        """Read the settings of older runs."""
        return read_older(settings)

    @model_validator(mode="after")
    def _every_setting_counts(self) -> RunConfig:
        sections = {
            "learning": self.learning.idle(),
            "data": self.data.idle(),
            "corrupt": self.corrupt.idle(self.data.image_size),
            "model": self.model.idle(),
            "features": self.features.idle(),
            "sequences": self.sequences.idle(),
        }
        idle = {f"{section}.{name}": why for section, names in sections.items() for name, why in names.items()}
        if self.train.momentum != USUAL_MOMENTUM and self.train.optimizer != "sgd":
            idle["train.momentum"] = f"the optimizer is {self.train.optimizer}"
        if self.model.importance_layers is not None and not self.learning.parts.attention:
            idle["model.importance_layers"] = f"learning.method {self.learning.method} has no importance weights"
        if self.learning.capsule_margin and not self.model.network.capsules:
            idle["learning.capsule_margin"] = f"backbone {self.model.backbone} has no capsules"
        idle |= self._idle_of_clips()
        if self.model.adapt != "none" and self.data.test is None:
            idle["model.adapt"] = "it needs another test set (data.test)"
        if self.model.adapt != "none" and self.model.network.clips:
            raise ValueError(f"model.adapt: cannot be combined with a network on clips ({self.model.backbone})")
        if self.model.motion and self.model.network.clips and self.data.frames == 1:
            raise ValueError("model.motion: nothing moves in a single frame; raise data.frames")
        self._features_fit()
        idle |= self._idle_of_sequences()
        self._can_be_tried()
        if self.kind != self.implied:
            raise ValueError(f"task: {self.task}, but the other settings imply {self.implied}; remove task")
        if self.model.pretrain in self.data.sets:
            raise ValueError(f"model.pretrain: '{self.model.pretrain}' is also the run's data; its test subjects would leak")
        if idle:
            raise ValueError("; ".join(f"{name} has no effect: {why}" for name, why in idle.items()))
        return self

    def _idle_of_clips(self) -> dict[str, str]:
        """Return settings of clips without effect -> reason."""
        network = self.model.network
        ordered = network.regions and (self.model.convlstm or self.model.temporal != "mean")
        given = self.data.model_dump(exclude_defaults=True)
        needs = {
            "frames": (network.clips, f"backbone {self.model.backbone} takes still images"),
            "frame_order": (ordered and self.data.frames > 1, "the network sees no order of frames"),
            "landmarks": (network.regions, f"backbone {self.model.backbone} takes no regions of the face"),
        }
        return {f"data.{name}": why for name, (used, why) in needs.items() if name in given and not used}

    def _features_fit(self) -> None:
        """Raise ValueError if the features are incompatible with other settings."""
        features = self.features
        if features.blocks and self.model.network.clips:
            raise ValueError(f"features.blocks: cannot be combined with a network on clips ({self.model.backbone})")
        if features.blocks and (self.corrupt.active or self.data.test is not None):
            raise ValueError("features.blocks: cannot be combined with corrupt.* or data.test")
        if features.blocks and self.data.degrades:
            raise ValueError("features.blocks: of the set's own images; cannot be combined with data.noise_kind: uncertain")
        if features.fitted and self.learning != LearningConfig():
            raise ValueError(f"features.classifier: {features.classifier} ignores learning.*; use network or remove them")
        if features.joined and CNN in features.blocks:
            others = ", ".join(name for name in EXTRACTORS if name != CNN)
            raise ValueError(f"features.blocks: {CNN} cannot be joined to a network; use {others}")
        if features.joined and not self.model.network.joins:
            able = ", ".join(name for name, backbone in BACKBONES.items() if backbone.joins)
            raise ValueError(f"features.classifier: network requires one of the backbones {able}")
        if len(set(features.blocks)) != len(features.blocks):
            raise ValueError("features.blocks: duplicates are not allowed")

    def _idle_of_sequences(self) -> dict[str, str]:
        """Return settings that a simulation without images ignores -> reason; raise ValueError for a recogniser of clips."""
        sequences = self.sequences
        if sequences.recognised and (self.model.network.clips or self.features.blocks):
            raise ValueError(f"sequences.simulation: {sequences.simulation} requires a network on still images")
        if not self.simulated:
            return {}
        given = self.model_dump(exclude_defaults=True, exclude={"sequences", "task", "seed"})
        return dict.fromkeys(flatten(given), f"a simulation of {sequences.simulation} has no images and no network")

    def _can_be_tried(self) -> None:
        """Raise ValueError for a trial without a validation part that it neither trains on nor tests on."""
        if not self.trial:
            return
        if self.sequences.simulation is not None or self.features.blocks:
            kind = "simulated sequences" if self.sequences.simulation is not None else "features.blocks"
            raise ValueError(f"trial: {kind} have no validation part that settings could be chosen on")
        if self.data.leak != "none":
            raise ValueError(f"trial: data.leak {self.data.leak} leaves no validation part apart from training")
        if self.model.adapt != "none" or (self.corrupt.active and "train" not in self.corrupt.parts):
            raise ValueError("trial: model.adapt and corrupt.* of test images have no effect, as none is read")

    @property
    def effective(self) -> RunConfig:
        """Return the config without what its numbers do not depend on: the network's settings if only features are used."""
        if not self.features.fitted or CNN in self.features.blocks:
            return self
        data = self.data.model_copy(update={"image_size": DataConfig().image_size})
        unused = {"model": ModelConfig(), "train": TrainConfig(), "augment": AugmentConfig()}
        return self.model_copy(update={"data": data, **unused})

    @property
    def simulated(self) -> bool:
        """Return whether the run has neither images nor a network."""
        return self.sequences.simulation is not None and not self.sequences.recognised

    @property
    def sets(self) -> tuple[str, ...]:
        """Return the data sets that the run reads; none for a simulation, the training set alone for a trial."""
        if self.trial:
            return (self.data.name,)
        return () if self.simulated else self.data.sets

    @property
    def kind(self) -> str:
        """Return the kind of run, a name in ``fer_cli.tasks.TASKS``."""
        return self.task or self.implied

    @property
    def implied(self) -> str:
        """Return the kind of run implied by the other settings."""
        if self.sequences.simulation is not None:
            return "sequences"
        if self.model.network.clips:
            return "clips"
        return "features" if self.features.fitted else "stills"

    def run_id(self, fingerprint: str) -> str:
        """Return 12 hex digits over schema, non-default settings and ``fingerprint``, of the sets and the start run."""
        return hash_run(self.identity(), fingerprint)

    def identity(self) -> dict[str, Any]:
        """Return what identifies a run besides the data: schema, non-default settings, versions of what they name."""
        settings = self.model_dump(mode="json", exclude_defaults=True)
        if self.task == self.implied:
            settings.pop("task", None)  # stating the implied task does not change the id
        name_changed(settings, self.learning, self.model, self.train.epochs)
        content: dict[str, Any] = {"schema": SCHEMA, "config": settings}
        if (revision := REVISIONS.get(self.model.backbone)) is not None:
            content["revision"] = revision
        if changed := {name: EXTRACTOR_VERSIONS[name] for name in self.features.blocks if name in EXTRACTOR_VERSIONS}:
            content["features"] = changed
        if (version := SPLIT_VERSIONS.get(self.data.split)) is not None and not self.simulated:
            content["split"] = version
        if self.train.optimizer == "sgd" and self.train.schedule == "one-cycle":
            content["momentum"] = MOMENTUM_VERSION
        return content

    def flat(self) -> dict[str, Any]:
        """Return every setting under its dotted name, e.g. ``{"data.label_noise": 0.2, ...}``."""
        return flatten(self.model_dump(mode="json"))


def keep_valid(config: Any, validate: Callable[[Any], RunConfig]) -> RunConfig:
    """Return validated settings as they are: pydantic would run their own validators on them again."""
    return config if isinstance(config, RunConfig) else validate(config)


class Compute(Section):
    """Where and how a run is executed; recorded with each result, never part of its id."""

    data_root: Path
    results: Path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` uses bf16 autocast only on processors or GPUs with fast bf16 matrix units."""
    layout: Literal["auto", "contiguous", "channels-last"] = "auto"
    """Memory layout of images and weights; ``auto``: the faster one here. A rerun takes the recorded one."""
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """CPU threads per run."""
    logger: str | None = None
    """``csv`` or ``tensorboard``: what the curves of runs are also written for, under ``logs`` in ``results``."""
    track: bool = True
    """Whether runs are mirrored to the MLflow store under ``results``."""


def hash_run(identity: dict[str, Any], fingerprint: str) -> str:
    """Return the id of a run with this identity on data with this fingerprint."""
    text = json.dumps(identity | {"data": fingerprint}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
    """Return the folder of built data sets: ``FER_DATA``, else ``~/.local/share/fer``."""
    return user_path(os.environ.get("FER_DATA") or Path.home() / ".local" / "share" / "fer")
