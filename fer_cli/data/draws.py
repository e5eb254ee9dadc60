"""Random numbers per image name, independent of other images: corruption is the same in all folds, parts and networks.

A counter-based generator (SplitMix64: Steele 2014) over the hash of the name.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from fer_cli.seeds import derive_seed

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def uniforms(samples: np.ndarray, seed: int, purpose: str, count: int) -> np.ndarray:
    """Return (N, count) float64 in [0, 1) for images named ``samples`` (N,); each ``purpose`` has its own stream."""
    names = pd.util.hash_array(np.asarray(samples, dtype=object), categorize=False)
    state = _mix(names ^ np.uint64(derive_seed(seed, "corrupt", purpose)))
    bits = _mix(state[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _STEP)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def normals(samples: np.ndarray, seed: int, purpose: str, count: int) -> np.ndarray:
    """Return (N, count) float32 from a standard normal distribution, drawn as ``uniforms``."""
    return np.asarray(ndtri(uniforms(samples, seed, purpose, count) + 2.0**-54), dtype=np.float32)


def _mix(state: np.ndarray) -> np.ndarray:
    """Return SplitMix64's output of each (…) uint64 state."""
    state = (state ^ (state >> np.uint64(30))) * _MIX[0]
    state = (state ^ (state >> np.uint64(27))) * _MIX[1]
    return np.asarray(state ^ (state >> np.uint64(31)))
