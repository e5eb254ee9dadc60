"""Features that a classifier is fitted on, or that a network gets beside its images (Sun 2024, section 3 and Table 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from fer_cli.config.registry import one_of
from fer_cli.config.section import Section

CNN = "cnn"
"""The block that a run's own network gives; all others are computed from the image alone."""

EXTRACTORS: dict[str, str] = {
    CNN: "fer_cli.learning.deep:Cnn",
    "hog": "fer_cli.features.hog:Hog",
    "sift": "fer_cli.features.sift:Sift",
    "lbp": "fer_cli.features.lbp:Lbp",
}
"""Kind of features -> its class, in the order in which blocks are joined (Sun 2024, Eq 8, then ours)."""

Scaling = Literal["min-max", "per-vector", "z-score", "none"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)


@dataclass(frozen=True)
class Classifier:
    """What recognises an image by its features."""

    words: str
    """What it is, for tables."""
    code: str = ""
    """Class that has ``fit`` and ``predict`` of scikit-learn; none: the run's network, which gets the features as well."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of that class that differ from its defaults."""
    seed: str = ""
    """Its argument that takes a seed; none: nothing in it is random."""


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
    """Of histograms of oriented gradients; a 64-pixel image gives 1,764 values as they stand (Sun 2024, Eq 1-6)."""

    size: int | None = Field(64, ge=2)
    """Side the image is brought to, in pixels; None leaves it as it is."""
    root: bool = True
    """Gradients of the square root of the image: gamma 0.5 (Eq 1)."""
    orientations: int = Field(9, ge=1)
    cell: int = Field(8, ge=1)
    """Side of a cell in pixels."""
    block: int = Field(2, ge=1)
    """Side of a block in cells; blocks overlap and move by a cell."""
    norm: Literal["L2-Hys", "L2", "L1", "L1-sqrt", "max"] = "L2-Hys"


class SiftSettings(Section):
    """Of SIFT; an image gives ``words`` shares that sum to 1 or 0, or 2,048 values if ``dense`` (Sun 2024, section 3.3)."""

    size: int = Field(64, ge=16)
    """Side the image is brought to, in pixels; 128 finds more key points."""
    words: int = Field(128, ge=1)
    dense: bool = False
    """A grid of 4 x 4 key points, each as wide as its share of the image (16 px of 64), upright."""
    contrast: float = Field(0.04, ge=0)
    """OpenCV's threshold against weak key points."""
    edge: float = Field(10.0, gt=0)
    """OpenCV's threshold against key points on edges; larger keeps more."""
    sample: int = Field(200_000, ge=1)
    """About the most descriptors to learn words from: those of training images in random order, until there are enough."""
    seed: int = Field(0, ge=0)
    """Of that order and of the clustering."""

    @model_validator(mode="after")
    def _effective(self) -> Self:
        """Refuse settings of key points and words where a grid needs neither."""
        changed = self.model_dump(exclude_defaults=True).keys() - {"dense", "size"}
        if self.dense and changed:
            raise ValueError(f"{min(changed)} has no effect where dense is true")
        return self


class LbpSettings(Section):
    """Of local binary patterns in a grid of cells; 2,891 values as they stand."""

    size: int = Field(64, ge=8)
    """Side the image is brought to, in pixels."""
    cells: int = Field(7, ge=1)
    """Cells along each side; where they do not divide ``size`` evenly, some are a pixel wider."""
    points: int = Field(8, ge=2, le=24)
    """Neighbours on a circle around each pixel."""
    radius: float = Field(1.0, gt=0)
    """Of that circle, in pixels."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse cells narrower than a pixel."""
        if self.cells > self.size:
            raise ValueError(f"cells: {self.cells} cells do not fit into {self.size} pixels")
        return self


class FeaturesConfig(Section):
    """Which features, how they are scaled, and what is fitted on them."""

    blocks: list[Annotated[str, one_of(EXTRACTORS)]] = []
    """Kinds of features, joined; none: the run's network recognises images alone. ``cnn`` are those of the network that
    ``model`` and ``train`` say, trained on the same training part as a run of its own."""
    scaling: Scaling = "min-max"
    """Per dimension to [0, 1] or to mean 0 and deviation 1, fitted on the training part; or each image's block by itself."""
    classifier: Annotated[str, one_of(CLASSIFIERS)] = "logistic"

    hog: HogSettings = HogSettings()
    sift: SiftSettings = SiftSettings()
    lbp: LbpSettings = LbpSettings()

    @field_validator("blocks")
    @classmethod
    def _in_order(cls, blocks: list[str]) -> list[str]:
        """Put blocks into the order in which they are joined, so that any order is the same run."""
        return sorted(blocks, key=list(EXTRACTORS).index)

    @property
    def fitted(self) -> bool:
        """Return whether a classifier is fitted on features in the place of a network on images."""
        return bool(self.blocks and CLASSIFIERS[self.classifier].code)

    @property
    def joined(self) -> bool:
        """Return whether the run's network on images gets the features, too."""
        return bool(self.blocks) and not self.fitted

    def idle(self) -> dict[str, str]:
        """Return the settings that were given but change nothing, each with the reason."""
        given = self.model_dump(exclude_defaults=True)
        if not self.blocks:
            return dict.fromkeys(given, "features.blocks is empty")
        unused = [name for name in given if name in EXTRACTORS and name not in self.blocks]
        return {name: f"{name} is not among features.blocks" for name in unused}
