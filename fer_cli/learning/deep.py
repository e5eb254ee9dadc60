"""Deep features: inputs of a trained network's classifier for any images (Sun 2024, section 3.1: fc7 of VGG-16).

All batches have one shape, the last padded, so that features do not depend on other images. Precision and memory layout
depend on the machine: bf16 and channels-last where fast. Images are neither mirrored nor corrupted.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import PrivateAttr
from torch import Tensor

from fer_cli.config import Compute, RunConfig
from fer_cli.data.block import Block
from fer_cli.data.prepare import prepare_images
from fer_cli.errors import DataError
from fer_cli.features.extractor import Descriptions, Extractor
from fer_cli.learning.choices import Predictor
from fer_cli.learning.compute import resolve_compute
from fer_cli.learning.reopen import Reopened, open_run, weights_path
from fer_cli.runs import RunFolder

MOST_IMAGES = 64
"""Largest batch."""
MOST_PIXELS = 2**20
"""Largest batch in pixels: VGG-16's first maps, 64 channels, then take 256 MiB."""


class Cnn(Extractor):
    """The block ``cnn`` of fused features, by one run's network; includes the precision, which changes the last digits."""

    name: ClassVar[str] = "cnn"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "opencv-contrib-python")
    processes: ClassVar[bool] = False

    run: str
    """Id of the run."""
    weights: str
    """SHA-256 of its weights."""
    device: str
    precision: str
    layout: str = "auto"
    """Memory layout, if one was asked for."""
    _config: RunConfig = PrivateAttr()
    _folder: RunFolder = PrivateAttr()
    _compute: Compute = PrivateAttr()

    @classmethod
    def of(cls, config: RunConfig, folder: RunFolder, compute: Compute) -> Cnn:
        """Return the extractor of a finished run, whose training part must be that of the split it is used with."""
        resolved = resolve_compute(compute)
        weights = hashlib.sha256(weights_path(folder).read_bytes()).hexdigest()
        machine = {"device": resolved.device, "precision": "bf16" if resolved.bf16 else "fp32", "layout": compute.layout}
        cnn = cls(run=folder.run_id, weights=weights, **machine)
        cnn._config, cnn._folder, cnn._compute = config, folder, compute
        return cnn

    @cached_property
    def opened(self) -> Reopened:
        """Return the run's network, loaded on first use."""
        return open_run(self._config, self._folder, self._compute)

    @property
    def dims(self) -> int:
        """Return the number of values per image."""
        return int(self.opened.network.backbone.feature_size)

    def description_settings(self) -> dict[str, Any]:
        """Return the settings that determine the descriptors; a layout that is chosen here changes last digits only."""
        return self.model_dump(mode="json", exclude={"layout"} if self.layout == "auto" else None)

    def describe(self, images: np.ndarray) -> Descriptions:
        """Return the features of stills (n, 1, C, S, S) uint8, one row each."""
        return Descriptions(compute_features(self.opened, images, self.predictor), np.ones(len(images), np.int64))

    @cached_property
    def predictor(self) -> Predictor:
        """Return the network prepared for inference, once for all chunks of images."""
        return make_predictor(self.opened, self.layout)

    @property
    def choice(self) -> str | None:
        """Return what the predictor chose; None if features were not computed here, but read from the cache."""
        return self.predictor.choice if "predictor" in self.__dict__ else None


def check_images(images: Block) -> None:
    """Raise DataError unless ``images`` are square stills."""
    _, frames, _, height, width = images.shape
    if frames != 1 or not height == width > 0:
        raise DataError(f"images: square stills are needed, not {frames} frames of {width} x {height} pixels")


def make_predictor(run: Reopened, layout: str = "auto") -> Predictor:
    """Return a finished run's network for batches of ``batch_size`` images of the run's size; ``layout``: of Compute."""
    model, side = run.data.config.model, run.data.config.data.image_size
    shape = torch.Size((batch_size(side), model.channels, side, side))
    return Predictor(run.network, model.model_dump_json(), shape, run.resolved, layout)


def compute_features(run: Reopened, images: Block | np.ndarray, predict: Predictor | None = None) -> np.ndarray:
    """Return the input features of a finished run's classifier for each image, (N, D) float32.

    ``images``: square stills of any size, as ``Block.of`` takes them, resized like the run's own; memory-mapped ones stay on
    disk. ``predict``: of ``make_predictor``, made here if not given. Raises DataError for other arrays.
    """
    images, batch = Block.of(images), batch_size(run.data.config.data.image_size)
    check_images(images)
    predict = make_predictor(run) if predict is None else predict
    found = np.empty((len(images), run.network.backbone.feature_size), np.float32)
    for start in range(0, len(images), batch):
        pixels = load_pixels(run, images[start : start + batch])
        found[start : start + batch] = predict(pad_batch(pixels, batch))[: len(pixels)].cpu().numpy()
    return found


def batch_size(side: int) -> int:
    """Return the batch size for images of ``side`` pixels."""
    return max(1, min(MOST_IMAGES, MOST_PIXELS // side**2))


def load_pixels(run: Reopened, images: np.ndarray) -> Tensor:
    """Return the network input (B, C, S, S) float32 in [0, 1], at the run's size, of stills (B, 1, C, H, W) uint8."""
    return run.module.pixels(prepare_images(images, run.data.config).to(run.resolved.device))


def pad_batch(pixels: Tensor, batch: int) -> Tensor:
    """Return (``batch``, C, S, S): ``pixels`` padded by repeating the last image."""
    missing = batch - len(pixels)
    return torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)]) if missing else pixels
