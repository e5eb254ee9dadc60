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
from fer_cli.data.block import Block, grey_block, load_rows, pictures
from fer_cli.errors import DataError

State = dict[str, np.ndarray]
"""What an extractor learned, as named arrays; empty where it learns nothing."""
ROWS = 1024
"""Rows read at a time from arrays on disk."""


@dataclass(frozen=True)
class Descriptions:
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
        return load_rows(self.values, slice(int(self.ends[start]), int(self.ends[min(stop, len(self.counts))])))

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the rows of the images at ``positions``, in the order of the set."""
        chosen = np.zeros(len(self.counts), bool)
        chosen[positions] = True
        found = [load_rows(self.values, slice(0))]
        for start in range(0, len(chosen), ROWS):
            here = slice(start, start + ROWS)
            found.append(self.rows(start, start + ROWS)[np.repeat(chosen[here], self.counts[here])])
        return np.concatenate(found)

    def per_image(self) -> Iterator[np.ndarray]:
        """Yield each image's rows (k, d)."""
        for start in range(0, len(self.counts), ROWS):
            stop = min(start + ROWS, len(self.counts))
            yield from np.split(self.rows(start, stop), self.ends[start + 1 : stop] - self.ends[start])


class Extractor(Section, ABC):
    """Settings of one kind of features, and how they are computed from stills."""

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

    def description_settings(self) -> dict[str, Any]:
        """Return all that decides a description, as JSON; a network adds the checksum of its weights."""
        return self.model_dump(mode="json")

    def check(self, images: Block) -> None:
        """Raise DataError where the images cannot be described; only their shape is looked at."""
        if images.frames != 1:
            raise DataError(f"{self.name}: describes stills, not samples of {images.frames} frames")

    @abstractmethod
    def describe(self, images: np.ndarray) -> Descriptions:
        """Return the descriptions of stills (n, 1, C, H, W) uint8."""

    def learn(self, described: Descriptions, train: np.ndarray) -> State:
        """Return what is learned from the images at positions ``train``; no other image is looked at."""
        del described, train
        return {}

    def gather(self, described: Descriptions, state: State) -> Iterator[np.ndarray]:
        """Yield the features of the images in order, in blocks (n, D) float32."""
        del state
        for start in range(0, len(described.counts), ROWS):
            yield described.rows(start, start + ROWS)

    def fit(self, images: Block | np.ndarray) -> State:
        """Return what is learned from training images, as ``Block.of`` takes them."""
        block = Block.of(images)
        self.check(block)
        return self.learn(self.describe(block[:]), np.arange(len(block))) if self.learns else {}

    def transform(self, images: Block | np.ndarray, state: State | None = None) -> np.ndarray:
        """Return (N, D) float32 of images, as ``Block.of`` takes them; ``state`` is what ``fit`` returned."""
        block = Block.of(images)
        self.check(block)
        return stack_blocks(self.gather(self.describe(block[:]), state or {}), self.dims)


def stack_blocks(blocks: Iterable[np.ndarray], dims: int) -> np.ndarray:
    """Return blocks (n, D) one under another, (N, D) float32; N may be 0."""
    return np.concatenate([np.zeros((0, dims), np.float32), *blocks])


def grey_pictures(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield stills (n, 1, C, H, W) uint8 as grey pictures (H, W) uint8."""
    return pictures(grey_block(images))


def resize(image: np.ndarray, side: int | None) -> np.ndarray:
    """Return an (H, W) uint8 image as (side, side): area means where it shrinks, cubic where it grows; None leaves it."""
    if side is None or image.shape == (side, side):
        return image
    shrinks = side < max(image.shape)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))
