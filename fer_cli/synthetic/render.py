"""Deferred rendering of a head: rasterise its attributes with OpenCV, then shade all pixels at once.

One pass of ``cv2.triangleRasterize`` gives the triangle and the barycentric weights of every pixel; with them, camera-space
normals, positions on the mean head and hollowness are interpolated. All images are float32 RGB. Pixels and vertices are
processed as planes (3, n), which is faster than rows of three.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact, skin
from fer_cli.synthetic.mesh import REGIONS, head_mesh

NEAR_MM, FAR_MM = 50.0, 4000.0
EYE_RADIUS_MM = 13.8
IRIS_MM = 5.9
EYE_GLOSS = 0.35
LID_MM = -3.0
"""z on the mean head in front of which the eyes' cavity lies between lid and eyeball."""
FAINT = 0.05
"""Cosine below which highlights are negligible (powers of smaller numbers are slow)."""
MOUTH, TONGUE, TEETH, GUM = np.array(
    [[0.26, 0.08, 0.08], [0.55, 0.25, 0.25], [0.80, 0.77, 0.70], [0.55, 0.28, 0.28]], np.float32
)


@dataclass(frozen=True)
class Light:
    """A directional light: unit vector towards it in camera axes, and RGB strength."""

    towards: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """The lighting of a scene."""

    ambient: np.ndarray
    """RGB from above; light from below is darker by ``ground``."""
    ground: float
    lights: tuple[Light, ...]
    gloss: float
    """Strength of skin highlights."""

    @property
    def level(self) -> np.ndarray:
        """Return the RGB light on an average surface that faces the camera, for what is drawn flat."""
        lamps = [lamp.colour * np.float32(0.45) for lamp in self.lights]
        return np.asarray(np.sum([self.ambient * np.float32(0.9), *lamps], axis=0, dtype=np.float32))


@dataclass(frozen=True)
class View:
    """The camera's view: a square of ``extent`` mm around ``centre`` (x, y), from ``distance`` mm."""

    centre: tuple[float, float]
    extent: float
    distance: float


@dataclass(frozen=True)
class Eyes:
    """Iris and sclera colour (RGB), pupil radius (mm), gaze (2, 3): unit vectors in head axes, right and left eye."""

    iris: np.ndarray
    sclera: np.ndarray
    pupil: float
    gaze: np.ndarray


@dataclass
class Drawn:
    """Shaded pixels (S, S, 3), cover (S, S) in {0, 1} and the depth buffer (S, S) in mm."""

    image: np.ndarray
    cover: np.ndarray
    depth: np.ndarray


@lru_cache(maxsize=1)
def surface_operators() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return two sparse operators, with vertices at the same position merged.

    (V, F): sum of the normals around each vertex. (V, V): smoothed distance of a vertex from the mean of its neighbours, in
    mean edge lengths.
    """
    mesh = head_mesh()
    v, f = mesh.size, len(mesh.faces)
    corners = mesh.welded[mesh.faces]
    ones = np.ones(3 * f, np.float32)
    spread = sparse.csr_matrix((np.ones(v, np.float32), (np.arange(v), mesh.welded)), (v, v))
    around = spread @ sparse.csr_matrix((ones, (corners.T.ravel(), np.tile(np.arange(f), 3))), (v, f))
    a, b = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]).T
    links = sparse.csr_matrix((np.ones(2 * len(a), np.float32), (np.r_[a, b], np.r_[b, a])), (v, v))
    links.data[:] = 1
    degree = np.maximum(np.asarray(links.sum(1)).ravel(), 1)
    umbrella = sparse.diags(1 / degree) @ links - sparse.eye(v)
    ends, edge = np.r_[a, b], np.linalg.norm(mesh.rest[a] - mesh.rest[b], axis=1)
    length = np.bincount(ends, np.tile(edge, 2), v) / np.bincount(ends, minlength=v).clip(1)
    smooth = sparse.eye(v) * 0.5 + sparse.diags(0.5 / degree) @ links
    umbrella = smooth @ sparse.diags(1 / np.maximum(length, 1.5)) @ umbrella
    return around.tocsr().astype(np.float32), (spread @ umbrella).tocsr().astype(np.float32)


@lru_cache(maxsize=1)
def corners() -> np.ndarray:
    """Return the first, second and third vertices of the triangles, (3, F)."""
    return np.ascontiguousarray(head_mesh().faces.T, np.intp)


@lru_cache(maxsize=1)
def drawn_faces() -> tuple[np.ndarray, np.ndarray]:
    """Return the triangles (F, 3) int32 and their corners (3, F), without those between lid and eyeball: never visible."""
    mesh = head_mesh()
    between = (mesh.region[mesh.faces[:, 0]] == REGIONS.index("cavity")) & (mesh.rest[mesh.faces, 2].mean(1) > LID_MM)
    faces = np.ascontiguousarray(mesh.faces[~between])
    return faces, np.ascontiguousarray(faces.T, np.intp)


@lru_cache(maxsize=1)
def hollow_operator() -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the vertices (n,) of skin and eye cavity, and their rows (n, V) of the second surface operator."""
    region = head_mesh().region
    shown = np.flatnonzero((region == REGIONS.index("skin")) | (region == REGIONS.index("cavity")))
    return shown, surface_operators()[1][shown]


