"""The upper body mesh and its poses: linear blend skinning of the same human model as the heads.

Coordinates as for heads. A pose gives bones a rotation in body axes; other bones follow their parent. Arms are posed by the
directions of upper arm and forearm.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact
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
