"""Where the parts of a posed body are in a picture: the 17 joints of COCO, and boxes of head, hands and torso.

Joints are the origins of bones; nose and ears are vertices of the body's mesh. Boxes are of the body without clothes and
hair. All may be outside the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse

from fer_cli.synthetic.body import PARTS, SIDES, body_mesh
from fer_cli.synthetic.faces import OVERSAMPLE
from fer_cli.synthetic.figures import Figure, Picture, shape_body
from fer_cli.synthetic.identities import Identity
from fer_cli.synthetic.poses import blend_motions, move_points, skeleton, skinning_weights
from fer_cli.synthetic.render import View, to_camera, to_pixels

LIMBS = {"shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist", "hip": "upperleg01", "knee": "lowerleg01"}
LIMBS["ankle"] = "foot"
"""Joint -> its bone."""
DEPTH_MM = {"nose": 15.0, "eye": 30.0, "ear": 25.0, "shoulder": 110.0, "elbow": 80.0, "wrist": 60.0, "hip": 230.0}
"""How deep at most a joint lies below its own surface (knees and ankles as hips); what is further in front hides it."""
MEETING = {
    "shoulder": ("shoulder", "upperarm"),
    "elbow": ("upperarm", "lowerarm"),
    "wrist": ("lowerarm", "wrist", "metacarpal", "finger"),
}
"""Joint -> first letters of the bones that meet there and do not hide it, as where a forearm points at the camera."""
PAIRS = [f"{side}_{name}" for name in ("eye", "ear", *LIMBS) for side in ("left", "right")]
JOINTS = ("nose", *PAIRS)
"""In COCO's order; left is the subject's."""
DEEP = np.array([DEPTH_MM.get(name.split("_")[-1], DEPTH_MM["hip"]) for name in JOINTS])
BOXES = ("head", "hand_L", "hand_R", "torso")
TRUNK = ("spine", "clavicle", "shoulder", "pelvis")
"""First letters of the bones that move the torso."""


@dataclass(frozen=True)
class Marks:
    """The points of a body that are located: its joints, then the vertices of each box."""

    vertices: np.ndarray
    """(n,) intp; -1 for the origin of a bone."""
    weights: sparse.csr_matrix
    """(n, B)."""
    bones: np.ndarray
    """(17,) intp: the bone of each joint; -1 for a vertex."""
    starts: np.ndarray
    """(boxes,) intp: where each box begins."""


@dataclass(frozen=True)
class Places:
    """Joints and boxes of one picture, in its pixels."""

    joints: np.ndarray
    """(17, 2) float32: x, y."""
    visible: np.ndarray
    """(17,) bool: inside the picture, with no other part of the body, hair or clothes in front."""
    boxes: np.ndarray
    """(boxes, 4) float32: x0, y0, x1, y1."""

    def truth(self) -> dict[str, list[float] | list[bool]]:
        """Return the ground truth as columns."""
        joints, boxes = (values.astype(np.float64).round(2) for values in (self.joints.ravel(), self.boxes))
        columns = {f"{name}_box": box.tolist() for name, box in zip(BOXES, boxes, strict=True)}
        return {"joints": joints.tolist(), "joints_visible": self.visible.tolist(), **columns}


@lru_cache(maxsize=1)
def marks() -> Marks:
    """Return the points that are located on every body."""
    mesh, (place, _) = body_mesh(), skeleton()
    main = mesh.names[mesh.bones[:, 0]]
    x, y, z = mesh.rest.T
    head = np.flatnonzero((mesh.part == PARTS.index("skin")) & (np.char.startswith(main, "head")))
    beside = head[np.abs(y[head] + 25) < 45]
    ends = {"nose": head[np.where(np.abs(x[head]) < 3, z[head], -np.inf).argmax()]}
    ends |= {f"{side}_ear": beside[(x[beside] * SIDES[sign]).argmax()] for side, sign in (("left", "L"), ("right", "R"))}
    names = {"eye": "eye"} | LIMBS
    bones = np.full(len(JOINTS), -1, np.intp)
    for row, joint in enumerate(JOINTS):
        if joint not in ends:
            side, name = joint.split("_")
            bones[row] = place[f"{names[name]}.{side[0].upper()}"]
    hand = mesh.part == PARTS.index("hand")
    torso = np.flatnonzero([str(name).startswith(TRUNK) for name in main])
    groups = [head, *(np.flatnonzero(hand & (x * sign > 0)) for sign in SIDES.values()), torso]
    vertices = np.concatenate([[ends.get(joint, -1) for joint in JOINTS], *groups]).astype(np.intp)
    of_vertex = skinning_weights(mesh.bones, mesh.weights)[np.maximum(vertices, 0)].tolil()
    for row, bone in enumerate(bones):
        if bone >= 0:
            of_vertex[row] = 0
            of_vertex[row, bone] = 1
    weights = of_vertex.tocsr()
    weights.sort_indices()
    return Marks(vertices, weights, bones, np.cumsum([len(JOINTS), *map(len, groups[:-1])]))


@lru_cache(maxsize=4)
def marks_at_rest(stream: int, female: bool) -> np.ndarray:
    """Return the points (3, n) float32 of a person's ``marks`` at rest."""
    rest, joints = shape_body(stream, female)
    points = rest[marks().vertices]
    of_bone = np.flatnonzero(marks().bones >= 0)
    points[of_bone] = joints[marks().bones[of_bone]]
    return np.ascontiguousarray(points.T, np.float32)


@lru_cache(maxsize=1)
def meeting() -> np.ndarray:
    """Return (17, B) bool: which bones meet at each joint."""
    table = np.zeros((len(JOINTS), len(body_mesh().names)), bool)
    for row, joint in enumerate(JOINTS):
        side, _, name = joint.partition("_")
        bones = MEETING.get(name, ())
        table[row] = [str(bone).startswith(bones) and bone.endswith(f".{side[0].upper()}") for bone in body_mesh().names]
    return table


def locate_joints(
    person: Identity, motions: np.ndarray, view: View, size: int, drawn: tuple[Figure, Picture] | None = None
) -> Places:
    """Return joints and boxes in a picture of ``size``; ``motions``: (B, 3, 4) of the bones.

    ``drawn``: the figure and its picture, OVERSAMPLE times as large; None: only what is outside the picture is invisible.
    """
    points = move_points(blend_motions(marks().weights, motions), marks_at_rest(person.stream, person.female))
    camera = to_camera(cv2.transpose(points), view)
    pixels = to_pixels(camera, view, size)
    joints = pixels[: len(JOINTS)]
    visible = np.asarray(((joints >= -0.5) & (joints < size - 0.5)).all(1))
    if drawn is not None:
        figure, picture = drawn
        large = to_pixels(camera[: len(JOINTS)], view, size * OVERSAMPLE)
        column, row = np.clip(np.rint(large), 0, len(picture.depth) - 1).astype(np.intp).T
        bones = figure.weights[picture.front[row, column]].toarray().argmax(1)
        near = -camera[: len(JOINTS), 2] <= picture.depth[row, column] + DEEP
        visible &= near | meeting()[np.arange(len(JOINTS)), bones]
    parts = np.split(pixels, marks().starts)[1:]
    boxes = np.stack([np.concatenate([part.min(0), part.max(0)]) for part in parts])
    return Places(joints.astype(np.float32), visible, boxes.astype(np.float32))
