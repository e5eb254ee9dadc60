"""Poses of the upper body: rotations of bones, and linear blend skinning.

A pose gives bones a rotation in body axes; other bones follow their parent. Arms are posed by the directions of upper arm,
forearm and hand, fingers by bends about their own hinges.
"""

from __future__ import annotations

import math
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


HANGING = Arm((0.22, -0.95, 0.08), (0.12, -0.93, 0.32), twist=25, curl=10)
"""An arm that hangs down."""


@dataclass(frozen=True)
class Pose:
    """Arms, and trunk and head in degrees (yaw, pitch)."""

    left: Arm
    right: Arm
    trunk: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, ...] = (0.0, 0.0)
    """Relative to the trunk, with an optional roll."""


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that turns direction ``start`` into ``end``."""
    ax, ay, az = start.tolist()
    bx, by, bz = end.tolist()
    size = math.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
    x, y, z = (ay * bz - az * by) / size, (az * bx - ax * bz) / size, (ax * by - ay * bx) / size
    cosine = (ax * bx + ay * by + az * bz) / size
    if cosine < -0.999:
        return rotation_about(np.array([0, 0, 1.0]), 180.0)
    k = 1 / (1 + cosine)
    return np.array(
        [
            [cosine + k * x * x, k * x * y - z, k * x * z + y],
            [k * x * y + z, cosine + k * y * y, k * y * z - x],
            [k * x * z - y, k * y * z + x, cosine + k * z * z],
        ]
    )


def rotation_about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Return the rotation (3, 3) about an axis."""
    x, y, z = (axis / exact.length(axis)).tolist()
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    k = 1 - c
    return np.array(
        [
            [c + k * x * x, k * x * y - s * z, k * x * z + s * y],
            [k * x * y + s * z, c + k * y * y, k * y * z - s * x],
            [k * x * z - s * y, k * y * z + s * x, c + k * z * z],
        ]
    )


def turn_of(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """Return the rotation (3, 3) of trunk or head for angles in degrees: left, up and clockwise (as seen) are positive."""
    a, b, e = math.radians(yaw), math.radians(-pitch), math.radians(-roll)
    c, s, d, t = math.cos(a), math.sin(a), math.cos(b), math.sin(b)
    turn = np.array([[c, s * t, s * d], [0, d, -t], [-s, c * t, c * d]])
    about_z = np.array([[math.cos(e), -math.sin(e), 0], [math.sin(e), math.cos(e), 0], [0, 0, 1]])
    return exact.matrix_product(about_z, turn) if roll else turn


@lru_cache(maxsize=1)
def skeleton() -> tuple[dict[str, int], list[np.ndarray]]:
    """Return the places of bones by name, and the bones by their depth below the root."""
    mesh = body_mesh()
    depth = np.zeros(len(mesh.parents), int)
    for bone, parent in enumerate(mesh.parents):
        depth[bone] = 0 if parent < 0 else depth[parent] + 1
    levels = [np.flatnonzero(depth == level) for level in range(1, depth.max() + 1)]
    return {str(name): i for i, name in enumerate(mesh.names)}, levels


def move_bones(joints: np.ndarray, pose: Pose, fingers: bool = True) -> np.ndarray:
    """Return the motions (B, 3, 4) float32 of all bones: rotation and shift; ``joints``: (B, 3) at rest.

    Without ``fingers``, these follow the hand.
    """
    place, levels = skeleton()
    parents = body_mesh().parents
    trunk = turn_of(*pose.trunk)
    turns = {place[name]: turn_of(pose.trunk[0] * share, pose.trunk[1] * share) for name, share in SPINE}
    turns[place["neck01"]] = exact.matrix_product(trunk, turn_of(*(angle / 2 for angle in pose.head)))
    turns[place["neck02"]] = exact.matrix_product(trunk, turn_of(*pose.head))
    for side, arm in zip(SIDES, (pose.left, pose.right), strict=True):
        turns |= turn_arm(arm, side, joints, place, trunk, fingers)
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


def turn_arm(
    arm: Arm, side: str, joints: np.ndarray, place: dict[str, int], trunk: np.ndarray, fingers: bool = True
) -> dict[int, np.ndarray]:
    """Return the rotations of all bones of one arm, including, by default, the fingers."""
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
    return turns | turn_fingers(arm, side, joints, place, hand) if fingers else turns


def turn_fingers(arm: Arm, side: str, joints: np.ndarray, place: dict[str, int], hand: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rotations of the finger bones: they bend towards the palm and fan out, the thumb lies beside."""
    bones = np.array([[place[f"finger{f}-{j}.{side}"] for j in (1, 2, 3)] for f in range(1, 6)])
    along = joints[bones[:, 2]] - joints[bones[:, 0]]
    along = along / exact.length(along.T)[:, None]
    radial = joints[bones[1, 0]] - joints[bones[4, 0]]
    radial = radial / exact.length(radial)
    palm = np.cross(along[2], radial) * SIDES[side]
    bends = np.array([RELAXED[f] for f in range(1, 6)], float) + np.array([0.3, 1, 1, 1, 1])[:, None] * arm.curl
    if arm.point:
        bends[0], bends[1] = (20, 25, 30), (12, 4, 2)
    hinges = np.cross(along, palm)
    fan = np.array([0.0, *(SPREAD[f] for f in range(2, 6))]) * np.clip(1.2 - arm.curl / 50, 0, 1) * SIDES[side]
    turns: dict[int, np.ndarray] = {}
    for finger, (hinge, chain) in enumerate(zip(hinges, bones.tolist(), strict=True)):
        aim = THUMB[0] * along[1] + THUMB[1] * radial + THUMB[2] * palm
        turn = rotation_between(along[0], aim) if finger == 0 else rotation_about(palm, float(fan[finger]))
        turn = exact.matrix_product(hand, turn)
        bent = np.stack([rotation_about(hinge, bend) for bend in np.cumsum(bends[finger]).tolist()])
        turns |= dict(zip(chain, exact.matrix_product(turn[None], bent), strict=True))
    return turns


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
