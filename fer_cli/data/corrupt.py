"""Planted label noise (Fan 2025, Fig 9): an exact share of training labels replaced, from a recorded seed."""

from __future__ import annotations

import numpy as np

from fer_cli.seeds import derive_seed


def plant_label_noise(codes: np.ndarray, classes: int, rate: float, seed: int) -> np.ndarray:
    """Return labels (N,) int64 of which exactly round(rate x N) differ, each drawn uniformly from the other classes."""
    generator = np.random.default_rng(derive_seed(seed, "label-noise"))
    noisy = codes.copy()
    chosen = generator.permutation(len(codes))[: round(rate * len(codes))]
    noisy[chosen] = (codes[chosen] + generator.integers(1, classes, len(chosen))) % classes
    return noisy
