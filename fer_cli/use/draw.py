"""Files that show predictions: a picture, a video with boxes, or the figure of a video over time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fer_cli.data.decode import open_image, read_source
from fer_cli.errors import DataError
from fer_cli.places import plain_path, whole_file
from fer_cli.synthetic.recording import CODECS, check_length
from fer_cli.use.pen import Pen
from fer_cli.use.predict import Seen
from fer_cli.use.sources import Source, rate_of, read_moments
from fer_cli.use.timeline import TimelineDrawing

PICTURE = ".png"
LEAST_SIDE = 360
"""Pictures with a shorter side are enlarged to it, so that words are readable."""


def check_drawing(out: Path, files: Sequence[Source]) -> None:
    """Raise DataError unless ``out`` can show the files: one picture as .png, or one video as .mp4, .avi or .png."""
    suffix = out.suffix.lower()
    if suffix not in {PICTURE, *CODECS}:
        raise DataError(f"--out {out}: name a picture {PICTURE} or a video {' or '.join(CODECS)}")
    if len(files) != 1:
        raise DataError(f"--out {out}: shows one picture or video, not {len(files)} files; name one, or leave --out away")
    if files[0].kind == "image" and suffix != PICTURE:
        raise DataError(f"--out {out}: {files[0].name} is a picture; name the drawing {PICTURE}")


@contextmanager
def draw_into(out: Path | None, source: Source, classes: Sequence[str]) -> Iterator[Drawing | None]:
    """Yield what takes the frames of a source in order and draws them into ``out``, which is put in place at the end."""
    if out is None:
        yield None
    elif source.kind == "image":
        with whole_file(out) as draft:
            yield PictureDrawing(draft, source, classes)
    elif out.suffix.lower() == PICTURE:
        with whole_file(out) as draft:
            timeline = TimelineDrawing(draft, source, classes)
            yield timeline
            timeline.finish()
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


Drawing = PictureDrawing | VideoDrawing | TimelineDrawing
