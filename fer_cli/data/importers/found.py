"""The result of an importer, before decoding, and helpers for reading layouts.

Paths read from files are not trusted: ``inside`` refuses those that leave the source folder.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import known_name, readable_name, shorten, why_unreadable
from fer_cli.data.formats import IMAGE_SUFFIXES
from fer_cli.data.importers.hints import ARCHIVES, where_to_point
from fer_cli.data.importers.walk import (
    below,
    files_below,
    is_junk,
    leads_out,
    real,
    tables_in,
    visible_folders,
    walk_folders,
)
from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut

GREYS = {str(value): value for value in range(256)}

BLOCK = 2**18
"""Chunk size in bytes for comparing files."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the source image."""


@dataclass(frozen=True)
class Found:
    """One image: location and metadata."""

    sample: str
    """Unique name within the data set."""
    file: Path
    """Absolute path of the image, the video, or the pixel table."""
    label: str
    subject: str
    """Empty if unknown."""
    sequence: str
    """Clip or sequence; empty if none."""
    frame: int
    split: str = "none"
    """Official part."""
    box: Box | None = None
    """The data set's face box."""
    pixels: bytes | None = None
    """Grey pixels of a square image, row by row, from a table."""
    fault: str = ""
    """Why the pixels from a table are unusable."""
    moment: int | None = None
    """Frame number in a video file, from 0."""
    turn: int = 0
    """Quarter turns clockwise needed to make the image upright."""
    own: bool = True
    """Whether ``sample`` is made of the data set's own numbers; if not (a path), the id is made from the content."""


@dataclass(frozen=True)
class Scan:
    """The result of scanning a source folder."""

    layout: str
    """Description of the layout."""
    found: list[Found]
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> files that are not labelled images (averages, unlabelled sequences, ...)."""
    counts: dict[str, int] | None = None
    """Images per label in this layout if different from the card's; empty: unknown."""
    others: dict[str, int] = field(default_factory=dict)
    """Suffix -> number of other files (tables, texts, archives); see ``accounts``."""
    most: int | None = None
    """Maximum number of images in this layout if different from the card's total."""


Layout = Callable[[Path, Card], Scan | None]
"""Returns None if the folder has another layout; raises DataError if its content is wrong."""


def first_layout(source: Path, card: Card, layouts: dict[str, Layout]) -> Scan:
    """Return the scan of the first matching layout; raises DataError listing the expected layouts."""
    if not source.exists():
        raise DataError(f"{source}: no such folder; --from takes {card.name} as {' or '.join(layouts)}")
    if source.is_file() and source.suffix.lower() in ARCHIVES:
        raise DataError(f"{source}: unsupported archive (only .zip is read in place); unpack it and give --from the folder")
    for layout in layouts.values():
        scan = layout(source, card)
        if scan is not None:
            return unique(scan)
    if source.is_file():
        raise DataError(f"{source}: a file, not a folder; --from takes {card.name} as {' or '.join(layouts)}")
    pointer = where_to_point(source, card.folders) + link_hint(source)
    raise DataError(f"{source}: contains no {card.name}; looked for {'; '.join(layouts)}{pointer}")


def link_hint(source: Path) -> str:
    """Return a hint at the first outward link in ``source``; empty without one."""
    for path in sorted(source.iterdir()) if source.is_dir() else ():
        if leads_out(path, real(source)):
            return f"; {shorten(path.name)} is a link out of the folder, which is not followed"
    return ""


def unique(scan: Scan) -> Scan:
    """Return the scan in a path-independent order with printable names, "" for unknown people and sequences.

    Raises DataError for duplicate names.
    """
    seen: dict[str, Found] = {}
    for image in scan.found:
        if image.sample in seen:
            raise duplicate_name_error(image, seen[image.sample])
        subject, sequence = (known_name(readable_name(name)) for name in (image.subject, image.sequence))
        seen[image.sample] = replace(image, sample=readable_name(image.sample), subject=subject, sequence=sequence)
    skipped = {reason: [readable_name(name) for name in names] for reason, names in scan.skipped.items()}
    return replace(scan, found=sorted(seen.values(), key=place_of), skipped=skipped)


