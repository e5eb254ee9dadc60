"""Garment surfaces from the body at rest: smoothed, pushed off the skin, posed by the body's bones.

A garment takes the body's vertices (linear blend skinning then makes sleeves follow the arms), smooths the body's relief
away, and puts them outside the skin along smoothed normals, at distances that vary smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from fer_cli.synthetic import exact
from fer_cli.synthetic.body import PARTS, SIDES, body_mesh
from fer_cli.synthetic.poses import skeleton, skinning_weights

CLEARANCE_MM = 9.5
"""Least distance of cloth from the skin at rest; bent joints bring it closer."""
REACH = 2.2
"""Reach of smoothing in standard deviations."""
BORDER_MM = 90.0
"""Room below what is shown of a base with a lower border, where smoothing lacks the surroundings."""
FALL_MM = 130.0
"""How far below a bulge of the trunk the cloth still hangs from it."""


@dataclass(frozen=True)
class Base:
    """The body's surface that cloth can cover: n vertices, m triangles."""

    ids: np.ndarray
    """(n,) vertices of the body."""
    faces: np.ndarray
    wide: sparse.csr_matrix
    """(n, n) Gaussian mean over the surroundings, wide on the trunk, narrow on limbs and neck."""
    narrow: sparse.csr_matrix
    """(n, n) as ``wide``, within the reach of ``above``."""
    above: sparse.csr_matrix
    """(n, n) the vertices, near or above, whose bulges carry the cloth at a vertex; never an empty row."""
    fine: sparse.csr_matrix
    """(n, n) a step towards the mean of the neighbours."""
    weights: sparse.csr_matrix
    along: np.ndarray
    """(n,) the place on the mean body's arms; see ``limb_coordinate``."""
    lowest: float
    """Height on the mean body below which there are no vertices."""


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the unit normals (n, 3) of a surface of points (n, 3)."""
    ends, planes = np.ascontiguousarray(faces.T), np.ascontiguousarray(points.T)
    a, b, c = (planes.take(end, 1) for end in ends)
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    flat = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    sums = np.stack([np.bincount(ends.ravel(), np.tile(axis, 3), len(points)) for axis in flat])
    return np.asarray((sums / (exact.length(sums) + 1e-9)).T)


def neighbours(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """Return (n, n) with 1 for vertices that share an edge."""
    a, b = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    links = sparse.csr_matrix((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), (count, count))
    links.data[:] = 1
    links.sort_indices()
    return links


def smoothing_step(links: sparse.csr_matrix, share: np.ndarray) -> sparse.csr_matrix:
    """Return (n, n): a step of ``share`` (n,) from each vertex to the mean of its neighbours."""
    degree = np.maximum(np.asarray(links.sum(1)).ravel(), 1)
    step = sparse.diags(1 - share) + sparse.diags(share / degree) @ links
    return step.tocsr()


@lru_cache(maxsize=1)
def limb_shares() -> np.ndarray:
    """Return (3, V) the shares of each vertex of the body that move with upper arm, forearm and hand."""
    mesh = body_mesh()
    shares = []
    for stems in (("upperarm",), ("lowerarm",), ("wrist", "finger", "metacarpal")):
        bones = np.zeros(len(mesh.names))
        for stem in stems:
            bones[np.char.startswith(mesh.names, stem)] = 1
        shares.append((mesh.weights * bones[mesh.bones]).sum(1))
    return np.stack(shares)


@lru_cache(maxsize=2)
def base(lowest: float = -np.inf) -> Base:
    """Return the surface from the chin to the thighs and the wrists, above the height ``lowest`` on the mean body."""
    mesh = body_mesh()
    every = np.arange(len(mesh.rest))
    wanted = (mesh.rest[:, 1] < -95) & (mesh.rest[:, 1] > lowest) & (mesh.part != PARTS.index("eye"))
    wanted &= (mesh.weights * (mesh.names == "head")[mesh.bones]).sum(1) < 0.3
    along = limb_coordinate(every, mesh.rest, mesh.joints.mean((0, 1, 2)))[0]
    wanted &= along < 2.15
    faces = mesh.faces[wanted[mesh.faces].all(1)]
    ids, flat = np.unique(faces, return_inverse=True)
    faces = flat.reshape(-1, 3)
    rest = mesh.rest[ids].astype(np.float64)
    weights = skinning_weights(mesh.bones[ids], mesh.weights[ids])
    fine = smoothing_step(neighbours(faces, len(ids)), np.full(len(ids), 0.5))
    trunk = 1 - np.clip(limb_shares()[:, ids].sum(0), 0, 1)
    for _ in range(3):
        trunk = fine @ trunk
    loose = trunk * np.clip((-205 - rest[:, 1]) / 60, 0, 1)
    sigma = 13 + 34 * loose
    wide, narrow, above = surroundings(rest, faces, trunk, sigma, loose)
    return Base(ids, faces, wide, narrow, above, fine, weights, along[ids], lowest)


def surroundings(
    rest: np.ndarray, faces: np.ndarray, trunk: np.ndarray, sigma: np.ndarray, loose: np.ndarray
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, sparse.csr_matrix]:
    """Return the operators ``wide``, ``narrow`` and ``above`` of Base; ``sigma``: (n,) in mm."""
    a, b, c = (rest[column] for column in faces.T)
    area = np.bincount(faces.T.ravel(), np.tile(exact.length(np.cross(b - a, c - a).T), 3), len(rest))
    row, column = near_pairs(rest, FALL_MM + 30)
    x, y, z = (rest[column] - rest[row]).T
    far = np.sqrt(x * x + y * y + z * z)
    joined = np.abs(trunk[row] - trunk[column]) < 0.6

    def matrix(values: np.ndarray, kept: np.ndarray) -> sparse.csr_matrix:
        found = sparse.csr_matrix((values[kept], (row[kept], column[kept])), (len(rest), len(rest)))
        found.sort_indices()
        return found

    means = []
    for spread in (sigma, sigma * 0.7):
        kernel = np.exp(-((far / spread[row]) ** 2) / 2) * area[column]
        means.append(matrix(kernel, joined & (far < REACH * spread[row])))
        means[-1] = (sparse.diags(1 / np.asarray(means[-1].sum(1)).ravel()) @ means[-1]).tocsr()
    hung = np.clip(y, 0, FALL_MM) * loose[row]  # what is above this vertex is nearer by as much
    level = np.sqrt(x * x + z * z + np.clip(np.abs(y) - hung, 0, None) ** 2)
    return means[0], means[1], matrix(np.ones(len(row)), joined & (level < REACH * 0.7 * sigma[row]))


def near_pairs(points: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of all ordered pairs of points (n, 3) within ``reach`` of each other, each with itself too."""
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    same = np.arange(len(points))
    return np.r_[pairs[:, 0], pairs[:, 1], same], np.r_[pairs[:, 1], pairs[:, 0], same]


