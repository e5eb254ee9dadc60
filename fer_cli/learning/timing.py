"""How long a run takes here, timed on made-up images before any run like it was trained; measured once and kept."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch

from fer_cli.config import RunConfig
from fer_cli.features import make_extractors
from fer_cli.features.extractor import Descriptions, Extractor
from fer_cli.learning.choices import choose_layout, measure, sample_inputs, train_steps
from fer_cli.learning.compute import ResolvedCompute
from fer_cli.models.build import build_model

IMAGES = 32
"""Images whose features are timed."""
ROWS = 256
"""Images that a classifier is timed on."""


def seconds_per_image(config: RunConfig, classes: int, resolved: ResolvedCompute) -> tuple[float, float]:
    """Return the seconds of training and of judging one image with a run's network here, measured once and kept."""
    with torch.random.fork_rng(devices=[]):
        importance, frames = config.learning.parts.attention, config.data.frames
        network = build_model(config.model, classes, importance, config.data.image_size, frames=frames)
    resolved, sample = choose_layout(lambda: copy.deepcopy(network), config, 10**6, resolved), sample_inputs(config)
    layout = torch.channels_last if resolved.channels_last else torch.contiguous_format

    def judge() -> float:
        made = copy.deepcopy(network).eval()
        began = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=resolved.bf16):
            made(*sample)
        return time.perf_counter() - began

    works = {"train": lambda: train_steps(copy.deepcopy(network), sample, layout, resolved.bf16), "judge": judge}
    taken = measure("time", f"{config.model.model_dump_json()} {classes}", sample[0].shape, resolved, works)
    return taken["train"] / len(sample[0]), taken["judge"] / len(sample[0])


def seconds_of_features(config: RunConfig, classes: int, resolved: ResolvedCompute) -> tuple[float, float]:
    """Return the seconds per image of a run's features (``cnn``: without its network) and of fitting its classifier.

    Both are timed on few images and taken to grow with their number, which is exact for features and about right for
    classifiers on some thousand images. Images are those of the set, whose size is not known here: the run's, or a block of
    HOG's if that is larger.
    """
    from fer_cli.learning.fit import new_classifier

    side = max(config.data.image_size, config.features.hog.least)
    shape = torch.Size((IMAGES, 1, 1, side, side))
    images, extractors = blurred_noise(shape), list(make_extractors(config.features).values())
    described = [extractor.describe(images) for extractor in extractors]
    dims = sum(map(count_dims, extractors, described)) or 1
    rows = np.random.default_rng(0).normal(size=(ROWS, dims)).astype(np.float32)
    labels = np.arange(ROWS) % classes
    works: dict[str, Callable[[], float]] = {
        "describe": partial(timed, lambda: [extractor.describe(images) for extractor in extractors]),
        "learn": partial(timed, lambda: list(map(learn, extractors, described))),
        "fit": partial(timed, lambda: new_classifier(config).fit(rows, labels)),
    }
    taken = measure("features", f"{config.features.model_dump_json()} {classes}", shape, resolved, works)
    return (taken["describe"] + taken["learn"]) / IMAGES, taken["fit"] / ROWS


def blurred_noise(shape: torch.Size) -> np.ndarray:
    """Return images uint8 of ``shape`` (N, 1, 1, S, S) with about as much detail as faces."""
    noise = np.random.default_rng(0).normal(size=(*shape[-2:], shape[0]))
    smooth: np.ndarray = np.moveaxis(np.asarray(cv2.GaussianBlur(noise, (0, 0), shape[-1] / 24)), -1, 0)
    pixels: np.ndarray = np.clip(128 + 48 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return pixels.reshape(shape)


def count_dims(extractor: Extractor, described: Descriptions) -> int:
    """Return the number of values per image, which without a learned state is that of its descriptor."""
    return extractor.dims if extractor.learns else described.values.shape[1]


def learn(extractor: Extractor, described: Descriptions) -> None:
    """Learn an extractor's state, if it has one, from enough descriptors for any codebook, and gather the features."""
    times = -(-count_dims(extractor, described) // max(1, len(described.values)))
    described = Descriptions(np.tile(described.values, (times, 1)), np.tile(described.counts, times))
    state = extractor.learn(described, np.arange(len(described.counts))) if extractor.learns else {}
    for _ in extractor.gather(described, state):
        pass


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
