"""Draw a head: rasterise its attributes with OpenCV, then shade every pixel at once.

Three passes of ``cv2.triangleRasterize`` interpolate, as colours, the camera-space normal and region, the place on the mean
head, and lip, lash and hollow shares; shading is a few array operations on those (deferred). All images are float32, RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse

from fer_cli.synthetic import skin
from fer_cli.synthetic.mesh import REGIONS, head_mesh

NEAR_MM, FAR_MM = 50.0, 4000.0
BOX = np.array([[-110.0, -160.0, -110.0], [110.0, 130.0, 60.0]], np.float32)
"""Range of rest places; attributes travel through the rasteriser scaled to [0, 1]."""
EYE_RADIUS_MM = 13.8
IRIS_MM = 5.9


@dataclass(frozen=True)
class Light:
    """One directional light: towards it (unit vector, camera axes) and its RGB strength."""

    towards: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """Everything that lights a face."""

    ambient: np.ndarray
    """RGB from above; the part from below is darker by ``ground``."""
    ground: float
    lights: tuple[Light, ...]
    gloss: float
    """Strength of skin highlights."""


@dataclass(frozen=True)
class View:
    """Where the camera looks: a square of ``extent`` mm around ``centre`` (x, y), from ``distance`` mm."""

    centre: tuple[float, float]
    extent: float
    distance: float
    roll: float = 0.0


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
    """Return two sparse operators; vertices that share a place count as one.

    (V, F): sum of the normals of the triangles around each vertex. (V, V): how far a vertex lies from the mean of its
    neighbours, in mean edge lengths, smoothed once.
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
def corners() -> tuple[np.ndarray, ...]:
    """Return the first, second and third vertex of every triangle, (F,) each."""
    return tuple(np.ascontiguousarray(column) for column in head_mesh().faces.T)


