"""Images of a set as one block (N, T, C, H, W) uint8: N samples of T frames (1 for a still), C = 1 for grey and 3 for RGB.

The only module that knows the layout of ``images.npy``: (R, S, S) grey or (R, S, S, 3) RGB, one row per frame. Blocks read
rows lazily from the memory map; ``pictures`` gives OpenCV's layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_cli.errors import DataError

HEADER = 128
"""Header size of ``images.npy`` in bytes (NumPy format 1.0)."""
CHUNK = 1024
"""Samples read at a time."""
Index = int | slice | list[int] | np.ndarray


def header(shape: tuple[int, ...]) -> bytes:
    """Return the ``HEADER`` bytes of a C-ordered uint8 ``.npy`` file of this shape."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.ljust(HEADER - 11).encode() + b"\n"


def picture_shape(side: int, channels: int) -> tuple[int, ...]:
    """Return the shape of a frame in ``images.npy`` and OpenCV: (side, side) grey or (side, side, 3) RGB."""
    return (side, side) if channels == 1 else (side, side, channels)


def load_rows(array: np.ndarray, index: Index) -> np.ndarray:
    """Return rows of an array as contiguous, writable memory.

    Pages read from a memory map are released, since they would count as this process's memory.
    """
    found = np.array(array[index], subok=False) if isinstance(index, slice) else np.asarray(array[index])
    mapped: Any = array.base
    if isinstance(mapped, mmap):
        mapped.madvise(MADV_DONTNEED)
    return found


class Block:
    """Samples whose frames are rows of a packed array, read on indexing."""

    def __init__(self, packed: np.ndarray, rows: np.ndarray | None = None) -> None:
        """``packed``: (R, H, W) or (R, H, W, 3) uint8, else DataError; ``rows``: (N, T) int64 (default: rows are stills).

        Row -1 stands for an image that is not there.
        """
        if packed.dtype != np.uint8 or packed.ndim not in {3, 4} or packed.shape[3:] not in {(), (3,)}:
            shape = " x ".join(map(str, packed.shape))
            raise DataError(f"images: (N, S, S) grey or (N, S, S, 3) RGB uint8 are needed, not {shape} {packed.dtype}")
        self.packed = packed
        self.rows = np.arange(len(packed))[:, None] if rows is None else rows

    @classmethod
    def of(cls, images: Block | np.ndarray) -> Block:
        """Return a block of (N, H, W) grey, (N, H, W, 3) RGB or (N, T, C, H, W) uint8 images; a block is returned as is."""
        if isinstance(images, Block):
            return images
        if images.ndim != 5:
            return cls(images)
        frames = images.reshape(-1, *images.shape[2:])
        packed = frames[:, 0] if images.shape[2] == 1 else frames.transpose(0, 2, 3, 1)
        return cls(packed, np.arange(len(frames)).reshape(images.shape[:2]))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Return (N, T, C, H, W)."""
        height, width = self.packed.shape[1:3]
        return (*self.rows.shape, self.channels, height, width)

    @property
    def frames(self) -> int:
        """Return T, the number of frames per sample; 1 for stills."""
        return int(self.rows.shape[1])

    @property
    def channels(self) -> int:
        """Return C: 1 for grey, 3 for RGB."""
        return 3 if self.packed.ndim == 4 else 1

    @property
    def side(self) -> int:
        """Return H, which equals W in every set."""
        return int(self.packed.shape[1])

    def __getitem__(self, index: Index) -> np.ndarray:
        """Return the samples at ``index``: (n, T, C, H, W) uint8 in memory, or (T, C, H, W) for one position."""
        rows = self.rows[index]
        if (rows < 0).any():
            raise DataError(f"images: {(rows < 0).sum()} of {rows.size} images asked for are not drawn yet")
        start = int(rows.flat[0]) if rows.size else 0
        together = rows.size > 0 and np.array_equal(rows.ravel(), np.arange(start, start + rows.size))
        found = load_rows(self.packed, slice(start, start + rows.size) if together else rows.ravel())
        planes = found[:, None] if self.channels == 1 else found.transpose(0, 3, 1, 2)
        return planes.reshape(*rows.shape, *planes.shape[1:])

    def select(self, index: slice | np.ndarray) -> Block:
        """Return a block of the samples at ``index`` without reading them."""
        return Block(self.packed, self.rows[index])

    def group(self, positions: np.ndarray) -> Block:
        """Return a block whose frames are the stills at ``positions`` (N, T), without reading them."""
        return Block(self.packed, self.rows[positions, 0])

    def reorder(self, order: np.ndarray) -> Block:
        """Return a block with the frames of each sample in ``order`` (N, T), without reading them."""
        return Block(self.packed, np.take_along_axis(self.rows, order, 1))

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Yield the samples in order in chunks of ``size``: (n, T, C, H, W) uint8."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def file_content(self) -> Iterator[bytes]:
        """Yield the content of ``images.npy``, header first; only for a complete block of stills in row order."""
        assert len(self) == len(self.packed)
        yield header(self.packed.shape)
        for start in range(0, len(self), CHUNK):
            yield load_rows(self.packed, slice(start, start + CHUNK)).tobytes()


def open_block(path: Path) -> Block:
    """Return the memory-mapped images of an ``images.npy``; raises what NumPy does for an invalid file."""
    return Block(np.load(path, mmap_mode="r", allow_pickle=False))


def pictures(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield each frame of (N, T, C, H, W) for OpenCV and Matplotlib: (H, W) grey or (H, W, 3) RGB, contiguous."""
    for frame in images.reshape(-1, *images.shape[2:]):
        yield frame[0] if len(frame) == 1 else np.ascontiguousarray(frame.transpose(1, 2, 0))


def grey_picture(picture: np.ndarray) -> np.ndarray:
    """Return an (H, W) or (H, W, 3) RGB uint8 picture as (H, W): 0.299 R + 0.587 G + 0.114 B."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) if picture.ndim == 3 else picture


def colour_picture(picture: np.ndarray) -> np.ndarray:
    """Return an (H, W) or (H, W, 3) RGB uint8 picture as (H, W, 3); raises ValueError for anything else or an empty one."""
    if picture.dtype != np.uint8 or picture.ndim not in {2, 3} or picture.shape[2:] not in {(), (3,)} or not picture.size:
        raise ValueError(f"a picture is (H, W) or (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)) if picture.ndim == 2 else picture


def forgo_intel() -> None:
    """Turn Intel's primitives off in this thread: their cubic resizing and warping differ between processors."""
    cv2.ipp.setUseIPP(False)


def resize_picture(picture: np.ndarray, size: tuple[int, int], interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """Return an (H, W) or (H, W, 3) uint8 picture in the size (width, height), the same on every processor."""
    forgo_intel()
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation))


def grey_block(images: np.ndarray) -> np.ndarray:
    """Return (N, T, C, H, W) uint8 images as grey ones, (N, T, 1, H, W)."""
    n, frames, channels, height, width = images.shape
    if channels == 1:
        return images
    grey = np.empty((n * frames, height, width), np.uint8)
    for place, picture in enumerate(pictures(images)):
        grey[place] = grey_picture(picture)
    return grey.reshape(n, frames, 1, height, width)
