"""The upper body mesh, of the same human model as the heads, with bones. Coordinates as for heads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

import numpy as np

from fer_cli.synthetic.assets import read_asset

PARTS = ("skin", "garment", "forearm", "hand", "eye", "legs")
SIDES = {"L": 1.0, "R": -1.0}


@dataclass(frozen=True)
class BodyMesh:
    """V vertices, F triangles, B bones; float32 unless said otherwise."""

    corners: np.ndarray
    """(2, 3, 3, V, 3): rest shapes at the anchors of gender, weight, ancestry."""
    joints: np.ndarray
    """(2, 3, 3, B, 3): origins of the bones at the same anchors."""
    faces: np.ndarray
    """(F, 3) int32."""
    part: np.ndarray
    """(V,) uint8, positions in PARTS."""
    bones: np.ndarray
    """(V, 8) int16: bones of each vertex."""
    weights: np.ndarray
    """(V, 8): their skinning weights."""
    names: np.ndarray
    """(B,) str."""
    parents: np.ndarray
    """(B,) int16; -1 for the root; parents come before their children."""

    @cached_property
    def rest(self) -> np.ndarray:
        """Return the mean body (V, 3)."""
        return np.asarray(self.corners.mean((0, 1, 2)))


@lru_cache(maxsize=1)
def body_mesh() -> BodyMesh:
    """Return the upper body; raises FerError if its file is missing or damaged."""
    arrays = read_asset("body")
    return BodyMesh(**{field.name: arrays[field.name] for field in fields(BodyMesh)})
