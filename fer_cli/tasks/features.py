"""Runs that fit a classifier on fused features instead of a network on images (Sun 2024, section 3 and Table 3)."""

from __future__ import annotations

from pathlib import Path

from fer_cli.config import CLASSIFIERS, CNN, Compute, FeaturesConfig, RunConfig
from fer_cli.results import Result
from fer_cli.tasks.task import Inputs, Task


def network_run(config: RunConfig) -> RunConfig | None:
    """Return the run that trains the network of ``cnn`` on the same split, or None without ``cnn``."""
    if CNN not in config.features.blocks:
        return None
    return config.model_copy(update={"features": FeaturesConfig(), "task": None})


def fit_features(config: RunConfig, inputs: Inputs, compute: Compute) -> Result:
    """Extract, fit and test; see ``fit_run``."""
    from fer_cli.learning.fit import fit_run

    return fit_run(config, compute, inputs.folder, inputs.start, network_run(config))


def smoke_features(config: RunConfig, compute: Compute, folder: Path) -> None:
    """Fit the classifier on features of a few training images, and smoke-test the network of ``cnn``."""
    from fer_cli.learning.smoke import smoke_classifier, smoke_network

    smoke_classifier(config, compute)
    if (network := network_run(config)) is not None:
        smoke_network(network, compute, folder)


def describe_features(configs: list[RunConfig]) -> list[str]:
    """Return a line per classifier and scaling, including what is fitted on which images."""
    return [
        f"classifier: {CLASSIFIERS[classifier].words} on features, scaling {scaling}; classifier, scaling and visual words "
        "are fitted on the training part only; nothing is selected; test predicted once"
        for classifier, scaling in dict.fromkeys((config.features.classifier, config.features.scaling) for config in configs)
    ]


FEATURES = Task(
    name="features",
    trains_network=False,
    before=network_run,
    name_before=lambda _: "network of the features",
    training=lambda _: None,
    run=fit_features,
    smoke=smoke_features,
    check=lambda _: None,
    cost=lambda _: 1,
    balance=lambda _: 0.0,
    classes=lambda _, classes: classes,
    use="extracts features cnn",
    describe=describe_features,
)
