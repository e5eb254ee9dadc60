"""Fake source folders: the pieces that tests of importers build them from."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_cli.data.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fer_cli.data.importers.found import Found, Scan
from fer_cli.data.importers.walk import files_below
from fer_cli.errors import DataError


def picture(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = np.random.default_rng(level).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(grid).save(path)
    return path


def pictures(root: Path, names: Iterable[str]) -> Path:
    for level, name in enumerate(names):
        picture(root / name, level)
    return root


def junk(root: Path) -> None:
    """Hidden files that archives and systems leave in every folder."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        (folder / "._a.jpg").write_bytes(b"AppleDouble")
        (folder / ".DS_Store").write_bytes(b"x")


def write(path: Path, *lines: str, bom: bool = False) -> Path:
    """Write a text file whose last line has no newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xef\xbb\xbf" * bom + "\n".join(lines).encode())
    return path


def by_sample(scan: Scan) -> dict[str, Found]:
    return {image.sample: image for image in scan.found}


def one_line(raised: pytest.ExceptionInfo[DataError], *words: str) -> None:
    text = str(raised.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def everything_is_accounted_for(source: Path, scan: Scan) -> None:
    there = set(files_below(source, IMAGE_SUFFIXES | VIDEO_SUFFIXES))
    named = {image.file for image in scan.found}
    skipped = {source / name for names in scan.skipped.values() for name in names} & there
    assert there == named | skipped
    assert not named & skipped
