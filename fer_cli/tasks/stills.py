"""Runs that train a network on still images and predict the test part once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fer_cli.config import (
    BACKBONES,
    AugmentConfig,
    Compute,
    CorruptConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    Section,
    TrainConfig,
)
from fer_cli.results import Result
from fer_cli.tasks.task import Inputs, Task

FACE_SHARE = 3 / 7
"""Side of the faces that a trunk starts from, by the side of pictures of a whole person.

There a head is 17 to 21 pixels of 112 high. At 48 pixels, it also shares its pre-training with networks on clips of faces.
"""


def pretraining(config: RunConfig) -> RunConfig | None:
    """Return the pre-training run of a run, or None; shared by all runs with the same image size, split file and network.

    A network on clips starts from its trunk, trained as a network on still images: of the clips' size if these show a
    face, as with regions of the face, else smaller by ``FACE_SHARE``.
    """
    if config.model.pretrain is None:
        return None
    known, side = config.model.network, config.data.image_size
    trunk = known.trunk
    if trunk is not None and not known.regions:
        side = max(BACKBONES[trunk].least, round(FACE_SHARE * side))
    data = DataConfig(name=config.model.pretrain, image_size=side, folds=10)
    if trunk is None:
        reset = {"pretrain": None, "freeze": False, "adapt": "none", "importance_layers": None}
        model = config.model.model_copy(update=reset)
    else:
        kept = ("channels", "normalise", "mirror_average")
        model = ModelConfig(backbone=trunk, **{name: getattr(config.model, name) for name in kept})
    augment = AugmentConfig(rotate=25.0, translate=0.12, scale=0.25, brightness=0.35, contrast=0.6, erase=0.4)
    train = TrainConfig(epochs=8, class_balance=0.0, weight_average=0.99)
    return RunConfig(data=data, model=model, augment=augment, train=train)


def shared_training(config: RunConfig) -> RunConfig | None:
    """Return the run without what concerns its test alone, whose training it shares: corruption, adaptation; else None."""
    changed: dict[str, Section] = {}
    if config.corrupt.active and config.corrupt.parts == ["test"]:
        changed["corrupt"] = CorruptConfig()
    if config.model.adapt != "none":
        changed["model"] = config.model.model_copy(update={"adapt": "none"})
    return config.model_copy(update=changed) if changed else None


def count_epochs(config: RunConfig) -> int:
    """Return the epochs of a run, in passes over the whole training part, for every margin that is searched.

    k folds of confident learning add k - 1 passes.
    """
    learning = config.learning
    folds = 1 if learning.confident == "none" else learning.confident_folds
    return config.train.epochs * (folds - 1 + len(learning.margins))


def train_stills(config: RunConfig, inputs: Inputs, compute: Compute) -> Result:
    """Train, select and test; see ``train_run``."""
    from fer_cli.learning.train import train_run

    return train_run(config, compute, inputs.folder, inputs.on_epoch, inputs.start, inputs.trained)


def smoke_stills(config: RunConfig, compute: Compute, folder: Path) -> None:
    """Train and validate one batch and predict validation and test images."""
    from fer_cli.learning.smoke import smoke_network

    smoke_network(config, compute, folder)


def check_stills(runs: Iterable[tuple[RunConfig, list[str]]]) -> None:
    """Raise StudyError or DataError if a network cannot be built or its weights file not loaded."""
    from fer_cli.learning.networks import check_networks

    known = list(runs)
    if any(config.learning.confident != "none" for config, _ in known):
        from fer_cli.learning.confident import require_cleanlab

        require_cleanlab()
    check_networks(known)


def describe_stills(configs: list[RunConfig]) -> list[str]:
    """Return a line per kind of additional features that networks take, and one on adaptation to the test set."""
    joined = [config.features for config in configs if config.features.joined]
    adapted = any(config.model.adapt != "none" for config in configs)
    note = (
        "batch norms of arms with model.adapt are re-estimated on unlabelled images of four subject folds of the test set; "
        "the fifth fold is tested, and the predictions of all folds are pooled"
    )
    return [note] * adapted + [
        f"concatenated with the pooled features before the last layer in some arms: {' + '.join(blocks)} of the original "
        f"image, scaling {scaling}; scaling and visual words are fitted on the training part only"
        for blocks, scaling in dict.fromkeys((tuple(config.blocks), config.scaling) for config in joined)
    ]


STILLS = Task(
    name="stills",
    trains_network=True,
    before=pretraining,
    name_before=lambda config: f"pre-training on {config.model.pretrain}",
    training=shared_training,
    run=train_stills,
    smoke=smoke_stills,
    check=check_stills,
    cost=count_epochs,
    balance=lambda config: config.train.class_balance,
    classes=lambda _, classes: classes,
    use="",
    describe=describe_stills,
)
