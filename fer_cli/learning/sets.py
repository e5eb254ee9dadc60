"""The data sets of a run, with the images that it needs; those of embedded sets are drawn now if they are missing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.config import Compute, DataConfig, RunConfig
from fer_cli.data.manifest import FaceSet, drawing_note, load_set
from fer_cli.data.splits import make_split, other_part
from fer_cli.places import write_text

FEW = 100
"""Images that are worth a process of their own."""

log = logging.getLogger("fer")


def open_sets(config: RunConfig, compute: Compute) -> list[FaceSet]:
    """Return the sets of ``config.data.sets`` with all images that the run reads."""
    data, every = config.data, bool(config.features.blocks)  # features are computed, and kept, for all images of a set
    faces = open_set(compute, data.name, None if every else partial(needed_images, config=data))
    if data.test is None:
        return [faces]
    classes = data.classes or faces.info.classes
    return [faces, open_set(compute, data.test, lambda other: other_part(other.manifest, classes, data))]


def open_set(compute: Compute, name: str, choose: Callable[[FaceSet], np.ndarray] | None = None) -> FaceSet:
    """Return a set with the images that ``choose`` returns the positions (n,) of; by default with all."""
    faces = load_set(compute.data_root, name)
    if faces.info.drawn is None:
        return faces
    missing = faces.undrawn(None if choose is None else choose(faces))
    if not len(missing):
        return faces
    draw_missing(compute.data_root, name, missing)
    return load_set(compute.data_root, name)


def needed_images(faces: FaceSet, config: DataConfig) -> np.ndarray:
    """Return the positions (n,) int64 in a set of the images of a run's parts."""
    chosen = faces.of_classes(config.classes)
    split = make_split(chosen.manifest, config)
    parts = np.concatenate([split.train, split.val, *([split.test] if config.test is None else [])])
    where = np.arange(len(faces.manifest))
    if config.classes:
        where = where[faces.manifest["label"].isin(config.classes).to_numpy()]
    return np.unique(where[parts])


def draw_missing(data_root: Path, name: str, positions: np.ndarray) -> None:
    """Draw images of an embedded set on all cores: other runs that need it are waiting."""
    from fer_cli.synthetic.build import draw_pictures

    log.info("drawing %d images of %s", len(positions), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = max(1, min(cores, len(positions) // FEW))
    draw_pictures(name, data_root, positions, jobs, partial(note_progress, drawing_note(data_root, name)))


def note_progress(path: Path, items: Iterable[Any], total: int) -> Iterator[Any]:
    """Yield the items and note in a file, twice a second, how many are done; ``fer ablate`` shows it."""
    noted = 0.0
    try:
        for done, item in enumerate(items, start=1):
            yield item
            if time.monotonic() - noted > 0.5:
                write_text(path, f"{done} {total}\n")
                noted = time.monotonic()
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
