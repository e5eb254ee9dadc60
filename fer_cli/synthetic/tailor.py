"""Garment surfaces from the body at rest: smoothed, pushed off the skin, cut straight, posed by the body's bones.

A garment takes the body's vertices (linear blend skinning then makes sleeves follow the arms), smooths the body's relief
away, and puts them outside the skin along smoothed normals, at distances that vary smoothly. Hems are level sets of scalar
fields: triangles are cut along them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact
from fer_cli.synthetic.body import PARTS, SIDES, body_mesh
from fer_cli.synthetic.poses import skeleton, skinning_weights

CLEARANCE_MM = 7.0
"""Least distance of cloth from the skin at rest; bent joints bring it closer."""
ROUNDS = 60
"""Smoothing steps of a garment."""
DILATE = 4
"""Edges over which the largest distance is held before it is smoothed."""


@dataclass(frozen=True)
class Piece:
    """A part of a figure: n vertices, m triangles."""

    rest: np.ndarray
    """(n, 3) at rest in mm."""
    normals: np.ndarray
    """(n, 3) unit normals at rest."""
    weights: sparse.csr_matrix
    """(n, B) skinning weights."""
    faces: np.ndarray
    """(m, 3) int."""
    place: np.ndarray
    """(n, 2) coordinates of the texture in mm."""
    shade: np.ndarray
    """(n,) share of light in [0, 1]."""


@dataclass(frozen=True)
class Base:
    """The body's surface that cloth can cover: n vertices, m triangles, at most k neighbours of a vertex."""

    ids: np.ndarray
    """(n,) vertices of the body."""
    faces: np.ndarray
    smooth: sparse.csr_matrix
    """(n, n) one smoothing step."""
    near: np.ndarray
    """(n, k) neighbours, padded with the vertex itself."""
    trunk: np.ndarray
    """(n,) 1 on the trunk, 0 on arms."""
    weights: sparse.csr_matrix


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the unit normals (n, 3) of a surface of points (n, 3)."""
    a, b, c = (points[column] for column in faces.T)
    flat = np.cross(b - a, c - a)
    sums = np.stack([np.bincount(faces.T.ravel(), np.tile(axis, 3), len(points)) for axis in flat.T])
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


def padded(links: sparse.csr_matrix) -> np.ndarray:
    """Return (n, k) the neighbours of each vertex, padded with the vertex itself."""
    counts = np.diff(links.indptr)
    table = np.repeat(np.arange(links.shape[0])[:, None], counts.max(), 1)
    table[np.arange(counts.max()) < counts[:, None]] = links.indices
    return table


def arm_share(weights: sparse.csr_matrix) -> np.ndarray:
    """Return (n,) the share of each vertex that moves with the bones of an arm below the shoulder."""
    names = body_mesh().names
    arm = np.zeros(len(names))
    for stem in ("upperarm", "lowerarm", "wrist", "finger", "metacarpal"):
        arm[np.char.startswith(names, stem)] = 1
    return np.asarray(weights @ arm)


@lru_cache(maxsize=1)
def base() -> Base:
    """Return the surface from the chin to the thighs and the wrists."""
    mesh = body_mesh()
    wanted = (mesh.rest[:, 1] < -95) & (mesh.part != PARTS.index("eye"))
    along = limb_coordinate(mesh.rest, mesh.joints.mean((0, 1, 2)))[0]
    wanted &= along < 2.15
    faces = mesh.faces[wanted[mesh.faces].all(1)]
    ids, flat = np.unique(faces, return_inverse=True)
    faces = flat.reshape(-1, 3)
    links = neighbours(faces, len(ids))
    weights = skinning_weights(mesh.bones[ids], mesh.weights[ids])
    arm = np.clip(arm_share(weights), 0, 1)
    even = smoothing_step(links, np.full(len(ids), 0.5))
    trunk = 1 - arm
    for _ in range(3):
        trunk = even @ trunk
    legs = np.clip((-760 - mesh.rest[ids, 1]) / 100, 0, 1)
    neck = np.clip((mesh.rest[ids, 1] + 190) / 40, 0, 1)
    share = 0.5 * trunk * (1 - 0.6 * legs) * (1 - 0.9 * neck) + 0.07 * (1 - trunk)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    share[np.unique(pairs[count == 1])] = 0  # the border stays
    return Base(ids, faces, smoothing_step(links, share), padded(links), trunk, weights)


def drape(skin: np.ndarray, gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cloth (n, 3) over the skin (n, 3) of the base at least ``gap`` (n,) mm off it, and its normals (n, 3).

    Distances from the smoothed skin are held at their largest over some edges, then smoothed, so that nothing shows through.
    """
    surface = base()
    smooth = skin
    for _ in range(ROUNDS):
        smooth = surface.smooth @ smooth
    out, on_skin = vertex_normals(smooth, surface.faces), vertex_normals(skin, surface.faces)
    needed = exact.dot((skin - smooth).T, out.T) + gap
    for _ in range(DILATE):
        needed = np.where(surface.trunk > 0.3, needed[surface.near].max(1), needed)
    needed = np.maximum(needed, needed[surface.near].mean(1))
    for _ in range(12):
        needed = surface.smooth @ needed
    cloth = smooth + out * needed[:, None]
    for _ in range(6):
        cloth = surface.smooth @ cloth
        short = np.clip(gap - exact.dot((cloth - skin).T, on_skin.T), 0, None)
        cloth = cloth + on_skin * short[:, None]
    return cloth, vertex_normals(cloth, surface.faces)


