"""What an importer finds, before anything is decoded, and the tools by which layouts are read.

Nothing here trusts a path that stands in a file: ``inside`` refuses those that leave the source folder.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import readable_name, shorten, why_unreadable
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
"""Bytes of two files that are compared at a time."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the source image."""


@dataclass(frozen=True)
class Found:
    """One image: where it is, and what its name, folder or table row say of it."""

    sample: str
    """Unique name within the data set."""
    file: Path
    """Absolute path of the image, the video, or the table whose row holds the pixels."""
    label: str
    subject: str
    """Empty where the layout does not tell who it is."""
    sequence: str
    """Clip or sequence; empty where there is none."""
    frame: int
    split: str = "none"
    """Official part, where the data set has one."""
    box: Box | None = None
    """The face, where the data set says where it is."""
    pixels: bytes | None = None
    """Grey pixels of a square image, row by row, where they stand in a table instead of a file."""
    fault: str = ""
    """Why the pixels that stand in a table cannot be used, in words."""
    moment: int | None = None
    """Frame number to take from a video file, from 0."""
    turn: int = 0
    """Quarter turns clockwise that bring the picture upright."""
    own: bool = True
    """Whether ``sample`` is made of the data set's own numbers; if not (a path), the set names the image by its content."""


@dataclass(frozen=True)
class Scan:
    """Everything an importer says of a source folder."""

    layout: str
    """Which of the known layouts it is, in words."""
    found: list[Found]
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> files that belong to the data set but are no labelled image (averages, unlabelled sequences, ...)."""
    counts: dict[str, int] | None = None
    """Images per label in this layout, where it differs from the card's; empty: not known."""
    others: dict[str, int] = field(default_factory=dict)
    """Suffix -> files of it that are neither picture nor film (tables, texts, archives); see ``accounts``."""
    most: int | None = None
    """How many images this layout can have at most, where that is not the card's total."""


Layout = Callable[[Path, Card], Scan | None]
"""Returns None where the folder is not of its kind; raises DataError where it is, but something in it is wrong."""


def first_layout(source: Path, card: Card, layouts: dict[str, Layout]) -> Scan:
    """Return the scan of the first layout that knows the folder; raises DataError that lists what was looked for."""
    if not source.exists():
        raise DataError(f"{source}: no such folder; --from takes {card.name} as {' or '.join(layouts)}")
    if source.is_file() and source.suffix.lower() in ARCHIVES:
        raise DataError(
            f"{source}: an archive that is not read in place (only .zip is); unpack it and give --from the folder"
        )
    for layout in layouts.values():
        scan = layout(source, card)
        if scan is not None:
            return unique(scan)
    if source.is_file():
        raise DataError(f"{source}: a file, not a folder; --from takes {card.name} as {' or '.join(layouts)}")
    pointer = where_to_point(source, card.folders) + link_hint(source)
    raise DataError(f"{source}: no {card.name} in it; looked for {'; '.join(layouts)}{pointer}")


def link_hint(source: Path) -> str:
    """Return a hint at the first link in ``source`` that leads out of it; empty without one."""
    for path in sorted(source.iterdir()) if source.is_dir() else ():
        if leads_out(path, real(source)):
            return f"; {shorten(path.name)} is a link that leads out of the folder, which is not followed"
    return ""


def unique(scan: Scan) -> Scan:
    """Return the scan in an order that no path decides, and every name of it as text (``readable_name``).

    Raises DataError where two images have one name.
    """
    seen: dict[str, Found] = {}
    for image in scan.found:
        if image.sample in seen:
            raise duplicate_name_error(image, seen[image.sample])
        sample, subject, sequence = map(readable_name, (image.sample, image.subject, image.sequence))
        seen[image.sample] = replace(image, sample=sample, subject=subject, sequence=sequence)
    skipped = {reason: [readable_name(name) for name in names] for reason, names in scan.skipped.items()}
    return replace(scan, found=sorted(seen.values(), key=place_of), skipped=skipped)


def duplicate_name_error(image: Found, other: Found) -> DataError:
    """Return the error for two images of one name; it says that they are the same only where their content is."""
    return duplicate_file_error(image.file, other.file, same_content(image, other))


def duplicate_file_error(file: Path, other: Path, same: bool | None = None, what: str = "image") -> DataError:
    """Return the error for two files that claim to be one image; ``same``: whether they are (None: their bytes are)."""
    if same_bytes(file, other) if same is None else same:
        return DataError(f"{file}: the same {what} also stands at {other}; keep one of the two")
    return DataError(f"{file}: names the same {what} as {other}, but has other content; keep the right one of the two")


def same_content(image: Found, other: Found) -> bool:
    """Return whether two images hold the same bytes: the same file, pixels or frame; what cannot be read is not the same."""
    if image.pixels is not None or other.pixels is not None:
        return image.pixels == other.pixels
    return (image.moment, image.box) == (other.moment, other.box) and same_bytes(image.file, other.file)


def same_bytes(file: Path, other: Path) -> bool:
    """Return whether two files hold the same; what cannot be read is not known to be the same."""
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
    """Return what images are put in order by: their own numbers, else all that is known of them but where they lie.

    Only images that nothing else tells apart are in the order of their paths.
    """
    if image.own:
        return (0, image.sample)
    known = (image.label, image.split, image.subject, image.sequence, image.frame, image.box or ())
    return (1, *known, image.sample)


