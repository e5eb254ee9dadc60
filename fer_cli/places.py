"""Shipped folders (studies, cards), user paths, and safe opening and atomic writing of files."""

from __future__ import annotations

import errno
import os
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
    """Open a file for reading; raises OSError unless it is a regular file, and never blocks on a pipe."""
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
    """Return a path with ``~`` and ``~name`` expanded, the latter only for known users."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser fails for an unknown user)


def same_file(one: Path, other: Path) -> bool:
    """Return whether two paths are the same file, now or once written."""
    return os.path.realpath(one) == os.path.realpath(other)


def inode_of(path: Path) -> int | None:
    """Return the inode of a file, None while it is not there."""
    with suppress(OSError):
        return path.stat().st_ino
    return None


MOST_TEXT = 64 * 2**20
"""Size limit of text files in bytes."""
USUAL_TEXT = 2**20
"""Size in bytes that most text files do not reach."""


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file; raises OSError unless it is a regular file, UnicodeDecodeError unless it is UTF-8."""
    with open_regular(path) as stream:
        content = stream.read(USUAL_TEXT)
        if len(content) == USUAL_TEXT:
            content += stream.read(MOST_TEXT + 1 - USUAL_TEXT)  # what a read may return is reserved first, which takes time
    if len(content) > MOST_TEXT:
        raise OSError(errno.EFBIG, f"larger than {MOST_TEXT // 2**20} MiB", str(path))
    return content.decode("utf-8")


def is_utf8(path: Path) -> bool:
    """Return whether a path is text in UTF-8, which some libraries require."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def plain_path(path: Path) -> Iterator[Path]:
    """Yield a path for libraries that take UTF-8 alone (others end the process): ``path``, or a link to a folder or file."""
    if is_utf8(path):
        yield path
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fer-") as folder:
        link = Path(folder) / f"link{path.suffix if path.suffix.isascii() and path.suffix.isprintable() else ''}"
        link.symlink_to(path.absolute())
        yield link


not_made_again: set[Path] = set()
"""Folders that ``whole_file`` does not create: run folders in use, which must stay deleted once removed."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it is moved into place at the end, or removed on any error.

    An OSError names ``path`` even where the system does not (a full disk shows while writing, not on opening). Raises
    IsADirectoryError for a path without a name, as ``.`` and ``/`` are.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.parent not in not_made_again:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():  # checked here, since the writer may create the folder
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())  # otherwise a power cut may leave an empty file under the final name
        draft.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename in {None, str(draft)}:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """Return the cache folder: ``FER_CACHE``, else ``~/.cache/fer``."""
    return user_path(os.environ.get("FER_CACHE") or Path.home() / ".cache" / "fer")
