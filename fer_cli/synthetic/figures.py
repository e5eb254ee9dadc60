"""A person's whole figure: skin, eyes, hair and clothes as one mesh, posed and shaded per image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse

from fer_cli.seeds import derive_seed
from fer_cli.synthetic import exact, fabric, skin
from fer_cli.synthetic.body import PARTS, body_mesh
from fer_cli.synthetic.camera import BRIGHTEST
from fer_cli.synthetic.clothes import Outfit, Style, Wardrobe, draw_outfit, tailor_outfit
from fer_cli.synthetic.identities import Identity
from fer_cli.synthetic.pieces import Piece, keep_faces
from fer_cli.synthetic.poses import (
    Pose,
    blend_motions,
    move_bones,
    move_points,
    skinning_weights,
    turn_normals,
)
from fer_cli.synthetic.render import Lighting, View, hit_triangles, shade, to_camera
from fer_cli.synthetic.scalp import make_hair, over_hairline
from fer_cli.synthetic.tailor import base, limb_coordinate, near_pairs, vertex_normals

MATERIALS = ("skin", "face", "eye", "hair", "top", "inner", "bottom")
LOW = np.array([-330.0, -1100.0])
SPAN = np.array([660.0, 1230.0])
"""Least coordinates of textures in mm, and their range; scaled to [0, 1] for the rasteriser."""
OVERLAP_MM = 40.0
"""Skin that is drawn under the edge of cloth."""
SHADOW_MM = 26.0
"""Reach of the shadow of what is in front."""
COVERED_HAIR_MM = 24.0
"""Height over the hairline from which hair hides the skin."""
SIDE_MM = -48.0
"""Depth on the mean head behind which skin has no texture, which is seen from the front and stretched there."""
EYE_TONE = np.array([0.62, 0.6, 0.58], np.float32)


@dataclass(frozen=True)
class Figure:
    """n vertices, m triangles, all float32 unless said otherwise."""

    rest: np.ndarray
    """(3, n)."""
    normals: np.ndarray
    """(3, n)."""
    weights: sparse.csr_matrix
    """(n, B)."""
    faces: np.ndarray
    """(m, 3) int32."""
    ends: np.ndarray
    """(3, m) intp, the same."""
    code: np.ndarray
    """(n,) uint8, positions in MATERIALS."""
    under: np.ndarray
    """(3, n) the skin below cloth at rest."""
    marks: np.ndarray
    """(n, 3) in [0, 1]: texture coordinates and share of light, for the rasteriser."""
    joints: np.ndarray
    """(B, 3)."""
    outfit: Outfit
    colours: np.ndarray
    """(materials, 3) RGB."""
    cloth: fabric.Cloth


@dataclass(frozen=True)
class Picture:
    """A figure in front of a background, before exposure."""

    image: np.ndarray
    """(S, S, 3) float32 RGB in [0, BRIGHTEST]."""
    material: np.ndarray
    """(S, S) int8, positions in MATERIALS; -1: background."""
    motions: np.ndarray
    """(B, 3, 4) float32, of the bones."""
    depth: np.ndarray
    """(S, S) float32 in mm; FAR_MM for background."""
    front: np.ndarray
    """(S, S) int32, a vertex of the triangle that is seen; 0 for background."""

    @property
    def skin(self) -> np.ndarray:
        """Return the pixels (S, S) bool of skin and face."""
        return (self.material == 0) | (self.material == 1)


def make_figure(person: Identity, style: Style) -> Figure:
    """Return the figure of a person, the same whenever it is made."""
    tone = skin_tone(person)
    hair = tuple(float(v) for v in person.hair)
    return build_figure(person.stream, person.female, tone, hair, person.long_hair, style)


def skin_tone(person: Identity) -> tuple[float, float, float]:
    """Return the person's skin colour: the mean of a patch on the bridge of the nose."""
    row, column = (int(v) for v in skin.at_pixel([(0.0, -8.0)])[0][::-1])
    patch = person.albedo[row - 4 : row + 4, column - 4 : column + 4].reshape(-1, 3)
    red, green, blue = patch.mean(0, dtype=np.float64).round(6)  # the same whatever the order of the sum
    return float(red), float(green), float(blue)