def limb_coordinate(points: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, of all body vertices at rest (V, 3), their place on the arm and the coordinates (V, 2) of textures in mm.

    Place on the arm: 0 at the shoulder and on the trunk, 1 at the elbow, 2 at the wrist. Coordinates: x and y on the trunk;
    on arms, across and along them, continued from the shoulder.
    """
    place, _ = skeleton()
    mesh = body_mesh()
    names = mesh.names[mesh.bones]
    along = np.zeros(len(points))
    where = points[:, :2].astype(np.float64)
    upper = (mesh.weights * np.char.startswith(names, "upperarm")).sum(1)
    fore = (mesh.weights * np.char.startswith(names, "lowerarm")).sum(1)
    hand = np.zeros(len(points))
    for stem in ("wrist", "finger", "metacarpal"):
        hand += (mesh.weights * np.char.startswith(names, stem)).sum(1)
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


def cut(faces: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the part of a surface where ``field`` (n,) is positive: faces, and its vertices as means (n', n) of the old ones."""
    field = np.where(field == 0, 1e-9, field)
    kept = field > 0
    inside = kept[faces].sum(1)
    whole = faces[inside == 3]
    ones, twos = faces[inside == 1], faces[inside == 2]
    ones = np.take_along_axis(ones, (kept[ones].argmax(1)[:, None] + np.arange(3)) % 3, 1)
    twos = np.take_along_axis(twos, ((~kept[twos]).argmax(1)[:, None] + np.arange(3)) % 3, 1)
    ends = np.concatenate([ones[:, [0, 1]], ones[:, [0, 2]], twos[:, [1, 0]], twos[:, [2, 0]]])
    edges, place = np.unique(ends, axis=0, return_inverse=True)  # inside first, since the order is the same for both faces
    place = place.ravel() + len(field)
    n1, n2 = len(ones), len(twos)
    ab, ac = place[:n1], place[n1 : 2 * n1]
    ba, ca = place[2 * n1 : 2 * n1 + n2], place[2 * n1 + n2 :]
    made = np.concatenate(
        [
            whole,
            np.stack([ones[:, 0], ab, ac], 1),
            np.stack([twos[:, 1], twos[:, 2], ca], 1),
            np.stack([twos[:, 1], ca, ba], 1),
        ]
    )
    share = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])
    new = sparse.csr_matrix(
        (np.r_[1 - share, share], (np.tile(np.arange(len(edges)), 2), edges.T.ravel())), (len(edges), len(field))
    )
    used, made = np.unique(made, return_inverse=True)
    return made.reshape(-1, 3), sparse.vstack([sparse.eye(len(field), format="csr"), new]).tocsr()[used]


def cut_piece(piece: Piece, fields: list[np.ndarray]) -> Piece:
    """Return the part of a piece where all fields (n,) are positive."""
    for number, field in enumerate(fields):
        faces, mix = cut(piece.faces, field)
        fields[number + 1 :] = [mix @ other for other in fields[number + 1 :]]
        normals = mix @ piece.normals
        piece = replace(
            piece,
            rest=mix @ piece.rest,
            normals=normals / exact.length(normals.T)[:, None],
            weights=(mix @ piece.weights).tocsr(),
            faces=faces,
            place=mix @ piece.place,
            shade=mix @ piece.shade,
        )
    return piece


def keep_faces(piece: Piece, kept: np.ndarray) -> Piece:
    """Return the triangles of a piece (m,) that are kept, with the vertices they use."""
    used, faces = np.unique(piece.faces[kept], return_inverse=True)
    return Piece(
        piece.rest[used],
        piece.normals[used],
        piece.weights[used],
        faces.reshape(-1, 3),
        piece.place[used],
        piece.shade[used],
    )
