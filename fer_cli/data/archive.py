"""A ``.zip`` read in place (format: PKWARE APPNOTE 6.3): importers use paths inside it like those of an unpacked folder.

Nothing is unpacked; entries are decoded when read. Entries with unsafe paths and links are listed, not read; archives that
are encrypted, ambiguous or zip bombs are refused.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import stat
import struct
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import IO, Any, ClassVar

from fer_cli.data.files import readable_name, shorten, why_unreadable
from fer_cli.errors import DataError
from fer_cli.places import open_regular, user_path

SUFFIX = ".zip"
UNPACK = "unpack it and give --from the folder"
LEADS_OUT = "entry with a path outside the archive; not read"
NO_FILE = "link or device in an archive; not followed"

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Supported compression methods; a few bytes of any other may unpack to gigabytes at once."""
FREE = 2**30
"""Unpacked bytes allowed for any archive."""
SWELL = 200
"""Allowed compression ratio beyond that; images hardly shrink, pixel tables to a quarter."""
ENCRYPTED = 0x41
"""Flags of encrypted entries."""
DRIVE = re.compile(r"[A-Za-z]:")
BLOCK = 2**18
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)
"""Exceptions that ``zipfile`` raises for a damaged entry."""


class Archive:
    """An open ``.zip`` and its entries; raises DataError if it is invalid or refused."""

    def __init__(self, file: Path) -> None:
        """``file``: absolute path of a regular file."""
        self.file = file
        self.refused: dict[str, list[str]] = {}
        """Reason -> entries that are not read."""
        self.entries: dict[str, zipfile.ZipInfo] = {}
        """Path of a file -> its entry."""
        self.folders: dict[str, dict[str, None]] = {"": {}}
        """Path of a folder -> names in it, in the archive's order."""
        self.lock = threading.Lock()  # zipfile's count of open entries is not thread-safe
        self.stream = open_regular(file)
        try:
            self.found = os.fstat(self.stream.fileno())
            self.zip = self._open_zip()
            self._check()
            for info in self.zip.infolist():
                self._add(info)
        except BaseException:
            self.stream.close()
            raise
        self.root: Inside = type("Inside", (Inside,), {"archive": self})(file)

    def _open_zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.stream)
        except (*DAMAGE, ValueError, OverflowError) as error:
            what = "empty file" if not self.found.st_size else " ".join(str(error).split()) or "damaged"
            raise DataError(f"{self.file}: not a readable .zip ({shorten(what)}); is it complete?") from None

    def _check(self) -> None:
        """Raise DataError for an archive that is encrypted, uses another compression method, or is a zip bomb."""
        infos = self.zip.infolist()
        for info in infos:
            name = shorten(readable_name(info.filename))
            if info.flag_bits & ENCRYPTED:
                raise DataError(f"{self.file}: {name} is encrypted; unpack it with its password and give --from the folder")
            if info.compress_type not in METHODS:
                method = f"unsupported method {info.compress_type}"
                raise DataError(f"{self.file}: {name} is compressed with {method}; {UNPACK}")
        size, whole = self.found.st_size, sum(info.file_size for info in infos)
        if sum(info.compress_size for info in infos) > size:
            raise DataError(f"{self.file}: its entries overlap, as in a zip bomb; not read")
        if whole > max(FREE, SWELL * size):
            times = f"{whole / 2**30:.1f} GiB, {whole // max(size, 1)} times its size"
            raise DataError(f"{self.file}: unpacks to {times}, like a zip bomb; if it is not one, {UNPACK}")

    def _add(self, info: zipfile.ZipInfo) -> None:
        """Add an entry, or list it as refused; raises DataError for duplicate names."""
        parts = parts_of(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if parts is None or kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            self.refused.setdefault(NO_FILE if parts else LEADS_OUT, []).append(readable_name(info.filename))
            return
        name = "/".join(parts)
        is_folder = info.filename.endswith(("/", "\\"))
        inner = [("/".join(parts[:depth]), part) for depth, part in enumerate(parts)]
        folders = [folder for folder, _ in inner] + [name] * is_folder
        if any(folder in self.entries for folder in folders) or (not is_folder and self.lists(name)):
            raise DataError(
                f"{self.file}: two entries are called {shorten(readable_name(name))}; {UNPACK} with the right one"
            )
        for folder, part in inner:
            self.folders.setdefault(folder, {})[part] = None
        if is_folder:
            self.folders.setdefault(name, {})
        else:
            self.entries[name] = info

    def lists(self, name: str) -> bool:
        """Return whether the archive has a file or folder of this path."""
        return name in self.entries or name in self.folders

    def stat(self, name: str) -> os.stat_result:
        """Return the status of a file or folder in the archive, with the archive's times."""
        info, zipped = self.entries.get(name), self.found
        mode, size = (stat.S_IFDIR | 0o500, 0) if info is None else (stat.S_IFREG | 0o400, info.file_size)
        place = 0 if info is None else info.header_offset
        times = {"st_atime_ns": zipped.st_atime_ns, "st_mtime_ns": zipped.st_mtime_ns, "st_ctime_ns": zipped.st_ctime_ns}
        seconds = (int(zipped.st_atime), int(zipped.st_mtime), int(zipped.st_ctime))
        return os.stat_result((mode, place, zipped.st_dev, 1, zipped.st_uid, zipped.st_gid, size, *seconds), times)

    def sha256(self) -> str:
        """Return the SHA-256 of the archive; raises DataError if it was changed while being read."""
        with self.file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            now = os.fstat(stream.fileno())
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (self.found.st_ino, self.found.st_size, self.found.st_mtime_ns):
            raise DataError(f"{self.file}: changed while being read; build the set again")
        return digest

    def close(self) -> None:
        """Close the archive; its paths become unreadable."""
        self.zip.close()
        self.stream.close()


def parts_of(name: str) -> tuple[str, ...] | None:
    """Return the parts of an entry's path (backslashes of Windows archives count as slashes), None for an unsafe path."""
    text = name.replace("\\", "/")
    parts = tuple(part for part in text.split("/") if part not in {"", "."})
    return None if not parts or text.startswith("/") or DRIVE.match(parts[0]) or ".." in parts else parts


@contextmanager
def name_damage(name: str) -> Iterator[None]:
    """Turn the errors of a damaged entry into an OSError that names it, like a bad disk sector."""
    try:
        yield
    except DAMAGE:
        raise OSError(errno.EIO, "damaged in its archive", name) from None


class Member(io.RawIOBase):
    """The content of one entry, decompressed while reading."""

    def __init__(self, archive: Archive, info: zipfile.ZipInfo) -> None:
        """Open the entry; raises OSError if its header is damaged."""
        super().__init__()
        self._archive, self._name = archive, str(archive.file / info.filename)
        with archive.lock, name_damage(self._name):
            self._stream = archive.zip.open(info)

    def readable(self) -> bool:  # noqa: D102 (as in io)
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:  # noqa: D102
        with name_damage(self._name):
            return self._stream.seek(offset, whence)

    def tell(self) -> int:  # noqa: D102
        return self._stream.tell()

    def readinto(self, buffer: Any, /) -> int:  # noqa: D102
        view = memoryview(buffer)
        with name_damage(self._name):
            content = self._stream.read(len(view))
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:  # noqa: D102
        if not self.closed and hasattr(self, "_stream"):
            with self._archive.lock:
                self._stream.close()
        super().close()


class Inside(PosixPath):
    """A path in an archive (each archive has its own subclass); outside it, an ordinary path."""

    archive: ClassVar[Archive]

    def place(self) -> str | None:
        """Return the path within the archive, None for a path outside it."""
        text, home = os.path.normpath(self), str(self.archive.file)
        return "" if text == home else text[len(home) + 1 :] if text.startswith(f"{home}/") else None

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: D102 (as in pathlib, here and below)
        if (place := self.place()) is None:
            return super().stat(follow_symlinks=follow_symlinks)
        if not self.archive.lists(place):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return self.archive.stat(place)

    def lstat(self) -> os.stat_result:  # noqa: D102
        return self.stat(follow_symlinks=False)

    def exists(self, *, follow_symlinks: bool = True) -> bool:  # noqa: D102
        place = self.place()
        return super().exists() if place is None else self.archive.lists(place)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: D102
        place = self.place()
        return super().is_dir() if place is None else place in self.archive.folders

    def is_file(self, *, follow_symlinks: bool = True) -> bool:  # noqa: D102
        place = self.place()
        return super().is_file() if place is None else place in self.archive.entries

    def is_symlink(self) -> bool:  # noqa: D102
        return self.place() is None and super().is_symlink()

    def resolve(self, strict: bool = False) -> Inside:  # noqa: D102
        return super().resolve(strict) if self.place() is None else self

    def iterdir(self) -> Iterator[Inside]:  # type: ignore[override]  # noqa: D102 (typeshed: a generator)
        place = self.place()
        if place is None:
            yield from super().iterdir()
        elif not self.is_dir():
            number = errno.ENOTDIR if self.is_file() else errno.ENOENT
            raise OSError(number, os.strerror(number), str(self))
        else:
            yield from (self / name for name in self.archive.folders[place])

    def open(  # type: ignore[override]  # noqa: D102 (typeshed has a signature for each mode)
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        place = self.place()
        if place is None:
            return super().open(mode, buffering, encoding, errors, newline)
        if mode not in {"r", "rt", "rb"}:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        if (info := self.archive.entries.get(place)) is None:
            number = errno.EISDIR if place in self.archive.folders else errno.ENOENT
            raise OSError(number, os.strerror(number), str(self))
        content = io.BufferedReader(Member(self.archive, info), BLOCK)
        return content if mode == "rb" else io.TextIOWrapper(content, encoding, errors, newline)

    def walk_entries(self) -> Iterator[tuple[Path, list[str], list[str]]]:
        """Yield (folder, folder names, file names) as ``os.walk`` does; the caller may edit the folder names."""
        level: list[Inside] = [self] if self.is_dir() else []
        while level:
            here = level.pop()
            place = here.place() or ""
            names = list(self.archive.folders[place])
            folders = [name for name in names if f"{place}/{name}".lstrip("/") in self.archive.folders]
            yield here, folders, [name for name in names if f"{place}/{name}".lstrip("/") in self.archive.entries]
            level += [here / name for name in reversed(folders)]


@contextmanager
def source_at(path: Path) -> Iterator[Path]:
    """Yield the folder or file at a user's path, which may lie in a ``.zip``; the archive is closed after the body.

    Raises DataError for a refused archive.
    """
    whole = Path(os.path.abspath(user_path(path)))  # noqa: PTH100 (a link to a .zip may point to another suffix)
    file = next(
        (one for one in (whole, *whole.parents) if one.suffix.lower() == SUFFIX and why_unreadable(one) is None), None
    )
    if file is None:
        yield user_path(path).resolve()
        return
    archive = Archive(file)
    try:
        yield type(archive.root)(whole)
    finally:
        archive.close()


def archive_of(source: Path) -> Archive | None:
    """Return the archive that contains a source, None for a folder or file on disk."""
    return source.archive if isinstance(source, Inside) else None


@contextmanager
def on_disk(file: Path) -> Iterator[Path]:
    """Yield a path on disk for libraries that open files by path; a file in an archive is copied to a temporary folder."""
    if archive_of(file) is None:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="fer-") as folder:
        copy = Path(folder) / f"film{file.suffix if file.suffix.isascii() and file.suffix.isprintable() else ''}"
        with file.open("rb") as content, copy.open("wb") as stream:
            shutil.copyfileobj(content, stream, BLOCK)
        yield copy
