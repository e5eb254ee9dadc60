"""Embedded data sets: images, manifest and ground truth (``truth.parquet``) from a card's options.

Each person and each image has its own random stream, so the result does not depend on the number of processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fer_cli.data.cards import Embedded
from fer_cli.data.manifest import COLUMNS
from fer_cli.errors import DataError
from fer_cli.progress import Progress
from fer_cli.seeds import derive_seed
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.annotators import annotate
from fer_cli.synthetic.body import body_mesh
from fer_cli.synthetic.clips import draw_clip
from fer_cli.synthetic.expressions import RECIPES, draw_expression
from fer_cli.synthetic.faces import Face, Look, first_view, make_face
from fer_cli.synthetic.gestures import gesture_clip, truth_of_pose
from fer_cli.synthetic.identities import Identity, make_identity
from fer_cli.synthetic.mesh import head_mesh


@dataclass(frozen=True)
class Task:
    """All images of one person."""

    options: Embedded
    classes: tuple[str, ...]
    subject: int
    labels: tuple[str, ...]


def check_options(name: str, options: Embedded, classes: list[str]) -> None:
    """Raise DataError for invalid options."""
    if not 16 <= options.size <= 1024:
        raise DataError(f"{name}: --size {options.size}: must be 16 to 1024 pixels")
    if options.images < len(classes):
        raise DataError(f"{name}: --images {options.images}: must be at least {len(classes)}, one per class")
    if not 1 <= options.subjects <= options.images:
        raise DataError(
            f"{name}: --subjects {options.subjects}: must be between 1 and the number of images ({options.images})"
        )
    if options.frames and not (len(options.frames) == 2 and 2 <= options.frames[0] <= options.frames[1]):
        raise DataError(f"{name}: frames {options.frames}: must be minimum and maximum clip length, at least 2 frames")
    if options.recipes == "gesture" and not options.frames:
        raise DataError(f"{name}: frames: required, since gestures are clips")


def class_counts(options: Embedded, classes: list[str]) -> dict[str, int]:
    """Return the images per class by the card's proportions (default: equal), summing to ``options.images``."""
    shares = np.array([options.proportions.get(label, 1) if options.proportions else 1 for label in classes], float)
    exact = shares / shares.sum() * options.images
    counts = np.maximum(np.floor(exact).astype(int), 1)
    order = np.argsort(counts - exact, kind="stable")
    while counts.sum() != options.images:
        step = 1 if counts.sum() < options.images else -1
        place = order[0] if step > 0 else int(counts.argmax())
        counts[place] += step
        order = np.roll(order, -1)
    return dict(zip(classes, counts.tolist(), strict=True))


def share_out(options: Embedded, classes: list[str]) -> list[Task]:
    """Return a task per person; the images of each class are distributed in rounds of random order."""
    rng = np.random.default_rng(derive_seed(options.seed, "dealing"))
    hands: list[list[str]] = [[] for _ in range(options.subjects)]
    queue: Iterator[int] = iter(())
    for label, count in class_counts(options, classes).items():
        for _ in range(count):
            subject = next(queue, None)
            if subject is None:
                queue = iter(rng.permutation(options.subjects).tolist())
                subject = next(queue)
            hands[subject].append(label)
    return [Task(options, tuple(classes), subject, tuple(labels)) for subject, labels in enumerate(hands) if labels]


