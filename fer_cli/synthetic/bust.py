"""Neck and dressed shoulders for pictures of faces, made from the upper part of the person's body alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import sparse

from fer_cli.seeds import derive_seed
from fer_cli.synthetic import exact, fabric
from fer_cli.synthetic.body import PARTS, body_mesh
from fer_cli.synthetic.clothes import Style, draw_outfit, tailor_outfit
from fer_cli.synthetic.figures import (
    OVERLAP_MM,
    Figure,
    assemble,
    colours_of,
    draw_moved,
    shape_body,
    skin_tone,
)
from fer_cli.synthetic.identities import Identity
from fer_cli.synthetic.pieces import Mix, Piece, cut, keep_faces, number_used
from fer_cli.synthetic.poses import (
    HANGING,
    Pose,
    blend_motions,
    move_bones,
    move_points,
    skeleton,
    skinning_weights,
    turn_normals,
    turn_of,
)
from fer_cli.synthetic.render import Lighting, View
from fer_cli.synthetic.tailor import BORDER_MM, Base, base, vertex_normals

LOWEST_MM = -330.0
NAPE_MM, NAPE_SLOPE = -58.0, 0.6
"""Height of a bust's skin at depth 0 and its fall per depth: heads of faces have no back that would hide its edge."""
NECK_SHARE = 0.55
"""Largest share of the head's bone in the motion of a bust's skin; more behind the chin (``THROAT_MM``)."""
THROAT_MM = -22.0
JAW_MM, NAPE_SPREAD = (46.0, -98.0), 1.5
"""Half width of a bust's skin above this height, which no jaw is narrower than, and how it widens below per height."""
TRUNK = 0.35
"""Share of the head's yaw that the trunk follows."""
BEHIND = -0.6
"""Depth of a unit normal from which on a surface is not seen, however a bust is turned."""
CHAIN = ("root", "spine04", "spine03", "spine02", "neck01", "neck02")
"""The bones that move in a bust; all others follow one of them."""
SHARES = (0.0, 1 / 3, 2 / 3, 1.0)
"""Share of the trunk's rotation of the first of them."""


@dataclass(frozen=True)
class Region:
    """The skin of a bust and its surface under cloth; the skin's n vertices are cut out of k."""

    base: Base
    ids: np.ndarray
    """(V',) the vertices of the body that a bust needs."""
    under: np.ndarray
    """(b,) the places of the base's vertices in ``ids``."""
    own: np.ndarray
    """(k,) the places of the skin's vertices in ``ids``."""
    whole: np.ndarray
    """(f, 3) the triangles of the k."""
    mix: Mix
    """n from k."""
    faces: np.ndarray
    """(m, 3) the triangles of the n."""
    weights: sparse.csr_matrix
    """(n, B)."""
    garment: np.ndarray
    """(m,) bool: where a person without clothes as surfaces wears a garment's tone."""


@lru_cache(maxsize=1)
def bust_region() -> Region:
    """Return what all busts have in common, from the mean body."""
    mesh, surface = body_mesh(), base(LOWEST_MM - BORDER_MM)
    x, y, z = mesh.rest.T
    of_head = (mesh.weights * (mesh.names == "head")[mesh.bones]).sum(1)
    wanted = ((of_head < NECK_SHARE) | (z < THROAT_MM)) & (y > LOWEST_MM - BORDER_MM)
    wanted &= (y < NAPE_MM) & (mesh.part != PARTS.index("eye"))
    own, whole = number_used(mesh.faces[wanted[mesh.faces].all(1)], len(mesh.rest))
    x, y, z = mesh.rest[own].T
    beside = JAW_MM[0] + NAPE_SPREAD * np.clip(JAW_MM[1] - y, 0, None) - np.abs(x)
    faces, mix = cut(whole, np.minimum.reduce([NAPE_MM + NAPE_SLOPE * z - y, y - LOWEST_MM, beside]))
    ids = np.union1d(surface.ids, own)
    garment = mix @ (mesh.part[own] == PARTS.index("garment")).astype(np.float64)
    return Region(
        surface,
        ids,
        np.searchsorted(ids, surface.ids),
        np.searchsorted(ids, own),
        whole,
        mix,
        faces,
        mix @ skinning_weights(mesh.bones[own], mesh.weights[own]),
        (garment > 0)[faces].any(1),
    )


