"""What an extractor is: frozen settings, a description made image by image, and perhaps a part learned from training images.

The description of an image never depends on other images, so it can be made in any order, by any number of processes, and
kept for every split of the set. What is learned (SIFT's codebook) is learned from descriptions of training images alone;
from both together comes one row per image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import cv2
import numpy as np

from fer_cli.config.section import Section
from fer_cli.errors import DataError

State = dict[str, np.ndarray]
"""What an extractor learned, as named arrays; empty where it learns nothing."""
ROWS = 1024
"""Rows read at a time from arrays on disk."""


@dataclass(frozen=True)
class Described:
    """Descriptions of images, one under another."""

    values: np.ndarray
    """(M, d) uint8 or float32, perhaps memory-mapped; the rows of an image stand together, images in order."""
    counts: np.ndarray
    """(N,) int64: how many rows each image has; they sum to M."""

    @cached_property
    def ends(self) -> np.ndarray:
        """Return (N + 1,) int64: image i has the rows from ``ends[i]`` to ``ends[i + 1]``."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows of images ``start`` to ``stop``, read into memory."""
        return read_rows(self.values, int(self.ends[start]), int(self.ends[min(stop, len(self.counts))]))

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Return the rows of the images at ``positions``, in the order of the set."""
        chosen = np.zeros(len(self.counts), bool)
        chosen[positions] = True
        found = [read_rows(self.values, 0, 0)]
        for start in range(0, len(chosen), ROWS):
            here = slice(start, start + ROWS)
            found.append(self.rows(start, start + ROWS)[np.repeat(chosen[here], self.counts[here])])
        return np.concatenate(found)

    def each(self) -> Iterator[np.ndarray]:
        """Yield each image's rows (k, d)."""
        for start in range(0, len(self.counts), ROWS):
            stop = min(start + ROWS, len(self.counts))
            yield from np.split(self.rows(start, stop), self.ends[start + 1 : stop] - self.ends[start])


class Extractor(Section, ABC):
    """Settings of one kind of features, and how they are computed from grey or RGB uint8 images."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same settings would give other values."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "opencv-contrib-python")
    """Distributions whose version may change a value."""
    processes: ClassVar[bool] = True
    """Whether images are shared out over processes; otherwise this process sees all of them, a chunk at a time."""

    @property
    @abstractmethod
    def dims(self) -> int:
        """Return how many values an image gets."""

    @property
    def learns(self) -> bool:
        """Return whether something is learned from training images."""
        return False

    def described_by(self) -> dict[str, Any]:
        """Return all that decides a description, as JSON; a network adds the checksum of its weights."""
        return self.model_dump(mode="json")

    def check(self, images: np.ndarray) -> None:
        """Raise DataError where the images cannot be described; only shape and type are looked at."""
        shape = images.shape
        if images.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            raise DataError(f"{self.name}: images are (N, H, W) or (N, H, W, 3) uint8, not {shape} {images.dtype}")

    @abstractmethod
    def describe(self, images: np.ndarray) -> Described:
        """Return the descriptions of (n, H, W) or (n, H, W, 3) uint8 images."""

    def learn(self, described: Described, train: np.ndarray) -> State:
        """Return what is learned from the images at positions ``train``; no other image is looked at."""
        del described, train
        return {}

    def gather(self, described: Described, state: State) -> Iterator[np.ndarray]:
        """Yield the features of the images in order, in blocks (n, D) float32."""
        del state
        for start in range(0, len(described.counts), ROWS):
            yield described.rows(start, start + ROWS)

    def fit(self, images: np.ndarray) -> State:
        """Return what is learned from (N, H, W) or (N, H, W, 3) uint8 training images."""
        self.check(images)
        return self.learn(self.describe(images), np.arange(len(images))) if self.learns else {}

    def transform(self, images: np.ndarray, state: State | None = None) -> np.ndarray:
        """Return (N, D) float32 of (N, H, W) or (N, H, W, 3) uint8 images; ``state`` is what ``fit`` returned."""
        self.check(images)
        return stacked(self.gather(self.describe(images), state or {}), self.dims)


def stacked(blocks: Iterable[np.ndarray], dims: int) -> np.ndarray:
    """Return blocks (n, D) one under another, (N, D) float32; N may be 0."""
    return np.concatenate([np.zeros((0, dims), np.float32), *blocks])


def read_rows(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return rows ``start`` to ``stop`` in memory; of a memory-mapped array without mapping its pages."""
    if not isinstance(array, np.memmap):
        return np.ascontiguousarray(array[start:stop])
    from fer_cli.data.identity import read_block

    try:
        return read_block(array, start, stop)
    except FileNotFoundError:  # the store was emptied meanwhile; what is mapped stays readable
        return np.array(array[start:stop])


def grey(image: np.ndarray) -> np.ndarray:
    """Return an (H, W) or (H, W, 3) RGB uint8 image as (H, W) uint8: 0.299 R + 0.587 G + 0.114 B."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) if image.ndim == 3 else image


def sized(image: np.ndarray, side: int | None) -> np.ndarray:
    """Return an (H, W) uint8 image as (side, side): area means where it shrinks, cubic where it grows; None leaves it."""
    if side is None or image.shape == (side, side):
        return image
    shrinks = side < max(image.shape)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))
