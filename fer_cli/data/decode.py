"""Decoding source images to square uint8 images: decode, detect the face, crop, resize.

Files are decoded with Pillow, which detects truncated files and reads palettes; nothing larger than ``MAX_PIXELS`` or
``MAX_BYTES`` is opened. Undecodable images are listed with the reason.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from fer_cli.config import Section
from fer_cli.data.align import Crop, choose_face, cut_face, load_detector, steps
from fer_cli.data.block import forgo_intel
from fer_cli.data.files import SHOWN, problem, why_unreadable
from fer_cli.data.formats import NOT_READ, unread_kind
from fer_cli.data.importers.found import Box, Found
from fer_cli.data.metadata import read_tags, strip_tags, turn_by_exif, turn_upright
from fer_cli.data.video import read_film
from fer_cli.errors import FerError

MAX_PIXELS = 64_000_000
"""Images with more pixels are unreadable; the largest in any known set has a tenth of this."""
MAX_BYTES = 256 * 2**20
TOO_LARGE = f"more than {MAX_PIXELS // 10**6} million pixels"
LEAST = 8
"""Minimum length of the shorter side in pixels."""
GROUND = 0
"""Grey value (black) behind transparent pixels."""
BITS, PHOTOMETRIC = 258, 262
"""TIFF tags: bits per sample, and the meaning of 0."""
NO_SCALE = "with unknown full scale; save the image as unsigned 8 or 16 bits, or as values from 0 to 1"
PAST = "past the end of its video, whose last frame it repeats"
SEVERAL = "several faces, of which one is used"
CHUNK = 512
"""Images decoded at a time; bounds memory."""

INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}

Status = Literal["kept", "unreadable", "no face", "duplicate"]

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged tags; damaged pixels raise
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class Preparation(Section):
    """Preparation of source images; all settings are recorded with the set."""

    size: int = Field(ge=8, le=1024)
    """Side in pixels."""
    colour: Literal["grey", "rgb"] = "grey"
    interpolation: Literal["area", "linear", "cubic", "lanczos"] = "area"
    crop: Crop | None = None
    """Face detection and cropping; None: the whole image, or the data set's box."""
    box_margin: float = Field(0.0, ge=0, le=1)
    """Margin on each side of the data set's box, as a fraction of the box."""
    no_face: Literal["keep", "drop"] = "keep"
    """Whether images without a detected face are kept and flagged, or left out and listed."""


@dataclass(frozen=True)
class Decoded:
    """One decoded source image."""

    image: np.ndarray | None
    """(S, S) or (S, S, 3) uint8 RGB; None if left out."""
    status: Status
    sha256: str
    """Of the file's bytes, of table pixels, or of a video's bytes and the frame number."""
    face: bool | None = None
    """Whether a face was detected; None without detection."""
    cut: Literal["whole", "centre", "box", "face"] = "whole"
    """Crop: none, the central square, the data set's box, or the detected face."""
    reason: str = ""
    """Why it was left out; of a kept image, what is to be noted."""
    clear: bool = False
    """Whether the source has transparent pixels."""
    time: float | None = None
    """Of a frame of a video: its time in seconds."""


class UnreadableError(Exception):
    """A source image cannot be used; the message says why."""


def recorded_steps(preparation: Preparation, cuts: set[str], clear: bool = False) -> list[dict[str, Any]]:
    """Return the preparation steps for ``set.json``; ``cuts``: crops that occurred; ``clear``: whether transparency did."""
    how = preparation
    found: list[dict[str, Any]] = [{"step": "decode", "colour": how.colour}]
    if clear:
        found.append({"step": "alpha", "over": GROUND, "when": "a pixel is see-through"})
    if "box" in cuts:
        found.append({"step": "box", "from": "the data set", "margin": how.box_margin, "beyond the image": "edge repeated"})
    if how.crop is not None:
        found += [*steps(how.crop), {"step": "no face", "then": how.no_face}]
    if "centre" in cuts:
        found.append({"step": "square", "how": "centre", "when": "the image is not square"})
    when = {"when": "the size differs"}
    return [*found, {"step": "resize", "size": how.size, "interpolation": how.interpolation, **when}]


def decode_all(found: Iterable[Found], preparation: Preparation, threads: int) -> Iterator[tuple[Found, Decoded]]:
    """Yield every image in order with its decoding result; frames of one video are read in one pass."""
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
    """Decode the images of one source: the image of a file or table row, or the requested frames of a video."""
    try:
        if group[0].moment is None:
            return [decode_image(group[0], preparation)]
        return decode_video(group, preparation)
    except FerError:  # affects all images, e.g. a missing detector
        raise
    except Exception as error:  # decoders raise anything; one file must not stop the build
        return [Decoded(None, "unreadable", "", reason=why(error)) for _ in group]


