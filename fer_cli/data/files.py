"""What lies at a path: why it cannot be read as a file, and how its name is written down.

A name on a disk is bytes. ``readable_name`` writes it as text that every table, report and screen takes, and loses nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from pathlib import Path

SHOWN = 80
"""Characters of a name that a message repeats."""
KINDS = {
    stat.S_IFDIR: "a folder, not a file",
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}
PROBLEMS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.ELOOP: "a link that leads back to itself",
    errno.ENAMETOOLONG: "a path too long for the file system",
}
INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories of characters that steer a screen instead of being seen on it."""


def why_unreadable(path: Path, most: int | None = None) -> str | None:
    """Return why ``path`` is not opened, None for a regular file (of at most ``most`` bytes).

    Nothing is opened to find out: a pipe or a device could keep its reader waiting for ever.
    """
    try:
        found = path.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and path.is_symlink():
            return "dangling link"
        return problem(error)
    except ValueError:  # a NUL in the name
        return "no name of a file"
    if not stat.S_ISREG(found.st_mode):
        return KINDS.get(stat.S_IFMT(found.st_mode), "not a file")
    if most is not None and found.st_size > most:
        return f"larger than {most // 2**20} MiB"
    return None


def problem(error: OSError) -> str:
    """Return in a few words why a file cannot be read."""
    return PROBLEMS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()


def readable_name(path: Path | str) -> str:
    r"""Return a name with ``\xNN`` for every byte that is not UTF-8, of a control character, or a backslash.

    The name on the disk is the bytes that this stands for; no two names give the same text.
    """
    text = os.fspath(path)
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    unseen = character == "\\" or "\ud800" <= character <= "\udfff" or unicodedata.category(character) in INVISIBLE
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")) if unseen else character


def shorten(name: str) -> str:
    """Return a name as messages repeat it: its end, which tells files apart, where it is long."""
    return name if len(name) <= SHOWN else f"...{name[-SHOWN:]}"
