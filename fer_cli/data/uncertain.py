"""Uncertain training images: degraded, with labels at random (``data.noise_kind: uncertain``).

The noise that importance weights are made for (Wang 2020, "Suppressing uncertainties"): such an image says little of its
class, whereas a flipped label on a clear image leaves the image as clear as it was. An exact share of the training images is
degraded, each in one of four ways drawn from the seed, and gets a label drawn uniformly from all classes, so that one in K
stays right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fer_cli.config import CorruptConfig
from fer_cli.data.corrupt import corrupt_images
from fer_cli.seeds import derive_seed

WAYS = ("blur", "light", "occlusion", "downscale")
"""Ways to degrade an image, in the order of ``STRENGTHS``."""
STRENGTHS = {"blur": 0.034, "light": 0.14, "occlusion": 0.12, "downscale": 2.6}
"""Blur: standard deviation as a fraction of the image side. Light: factor on grey values. Occlusion: covered fraction of the
area, by a black square at a uniform place. Downscale: factor, at which 48 pixels become 18.

The mildest at which resnet10-small, trained on clean images as the CNN of study scn-cs, recognises .45 to .65 of degraded
validation images of synth-basic at 48 pixels, in steps of .002, .02, .02 and .2 (``tests/strengths.py``). Mean of three
folds, 400 images each: clean .898; blur .613 (.645 at .032, but .665 in two folds of 800); light .604 (.678 at .16);
occlusion .613 (.672 at .10); downscale .623 (.678 at 2.4 in the fold of lowest accuracy)."""


@dataclass(frozen=True)
class Uncertain:
    """What is done to the n training images: ``labels`` (n,) int64, and how each is degraded, a place in ``WAYS`` or -1."""

    labels: np.ndarray
    ways: np.ndarray
    """(n,) int64."""

    @property
    def degraded(self) -> np.ndarray:
        """Return (n,) bool: which images are degraded."""
        return np.asarray(self.ways >= 0)


def plant_uncertainty(codes: np.ndarray, classes: int, rate: float, seed: int) -> Uncertain:
    """Return what is done to images with true labels ``codes`` (n,): exactly round(rate x n) are degraded.

    Those of a lower rate are among those of a higher one, degraded alike and with the same label.
    """
    generator = np.random.default_rng(derive_seed(seed, "label-noise", "uncertain"))
    n = len(codes)
    order, ways, drawn = generator.permutation(n), generator.integers(0, len(WAYS), n), generator.integers(0, classes, n)
    chosen = order[: round(rate * n)]
    labels, which = codes.copy(), np.full(n, -1)
    labels[chosen], which[chosen] = drawn[chosen], ways[chosen]
    return Uncertain(labels, which)


def degradation(way: str, side: int, seed: int) -> CorruptConfig:
    """Return the corruption that degrades images of ``side`` pixels in one way; ``seed``: of the square's place."""
    strength = STRENGTHS[way] * (side if way == "blur" else 1)
    return CorruptConfig.model_validate({"parts": ["train"], "seed": seed, way: strength})


def degrade_images(images: Tensor, samples: np.ndarray, ways: np.ndarray, seed: int) -> Tensor:
    """Return images (n, T, C, S, S) uint8, those with a way (n,) degraded in it, all frames of a clip alike.

    The result of an image depends on its name in ``samples`` (n,), its way and ``seed`` only.
    """
    changed = images.clone()
    for place, way in enumerate(WAYS):
        if len(chosen := np.flatnonzero(ways == place)):
            corrupt = degradation(way, images.shape[-1], derive_seed(seed, "uncertain") % 2**31)
            changed[torch.from_numpy(chosen)] = corrupt_images(images[chosen], samples[chosen], corrupt)
    return changed