def drape(skin: np.ndarray, gap: np.ndarray, surface: Base | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return cloth (n, 3) over the skin (n, 3) of a base at least ``gap`` (n,) mm off it, and its normals (n, 3).

    Distances from the smoothed skin are held at their largest in the surroundings, then smoothed over less than those, so
    that cloth lies outside the skin and nothing shows through. ``surface``: default the whole ``base``.
    """
    surface = surface or base()
    smooth = surface.wide @ (surface.wide @ skin)
    out, on_skin = vertex_normals(smooth, surface.faces), vertex_normals(skin, surface.faces)
    needed = exact.dot((skin - smooth).T, out.T) + gap
    held = np.maximum.reduceat(needed[surface.above.indices], surface.above.indptr[:-1])
    cloth = smooth + out * (surface.narrow @ held)[:, None]
    cloth = surface.fine @ (surface.fine @ cloth)
    least = np.minimum(gap, CLEARANCE_MM)
    for _ in range(3):
        short = np.clip(least - exact.dot((cloth - skin).T, on_skin.T), 0, None)
        cloth = cloth + on_skin * (surface.fine @ short)[:, None]
    if surface.lowest > -np.inf:  # the skin in folds, at the armpits, is not drawn
        return cloth, vertex_normals(cloth, surface.faces)
    tree = cKDTree(skin)
    for _ in range(2):  # off the nearest skin, which is another vertex's in folds
        near = tree.query(cloth)[1]
        for _ in range(2):
            short = np.clip(least - exact.dot((cloth - skin[near]).T, on_skin[near].T), 0, None)
            cloth = cloth + on_skin[near] * short[:, None]
    return cloth, vertex_normals(cloth, surface.faces)


def limb_coordinate(ids: np.ndarray, points: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, of points (n, 3) over vertices ``ids`` at rest, their place on the arm and texture coordinates (n, 2) in mm.

    Place on the arm: 0 at the shoulder and on the trunk, 1 at the elbow, 2 at the wrist. Coordinates: x and y on the trunk;
    on arms, across and along them, continued from the shoulder.
    """
    place, _ = skeleton()
    along = np.zeros(len(points))
    where = points[:, :2].astype(np.float64)
    upper, fore, hand = limb_shares()[:, ids]
    share = np.clip((upper + fore + hand) * 1.2 - 0.1, 0, 1)
    for side, sign in SIDES.items():
        mine = (points[:, 0] * sign > 0) & (share > 0)
        shoulder, elbow, wrist = (joints[place[f"{name}.{side}"]] for name in ("upperarm01", "lowerarm01", "wrist"))
        parts = []
        for start, end in ((shoulder, elbow), (elbow, wrist)):
            axis = (end - start).astype(np.float64)
            reach = exact.dot((points[mine] - start).T, axis) / exact.dot(axis, axis)
            across = np.cross(axis, [0, 0, 1.0])
            across *= -sign / exact.length(across)
            aside = exact.dot((points[mine] - start - reach[:, None] * axis).T, across * sign)
            parts.append((reach, aside, exact.length(axis)))
        low = (fore + hand)[mine] > upper[mine]
        t = np.where(low, 1 + np.clip(parts[1][0], 0, None), np.clip(parts[0][0], 0, 1))
        lengths = np.where(t < 1, t * parts[0][2], parts[0][2] + (t - 1) * parts[1][2])
        aside = np.where(low, parts[1][1], parts[0][1])
        on_arm = np.stack([sign * (190 + sign * aside), shoulder[1] + 40 - lengths], 1)
        s = share[mine, None]
        where[mine] = where[mine] * (1 - s) + on_arm * s
        along[mine] = t
    return along, where