def shape_body(stream: int, female: bool, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return a person's body at rest (V, 3), or its vertices ``ids``, and the origins of its bones (B, 3), in mm."""
    mesh = body_mesh()
    rng = np.random.default_rng(derive_seed(stream, "body"))
    weight = np.clip(rng.normal(0.5, 0.2), 0, 1)
    thick = [max(0.0, 1 - 2 * weight), 1 - abs(2 * weight - 1), max(0.0, 2 * weight - 1)]
    blend = np.einsum("g,w,r->gwr", [1 - female, female], thick, np.full(3, 1 / 3)).ravel()
    used, chosen = np.flatnonzero(blend), slice(None) if ids is None else ids

    def mixed(corners: np.ndarray, chosen: slice | np.ndarray) -> np.ndarray:
        layers = corners.reshape(len(blend), *corners.shape[-2:])
        return exact.weighted_sum(blend[used], np.stack([layers[k][chosen].astype(np.float64) for k in used]))

    return mixed(mesh.corners, chosen), mixed(mesh.joints, slice(None))


@lru_cache(maxsize=4)
def build_figure(
    stream: int,
    female: bool,
    tone: tuple[float, ...],
    hair: tuple[float, ...],
    long_hair: bool,
    style: Style,
) -> Figure:
    """Return the figure of the person with this random ``stream``, skin ``tone`` and ``hair`` colour."""
    rest, joints = shape_body(stream, female)
    outfit = draw_outfit(np.random.default_rng(derive_seed(stream, "clothes")), np.array(tone), female)
    worn = tailor_outfit(outfit, rest[base().ids], joints)
    pieces = skin_pieces(rest, joints, worn, style)
    if style.clothes:
        pieces += [(worn.top, "top"), *((piece, "inner") for piece in worn.inner)]
    if style.clothes and worn.bottom:
        pieces.append((worn.bottom, "bottom"))
    if style.hair:
        drawn = make_hair(np.random.default_rng(derive_seed(stream, "hair")), rest, long_hair)
        pieces += [(piece, "hair") for piece in drawn]
    cloth = fabric.weave(np.random.default_rng(derive_seed(stream, "fabric")), outfit)
    return assemble(pieces, joints, outfit, colours_of(tone, hair, outfit), cloth)


def colours_of(tone: tuple[float, ...], hair: tuple[float, ...], outfit: Outfit) -> np.ndarray:
    """Return the colours (materials, 3) RGB of a person of this skin ``tone`` and ``hair`` in an outfit."""
    return np.array([tone, tone, EYE_TONE, hair, outfit.top, outfit.inner, outfit.bottom], np.float32)


def skin_pieces(rest: np.ndarray, joints: np.ndarray, worn: Wardrobe, style: Style) -> list[tuple[Piece, str]]:
    """Return the visible skin: head, neck and hands, with what the clothes leave bare, and the eyes."""
    mesh = body_mesh()
    covered = np.full(len(rest), -100.0)
    covered[base().ids] = worn.covered
    part = mesh.part
    covered[(part == PARTS.index("legs"))] = 100
    light = hand_shade()
    place = limb_coordinate(np.arange(len(rest)), rest, joints)[1]
    where = np.where((part == 0)[:, None], mesh.rest[:, :2], place)
    whole = Piece(
        rest, vertex_normals(rest, mesh.faces), skinning_weights(mesh.bones, mesh.weights), mesh.faces, where, light, rest
    )
    bare = ~(covered > OVERLAP_MM)[mesh.faces].all(1) if style.clothes else np.ones(len(mesh.faces), bool)
    if style.hair:
        bare &= ~(over_hairline() > COVERED_HAIR_MM)[mesh.faces].all(1)
    kind = part[mesh.faces]
    of_eye = (kind == PARTS.index("eye")).any(1)
    aside = mesh.rest[mesh.faces][..., 2].max(1) < SIDE_MM
    of_face = (kind == 0).all(1) & ~aside
    pieces = [
        (keep_faces(whole, bare & of_face), "face"),
        (keep_faces(whole, of_eye), "eye"),
    ]
    if style.clothes:
        return [*pieces, (keep_faces(whole, bare & ~of_face & ~of_eye), "skin")]
    legs = (kind == PARTS.index("legs")).all(1)
    garment = ((kind == PARTS.index("garment")) | (kind == PARTS.index("legs"))).any(1) & ~legs
    others = [(legs, "bottom"), (garment, "top"), (~of_face & ~of_eye & ~legs & ~garment, "skin")]
    return pieces + [(keep_faces(whole, faces), name) for faces, name in others]


@lru_cache(maxsize=1)
def hand_shade() -> np.ndarray:
    """Return (V,) the share of light that reaches the mean body's skin: less between the fingers."""
    mesh = body_mesh()
    shade = np.ones(len(mesh.rest))
    normals = vertex_normals(mesh.rest.astype(np.float64), mesh.faces)
    for sign in (1, -1):
        hand = np.flatnonzero((mesh.part == PARTS.index("hand")) & (mesh.rest[:, 0] * sign > 0))
        points = mesh.rest[hand].astype(np.float64)
        row, column = near_pairs(points, 17.0)
        apart = points[column] - points[row]
        above = exact.dot(apart.T, normals[hand][row].T)
        closed = np.bincount(row, above > 0.35 * exact.length(apart.T) + 1e-9, len(hand))
        shade[hand] = 1 - 0.62 * np.clip((closed - 2) / 18, 0, 1)
    return shade


def assemble(
    pieces: list[tuple[Piece, str]], joints: np.ndarray, outfit: Outfit, colours: np.ndarray, cloth: fabric.Cloth
) -> Figure:
    """Return one mesh of pieces with their materials."""
    starts = np.cumsum([0, *(len(piece.rest) for piece, _ in pieces)])
    marks = np.concatenate([np.c_[(piece.place - LOW) / SPAN, piece.shade] for piece, _ in pieces])
    faces = np.concatenate([piece.faces + start for (piece, _), start in zip(pieces, starts, strict=False)])
    return Figure(
        rest=np.ascontiguousarray(np.concatenate([piece.rest for piece, _ in pieces]).T, np.float32),
        normals=np.ascontiguousarray(np.concatenate([piece.normals for piece, _ in pieces]).T, np.float32),
        under=np.ascontiguousarray(np.concatenate([piece.under for piece, _ in pieces]).T, np.float32),
        weights=sparse.vstack([piece.weights for piece, _ in pieces]).tocsr().astype(np.float32),
        faces=np.ascontiguousarray(faces, np.int32),
        ends=np.ascontiguousarray(faces.T, np.intp),
        code=np.concatenate([np.full(len(piece.rest), MATERIALS.index(name), np.uint8) for piece, name in pieces]),
        marks=np.clip(marks, 0, 1).astype(np.float32),
        joints=joints,
        outfit=outfit,
        colours=colours,
        cloth=cloth,
    )


def draw_figure(
    person: Identity, figure: Figure, pose: Pose, view: View, lighting: Lighting, background: np.ndarray, style: Style
) -> Picture:
    """Return the shaded figure over ``background`` (S, S, 3)."""
    return draw_moved(person, figure, move_bones(figure.joints, pose), view, lighting, background, style)


def draw_moved(
    person: Identity,
    figure: Figure,
    motions: np.ndarray,
    view: View,
    lighting: Lighting,
    background: np.ndarray,
    style: Style,
    shadow: bool = True,
) -> Picture:
    """Return the shaded figure whose bones have ``motions`` (B, 3, 4) over ``background`` (S, S, 3).

    ``shadow``: whether what is in front darkens what is behind it.
    """
    size = len(background)
    blended = blend_motions(figure.weights, motions)
    points, normals = move_points(blended, figure.rest), turn_normals(blended, figure.normals)
    camera = to_camera(cv2.transpose(points), view)
    hits = hit_triangles(camera, figure.faces, view, size, figure.ends)
    pixels, depth = hits.pixels, hits.depth
    if not len(pixels):
        none = np.full(hits.cover.shape, -1, np.int8)
        return Picture(background.copy(), none, motions, depth, np.zeros_like(depth, np.int32))
    values = hits.interpolate(np.concatenate([cv2.transpose(normals[:2]), figure.marks], 1))
    marks = values[2:5]
    code = figure.code.take(hits.corners[0]).astype(np.intp)
    place = marks[:2] * SPAN[:, None].astype(np.float32) + LOW[:, None].astype(np.float32)
    normal = np.empty((3, len(pixels)), np.float32)
    normal[:2] = values[:2]
    colour = np.ascontiguousarray(figure.colours.T).take(code, 1)
    gloss = np.array([0.5, 0.5, 0.2, 0.7, 0, 0, 0], np.float32).take(code) * np.float32(lighting.gloss)
    face = np.flatnonzero(code == MATERIALS.index("face"))
    if len(face):
        colour[:, face] = exact.sample(person.albedo, skin.at_pixel(place[:, face].T))
    eye = np.flatnonzero(code == MATERIALS.index("eye"))
    if len(eye):
        colour[:, eye] = eye_colour(place[:, eye], person)
    if style.patterns:
        step = view.extent / size
        fabric.texture(colour, normal, code, place, figure.cloth, figure.outfit, step)
    normal[2] = np.sqrt(np.clip(1 - normal[0] ** 2 - normal[1] ** 2, 0.02, 1))
    light = marks[2] * cast_shadow(depth, view, size).ravel().take(pixels) if shadow else marks[2]
    lit = shade(colour * light, normal, gloss, lighting)
    image = background.reshape(-1, 3).copy()
    image[pixels] = cv2.transpose(np.clip(lit, 0, BRIGHTEST))
    material = np.full(size * size, -1, np.int8)
    material[pixels] = code
    front = np.zeros(size * size, np.int32)
    front[pixels] = hits.corners[0]
    return Picture(image.reshape(size, size, 3), material.reshape(size, size), motions, depth, front.reshape(size, size))


def eye_colour(place: np.ndarray, person: Identity) -> np.ndarray:
    """Return the colours (3, n) of eye pixels at ``place`` (2, n) on the mean head: iris and sclera, shaded by the lids."""
    off = np.sqrt((np.abs(place[0]) - 30.8) ** 2 + place[1] ** 2)
    iris = np.clip((6.2 - off) / 1.5 + 0.5, 0, 1)
    lid = np.clip(0.8 - 0.05 * (place[1] + 2), 0.35, 0.8)
    return np.asarray((person.sclera[:, None] * 0.8 * (1 - iris) + person.iris[:, None] * 0.6 * iris) * lid)


def cast_shadow(depth: np.ndarray, view: View, size: int) -> np.ndarray:
    """Return (S, S) the share of light left on each pixel near something in front of it."""
    small = np.ascontiguousarray(depth[::2, ::2])
    reach = max(1, round(SHADOW_MM * len(small) / view.extent))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    apart = small - cv2.erode(small, disc)
    over = np.clip((apart - 18.0) / 40.0, 0, 1) * np.clip((240.0 - apart) / 140.0, 0, 1)
    return 1 - 0.38 * exact.enlarge(exact.blur(over, 0.45 * reach + 0.3), (size, size))
