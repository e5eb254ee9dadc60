"""Marks by which files that ``fer`` wrote are recognised: only such a file is written anew without ``--replace``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.errors import FerError
from fer_cli.escape import PATH, cut
from fer_cli.places import open_regular, same_file, whole_file

if TYPE_CHECKING:
    import numpy as np

PICTURE = "Software\0fer"
"""What a PNG of ours holds; see ``png_text``."""
TEX = r"% needs \usepackage"
HEAD_BYTES = 4096


def check_place(path: Path, mark: str, what: str, inputs: Iterable[Path] = (), advice: str = "choose another --out") -> None:
    """Raise FerError if a file that is to be written is one of ``inputs``, or there and without ``mark``.

    ``mark``: what a file of this kind holds within its first bytes, a CSV at its beginning; ``what``: its name.
    """
    where = cut(path, PATH)
    if any(same_file(path, given) for given in inputs):
        raise FerError(f"{where}: is also an input; {advice}")
    try:
        with open_regular(path) as stream:
            start = stream.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise FerError(f"{where}: {error.strerror}; {advice}") from None
    if mark.encode() not in (start[: len(mark.encode())] if path.suffix == ".csv" else start):
        raise FerError(f"{where}: exists and is not {what}; move it away, or {advice}")


def check_picture(path: Path, inputs: Iterable[Path] = (), advice: str = "choose another --out") -> None:
    """Raise FerError if anything but a picture of ours would be overwritten; see ``check_place``."""
    check_place(path, PICTURE, "a picture of fer", inputs, advice)


def png_text() -> Any:
    """Return the text that marks a PNG, for Pillow's ``pnginfo``."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    key, _, value = PICTURE.partition("\0")
    text.add_text(key, value)
    return text


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W) or (H, W, 3) uint8 RGB as a marked PNG, atomically."""
    from PIL import Image

    with whole_file(path) as draft:
        Image.fromarray(image).save(draft, format="png", pnginfo=png_text())