def vertex_normals(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit normals (3, V), and hollowness (n,): depth of skin below its neighbours in edge lengths."""
    around, _ = surface_operators()
    shown, umbrella = hollow_operator()
    planes = np.ascontiguousarray(points.T)
    a, b, c = (planes.take(ends, 1) for ends in corners())
    (ux, uy, uz), (vx, vy, vz) = np.subtract(b, a, out=b), np.subtract(c, a, out=c)
    across = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    normals = np.stack([around @ plane for plane in across])
    normals /= exact.length(normals) + 1e-9
    return normals, exact.dot(np.stack([umbrella @ plane for plane in planes]), normals.take(shown, 1))


def to_camera(points: np.ndarray, view: View) -> np.ndarray:
    """Return points (n, 3) in camera axes: x right, y up, z negative in front of the camera."""
    return np.asarray(points - np.array([*view.centre, view.distance], np.float32))


def to_pixels(camera: np.ndarray, view: View, size: int) -> np.ndarray:
    """Return pixel positions (n, 2) of points in camera axes, in an image of ``size``."""
    scale = view.distance / -camera[:, 2] * size / view.extent
    return np.stack([size / 2 + camera[:, 0] * scale, size / 2 - camera[:, 1] * scale], 1) - 0.5


def draw_head(
    points: np.ndarray,
    rotation: np.ndarray,
    view: View,
    size: int,
    skin_map: np.ndarray,
    folds: np.ndarray,
    eyes: Eyes,
    lighting: Lighting,
) -> Drawn:
    """Return the shaded head of ``points`` (V, 3, head axes) rotated by ``rotation`` (3, 3).

    ``skin_map``: (H, W, 3) colours of skin, lips and lid margins; ``folds``: (H, W, 3) slopes and depth of skin folds.
    """
    mesh = head_mesh()
    turned = exact.rotate(points, rotation)
    camera = to_camera(turned, view)
    hits = hit_triangles(camera, drawn_faces()[0], view, size)
    cover, pixels = hits.cover, hits.pixels
    code = mesh.region.take(hits.corners[0])
    values = hits.interpolate(surface(turned))
    xy, hollow = values[2:4], values[4]
    normal = np.empty((3, len(pixels)), np.float32)
    normal[:2] = values[:2]
    colour = skin_colour(xy, hollow, skin_map, folds, normal, code == REGIONS.index("skin"))
    normal[2] = np.sqrt(np.clip(1 - normal[0] ** 2 - normal[1] ** 2, 0.02, 1))
    gloss = np.full(len(pixels), lighting.gloss, np.float32)
    eye_pixels = np.flatnonzero(code == REGIONS.index("eye"))
    colour[:, eye_pixels] = eye_colour(xy.take(eye_pixels, 1), eyes)
    gloss[eye_pixels] = EYE_GLOSS
    paint_mouth(colour, code, xy, hollow, gloss)
    return Drawn(scatter_pixels(shade(colour, normal, gloss, lighting), cover), cover, hits.depth)


def scatter_pixels(planes: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Return an image (S, S, 3) with the pixels ``planes`` (3, n) under ``cover`` (S, S) in row order; black elsewhere."""
    image = np.zeros((*cover.shape, 3), np.float32)
    whole = "V12"  # a pixel as one element, which is many times faster
    image.view(whole)[cover] = cv2.merge([*planes]).reshape(-1, 3).view(whole)
    return image


@dataclass(frozen=True)
class Hits:
    """Where the triangles of a mesh cover an image (S, S): n pixels, in row order."""

    cover: np.ndarray
    """(S, S) bool."""
    pixels: np.ndarray
    """(n,) positions in the flat image."""
    corners: np.ndarray
    """(3, n) vertices of the triangle in front."""
    weights: np.ndarray
    """(3, n) float32, barycentric."""
    depth: np.ndarray
    """(S, S) in mm, FAR_MM for background."""

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Return values (V, k) float32 of the vertices as planes (k, n)."""
        total = cv2.transpose(values.take(self.corners[0], 0))
        total *= self.weights[0]
        for corner, weight in zip(self.corners[1:], self.weights[1:], strict=True):
            part = cv2.transpose(values.take(corner, 0))
            part *= weight
            total += part
        return np.asarray(total)


def surface(points: np.ndarray) -> np.ndarray:
    """Return (V, 5) float32 of vertices at ``points`` (V, 3) in camera axes, in mm.

    Normal x and y, x and y on the mean head, and hollowness where skin or eye cavity, elsewhere z on the mean head.
    """
    normals, hollow = vertex_normals(points)
    table = rest_table().copy()
    table[:, 0], table[:, 1] = normals[0], normals[1]
    table[hollow_operator()[0], 4] = np.clip(hollow, -1, 1)
    return table


@lru_cache(maxsize=1)
def rest_table() -> np.ndarray:
    """Return ``surface`` without what depends on the pose."""
    rest = head_mesh().rest
    return np.concatenate([np.zeros((len(rest), 2)), rest], 1).astype(np.float32)


def hit_triangles(camera: np.ndarray, faces: np.ndarray, view: View, size: int, ends: np.ndarray | None = None) -> Hits:
    """Return where triangles are seen: one pass draws, as a colour, barycentric weights and the triangle's number.

    ``ends``: ``faces`` as (3, F), which saves transposing them.
    """
    settings = cv2.TriangleRasterizeSettings()
    settings = settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED).setCullingMode(cv2.RASTERIZE_CULLING_CW)
    vertices = np.ascontiguousarray(camera, np.float32)
    faces = front_facing(vertices, faces, view, ends)
    own, colours = numbered_corners()
    buffer, depth = np.zeros((size, size, 3), np.float32), np.full((size, size), FAR_MM, np.float32)
    if not len(faces):
        return unseen(depth)
    angle = 2 * np.arctan(view.extent / 2 / view.distance)
    cv2.triangleRasterize(
        vertices.take(faces.ravel(), 0),
        own[: len(faces)],
        colours[: len(faces)].reshape(-1, 3),
        buffer,
        depth,
        np.eye(4, dtype=np.float32),
        angle,
        NEAR_MM,
        FAR_MM,
        settings,
    )
    cover = depth < FAR_MM - 1
    pixels = np.flatnonzero(cover)
    if not len(pixels):
        return unseen(depth)
    first, second, number = cv2.transpose(buffer.reshape(-1, 3).take(pixels, 0))
    triangles = (number * np.float32(STEP)).astype(np.intp)
    corners = cv2.transpose(faces.take(triangles, 0))
    return Hits(cover, pixels, corners, np.stack([first, second, 1 - first - second]), depth)


def unseen(depth: np.ndarray) -> Hits:
    """Return the hits of triangles that are all outside the image, such as shoulders below a close face."""
    none = np.zeros((3, 0), np.intp)
    return Hits(np.zeros(depth.shape, bool), none[0], none, none.astype(np.float32), depth)


STEP = 2**15
"""Triangles are numbered in steps of 1 / STEP: the float's precision leaves each hundreds of values around its number."""


@lru_cache(maxsize=1)
def numbered_corners() -> tuple[np.ndarray, np.ndarray]:
    """Return the own corners (STEP, 3) of as many triangles as can be numbered, and these corners' colours (STEP, 3, 3)."""
    colours = np.zeros((STEP, 3, 3), np.float32)
    colours[:, 0, 0] = colours[:, 1, 1] = 1
    colours[:, :, 2] = (np.arange(STEP)[:, None] + 0.5) / STEP
    return np.arange(3 * STEP, dtype=np.int32).reshape(STEP, 3), colours


def front_facing(camera: np.ndarray, faces: np.ndarray, view: View, ends: np.ndarray | None) -> np.ndarray:
    """Return the triangles that face the camera and intersect the image."""
    x, y = np.ascontiguousarray((camera[:, :2] / -camera[:, 2:]).T)
    if ends is None:
        ends = drawn_faces()[1] if faces is drawn_faces()[0] else np.ascontiguousarray(faces.T, np.intp)
    a, b, c = ends
    ax, ay = x.take(a), y.take(a)
    area = (x.take(b) - ax) * (y.take(c) - ay) - (y.take(b) - ay) * (x.take(c) - ax)
    edge = view.extent / 2 / view.distance * 1.02  # with room for rounding
    # A triangle is outside if all its corners are beyond the same edge: one bit per edge.
    beyond = np.packbits([x >= edge, x <= -edge, y >= edge, y <= -edge], axis=0)[0]
    keep = (area > 0) & ((beyond.take(a) & beyond.take(b) & beyond.take(c)) == 0)
    return faces.take(np.flatnonzero(keep), 0)


def skin_colour(
    xy: np.ndarray, hollow: np.ndarray, skin_map: np.ndarray, folds: np.ndarray, normal: np.ndarray, on_skin: np.ndarray
) -> np.ndarray:
    """Return the albedo (3, n) of pixels at ``xy`` (2, n), and bend their normals (3, n: x, y) at skin folds."""
    at = skin.at_pixel(xy.T)
    colour, depth = exact.sample_all((skin_map, folds), at)
    depth *= on_skin.astype(np.float32)
    shadow = np.clip(1 - 1.6 * np.clip(hollow - 0.04, 0, None), 0.45, 1) * (1 - 0.2 * np.minimum(depth[2], 1))
    normal[:2] += depth[:2]
    colour *= shadow
    return colour


def eye_colour(xy: np.ndarray, eyes: Eyes) -> np.ndarray:
    """Return the albedo (3, n) of eyeball pixels at ``xy`` (2, n) from their angle to the gaze."""
    left = xy[0] > 0
    gx, gy, gz = eyes.gaze[left.astype(np.intp)].T
    x = np.clip((xy[0] - np.where(left, 30.8, -30.8)) / EYE_RADIUS_MM, -1, 1)
    y = np.clip(xy[1].astype(np.float64) / EYE_RADIUS_MM, -1, 1)
    z = np.sqrt(np.clip(1 - (x**2 + y**2), 0, 1))
    off = exact.length(np.stack([y * gz - z * gy, z * gx - x * gz, x * gy - y * gx])) * EYE_RADIUS_MM
    front = x * gx + y * gy + z * gz > 0
    iris = np.clip((IRIS_MM - off) / 0.7 + 0.5, 0, 1) * front
    pupil = np.clip((eyes.pupil - off) / 0.7 + 0.5, 0, 1) * front
    rim = 1 - 0.5 * np.clip((off - IRIS_MM + 1.5) / 1.5, 0, 1)
    colour = eyes.sclera[:, None] * (1 - iris) + eyes.iris[:, None] * (iris * rim)
    shadow = np.clip(1.0 - 0.1 * np.clip(xy[1] + 2.0, 0, 9), 0.3, 1)  # of the upper lid and lashes
    shadow *= np.clip(1.06 - 0.45 * x**2, 0.6, 1)  # towards the corners
    return np.asarray(colour * (1 - 0.95 * pupil) * shadow)


def paint_mouth(colour: np.ndarray, code: np.ndarray, xy: np.ndarray, deep: np.ndarray, gloss: np.ndarray) -> None:
    """Colour mouth, tongue and teeth, darker with depth and to the sides."""
    inside = np.flatnonzero(code == REGIONS.index("mouth"))
    colour[:, inside] = MOUTH[:, None] * (0.12 + 0.6 * depth_light(deep[inside]) ** 2)
    gloss[inside] = 0
    tongue = np.flatnonzero(code == REGIONS.index("tongue"))
    colour[:, tongue] = TONGUE[:, None] * (0.25 + 0.65 * depth_light(deep[tongue]))
    teeth = np.flatnonzero(code == REGIONS.index("teeth"))
    across, height = xy[:, teeth]
    gap = 1 - 0.25 * exact.exp(-((np.mod(across + 100, 7.2) - 3.6) ** 2 / 0.25))
    side = np.clip(1 - (np.abs(across) / 24) ** 2 * 0.6, 0.2, 1)
    side *= np.clip(0.95 - 0.03 * (height + 66), 0.65, 1)  # shade of the upper lip
    gum = np.clip((np.abs(height + 67) - 7.5) / 1.5, 0, 1)
    colour[:, teeth] = TEETH[:, None] * (gap * side) * (1 - gum) + GUM[:, None] * gum * side


def depth_light(deep: np.ndarray) -> np.ndarray:
    """Return the fraction of light (n,) inside the mouth; ``deep``: z on the mean head in mm."""
    return np.clip((deep + 10) / 36, 0.0, 1)


def shade(colour: np.ndarray, normal: np.ndarray, gloss: np.ndarray, lighting: Lighting) -> np.ndarray:
    """Return lit RGB planes (3, n): hemispheric ambient light, wrapped diffuse light and a soft highlight per light."""
    normal = normal / exact.length(normal)
    up = normal[1] * 0.5 + 0.5
    light = lighting.ambient[:, None] * (lighting.ground + (1 - lighting.ground) * up)
    shine = np.zeros_like(light)
    wrap = 0.15
    for lamp in lighting.lights:
        facing = exact.dot(normal, lamp.towards)
        light += np.clip((facing + wrap) / (1 + wrap), 0, None) * lamp.colour[:, None]
        half = lamp.towards + np.array([0, 0, 1], np.float32)
        eighth = np.clip(exact.dot(normal, half / exact.length(half)), FAINT, 1)
        for _ in range(3):
            eighth = eighth * eighth
        shine += eighth * eighth * eighth * lamp.colour[:, None]  # the 24th power
    return colour * light + shine * (gloss * 0.35)
