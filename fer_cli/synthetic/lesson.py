"""A rendered lesson: a video of listeners, each before a seat in a classroom as a webcam sees them, and its truth.

Frames are the same on every processor before they are encoded. A person's tile shows the middle of a square picture,
drawn as in ``synth-scene`` but with its own view and background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed
from fer_cli.synthetic import camera, exact
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.body import body_mesh
from fer_cli.synthetic.faces import OVERSAMPLE, Face, Look, make_face
from fer_cli.synthetic.identities import Identity, make_identity
from fer_cli.synthetic.ingredients import Ingredients
from fer_cli.synthetic.mesh import head_mesh
from fer_cli.synthetic.render import View
from fer_cli.synthetic.sets import one_thread
from fer_cli.synthetic.timeline import Behaviour, draw_timeline

WIDTH, HEIGHT, RATE = 640, 480, 12
"""Pixels of a frame, and frames per second."""
MOST_FACES, MOST_SECONDS = 12, 3600.0
BORDER = 2
"""Dark pixels around each tile."""
SHOWN_MM = (320.0, 450.0)
"""Least width and height of what a tile shows."""
CENTRE_MM = -45.0
"""Height of a tile's middle."""
LOOK = Look(difficulty=0.0, occluded=0.0, bust=True)
CLEAR = Ingredients(lens=False)
BATCH = 6
"""Frames that a process draws at a time."""


@dataclass(frozen=True)
class Lesson:
    """What to draw."""

    seconds: float = 60.0
    faces: int = 2
    seed: int = 0

    @property
    def frames(self) -> int:
        """Return the number of frames, at least one."""
        return max(1, round(self.seconds * RATE))


@dataclass(frozen=True)
class Tile:
    """One person's part of the frame, in pixels, and the side of the square picture whose middle it shows."""

    left: int
    top: int
    width: int
    height: int

    @property
    def side(self) -> int:
        """Return the side of the picture."""
        return max(self.width, self.height)

    @property
    def corner(self) -> tuple[int, int]:
        """Return the place of the picture's upper left corner in the frame."""
        return self.left - (self.side - self.width) // 2, self.top - (self.side - self.height) // 2

    @property
    def extent(self) -> float:
        """Return the side of the picture in mm."""
        return max(SHOWN_MM[0] / self.width, SHOWN_MM[1] / self.height) * self.side

    def place(self, frame: np.ndarray, picture: np.ndarray) -> None:
        """Copy the middle of a picture (side, side, 3) into the frame (HEIGHT, WIDTH, 3)."""
        x, y = self.left - self.corner[0], self.top - self.corner[1]
        shown = picture[y : y + self.height, x : x + self.width]
        frame[self.top : self.top + self.height, self.left : self.left + self.width] = shown


@dataclass(frozen=True)
class Listener:
    """One person of a lesson."""

    person: Identity
    tile: Tile
    distance: float
    """Of the camera, in mm."""
    scene: int
    """Seed of lighting and lens."""
    background: np.ndarray
    """(2 side, 2 side, 3) float32."""
    moments: list[Behaviour]


def check_lesson(lesson: Lesson) -> None:
    """Raise DataError for an invalid duration, number of people or seed."""
    if not 1 <= lesson.faces <= MOST_FACES:
        raise DataError(f"--faces {lesson.faces}: must be 1 to {MOST_FACES}")
    if not 0 < lesson.seconds <= MOST_SECONDS:
        raise DataError(f"--seconds {lesson.seconds:g}: must be more than 0 and at most {MOST_SECONDS:g}")
    if lesson.seed < 0:
        raise DataError(f"--seed {lesson.seed}: must not be negative")


def make_tiles(faces: int) -> list[Tile]:
    """Return the tiles of a grid for ``faces`` people, row by row; the last ones may be empty."""
    columns = math.ceil(math.sqrt(faces))
    rows = math.ceil(faces / columns)
    xs, ys = ([round(whole * k / count) for k in range(count + 1)] for whole, count in ((WIDTH, columns), (HEIGHT, rows)))
    return [
        Tile(left + BORDER, top + BORDER, right - left - 2 * BORDER, bottom - top - 2 * BORDER)
        for top, bottom in pairwise(ys)
        for left, right in pairwise(xs)
    ]


