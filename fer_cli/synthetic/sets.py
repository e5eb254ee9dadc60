"""Embedded data sets: images, manifest and ground truth (``truth.parquet``) from a card's options.

Each person and each image has its own random stream, so the result does not depend on the number of processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fer_cli.data.cards import Embedded, check_switches
from fer_cli.errors import DataError
from fer_cli.progress import Progress
from fer_cli.seeds import derive_seed
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.annotators import annotate
from fer_cli.synthetic.body import body_mesh
from fer_cli.synthetic.clips import draw_clip
from fer_cli.synthetic.deal import clip_length, deal_pictures, name_picture, picture_stream
from fer_cli.synthetic.expressions import RECIPES, draw_expression
from fer_cli.synthetic.faces import Face, Look, first_view, make_face, movement
from fer_cli.synthetic.gestures import gesture_clip
from fer_cli.synthetic.identities import Identity, make_identity
from fer_cli.synthetic.ingredients import Ingredients
from fer_cli.synthetic.mesh import head_mesh

FEW_TASKS = 8
"""Fewer people are rendered in this process: starting others takes longer."""


@dataclass(frozen=True)
class Task:
    """Pictures or clips of one person."""

    options: Embedded
    classes: tuple[str, ...]
    subject: int
    numbers: tuple[int, ...]
    """Which of the person's pictures; a picture's random stream depends on nothing else."""
    labels: tuple[str, ...]


def check_options(name: str, options: Embedded, classes: list[str]) -> None:
    """Raise DataError for invalid options."""
    if not 16 <= options.size <= 1024:
        raise DataError(f"{name}: --size {options.size}: must be 16 to 1024 pixels")
    if options.images < len(classes):
        raise DataError(f"{name}: --images {options.images}: must be at least {len(classes)}, one per class")
    if options.subjects < 1:
        raise DataError(f"{name}: --subjects {options.subjects}: must be at least 1")
    if options.frames and not (len(options.frames) == 2 and 2 <= options.frames[0] <= options.frames[1]):
        raise DataError(f"{name}: frames {options.frames}: must be minimum and maximum clip length, at least 2 frames")
    for recipes, what in (("gesture", "gestures"), ("order", "expressions in an order")):
        if options.recipes == recipes and not options.frames:
            raise DataError(f"{name}: frames: required, since {what} are clips")
    if options.frames and options.rate is None:
        raise DataError(f"{name}: rate: required, since clips have so many frames a second")
    if options.rate is not None and not options.frames:
        raise DataError(f"{name}: rate: has no effect without frames")
    check_switches(name, options)


def make_tasks(options: Embedded, classes: list[str], wanted: Collection[str] | None = None) -> list[Task]:
    """Return a task per person with pictures to draw; ``wanted``: names of pictures or clips (default: all of the set)."""
    dealt = deal_pictures(options, classes)
    if wanted is not None:
        names = map(name_picture, dealt["subject"], dealt["number"])
        dealt = dealt[[name in wanted for name in names]]
    return [
        Task(options, tuple(classes), int(own["subject"].iloc[0]), tuple(own["number"].tolist()), tuple(own["label"]))
        for _, own in dealt.groupby("subject")
    ]


def render_person(task: Task) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return a person's images (n, S, S) uint8 and their rows of ground truth."""
    options = task.options
    ages = (options.ages[0], options.ages[1])
    person = make_identity(options.seed, task.subject, len(UNITS), ages, Ingredients.without(options.off))
    images, rows = [], []
    for number, label in zip(task.numbers, task.labels, strict=True):
        rng, name = picture_stream(options, task.subject, number), name_picture(task.subject, number)
        hearsay = np.random.default_rng(derive_seed(options.seed, "annotators", name, 0))
        given = annotate(label, list(task.classes), hearsay)  # once a clip
        for count, (image, truth) in enumerate(pictures(person, label, options, rng)):
            images.append(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
            place: dict[str, Any] = {"subject": f"p{task.subject:05d}", "sequence": name, "frame": count}
            if options.rate is not None:
                place["time_s"] = round(count / options.rate, 4)
            sample = f"{name}-{count:02d}" if options.frames else name
            rows.append({"sample": sample, "label": label, **place, **truth, **given})
    return np.stack(images), rows


def pictures(
    person: Identity, label: str, options: Embedded, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Yield the image, or the frames of the clip, drawn from ``rng``: (S, S, 3) uint8 and ground truth."""
    zoom = (options.zoom[0], options.zoom[1])
    drawn_with = Ingredients.without(options.off)
    look = Look(zoom, options.shift, options.pose, options.difficulty, options.occluded, options.speech, options.bust)
    if not options.frames:
        drawn = draw_expression(RECIPES[options.recipes][label], label, rng, look.difficulty, look.pose)
        face = make_face(person, drawn, look, options.size, rng, ingredients=drawn_with)
        yield face.image, truth_of(face)
        return
    count, rate = clip_length(options, rng), options.rate or 0.0
    if options.recipes == "gesture":
        yield from gesture_clip(person, label, count, options.size, rng, options.difficulty, rate, drawn_with)
        return
    recipe = RECIPES[options.recipes][label]
    moments = draw_clip(recipe, label, count, rng, look.difficulty, look.pose, options.speech, rate)
    shown = [moment.expression for moment in moments]
    still = replace(look, speech=0.0)
    scene, noise = int(rng.integers(2**62)), np.random.default_rng(int(rng.integers(2**62)))
    calm = replace(shown[0], units=np.zeros_like(shown[0].units))
    view = first_view(person, calm, still, np.random.default_rng(scene), drawn_with)
    carried = movement(person, max(shown, key=lambda one: float(one.units.sum(dtype=np.float64))))
    for moment in moments:
        scenery = np.random.default_rng(scene)
        face = make_face(person, moment.expression, still, options.size, scenery, noise, view, carried, drawn_with)
        yield face.image, truth_of(face) | moment.truth()


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


def render_tasks(tasks: list[Task], jobs: int, progress: Progress) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the images (n, S, S) uint8 of tasks and their ground truth, rendered by ``jobs`` processes.

    This process draws the first person while the others start, which takes them a second.
    """
    head_mesh()  # a damaged asset is one error before any worker starts
    if any(task.options.recipes == "gesture" or task.options.bust for task in tasks):
        body_mesh()
    if jobs == 1 or len(tasks) < FEW_TASKS:
        with threadpool_limits(1):
            parts = list(progress(map(render_person, tasks), len(tasks)))
    else:
        with (
            ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=one_thread) as pool,
            threadpool_limits(1),
        ):
            others = pool.map(render_person, tasks[1:], chunksize=2)
            parts = list(progress(chain(map(render_person, tasks[:1]), others), len(tasks)))
    return np.concatenate([part for part, _ in parts]), pd.DataFrame([row for _, rows in parts for row in rows])


def hash_images(images: np.ndarray) -> list[str]:
    """Return the SHA-256 of the pixels of each image."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
