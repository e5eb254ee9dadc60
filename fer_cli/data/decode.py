"""From what an importer found to a square uint8 image: decode, find the face, cut, resize.

Files are decoded with Pillow, which tells a truncated file from a whole one and reads palettes; nothing larger than
``MAX_PIXELS`` or ``MAX_BYTES`` is opened, whatever its header promises.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from fer_cli.config import Section
from fer_cli.data.align import Crop, choose_face, cut_face, load_detector, steps
from fer_cli.data.importers.found import Box, Found
from fer_cli.data.video import read_frames

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused as unreadable; the largest camera picture of any known set has a tenth of it."""
MAX_BYTES = 256 * 2**20
CHUNK = 512
"""Images decoded at a time; bounds memory."""

INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}

Status = Literal["kept", "unreadable", "no face", "duplicate"]

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class Preparation(Section):
    """How source images become the packed array; all of it is recorded with the set."""

    size: int = Field(ge=8, le=1024)
    """Side in pixels."""
    colour: Literal["grey", "rgb"] = "grey"
    interpolation: Literal["area", "linear", "cubic", "lanczos"] = "area"
    crop: Crop | None = None
    """How faces are found and cut; none: the whole image, or the box that the data set gives."""
    box_margin: float = Field(0.0, ge=0, le=1)
    """Added on each side of a box that the data set gives, in sides of the box."""
    no_face: Literal["keep", "drop"] = "keep"
    """Images without a detected face are kept as they are and marked, or left out and listed."""


@dataclass(frozen=True)
class Decoded:
    """One source image as it goes into the array."""

    image: np.ndarray | None
    """(S, S) or (S, S, 3) uint8 RGB; None where it is left out."""
    status: Status
    sha256: str
    """Of the source file's bytes; of table pixels; of a video's bytes and the frame number."""
    face: bool | None = None
    """Whether a face was detected; None where none was looked for."""
    cut: Literal["whole", "centre", "box", "face"] = "whole"
    """What was cut from the source: nothing, its central square, the data set's box, the detected face."""


def recorded_steps(preparation: Preparation, cuts: set[str]) -> list[dict[str, Any]]:
    """Return the steps from source to array, in order, as ``set.json`` records them; ``cuts`` that occurred."""
    how = preparation
    found: list[dict[str, Any]] = [{"step": "decode", "colour": how.colour}]
    if "box" in cuts:
        found.append({"step": "box", "from": "the data set", "margin": how.box_margin, "beyond the image": "edge repeated"})
    if how.crop is not None:
        found += [*steps(how.crop), {"step": "no face", "then": how.no_face}]
    if "centre" in cuts:
        found.append({"step": "square", "how": "centre", "when": "the image is not square"})
    when = {"when": "the size differs"}
    return [*found, {"step": "resize", "size": how.size, "interpolation": how.interpolation, **when}]


def decode_all(found: Iterable[Found], preparation: Preparation, threads: int) -> Iterator[tuple[Found, Decoded]]:
    """Yield every image in order with what became of it; frames of one video are read in one pass."""
    with ThreadPoolExecutor(threads) as pool:
        chunk: list[Found] = []
        for image in found:
            chunk.append(image)
            if len(chunk) == CHUNK:
                yield from _chunk(pool, chunk, preparation)
                chunk = []
        yield from _chunk(pool, chunk, preparation)


def _chunk(pool: ThreadPoolExecutor, chunk: list[Found], preparation: Preparation) -> Iterator[tuple[Found, Decoded]]:
    films: dict[str, list[Found]] = {}
    for image in chunk:
        films.setdefault(str(image.file) if image.moment is not None else image.sample, []).append(image)
    done: dict[str, Decoded] = {}
    for group, results in zip(
        films.values(), pool.map(lambda group: decode_group(group, preparation), films.values()), strict=True
    ):
        done |= {image.sample: result for image, result in zip(group, results, strict=True)}
    for image in chunk:
        yield image, done[image.sample]


