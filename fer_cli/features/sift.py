"""Fixed-length SIFT features (Sun 2024, section 3.3; Lowe 2004), computed by OpenCV.

The paper lists the steps of SIFT but no vector length, which fusion needs. Ours: a bag of visual words (Csurka 2004).
scikit-learn's MiniBatchKMeans clusters descriptors of training images into 128 words; an image's features are the shares of
its key points nearest to each word, all zeros without key points. ``dense`` uses a fixed grid of 4 x 4 key points instead:
2048 values, nothing learned. OpenCV's descriptors are integers from 0 to 255 and are stored as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import cv2
import numpy as np

from fer_cli.config.features import SiftSettings
from fer_cli.errors import DataError
from fer_cli.features.extractor import ROWS, Descriptions, Extractor, State, grey_pictures, resize
from fer_cli.seeds import derive_seed

LENGTH = 128
"""Values per descriptor."""
GRID = 4
"""Key points along each side of the dense grid."""


class Sift(SiftSettings, Extractor):
    """Settings of SIFT; an image gives ``words`` float32 values that sum to 1 or 0, or 2048 from 0 to 255 if ``dense``."""

    name = "sift"
    version = 2
    libraries = ("numpy", "opencv-contrib-python", "scikit-learn")

    @property
    def dims(self) -> int:
        """Return the number of values per image."""
        return GRID * GRID * LENGTH if self.dense else self.words

    @property
    def learns(self) -> bool:
        """Return whether a codebook is learned."""
        return not self.dense

    def description_settings(self) -> dict[str, Any]:
        """Return the settings that determine the descriptors: all but those of the codebook."""
        return self.model_dump(mode="json", exclude={"words", "sample", "seed"})

    def describe(self, images: np.ndarray) -> Descriptions:
        """Return key-point descriptors (M, 128) uint8, or if ``dense`` one row per image (n, 2048) float32."""
        found = [descriptors(resize(image, self.size), self) for image in grey_pictures(images)]
        if self.dense:
            rows = np.stack([each.ravel() for each in found]) if found else np.zeros((0, self.dims))
            return Descriptions(rows.astype(np.float32), np.ones(len(images), np.int64))
        counts = np.array([len(each) for each in found], np.int64)
        return Descriptions(np.concatenate([np.zeros((0, LENGTH), np.uint8), *found]), counts)

    def learn(self, described: Descriptions, train: np.ndarray) -> State:
        """Return the codebook, ``words`` (words, 128) float32; raises DataError if there are fewer key points than words."""
        if self.dense:
            return {}
        order = np.random.default_rng(derive_seed(self.seed, "sift", "sample")).permutation(np.sort(train))
        counts = described.counts[order]
        values = described.rows_at(order[np.cumsum(counts) - counts < self.sample])
        if len(values) < self.words:
            raise DataError(
                f"sift: only {len(values)} key points in {len(train)} training images, for {self.words} words; "
                "lower features.sift.words or contrast, increase size, or use dense"
            )
        return {"words": codebook(values.astype(np.float32), self.words, derive_seed(self.seed, "sift", "words") % 2**32)}

    def gather(self, described: Descriptions, state: State) -> Iterator[np.ndarray]:
        """Yield word histograms in blocks (n, words) float32; each sums to 1, or is all zeros without key points."""
        if self.dense:
            yield from super().gather(described, state)
            return
        words = state["words"].astype(np.float64)
        rows = chain(described.per_image(), [None])
        block: list[np.ndarray] = []
        for each in rows:
            if each is not None:
                block.append(histogram(each, words))
            if block and (each is None or len(block) == ROWS):
                yield np.stack(block)
                block = []


def codebook(values: np.ndarray, words: int, seed: int) -> np.ndarray:
    """Return (words, 128) float32 cluster centres of descriptors (M, 128) float32; single-threaded to be deterministic."""
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return np.asarray(MiniBatchKMeans(words, n_init=3, random_state=seed).fit(values).cluster_centers_, np.float32)


def histogram(values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return (W,) float32: the share of descriptors (k, 128) nearest to each word (W, 128) float64."""
    if not len(values):
        return np.zeros(len(words), np.float32)
    # squared, minus a constant per descriptor; images are not batched, so that no digit depends on other images
    distances = (words**2).sum(1) - 2 * (values.astype(np.float64) @ words.T)
    return (np.bincount(distances.argmin(1), minlength=len(words)) / len(values)).astype(np.float32)


def descriptors(image: np.ndarray, settings: Sift) -> np.ndarray:
    """Return the descriptors (k, 128) uint8 of an (S, S) uint8 image; k may be 0, and is 16 on a grid."""
    if settings.dense:
        step = image.shape[0] / GRID
        places = [((column + 0.5) * step, (row + 0.5) * step) for row in range(GRID) for column in range(GRID)]
        points = [cv2.KeyPoint(x, y, step, 0.0) for x, y in places]  # upright: the default angle, -1, rotates by a degree
        _, found = detector(settings.contrast, settings.edge).compute(image, points)
    else:
        _, found = detector(settings.contrast, settings.edge).detectAndCompute(image, None)
    return np.zeros((0, LENGTH), np.uint8) if found is None else np.rint(found).astype(np.uint8)


@lru_cache(maxsize=4)
def detector(contrast: float, edge: float) -> Any:
    """Return OpenCV's SIFT, one per process and pair of thresholds."""
    return cv2.SIFT.create(contrastThreshold=contrast, edgeThreshold=edge)
