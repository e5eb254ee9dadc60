"""The head mesh: arrays of package data, made once from the human model (``make_head.py``).

Coordinates: millimetres; x to the subject's left (right in the image), y up, z towards the viewer; the origin is midway
between the eyeballs of the mean head. An adult head is a multilinear blend of 36 corner shapes (two genders, young and old,
three weights, three ancestries).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fer_cli.synthetic.assets import read_asset

REGIONS = ("skin", "eye", "cavity", "mouth", "tongue", "teeth")
"""Region codes of vertices; border vertices are duplicated, so that each triangle is in one region."""


@dataclass(frozen=True)
class HeadMesh:
    """V vertices, F triangles; all arrays float32 unless said otherwise."""

    rest: np.ndarray
    """(V, 3) mean head, neutral."""
    corners: np.ndarray
    """(2, 2, 3, 3, V, 3): rest shapes at the anchors of gender, age, weight, ancestry, as differences from ``rest``."""
    changes: np.ndarray
    """(L, 2, V, 3): local changes of the head, decreasing and increasing."""
    change_names: np.ndarray
    """(L,) str."""
    actions: np.ndarray
    """(52, V, 3) facial actions."""
    action_names: np.ndarray
    """(52,) str, ARKit names."""
    faces: np.ndarray
    """(F, 3) int32."""
    region: np.ndarray
    """(V,) uint8, positions in REGIONS."""
    lip: np.ndarray
    """(V,) fraction of lip skin in [0, 1]."""
    lash: np.ndarray
    """(V,) closeness to the lid margin in [0, 1]: 1 on it, 0 from two millimetres on."""
    side: np.ndarray
    """(V,) int8: +1 the subject's left half, -1 the right half (for eyeballs: which eye)."""
    welded: np.ndarray
    """(V,) int32: first of the vertices at the same position; normals are summed over it."""

    @property
    def size(self) -> int:
        """Return the number of vertices."""
        return len(self.rest)

    def action(self, name: str) -> int:
        """Return the row of a facial action."""
        return int(np.flatnonzero(self.action_names == name)[0])


@lru_cache(maxsize=1)
def head_mesh() -> HeadMesh:
    """Return the head; raises FerError if its file is missing or damaged."""
    arrays = read_asset("head")
    return HeadMesh(**(arrays | {"changes": arrays["changes"].astype(np.float32)}))
