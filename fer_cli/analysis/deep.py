"""Finished runs whose features may be used: ``check_unseen`` rejects runs whose weights depend on test images.

Sun 2024 does not specify the extractor's training images. Here it is trained on the split's own training part.
"""

from __future__ import annotations

from collections.abc import Iterable

from fer_cli.config import Compute
from fer_cli.data.apart import compare_sources, origins, sources_of
from fer_cli.data.kept import is_built
from fer_cli.data.manifest import SetInfo, load_info, load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError, ResultsError
from fer_cli.plan import Item, read_runs
from fer_cli.runs import RunFolder

OWN_PART = "use a run on this split's own training part"
"""The remedy for weights that may depend on test images."""


def find_finished_run(run_id: str, compute: Compute) -> Item:
    """Return a finished run by its id; raises ResultsError if there is none or its id is outdated."""
    folder = RunFolder(compute.results, run_id)
    if folder.damage is not None:
        raise folder.damage
    if folder.status != "done":
        raise ResultsError(f"{folder.path}: not a finished run (its state is {folder.status}); run fer ablate")
    item, start = read_runs(compute.results, [run_id])[run_id], folder.result().pretrained_by
    if item.run.config.run_id(item.fingerprint if start is None else f"{item.fingerprint}<{start}") != run_id:
        raise ResultsError(f"{folder.path}: made by an earlier version with other networks or training; train it again")
    return item


def parts_of(item: Item, compute: Compute) -> dict[str, list[str]]:
    """Return the samples of a run's own set by part: train, val and test (empty if it is tested on another set).

    The training part includes leaked samples. Images behind ``model.pretrain`` or a file of weights belong to other sets and
    are not included. Raises DataError if the set or its split changed since the run was trained.
    """
    config = item.run.config.data
    faces = load_set(compute.data_root, config.name)
    built = faces.info.fingerprint
    if built != item.fingerprint.split("+")[0]:
        raise DataError(f"run {item.run_id}: {config.name} changed from {item.fingerprint} to {built}; train the run again")
    faces = faces.of_classes(config.classes)
    split = make_split(faces.manifest, config)
    recorded = item.folder.result().data.split_hash
    if split.hash != recorded:
        raise DataError(f"run {item.run_id}: its split changed from {recorded} to {split.hash}; train it again")
    samples = faces.manifest["sample"].to_numpy()
    return {part: samples[getattr(split, part)].tolist() for part in ("train", "val", "test")}


def check_sets(item: Item, compute: Compute, tested: SetInfo) -> None:
    """Raise DataError if a run used the tested set, a set made of it or one of its parts; skips the run's own set."""
    config = item.run.config
    if config.data.name == tested.name:
        return
    used = [name for name in (*config.data.sets, config.model.pretrain) if name is not None]
    infos = [load_info(compute.data_root, name) for name in used]
    behind = {part for info in infos for part in (info.name, *info.parts)}
    common = sorted(behind & {tested.name, *tested.parts})
    if common := common or [info.name for info in infos if origins(info) & origins(tested)]:
        raise DataError(
            f"run {item.run_id}: {common[0]} was used for its weights, so test images of {tested.name} may have been seen; "
            f"{OWN_PART}"
        )
    if is_built(compute.data_root, tested.name):
        asked = sources_of(compute.data_root, tested)
        for info in infos:
            words = f"images of {tested.name} are also in {info.name}, from which its weights are"
            compare_sources(sources_of(compute.data_root, info), asked, f"run {item.run_id}", words, f"; {OWN_PART}")


def check_unseen(item: Item, compute: Compute, samples: Iterable[str]) -> None:
    """Raise DataError if test samples are in the training part of the run's own set, or in its validation part."""
    wanted, parts = set(samples), parts_of(item, compute)
    trained, chose = (sorted(wanted & set(parts[part])) for part in ("train", "val"))
    if trained or chose:
        also = f" and {len(set(chose) - set(trained))} in its validation part, which selects its epoch"
        raise DataError(
            f"run {item.run_id}: {len(trained)} of {len(wanted)} test samples are in its training part{also} "
            f"(e.g. {(trained or chose)[0]}); {OWN_PART}"
        )