def draw_seat(rng: np.random.Generator, wall: np.ndarray, tile: Tile) -> np.ndarray:
    """Return a seat before the ``wall`` (3,) of a classroom, out of focus, as the picture of a tile: (2 side, 2 side, 3)."""
    large = tile.side * OVERSAMPLE
    small = large // 4
    scale = small / tile.extent

    def pixels(points: np.ndarray) -> np.ndarray:
        """Return points (n, 2) in mm as pixels of the small picture, in 1/16."""
        return np.rint((small / 2 + (points - (0, CENTRE_MM)) * (scale, -scale)) * 16).astype(np.int32)

    def fill(image: np.ndarray, points: np.ndarray, colour: np.ndarray) -> None:
        cv2.fillPoly(image, [pixels(points)], tuple(float(v) for v in np.clip(colour, 0, 1)), cv2.LINE_AA, 4)

    def box(left: float, right: float, low: float, high: float) -> np.ndarray:
        return np.array([[left, low], [right, low], [right, high], [left, high]])

    ends = np.clip(wall * rng.uniform(0.85, 1.1, (4, 1)), 0, 1).reshape(2, 2, 3).astype(np.float32)
    image = exact.enlarge(ends, (small, small))
    start, frame = rng.uniform(-420, -80), np.full(3, rng.uniform(0.3, 0.75))
    if rng.random() < 0.4:  # a board
        board = np.array([[0.1, 0.2, 0.16], [0.85, 0.86, 0.84]])[rng.integers(2)]
        fill(image, box(start - 14, start + 514, 26, 354), frame)
        fill(image, box(start, start + 500, 40, 340), board)
    else:  # posters
        for x in np.arange(start, 600, rng.uniform(170, 260)):
            low, colour = rng.uniform(20, 90), rng.uniform(0.2, 0.85) + rng.uniform(-0.15, 0.15, 3)
            fill(image, box(x, x + rng.uniform(90, 140), low, low + rng.uniform(110, 160)), colour)
    fill(image, box(-900, 900, -900, rng.uniform(-150, -90)), wall * rng.uniform(0.6, 0.8))
    image = exact.blur(image, small * 0.012)
    half, top, round_mm = rng.uniform(195, 245), rng.uniform(-165, -120), 45.0
    turn = np.linspace(0, np.pi / 2, 8)
    bend = np.stack([half - round_mm * (1 - np.sin(turn)), top - round_mm * (1 - np.cos(turn))], 1)
    floor = np.array([[half, -900.0]])
    wood = np.array([[0.42, 0.3, 0.2], [0.2, 0.24, 0.32], [0.28, 0.28, 0.28], [0.3, 0.16, 0.14]])[rng.integers(4)]
    for inset, shade in ((0.0, 1.0), (9.0, 0.82)):
        right = np.concatenate([bend, floor]) - (inset, inset)
        fill(image, np.concatenate([right, right[::-1] * (-1, 1)]), wood * shade)
    return exact.enlarge(exact.blur(image, small * 0.006), (large, large))


@lru_cache(maxsize=1)
def make_listeners(lesson: Lesson) -> list[Listener]:
    """Return the people of a lesson with all that they do."""
    tiles, wall = make_tiles(lesson.faces), draw_wall(lesson.seed)
    listeners = []
    for number in range(lesson.faces):
        rng = np.random.default_rng(derive_seed(lesson.seed, "listener", number))
        person = make_identity(derive_seed(lesson.seed, "lesson"), number, len(UNITS))
        background = draw_seat(rng, wall, tiles[number])
        distance, scene = float(rng.uniform(800, 1100)), int(rng.integers(2**62))
        moments = draw_timeline(lesson.frames, RATE, rng)
        listeners.append(Listener(person, tiles[number], distance, scene, background, moments))
    return listeners


