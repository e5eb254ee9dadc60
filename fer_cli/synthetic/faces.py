"""Rendering one labelled face: person, expression and scene to image and ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from fer_cli.synthetic import camera, exact, occluders, skin
from fer_cli.synthetic.actions import UNITS, action_matrix, combine_units
from fer_cli.synthetic.bust import draw_bust
from fer_cli.synthetic.clothes import style_of
from fer_cli.synthetic.expressions import Expression
from fer_cli.synthetic.hair import drape_hair, draw_locks, ear_ids
from fer_cli.synthetic.identities import Identity
from fer_cli.synthetic.ingredients import EVERYTHING, Ingredients
from fer_cli.synthetic.landmarks import landmark_ids
from fer_cli.synthetic.mesh import REGIONS, head_mesh
from fer_cli.synthetic.render import Drawn, Eyes, View, draw_head, to_camera, to_pixels

OVERSAMPLE = 2
"""Rendering resolution relative to the output."""
LIFT = 0.07
"""Least height of the picture's middle over the middle of the landmarks, in sides of the square around them."""
CHIN = 0.55
"""Lowest place of the chin below the picture's middle, in sides of the picture: detectors' boxes end near it."""
DISTANCE_MM = (700.0, 2500.0)
NEAR_MM = (450.0, 1400.0)
"""Ranges of the camera's distance; the second without the ingredient."""
LID_FOLLOW = 0.035
"""Lid action per degree of vertical gaze."""


@dataclass(frozen=True)
class Look:
    """Framing and appearance of a set's faces."""

    zoom: tuple[float, float] = (0.95, 1.35)
    """Range of the image side, in sides of the square around the landmarks."""
    shift: float = 0.05
    """Maximum displacement of the face, in the same unit."""
    pose: float = 14.0
    """Maximum yaw in degrees."""
    difficulty: float = 0.4
    occluded: float = 0.08
    """Fraction of images with an occluded face."""
    speech: float = 0.0
    """Fraction of images with a speaking person."""
    bust: bool = False
    """Whether to draw shoulders."""


