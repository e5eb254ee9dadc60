"""What a run's data set and settings do to a picture before the network sees it, read from the set's ``set.json``.

A set built with face detection is followed exactly: detector, score, alignment, margin, size, interpolation. In a set of
whole pictures or of drawn faces, faces lie somewhere in the square; faces found elsewhere are cut so that they lie alike
(``Framing``), measured with the same detector.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from fer_cli.config import RunConfig, Section
from fer_cli.data.align import Crop, choose_face, cut_face, load_detector, to_square
from fer_cli.data.block import pictures
from fer_cli.data.decode import Preparation as Picture
from fer_cli.data.detect import CENTERFACE_SHA256, Box, Face, model_digest
from fer_cli.data.landmarks import boxes_in_faces
from fer_cli.data.manifest import TIME, FaceSet, SetInfo, expected_info, load_set
from fer_cli.data.prepare import fit_images
from fer_cli.errors import DataError

MEASURED = 64
"""Pictures of a set in which faces are searched for its framing."""
LEAST_FOUND = 8
"""Faces that must be found in them."""
GESTURE = "gesture"
RENDER = "render"
"""Step of embedded sets."""
SCORE = 0.5
"""Minimum detection score where the set does not state one; that of data sets, 0.3, gives more false faces in videos."""


class FacelessError(DataError):
    """Hardly any face is found in the pictures of a set, so that others cannot be cut like them."""


class Framing(Section):
    """Where the face is in the pictures of a set, by the longer side of its detected box."""

    shift: float = Field(ge=-20, le=20)
    """Centre of the picture below the centre of the box, in longer sides."""
    side: float = Field(gt=0, le=50)
    """Side of the picture in longer sides."""


USUAL_ZOOM = (0.95, 1.35)
DRAWN = {
    USUAL_ZOOM: Framing(shift=0.03, side=1.08),  # of six sets, with poses up to 30 degrees, and variants of synth-basic
    (1.0, 1.5): Framing(shift=0.02, side=1.12),  # of synth-student
    (1.0, 1.7): Framing(shift=-0.02, side=1.15),  # of synth-teacher
}
"""Zoom of embedded faces -> their framing: medians over 192 faces of each set."""


class Preparation(Section):
    """From a picture to the input of a network, and what it reads."""

    picture: Picture
    """Of the data set: colour, face detection and cropping if any, stored size, interpolation."""
    framing: Framing | None = None
    """Cut of detected faces if the set was built without detection; None: the crop of ``picture``, or nothing is cut."""
    size: int = Field(ge=1, le=4096)
    """Side of the network's input in pixels."""
    channels: Literal[1, 3] = 1
    """Of the prepared faces: 1 grey, 3 RGB; a network in colour repeats grey ones."""
    normalise: Literal["train", "image"] = "train"
    """Standardisation within the network: by the training part's mean and deviation, or by the sample's own."""
    frames: int | None = Field(None, ge=1)
    """Frames of a clip; None: stills."""
    interval_s: float | None = Field(None, gt=0)
    """Time between a clip's frames in training, in seconds; None: consecutive frames."""
    regions: str | None = None
    """Kind of the regions of the face that the network takes; None: none."""
    landmarks: str | None = None
    """How they were found in training."""

    @property
    def crop(self) -> Crop:
        """Return how faces are detected."""
        return self.picture.crop or Crop(align="none", min_score=SCORE, size=self.picture.size)

    def cut(self, image: np.ndarray, face: Face) -> np.ndarray:
        """Return the square crop (s, s[, 3]) uint8 of a face in an image (H, W[, 3]) of this colour."""
        return cut_face(image, *self._aim(face))

    def box_in_crop(self, face: Face) -> np.ndarray:
        """Return the detected box (4,) of a face as fractions of its crop: x0, y0, x1, y1."""
        aimed, options = self._aim(face)
        matrix = to_square(aimed, options)
        left, top, right, bottom = face.box
        corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) @ matrix[:, :2].T + matrix[:, 2]
        return np.concatenate([corners.min(0), corners.max(0)]) / options.size

    def _aim(self, face: Face) -> tuple[Face, Crop]:
        if self.framing is None or self.picture.crop is not None:
            return face, self.crop
        left, top, right, bottom = face.box
        longer = max(right - left, bottom - top)
        x, y, half = (left + right) / 2, (top + bottom) / 2 + self.framing.shift * longer, self.framing.side * longer / 2
        square: Box = (x - half, y - half, x + half, y + half)
        return Face(square, face.score), self.crop.model_copy(update={"align": "none", "margin": 0.0})

    def regions_in(self, faces: list[Face]) -> np.ndarray | None:
        """Return the boxes (N, R, 4) float32 of regions in the crops of N faces; None if the network takes none."""
        if self.regions is None:
            return None
        return boxes_in_faces(np.stack([self.box_in_crop(face) for face in faces]), self.regions)

    def fit(self, crops: np.ndarray) -> np.ndarray:
        """Return crops (N, S, C, H, H) uint8 as the network's (N, S, ``channels``, ``size``, ``size``) uint8."""
        return fit_images(crops, self.channels, self.size).numpy()