def duplicate_name_error(image: Found, other: Found) -> DataError:
    """Return the error for two images of one name, which says whether their content is equal."""
    return duplicate_file_error(image.file, other.file, same_content(image, other))


def duplicate_file_error(file: Path, other: Path, same: bool | None = None, what: str = "image") -> DataError:
    """Return the error for two files of one image; ``same``: whether their content is equal (None: compare bytes)."""
    if same_bytes(file, other) if same is None else same:
        return DataError(f"{file}: the same {what} is also at {other}; keep one of the two")
    return DataError(f"{file}: names the same {what} as {other}, but has other content; keep the right one of the two")


def same_content(image: Found, other: Found) -> bool:
    """Return whether two images have the same file content, pixels or frame; False if unreadable."""
    if image.pixels is not None or other.pixels is not None:
        return image.pixels == other.pixels
    return (image.moment, image.box) == (other.moment, other.box) and same_bytes(image.file, other.file)


def same_bytes(file: Path, other: Path) -> bool:
    """Return whether two files have the same content; False if unreadable."""
    try:
        if file == other:
            return True
        if file.stat().st_size != other.stat().st_size or why_unreadable(file) or why_unreadable(other):
            return False
        with file.open("rb") as mine, other.open("rb") as theirs:
            return all(block == theirs.read(BLOCK) for block in iter(lambda: mine.read(BLOCK), b""))
    except OSError:
        return False


def place_of(image: Found) -> tuple[object, ...]:
    """Return the sort key of an image: its own number, else its metadata, and its path only to break ties."""
    if image.own:
        return (0, image.sample)
    known = (image.label, image.split, image.subject, image.sequence, image.frame, image.box or ())
    return (1, *known, image.sample)


def class_folders(source: Path, card: Card, names: dict[str, str] | None = None, depth: int = 1) -> dict[Path, str] | None:
    """Return class folders in ``source``, or up to ``depth`` below it, with their labels; None if there are none.

    ``names``: folder name (any case) -> label (default: the card's folders). Raises DataError for a non-empty sibling folder
    without a label, and for class folders in two places.
    """
    if not source.is_dir():
        return None
    known = {folder.lower(): label for folder, label in (names or card.folders).items()}
    level = [source]
    for _ in range(depth + 1):
        homes = [root for root in level if any(f.name.lower() in known for f in visible_folders(root))]
        if len(homes) > 1:
            raise DataError(f"{source}: class folders in both {homes[0]} and {homes[1]}; give --from one of them")
        if homes:
            folders = [f for f in visible_folders(homes[0]) if f.name.lower() in known or holds_data(f)]
            for folder in folders:
                if folder.name.lower() not in known:
                    hint = card.words_on(folder.name) or nearest(folder.name.lower(), known)
                    away = f"; if it is not a class, move it out of {homes[0]}"
                    raise DataError(f"{folder}: unknown class folder for the card of {card.name}{hint}{away}")
            return {folder: known[folder.name.lower()] for folder in folders}
        level = [below for root in level for below in visible_folders(root)]
    return None


