"""Parts of a figure as meshes, and cutting them along level sets of scalar fields, which makes straight hems."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact


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
    under: np.ndarray
    """(n, 3) the skin below at rest; the vertices themselves where nothing is covered."""


@dataclass(frozen=True)
class Mix:
    """The vertices of a cut surface: kept ones of the old (n,), then points on old edges."""

    size: int
    """n."""
    kept: np.ndarray
    """(k,) int."""
    edges: np.ndarray
    """(e, 2) int, ends of the edges."""
    share: np.ndarray
    """(e,) of the second end."""

    def __matmul__(self, values: Any) -> Any:
        """Return values (k + e, ...) of the cut surface from values (n, ...), or the rows of a sparse matrix (n, B)."""
        if sparse.issparse(values):
            return (self.matrix() @ values).tocsr()
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        cut_ends = values[self.edges[:, 0]] * (1 - share) + values[self.edges[:, 1]] * share
        return np.concatenate([values[self.kept], cut_ends])

    def matrix(self) -> sparse.csr_matrix:
        """Return the means as (k + e, n)."""
        k, e = len(self.kept), len(self.edges)
        starts = np.r_[np.arange(k), k + 2 * np.arange(e + 1)]
        places = np.r_[self.kept, self.edges.ravel()]
        data = np.r_[np.ones(k), np.stack([1 - self.share, self.share], 1).ravel()]
        return sparse.csr_matrix((data, places, starts), (k + e, self.size))


def cut(faces: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, Mix]:
    """Return the part of a surface where ``field`` (n,) is positive: faces, and its vertices as means of the old."""
    field = np.where(field == 0, 1e-9, field)
    size, above = len(field), field > 0
    inside = above[faces].sum(1)
    whole = faces[inside == 3]
    ones, twos = faces[inside == 1], faces[inside == 2]
    ones = np.take_along_axis(ones, (above[ones].argmax(1)[:, None] + np.arange(3)) % 3, 1)
    twos = np.take_along_axis(twos, ((~above[twos]).argmax(1)[:, None] + np.arange(3)) % 3, 1)
    ends = np.concatenate([ones[:, [0, 1]], ones[:, [0, 2]], twos[:, [1, 0]], twos[:, [2, 0]]]).astype(np.int64)
    edges, place = np.unique(ends[:, 0] * size + ends[:, 1], return_inverse=True)  # inside first, the same for both faces
    edges, place = np.stack(np.divmod(edges, size), 1), place.ravel() + size
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
    used, made = number_used(made, size + len(edges))
    share = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])
    return made, Mix(size, used[: len(used) - len(edges)], edges, share)


def number_used(faces: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (k,) of ``size`` that ``faces`` (m, 3) use, and the faces with these numbered from 0."""
    used = np.zeros(size, bool)
    used[faces] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[faces]


def cut_piece(piece: Piece, fields: list[np.ndarray]) -> Piece:
    """Return the part of a piece where all fields (n,) are positive."""
    table = np.concatenate([piece.rest, piece.normals, piece.place, piece.shade[:, None], piece.under], 1)
    table = np.concatenate([table, np.stack(fields, 1)], 1)
    faces, weights = piece.faces, piece.weights
    for column in range(12, table.shape[1]):
        if (table[:, column] > 0).all():
            continue
        faces, mix = cut(faces, table[:, column])
        table, weights = mix @ table, mix @ weights
    normals = table[:, 3:6] / exact.length(table[:, 3:6].T)[:, None]
    return replace(
        piece,
        rest=table[:, :3],
        normals=normals,
        weights=weights,
        faces=faces,
        place=table[:, 6:8],
        shade=table[:, 8],
        under=table[:, 9:12],
    )


def keep_faces(piece: Piece, kept: np.ndarray) -> Piece:
    """Return the triangles of a piece (m,) that are kept, with the vertices they use."""
    used, faces = number_used(piece.faces[kept], len(piece.rest))
    return Piece(
        piece.rest[used],
        piece.normals[used],
        piece.weights[used],
        faces,
        piece.place[used],
        piece.shade[used],
        piece.under[used],
    )
