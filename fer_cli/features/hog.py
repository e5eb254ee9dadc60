"""Histograms of oriented gradients (Sun 2024, section 3.2, Eq 1-6; Dalal and Triggs 2005), computed by scikit-image.

The paper gives gamma 0.5, nine bins, cells of 8 x 8 pixels, blocks of 2 x 2 cells and 1764 values, which implies images of
64 x 64 that it never states. It uses scikit-image's argument names, so that library's L2-Hys is the default. Orientation is
unsigned, by atan2 modulo 180 degrees, where Eq 5 would divide by zero.

``norm: max`` is Eq 6 per block: each value is divided by the block's maximum. scikit-image returns no raw blocks, but Eq 6
does not depend on a block's scale, so it is computed from L1-normalised blocks. Blocks without gradient stay zero, where
Eq 6 is undefined.
"""

from __future__ import annotations

import numpy as np
from skimage.feature import hog

from fer_cli.config.features import HogSettings
from fer_cli.data.block import Block
from fer_cli.errors import DataError
from fer_cli.features.extractor import Descriptions, Extractor, grey_pictures, resize


class Hog(HogSettings, Extractor):
    """Settings of HOG; an image gives blocks x blocks x ``block``² x ``orientations`` float32 values, 1764 by default."""

    name = "hog"
    version = 2
    libraries = ("numpy", "opencv-contrib-python", "scikit-image")

    def count_values(self, height: int, width: int) -> int:
        """Return the number of values for an image of this size, ignoring ``size``; 0 if no block fits."""
        down, across = (max(0, side // self.cell - self.block + 1) for side in (height, width))
        return down * across * self.block**2 * self.orientations

    @property
    def dims(self) -> int:
        """Return the number of values per image; raises DataError if ``size`` is None, as it then depends on the images."""
        if self.size is None:
            raise DataError("hog: with size None the number of values depends on the images")
        return self.count_values(self.size, self.size)

    def check(self, images: Block) -> None:
        """Raise DataError if the images are smaller than one block."""
        super().check(images)
        height, width = images.shape[3:]
        if min(height, width) < self.least:
            what = f"one block of {self.least} x {self.least} px"
            raise DataError(f"hog: images of {width} x {height} px: smaller than {what}")

    def describe(self, images: np.ndarray) -> Descriptions:
        """Return one row per image."""
        shape = (self.size, self.size) if self.size else images.shape[3:]
        values = np.empty((len(images), self.count_values(*shape)), np.float32)
        for row, image in zip(values, grey_pictures(images), strict=True):
            row[:] = compute_hog(resize(image, self.size), self)
        return Descriptions(values, np.ones(len(images), np.int64))


def compute_hog(image: np.ndarray, settings: Hog) -> np.ndarray:
    """Return (D,) float64 of a non-negative (H, W) image, ordered by block row, column, cell row, column and orientation."""
    blocks = hog(
        image,
        orientations=settings.orientations,
        pixels_per_cell=(settings.cell, settings.cell),
        cells_per_block=(settings.block, settings.block),
        block_norm="L1" if settings.norm == "max" else settings.norm,
        transform_sqrt=settings.root,
        feature_vector=False,
    )
    return (divide_by_largest(blocks) if settings.norm == "max" else blocks).ravel()


def divide_by_largest(blocks: np.ndarray) -> np.ndarray:
    """Return non-negative blocks (R, C, r, c, o), each divided by its maximum (Eq 6); zero blocks stay zero."""
    largest = blocks.max((2, 3, 4), keepdims=True)
    return np.asarray(blocks / np.where(largest > 0, largest, 1))
