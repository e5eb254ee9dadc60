"""Base class of extractors: frozen settings, per-image descriptors, and optionally a state learned from training images.

Descriptors of an image never depend on other images, so they can be computed in any order by any number of processes and
cached for every split of the set. The state (SIFT's codebook) is learned from descriptors of training images only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from fer_cli.config.section import Section
from fer_cli.data.block import Block, grey_block, load_rows, pictures, resize_picture
from fer_cli.errors import DataError

State = dict[str, np.ndarray]
"""Learned state as named arrays; empty if the extractor learns nothing."""
ROWS = 1024
"""Rows read at a time from arrays on disk."""


@dataclass(frozen=True)
class Descriptions:
    """Descriptors of N images."""

    values: np.ndarray
    """(M, d) uint8 or float32, possibly memory-mapped; an image's rows are contiguous, images in order."""
    counts: np.ndarray
    """(N,) int64: number of rows per image; sums to M."""

    @cached_property
    def ends(self) -> np.ndarray:
        """Return (N + 1,) int64: image i has rows ``ends[i]`` to ``ends[i + 1]``."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows of images ``start`` to ``stop``, in memory."""
        return load_rows(self.values, slice(int(self.ends[start]), int(self.ends[min(stop, len(self.counts))])))

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the rows of the images at ``positions``, in set order."""
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
    """Settings of one kind of features, and their computation from still images."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increment when the same settings give different values."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "opencv-contrib-python")
    """Distributions whose version may change a value."""
    processes: ClassVar[bool] = True
    """Whether images are distributed over processes; otherwise this process handles all of them, a chunk at a time."""

    @property
    @abstractmethod
    def dims(self) -> int:
        """Return the number of values per image."""

    @property
    def learns(self) -> bool:
        """Return whether the extractor learns a state from training images."""
        return False

    def description_settings(self) -> dict[str, Any]:
        """Return the JSON settings that determine the descriptors; networks include the checksum of their weights."""
        return self.model_dump(mode="json")

    def check(self, images: Block) -> None:
        """Raise DataError if images of this shape are not supported."""
        if images.frames != 1:
            raise DataError(f"{self.name}: supports still images only, not samples of {images.frames} frames")

    @abstractmethod
    def describe(self, images: np.ndarray) -> Descriptions:
        """Return the descriptors of stills (n, 1, C, H, W) uint8."""

    def learn(self, described: Descriptions, train: np.ndarray) -> State:
        """Return the state learned from the images at positions ``train``; no other image is used."""
        del described, train
        return {}

    def gather(self, described: Descriptions, state: State) -> Iterator[np.ndarray]:
        """Yield the features of the images in order, in blocks (n, D) float32."""
        del state
        for start in range(0, max(1, len(described.counts)), ROWS):
            yield described.rows(start, start + ROWS)

    def threads(self) -> AbstractContextManager[None]:
        """Return the context to describe images in: one thread, but for networks."""
        return one_thread() if self.processes else nullcontext()

    def fit(self, images: Block | np.ndarray) -> State:
        """Return the state learned from training images; ``images`` as in ``Block.of``."""
        block = Block.of(images)
        self.check(block)
        if not self.learns:
            return {}
        with self.threads():
            return self.learn(self.describe(block[:]), np.arange(len(block)))

    def transform(self, images: Block | np.ndarray, state: State | None = None) -> np.ndarray:
        """Return features (N, D) float32; ``images`` as in ``Block.of``, ``state`` as returned by ``fit``."""
        block = Block.of(images)
        self.check(block)
        with self.threads():
            blocks = list(self.gather(self.describe(block[:]), state or {}))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.dims), np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit this process to one thread inside the ``with`` block."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)


def grey_pictures(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield stills (n, 1, C, H, W) uint8 as grey pictures (H, W) uint8."""
    return pictures(grey_block(images))


def resize(image: np.ndarray, side: int | None) -> np.ndarray:
    """Return an (H, W) uint8 image resized to (side, side): area averaging to shrink, cubic to enlarge; None: unchanged."""
    if side is None or image.shape == (side, side):
        return image
    shrinks = side < max(image.shape)
    return resize_picture(image, (side, side), cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
