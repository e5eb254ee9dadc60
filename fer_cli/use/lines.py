"""A file that ends with its last whole line, whatever interrupts it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fer_cli.errors import DataError


class LineFile:
    """A text file that grows line by line; each line reaches the system at once."""

    holds = "the file holds the lines until then"
    """What a message about a fault says of the file."""

    def __init__(self, path: Path) -> None:
        """Open the file anew; raises OSError if it cannot be."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("wb", buffering=0)
        self._length = 0

    def write(self, line: str) -> None:
        """Add a line; on a fault the file keeps the lines before, and a DataError says so."""
        content = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            while content:
                content = content[self._stream.write(content) :]
        except OSError as error:
            self._shorten()
            raise DataError(f"{self.path}: {error.strerror}; {self.holds}") from None
        except BaseException:  # an interruption between two parts of a line
            self._shorten()
            raise
        self._length = self._stream.tell()

    def _shorten(self) -> None:
        with suppress(OSError):
            os.ftruncate(self._stream.fileno(), self._length)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()