def decode_image(image: Found, how: Preparation) -> Decoded:
    """Decode the image of a file or table row; raises UnreadableError and any error of a decoder."""
    content = image.pixels if image.pixels is not None else read_source(image.file)
    digest = hashlib.sha256(content).hexdigest()
    try:
        if image.fault:
            raise UnreadableError(image.fault)
        pixels, clear = (table_image(content), False) if image.pixels is not None else read_picture(content, how.colour)
        return replace(prepare_image(rotate(pixels, image.turn), digest, image.box, how), clear=clear)
    except FerError:
        raise
    except Exception as error:  # as in decode_group; here the content is known
        return Decoded(None, "unreadable", digest, reason=why(error))


def decode_video(group: list[Found], how: Preparation) -> list[Decoded]:
    """Decode the requested frames of one video; raises UnreadableError if it cannot be read."""
    file, moments = group[0].file, [image.moment or 0 for image in group]
    if (reason := why_unreadable(file)) is not None:
        raise UnreadableError(reason)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    frames, times, count = read_film(file, moments)
    results = []
    for image, moment in zip(group, moments, strict=True):
        name = hashlib.sha256(f"{digest} {moment}".encode()).hexdigest()
        if moment not in frames:
            results.append(Decoded(None, "unreadable", name, reason="no frame of the video can be decoded"))
            continue
        frame = rotate(frames[moment], image.turn)
        if how.colour == "grey":
            frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        try:
            result = replace(prepare_image(frame, name, image.box, how), time=times.get(min(moment, count - 1)))
            results.append(replace(result, reason=PAST) if moment >= count and result.status == "kept" else result)
        except UnreadableError as error:
            results.append(Decoded(None, "unreadable", name, reason=why(error)))
    return results


def read_source(file: Path) -> bytes:
    """Return the content of a source file; raises UnreadableError unless it is a regular file below ``MAX_BYTES``."""
    if (reason := why_unreadable(file, MAX_BYTES)) is not None:
        raise UnreadableError(reason)
    return file.read_bytes()


def why(error: Exception) -> str:
    """Return a short reason why an image cannot be used."""
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return TOO_LARGE
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    if isinstance(error, OSError) and error.errno is not None:
        return problem(error)
    return f"cannot be decoded: {' '.join(str(error).split())[:SHOWN] or type(error).__name__}"


def rotate(image: np.ndarray, turns: int) -> np.ndarray:
    """Return an image (H, W[, 3]) after ``turns`` quarter turns clockwise."""
    return np.ascontiguousarray(np.rot90(image, -turns)) if turns else image


def table_image(pixels: bytes) -> np.ndarray:
    """Return the S x S grey values of a table row as (S, S) uint8; raises UnreadableError if they are not square."""
    side = round(len(pixels) ** 0.5)
    if not side or side * side != len(pixels):
        raise UnreadableError(f"{len(pixels)} pixels, not a square image")
    return np.frombuffer(pixels, np.uint8).reshape(side, side)


def open_image(content: bytes, colour: str) -> np.ndarray:
    """Return the image of ``read_picture``: (H, W) or (H, W, 3) uint8 RGB, upright."""
    return read_picture(content, colour)[0]


def read_picture(content: bytes, colour: str) -> tuple[np.ndarray, bool]:
    """Return the first image, (H, W) or (H, W, 3) uint8 RGB, upright, and whether it has transparency; bad tags are ignored.

    Raises UnreadableError for an empty file, excessive size, unknown value scale and unsupported formats, and any error of
    Pillow for damaged or truncated files.
    """
    if not content:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(content)) as opened:
            read_tags(opened)
            return pixels_of(opened, turn_upright, colour)
    except UnreadableError:
        raise
    except Exception as error:  # possibly in the metadata only
        if isinstance(error, UnidentifiedImageError) and (kind := unread_kind(content)) is not None:
            raise UnreadableError(f"{kind}, {NOT_READ}") from None
        parts = strip_tags(content)
        if parts is None:
            raise
    bare, exif = parts
    with Image.open(io.BytesIO(bare)) as opened:
        return pixels_of(opened, lambda picture: turn_by_exif(picture, exif), colour)


