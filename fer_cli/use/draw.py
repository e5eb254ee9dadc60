"""Boxes, ids and classes drawn on pictures and frames; colours as in all figures."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_cli.data.decode import open_image, read_source
from fer_cli.drawing import PALETTE
from fer_cli.errors import DataError
from fer_cli.escape import one_line
from fer_cli.places import plain_path, whole_file
from fer_cli.synthetic.recording import CODECS, check_length
from fer_cli.use.predict import Seen
from fer_cli.use.sources import Source, rate_of, read_moments
from fer_cli.use.windows import Sighting

PICTURE = ".png"
LEAST_SIDE = 360
"""Pictures with a shorter side are enlarged to it, so that words are readable."""
WORDS = (12, 36)
"""Smallest and largest size of words in pixels; a 26th of the frame's shorter side in between."""
PAD = 0.3
"""Margin of words in their size."""
NO_FACE = "no face"


class Pen:
    """Draws on frames of one size."""

    def __init__(self, classes: Sequence[str], shape: tuple[int, ...]) -> None:
        self.classes = classes
        side = min(shape[:2])
        self.size = int(np.clip(round(side / 26), *WORDS))
        self.line = max(1, round(side / 240))
        self.colours = {name: hex_colour(PALETTE[place % len(PALETTE)]) for place, name in enumerate(classes)}

    def draw(self, image: np.ndarray, seen: Seen) -> np.ndarray:
        """Return an RGB picture (H, W, 3) uint8 with its faces' boxes, ids, classes and their probability in percent."""
        drawn = image.copy()
        if not seen.faces:
            self.write(drawn, NO_FACE, (self.size // 2, self.size // 2), (90, 90, 90))
        for one in sorted(seen.faces, key=lambda one: one.box[3]):
            self.frame(drawn, one)
        return drawn

    def frame(self, image: np.ndarray, one: Sighting) -> None:
        """Draw a face's box and words above it, or in it where there is no room."""
        shares = one.probabilities
        name = self.classes[int(shares.argmax())]
        colour = self.colours[name]
        height, width = image.shape[:2]
        left, top, right, bottom = (round(value) for value in one.box)
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, width) - 1, min(bottom, height) - 1
        cv2.rectangle(image, (left, top), (right, bottom), (255, 255, 255), self.line + 2)
        cv2.rectangle(image, (left, top), (right, bottom), colour, self.line)
        words = f"{one.face}: {name} {100 * shares.max():.0f} %"
        tall = words_image(words, self.size, colour).shape[0]
        self.write(image, words, (left - self.line, top - tall if top >= tall else top), colour)

    def write(self, image: np.ndarray, words: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
        """Write words on a field of a colour with this upper left corner, moved into the picture."""
        label = words_image(words, self.size, colour)
        height, width = image.shape[:2]
        label = label[:height, :width]
        x = min(max(corner[0], 0), width - label.shape[1])
        y = min(max(corner[1], 0), height - label.shape[0])
        image[y : y + label.shape[0], x : x + label.shape[1]] = label


@lru_cache(maxsize=512)
def words_image(words: str, size: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Return words as a picture (h, w, 3) uint8 on a field of a colour, black or white by its lightness."""
    type_ = font(size)
    pad = round(PAD * size)
    words = one_line(words)
    width = round(type_.getlength(words)) + 2 * pad
    field = Image.new("RGB", (width, round(1.3 * size) + pad), colour)
    light = colour[0] * 0.299 + colour[1] * 0.587 + colour[2] * 0.114 > 140
    ImageDraw.Draw(field).text((pad, pad // 2), words, fill="black" if light else "white", font=type_)
    return np.asarray(field)


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all figures."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def hex_colour(text: str) -> tuple[int, int, int]:
    """Return ``#RRGGBB`` as three values from 0 to 255."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def check_drawing(out: Path, files: Sequence[Source]) -> None:
    """Raise DataError unless ``out`` can show the files: one picture as .png, or one video as .mp4 or .avi."""
    suffix = out.suffix.lower()
    if suffix not in {PICTURE, *CODECS}:
        raise DataError(f"--out {out}: name a picture {PICTURE} or a video {' or '.join(CODECS)}")
    if len(files) != 1:
        raise DataError(f"--out {out}: shows one picture or video, not {len(files)} files; name one, or leave --out away")
    if (files[0].kind == "image") != (suffix == PICTURE):
        what, fits = ("a picture", PICTURE) if files[0].kind == "image" else ("a video", " or ".join(CODECS))
        raise DataError(f"--out {out}: {files[0].name} is {what}; name the drawing {fits}")


@contextmanager
def draw_into(out: Path | None, source: Source, classes: Sequence[str]) -> Iterator[Drawing | None]:
    """Yield what takes the frames of a source in order and draws them into ``out``, which is put in place at the end."""
    if out is None:
        yield None
    elif source.kind == "image":
        with whole_file(out) as draft:
            yield PictureDrawing(draft, source, classes)
    else:
        with whole_file(out) as draft, plain_path(draft.parent.absolute()) as folder:
            encoded = folder / f".fer-{secrets.token_hex(8)}{out.suffix.lower()}"  # it states the container to OpenCV
            try:
                draft.touch()  # whatever forbids a file here is named
                drawing = VideoDrawing(encoded, out, source, classes)
                yield drawing
                drawing.finish()
                if encoded.exists():
                    encoded.replace(draft)
            finally:
                with suppress(OSError):
                    encoded.unlink(missing_ok=True)


class PictureDrawing:
    """A picture drawn as .png."""

    def __init__(self, draft: Path, source: Source, classes: Sequence[str]) -> None:
        self.draft, self.source, self.classes = draft, source, classes

    def add(self, seen: Seen) -> None:
        """Draw the picture; small ones are enlarged."""
        image = open_image(read_source(self.source.path), "rgb")
        times = max(1, -(-LEAST_SIDE // min(image.shape[:2])))
        if times > 1:
            image = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
            faces = [one.enlarged(times) for one in seen.faces]
            seen = seen._replace(faces=faces)
        Image.fromarray(Pen(self.classes, image.shape).draw(image, seen)).save(self.draft, format="png")


class VideoDrawing:
    """A video drawn frame by frame, which are read again: those to draw may lag behind those being recognised."""

    def __init__(self, encoded: Path, out: Path, source: Source, classes: Sequence[str]) -> None:
        self.encoded, self.out, self.source, self.classes = encoded, out, source, classes
        self._moments = read_moments(source.path)
        self._writer: cv2.VideoWriter | None = None
        self._pen: Pen | None = None
        self._count = 0

    def add(self, seen: Seen) -> None:
        """Draw the next frame; raises DataError if this OpenCV cannot write such a video."""
        image = next(self._moments).image
        if self._pen is None or self._writer is None:
            self._pen = Pen(self.classes, image.shape)
            self._shape = image.shape
            self._writer = self._open(image.shape)
        drawn = self._pen.draw(image, seen)
        if drawn.shape != self._shape:
            drawn = np.asarray(cv2.resize(drawn, self._shape[1::-1]))
        drawn = cv2.copyMakeBorder(drawn, 0, drawn.shape[0] % 2, 0, drawn.shape[1] % 2, cv2.BORDER_REPLICATE)
        self._writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        self._count += 1

    def _open(self, shape: tuple[int, ...]) -> cv2.VideoWriter:
        suffix = self.out.suffix.lower()
        size = shape[1] + shape[1] % 2, shape[0] + shape[0] % 2  # codecs need even sides
        code = cv2.VideoWriter.fourcc(*CODECS[suffix])
        writer = cv2.VideoWriter(str(self.encoded), code, rate_of(self.source.path), size)
        if not writer.isOpened():
            others = " or ".join(other for other in CODECS if other != suffix)
            raise DataError(f"{self.out}: this OpenCV cannot write {suffix} of {size[0]} x {size[1]} pixels; try {others}")
        return writer

    def finish(self) -> None:
        """Close the video; raises DataError if not all frames were written, as on a full disk."""
        if self._writer is not None:
            self._writer.release()
            check_length(self.encoded, self.out, self._count)


Drawing = PictureDrawing | VideoDrawing
