"""Poses of the upper body: rotations of bones, and linear blend skinning.

A pose gives bones a rotation in body axes; other bones follow their parent. Arms are posed by the directions of upper arm,
forearm and hand, fingers by bends about their own hinges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact
from fer_cli.synthetic.body import SIDES, body_mesh

SPINE = (("spine04", 1 / 3), ("spine03", 2 / 3), ("spine02", 1.0))
"""Bones that turn with the trunk, and their share of its rotation."""
LIFT = 0.3
"""Share of the upper arm's rotation that the shoulder follows."""
RELAXED = {1: (4, 8, 10), 2: (2, 8, 6), 3: (8, 12, 8), 4: (12, 14, 10), 5: (14, 16, 10)}
"""Finger -> bend in degrees of each joint, on top of the arm's ``curl``."""
SPREAD = {2: 7.0, 3: 1.5, 4: -4.0, 5: -9.0}
"""Finger -> rotation in degrees within the palm, away from the middle finger."""


THUMB = (0.8, 0.45, 0.3)
"""Direction of the relaxed thumb: along the index finger, away from the little finger, and out of the palm."""


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
    hand: tuple[float, float, float] | None = None
    """Direction of the hand; None: in line with the forearm."""


@dataclass(frozen=True)
class Pose:
    """Arms, and trunk and head in degrees (yaw, pitch)."""

    left: Arm
    right: Arm
    trunk: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, float] = (0.0, 0.0)


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that turns direction ``start`` into ``end``."""
    a, b = start / exact.length(start), end / exact.length(end)
    axis, cosine = np.cross(a, b), float(exact.dot(a, b))
    if cosine < -0.999:
        return rotation_about(np.array([0, 0, 1.0]), 180.0)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + skew + exact.matrix_product(skew, skew) / (1 + cosine))


def rotation_about(axis: np.ndarray, degrees: float | np.ndarray) -> np.ndarray:
    """Return the rotations (..., 3, 3) about axes (..., 3) by angles (...)."""
    x, y, z = np.moveaxis(axis / exact.length(np.moveaxis(axis, -1, 0))[..., None], -1, 0)
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    angle = np.deg2rad(degrees)[..., None, None]
    return np.asarray(np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * exact.matrix_product(skew, skew))


def turn_of(yaw: float, pitch: float) -> np.ndarray:
    """Return the rotation (3, 3) of trunk or head for angles in degrees: left and up are positive."""
    return exact.matrix_product(
        rotation_about(np.array([0, 1.0, 0]), yaw), rotation_about(np.array([1.0, 0, 0]), -pitch)
    )


@lru_cache(maxsize=1)
def skeleton() -> tuple[dict[str, int], list[np.ndarray]]:
    """Return the places of bones by name, and the bones by their depth below the root."""
    mesh = body_mesh()
    depth = np.zeros(len(mesh.parents), int)
    for bone, parent in enumerate(mesh.parents):
        depth[bone] = 0 if parent < 0 else depth[parent] + 1
    levels = [np.flatnonzero(depth == level) for level in range(1, depth.max() + 1)]
    return {str(name): i for i, name in enumerate(mesh.names)}, levels


def move_bones(joints: np.ndarray, pose: Pose) -> np.ndarray:
    """Return the motions (B, 3, 4) float32 of all bones: rotation and shift; ``joints``: (B, 3) at rest."""
    place, levels = skeleton()
    parents = body_mesh().parents
    trunk = turn_of(*pose.trunk)
    turns = {place[name]: turn_of(pose.trunk[0] * share, pose.trunk[1] * share) for name, share in SPINE}
    turns[place["neck01"]] = exact.matrix_product(trunk, turn_of(pose.head[0] / 2, pose.head[1] / 2))
    turns[place["neck02"]] = exact.matrix_product(trunk, turn_of(*pose.head))
    for side, arm in zip(SIDES, (pose.left, pose.right), strict=True):
        turns |= turn_arm(arm, side, joints, place, trunk)
    rotations, moved = np.tile(np.eye(3), (len(joints), 1, 1)), joints.astype(np.float64)
    given = np.zeros(len(joints), bool)
    given[list(turns)] = True
    rotations[list(turns)] = np.stack(list(turns.values()))
    for level in levels:
        above = parents[level]
        free = ~given[level]
        rotations[level[free]] = rotations[above[free]]
        reach = exact.matrix_product(rotations[above], (joints[level] - joints[above])[:, :, None])[..., 0]
        moved[level] = moved[above] + reach
    shifts = moved - exact.matrix_product(rotations, joints[:, :, None].astype(np.float64))[..., 0]
    return np.concatenate([rotations, shifts[:, :, None]], 2).astype(np.float32)


def turn_arm(arm: Arm, side: str, joints: np.ndarray, place: dict[str, int], trunk: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rotations of all bones of one arm, including the fingers."""
    mirror = np.array([SIDES[side], 1, 1])
    shoulder, elbow, wrist, knuckle = (
        joints[place[f"{name}.{side}"]] for name in ("upperarm01", "lowerarm01", "wrist", "finger3-1")
    )
    target = exact.rotate(np.array(arm.upper) * mirror, trunk)
    upper = rotation_between(elbow - shoulder, target)
    start = exact.rotate((elbow - shoulder) / exact.length(elbow - shoulder), trunk)
    lifted = start * (1 - LIFT) + target / exact.length(target) * LIFT
    target = exact.rotate(np.array(arm.fore) * mirror, trunk)
    fore = exact.matrix_product(rotation_between(exact.rotate(wrist - elbow, upper), target), upper)
    half, hand = (
        exact.matrix_product(rotation_about(target, arm.twist * SIDES[side] * share), fore) for share in (0.5, 1.0)
    )
    if arm.hand is not None:
        aim = exact.rotate(np.array(arm.hand) * mirror, trunk)
        hand = exact.matrix_product(rotation_between(exact.rotate(knuckle - wrist, hand), aim), hand)
    turns = {place[f"upperarm0{i}.{side}"]: upper for i in (1, 2)}
    turns[place[f"shoulder01.{side}"]] = exact.matrix_product(rotation_between(start, lifted), trunk)
    turns |= {place[f"lowerarm01.{side}"]: fore, place[f"lowerarm02.{side}"]: half, place[f"wrist.{side}"]: hand}
    return turns | turn_fingers(arm, side, joints, place, hand)