def holds_data(folder: Path) -> bool:
    """Return whether a folder contains any file, ignoring hidden and system files."""
    for _, folders, files in walk_folders(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        if not all(map(is_junk, files)):
            return True
    return False


def inside(root: Path, relative: str, where: str) -> Path:
    """Return ``root / relative``; raises DataError with ``where`` if the path leaves ``root``."""
    text = relative.strip().replace("\\", "/")
    path = root / text
    if not text or "\0" in text or Path(text).is_absolute() or not real(path).is_relative_to(real(root)):
        raise DataError(f"{where}: path '{shorten(relative)}' leads out of {root}; only files below it are read")
    return path


def read_rows(path: Path, needs: tuple[str, ...], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a table with header; names and cells are stripped, a BOM is skipped.

    Raises DataError if the file is not text, a needed column is missing, two columns have one name, or a row is shorter than
    the header.
    """
    csv.field_size_limit(16_000_000)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
            header = named_once(path, [name.strip() for name in next(reader, [])])
            if missing := [name for name in needs if name not in header]:
                raise DataError(f"{path}: no column '{missing[0]}'; the header is {', '.join(header) or 'empty'}")
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) < len(header):
                    short = f"{len(cells)} cells, the header has {len(header)}"
                    raise DataError(f"{path}, line {reader.line_num}: {short}; is the file complete?")
                yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a text table ({error})") from None


def named_once(table: Path, header: list[str]) -> list[str]:
    """Return the column names of a table; raises DataError if two columns have one name."""
    twice = [name for place, name in enumerate(header) if name and name in header[:place]]
    if twice:
        raise DataError(f"{table}: two columns are named '{cut(twice[0])}'; rename or remove one of them")
    return header


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, words) of a text file without header, skipping empty lines."""
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if words := line.split():
                yield number, words
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None


def with_leftovers(source: Path, scan: Scan, reason: str, suffixes: set[str] = IMAGE_SUFFIXES) -> Scan:
    """Return the scan with all unmentioned files of these suffixes under ``source`` added to ``skipped[reason]``."""
    if not source.is_dir():
        return scan
    named = {below(source, image.file) for image in scan.found} | {name for names in scan.skipped.values() for name in names}
    rest = [name for file in files_below(source, suffixes) if (name := below(source, file)) not in named]
    return replace(scan, skipped=scan.skipped | {reason: [*scan.skipped.get(reason, []), *rest]}) if rest else scan


def grey_pixels(cell: str, where: str, side: int | None = None) -> bytes:
    """Return the grey values in a table cell: blank-separated integers of a square image; raises DataError otherwise."""
    try:
        return square_pixels(cell, side)
    except ValueError as error:
        raise DataError(f"{where}: {error}; is the file complete?") from None


def square_pixels(cell: str, side: int | None = None) -> bytes:
    """Return the result of ``grey_pixels``; raises ValueError for invalid cells."""
    try:
        pixels = bytes(map(GREYS.__getitem__, cell.split()))  # three times faster than int()
    except KeyError as error:
        raise ValueError(
            f"'{cut(error.args[0])}' is not a pixel; pixels are blank-separated integers from 0 to 255"
        ) from None
    wanted = side or round(len(pixels) ** 0.5)
    if not pixels or wanted * wanted != len(pixels):
        what = f"expected {side * side}" if side else "not a square image"
        raise ValueError(f"{len(pixels)} pixels, {what}")
    return pixels


def check_folder(file: Path, label: str, card: Card) -> None:
    """Raise DataError if a file's folder is named after another class than ``label``."""
    own = {word.lower(): known for word, known in card.folders.items()}
    folder = own.get(file.parent.name.lower(), label)
    if folder != label:
        raise DataError(f"{file}: named as {label}, but in the folder of {folder}; fix one of the two")


def table_with(source: Path, columns: tuple[str, ...], depth: int = 1) -> Path | None:
    """Return the only CSV at ``source`` or up to ``depth`` below it with these columns; raises DataError for several."""
    level = [source] if source.is_dir() else []
    tables = [] if level else [source]
    for _ in range(depth + 1):
        tables += [p for folder in level for p in sorted(tables_in(folder, source)) if not is_junk(p.name)]
        level = [inner for folder in level for inner in visible_folders(folder)]
    fits = []
    for table in tables:
        if table.suffix.lower() == ".csv":
            with table.open(encoding="utf-8-sig", errors="replace") as stream:
                # Limited, in case of a binary file without line ends.
                header = [name.strip().strip('"') for name in stream.readline(4096).split(",")]
            if all(column in header for column in columns):
                fits.append(table)
    if len(fits) > 1:
        raise DataError(
            f"{source}: both {fits[0].name} and {fits[1].name} have {', '.join(columns)}; give --from one of them"
        )
    return fits[0] if fits else None


def tree(source: Path, suffixes: set[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the files of these suffixes below ``source``, or ``source`` itself if it is one."""
    if source.is_file():
        return [source] if source.suffix.lower() in suffixes else []
    return list(files_below(source, suffixes)) if source.exists() else []


def part_above(file: Path, source: Path, parts: dict[str, str]) -> str | None:
    """Return the part of the nearest folder above, up to ``source``, by ``parts`` (lower-case folder name -> part)."""
    for folder in file.parents:
        if folder.name.lower() in parts:
            return parts[folder.name.lower()]
        if folder == source:
            return None
    return None