def planes(crop: np.ndarray) -> np.ndarray:
    """Return a picture (H, W) or (H, W, 3) as (C, H, W)."""
    return crop[None] if crop.ndim == 2 else np.ascontiguousarray(crop.transpose(2, 0, 1))


def read_preparation(
    config: RunConfig,
    fingerprint: str,
    data_root: Path,
    detect: bool = True,
    model: Path | None = None,
    can_skip: bool = True,
) -> tuple[Preparation, list[str]]:
    """Return the preparation of a run, and what a user should know about it.

    ``fingerprint``: of the run's data. ``detect``: whether faces will be detected and cut; else a missing data set is no
    error. ``model``: file of a detector that needs one. ``can_skip``: whether an error may name --no-detect. Raises
    DataError if the set is missing, or its detector, FacelessError if its pictures show no faces.
    """
    name, data, notes = config.data.name, config.data, list[str]()
    network = config.model.network
    framing, interval, info = None, None, None
    try:
        info = expected_info(data_root, name)
        steps = steps_of(info)
        picture, source = picture_of(name, steps, info.image_size, data_root, model, detect)
        if detect and picture.crop is None:
            framing = framing_of(source, steps, data_root)
        if network.clips:
            interval = interval_of(name, steps, data_root, data.frames)
        if info.embedded is None and info.fingerprint != fingerprint.partition("+")[0]:
            notes.append(f"{name} was built again since the run was trained; faces are cut as in its present build")
    except DataError as error:
        if detect:
            ways = ["--data-root"] * (info is None) + ["--no-detect for pictures of a face each"] * can_skip
            why = " -- it states how faces are cut" * (info is None)
            raise type(error)(f"{error}{why}{'; or pass ' * bool(ways)}{', or '.join(ways)}") from None
        picture = Picture(size=data.image_size, colour="grey" if config.model.channels == 1 else "rgb")
        notes.append(f"{name} cannot be read under {data_root}: pictures are resized to {data.image_size} pixels at once")
    made = Preparation(
        picture=picture,
        framing=framing,
        size=data.image_size,
        channels=1 if picture.colour == "grey" else config.model.channels,
        normalise=config.model.normalise,
        frames=data.frames if network.clips else None,
        interval_s=interval,
        regions=config.model.regions if network.regions else None,
        landmarks=data.landmarks if network.regions else None,
    )
    return made, notes


def adopt_preparation(
    stated: Any, name: str, data_root: Path, detect: bool = True, model: Path | None = None
) -> Preparation:
    """Return the preparation that an exported file states: ``fer_cli.use.exported.Preparation``.

    ``name``: of the data set, read only if it combines others.
    """
    picture, _ = picture_of(name, stated.steps, stated.stored, data_root, model, detect)
    return Preparation(
        picture=picture,
        framing=Framing(**stated.framing) if detect and stated.framing is not None else None,
        size=stated.size,
        channels=1 if picture.colour == "grey" else stated.channels,
        normalise=stated.normalise,
        frames=stated.frames,
        interval_s=stated.interval_s,
        regions=stated.regions,
        landmarks=stated.landmarks,
    )


def steps_of(info: SetInfo) -> list[dict[str, Any]]:
    """Return the preparation steps of a set, also of an embedded one that is not drawn yet."""
    return info.preprocessing if info.embedded is None else [{"step": RENDER, **info.embedded}]


