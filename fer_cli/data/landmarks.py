"""Where the face is in each frame of a run's clips, as boxes of its regions; found once, and kept by the frames' content.

``truth``: the true landmarks of embedded people, with what hides them. ``dlib``: 68 landmarks by an ensemble of regression
trees (Kazemi and Sullivan 2014, doi:10.1109/CVPR.2014.241) in the largest face of dlib's detector; its model, trained on
iBUG 300-W and licensed for research only, comes with the package ``face-recognition-models``, which is not imported.
``fallback``: no landmarks, but usual places of the regions in the face that CenterFace detects.

In a frame without a face, regions lie as in the nearest frame of the clip that has one; in a clip without any, as in a face
that fills the image.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import pandas as pd

from fer_cli.data.align import Crop, choose_face, load_detector
from fer_cli.data.block import Block, colour_picture, pictures, resize_picture
from fer_cli.data.detect import Box, centerface_path, model_digest
from fer_cli.data.identity import changed_files
from fer_cli.data.manifest import TRUTH, FaceSet, SetInfo
from fer_cli.data.regions import LANDMARKS, boxes_of_points, clip_boxes, place_usual
from fer_cli.errors import DataError
from fer_cli.places import cache_folder, plain_path, whole_file

VERSION = 1
"""Raised when landmarks or detected boxes change for the same image."""
INSTALL = "pip install 'fer-cli[landmarks]'"
MODEL = Path("models", "shape_predictor_68_face_landmarks.dat")
GESTURE = "gesture"
"""Recipes of embedded sets whose truth has joints of the body instead of landmarks."""
LEAST_SIDE = 256
"""Smaller frames are enlarged to this side for dlib, whose detector finds faces from 80 pixels."""
SQUARE = (0.86, 0.07)
"""Side of dlib's square around a face, and how much lower its centre is than that of CenterFace's box, in its heights."""
TIGHT = (-0.011, 0.176, 1.011, 1.044)
"""Tight box of the landmarks within a box of CenterFace: x0, y0, x1, y1 as fractions of its width and height.