@dataclass(frozen=True)
class Face:
    """An image (S, S, 3) uint8 and its ground truth."""

    image: np.ndarray
    units: np.ndarray
    """(2, units): intensities of the right and left half."""
    landmarks: np.ndarray
    """(68, 2) float32 in pixels."""
    visible: np.ndarray
    """(68,) bool: not hidden by the head, an occluder or the border."""
    pose: tuple[float, float, float]
    """Yaw, pitch, roll in degrees."""
    gaze: tuple[float, float]
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the landmarks in pixels."""
    occluder: str


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the head's rotation (3, 3) for angles in degrees: left, up and clockwise (as seen) are positive."""
    a, b, c = np.deg2rad([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return exact.matrix_product(exact.matrix_product(about_z, about_y), about_x).astype(np.float32)


@lru_cache(maxsize=1)
def unit_moves() -> np.ndarray:
    """Return (2 x units, V x 3) float32: vertex displacements of each half unit; eyeballs do not move."""
    mesh = head_mesh()
    moves = np.stack([exact.weighted_sum(shares, mesh.actions) for shares in action_matrix()])
    moves[:, mesh.region == REGIONS.index("eye")] = 0
    return np.ascontiguousarray(moves.reshape(len(moves), -1))


@lru_cache(maxsize=1)
def lid_moves() -> np.ndarray:
    """Return (4, V x 3) float32: vertex displacements of the left and right lids when closing, then when opening wide."""
    mesh = head_mesh()
    moves = mesh.actions[[mesh.action(f"eye{action}{side}") for action in ("Blink", "Wide") for side in ("Left", "Right")]]
    moves[:, mesh.region == REGIONS.index("eye")] = 0
    return moves.reshape(len(moves), -1)


def express(person: Identity, expression: Expression) -> tuple[np.ndarray, np.ndarray]:
    """Return the person's head (V, 3) with the expression, and the person-specific intensities (2, units)."""
    shown = expression.units * person.habit * person.asymmetry
    moves = exact.weighted_sum(combine_units(shown).ravel(), unit_moves())
    relative = expression.gaze[1] - expression.pitch
    close, widen = np.clip([-relative * LID_FOLLOW * 0.45, relative * LID_FOLLOW * 0.5], 0, 0.5)
    moves += exact.weighted_sum(np.array([close, close, widen, widen]), lid_moves())
    return person.shape + moves.reshape(-1, 3), shown


def movement(person: Identity, expression: Expression) -> np.ndarray:
    """Return (68, 3) in mm: x and y of each landmark of the person, and how far the expression has moved it."""
    marks = express(person, expression)[0][landmark_ids()]
    moved = exact.length((marks - person.shape[landmark_ids()]).T)
    return np.concatenate([marks[:, :2], moved[:, None]], 1)


def fold_texture(person: Identity, shown: np.ndarray, folds: bool = True) -> np.ndarray:
    """Return (H, W, 3): slopes of the skin in x and y, and its depth, for the person's lines and the acting units.

    Without ``folds``: 0 everywhere.
    """
    if not folds:
        return np.zeros((*person.lines.shape, 3), np.float32)
    area, heights = skin.fold_area()
    weights = np.clip(shown[:, skin.fold_columns()].ravel() - 0.08, 0, None) * person.creases
    depth = person.lines[area] + exact.weighted_sum(weights, heights)
    across, along = exact.slopes(depth)
    texture = np.zeros((*person.lines.shape, 3), np.float32)
    texture[area] = cv2.merge([across * -1.3, along * 1.3, depth])
    return texture


def gaze_vectors(expression: Expression, turn: np.ndarray) -> np.ndarray:
    """Return the gaze (2, 3) of the right and left eye in head axes, from the gaze relative to the camera."""
    yaw, pitch = np.deg2rad(expression.gaze)
    world = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    own = exact.rotate(world, turn.T)
    limit = np.cos(np.deg2rad(38))
    if own[2] < limit:
        own[:2] *= np.sqrt(1 - limit**2) / exact.length(own[:2])
        own[2] = limit
    return np.stack([own, own]).astype(np.float32)


def make_face(
    person: Identity,
    expression: Expression,
    look: Look,
    size: int,
    rng: np.random.Generator,
    noise: np.random.Generator | None = None,
    view: View | None = None,
    carried: np.ndarray | None = None,
    ingredients: Ingredients = EVERYTHING,
    background: np.ndarray | None = None,
) -> Face:
    """Return an image of ``person`` with ``expression`` in a scene drawn from ``rng``.

    For the frames of a clip: pass ``rng`` in the same state, ``noise`` for the flicker, a common ``view``, and as
    ``carried`` the ``movement`` at the apex. Pass the ``ingredients`` that ``person`` was made with. ``background``:
    (2 size, 2 size, 3), by default drawn from ``rng``.
    """
    expression = expression if ingredients.pose else face_camera(expression)
    if rng.random() < look.speech:
        expression = add_speech(expression, rng)
    points, shown = express(person, expression)
    pose = (expression.yaw, expression.pitch, expression.roll)
    turn = rotation(*pose)
    marks = exact.rotate(points[landmark_ids()], turn)
    drawn_view = frame(marks, look, rng, ingredients)
    view = view or drawn_view
    eyes = Eyes(person.iris, person.sclera, float(rng.uniform(1.6, 2.9)), gaze_vectors(expression, turn))
    lighting = camera.draw_lighting(rng, person.gloss, look.difficulty)
    if not ingredients.light:
        lighting = camera.FRONTAL
    streams = [np.random.default_rng(int(seed)) for seed in rng.integers(2**62, size=3)]  # of hair, occluder and lens
    large = size * OVERSAMPLE
    folds = fold_texture(person, shown, ingredients.texture)
    drawn = draw_head(points, turn, view, large, person.albedo, folds, eyes, lighting)
    pixels = to_pixels(to_camera(marks, view), view, large)
    image = camera.draw_background(rng, large) if background is None else background.copy()
    if person.long_hair:
        drape_hair(image, person.hair * lighting.level, pixels, streams[0])
    if look.bust:  # in front of the hair, which falls behind neck and shoulders
        draw_bust(image, person, pose, view, lighting, style_of(ingredients))
    cv2.copyTo(np.clip(drawn.image, 0, camera.BRIGHTEST), drawn.cover.view(np.uint8), image)
    if person.glasses is not None:
        draw_glasses(image, person, points, turn, view)
    visible = seen(marks, view, drawn, pixels)
    if person.long_hair:
        ears = to_pixels(to_camera(exact.rotate(points[[*ear_ids()]], turn), view), view, large)
        visible &= outside(draw_locks(image, person.hair * lighting.level, pixels, ears, streams[0]), pixels)
    occluder = None
    if streams[1].random() < look.occluded and ingredients.occluder:
        moved = movement(person, expression) if carried is None else carried
        occluder = occluders.choose_occluder(moved, look.difficulty, streams[1])
    if occluder is not None:
        tone = person.hair if occluder.kind == "strand" else cheek_colour(person)
        visible &= outside(occluders.draw_occluder(occluder, image, pixels, tone * lighting.level), pixels)
    picture = camera.expose(image, size, streams[2], noise or streams[2], look.difficulty, ingredients.lens)
    own = (pixels + 0.5) / OVERSAMPLE - 0.5
    box = tuple(float(v) for v in (*own.min(0), *own.max(0)))
    kind = occluder.kind if occluder else "none"
    return Face(picture, shown, own.astype(np.float32), visible, pose, expression.gaze, box, kind)  # type: ignore[arg-type]


def cheek_colour(person: Identity) -> np.ndarray:
    """Return the colour (3,) of the person's cheek."""
    return np.asarray(person.albedo[int(skin.SHAPE[0] * 0.62), skin.SHAPE[1] // 2 + 60])


def outside(cover: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return which points (n, 2) are not under ``cover`` (S, S)."""
    at = np.clip(np.round(pixels), 0, len(cover) - 1).astype(int)
    return np.asarray(cover[at[:, 1], at[:, 0]] < 0.5)


def frame(landmarks: np.ndarray, look: Look, rng: np.random.Generator, ingredients: Ingredients = EVERYTHING) -> View:
    """Return a view of the landmarks (68, 3) similar to the crop of a face detector."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    side = float((high - low).max())
    zoom, share = rng.uniform(*look.zoom), rng.random()
    lift = LIFT
    if ingredients.crop and not look.bust:
        lift += share * max(0.0, CHIN * zoom - 0.5 - LIFT)
    centre = (low + high) / 2 + (0, lift * side) + rng.uniform(-look.shift, look.shift, 2) * side
    extent, distance = side * zoom, rng.uniform(*(DISTANCE_MM if ingredients.distance else NEAR_MM))
    return View((float(centre[0]), float(centre[1])), float(extent), float(distance))


def first_view(
    person: Identity, expression: Expression, look: Look, rng: np.random.Generator, ingredients: Ingredients = EVERYTHING
) -> View:
    """Return the view for all frames of a clip: what ``make_face`` draws first from ``rng``, framing the turned head.

    Without the ingredient ``pose``, whose heads are frontal, the two differ: this one frames the head as it would be turned.
    """
    rng.random()
    points, _ = express(person, expression)
    turn = rotation(expression.yaw, expression.pitch, expression.roll)
    return frame(exact.rotate(points[landmark_ids()], turn), look, rng, ingredients)


def face_camera(expression: Expression) -> Expression:
    """Return the expression with a frontal head and the gaze as it was relative to the head."""
    across, along = expression.gaze[0] - expression.yaw, expression.gaze[1] - expression.pitch
    return replace(expression, yaw=0.0, pitch=0.0, roll=0.0, gaze=(float(across), float(along)))


def add_speech(expression: Expression, rng: np.random.Generator) -> Expression:
    """Return the expression with mouth movement of speech added."""
    units = expression.units.copy()
    for unit, most in (("AU26", 0.45), ("AU25", 0.5), ("AU18", 0.35), ("AU22", 0.3), ("AU16", 0.25), ("AU20", 0.2)):
        units[:, UNITS.index(unit)] = np.clip(units[:, UNITS.index(unit)] + most * rng.beta(0.8, 1.6), 0, 1.1)
    units[:, [UNITS.index("AU23"), UNITS.index("AU24")]] *= 0.6
    return replace(expression, units=units)


def seen(marks: np.ndarray, view: View, drawn: Drawn, pixels: np.ndarray) -> np.ndarray:
    """Return which landmarks (68,) are in the image and not behind another part of the head."""
    size = len(drawn.depth)
    inside = ((pixels >= 0) & (pixels <= size - 1)).all(1)
    at = np.clip(np.round(pixels), 0, size - 1).astype(int)
    own = -to_camera(marks, view)[:, 2]
    return inside & (own <= drawn.depth[at[:, 1], at[:, 0]] + 6.0)


def draw_glasses(image: np.ndarray, person: Identity, points: np.ndarray, turn: np.ndarray, view: View) -> None:
    """Draw a frame in front of the eyes: two lenses, a bridge and the temples."""
    assert person.glasses is not None
    half, high, dark = person.glasses
    around = np.linspace(0, 2 * np.pi, 28)
    front = float(points[landmark_ids()[27], 2]) + 4.0
    lines = []
    for side in (-1, 1):
        x = side * 32 + half * np.sign(np.cos(around)) * np.abs(np.cos(around)) ** 0.7
        y = -2 + high * np.sign(np.sin(around)) * np.abs(np.sin(around)) ** 0.7
        lines.append(np.stack([x, y, front - 0.004 * x**2], 1))
        lines.append(np.array([[side * (32 + half), 2, front - 0.004 * (32 + half) ** 2], [side * 74, 2, -60.0]]))
    lines.append(np.array([[-(32 - half), 2, front], [0, 4, front + 1], [32 - half, 2, front]]))
    colour = tuple(float(v) for v in np.full(3, 1 - dark) * 0.5)
    thick = max(1, round(2.2 * len(image) / view.extent))
    for line in lines:
        at = to_pixels(to_camera(exact.rotate(line.astype(np.float32), turn), view), view, len(image))
        cv2.polylines(image, [np.round(at * 16).astype(np.int32)], False, colour, thick, cv2.LINE_AA, 4)
