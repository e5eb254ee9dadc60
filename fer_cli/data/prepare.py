"""Images as a run sees them: resized, converted to grey if its network takes grey, and corrupted if configured."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import RunConfig
from fer_cli.data.block import CHUNK, Block, grey_block
from fer_cli.data.corrupt import corrupt_images
from fer_cli.data.uncertain import degrade_images
from fer_cli.errors import DataError

FEW_PIXELS = 2**26
"""Up to this many training pixels, statistics are computed on a float32 copy, as in earlier versions."""


class Prepared:
    """The prepared images of a part, (N, T, C, S, S) uint8; indexing returns a tensor.

    Images that need no change are read from the memory map on each access; others are converted once and kept in memory.
    """

    def __init__(
        self, images: Block, samples: np.ndarray, config: RunConfig, part: str, ways: np.ndarray | None = None
    ) -> None:
        """Prepare images named ``samples`` (N,) of ``part``: train, val or test.

        ``ways`` (N,): how each is degraded, see ``data.uncertain``; None: not at all.
        """
        self.images = images
        channels, side = min(images.channels, config.model.channels), config.data.image_size
        self.shape = (len(images), images.frames, channels, side, side)
        self.kept: Tensor | None = None
        changed = config.corrupt.active and part in config.corrupt.parts
        if changed or self.shape != images.shape or ways is not None:
            self.kept = torch.empty(self.shape, dtype=torch.uint8)
            step = max(1, CHUNK // images.frames)
            for start in range(0, len(images), step):
                here = slice(start, start + step)
                self.kept[here] = prepare_part(
                    images[here], samples[here], config, part, None if ways is None else ways[here]
                )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | list[int] | np.ndarray | Tensor) -> Tensor:
        """Return the images at ``index``: (n, T, C, S, S) uint8."""
        if self.kept is not None:
            return self.kept[index]
        chosen = self.images[index.numpy() if isinstance(index, Tensor) else index]
        return torch.from_numpy(np.ascontiguousarray(chosen))

    def take(self, index: np.ndarray) -> Prepared:
        """Return the images at ``index`` (n,) as a part of their own, without preparing them again."""
        taken = copy.copy(self)
        taken.images, taken.shape = self.images.select(index), (len(index), *self.shape[1:])
        taken.kept = None if self.kept is None else self.kept[torch.from_numpy(index)]
        return taken

    def chunks(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield the images in order, ``size`` at a time (default: ``CHUNK`` frames)."""
        size = size or max(1, CHUNK // self.shape[1])
        for start in range(0, len(self), size):
            yield self[start : start + size]


def prepare_part(
    images: np.ndarray, samples: np.ndarray, config: RunConfig, part: str, ways: np.ndarray | None = None
) -> Tensor:
    """Return the prepared (and, if configured, corrupted) images (n, T, C, H, W) uint8 of a part; ``samples``: (n,) names.

    ``ways`` (n,): as in ``Prepared``. The result of an image does not depend on the others.
    """
    small = prepare_images(images, config)
    if ways is not None:
        seed = config.seed if config.data.noise_seed is None else config.data.noise_seed
        small = degrade_images(small, samples, ways, seed)
    return corrupt_images(small, samples, config.corrupt) if part in config.corrupt.parts else small


def prepare_images(images: np.ndarray, config: RunConfig) -> Tensor:
    """Return images (n, T, C, H, W) uint8 at the run's size; grey unless both images and network are in colour."""
    return fit_images(images, config.model.channels, config.data.image_size)


def fit_images(images: np.ndarray, channels: int, size: int) -> Tensor:
    """Return images (n, T, C, H, W) uint8 as (n, T, C', ``size``, ``size``), grey if ``channels`` is 1."""
    return resize(images if channels == 3 else grey_block(images), size)


def resize(images: np.ndarray, size: int) -> Tensor:
    """Resize (n, T, C, H, W) uint8 images to (n, T, C, size, size), bilinear with antialiasing."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    if tensor.shape[-1] == size:
        return tensor
    planes = tensor.reshape(-1, 1, *tensor.shape[-2:])
    parts = [
        F.interpolate(chunk.float(), (size, size), mode="bilinear", antialias=True).round().clamp(0, 255).to(torch.uint8)
        for chunk in torch.split(planes, 512)
    ]
    return torch.cat(parts).reshape(*tensor.shape[:3], size, size)


def mean_and_deviation(images: Prepared) -> tuple[float, float]:
    """Return mean and standard deviation (N - 1) of all pixels of a part, scaled to [0, 1].

    Few pixels: from a float32 copy (sums depend on the number of threads); many: exact, from the grey-value histogram.
    """
    if np.prod(images.shape) <= FEW_PIXELS:
        pixels = images[:].float().div_(255)
        return float(pixels.mean()), float(pixels.std())
    counts = torch.zeros(256, dtype=torch.int64)
    for chunk in images.chunks():
        counts += torch.bincount(chunk.flatten(), minlength=256)
    number, values = counts.double(), torch.arange(256).div(255).double()
    mean = (number * values).sum() / number.sum()
    deviation = torch.sqrt((number * (values - mean) ** 2).sum() / (number.sum() - 1))
    return float(mean.float()), float(deviation.float())


def check_contrast(config: RunConfig, chunks: Iterable[Tensor]) -> None:
    """Raise DataError if the training images, given in chunks, have no contrast and cannot be standardised.

    With ``normalise: image`` each image counts alone. Chunks are read only up to the first with contrast.
    """
    values: set[int] = set()
    within = False
    for chunk in chunks:
        flat = chunk.flatten(1)
        low, high = flat.amin(1), flat.amax(1)
        within = bool((low < high).any())
        values |= {int(low.min()), int(high.max())}
        if within or (config.model.normalise == "train" and len(values) > 1):
            return
    blurred = ", or change corrupt, which may have removed it" if "train" in config.corrupt.parts else ""
    look = f"inspect them with fer data peek {config.data.name}, and rebuild the set from the right images{blurred}"
    if len(values) > 1:
        raise DataError(
            f"{config.data.name}: no training image has contrast (deviation 0 within each), as model.normalise: image "
            f"requires; use model.normalise: train, or {look}"
        )
    grey = "".join(f": each pixel is {value}" for value in values)
    raise DataError(f"{config.data.name}: the training images have no contrast (deviation 0{grey}); {look}")
