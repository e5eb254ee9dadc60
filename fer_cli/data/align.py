"""Square face crops, upright or aligned by landmarks.

Alignment is the similarity transform that best maps the landmarks to a template (``fer_cli.data.detect.similarity``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field, model_validator

from fer_cli.config import Section
from fer_cli.config.registry import one_of
from fer_cli.data.detect import (
    DETECTORS,
    SLANT,
    TEMPLATE,
    VIEWS,
    Box,
    Detector,
    Face,
    centerface_path,
    model_digest,
    similarity,
    warp,
)

USED = {"none": 0, "eyes": 2, "five": 5}
"""Number of landmarks, from the first on, used by each alignment."""

INTERPOLATION = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}

MIN_OVERLAP = 0.1
"""Minimum IoU of a face with a given box; data sets draw their boxes wider or tighter than detectors."""


class Crop(Section):
    """Face detection and cropping; every setting affects the pixels and is recorded with the set."""

    detector: Annotated[str, one_of(DETECTORS)] = "centerface"
    model: str | None = None
    """ONNX file of the detector; None: the installed one (``centerface``)."""
    min_score: float = Field(0.3, gt=0, lt=1)
    """Minimum detection score."""
    margin: float = Field(0.0, ge=-0.2, le=2)
    """Margin on each side as a fraction of the box, or of the template when aligned; negative: tighter crop."""
    align: Literal["none", "eyes", "five"] = "five"
    """Align five landmarks to ``TEMPLATE``, only the eyes (which expressions move least), or keep the crop upright."""
    size: int = Field(112, ge=8, le=1024)
    """Side of the crop in pixels."""
    interpolation: Literal["linear", "cubic", "lanczos"] = "linear"
    """When downscaling, several interpolated values are averaged per pixel."""

    @model_validator(mode="after")
    def _has_effect(self) -> Crop:
        if self.detector == "lbp" and self.align != "none":
            raise ValueError("align: detector 'lbp' gives no landmarks; set align to none")
        for setting in ("model", "min_score"):
            if self.detector == "lbp" and setting in self.model_fields_set and getattr(self, setting) is not None:
                raise ValueError(f"{setting}: has no effect with detector 'lbp'")
        if self.detector == "yunet" and self.model is None:
            raise ValueError("model: detector 'yunet' needs a model file")
        return self


def load_detector(options: Crop) -> Detector:
    """Return a detector for use in one thread; raises DataError if its model is missing or wrong."""
    return DETECTORS[options.detector](Path(options.model) if options.model else None, options.min_score)


def choose_face(faces: Sequence[Face], box: Box | None = None) -> Face | None:
    """Return the face of largest IoU with ``box`` (at least ``MIN_OVERLAP``); without a box, of largest score x area."""
    if box is None:
        return max(faces, key=lambda face: face.score * face.area, default=None)
    near = [face for face in faces if overlap(face.box, box) >= MIN_OVERLAP]
    return max(near, key=lambda face: overlap(face.box, box), default=None)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1]; 0 if neither has an area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / total if total > 0 else 0.0


def to_square(face: Face, options: Crop) -> np.ndarray:
    """Return the transform (2, 3) float64 from image to crop coordinates, in pixels from the upper left corner.

    A face without usable landmarks is cropped upright: the square centred on its box, with the box's longer side.
    """
    used, grown = USED[options.align], 1 + 2 * options.margin
    if used and face.landmarks is not None:
        places = (TEMPLATE[:used] + options.margin) / grown * options.size
        if (found := similarity(face.landmarks[:used], places)) is not None:
            return found
    left, top, right, bottom = face.box
    scale = options.size / (max(right - left, bottom - top, 1e-3) * grown)
    x, y = (left + right) / 2, (top + bottom) / 2
    return np.array([[scale, 0, options.size / 2 - scale * x], [0, scale, options.size / 2 - scale * y]])


def cut_face(image: np.ndarray, face: Face, options: Crop) -> np.ndarray:
    """Return the crop (size, size[, 3]) uint8 of a face in an image (H, W[, 3]) uint8; edge pixels are repeated."""
    return warp(image, to_square(face, options), options.size, INTERPOLATION[options.interpolation])


def steps(options: Crop) -> list[dict[str, Any]]:
    """Return the recorded steps, part of a set's fingerprint; the model is recorded by its hash.

    Raises DataError if the model is missing.
    """
    detect: dict[str, Any] = {"step": "detect", "detector": options.detector}
    if options.detector != "lbp":
        path = Path(options.model) if options.model else centerface_path()
        detect |= {"model": model_digest(path)[:16], "min_score": options.min_score, "colour": "RGB"}
        detect |= {"views": [list(view) for view in VIEWS], "second look from degrees": SLANT}
    cut: dict[str, Any] = {"step": "cut", "align": options.align, "margin": options.margin, "size": options.size}
    if used := USED[options.align]:
        cut["landmarks at"] = TEMPLATE[:used].tolist()
    cut |= {"interpolation": options.interpolation, "smaller": "averaged", "beyond the image": "edge repeated"}
    return [detect, {"step": "choose", "by": "overlap with the data set's box; without one, score x area"}, cut]
