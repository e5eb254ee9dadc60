"""Exported networks: an ONNX file that needs neither its run, its data set nor torch.

Its inputs are ``faces`` (n, [S,] C, H, H) uint8 and, if the network takes regions of the face, ``regions`` (n, S, R, 4)
float32; its output is ``probabilities`` (n, K) float32. n is free. Scaling, standardisation, mirroring and softmax are part
of the graph. Metadata: ``fer.format`` (version of this layout), ``fer.sha256`` (of the file with zeros in its place) and
``fer.about`` (``About`` as JSON).

ONNX Runtime reads a file with flipped bits without complaint; the digest does not. It is found in the bytes without parsing
them: protobuf writes an entry of the metadata as its key, the byte 0x12, the value's length and the value.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from fer_cli.config import REGIONS, Section
from fer_cli.errors import FerError, ResultsError
from fer_cli.places import open_regular

FORMAT = 1
"""Version of inputs, outputs and metadata; increment when an earlier reader would misread a file."""
SUFFIX = ".onnx"
FORMAT_KEY, DIGEST_KEY, ABOUT_KEY = "fer.format", "fer.sha256", "fer.about"
FACES, BOXES, OUTPUT = "faces", "regions", "probabilities"
INSTALL = "pip install 'fer-cli[export]'"
BATCH = 256
"""Frames per pass."""
MOST = 2**31
"""Largest file in bytes that ONNX can hold."""
DIGEST = re.compile(DIGEST_KEY.encode() + rb"\x12\x40([0-9a-f]{64})")
VERSION = re.compile(FORMAT_KEY.encode() + rb"\x12[\x01-\x09](\d{1,9})")


class Preparation(Section):
    """From a picture to the input of a network."""

    size: int = Field(ge=1, le=4096)
    """Side of the network's input in pixels."""
    channels: Literal[1, 3] = 1
    """Of the input: 1 grey, 3 RGB."""
    normalise: Literal["train", "image"] = "train"
    """Standardisation within the network: by the training part's mean and deviation, or by the sample's own."""
    mirror_average: bool = True
    """Whether the network averages a sample and its mirror image."""
    frames: int | None = Field(None, ge=1)
    """Frames of a clip; None: stills."""
    interval_s: float | None = Field(None, gt=0)
    """Time between a clip's frames in training, in seconds; None: consecutive frames."""
    framing: dict[str, float] | None = None
    """Cut of detected faces if the data set was built without detection, as ``preparation.Framing``."""
    regions: str | None = None
    """Kind of the regions of the face that the network takes; None: none."""
    landmarks: str | None = None
    """How they were found in training."""
    stored: int = Field(ge=1)
    """Side of the data set's pictures, which were resized to ``size``."""
    steps: list[dict[str, Any]]
    """From source file to picture of the data set, as in its ``set.json``."""


class About(Section):
    """What an exported file states about itself."""

    run: str
    """Id of the exported run."""
    fer: str
    """Version of fer that exported it."""
    commit: str | None
    """Commit of the code that trained it."""
    backbone: str
    classes: Annotated[list[str], Field(min_length=1)]
    preparation: Preparation
    data: dict[str, str]
    """Data set -> fingerprint."""
    precision: Literal["fp32", "int8"]

    @model_validator(mode="after")
    def _known_regions(self) -> About:
        if self.preparation.regions is not None and self.preparation.regions not in REGIONS:
            raise ValueError(f"regions: '{self.preparation.regions}' is unknown to this version of fer")
        return self


