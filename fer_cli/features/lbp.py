"""Local binary patterns (Ojala 2002) in a grid of cells (Ahonen 2006), computed by scikit-image.

No part of Sun 2024; one more hand-crafted descriptor to compare and to fuse. Uniform patterns, not rotated to a common
start, have a bin each and all others one: 59 bins for eight neighbours. Outside the image scikit-image reads zero.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from fer_cli.features.extractor import Described, Extractor, grey, sized


class Lbp(Extractor):
    """Settings of LBP; an image gives ``cells``² histograms, each summing to 1: 49 x 59 = 2891 float32 values."""

    name = "lbp"
    libraries = ("numpy", "opencv-contrib-python", "scikit-image")

    size: int = Field(64, ge=8)
    """Side the image is brought to, in pixels."""
    cells: int = Field(7, ge=1)
    """Cells along each side; where they do not divide ``size`` evenly, some are a pixel wider."""
    points: int = Field(8, ge=2, le=24)
    """Neighbours on a circle around each pixel."""
    radius: float = Field(1.0, gt=0)
    """Of that circle, in pixels."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse cells narrower than a pixel."""
        if self.cells > self.size:
            raise ValueError(f"cells: {self.cells} cells do not fit into {self.size} pixels")
        return self

    @property
    def bins(self) -> int:
        """Return how many patterns are told apart."""
        return self.points * (self.points - 1) + 3

    @property
    def dims(self) -> int:
        """Return how many values an image gets."""
        return self.cells**2 * self.bins

    def describe(self, images: np.ndarray) -> Described:
        """Return one row per image: cells row by row, bins in each."""
        from skimage.feature import local_binary_pattern  # loads SciPy, which the processes of other features need not

        side = np.arange(self.size) * self.cells // self.size
        first = (side[:, None] * self.cells + side) * self.bins  # (S, S): where a pixel's cell begins in the row
        area = np.repeat(np.bincount(first.ravel() // self.bins), self.bins)
        values = np.empty((len(images), self.dims), np.float32)
        for row, image in zip(values, images, strict=True):
            codes = local_binary_pattern(sized(grey(image), self.size), self.points, self.radius, "nri_uniform")
            row[:] = np.bincount((first + codes.astype(np.int64)).ravel(), minlength=self.dims) / area
        return Described(values, np.ones(len(images), np.int64))