def draw_wall(seed: int) -> np.ndarray:
    """Return the colour (3,) of the classroom's walls."""
    rng = np.random.default_rng(derive_seed(seed, "classroom"))
    return np.asarray(np.clip(rng.uniform(0.55, 0.85) * (1 + rng.normal(0, 0.07, 3)), 0, 1))


@lru_cache(maxsize=1)
def empty_frame(lesson: Lesson) -> np.ndarray:
    """Return a frame (HEIGHT, WIDTH, 3) uint8 with empty seats where nobody sits."""
    frame, wall = np.full((HEIGHT, WIDTH, 3), 24, np.uint8), draw_wall(lesson.seed)
    for number, tile in enumerate(make_tiles(lesson.faces)[lesson.faces :]):
        rng = np.random.default_rng(derive_seed(lesson.seed, "empty seat", number))
        tile.place(frame, camera.expose(draw_seat(rng, wall, tile), tile.side, rng, rng, LOOK.difficulty, CLEAR.lens))
    return frame


def draw_frame(lesson: Lesson, number: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return frame ``number``, (HEIGHT, WIDTH, 3) uint8 RGB, and its rows of truth, one per person."""
    frame, rows = empty_frame(lesson).copy(), []
    for place, listener in enumerate(make_listeners(lesson)):
        moment, tile = listener.moments[number], listener.tile
        across, up = moment.sway
        view = View((-across, CENTRE_MM - up), tile.extent, listener.distance)
        scenery = np.random.default_rng(listener.scene)
        seen = (moment.expression, LOOK, tile.side, scenery)
        face = make_face(listener.person, *seen, view=view, ingredients=CLEAR, background=listener.background)
        tile.place(frame, face.image)
        rows.append({"frame": number, "time_s": round(number / RATE, 4), "person": place} | truth_of(face, moment, tile))
    return frame, rows


def truth_of(face: Face, moment: Behaviour, tile: Tile) -> dict[str, Any]:
    """Return the truth of a person in a frame, rounded to be the same on every processor."""
    marks = face.landmarks + np.array(tile.corner, np.float32)
    low, high = marks.min(0), marks.max(0)
    wide, tall = (high - low).tolist()
    least, most = (tile.left, tile.top), (tile.left + tile.width, tile.top + tile.height)
    start = np.maximum(low - (0.06 * wide, 0.35 * tall), least)  # up to the hairline
    end = np.minimum(high + (0.06 * wide, 0.06 * tall), most)
    numbers = dict(zip(("x0", "y0", "x1", "y1"), [*start.tolist(), *end.tolist()], strict=True))
    shown = {"expression": moment.expression.label, "intensity": round(moment.intensity, 4)}
    angles = dict(zip(("gaze_yaw", "gaze_pitch", "yaw", "pitch", "roll"), (*face.gaze, *face.pose), strict=True))
    return {
        **{name: round(value, 2) for name, value in numbers.items()},
        **shown,
        **{name: round(value, 4) for name, value in angles.items()},
        "landmarks": [round(value, 2) for value in marks.ravel().tolist()],
    }


def draw_batch(lesson: Lesson, start: int) -> list[tuple[np.ndarray, list[dict[str, Any]]]]:
    """Return BATCH frames from ``start`` on, or as many as are left, with their rows of truth."""
    return [draw_frame(lesson, number) for number in range(start, min(start + BATCH, lesson.frames))]


def draw_lesson(lesson: Lesson, jobs: int = 1) -> Iterator[tuple[np.ndarray, list[dict[str, Any]]]]:
    """Yield all frames in order with their rows of truth, drawn by ``jobs`` processes."""
    head_mesh(), body_mesh()  # a damaged asset is one error before any worker starts
    starts = range(0, lesson.frames, BATCH)
    if jobs == 1 or len(starts) < 2 * jobs:
        with threadpool_limits(1):
            for start in starts:
                yield from draw_batch(lesson, start)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        for batch in pool.map(partial(draw_batch, lesson), starts):
            yield from batch
