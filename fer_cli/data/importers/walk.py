"""Walking the files and folders of a source, without following links out of it or in circles."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fer_cli.data.archive import Inside
from fer_cli.data.files import problem, why_unreadable
from fer_cli.data.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fer_cli.errors import DataError

SHOWING = IMAGE_SUFFIXES | VIDEO_SUFFIXES
JUNK = (".", "__MACOSX", "Thumbs.db", "desktop.ini")
"""Prefixes of names that are never data: hidden, AppleDouble and system files."""


def is_junk(name: str) -> bool:
    """Return whether a name is that of a hidden or system file."""
    return name.startswith(JUNK)


def visible_folders(root: Path) -> list[Path]:
    """Return the visible sub-folders of ``root`` in name order."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_junk(path.name))


def image_files(folder: Path, suffixes: set[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the visible image files directly in ``folder`` in name order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_junk(path.name))


def files_below(root: Path, suffixes: set[str] = IMAGE_SUFFIXES, within: Path | None = None) -> Iterator[Path]:
    """Yield files of these suffixes under ``root`` in order, without following links out of it or in circles.

    Pipes, dangling links and empty folders named like an image or video are yielded too, and reported when read. ``within``:
    folder inside which links are followed (default: ``root``); if given, images linked from outside are omitted. Raises
    DataError for an unreadable folder.
    """
    home = real(within or root)
    seen: set[Path] = set()
    for folder, folders, files in walk_folders(root, follow=True):
        here = real(folder)
        if here in seen or not here.is_relative_to(home):
            folders.clear()
            continue
        seen.add(here)
        named = sorted(name for name in files if Path(name).suffix.lower() in suffixes and not is_junk(name))
        if not (folders or named) and folder != root and folder.suffix.lower() in suffixes & SHOWING:
            yield folder
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for path in (folder / name for name in named):
            shows = path.suffix.lower() in SHOWING
            away = (within is not None or not shows) and leads_out(path, home) and why_unreadable(path) is None
            if not away and (shows or why_unreadable(path) is None):
                yield path


def walk_folders(root: Path, follow: bool = False) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield (folder, folder names, file names) top down; the caller may edit the folder names.

    ``follow``: follow links to folders. Raises DataError for an unreadable folder.
    """
    if isinstance(root, Inside):
        yield from root.walk_entries()
    else:
        for folder, folders, files in os.walk(root, onerror=cannot_list, followlinks=follow):
            yield Path(folder), folders, files


def cannot_list(error: OSError) -> None:
    """Raise DataError for an unreadable folder, whose content would be left out silently."""
    raise DataError(f"{error.filename}: cannot be listed ({problem(error)}); make it readable, or move it away") from None


def real(path: Path) -> Path:
    """Return a path with links resolved; a circular link is returned as is."""
    return Path(os.path.realpath(path))  # Path.resolve fails for circular links


def tidy(path: Path) -> Path:
    """Return a path without ``..`` and ``.``, links unresolved."""
    return type(path)(os.path.normpath(path))


def leads_out(path: Path, home: Path) -> bool:
    """Return whether a path is a link to a place outside ``home`` (a real path)."""
    return os.path.islink(path) and not real(path).is_relative_to(home)  # noqa: PTH114 (is_symlink fails for long names)


def folder_named(root: Path, *names: str, depth: int = 2) -> Path | None:
    """Return ``root`` or the topmost folder up to ``depth`` below it with one of these names (any case), or None.

    Raises DataError for two such folders at the same depth (two copies of a data set).
    """
    wanted = {name.lower() for name in names}
    level = [root]
    for _ in range(depth + 1):
        fits = [folder for folder in level if folder.name.lower() in wanted]
        if len(fits) > 1:
            raise DataError(f"{root}: holds both {fits[0]} and {fits[1]}; give --from one of them")
        if fits:
            return fits[0]
        level = [below for folder in level for below in visible_folders(folder)]
    return None


def file_named(root: Path, *names: str, depth: int = 2) -> Path | None:
    """Return ``root`` or the topmost file up to ``depth`` below it with one of these names (any case), or None."""
    wanted = {name.lower() for name in names}
    if root.is_file():
        return root if root.name.lower() in wanted else None
    level = [root]
    for _ in range(depth + 1):
        fits = sorted(p for folder in level for p in tables_in(folder, root) if p.name.lower() in wanted)
        if fits:
            return fits[0]
        level = [below for folder in level for below in visible_folders(folder)]
    return None


def tables_in(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the files directly in ``folder``, except links out of ``root``."""
    home = real(root)
    return (path for path in folder.iterdir() if path.is_file() and not leads_out(path, home))


def below(source: Path, file: Path) -> str:
    """Return a file's path below ``source``, its name in ``Scan.skipped``."""
    return file.relative_to(source).as_posix() if source.is_dir() else file.name


def nearest_to_root(files: Iterable[Path], *names: str) -> Path | None:
    """Return the topmost file with one of these names (any case), or None; raises DataError for two at the same depth."""
    wanted = {name.lower() for name in names}
    fits = sorted((len(file.parts), file) for file in files if file.name.lower() in wanted)
    if len(fits) > 1 and fits[0][0] == fits[1][0]:
        raise DataError(f"{fits[0][1]}: has a second copy, {fits[1][1]}; give --from one of them")
    return fits[0][1] if fits else None
