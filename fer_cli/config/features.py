"""Features that a classifier is fitted on, or that a network gets beside its images (Sun 2024, section 3 and Table 3)."""

from __future__ import annotations

from typing import Literal

from fer_cli.config.section import Section


class FeaturesConfig(Section):
    """Which features, how they are scaled, and what is fitted on them."""

    blocks: list[Literal["cnn", "hog", "sift", "lbp"]] = []
    """Kinds of features, joined; none: the run's network recognises images alone. ``cnn`` are those of the network that
    ``model`` and ``train`` say, trained on the same training part as a run of its own."""
    scaling: Literal["min-max", "per-vector", "z-score", "none"] = "min-max"
    """Per dimension to [0, 1] or to mean 0 and deviation 1, fitted on the training part; or each image's block by itself."""
    classifier: Literal["logistic", "linear-svm", "rbf-svm", "forest", "mlp", "network"] = "logistic"
    """Multinomial logistic regression, support vector machines (both with C = 1), a random forest of 500 trees, a network
    of one hidden layer; or the residual network of ``model``, whose last layer gets the features beside its own."""

    @property
    def fitted(self) -> bool:
        """Return whether a classifier is fitted on features in the place of a network on images."""
        return bool(self.blocks) and self.classifier != "network"

    @property
    def joined(self) -> bool:
        """Return whether the run's network on images gets the features, too."""
        return bool(self.blocks) and self.classifier == "network"

    def idle(self) -> dict[str, str]:
        """Return the settings that were given but change nothing, each with the reason."""
        given = self.model_dump(exclude_defaults=True)
        return {} if self.blocks else dict.fromkeys(given, "features.blocks is empty")
