"""Hair with volume for heads of bodies: a cap over the scalp, and for long hair a fall around the neck."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact
from fer_cli.synthetic.body import PARTS, body_mesh
from fer_cli.synthetic.pieces import Piece, cut_piece
from fer_cli.synthetic.poses import skeleton, skinning_weights
from fer_cli.synthetic.tailor import neighbours, smoothing_step, vertex_normals

LINE = np.array(
    [[-200.0, -78], [-150, -66], [-112, -30], [-88, 22], [-62, 24], [-52, 6], [-40, 12], [-26, 42], [0, 56], [30, 60]]
)
"""Height of the hairline (y) over depth (z) on the mean head, in mm."""


@lru_cache(maxsize=1)
def over_hairline() -> np.ndarray:
    """Return (V,) the height of the mean body's vertices over the hairline in mm; -1000 below the head."""
    mesh = body_mesh()
    y, z = mesh.rest[:, 1], mesh.rest[:, 2]
    height = y - np.interp(z, LINE[:, 0], LINE[:, 1])
    return np.where(mesh.part == PARTS.index("skin"), height, -1000.0)


@lru_cache(maxsize=1)
def scalp() -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
    """Return ids (n,), faces (m, 3), a smoothing step (n, n), skinning weights (n, B) and height over the hairline (n,)."""
    mesh = body_mesh()
    height = over_hairline()
    wanted = height > -25
    faces = mesh.faces[wanted[mesh.faces].all(1)]
    ids, flat = np.unique(faces, return_inverse=True)
    faces = flat.reshape(-1, 3)
    step = smoothing_step(neighbours(faces, len(ids)), np.full(len(ids), 0.5))
    return ids, faces, step, skinning_weights(mesh.bones[ids], mesh.weights[ids]), height[ids]


def make_hair(rng: np.random.Generator, rest: np.ndarray, long: bool) -> list[Piece]:
    """Return the pieces of a person's hair over the body at ``rest`` (V, 3)."""
    ids, faces, step, weights, height = scalp()
    mesh = body_mesh()
    thick = rng.uniform(9, 17) if long else rng.uniform(5, 15)
    smooth = rest[ids]
    for _ in range(24):
        smooth = step @ smooth
    out = vertex_normals(smooth, faces)
    raised = np.clip(height / 26, 0.0, 1)
    gap = thick * raised * (1 + 0.35 * np.clip(smooth[:, 1] / 100, 0, 1))
    needed = np.clip(exact.dot((rest[ids] - smooth).T, out.T), 0, 8 + 30 * np.clip((height - 25) / 20, 0, 1)) + gap
    for _ in range(5):
        needed = step @ needed
    flat = rest[ids] - vertex_normals(rest, mesh.faces)[ids] * 1.5  # the edge lies in the skin
    free = np.clip((height + 2) / 12, 0, 1)[:, None]
    points = flat + (smooth + out * needed[:, None] - flat) * (free * free * (3 - 2 * free))
    place = np.stack([mesh.rest[ids, 0] * 0.9 + mesh.rest[ids, 2] * 0.8, mesh.rest[ids, 1]], 1)
    cap = Piece(points, vertex_normals(points, faces), weights, faces, place, np.ones(len(ids)), points)
    pieces = [cut_piece(cap, [height - rng.uniform(-2, 4)])]
    if long:
        pieces.append(make_fall(rng, thick))
    return pieces


def make_fall(rng: np.random.Generator, thick: float) -> Piece:
    """Return hair that falls from the crown around the back of the neck, open at the face."""
    place, _ = skeleton()
    low = float(rng.uniform(-168, -95))
    levels = np.linspace(45, low, 10)
    t = (45 - levels) / (45 - low)
    angles = np.linspace(-1, 1, 31) * np.deg2rad(rng.uniform(112, 128))
    wide = 76 + thick + 6 * np.sin(t * np.pi) - 6 * t
    deep = np.interp(levels, [-170, -60, 45], [84, 96, 106]) + thick * 0.6
    wide, deep = (size - 16 * np.clip(1 - t * 5, 0, 1) for size in (wide, deep))  # the upper edge is below the cap
    fold = 1 + 0.03 * np.cos(angles[None] * 14 + t[:, None] * 2)
    x = np.sin(angles)[None] * wide[:, None] * fold
    z = -78 - np.cos(angles)[None] * deep[:, None] * fold
    y = np.broadcast_to(levels[:, None], x.shape)
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    n = len(angles)
    rows, columns = np.mgrid[: len(levels) - 1, : n - 1]
    a = (rows * n + columns).ravel()
    outer = np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)])
    if exact.dot(vertex_normals(points, outer)[n // 2], np.array([0.0, 0, 1])) > 0:
        outer = outer[:, ::-1]
    normals = vertex_normals(points, outer)
    both = np.concatenate([outer, outer[:, ::-1] + len(points)])  # seen from inside beside the neck
    share = np.clip((levels + 60) / -110, 0, 0.85)[:, None] * np.ones(n)
    weights = np.zeros((len(points), len(place)), np.float32)
    weights[:, place["head"]], weights[:, place["spine01"]] = 1 - share.ravel(), share.ravel()
    weights = np.concatenate([weights, weights])
    where = np.stack([np.tile(angles * 80, (len(levels), 1)).ravel(), points[:, 1]], 1)
    light = np.concatenate([np.ones(len(points)), np.full(len(points), 0.45)])
    return Piece(
        np.concatenate([points, points]),
        np.concatenate([normals, -normals]),
        sparse.csr_matrix(weights),
        both,
        np.concatenate([where, where]),
        light,
        np.concatenate([points, points]),
    )