def class_folders(source: Path, card: Card, names: dict[str, str] | None = None, depth: int = 1) -> dict[Path, str] | None:
    """Return class folders in ``source``, or up to ``depth`` below it, with their labels; None where there are none.

    ``names``: folder name (any case) -> label; the card's folders by default. Raises DataError for a sibling folder that
    no label is known for, unless nothing but leavings of archives is in it, and for two homes of class folders.
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
                    away = f"; if it is no class, move it out of {homes[0]}"
                    raise DataError(f"{folder}: class folder unknown to the card of {card.name}{hint}{away}")
            return {folder: known[folder.name.lower()] for folder in folders}
        level = [below for root in level for below in visible_folders(root)]
    return None


def holds_data(folder: Path) -> bool:
    """Return whether any file lies below a folder, hidden ones and archives' leavings apart."""
    for _, folders, files in walk_folders(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        if not all(map(is_junk, files)):
            return True
    return False


def inside(root: Path, relative: str, where: str) -> Path:
    """Return ``root / relative``; raises DataError naming ``where`` it stands if that path leaves ``root``."""
    text = relative.strip().replace("\\", "/")
    path = root / text
    if not text or "\0" in text or Path(text).is_absolute() or not real(path).is_relative_to(real(root)):
        raise DataError(f"{where}: path '{shorten(relative)}' leads out of {root}; only files below it are read")
    return path


def read_rows(path: Path, needs: tuple[str, ...], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a table with a header line; names and cells are stripped of blanks, a BOM is skipped.

    Raises DataError when the file is not text, a needed column is missing, or a row is shorter than the header.
    """
    csv.field_size_limit(16_000_000)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in needs if name not in header]:
                raise DataError(f"{path}: no column '{missing[0]}'; its first line names {', '.join(header) or 'nothing'}")
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) < len(header):
                    short = f"{len(cells)} cells, the first line {len(header)}"
                    raise DataError(f"{path}, line {reader.line_num}: has {short}; is the file whole?")
                yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a text table ({error})") from None


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, words) of a text file without header; empty lines are passed over, a last newline may lack."""
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if words := line.split():
                yield number, words
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None


def with_leftovers(source: Path, scan: Scan, reason: str, suffixes: set[str] = IMAGE_SUFFIXES) -> Scan:
    """Return the scan with the files of these suffixes under ``source`` that it does not name put under ``skipped[reason]``.

    So no picture is passed over in silence, wherever in the source folder it lies.
    """
    if not source.is_dir():
        return scan
    named = {below(source, image.file) for image in scan.found} | {name for names in scan.skipped.values() for name in names}
    rest = [name for file in files_below(source, suffixes) if (name := below(source, file)) not in named]
    return replace(scan, skipped=scan.skipped | {reason: [*scan.skipped.get(reason, []), *rest]}) if rest else scan


def grey_pixels(cell: str, where: str, side: int | None = None) -> bytes:
    """Return the grey values of a table cell: integers with blanks between them, of a square image (of ``side`` pixels).

    Raises DataError naming ``where`` it stands for anything else.
    """
    try:
        return square_pixels(cell, side)
    except ValueError as error:
        raise DataError(f"{where}: {error}; is the file whole?") from None


def square_pixels(cell: str, side: int | None = None) -> bytes:
    """Return what ``grey_pixels`` does; raises ValueError, saying what is wrong, for anything else."""
    try:
        pixels = bytes(map(GREYS.__getitem__, cell.split()))  # three times faster than int()
    except KeyError as error:
        wrong = f"'{cut(error.args[0])}' is none"
        raise ValueError(f"pixels are whole numbers from 0 to 255 with blanks between them; {wrong}") from None
    wanted = side or round(len(pixels) ** 0.5)
    if not pixels or wanted * wanted != len(pixels):
        what = f"an image has {side * side}" if side else "which make no square image"
        raise ValueError(f"{len(pixels)} pixels, {what}")
    return pixels


def check_folder(file: Path, label: str, card: Card) -> None:
    """Raise DataError where the folder of a file is named after another class than ``label``, which its name tells."""
    own = {word.lower(): known for word, known in card.folders.items()}
    folder = own.get(file.parent.name.lower(), label)
    if folder != label:
        raise DataError(f"{file}: named as {label}, but lies in the folder of {folder}; which is right?")


def table_with(source: Path, columns: tuple[str, ...], depth: int = 1) -> Path | None:
    """Return the csv file whose first line names ``columns``: ``source`` itself, or the only one in it or ``depth`` below.

    Raises DataError when two files fit: they may be two parts or two copies.
    """
    level = [source] if source.is_dir() else []
    tables = [] if level else [source]
    for _ in range(depth + 1):
        tables += [p for folder in level for p in sorted(tables_in(folder, source)) if not is_junk(p.name)]
        level = [inner for folder in level for inner in visible_folders(folder)]
    fits = []
    for table in tables:
        if table.suffix.lower() == ".csv":
            with table.open(encoding="utf-8-sig", errors="replace") as stream:
                # A header is short; the limit keeps a binary file without line ends from being read whole.
                header = [name.strip().strip('"') for name in stream.readline(4096).split(",")]
            if all(column in header for column in columns):
                fits.append(table)
    if len(fits) > 1:
        raise DataError(
            f"{source}: both {fits[0].name} and {fits[1].name} hold {', '.join(columns)}; give --from one of them"
        )
    return fits[0] if fits else None


def tree(source: Path, suffixes: set[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the files of these suffixes below ``source``, or ``source`` itself where it is one; none of nothing."""
    if source.is_file():
        return [source] if source.suffix.lower() in suffixes else []
    return list(files_below(source, suffixes)) if source.exists() else []


def part_above(file: Path, source: Path, parts: dict[str, str]) -> str | None:
    """Return what ``parts`` (folder name in lower case -> part) says of the nearest folder above, up to ``source``."""
    for folder in file.parents:
        if folder.name.lower() in parts:
            return parts[folder.name.lower()]
        if folder == source:
            return None
    return None
