"""Local binary patterns (Ojala 2002) in a grid of cells (Ahonen 2006), computed by scikit-image.

Not in Sun 2024; a further hand-crafted descriptor. Each uniform pattern (not rotation invariant) has its own bin, all others
share one: 59 bins for eight neighbours. scikit-image pads images with zeros.
"""

from __future__ import annotations

import numpy as np

from fer_cli.config.features import LbpSettings
from fer_cli.features.extractor import Descriptions, Extractor, grey_pictures, resize


class Lbp(LbpSettings, Extractor):
    """Settings of LBP; an image gives ``cells``² histograms, each summing to 1: 49 x 59 = 2891 float32 values."""

    name = "lbp"
    version = 2
    libraries = ("numpy", "opencv-contrib-python", "scikit-image")

    @property
    def bins(self) -> int:
        """Return the number of histogram bins per cell."""
        return self.points * (self.points - 1) + 3

    @property
    def dims(self) -> int:
        """Return the number of values per image."""
        return self.cells**2 * self.bins

    def describe(self, images: np.ndarray) -> Descriptions:
        """Return one row per image: cells in row-major order, each with its bins."""
        from skimage.feature import local_binary_pattern  # loads SciPy, which workers of other extractors do not need

        side = np.arange(self.size) * self.cells // self.size
        first = (side[:, None] * self.cells + side) * self.bins  # (S, S): offset of each pixel's cell in the row
        area = np.repeat(np.bincount(first.ravel() // self.bins), self.bins)
        values = np.empty((len(images), self.dims), np.float32)
        for row, image in zip(values, grey_pictures(images), strict=True):
            codes = local_binary_pattern(resize(image, self.size), self.points, self.radius, "nri_uniform")
            row[:] = np.bincount((first + codes.astype(np.int64)).ravel(), minlength=self.dims) / area
        return Descriptions(values, np.ones(len(images), np.int64))