def vertex_normals(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit normals (V, 3) and hollowness (V,): how far a vertex lies below its neighbours, in edge lengths."""
    around, umbrella = surface_operators()
    a, b, c = corners()
    planes = np.ascontiguousarray(points.T)
    (ux, uy, uz), (vx, vy, vz) = ([plane[end] - plane[a] for plane in planes] for end in (b, c))
    across = np.empty((len(a), 3), points.dtype)
    across[:, 0], across[:, 1], across[:, 2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    normals = around @ across
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    return normals, ((umbrella @ points) * normals).sum(1)


def to_camera(points: np.ndarray, view: View) -> np.ndarray:
    """Return points (n, 3) in camera axes: x right, y up, z negative in front of the camera."""
    shifted = points - np.array([*view.centre, view.distance], np.float32)
    if view.roll:
        c, s = np.cos(view.roll), np.sin(view.roll)
        shifted[:, :2] = shifted[:, :2] @ np.array([[c, s], [-s, c]], np.float32)
    return shifted


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
    """Return the shaded head of ``points`` (V, 3, head axes) turned by ``rotation`` (3, 3).

    ``skin_map``: (H, W, 3) colours of skin, lips and lid margins; ``folds``: (H, W, 3) slopes and depth of the skin's folds.
    """
    mesh = head_mesh()
    turned = points @ rotation.T
    normals, hollow = vertex_normals(turned)
    camera = to_camera(turned, view)
    place, code, outside = rest_places()
    place[outside, 2] = np.clip(hollow[outside] / 2 + 0.5, 0, 1)
    passes = (np.concatenate([normals[:, :2] / 2 + 0.5, code[:, None]], 1), place)
    (shape, place), depth = rasterise(camera, mesh.faces, passes, view, size)
    cover = depth < FAR_MM - 1
    pixels = np.flatnonzero(cover.ravel())
    shape, place = shape.reshape(-1, 3).take(pixels, 0), place.reshape(-1, 3).take(pixels, 0)
    xy = place[:, :2] * (BOX[1, :2] - BOX[0, :2]) + BOX[0, :2]
    code = np.floor(shape[:, 2] * 8 + 0.25).astype(np.int8)
    normal = np.empty((len(pixels), 3), np.float32)
    normal[:, :2] = shape[:, :2] * 2 - 1
    colour = skin_colour(xy, place[:, 2], skin_map, folds, normal, code == REGIONS.index("skin"))
    normal[:, 2] = np.sqrt(np.clip(1 - normal[:, 0] ** 2 - normal[:, 1] ** 2, 0.02, 1))
    gloss = np.full(len(pixels), lighting.gloss, np.float32)
    eye_pixels = np.flatnonzero(code == REGIONS.index("eye"))
    is_left = xy[eye_pixels, 0] > 0
    for left, gaze in enumerate(eyes.gaze):
        some = eye_pixels[is_left == bool(left)]
        colour[some] = eye_colour(xy[some], eyes, gaze, bool(left))
        gloss[some] = 1.6
    deep = place[:, 2] * (BOX[1, 2] - BOX[0, 2]) + BOX[0, 2]
    paint_mouth(colour, code, xy, deep, gloss)
    image = np.zeros((size * size, 3), np.float32)
    image[pixels] = shade(colour, normal, gloss, lighting)
    return Drawn(image.reshape(size, size, 3), cover, depth)


@lru_cache(maxsize=1)
def rest_places() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places on the mean head in [0, 1] (V, 3), region codes in [0, 1) (V,), and the vertices outside the mouth."""
    mesh = head_mesh()
    scaled = (mesh.rest - BOX[0]) / (BOX[1] - BOX[0])
    outside = np.flatnonzero(mesh.region <= REGIONS.index("cavity"))
    return scaled.astype(np.float32), (mesh.region / 8).astype(np.float32), outside


def rasterise(
    camera: np.ndarray, faces: np.ndarray, passes: tuple[np.ndarray, ...], view: View, size: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each pass's attributes, interpolated: (S, S, 3) float32, and the depth (S, S); FAR_MM where nothing is."""
    settings = cv2.TriangleRasterizeSettings()
    settings = settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED).setCullingMode(cv2.RASTERIZE_CULLING_CW)
    vertices = np.ascontiguousarray(camera, np.float32)
    faces = facing(vertices, faces, view)
    field = 2 * np.arctan(view.extent / 2 / view.distance)
    identity = np.eye(4, dtype=np.float32)
    buffers = []
    depth = np.empty((size, size), np.float32)
    for colours in passes:
        buffer = np.zeros((size, size, 3), np.float32)
        depth[:] = FAR_MM
        packed = np.ascontiguousarray(colours, np.float32)
        cv2.triangleRasterize(vertices, faces, packed, buffer, depth, identity, field, NEAR_MM, FAR_MM, settings)
        buffers.append(buffer)
    return buffers, depth


def facing(camera: np.ndarray, faces: np.ndarray, view: View) -> np.ndarray:
    """Return the triangles that face the camera and reach into the picture; each pass would drop the others one by one."""
    flat = np.ascontiguousarray((camera[:, :2] / -camera[:, 2:]).T)
    a, b, c = corners() if faces is head_mesh().faces else tuple(faces.T)
    ax, bx, cx = (flat[0][corner] for corner in (a, b, c))
    ay, by, cy = (flat[1][corner] for corner in (a, b, c))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    edge = view.extent / 2 / view.distance * 1.02  # with room for rounding
    keep = area > 0
    for one, two, three in ((ax, bx, cx), (ay, by, cy)):
        keep &= (np.minimum(np.minimum(one, two), three) < edge) & (np.maximum(np.maximum(one, two), three) > -edge)
    return np.ascontiguousarray(faces[keep])


def skin_colour(
    xy: np.ndarray, hollow: np.ndarray, skin_map: np.ndarray, folds: np.ndarray, normal: np.ndarray, on_skin: np.ndarray
) -> np.ndarray:
    """Return albedo (n, 3) of pixels and bend their normals (n, 3: x, y) where the skin folds."""
    at = skin.at_pixel(xy)
    colour, depth = sample(skin_map, at), sample(folds, at) * on_skin[:, None]
    shadow = np.clip(1 - 1.6 * np.clip(hollow * 2 - 1.04, 0, None), 0.45, 1) * (1 - 0.45 * depth[:, 2])
    normal[:, :2] += depth[:, :2]
    return colour * shadow[:, None]


def sample(texture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return (n, 3) bilinear values of a texture (H, W, 3) at places (n, 2: column, row)."""
    width = 1024  # OpenCV takes at most 32,767 columns
    rows = -(-len(at) // width)
    padded = np.zeros((rows * width, 2), np.float32)
    padded[: len(at)] = at
    values = cv2.remap(texture, padded.reshape(rows, width, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(-1, 3)[: len(at)]


def eye_colour(xy: np.ndarray, eyes: Eyes, gaze: np.ndarray, left: bool) -> np.ndarray:
    """Return albedo (n, 3) of eyeball pixels by their angle to the direction of gaze."""
    flat = np.clip((xy - (30.8 if left else -30.8, 0)) / EYE_RADIUS_MM, -1, 1)
    out = np.concatenate([flat, np.sqrt(np.clip(1 - (flat**2).sum(1, keepdims=True), 0, 1))], 1)
    off = np.linalg.norm(np.cross(out, gaze), axis=1) * EYE_RADIUS_MM
    front = out @ gaze > 0
    iris = np.clip((IRIS_MM - off) / 0.7 + 0.5, 0, 1) * front
    pupil = np.clip((eyes.pupil - off) / 0.7 + 0.5, 0, 1) * front
    rim = 1 - 0.5 * np.clip((off - IRIS_MM + 1.5) / 1.5, 0, 1)
    colour = eyes.sclera * (1 - iris[:, None]) + eyes.iris * (iris * rim)[:, None]
    shadow = np.clip(1.0 - 0.055 * np.clip(xy[:, 1] + 1.0, 0, 9), 0.45, 1)  # of the upper lid and lashes
    return np.asarray(colour * (1 - 0.95 * pupil[:, None]) * shadow[:, None])


def paint_mouth(colour: np.ndarray, code: np.ndarray, xy: np.ndarray, deep: np.ndarray, gloss: np.ndarray) -> None:
    """Colour the inside of the mouth: darker the deeper, tongue pink, teeth with gaps, darker to the sides."""
    inside = np.flatnonzero(code == REGIONS.index("mouth"))
    light = np.clip((deep + 10) / 36, 0.0, 1)[:, None]
    colour[inside] = np.array([0.34, 0.10, 0.10], np.float32) * (0.12 + 0.6 * light[inside] ** 2)
    gloss[inside] = 0
    tongue = np.flatnonzero(code == REGIONS.index("tongue"))
    colour[tongue] = np.array([0.62, 0.28, 0.28], np.float32) * (0.25 + 0.65 * light[tongue])
    teeth = np.flatnonzero(code == REGIONS.index("teeth"))
    across, height = xy[teeth, 0], xy[teeth, 1]
    gap = 1 - 0.25 * np.exp(-((np.mod(across + 100, 7.2) - 3.6) ** 2 / 0.25))
    side = np.clip(1 - (np.abs(across) / 24) ** 2 * 0.6, 0.2, 1)
    gum = np.clip((np.abs(height + 67) - 7.5) / 1.5, 0, 1)[:, None]
    white = np.array([0.97, 0.94, 0.87], np.float32) * (gap * side)[:, None]
    colour[teeth] = white * (1 - gum) + np.array([0.62, 0.3, 0.3], np.float32) * gum * side[:, None]


def shade(colour: np.ndarray, normal: np.ndarray, gloss: np.ndarray, lighting: Lighting) -> np.ndarray:
    """Return lit RGB (n, 3): hemispheric ambient light, wrapped diffuse light and a soft highlight per light."""
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    up = normal[:, 1:2] * 0.5 + 0.5
    light = lighting.ambient * (lighting.ground + (1 - lighting.ground) * up)
    shine = np.zeros((len(colour), 3), np.float32)
    wrap = 0.25
    for lamp in lighting.lights:
        facing = normal @ lamp.towards
        light = light + np.clip((facing + wrap) / (1 + wrap), 0, None)[:, None] * lamp.colour
        half = lamp.towards + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        shine += (np.clip(normal @ half, 0, 1) ** 24)[:, None] * lamp.colour
    return colour * light + shine * (gloss * 0.35)[:, None]
