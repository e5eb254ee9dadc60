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
from fer_cli.data.clips import group_clips
from fer_cli.data.identity import clip_codes
from fer_cli.data.manifest import FaceSet, drawing_note, load_set
from fer_cli.data.splits import make_split, other_part
from fer_cli.places import write_text

FEW = 100
"""Images that are worth a process of their own."""

log = logging.getLogger("fer")


def open_sets(config: RunConfig, compute: Compute) -> list[FaceSet]:
    """Return the sets of ``config.sets`` with all images that the run reads; clips are samples of a run on clips."""
    data, every = config.data, bool(config.features.blocks)  # features are computed, and kept, for all images of a set
    clips = data.frames if config.model.network.clips else None
    faces = open_set(
        compute, data.name, None if every else partial(needed_images, config=data, clips=clips, trial=config.trial)
    )
    sets = [faces]
    if data.test is not None and not config.trial:
        classes = data.classes or faces.info.classes
        sets.append(open_set(compute, data.test, partial(needed_for_test, config=data, classes=classes, clips=clips)))
    return sets if clips is None else [group_clips(one, clips) for one in sets]


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


def needed_images(faces: FaceSet, config: DataConfig, clips: int | None = None, trial: bool = False) -> np.ndarray:
    """Return the positions (n,) int64 in a set of the images of a run's parts; ``clips``: of all frames of its clips.

    ``trial``: without the test part.
    """
    samples = faces if clips is None else group_clips(faces, clips)
    split = make_split(samples.of_classes(config.classes).manifest, config)
    parts = np.concatenate([split.train, split.val, *([split.test] if config.test is None and not trial else [])])
    where = np.arange(len(samples.manifest))
    if config.classes:
        where = where[samples.manifest["label"].isin(config.classes).to_numpy()]
    chosen = np.unique(where[parts])
    return chosen if clips is None else frames_of(faces, samples, chosen)


def needed_for_test(faces: FaceSet, config: DataConfig, classes: list[str], clips: int | None = None) -> np.ndarray:
    """Return the positions (n,) int64 in another set of the images, or of all frames of the clips, that are tested on."""
    samples = faces if clips is None else group_clips(faces, clips)
    chosen = other_part(samples.manifest, classes, config)
    return chosen if clips is None else frames_of(faces, samples, chosen)


def frames_of(faces: FaceSet, samples: FaceSet, chosen: np.ndarray) -> np.ndarray:
    """Return the positions (n,) int64 in ``faces`` of all frames of those of its clips ``samples`` at ``chosen``."""
    codes = clip_codes(faces.manifest)
    first = faces.manifest["sample"].isin(samples.manifest["sample"].iloc[chosen]).to_numpy()
    return np.flatnonzero(np.isin(codes, codes[first]))


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