def turn_fingers(arm: Arm, side: str, joints: np.ndarray, place: dict[str, int], hand: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rotations of the finger bones: each bends towards the palm, fans out within it, the thumb beside the index."""
    bones = np.array([[place[f"finger{f}-{j}.{side}"] for j in (1, 2, 3)] for f in range(1, 6)])
    along = joints[bones[:, 2]] - joints[bones[:, 0]]
    along = along / exact.length(along.T)[:, None]
    radial = joints[bones[1, 0]] - joints[bones[4, 0]]
    radial = radial / exact.length(radial)
    palm = np.cross(along[2], radial) * SIDES[side]
    bends = np.array([RELAXED[f] for f in range(1, 6)]) + np.array([0.3, 1, 1, 1, 1])[:, None] * arm.curl
    if arm.point:
        bends[0], bends[1] = (20, 25, 30), (12, 4, 2)
    hinge = np.cross(along, palm)
    fan = np.array([0.0, *(SPREAD[f] for f in range(2, 6))]) * np.clip(1.2 - arm.curl / 50, 0, 1) * SIDES[side]
    fanned = rotation_about(np.broadcast_to(palm, (5, 3)), fan)
    fanned[0] = rotation_between(along[0], THUMB[0] * along[1] + THUMB[1] * radial + THUMB[2] * palm)
    base = exact.matrix_product(hand[None], fanned)
    turned = exact.matrix_product(base[:, None], rotation_about(np.broadcast_to(hinge[:, None], (5, 3, 3)), np.cumsum(bends, 1)))
    return dict(zip(bones.ravel().tolist(), turned.reshape(-1, 3, 3), strict=True))


def skinning_weights(bones: np.ndarray, weights: np.ndarray) -> sparse.csr_matrix:
    """Return (n, B) float32 from the bones (n, 8) of vertices and their weights."""
    rows = np.repeat(np.arange(len(bones)), bones.shape[1])
    used = weights.ravel() > 0
    shape = (len(bones), len(body_mesh().names))
    matrix = sparse.csr_matrix((weights.ravel()[used], (rows[used], bones.ravel()[used])), shape, np.float32)
    matrix.sort_indices()
    return matrix


def blend_motions(weights: sparse.csr_matrix, motions: np.ndarray) -> np.ndarray:
    """Return the motion (12, n) of each vertex: rows of its 3 x 4 matrix."""
    return np.ascontiguousarray((weights @ motions.reshape(-1, 12)).T)


def move_points(blended: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return posed points (3, n) of points at rest (3, n); ``blended``: (12, n)."""
    x, y, z = points
    return np.stack([x * blended[k] + y * blended[k + 1] + z * blended[k + 2] + blended[k + 3] for k in (0, 4, 8)])


def turn_normals(blended: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return posed normals (3, n), of length about 1, of normals at rest (3, n)."""
    x, y, z = normals
    return np.stack([x * blended[k] + y * blended[k + 1] + z * blended[k + 2] for k in (0, 4, 8)])