def find_step(steps: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """Return a step by name, or None."""
    return next((step for step in steps if step.get("step") == name), None)


def picture_of(
    name: str, steps: list[dict[str, Any]], stored: int, data_root: Path, model: Path | None = None, detect: bool = True
) -> tuple[Picture, str]:
    """Return how a set prepared its source images, by its steps and the side of its pictures, and the set that shows it.

    That is the set itself, or the first part of a combined one, which was prepared on its own.
    """
    if (combined := find_step(steps, "combine")) is not None:
        part = expected_info(data_root, str(combined["of"][0]))
        made, source = picture_of(part.name, steps_of(part), part.image_size, data_root, model, detect)
        return made.model_copy(update={"colour": "grey"}), source
    if find_step(steps, RENDER) is not None:
        return Picture(size=stored, colour="grey"), name
    box, decode, resize = (find_step(steps, step) for step in ("box", "decode", "resize"))
    crop = crop_of(steps, model) if detect and find_step(steps, "detect") is not None else None
    if crop is None and box is not None:  # drawn by the data set around each face, as detectors do
        crop = Crop(align="none", min_score=SCORE, margin=box["margin"], size=stored)
    how = {key: resize[key] for key in ("size", "interpolation") if key in resize} if resize else {}
    return Picture(colour=decode["colour"] if decode else "grey", crop=crop, **{"size": stored, **how}), name


def crop_of(steps: list[dict[str, Any]], model: Path | None) -> Crop:
    """Return the face detection and cropping recorded in a set's steps; raises DataError for another model file."""
    found, cut = find_step(steps, "detect"), find_step(steps, "cut")
    assert found is not None
    assert cut is not None
    given: dict[str, Any] = {"detector": found["detector"]}
    if "min_score" in found:
        given["min_score"] = found["min_score"]
    if "model" in found and not CENTERFACE_SHA256.startswith(found["model"]):
        if model is None:
            raise DataError(f"faces were detected with a model file of {found['detector']}; pass it with --detector-model")
        if not model_digest(model).startswith(found["model"]):
            raise DataError(f"{model}: not the file that detected the faces of training (SHA-256 {found['model']}...)")
        given["model"] = str(model)
    return Crop(**given, **{name: cut[name] for name in ("align", "margin", "size", "interpolation")})


def framing_of(name: str, steps: list[dict[str, Any]], data_root: Path) -> Framing:
    """Return where faces are in the pictures of a set built without detection; raises FacelessError if hardly any is."""
    drawn = find_step(steps, RENDER)
    if drawn is not None and not drawn.get("bust") and drawn.get("recipes") != GESTURE:
        known = DRAWN.get(tuple(drawn.get("zoom", USUAL_ZOOM)))
        if known is not None:
            return known
    faces = load_set(data_root, name)
    there = np.setdiff1d(np.arange(len(faces.images)), faces.undrawn())
    if not len(there):
        raise DataError(f"{name}: none of its pictures, which show how faces are cut, is drawn yet: fer data build {name}")
    chosen = there[np.unique(np.linspace(0, len(there) - 1, MEASURED).round().astype(int))]
    return measure_framing(faces, chosen)


def measure_framing(faces: FaceSet, chosen: np.ndarray) -> Framing:
    """Return the median framing of the faces detected in the pictures at ``chosen`` (n,); FacelessError if they are few."""
    detect: Callable[[np.ndarray], list[Face]] = load_detector(Crop(align="none"))
    rows = []
    for picture in pictures(faces.images[chosen]):
        face = choose_face(detect(picture))
        if face is not None:
            left, top, right, bottom = np.array(face.box) / picture.shape[0]
            longer = max(right - left, bottom - top)
            rows.append(((0.5 - (top + bottom) / 2) / longer, 1 / longer))
    if len(rows) < min(LEAST_FOUND, len(chosen)):
        found = f"a face is found in {len(rows)} of {len(chosen)} of its pictures"
        raise FacelessError(f"{faces.info.name}: {found}, so others cannot be cut like them")
    shift, side = np.median(np.array(rows), axis=0).round(3)
    return Framing(shift=shift, side=side)


def interval_of(name: str, steps: list[dict[str, Any]], data_root: Path, frames: int) -> float | None:
    """Return the usual time in seconds between the frames that a run takes of a clip; None if the set states no times."""
    if frames < 2:
        return None
    if (drawn := find_step(steps, RENDER)) is not None:
        length, rate = drawn.get("frames"), drawn.get("rate")
        return (float(np.mean(length)) - 1) / rate / (frames - 1) if length and rate else None
    faces = load_set(data_root, name)
    if TIME not in faces.manifest:
        return None
    spans = faces.manifest.groupby("sequence")[TIME].agg(lambda times: times.max() - times.min())
    usual = float(spans.median()) / (frames - 1)
    return usual if np.isfinite(usual) and usual > 0 else None
