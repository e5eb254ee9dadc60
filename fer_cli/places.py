"""Where shipped files (studies, cards) are; how files are opened without waiting, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Return ``experiments`` or ``data_cards``: inside an installed package, or beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def open_regular(path: Path) -> BinaryIO:
    """Return a file opened for reading; raises OSError for what is no regular file, and never waits for a pipe's writer."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            folder = stat.S_ISDIR(os.fstat(number).st_mode)
            raise OSError(errno.EINVAL, "a folder, not a file" if folder else "a pipe or a device, not a file", str(path))
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; move it into place at the end, remove it on any error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())  # else a power cut may leave an empty file under the final name
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """Return where what can be made again is kept: ``FER_CACHE``, else ``~/.cache/fer``."""
    return Path(os.environ.get("FER_CACHE") or Path.home() / ".cache" / "fer").expanduser()