@lru_cache(maxsize=1)
def followers() -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the places (6,) of the bones of CHAIN, and which of them each bone follows, (B, 6) of 0 and 1."""
    place, parents = skeleton()[0], body_mesh().parents
    chain = np.array([place[name] for name in CHAIN])
    leader = np.zeros(len(parents), int)
    for bone, parent in enumerate(parents):  # parents come first
        own = np.flatnonzero(chain == bone)
        leader[bone] = own[0] if len(own) else leader[parent] if parent >= 0 else 0
    every = np.arange(len(parents))
    return chain, sparse.csr_matrix((np.ones(len(every), np.float32), (every, leader)), (len(every), len(chain)))


@lru_cache(maxsize=16)
def build_bust(stream: int, female: bool, tone: tuple[float, ...], style: Style) -> Figure:
    """Return neck, shoulders and chest of a figure with hanging arms, whose bones are those of CHAIN."""
    region = bust_region()
    rest, joints = shape_body(stream, female, region.ids)
    outfit = draw_outfit(np.random.default_rng(derive_seed(stream, "clothes")), np.array(tone), female)
    pieces = [(bare_skin(region, rest), "skin")]
    if style.clothes:
        worn = tailor_outfit(outfit, rest[region.under], joints, region.base)
        covered = np.full(len(rest), -100.0)
        covered[region.under] = worn.covered
        bare = ~((region.mix @ covered[region.own]) > OVERLAP_MM)[region.faces].all(1)
        pieces = [(keep_faces(pieces[0][0], bare), "skin"), (worn.top, "top"), *((piece, "inner") for piece in worn.inner)]
    else:
        dressed = region.garment
        pieces = [(keep_faces(pieces[0][0], part), name) for part, name in ((~dressed, "skin"), (dressed, "top"))]
    cloth = fabric.weave(np.random.default_rng(derive_seed(stream, "fabric")), outfit, LOWEST_MM)
    whole = assemble(pieces, joints, outfit, colours_of(tone, (0.0, 0.0, 0.0), outfit), cloth)
    return hang_arms(whole)


def bare_skin(region: Region, rest: np.ndarray) -> Piece:
    """Return the skin of a bust of the body at ``rest`` (V', 3)."""
    skin = rest[region.own]
    normals = region.mix @ vertex_normals(skin, region.whole)
    points = region.mix @ skin
    count = len(points)
    return Piece(points, normals, region.weights, region.faces, points[:, :2], np.ones(count), points)


def hang_arms(figure: Figure) -> Figure:
    """Return a figure with hanging arms as its rest, whose bones are those of CHAIN, without its back."""
    motions = move_bones(figure.joints, Pose(HANGING, HANGING), fingers=False)
    blended = blend_motions(figure.weights, motions)
    chain, follow = followers()
    rest, normals = move_points(blended, figure.rest), turn_normals(blended, figure.normals)
    faces = figure.faces[(normals[2][figure.faces] > BEHIND).any(1)]
    return replace(
        figure,
        rest=rest,
        normals=normals,
        faces=faces,
        ends=np.ascontiguousarray(faces.T, np.intp),
        weights=(figure.weights @ follow).tocsr(),
        under=rest,
        joints=figure.joints[chain],
    )


def move_chain(joints: np.ndarray, trunk: float, head: tuple[float, ...]) -> np.ndarray:
    """Return the motions (6, 3, 4) float32 of the bones of CHAIN, as ``move_bones`` does, with the head at its place.

    ``joints``: (6, 3) at rest; ``trunk``: yaw; ``head``: yaw, pitch and roll relative to the trunk; in degrees.
    """
    lower = np.stack([turn_of(trunk * share, 0.0) for share in SHARES])
    neck = np.stack([turn_of(*(angle * share for angle in head)) for share in (0.5, 1.0)])
    turns = np.concatenate([lower, exact.matrix_product(lower[-1], neck)])
    steps = np.concatenate([np.zeros((1, 3, 1)), exact.matrix_product(turns[:-1], np.diff(joints, axis=0)[:, :, None])])
    shifts = np.cumsum(steps, 0) - exact.matrix_product(turns, joints[:, :, None])
    return np.concatenate([turns, shifts - shifts[-1]], 2).astype(np.float32)


def draw_bust(
    image: np.ndarray, person: Identity, angles: tuple[float, float, float], view: View, lighting: Lighting, style: Style
) -> None:
    """Draw neck and dressed shoulders below a head turned by ``angles`` (yaw, pitch, roll in degrees) into ``image``."""
    figure = build_bust(person.stream, person.female, skin_tone(person), style)
    trunk = angles[0] * TRUNK
    motions = move_chain(figure.joints, trunk, (angles[0] - trunk, *angles[1:]))
    image[:] = draw_moved(person, figure, motions, view, lighting, image, style, shadow=False).image
