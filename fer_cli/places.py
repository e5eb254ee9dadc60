"""Where shipped files (studies, cards) are, how the path a user gives is read, how files are opened and written."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PACKAGE = Path(__file__).resolve().parent


def shipped_folder(folder: str) -> Path:
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


def user_path(path: str | Path) -> Path:
    """Return a path as a user means it: ``~`` and ``~name`` stand for home folders (those that are known)."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser fails for a user that is not known)


MOST_TEXT = 64 * 2**20
"""Bytes of the largest text file that is read whole."""


def read_text(path: Path) -> str:
    """Return the text of a regular UTF-8 file; raises OSError for anything else in its place, UnicodeDecodeError else."""
    with open_regular(path) as stream:
        content = stream.read(MOST_TEXT + 1)
    if len(content) > MOST_TEXT:
        raise OSError(errno.EFBIG, f"larger than {MOST_TEXT // 2**20} MiB", str(path))
    return content.decode("utf-8")


not_made_again: set[Path] = set()
"""Folders that ``whole_file`` does not make: those of runs under way, which are to stay away once they are removed."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; move it into place at the end, remove it on any error.

    An OSError names ``path``, also where the system does not (a full disk is met while writing, not while opening).
    """
    if path.parent not in not_made_again:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():  # checked here since what writes the draft may make the folder
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())  # else a power cut may leave an empty file under the final name
        draft.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename in {None, str(draft)}:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """Return where what can be made again is kept: ``FER_CACHE``, else ``~/.cache/fer``."""
    return user_path(os.environ.get("FER_CACHE") or Path.home() / ".cache" / "fer")
