"""Checks before the first run starts, of everything that a config alone cannot show."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fer_cli.config import K_FOLD, Compute, DataConfig, RunConfig
from fer_cli.errors import DataError, ResultsError
from fer_cli.plan import Plan
from fer_cli.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from fer_cli.data.manifest import FaceSet, SetInfo
    from fer_cli.data.splits import Split
    from fer_cli.runs import Status

NOT_OF_SPLITS = {"label_noise", "noise_kind", "noise_pairs", "noise_file", "noise_sha256", "noise_seed", "image_size"} | {
    "frames", "frame_order", "landmarks"
}  # fmt: skip
"""Data settings that do not affect the split."""

SEEN = ", so what a network has seen would be tested; use other sets"
"""Why tested images must not be learned from, as the end of a message."""
CHUNK = 64
"""Training images checked at a time."""


def check_runs(plan: Plan, compute: Compute, states: Mapping[str, Status]) -> list[str]:
    """Raise a FerError if an unfinished run cannot succeed; return warnings.

    Checked: GPU, splits, contrast of the training images, network construction, write access to the results. Embedded sets
    that are not rendered yet are skipped, and images that are not drawn yet. ``states``: run id -> status.
    """
    left = [item.run.config for item in plan.everything if states[item.run_id] != "done"]
    if not left:
        return []
    from fer_cli.data.clips import group_clips
    from fer_cli.data.landmarks import check_landmarks
    from fer_cli.data.manifest import expected_info, load_set
    from fer_cli.data.splits import make_split
    from fer_cli.learning.compute import resolve_compute

    resolve_compute(compute)
    names = {name for item in plan.everything for name in item.run.config.sets}
    infos = {name: expected_info(compute.data_root, name) for name in names}
    layouts: dict[str, RunConfig] = {}
    for config in (item.run.config for item in plan.everything if item.run.config.sets):
        if infos[config.data.name].files:
            layouts[layout_of(config)] = config
    sets: dict[tuple[object, ...], FaceSet] = {}

    def faces_of(config: RunConfig) -> FaceSet:
        clips = config.data.frames if config.model.network.clips else None
        key = (config.data.name, *config.data.classes, clips)
        if key not in sets:
            faces = load_set(compute.data_root, config.data.name)
            sets[key] = (faces if clips is None else group_clips(faces, clips)).of_classes(config.data.classes)
        return sets[key]

    splits = {key: make_split(faces_of(config).manifest, config.data) for key, config in layouts.items()}
    check_sizes(plan, splits)
    ready = [c for c in left if c.sets and layout_of(c) in splits]
    there = [c for c in ready if infos[c.data.name].drawn is None]
    for config in left:
        if not config.simulated and config.model.network.regions:
            for name in config.sets:
                check_landmarks(infos[name], config.data.landmarks)
    check_training_images((config, faces_of(config), splits[layout_of(config)]) for config in there)
    check_training_labels((config, faces_of(config), splits[layout_of(config)]) for config in ready)
    for name, task in TASKS.items():
        task.check((config, trained_classes(config, infos)) for config in left if config.kind == name)
    check_results_folder(compute.results)
    starts = {config.model.pretrain for config in ready if config.model.pretrain is not None}
    infos |= {name: expected_info(compute.data_root, name) for name in starts}
    runs = ((config, faces_of(config), splits[layout_of(config)]) for config in ready)
    return shared_images(runs, infos, compute.data_root) + [
        line for key, config in layouts.items() for line in absent_classes(faces_of(config), config.data, splits[key])
    ]


def shared_images(
    runs: Iterable[tuple[RunConfig, FaceSet, Split]], infos: Mapping[str, SetInfo], data_root: Path
) -> list[str]:
    """Return warnings about tested images that are learned from in other sets; raises DataError if they are not few.

    ``runs``: configs with their own set, of their classes, and split. Tested is the test part, of a trial the validation
    part, or all of ``data.test``; learned from are the rest of the own set, and the set of ``model.pretrain``.
    """
    import numpy as np

    from fer_cli.data.apart import check_origins, compare_sources, sources_of

    @cache  # many seeds share a set
    def all_of(name: str, *classes: str) -> set[str]:
        return sources_of(data_root, infos[name], list(classes))

    found: dict[str, None] = {}
    seen = set()
    for config, faces, split in runs:
        data, start = config.data, config.effective.model.pretrain
        key = (split.hash, data.name, data.test, start, config.trial, *data.classes)
        if key in seen or (data.test is None and start is None):
            continue
        seen.add(key)
        own = faces.manifest.get("sha256", faces.manifest["sample"]).to_numpy()  # of clips, their samples
        tested = own[split.val if config.trial else split.test]
        away = data.test is not None and not config.trial
        where = infos[data.test if away and data.test is not None else data.name]
        if away:
            check_origins(infos[data.name], where, "data.test")
            tested = np.array(sorted(all_of(where.name, *data.classes)))
            learned = set(own[np.concatenate([split.train, split.val])])
            words = f"test images of {where.name} are also in {data.name}"
            found[compare_sources(learned, tested, "data.test", words, SEEN)] = None
        if start is not None:
            check_origins(infos[start], where, "model.pretrain")
            part = "validation" if config.trial else "test"
            words = f"{part} images of {where.name} are also in {start}"
            found[compare_sources(all_of(start), tested, "model.pretrain", words, SEEN)] = None
    return [line for line in found if line]


def trained_classes(config: RunConfig, infos: Mapping[str, SetInfo]) -> list[str]:
    """Return the classes that a run trains on; none for a simulation."""
    return [] if config.simulated else config.data.classes or infos[config.data.name].classes


def absent_classes(faces: FaceSet, config: DataConfig, split: Split) -> list[str]:
    """Return a warning for classes without training images, which no network can predict."""
    trained = set(faces.manifest["label"].iloc[split.train])
    if not (absent := [label for label in faces.info.classes if label not in trained]):
        return []
    fold = f", fold {config.fold} of partition {config.split_seed}" if config.split in K_FOLD else ""
    return [f"{config.name}, split {config.split}{fold}: no training image of {', '.join(absent)}"]


def layout_of(config: RunConfig) -> str:
    """Return a key of the settings that determine the split, and of whether clips or images are split."""
    what = "clips" if config.model.network.clips else "images"
    return f"{what} {config.data.model_dump_json(exclude=NOT_OF_SPLITS)}"


def check_training_images(runs: Iterable[tuple[RunConfig, FaceSet, Split]]) -> None:
    """Raise DataError for the first run whose prepared training images have no contrast."""
    from fer_cli.data.prepare import check_contrast, prepare_part

    def chunks(config: RunConfig, faces: FaceSet, positions: np.ndarray) -> Iterator[Tensor]:
        samples = faces.manifest["sample"].to_numpy()
        for start in range(0, len(positions), CHUNK):
            chosen = positions[start : start + CHUNK]
            yield prepare_part(faces.images[chosen], samples[chosen], config, "train")

    seen = set()
    for config, faces, split in runs:
        model, corrupt = config.model, config.corrupt.model_dump_json()
        key = (split.hash, config.data.name, config.data.image_size, model.normalise, model.channels, corrupt)
        if key not in seen:
            seen.add(key)
            check_contrast(config, chunks(config, faces, split.train))


def check_training_labels(runs: Iterable[tuple[RunConfig, FaceSet, Split]]) -> None:
    """Raise DataError for the first run whose label noise cannot be planted, or whose features are of one class."""
    from fer_cli.data.corrupt import training_labels

    seen = set()
    for config, faces, split in runs:
        data = config.data
        classes = faces.info.classes
        if config.features.fitted and len(set(faces.codes[split.train])) < 2:
            raise DataError(f"{data.name}: the training part has images of one class only; raise data.max_images")
        key = (split.hash, data.name, data.noise_kind, data.label_noise, str(data.noise_pairs), data.noise_file)
        if data.noise_kind in {"asymmetric", "file"} and key not in seen:
            seen.add(key)
            seed = config.seed if data.noise_seed is None else data.noise_seed
            training_labels(faces.manifest, faces.codes, split.train, classes, data, seed)


def check_sizes(plan: Plan, splits: dict[str, Split]) -> None:
    """Raise DataError if two values of ``max_images`` give the same training images."""
    seen: dict[tuple[str, str], DataConfig] = {}
    for key, config in ((layout_of(item.run.config), item.run.config.data) for item in plan.items):
        if (split := splits.get(key)) is None:
            continue
        other = seen.setdefault((config.model_dump_json(exclude=NOT_OF_SPLITS | {"max_images"}), split.hash), config)
        if other.max_images != config.max_images:
            raise DataError(
                f"{config.name}: data.max_images: {other.max_images} and {config.max_images} give the same "
                f"{len(split.train)} training images (all available); use smaller values in a copy of the study"
            )


def check_results_folder(results: Path, remedy: str = "use --results FOLDER") -> None:
    """Raise ResultsError if a folder for results, or its first existing parent, is not writable, or has ``::`` in its path.

    Lightning takes such a path for a chain of addresses, and so cannot write checkpoints there.
    """
    if "::" in str(results.absolute()):
        raise ResultsError(f"{results.absolute()}: a path with '::', as in addresses; {remedy}")
    there = next(path for path in (results, *results.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise ResultsError(f"{results}: cannot write results there ({error.strerror}); {remedy}") from None
