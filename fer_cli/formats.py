"""The file formats of figures: a PNG, and what is written beside it. Light: loaded without matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from fer_cli.errors import StudyError, nearest
from fer_cli.escape import cut

FORMATS = ("png", "pdf", "svg")
"""A PNG is always written."""
_used: ContextVar[tuple[str, ...]] = ContextVar("formats", default=("png",))


@contextmanager
def use_formats(formats: Sequence[str]) -> Iterator[None]:
    """Let figures be written in these formats as well as PNG."""
    token = _used.set(("png", *dict.fromkeys(name for name in formats if name != "png")))
    try:
        yield
    finally:
        _used.reset(token)


def used_formats() -> tuple[str, ...]:
    """Return the formats in use, PNG first."""
    return _used.get()


def figure_files(path: Path) -> list[Path]:
    """Return the files of a figure in the formats in use, PNG first; another file is itself."""
    return [path.with_suffix(f".{name}") for name in used_formats()] if path.suffix == ".png" else [path]


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats of ``pdf,svg``; raises StudyError for an unknown one."""
    names = tuple(name.strip().lower().removeprefix(".") for name in text.split(",") if name.strip())
    for name in names:
        if name not in FORMATS:
            raise StudyError(f"--formats {cut(text)}: unknown format {cut(name)}{nearest(name, FORMATS)}")
    if not names:
        raise StudyError(f"--formats: give at least one of {', '.join(FORMATS)}")
    return names