def decode_group(group: list[Found], preparation: Preparation) -> list[Decoded]:
    """Return the images of one source: a file's or table row's only one, or the wanted frames of a video."""
    first = group[0]
    if first.moment is None:
        content = first.pixels
        if content is None:
            try:
                content = b"" if first.file.stat().st_size > MAX_BYTES else first.file.read_bytes()
            except OSError:
                content = b""
        pixels = table_image(content) if first.pixels is not None else open_image(content, preparation.colour)
        if pixels is not None and first.turn:
            pixels = np.ascontiguousarray(np.rot90(pixels, -first.turn))
        return [prepared(pixels, hashlib.sha256(content).hexdigest(), first.box, preparation)]
    moments = [image.moment or 0 for image in group]
    with first.file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    frames = read_frames(first.file, moments)
    results = []
    for image, moment in zip(group, moments, strict=True):
        frame = frames.get(moment)
        if frame is not None and image.turn:
            frame = np.ascontiguousarray(np.rot90(frame, -image.turn))
        if frame is not None and preparation.colour == "grey":
            frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        name = hashlib.sha256(f"{digest} {moment}".encode()).hexdigest()
        results.append(prepared(frame, name, image.box, preparation))
    return results


def table_image(pixels: bytes) -> np.ndarray | None:
    """Return (S, S) uint8 of the S x S grey values of a table row, or None where they make no square."""
    side = round(len(pixels) ** 0.5)
    return np.frombuffer(pixels, np.uint8).reshape(side, side) if side * side == len(pixels) and side else None


def open_image(content: bytes, colour: str) -> np.ndarray | None:
    """Return (H, W) or (H, W, 3) uint8 RGB, upright, or None where the file is broken, cut short, absurd or no image."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            if opened.mode.startswith(("I", "F")):
                return deep_image(np.asarray(opened), colour)
            if colour == "grey" and opened.mode in {"RGB", "YCbCr"} and opened.format == "JPEG":
                opened.draft("L", opened.size)
            upright = ImageOps.exif_transpose(opened)
            return np.array(upright.convert("L" if colour == "grey" else "RGB"))
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        MemoryError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return None


def deep_image(values: np.ndarray, colour: str) -> np.ndarray:
    """Return uint8 of an image with more than 8 bits a pixel: full scale is 65,535, or 1 for floating point."""
    full = 1.0 if values.dtype.kind == "f" else 65535.0 if values.max(initial=0) > 255 else 255.0
    grey = np.clip(values / full * 255, 0, 255).round().astype(np.uint8)
    return grey if colour == "grey" else np.repeat(grey[..., None], 3, axis=2)


_own = threading.local()
"""A detector for each thread: OpenCV's networks must not be shared."""


def prepared(image: np.ndarray | None, sha256: str, box: Box | None, how: Preparation) -> Decoded:
    """Return a decoded source image as it goes into the array."""
    if image is None or min(image.shape[:2]) < 8:
        return Decoded(None, "unreadable", sha256)
    face = None
    if how.crop is not None:
        if getattr(_own, "crop", None) != how.crop:
            _own.crop, _own.detector = how.crop, load_detector(how.crop)
        chosen = choose_face(_own.detector(image), box)
        if chosen is not None:
            return Decoded(cut_face(image, chosen, how.crop), "kept", sha256, True, "face")
        if how.no_face == "drop":
            return Decoded(None, "no face", sha256, False)
        face = False
    height, width = image.shape[:2]
    cut: Literal["whole", "centre", "box"] = "whole"
    if box is not None:
        image, cut = boxed(image, box, how.box_margin), "box"
        if image.size == 0:
            return Decoded(None, "unreadable", sha256)
    elif height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image, cut = image[top : top + side, left : left + side], "centre"
    if image.shape[:2] != (how.size, how.size):
        image = cv2.resize(image, (how.size, how.size), interpolation=INTERPOLATION[how.interpolation])
    return Decoded(image, "kept", sha256, face, cut)


def boxed(image: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """Return the square around a box, ``margin`` of its side wider all round; edge pixels repeat beyond the image.

    Empty where the box has no area or lies wholly outside the image.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box
    if right <= left or bottom <= top or right <= 0 or bottom <= 0 or left >= width or top >= height:
        return image[:0]
    half = min(max(right - left, bottom - top) * (0.5 + margin), float(max(height, width)))
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0, side = round(x - half), round(y - half), max(1, round(2 * half))
    rows = np.clip(np.arange(y0, y0 + side), 0, height - 1)
    columns = np.clip(np.arange(x0, x0 + side), 0, width - 1)
    return np.asarray(image[rows[:, None], columns])
