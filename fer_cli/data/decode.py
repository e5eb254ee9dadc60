"""From what an importer found to a square uint8 image: decode, find the face, cut, resize.

Files are decoded with Pillow, which tells a truncated file from a whole one and reads palettes; nothing larger than
``MAX_PIXELS`` or ``MAX_BYTES`` is opened, whatever its header promises. What cannot be decoded is listed with the reason.
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
from fer_cli.data.files import SHOWN, problem, why_unreadable
from fer_cli.data.formats import NOT_READ, unread_kind
from fer_cli.data.importers.found import Box, Found
from fer_cli.data.metadata import read_tags, strip_tags, turn_by_exif, turn_upright
from fer_cli.data.video import read_frames
from fer_cli.errors import FerError

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused as unreadable; the largest camera picture of any known set has a tenth of it."""
MAX_BYTES = 256 * 2**20
TOO_LARGE = f"more than {MAX_PIXELS // 10**6} million pixels"
LEAST = 8
"""Pixels of the shorter side of an image, at least."""
GROUND = 0
"""Grey value (black) that see-through pixels are laid over."""
BITS, PHOTOMETRIC = 258, 262
"""Tags of TIFF: bits a sample, and what 0 stands for."""
NO_SCALE = "whose full scale is not known; save it with 8 or 16 bits without a sign, or as values from 0 to 1"
CHUNK = 512
"""Images decoded at a time; bounds memory."""

INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}

Status = Literal["kept", "unreadable", "no face", "duplicate"]

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", module=r"PIL\.")  # of tags that are damaged; of pixels it raises
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
    reason: str = ""
    """Why it is left out, in words."""
    clear: bool = False
    """Whether any pixel of the source was see-through."""


class UnreadableError(Exception):
    """A source image cannot be used; the message says why."""


def recorded_steps(preparation: Preparation, cuts: set[str], clear: bool = False) -> list[dict[str, Any]]:
    """Return the steps from source to array, in order, as ``set.json`` records them.

    ``cuts`` that occurred; ``clear``: whether an image with see-through pixels did.
    """
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
    try:
        if group[0].moment is None:
            return [decode_image(group[0], preparation)]
        return decode_video(group, preparation)
    except FerError:  # what all images share, e.g. a detector that is missing
        raise
    except Exception as error:  # a decoder raises whatever it stumbles over; no file may end the build of all others
        return [Decoded(None, "unreadable", "", reason=why(error)) for _ in group]


def decode_image(image: Found, how: Preparation) -> Decoded:
    """Return the image of a file or a table row; raises UnreadableError and whatever a decoder does."""
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
    """Return the wanted frames of one video; raises UnreadableError where none can be read."""
    file, moments = group[0].file, [image.moment or 0 for image in group]
    if (reason := why_unreadable(file)) is not None:
        raise UnreadableError(reason)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    frames = read_frames(file, moments)
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
            results.append(prepare_image(frame, name, image.box, how))
        except UnreadableError as error:
            results.append(Decoded(None, "unreadable", name, reason=why(error)))
    return results


def read_source(file: Path) -> bytes:
    """Return the content of a source file; raises UnreadableError for what is none, and for one that is absurdly large."""
    if (reason := why_unreadable(file, MAX_BYTES)) is not None:
        raise UnreadableError(reason)
    return file.read_bytes()


def why(error: Exception) -> str:
    """Return in a few words why an image cannot be used."""
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return TOO_LARGE
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    if isinstance(error, OSError) and error.errno is not None:
        return problem(error)
    return f"cannot be decoded: {' '.join(str(error).split())[:SHOWN] or type(error).__name__}"


def rotate(image: np.ndarray, turns: int) -> np.ndarray:
    """Return an image (H, W[, 3]) after so many quarter turns clockwise."""
    return np.ascontiguousarray(np.rot90(image, -turns)) if turns else image


def table_image(pixels: bytes) -> np.ndarray:
    """Return (S, S) uint8 of the S x S grey values of a table row; raises UnreadableError where they make no square."""
    side = round(len(pixels) ** 0.5)
    if not side or side * side != len(pixels):
        raise UnreadableError(f"{len(pixels)} pixels, which make no square")
    return np.frombuffer(pixels, np.uint8).reshape(side, side)


def open_image(content: bytes, colour: str) -> np.ndarray:
    """Return (H, W) or (H, W, 3) uint8 RGB, upright; what ``read_picture`` reads without saying what was see-through."""
    return read_picture(content, colour)[0]


