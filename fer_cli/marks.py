"""Marks by which files that ``fer`` wrote are recognised, so that no other file is overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
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
ANY_PNG = re.compile(rb"\x89PNG")
FOLDER = "choose another folder with --out"
"""The remedy where files of a folder are in the way."""
HEAD_BYTES = 4096


def check_place(
    path: Path, mark: str | re.Pattern[bytes], what: str, inputs: Iterable[Path] = (), advice: str = "choose another --out"
) -> None:
    """Raise FerError if a file that is to be written is one of ``inputs``, or there and without ``mark``.

    ``mark``: what a file of this kind holds within its first bytes, a CSV at its beginning, or how it begins; ``what``: its
    name.
    """
    where = cut(path, PATH)
    if any(same_file(path, given) for given in inputs):
        raise FerError(f"{where}: is also an input; {advice}")
    try:
        with open_regular(path) as stream:
            start = stream.read(HEAD_BYTES)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise FerError(f"{where}: part of the path is a file, not a folder; {advice}") from None
    except OSError as error:
        why = "expected a file, found a folder" if path.is_dir() else error.strerror
        raise FerError(f"{where}: {why}; {advice}") from None
    if isinstance(mark, re.Pattern):
        own = mark.match(start) is not None
    else:
        own = start.startswith(mark.encode()) if path.suffix == ".csv" else mark.encode() in start
    if not own:
        raise FerError(f"{where}: exists and is not {what}; move it away, or {advice}")


def check_picture(path: Path, inputs: Iterable[Path] = (), advice: str = "choose another --out") -> None:
    """Raise FerError for another suffix than .png, or if anything but a picture of ours would be overwritten."""
    if path.suffix.lower() != ".png":
        raise FerError(f"{cut(path, PATH)}: name the picture .png")
    check_place(path, PICTURE, "a picture of this version of fer", inputs, advice)


def check_folder(folder: Path, marks: Mapping[str, str], what: str, inputs: Iterable[Path] = ()) -> None:
    """Raise FerError if writing a report into a folder would overwrite anything but such a report; see ``check_place``.

    ``marks``: name of each of its files -> mark. A PNG without one is the report's own if its texts are there, as in reports
    of earlier versions.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise FerError(f"{cut(folder, PATH)}: expected a folder, found a file; {FOLDER}")
    given = list(inputs)
    texts = {name: mark for name, mark in marks.items() if mark != PICTURE}
    for name, mark in texts.items():
        check_place(folder / name, mark, what, given, FOLDER)
    ours = any((folder / name).is_file() for name in texts)
    for name in (name for name in marks if name not in texts):
        check_place(folder / name, ANY_PNG if ours else PICTURE, what, given, FOLDER)


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