def render_person(task: Task) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return one person's images (n, S, S) uint8 and their rows of ground truth."""
    options = task.options
    ages = (options.ages[0], options.ages[1])
    person = make_identity(options.seed, task.subject, len(UNITS), ages)
    images, rows = [], []
    for number, label in enumerate(task.labels):
        rng = np.random.default_rng(derive_seed(options.seed, "picture", task.subject, number))
        name = f"{task.subject:05d}-{number:04d}"
        for count, (image, truth) in enumerate(pictures(person, label, options, rng)):
            images.append(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
            place: dict[str, Any] = {"subject": f"p{task.subject:05d}", "sequence": name, "frame": count}
            hearsay = np.random.default_rng(derive_seed(options.seed, "annotators", name, count))
            given = annotate(label, list(task.classes), hearsay)
            sample = f"{name}-{count:02d}" if options.frames else name
            rows.append({"sample": sample, "label": label, **place, **truth, **given})
    return np.stack(images), rows


def pictures(
    person: Identity, label: str, options: Embedded, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Yield the image, or the frames of the clip, drawn from ``rng``: (S, S, 3) uint8 and ground truth."""
    zoom = (options.zoom[0], options.zoom[1])
    look = Look(zoom, options.shift, options.pose, options.difficulty, options.occluded, options.speech, options.bust)
    if not options.frames:
        drawn = draw_expression(RECIPES[options.recipes][label], label, rng, look.difficulty, look.pose)
        face = make_face(person, drawn, look, options.size, rng)
        yield face.image, truth_of(face)
        return
    count = int(rng.integers(options.frames[0], options.frames[1] + 1))
    if options.recipes == "gesture":
        for image, pose in gesture_clip(person, label, count, options.size, rng, options.difficulty):
            yield image, truth_of_pose(pose)
        return
    moments = draw_clip(RECIPES[options.recipes][label], label, count, rng, look.difficulty, look.pose, options.speech)
    still = replace(look, speech=0.0)
    scene, noise = int(rng.integers(2**62)), np.random.default_rng(int(rng.integers(2**62)))
    calm = replace(moments[0], units=np.zeros_like(moments[0].units))
    view = first_view(person, calm, still, np.random.default_rng(scene))
    for moment in moments:
        face = make_face(person, moment, still, options.size, np.random.default_rng(scene), noise, view)
        yield face.image, truth_of(face)


def truth_of(face: Face) -> dict[str, Any]:
    """Return the ground truth of an image as columns, rounded to be the same on every processor."""
    units = {f"{unit}_{side}": float(face.units[s, u]) for u, unit in enumerate(UNITS) for s, side in enumerate("RL")}
    numbers = {
        **dict(zip(("yaw", "pitch", "roll"), face.pose, strict=True)),
        **dict(zip(("gaze_yaw", "gaze_pitch"), face.gaze, strict=True)),
        **dict(zip(("left", "top", "right", "bottom"), face.box, strict=True)),
    }
    return {
        **{name: round(value, 4) for name, value in numbers.items()},
        "occluder": face.occluder,
        "landmarks": face.landmarks.ravel().round(2).tolist(),
        "visible": face.visible.tolist(),
        **units,
    }


def one_thread() -> None:
    """Limit a worker process to one thread, which is faster and makes sums reproducible."""
    cv2.setNumThreads(1)
    threadpool_limits(1)


def render_set(
    options: Embedded, classes: list[str], jobs: int, progress: Progress
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Return manifest, images (N, S, S) uint8 and ground truth of a set, rendered by ``jobs`` processes."""
    head_mesh()  # cached before the workers need it
    if options.recipes == "gesture" or options.bust:
        body_mesh()
    tasks = share_out(options, classes)
    if jobs == 1:
        with threadpool_limits(1):
            parts = list(progress(map(render_person, tasks), len(tasks)))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=one_thread) as pool:
            parts = list(progress(pool.map(render_person, tasks, chunksize=2), len(tasks)))
    images = np.concatenate([part for part, _ in parts])
    truth = pd.DataFrame([row for _, rows in parts for row in rows])
    manifest = pd.DataFrame(
        {
            "sample": truth["sample"],
            "name": truth["sample"],
            "file": "",
            "label": truth["label"],
            "subject": truth["subject"],
            "sequence": truth["sequence"],
            "frame": truth["frame"],
            "split": "none",
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
        },
        columns=list(COLUMNS),
    )
    return manifest, images, truth