class Exported:
    """The network of an exported file."""

    def __init__(self, name: str, about: About, session: Any) -> None:
        self.name, self.about, self.session = name, about, session
        self.classes, self.preparation = about.classes, about.preparation
        self.frames = about.preparation.frames or 1
        self.notes: list[str] = []

    def predict(self, faces: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        """Return class probabilities (N, K) float32 of faces (N, C, H, H), or clips (N, S, C, H, H), uint8 crops.

        Crops of another size or colour are resized and converted as in training. ``regions``: boxes (N, S, R, 4) in [0, 1]
        if ``preparation.regions`` names any; by default, those of a face that fills the crop. Raises ResultsError for
        another shape or type.
        """
        clips = self._fit(faces)
        given = {FACES: clips if self.preparation.frames is not None else clips[:, 0]}
        if self.preparation.regions is not None:
            given[BOXES] = self._boxes(len(clips), regions)
        step = max(1, BATCH // self.frames)
        found = np.empty((len(clips), len(self.classes)), np.float32)
        for start in range(0, len(clips), step):
            here = slice(start, start + step)
            found[here] = self.session.run([OUTPUT], {name: values[here] for name, values in given.items()})[0]
        return found

    def _fit(self, faces: np.ndarray) -> np.ndarray:
        """Return crops as the network's (N, S, C, H, H) uint8."""
        clips = faces[:, None] if faces.ndim == 4 else faces
        if clips.ndim != 5 or clips.dtype != np.uint8 or clips.shape[1] != self.frames or clips.shape[2] not in {1, 3}:
            shape = " x ".join(map(str, faces.shape))
            raise ResultsError(f"{self.name}: takes faces (N, {self.frames}, C, H, H) uint8, not {shape} {faces.dtype}")
        how = self.preparation
        if clips.shape[2] != how.channels or clips.shape[3:] != (how.size, how.size):
            from fer_cli.data.block import grey_block
            from fer_cli.data.prepare import resize

            clips = grey_block(clips) if how.channels == 1 else clips
            clips = resize(clips, how.size).numpy()
            if clips.shape[2] != how.channels:
                clips = np.repeat(clips, how.channels, 2)
        return np.ascontiguousarray(clips)

    def _boxes(self, count: int, regions: np.ndarray | None) -> np.ndarray:
        """Return the boxes (N, S, R, 4) float32 of regions, by default of faces that fill their crops."""
        kind = str(self.preparation.regions)
        expected = (count, self.frames, REGIONS[kind], 4)
        if regions is None:
            from fer_cli.data.landmarks import tight_boxes
            from fer_cli.data.regions import clip_boxes, place_usual

            whole = clip_boxes(place_usual(tight_boxes(np.array([[0.0, 0.0, 1.0, 1.0]])), kind))
            return np.ascontiguousarray(np.broadcast_to(whole, expected), np.float32)
        if regions.shape != expected:
            wanted, got = (" x ".join(map(str, shape)) for shape in (expected, regions.shape))
            raise ResultsError(f"{self.name}: takes boxes of regions ({wanted}), not {got}")
        return np.ascontiguousarray(regions, np.float32)


def load_exported(path: Path, threads: int = 1) -> Exported:
    """Return the network of a file written by ``fer export``, run on ``threads`` threads.

    Raises ResultsError if ONNX Runtime is not installed, or the file is missing, damaged, of another version of the format
    or of another program.
    """
    check_installed("onnxruntime")
    content = read_exported(path)
    session = new_session(content, threads, path)
    known = session.get_modelmeta().custom_metadata_map
    if ABOUT_KEY not in known or DIGEST_KEY not in known:
        raise ResultsError(f"{path}: an ONNX file without fer's metadata (labels, preparation); write one with fer export")
    try:
        about = About.model_validate_json(known[ABOUT_KEY])
    except ValidationError as error:
        raise ResultsError(f"{path}: its metadata is damaged ({error.errors()[0]['msg']}); export the run again") from None
    return Exported(path.name, about, session)


def read_exported(path: Path) -> bytes:
    """Return the content of an exported file; raises ResultsError for a missing, changed or unknown one."""
    try:
        with open_regular(path) as stream:
            content = stream.read(MOST)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; give a file written by fer export") from None
    version, digest = VERSION.search(content), DIGEST.search(content)
    if version is not None and int(version[1]) != FORMAT:
        raise ResultsError(
            f"{path}: format {int(version[1])} of exported files, but this fer reads {FORMAT}; "
            "export the run again with this version, or use the version that wrote it"
        )
    if digest is not None and digest_of(content) != digest[1].decode():
        raise ResultsError(f"{path}: changed or damaged since it was exported (wrong SHA-256); export the run again")
    return content


def seal(content: bytes) -> bytes:
    """Return an exported file with its digest in place of zeros."""
    digest = DIGEST.search(content)
    assert digest is not None
    return content[: digest.start(1)] + digest_of(content).encode() + content[digest.end(1) :]


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of an exported file whose digest is zeros, 64 hex digits."""
    digest = DIGEST.search(content)
    assert digest is not None
    zeros = hashlib.sha256(content[: digest.start(1)])
    zeros.update(b"0" * 64)
    zeros.update(content[digest.end(1) :])
    return zeros.hexdigest()


def new_session(content: bytes, threads: int, path: Path) -> Any:
    """Return a session of ONNX Runtime on the CPU; raises ResultsError for what is no complete ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own exceptions, all below Exception
        what = "empty" if not content else f"not a complete ONNX file ({type(error).__name__})"
        raise ResultsError(f"{path}: {what}; give a file written by fer export") from None


def check_installed(*packages: str) -> None:
    """Raise FerError that names the missing packages and the extra that has them."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise FerError(f"exported networks need {', '.join(missing)}, which is not installed; install: {INSTALL}")
