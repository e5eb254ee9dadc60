"""Settings of features for a classifier, or as additional input of a network (Sun 2024, section 3 and Table 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from fer_cli.config.registry import one_of
from fer_cli.config.section import Section

CNN = "cnn"
"""The block extracted by a trained network; all others are hand-crafted."""

EXTRACTORS: dict[str, str] = {
    CNN: "fer_cli.learning.deep:Cnn",
    "hog": "fer_cli.features.hog:Hog",
    "sift": "fer_cli.features.sift:Sift",
    "lbp": "fer_cli.features.lbp:Lbp",
}
"""Kind of features -> extractor class, in the order of fusion (Sun 2024, Eq 8, then ours)."""

Scaling = Literal["min-max", "per-vector", "z-score", "none"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)


@dataclass(frozen=True)
class Classifier:
    """A classifier on features."""

    words: str
    """Description, for tables."""
    code: str = ""
    """Class with scikit-learn's ``fit`` and ``predict``; empty: the run's network, which also takes the features."""
    options: dict[str, Any] = field(default_factory=dict)
    """Non-default arguments of the class."""
    seed: str = ""
    """Name of its seed argument; empty: deterministic."""


CLASSIFIERS: dict[str, Classifier] = {
    "logistic": Classifier(
        "multinomial logistic regression (C = 1)", "sklearn.linear_model:LogisticRegression", {"C": 1.0, "max_iter": 2000}
    ),
    "linear-svm": Classifier("linear support vector machine (C = 1)", "sklearn.svm:SVC", {"kernel": "linear", "C": 1.0}),
    "rbf-svm": Classifier("support vector machine with RBF kernel (C = 1)", "sklearn.svm:SVC", {"kernel": "rbf", "C": 1.0}),
    "forest": Classifier(
        "random forest of 500 trees", "sklearn.ensemble:RandomForestClassifier", {"n_estimators": 500}, "random_state"
    ),
    "mlp": Classifier("network of one hidden layer (256 units), 40 epochs,", "fer_cli.learning.mlp:Mlp", seed="seed"),
    "network": Classifier("the network on images, whose last layer gets the features as well"),
}


class HogSettings(Section):
    """Histograms of oriented gradients; 1,764 values by default (Sun 2024, Eq 1-6)."""

    size: int | None = Field(64, ge=2)
    """Side of the resized image in pixels; None: not resized."""
    root: bool = True
    """Whether gradients are those of the image's square root: gamma 0.5 (Eq 1)."""
    orientations: int = Field(9, ge=1)
    cell: int = Field(8, ge=1)
    """Side of a cell in pixels."""
    block: int = Field(2, ge=1)
    """Side of a block in cells; blocks overlap, with a stride of one cell."""
    norm: Literal["L2-Hys", "L2", "L1", "L1-sqrt", "max"] = "L2-Hys"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size is not None and self.size < self.least:
            raise ValueError(f"size: {self.size} pixels are smaller than one block of {self.least} x {self.least}")
        return self

    @property
    def least(self) -> int:
        """Side of one block in pixels, which an image must have."""
        return self.cell * self.block


class SiftSettings(Section):
    """SIFT; ``words`` values that sum to 1 or 0, or 2,048 values if ``dense`` (Sun 2024, section 3.3)."""

    size: int = Field(64, ge=16)
    """Side of the resized image in pixels; 128 gives more key points."""
    words: int = Field(128, ge=1)
    """Size of the codebook."""
    dense: bool = False
    """Whether to use a grid of 4 x 4 upright key points, each as wide as its grid cell (16 px of 64)."""
    contrast: float = Field(0.04, ge=0)
    """OpenCV's contrast threshold; weaker key points are discarded."""
    edge: float = Field(10.0, gt=0)
    """OpenCV's edge threshold; larger values keep more key points on edges."""
    sample: int = Field(200_000, ge=1)
    """Approximate maximum number of descriptors for the codebook, from training images in random order."""
    seed: int = Field(0, ge=0)
    """Seed of that order and of the clustering."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        changed = self.model_dump(exclude_defaults=True).keys() - {"dense", "size"}
        if self.dense and changed:
            raise ValueError(f"{min(changed)} has no effect if dense is true")
        return self


class LbpSettings(Section):
    """Local binary patterns in a grid of cells; 2,891 values by default."""

    size: int = Field(64, ge=8)
    """Side of the resized image in pixels."""
    cells: int = Field(7, ge=1)
    """Cells along each side; if ``size`` is not divisible, some cells are a pixel wider."""
    points: int = Field(8, ge=2, le=24)
    """Neighbours on a circle around each pixel."""
    radius: float = Field(1.0, gt=0)
    """Radius of the circle in pixels."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cells > self.size:
            raise ValueError(f"cells: {self.cells} cells do not fit into {self.size} pixels")
        return self


class FeaturesConfig(Section):
    """Features, their scaling and the classifier on them."""

    blocks: list[Annotated[str, one_of(EXTRACTORS)]] = []
    """Kinds of features to fuse; empty: a network on images only. ``cnn``: features of the network in ``model`` and
    ``train``, trained on the same training part as a separate run."""
    scaling: Scaling = "min-max"
    """Per dimension to [0, 1] or zero mean and unit variance, fitted on the training part; or per image and block."""
    classifier: Annotated[str, one_of(CLASSIFIERS)] = "logistic"

    hog: HogSettings = HogSettings()
    sift: SiftSettings = SiftSettings()
    lbp: LbpSettings = LbpSettings()

    @field_validator("blocks")
    @classmethod
    def _in_order(cls, blocks: list[str]) -> list[str]:
        return sorted(blocks, key=list(EXTRACTORS).index)  # any order is the same run

    @property
    def fitted(self) -> bool:
        """Return whether a classifier on features replaces the network on images."""
        return bool(self.blocks and CLASSIFIERS[self.classifier].code)

    @property
    def joined(self) -> bool:
        """Return whether the run's network on images also takes the features."""
        return bool(self.blocks) and not self.fitted

    def idle(self) -> dict[str, str]:
        """Return given settings without effect -> reason."""
        given = self.model_dump(exclude_defaults=True)
        if not self.blocks:
            return dict.fromkeys(given, "features.blocks is empty")
        unused = [name for name in given if name in EXTRACTORS and name not in self.blocks]
        return {name: f"{name} is not among features.blocks" for name in unused}