The symmetric affine map of least squared error over 2,000 embedded faces (``synth-basic``, 200 people, 96 pixels). A side of
the box is off by 3.6 % of the face's width or height on average (95 % of sides by less than 10.5 %), measured on half of the
faces with the map of the other half; without the map, by 7.9 %.
"""
CHUNK = 1024
"""Frames read at a time."""

log = logging.getLogger("fer")


class RegionFinder:
    """Boxes of the regions ``kind`` (``model.regions``) in frames of one set, by ``method`` (``data.landmarks``)."""

    def __init__(self, faces: FaceSet, kind: str, method: str) -> None:
        """Raise DataError if the set has no true landmarks, or a model is not installed."""
        self.faces, self.kind = faces, kind
        self.truth = read_truth(faces) if method == "truth" else None
        self.find: Finder | None = None if method == "truth" else FINDERS[method]()
        self.counted: Counter[str] = Counter()
        """Observation -> number of frames or clips."""

    def boxes(self, clips: Block) -> np.ndarray:
        """Return the boxes (N, T, R, 4) float32 of the regions in ``clips`` (N, T, ...), whose frames are in their order."""
        rows, where = np.unique(clips.rows, return_inverse=True)
        if self.truth is not None:
            points, visible = self.truth
            boxes, found = boxes_of_points(points[rows], visible[rows], self.kind), np.ones(len(rows), dtype=bool)
        else:
            boxes, found = self._detect(clips.packed, rows)
        shape = clips.rows.shape
        return self._fill(boxes[where].reshape(*shape, -1, 4), found[where].reshape(shape))

    def _detect(self, packed: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (n, R, 4) in the frames at ``rows`` (n,), and in which of them there is a face, (n,) bool."""
        assert self.find is not None
        values = look_up(Block(packed, rows[:, None]), self.find, self.faces.info.fingerprint)
        self.counted["frames with several faces, of which the largest is used"] += int((values[:, 0] > 1).sum())
        return boxes_of_values(values, self.kind)

    def _fill(self, boxes: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Return boxes (N, T, R, 4) with those of frames without a face (``found`` (N, T) is False) filled in."""
        lost = ~found.any(1)
        self.counted["clips without a face in any frame, taken as filled by one"] += int(lost.sum())
        self.counted["frames without a face, with the boxes of the nearest frame"] += int((~found[~lost]).sum())
        return fill_boxes(boxes, found, self.kind)


def boxes_of_values(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (n, R, 4) from numbers of faces and one's values (n, 1 + D) of a Finder, and who has one, (n,) bool."""
    found = values[:, 0] > 0
    points = np.where(found[:, None], values[:, 1:], 0.5)
    if points.shape[1] == Dlib.size:
        points = points.reshape(-1, LANDMARKS, 2)
        return boxes_of_points(points, np.ones(points.shape[:2], dtype=bool), kind), found
    return boxes_in_faces(points, kind), found


def boxes_in_faces(detected: np.ndarray, kind: str) -> np.ndarray:
    """Return the usual boxes (n, R, 4) float32 of the regions in faces with boxes of CenterFace (n, 4), as fractions."""
    return clip_boxes(place_usual(tight_boxes(detected), kind))


def fill_boxes(boxes: np.ndarray, found: np.ndarray, kind: str) -> np.ndarray:
    """Return boxes (N, T, R, 4) with those of frames without a face (``found`` (N, T) is False) of the nearest that has one.

    In a clip without any, they are those of a face that fills the image.
    """
    places = np.arange(found.shape[1])
    away = np.abs(places[:, None] - places) + np.where(found[:, None], 0, found.shape[1])  # (N, to, from)
    filled = np.take_along_axis(boxes, away.argmin(2)[..., None, None], 1)
    filled[~found.any(1)] = boxes_in_faces(np.array([[0.0, 0.0, 1.0, 1.0]]), kind)
    return filled


def tight_boxes(detected: np.ndarray) -> np.ndarray:
    """Return the tight boxes of the landmarks (N, 4) expected in faces with detected boxes (N, 4)."""
    size = np.tile(detected[:, 2:] - detected[:, :2], 2)
    return np.asarray(np.tile(detected[:, :2], 2) + size * np.array(TIGHT))


def read_truth(faces: FaceSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the true landmarks (R, 68, 2) float64 as fractions of the side, and which are visible, (R, 68) bool.

    Row r is that of the packed image r. Raises DataError for a set without true landmarks, and for a changed file.
    """
    path = None if faces.folder is None else faces.folder / TRUTH
    needs = ["landmarks", "visible"]
    if path is None or TRUTH not in faces.info.files:
        raise no_truth(faces.info)
    for problem in changed_files(path.parent, faces.info.files, (TRUTH,)):
        raise DataError(f"{problem}; build the set again")
    try:
        truth = pd.read_parquet(path, columns=needs)
    except (KeyError, ValueError):
        raise no_truth(faces.info) from None
    points, visible = (np.array(truth[name].tolist(), dtype) for name, dtype in zip(needs, (float, bool), strict=True))
    return (points.reshape(-1, LANDMARKS, 2) + 0.5) / faces.info.image_size, visible


def no_truth(info: SetInfo) -> DataError:
    """Return the error of a set without true landmarks."""
    hint = "only embedded faces have them; use data.landmarks: dlib or fallback"
    return DataError(f"{info.name}: has no true landmarks (data.landmarks: truth); {hint}")


def check_landmarks(info: SetInfo, method: str) -> None:
    """Raise DataError if landmarks cannot be found by ``method`` in a set, whose images may not be drawn yet."""
    if method == "truth" and (info.embedded is None or info.embedded.get("recipes") == GESTURE):
        raise no_truth(info)
    if method == "dlib":
        dlib_model()
    elif method == "fallback":
        centerface_path()


def dlib_model() -> Path:
    """Return the path of dlib's model of landmarks; raises DataError if it or dlib is not installed."""
    spec = importlib.util.find_spec("face_recognition_models")
    path = Path((list(spec.submodule_search_locations or []) or [""])[0], MODEL) if spec else None
    if path is None or not path.is_file() or importlib.util.find_spec("dlib") is None:
        raise DataError(
            f"data.landmarks: dlib and its model are not installed; install them with: {INSTALL} "
            "(the model is for research only)"
        )
    return path


class Finder(Protocol):
    """Finds a face in a picture as ``size`` values."""

    name: str
    """Method and model, for the cache."""
    size: int

    def __call__(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
        """Return how many faces a picture (H, W) or (H, W, 3) uint8 has, and one's values (D,), fractions of its sides."""


class Dlib:
    """dlib's detector and its 68 landmarks, (136,): x and y in turn."""

    size = 2 * LANDMARKS

    def __init__(self) -> None:
        """Raise DataError if dlib or its model is not installed."""
        path = dlib_model()
        dlib: Any = importlib.import_module("dlib")
        self.detect = dlib.get_frontal_face_detector()
        with plain_path(path) as plain:
            self.predict = dlib.shape_predictor(str(plain))
        self._dlib = dlib
        self.name = f"dlib-{model_digest(path)[:16]}"

    def __call__(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
        """Return the number of faces and the landmarks of the largest; see ``Finder``."""
        picture = enlarge_small(picture)
        found = list(self.detect(picture, 0))
        if not found:
            return 0, None
        return len(found), self._mark(picture, max(found, key=lambda box: box.width() * box.height())).ravel()

    def place(self, picture: np.ndarray, box: Box) -> np.ndarray:
        """Return the landmarks (68, 2), in pixels, of a face in a box of CenterFace in a picture (H, W, 3) uint8.

        dlib's detector is not asked: it loses heads that are bowed by 20 degrees and more.
        """
        height, width = picture.shape[:2]
        picture = enlarge_small(picture)
        share, lower = SQUARE
        tall = box[3] - box[1]
        x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + lower * tall, share * tall / 2
        sides = np.array([x - half, y - half, x + half, y + half]) * (picture.shape[1] / width)
        return self._mark(picture, self._dlib.rectangle(*(round(float(side)) for side in sides))) * (width, height)

    def _mark(self, picture: np.ndarray, place: Any) -> np.ndarray:
        """Return the landmarks (68, 2), as fractions of the picture, of the face in a rectangle of dlib."""
        marks = self.predict(picture, place)
        points = np.array([(marks.part(k).x, marks.part(k).y) for k in range(LANDMARKS)])
        return np.asarray((points + 0.5) / (picture.shape[1], picture.shape[0]))


def enlarge_small(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) whose sides are at least ``LEAST_SIDE``."""
    height, width = picture.shape[:2]
    larger = max(1.0, LEAST_SIDE / min(height, width))
    if larger == 1:
        return picture
    return resize_picture(picture, (round(width * larger), round(height * larger)), cv2.INTER_CUBIC)


class FaceBox:
    """The box of CenterFace, (4,): x0, y0, x1, y1."""

    size = 4

    def __init__(self) -> None:
        """Raise DataError if the detector's model is missing."""
        options = Crop()
        self.detect = load_detector(options)
        self.name = f"{options.detector}-{options.min_score}"

    def __call__(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
        """Return the number of faces and the box of the best; see ``Finder``."""
        found = self.detect(colour_picture(picture))
        best = choose_face(found)
        return len(found), None if best is None else np.array(best.box) / np.tile(picture.shape[1::-1], 2)


FINDERS: dict[str, Callable[[], Finder]] = {"dlib": Dlib, "fallback": FaceBox}
"""``data.landmarks`` -> what finds faces in frames."""


def look_up(frames: Block, find: Finder, fingerprint: str) -> np.ndarray:
    """Return (n, 1 + D) float32 for stills: the number of faces, and the values of one (0 without).

    Values are kept in the cache folder, by the pixels of each frame; a cache that cannot be read or written is ignored.
    """
    path = cache_folder() / "landmarks" / f"{fingerprint}-{find.name}-{VERSION}.npz"
    keys = np.array([content_key(picture) for chunk in frames.chunks(CHUNK) for picture in pictures(chunk)], dtype="S32")
    known, values = read_cache(path, 1 + find.size)
    new, first = np.unique(keys, return_index=True)
    missing = ~np.isin(new, known)
    if missing.any():
        log.info("finding faces in %d frames", int(missing.sum()))
        found = np.zeros((int(missing.sum()), 1 + find.size), dtype=np.float32)
        for place, position in enumerate(first[missing]):
            count, one = find(next(pictures(frames[[int(position)]])))
            if one is not None:
                found[place, 0], found[place, 1:] = count, one
        known, values = np.concatenate([known, new[missing]]), np.concatenate([values, found])
        with suppress(OSError), whole_file(path) as draft, draft.open("wb") as stream:
            np.savez_compressed(stream, keys=known, values=values)
    order = np.argsort(known)
    return np.asarray(values[order[np.searchsorted(known, keys, sorter=order)]])


def content_key(picture: np.ndarray) -> bytes:
    """Return 32 hex digits over the pixels of a picture and its shape."""
    digest = hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16, person=str(picture.shape).encode()[:16])
    return digest.hexdigest().encode()


def read_cache(path: Path, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys (n,) and values (n, ``width``) float32 of a cache; empty if it is missing or damaged."""
    with suppress(Exception), path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:  # raise anything
        keys, values = kept["keys"], kept["values"]
        if keys.dtype == np.dtype("S32") and values.shape == (len(keys), width) and values.dtype == np.float32:
            return keys, values
    return np.empty(0, dtype="S32"), np.empty((0, width), dtype=np.float32)
