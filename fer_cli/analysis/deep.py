"""Features of finished runs for any images, and which images had a part in a run's weights.

Sun 2024 does not say which images its extractor was trained on. Here features for a split come from a run on that split's
own training part, and ``check_unseen`` refuses any other.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fer_cli.analysis.reopen import reopen
from fer_cli.config import Compute
from fer_cli.data.block import Block
from fer_cli.data.manifest import SetInfo, load_info, load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError, ResultsError
from fer_cli.learning.deep import check_images, compute_features
from fer_cli.plan import Item, read_runs
from fer_cli.runs import RunFolder


def find_finished_run(run_id: str, compute: Compute) -> Item:
    """Return a finished run by its id; raises ResultsError where there is none or it is not what its id says today."""
    folder = RunFolder(compute.results, run_id)
    if folder.damage is not None:
        raise folder.damage
    if folder.status != "done":
        raise ResultsError(f"{folder.path}: no finished run (it is {folder.status}); see fer ablate")
    item, start = read_runs(compute.results, [run_id])[run_id], folder.result().pretrained_by
    if item.run.config.run_id(item.fingerprint if start is None else f"{item.fingerprint}<{start}") != run_id:
        raise ResultsError(f"{folder.path}: of an earlier version, whose networks or training differed; train it again")
    return item


def parts_of(item: Item, compute: Compute) -> dict[str, list[str]]:
    """Return the samples of a run's own set in its parts train, val and test (none where it is tested on another set).

    Raises DataError when the set, and with it perhaps the split, is not the one the run was trained on.
    """
    config = item.run.config.data
    faces = load_set(compute.data_root, config.name)
    built = faces.info.fingerprint
    if built != item.fingerprint.split("+")[0]:
        raise DataError(
            f"run {item.run_id}: trained on {config.name} {item.fingerprint}, which is {built} now; train it again"
        )
    faces = faces.of_classes(config.classes)
    split = make_split(faces.manifest, config)
    recorded = item.folder.result().data.split_hash
    if split.hash != recorded:
        raise DataError(f"run {item.run_id}: its parts were {recorded}, its settings give {split.hash} now; train it again")
    samples = faces.manifest["sample"].to_numpy()
    return {part: samples[getattr(split, part)].tolist() for part in ("train", "val", "test")}


def training_samples(item: Item, compute: Compute) -> list[str]:
    """Return the samples of the training part of a finished run, leaked ones among them; raises as ``parts_of`` does.

    Images of ``model.pretrain`` and those behind a file of weights belong to other sets and are not among them.
    """
    return parts_of(item, compute)["train"]


def check_sets(item: Item, compute: Compute, tested: SetInfo) -> None:
    """Raise DataError if images of the set that is tested may be among those behind a run's weights, under another name.

    They may where the run, or its pre-training, used the set, or one made of it, or one that it is made of; only images of
    the run's own set are told apart by ``check_unseen``.
    """
    config = item.run.config
    if config.data.name == tested.name:
        return
    used = [name for name in (*config.data.sets, config.model.pretrain) if name is not None]
    behind = {part for name in used for part in (name, *load_info(compute.data_root, name).parts)}
    if common := sorted(behind & {tested.name, *tested.parts}):
        raise DataError(
            f"run {item.run_id}: {common[0]} stands behind its weights, and {tested.name} is tested here: its test images "
            "may have been seen; take features from a run on this split's own training part"
        )


def check_unseen(item: Item, compute: Compute, samples: Iterable[str]) -> None:
    """Raise DataError, with their number, if test samples of the run's own set had a part in its weights.

    These are the training part and the validation part, which chose the epoch.
    """
    wanted, parts = set(samples), parts_of(item, compute)
    trained, chose = (sorted(wanted & set(parts[part])) for part in ("train", "val"))
    if trained or chose:
        also = f" and {len(set(chose) - set(trained))} in its validation part, which chose its epoch"
        raise DataError(
            f"run {item.run_id}: {len(trained)} of {len(wanted)} test samples were in its training part{also} "
            f"(e.g. {(trained or chose)[0]}); take features from a run on this split's own training part"
        )


def deep_features(item: Item, compute: Compute, images: Block | np.ndarray, unseen: Iterable[str] = ()) -> np.ndarray:
    """Return what the classifier of a finished run gets of each image: (N, D) float32.

    ``images``: square ones of any side, as ``Block.of`` takes them; they are resized as the run's own were.
    ``unseen``: test samples of the run's set that must have had no part in its weights; DataError where one had.
    Raises ResultsError when the run is not finished or its weights are gone, DataError for other arrays.
    """
    block = Block.of(images)
    check_images(block)
    check_unseen(item, compute, unseen)
    return compute_features(reopen(item, compute), block)