def pixels_of(opened: Image.Image, turn: Callable[[Image.Image], Image.Image], colour: str) -> tuple[np.ndarray, bool]:
    """Return the pixels of an opened image and whether it has transparency; raises as ``read_picture``."""
    if opened.width * opened.height > MAX_PIXELS:
        raise UnreadableError(TOO_LARGE)
    if colour == "grey" and opened.mode in {"RGB", "YCbCr"} and opened.format == "JPEG":
        opened.draft("L", opened.size)
    full, inverted = scale_of(opened)
    picture = turn(opened)
    clear = False
    if picture.mode.startswith(("I", "F")):
        return deep_image(np.asarray(picture), colour, full, inverted), clear
    if picture.has_transparency_data:
        picture, clear = over_ground(picture)
    return np.array(picture.convert("L" if colour == "grey" else "RGB")), clear


def over_ground(picture: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image composited over ``GROUND``, and whether it has transparent pixels."""
    layers = picture.convert("RGBA")
    if np.asarray(layers.getchannel("A")).min(initial=255) == 255:
        return picture, False
    return Image.alpha_composite(Image.new("RGBA", layers.size, (GROUND, GROUND, GROUND, 255)), layers), True


def scale_of(opened: Image.Image) -> tuple[float | None, bool]:
    """Return the white value of an image with more than 8 bits (None for floating point), and whether 0 is white.

    Raises UnreadableError for integers of unknown full scale.
    """
    tags = getattr(opened, "tag_v2", {})  # TIFF only
    bits = tags.get(BITS, (16,))[0]
    if opened.mode.startswith("I;16"):
        return float(2**bits - 1), tags.get(PHOTOMETRIC) == 0
    if opened.mode == "I" and opened.format != "PPM":  # Pillow scales every PGM to 65,535
        raise UnreadableError(f"signed {bits if tags else 32}-bit integers {NO_SCALE}")
    return (65535.0 if opened.mode == "I" else None), False


def deep_image(values: np.ndarray, colour: str, full: float | None, inverted: bool = False) -> np.ndarray:
    """Return a grey image (H, W) with more than 8 bits per pixel as uint8; ``full``: white value.

    Floating-point values (``full`` None) range from 0 to 1 or 0 to 255, else UnreadableError; NaN becomes 0.
    """
    if full is None:
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        if low < 0 or 1 < high < 2 or high > 255:
            raise UnreadableError(f"floating-point values from {low:.4g} to {high:.4g} {NO_SCALE}")
        full = 1.0 if high <= 1 else 255.0
    grey = np.clip(np.nan_to_num(values, nan=0.0) / full, 0, 1) * 255
    grey = (255 - grey if inverted else grey).round().astype(np.uint8)
    return grey if colour == "grey" else np.repeat(grey[..., None], 3, axis=2)


_own = threading.local()
"""One detector per thread: OpenCV networks must not be shared."""


def prepare_image(image: np.ndarray, sha256: str, box: Box | None, how: Preparation) -> Decoded:
    """Crop and resize a decoded image; raises UnreadableError if it is too small or its box lies outside."""
    if min(image.shape[:2]) < LEAST:
        raise UnreadableError(f"{image.shape[1]} x {image.shape[0]} pixels; the minimum is {LEAST} x {LEAST}")
    forgo_intel()
    face = None
    if how.crop is not None:
        if getattr(_own, "crop", None) != how.crop:
            _own.crop, _own.detector = how.crop, load_detector(how.crop)
        detected = _own.detector(image)
        chosen = choose_face(detected, box)
        if chosen is not None:
            note = SEVERAL if len(detected) > 1 else ""
            return Decoded(cut_face(image, chosen, how.crop), "kept", sha256, True, "face", note)
        if how.no_face == "drop":
            return Decoded(None, "no face", sha256, False, reason="no face detected")
        face = False
    height, width = image.shape[:2]
    cut: Literal["whole", "centre", "box"] = "whole"
    if box is not None:
        sides = box[2] - box[0], box[3] - box[1]
        if min(sides) > 0 and max(sides) < LEAST:
            why = f"face box of {max(sides):g} pixels; the minimum is {LEAST}"
            return Decoded(None, "no face", sha256, face, reason=why)
        image, cut = cut_box(image, box, how.box_margin), "box"
        if image.size == 0:
            raise UnreadableError("the data set's face box is empty or lies outside the image")
    elif height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image, cut = image[top : top + side, left : left + side], "centre"
    if image.shape[:2] != (how.size, how.size):
        image = cv2.resize(image, (how.size, how.size), interpolation=INTERPOLATION[how.interpolation])
    return Decoded(image, "kept", sha256, face, cut)


def cut_box(image: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """Return the square around a box with a margin (fraction of its side), edges repeated; empty if the box is outside."""
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
