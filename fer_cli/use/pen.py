"""Boxes, ids and classes drawn on one picture; colours as in all figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_cli.drawing import PALETTE
from fer_cli.escape import one_line
from fer_cli.use.predict import Seen
from fer_cli.use.windows import Sighting

WORDS = (12, 36)
"""Smallest and largest size of words in pixels; a 26th of the frame's shorter side in between."""
PAD = 0.3
"""Margin of words in their size."""
NO_FACE = "no face"


class Pen:
    """Draws on frames of one size."""

    def __init__(self, classes: Sequence[str], shape: tuple[int, ...], size: int | None = None) -> None:
        """Take class names, the shape of the frames, and the size of words in pixels (default: by the frame's)."""
        self.classes = classes
        side = min(shape[:2])
        self.size = size or int(np.clip(round(side / 26), *WORDS))
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
