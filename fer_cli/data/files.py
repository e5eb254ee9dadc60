"""Checks of paths, and file names (bytes) as lossless printable text."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from pathlib import Path

from fer_cli.errors import DataError

SHOWN = 80
"""Characters of a name quoted in a message."""
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
    errno.ELOOP: "circular symbolic link",
    errno.ENAMETOOLONG: "a path too long for the file system",
}
INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories of invisible and control characters."""
UNKNOWN = ("", "none", "unknown", "nan")
"""Values of an unknown person, sequence or part, in lower case."""
LARGEST = 2**63 - 1
"""Largest number that a manifest stores."""


def why_unreadable(path: Path, most: int | None = None) -> str | None:
    """Return why ``path`` is not a regular file (of at most ``most`` bytes), or None; opens nothing, as pipes may block."""
    try:
        found = path.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and path.is_symlink():
            return "dangling link"
        return problem(error)
    except ValueError:  # a NUL in the name
        return "not a valid file name"
    if not stat.S_ISREG(found.st_mode):
        return KINDS.get(stat.S_IFMT(found.st_mode), "not a file")
    if most is not None and found.st_size > most:
        return f"larger than {most // 2**20} MiB"
    return None


def problem(error: OSError) -> str:
    """Return a short reason why a file cannot be read."""
    return PROBLEMS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()


def readable_name(path: Path | str) -> str:
    r"""Return a name with ``\xNN`` for bytes that are not UTF-8, control characters and backslashes; lossless."""
    text = os.fspath(path)
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    unseen = character == "\\" or "\ud800" <= character <= "\udfff" or unicodedata.category(character) in INVISIBLE
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")) if unseen else character


def shorten(name: str) -> str:
    """Return a name for messages: only the end of a long one."""
    return name if len(name) <= SHOWN else f"...{name[-SHOWN:]}"


def read_number(digits: str, where: str) -> int:
    """Return the integer of decimal ``digits``; raises DataError with ``where`` if it is too large to be stored."""
    digits = digits.lstrip("0") or "0"
    if len(digits) > len(str(LARGEST)) or int(digits) > LARGEST:
        raise DataError(f"{where}: number {shorten(digits)} is too large; the largest is {LARGEST}")
    return int(digits)


def known_name(name: str) -> str:
    """Return the name of a person or sequence; "" for an unknown one."""
    return "" if name.lower() in UNKNOWN else name
