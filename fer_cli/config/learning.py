"""Settings of the loss and of self-cure learning (Fan 2025, Eq 1-6 and Fig 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from fer_cli.config.registry import one_of
from fer_cli.config.section import Section


@dataclass(frozen=True)
class Method:
    """Components of a self-cure learning method (Fan 2025, Eq 1-6 and Fig 8)."""

    attention: bool = False
    """An importance weight alpha in (0, 1) per image (Eq 1)."""
    weighs_logits: bool = False
    """alpha scales the logits; otherwise it weights the loss of each image."""
    rank: bool = False
    """Rank regularisation (Eq 2)."""
    calibrates: bool = False
    """Calibration loss over misclassified images (Eq 5)."""
    relabels: bool = False
    """Relabelling of the low-importance group (Eq 3, Eq 6)."""


SLACK = 1e-9
"""Epochs by which a share of the epochs may be off through rounding."""

SEARCHED_MARGINS = (0.1, 0.2, 0.3)
"""Values of delta 2 that ``cs_threshold: val_search`` tries on the validation part."""

METHODS: dict[str, Method] = {
    "ce": Method(),
    "scn": Method(attention=True, weighs_logits=True, rank=True, relabels=True),
    "cs": Method(attention=True, calibrates=True),
    "scn-cs": Method(attention=True, weighs_logits=True, calibrates=True, relabels=True),
}


@lru_cache
def method_parts(name: str, relabel: bool) -> Method:
    """Return the components of a method in ``METHODS``; ``relabel``: whether it relabels if it can."""
    parts = METHODS[name]
    return replace(parts, relabels=parts.relabels and relabel)


class LearningConfig(Section):
    """The loss, and self-cure learning with the possible readings of the article (Fan 2025, Eq 1-6)."""

    method: Annotated[str, one_of(METHODS)] = "ce"
    beta: float = Field(0.7, gt=0, lt=1)
    """Fraction of a batch in the high-importance group (Wang 2020)."""
    rank_margin: float = Field(0.15, ge=0, le=1)
    """delta 1 of Eq 2."""
    rank_form: Literal["sum", "gamma"] = "sum"
    """``sum``: loss + rank term. ``gamma``: gamma x rank term + (1 - gamma) x loss."""
    rank_gamma: float = Field(0.5, gt=0, lt=1)
    relabel_margin: float = Field(0.2, ge=0, lt=1)
    """delta 2 of Eq 3."""
    relabel_scope: Literal["low", "all"] = "low"
    """Whether only the low-importance group (article) or all images (public code of SCN) may be relabelled."""
    relabel_logits: Literal["weighted", "raw"] = "weighted"
    relabel: bool = True
    """Whether a method that relabels does so; off: its weighting of images alone."""
    relabel_view: Literal["clean", "train"] = "clean"
    """What relabelling judges. ``clean``: at the end of an epoch but the last, the images without augmentation, by the
    averaged network; the low group is that of the whole training part. ``train``: as in the public code, each batch as
    augmented, after its step."""
    relabel_from: float = Field(0.5, ge=0, le=1)
    """Share of the epochs before relabelling; a seventh in SCN, 9 of 70 epochs."""
    relabel_accuracy: float | None = Field(None, gt=0, lt=1)
    """Validation accuracy that must be reached first, too."""
    cs_loss: Literal["literal", "reversed", "literal+rr"] = "literal"
    """Eq 5 sums 1 - alpha over misclassified images; ``reversed`` sums alpha; ``literal+rr`` adds Eq 2."""
    cs_reduction: Literal["batch", "sum", "mean_wrong"] = "batch"
    """Divisor of Eq 5: the batch size, none, or the number of misclassified images."""
    cs_threshold: Literal["literal", "inverted", "val_search"] = "literal"
    """Eq 6 relabels above delta2 x (1 - alpha); ``inverted``: delta2 x alpha; ``val_search``: delta 2 from validation."""

    confident: Literal["none", "remove", "correct"] = "none"
    """Confident learning (Northcutt 2021) before training: labels that out-of-fold predictions make suspect are removed with
    their images, or replaced by the predicted class. Needs cleanlab."""
    confident_folds: int = Field(5, ge=2)
    """Folds of the training part, each of other people, and as many further trainings."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Fraction of each target spread evenly over all classes; a baseline."""
    focal_gamma: float = Field(0.0, ge=0)
    """Exponent of the focal loss (Lin 2017), (1 - p) ** gamma x cross-entropy; 0: cross-entropy. A baseline."""
    capsule_margin: bool = False
    """Margin loss on capsule lengths (Sabour 2017) instead of cross-entropy; ``capsule-emotion`` only."""
    center_weight: float = Field(0.0, ge=0)
    """Weight lambda of the class-centre loss (Sun 2024, Eq 9-10; there 1); 0: off."""
    center_on: Literal["features", "logits"] = "features"
    """Points of the class-centre loss: pooled features, or the network's output as in the article."""
    center_spread: Literal["population", "unbiased", "elementwise"] = "population"
    """sigma_c squared: squared distances of the K centres from their mean, divided by K, K - 1 or K x D."""
    center_reduction: Literal["mean", "sum"] = "mean"
    center_detach: bool = False
    """Whether the spread gets no gradient, so that it does not push centres apart."""
    center_warmup: float = Field(0.0, ge=0, le=1)
    """Share of the steps over which the weight of the class-centre loss rises linearly from 0 to ``center_weight``."""
    center_lr: float | None = Field(None, gt=0)
    """Step size of plain gradient descent on the unweighted loss for the centres (0.5 in public code of centre losses);
    none: the weights' optimiser updates them."""

    @property
    def parts(self) -> Method:
        """Components of the method."""
        return method_parts(self.method, self.relabel)

    @property
    def uses_rank(self) -> bool:
        """Whether rank regularisation is part of the loss."""
        return self.parts.rank or (self.parts.calibrates and self.cs_loss == "literal+rr")

    @property
    def margins(self) -> tuple[float | None, ...]:
        """Values of delta 2 to train with, one after the other; None: ``relabel_margin``."""
        return SEARCHED_MARGINS if self.cs_threshold == "val_search" else (None,)

    def first_relabel_epoch(self, epochs: int) -> int:
        """Return the first epoch, from 1, in which (view ``train``) or after which (``clean``) labels may be replaced."""
        before = self.relabel_from * epochs
        return math.floor(before + SLACK) + 1 if self.relabel_view == "train" else max(1, math.ceil(before - SLACK))

    def last_relabel_epoch(self, epochs: int) -> int:
        """Return the last epoch in which, or after which, labels may be replaced: nothing is trained after the last one."""
        return epochs if self.relabel_view == "train" else epochs - 1

    def idle(self) -> dict[str, str]:
        """Return given settings without effect -> reason."""
        given = self.model_dump(exclude_defaults=True)
        if not given.keys() - {"method"}:
            return {}  # most runs, of which reports read thousands
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
            "relabel": (METHODS[self.method].relabels, f"method {self.method} does not relabel"),
            "relabel_view": (parts.relabels, "relabelling is off"),
            "relabel_from": (parts.relabels, "relabelling is off"),
            "relabel_accuracy": (parts.relabels, "relabelling is off"),
            "confident_folds": (self.confident != "none", "confident is none"),
            "cs_loss": (parts.calibrates, "the calibration strategy is off"),
            "cs_reduction": (parts.calibrates, "the calibration strategy is off"),
            "cs_threshold": (parts.calibrates and parts.relabels, "calibrated relabelling is off"),
            "label_smoothing": (self.focal_gamma == 0 and not self.capsule_margin, "the loss is no cross-entropy"),
            "focal_gamma": (not self.capsule_margin, "capsule_margin is on"),
        }
        centre = ("center_on", "center_spread", "center_reduction", "center_detach", "center_warmup", "center_lr")
        needs |= dict.fromkeys(centre, (self.center_weight > 0, "center_weight is 0"))
        return {name: why for name, (used, why) in needs.items() if name in given and not used}
