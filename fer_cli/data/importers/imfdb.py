"""IMFDB: faces of 100 actors cut from Indian films, ``<Actor>/<Movie>/images/*.jpg`` with a list ``<Movie>.txt``.

The lists have no header, use tabs or blanks, differ in their columns, and may be missing or incomplete. A row is therefore
parsed by content: an image in the film's folder, followed by one of seven expression words. Other rows are left out and
listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import read_number
from fer_cli.data.formats import IMAGE_SUFFIXES
from fer_cli.data.importers.found import Found, Scan, first_layout, read_rows
from fer_cli.data.importers.walk import below, files_below, image_files, is_junk, visible_folders
from fer_cli.errors import DataError

AGES = {"young", "middle", "old"}
"""Classes of a re-pack for age estimation, without expressions."""
NUMBER = re.compile(r"(\d+)$")
"""Number within the film at the end of an image's name."""
DEPTH = 3
"""Maximum depth of the actors' folders below the source."""

NO_LIST = "film without a list"
NO_IMAGE = "row without an image name"
NO_WORD = "image whose row has no expression word, or several"
MISSING = "missing file"
CONFLICT = "image listed with different expressions"
UNLISTED = "image not in its film's list"
OUTSIDE = "image outside the films' image folders"


def scan_imfdb(source: Path, card: Card) -> Scan:
    """Return all listed images; raises DataError for the age re-pack, and if no row of any list can be parsed."""
    return first_layout(source, card, {"a table of ages": refuse_ages, "<Actor>/<Movie>/images with <Movie>.txt": by_film})


def refuse_ages(source: Path, card: Card) -> None:
    """Raise DataError for a re-pack with a CSV of images and ages (columns ID and Class)."""
    tables = [source] if source.is_file() else [p for folder in (source, *visible_folders(source)) for p in folder.iterdir()]
    for table in sorted(p for p in tables if p.suffix.lower() == ".csv" and p.is_file() and not is_junk(p.name)):
        try:
            first = next(read_rows(table, ("ID", "Class")), None)
        except DataError:
            continue
        if first is not None and first[1]["Class"].lower() in AGES:
            fix = f"download IMFDB_final.zip from its authors' page ({card.access})"
            raise DataError(f"{table}: a re-pack of IMFDB with ages (YOUNG, MIDDLE, OLD) and no expressions; {fix}")


def by_film(source: Path, card: Card) -> Scan | None:
    """Return the images in the lists of all films; None if no film has a folder ``images``."""
    films = list(film_folders(source))
    if not films:
        return None
    found: list[Found] = []
    skipped: dict[str, list[str]] = {}
    seen: set[Path] = set()
    rows = 0
    for film, images in films:
        files = {file.name.lower(): file for file in image_files(images)}
        seen |= set(files.values())
        table = list_of(film)
        if table is None:
            skipped.setdefault(NO_LIST, []).extend(below(source, file) for file in files.values())
            continue
        labels, read = read_list(table, files, card, source, skipped)
        rows += read
        found += film_images(film, files, labels, source, skipped)
    if rows and not found:
        raise DataError(
            f"{source}: none of {rows} rows in the lists of {len(films)} films has an image and an expression word"
        )
    for file in files_below(source):
        if file not in seen:
            skipped.setdefault(OUTSIDE, []).append(below(source, file))
    return Scan("films' folders with lists", found, skipped)


def film_folders(source: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (film folder, its folder ``images``) for all films below ``source``."""
    level = [source] if source.is_dir() else []
    for _ in range(DEPTH + 2):
        deeper = []
        for folder in level:
            inner = visible_folders(folder)
            images = [home for home in inner if home.name.lower() == "images"]
            if images and folder != source:
                yield from ((folder, home) for home in images)
            else:
                deeper += inner
        level = deeper


def list_of(film: Path) -> Path | None:
    """Return the film's list: the text file of its name, else the only one, else None."""
    texts = sorted(p for p in film.iterdir() if p.suffix.lower() == ".txt" and p.is_file() and not is_junk(p.name))
    named = [text for text in texts if text.stem.lower() == film.name.lower()]
    return named[0] if named else texts[0] if len(texts) == 1 else None


def read_list(
    table: Path, files: dict[str, Path], card: Card, source: Path, skipped: dict[str, list[str]]
) -> tuple[dict[str, set[str]], int]:
    """Return lower-case image name -> labels in its rows, and the number of rows; bad rows go to ``skipped``.

    Bytes that are not UTF-8 are replaced; they occur only in names of films and people.
    """
    words = {word.lower(): label for word, label in card.folders.items()}
    labels: dict[str, set[str]] = {}
    rows = 0
    for number, line in enumerate(table.read_bytes().decode("utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        rows += 1
        cells = cells_of(line, files)
        where = f"{below(source, table)}, line {number}"
        place = image_place(cells, files)
        if place is None:
            skipped.setdefault(NO_IMAGE, []).append(where)
            continue
        if cells[place].lower() not in files:
            skipped.setdefault(MISSING, []).append(f"{where}: {cells[place]}")
            continue
        named = {words[cell.lower()] for cell in " ".join(cells[place + 1 :]).split() if cell.lower() in words}
        labels.setdefault(cells[place].lower(), set()).update(named if len(named) == 1 else ())
    return labels, rows


def cells_of(line: str, files: dict[str, Path]) -> list[str]:
    """Return the cells of a row: tab-separated if one of them is an image of the folder (names with blanks), else words."""
    cells = [cell.strip(" \"',;") for cell in line.split("\t")]
    return cells if any(cell.lower() in files for cell in cells) else [cell.strip("\"',;") for cell in line.split()]


def image_place(cells: list[str], files: dict[str, Path]) -> int | None:
    """Return the position of the image in a row: the last existing file name, else the last that looks like one.

    Rows also name the film frame, before the face cut from it.
    """
    places = [place for place, cell in enumerate(cells) if Path(cell).suffix.lower() in IMAGE_SUFFIXES]
    there = [place for place in places if cells[place].lower() in files]
    return there[-1] if there else places[-1] if places else None


def film_images(
    film: Path, files: dict[str, Path], labels: dict[str, set[str]], source: Path, skipped: dict[str, list[str]]
) -> Iterator[Found]:
    """Yield the images of a film with exactly one label; the others go to ``skipped``. Raises DataError for a huge one."""
    actor = film.parent.name
    for name, file in files.items():
        given = labels.get(name)
        if given is not None and len(given) == 1:
            number = NUMBER.search(file.stem)
            frame = read_number(number[1], str(file)) if number else 0
            sample, sequence = f"{actor}/{film.name}/{file.name}", f"{actor}_{film.name}"
            yield Found(sample, file, min(given), actor, sequence, frame, own=False)
        else:
            reason = UNLISTED if given is None else CONFLICT if given else NO_WORD
            skipped.setdefault(reason, []).append(below(source, file))