def read_picture(content: bytes, colour: str) -> tuple[np.ndarray, bool]:
    """Return (H, W) or (H, W, 3) uint8 RGB, upright, and whether any of it was see-through; of several pictures the first.

    Raises UnreadableError for an empty file, an absurd size, values of an unknown scale and a format that is not read, and
    whatever Pillow does where it is broken, cut short or no image. Tags that cannot be read lose no picture.
    """
    if not content:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(content)) as opened:
            read_tags(opened)
            return pixels_of(opened, turn_upright, colour)
    except UnreadableError:
        raise
    except Exception as error:  # whatever it is, it may lie in what is no part of the picture
        if isinstance(error, UnidentifiedImageError) and (kind := unread_kind(content)) is not None:
            raise UnreadableError(f"{kind}, {NOT_READ}") from None
        parts = strip_tags(content)
        if parts is None:
            raise
    bare, exif = parts
    with Image.open(io.BytesIO(bare)) as opened:
        return pixels_of(opened, lambda picture: turn_by_exif(picture, exif), colour)


def pixels_of(opened: Image.Image, turn: Callable[[Image.Image], Image.Image], colour: str) -> tuple[np.ndarray, bool]:
    """Return the pixels of an opened picture and whether any was see-through; returns and raises as ``read_picture``."""
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
    """Return a picture laid over ``GROUND`` and whether any pixel of it is see-through; as it is where none is."""
    layers = picture.convert("RGBA")
    if np.asarray(layers.getchannel("A")).min(initial=255) == 255:
        return picture, False
    return Image.alpha_composite(Image.new("RGBA", layers.size, (GROUND, GROUND, GROUND, 255)), layers), True


def scale_of(opened: Image.Image) -> tuple[float | None, bool]:
    """Return the value that is white in a picture with more than 8 bits, and whether 0 is white instead of black.

    None where floating-point values must tell it. Raises UnreadableError for whole numbers whose full scale is not known.
    """
    tags = getattr(opened, "tag_v2", {})  # of a TIFF
    bits = tags.get(BITS, (16,))[0]
    if opened.mode.startswith("I;16"):
        return float(2**bits - 1), tags.get(PHOTOMETRIC) == 0
    if opened.mode == "I" and opened.format != "PPM":  # Pillow brings every PGM to 65,535
        raise UnreadableError(f"{bits if tags else 32}-bit whole numbers with a sign, {NO_SCALE}")
    return (65535.0 if opened.mode == "I" else None), False


def deep_image(values: np.ndarray, colour: str, full: float | None, inverted: bool = False) -> np.ndarray:
    """Return uint8 of a grey image (H, W) with more than 8 bits a pixel; ``full``: the value that is white.

    Floating-point values (``full`` None) reach from 0 to 1 or from 0 to 255; raises UnreadableError for others. Values that
    are no number are dark.
    """
    if full is None:
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        if low < 0 or 1 < high < 2 or high > 255:
            raise UnreadableError(f"floating-point values from {low:.4g} to {high:.4g}, {NO_SCALE}")
        full = 1.0 if high <= 1 else 255.0
    grey = np.clip(np.nan_to_num(values, nan=0.0) / full, 0, 1) * 255
    grey = (255 - grey if inverted else grey).round().astype(np.uint8)
    return grey if colour == "grey" else np.repeat(grey[..., None], 3, axis=2)


_own = threading.local()
"""A detector for each thread: OpenCV's networks must not be shared."""


def prepare_image(image: np.ndarray, sha256: str, box: Box | None, how: Preparation) -> Decoded:
    """Return a decoded source image as it goes into the array; raises UnreadableError where nothing of it can be used."""
    if min(image.shape[:2]) < LEAST:
        raise UnreadableError(f"{image.shape[1]} x {image.shape[0]} pixels; at least {LEAST} x {LEAST} are needed")
    cv2.ipp.setUseIPP(False)  # in this thread: Intel's cubic resizing gives other pixels on other processors
    face = None
    if how.crop is not None:
        if getattr(_own, "crop", None) != how.crop:
            _own.crop, _own.detector = how.crop, load_detector(how.crop)
        chosen = choose_face(_own.detector(image), box)
        if chosen is not None:
            return Decoded(cut_face(image, chosen, how.crop), "kept", sha256, True, "face")
        if how.no_face == "drop":
            return Decoded(None, "no face", sha256, False, reason="no face detected")
        face = False
    height, width = image.shape[:2]
    cut: Literal["whole", "centre", "box"] = "whole"
    if box is not None:
        image, cut = cut_box(image, box, how.box_margin), "box"
        if image.size == 0:
            raise UnreadableError("the face that the data set gives lies outside the image")
    elif height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image, cut = image[top : top + side, left : left + side], "centre"
    if image.shape[:2] != (how.size, how.size):
        image = cv2.resize(image, (how.size, how.size), interpolation=INTERPOLATION[how.interpolation])
    return Decoded(image, "kept", sha256, face, cut)


def cut_box(image: np.ndarray, box: Box, margin: float) -> np.ndarray:
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
