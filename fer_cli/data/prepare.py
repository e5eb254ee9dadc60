"""Images as a run sees them: at its size, grey or in colour as its networks take them, corrupted where the run says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import RunConfig
from fer_cli.data.block import CHUNK, Block, grey_block
from fer_cli.data.corrupt import corrupt_images
from fer_cli.errors import DataError

FEW_PIXELS = 2**26
"""Up to so many training pixels, mean and deviation are those of a float32 copy, as in results of earlier versions."""


class Prepared:
    """The images of a part as its run sees them: (N, T, C, S, S) uint8; indexing returns a tensor.

    Images that the run leaves as they are in the set are read from its memory map whenever they are asked for. Others are
    changed once, a chunk at a time, and kept.
    """

    def __init__(self, images: Block, samples: np.ndarray, config: RunConfig, part: str) -> None:
        """Prepare images named ``samples`` (N,) of ``part``: train, val or test."""
        self.images = images
        channels, side = min(images.channels, config.model.channels), config.data.image_size
        self.shape = (len(images), images.frames, channels, side, side)
        self.kept: Tensor | None = None
        changed = config.corrupt.active and part in config.corrupt.parts
        if changed or self.shape != images.shape:
            self.kept = torch.empty(self.shape, dtype=torch.uint8)
            for start in range(0, len(images), CHUNK):
                here = slice(start, start + CHUNK)
                self.kept[here] = prepare_part(images[here], samples[here], config, part)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, index: slice | list[int] | np.ndarray | Tensor) -> Tensor:
        """Return the images at ``index``: (n, T, C, S, S) uint8."""
        if self.kept is not None:
            return self.kept[index]
        chosen = self.images[index.numpy() if isinstance(index, Tensor) else index]
        return torch.from_numpy(np.ascontiguousarray(chosen))

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """Yield the images in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


def prepare_part(images: np.ndarray, samples: np.ndarray, config: RunConfig, part: str) -> Tensor:
    """Return images (n, T, C, H, W) uint8 of a part as the run sees them, corrupted where it corrupts that part.

    ``samples``: (n,) their names. The result of an image does not depend on those beside it.
    """
    small = prepare_images(images, config)
    return corrupt_images(small, samples, config.corrupt) if part in config.corrupt.parts else small


def prepare_images(images: np.ndarray, config: RunConfig) -> Tensor:
    """Return images (n, T, C, H, W) uint8 at the run's size; grey, unless both they and its networks are in colour."""
    return resize(images if config.model.channels == 3 else grey_block(images), config.data.image_size)


def resize(images: np.ndarray, size: int) -> Tensor:
    """Return (n, T, C, size, size) uint8 of (n, T, C, H, W) uint8: as they are, or bilinear with antialiasing."""
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
    """Return mean and standard deviation (N - 1) of all pixels of a part, as shares of 255.

    Of few pixels, of their float32 copy, whose sums depend on the number of threads; of many, exactly, from how often each
    grey value occurs.
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
    """Raise DataError where pixels of the training images, given in chunks, do not differ: standardised, they are 0 / 0.

    With ``normalise: image`` that is so where no image has two different pixels, whatever the next one looks like. Chunks
    are read only up to the first that has contrast, the first of all as a rule.
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
    look = f"look at them with fer data peek {config.data.name}, and build the set again from the right images{blurred}"
    if len(values) > 1:
        raise DataError(
            f"{config.data.name}: no training image has contrast (deviation 0 within each), so model.normalise: image "
            f"leaves nothing of them; use model.normalise: train, or {look}"
        )
    grey = "".join(f": each pixel is {value}" for value in values)
    raise DataError(f"{config.data.name}: the training images have no contrast (deviation 0{grey}); {look}")
