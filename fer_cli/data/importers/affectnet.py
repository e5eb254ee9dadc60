"""AffectNet: faces from the internet with eight expressions; the official validation part serves as the test part.

The folder is walked once for all layouts, without a stat per image: there are 290,000 images and four times as many
annotations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from fer_cli.data.cards import Card
from fer_cli.data.files import why_unreadable
from fer_cli.data.formats import IMAGE_SUFFIXES
from fer_cli.data.importers.found import Box, Found, Layout, Scan, first_layout, inside, part_above, read_rows, tree
from fer_cli.data.importers.walk import is_junk, nearest_to_root
from fer_cli.digits import parse_number
from fer_cli.errors import DataError

SETS = {"train_set": "train", "val_set": "test"}
"""Folders of the newer release -> part."""
TABLES = {"training.csv": "train", "validation.csv": "test"}
"""Tables of the older release -> part."""
COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "expression")
RESPLIT = {"train": "train", "training": "train", "train_set": "train"}
RESPLIT |= {"val": "val", "valid": "val", "validation": "val", "val_set": "val", "test": "test"}
Skipped = dict[str, list[str]]


def scan_affectnet(source: Path, card: Card) -> Scan:
    """Return all images with one of the eight expressions; raises DataError for a missing annotation or image."""
    files = tree(source, IMAGE_SUFFIXES | {".csv"})
    images = [file for file in files if file.suffix.lower() != ".csv"]
    tables = [file for file in files if file.suffix.lower() == ".csv"]
    layouts: dict[str, Layout] = {
        "train_set and val_set with images/<id>.jpg and annotations/<id>_exp.npy": partial(by_annotation, images=images),
        "training.csv and validation.csv with their image folders": partial(by_table, images=images, tables=tables),
        "class folders with labels.csv (pth, label)": partial(by_labels, images=images, tables=tables),
        "class folders 0 to 7 or Neutral, Happy, ...": partial(by_folder, images=images),
    }
    return first_layout(source, card, layouts)


class Labels:
    """Labels of the card, cached by word, and the skipped images."""

    def __init__(self, card: Card, source: Path) -> None:
        """``source``: folder to which names of skipped images are relative."""
        self.card, self.source = card, source
        self.skipped: Skipped = {}
        self._known: dict[str, str | None] = {}

    def label(self, word: str, where: str) -> str | None:
        """Return the label of a word or number, None for an ignored one."""
        if word not in self._known:
            self._known[word] = self.card.label(word, where)
        return self._known[word]

    def ignore(self, word: str, name: str) -> None:
        """Record an image of an ignored class under the card's reason."""
        reasons = {key.lower(): reason for key, reason in self.card.ignored.items()}
        self.skip(reasons[word.strip().lower()], name)

    def skip(self, reason: str, name: str) -> None:
        """Record an image that is left out."""
        self.skipped.setdefault(reason, []).append(name)

    def rest(self, images: Iterable[Path], seen: set[Path], reason: str) -> Skipped:
        """Return all skipped images, those not ``seen`` under ``reason``."""
        for file in images:
            if file not in seen:
                self.skip(reason, file.relative_to(self.source).as_posix())
        return self.skipped


def by_annotation(source: Path, card: Card, images: list[Path]) -> Scan | None:
    """Return ``train_set/images/<id>.jpg`` with class ``train_set/annotations/<id>_exp.npy``, and likewise ``val_set``."""
    folders = {folder: list(files) for folder, files in groupby(images, key=lambda file: file.parent)}
    homes = {folder: SETS.get(folder.parent.name.lower()) for folder in folders if folder.name.lower() == "images"}
    homes = {folder: part for folder, part in homes.items() if part}
    if not homes:
        return None
    if len(set(homes.values())) < len(homes):
        raise DataError(f"{source}: two copies in {', '.join(map(str, homes))}; give --from the folder of one of them")
    labels = Labels(card, source)
    found: list[Found] = []
    for folder, files in folders.items():
        part = homes.get(folder)
        if part is None:
            for file in files:
                labels.skip("in no part", file.relative_to(source).as_posix())
        else:
            found += read_annotated(folder.parent, files, part, labels)
    return Scan("train_set and val_set with annotations", found, labels.skipped)


def read_annotated(home: Path, images: list[Path], part: str, labels: Labels) -> Iterator[Found]:
    """Yield the images of one part; raises DataError for an image without annotation or the reverse."""
    tail, name = "_exp.npy", home.name.lower().removesuffix("_set")
    folder = home / "annotations"
    try:
        names = (path.name for path in folder.iterdir())
        left = {name.removesuffix(tail) for name in names if name.endswith(tail) and not is_junk(name)}
    except OSError:
        raise DataError(f"{folder}: no such folder; unpack the annotations beside the images") from None
    for file in images:
        stem = file.stem
        code = read_code(folder / f"{stem}{tail}", file)
        left.discard(stem)
        label = labels.label(code, str(file))
        if label is None:
            labels.ignore(code, file.relative_to(labels.source).as_posix())
        else:
            yield Found(f"{name}-{stem}", file, label, "", "", 0, part)
    if left:
        first = f"{folder}/{min(left)}{tail}"
        raise DataError(f"{first}: has no image in {home / 'images'} ({len(left)} such); is the copy complete?")


def read_code(file: Path, image: Path) -> str:
    """Return the class number in an array of one string; raises DataError if there is none."""
    if (reason := why_unreadable(file)) is not None:
        raise DataError(f"{image}: has no annotation {file} ({reason}); is the copy complete?")
    try:
        with file.open("rb") as stream:
            return str(int(np.load(stream, allow_pickle=False).item()))
    except Exception:  # NumPy raises anything for a damaged header
        raise DataError(f"{file}: expected an array with one class number") from None


def by_table(source: Path, card: Card, images: list[Path], tables: list[Path]) -> Scan | None:
    """Return the rows of ``training.csv`` and ``validation.csv`` with their face boxes."""
    lists = {part: nearest_to_root(tables, name) for name, part in TABLES.items()}
    if not any(lists.values()):
        return None
    index = by_tail(images)
    labels = Labels(card, source)
    found: dict[Path, Found] = {}
    seen: set[Path] = set()
    for part, table in lists.items():
        for line, row in read_rows(table, COLUMNS) if table else ():
            where, code = f"{table}, line {line}", row["expression"]
            label = labels.label(code, where)
            file = lookup(source, row["subDirectory_filePath"], index, where, needed=label is not None)
            if file is None or label is None:
                labels.ignore(code, row["subDirectory_filePath"] if file is None else file.relative_to(source).as_posix())
                seen |= {file} if file else set()
                continue
            seen.add(file)
            if file in found:
                if found[file].label != label or found[file].split != part:
                    raise DataError(f"{where}: {file} is already listed as {found[file].label} of {found[file].split}")
                labels.skip("listed twice", f"{file.relative_to(source).as_posix()} (line {line})")
                continue
            found[file] = Found(f"{file.parent.name}-{file.stem}", file, label, "", "", 0, part, face_box(row, where))
    names = " and ".join(table.name for table in lists.values() if table)
    return Scan(f"tables {names} with boxes", list(found.values()), labels.rest(images, seen, f"not in {names}"))


def face_box(row: dict[str, str], where: str) -> Box | None:
    """Return left, top, right, bottom of a row, None for NULL; raises DataError for an invalid box."""
    cells = [row[column] for column in ("face_x", "face_y", "face_width", "face_height")]
    if all(cell.upper() in {"", "NULL"} for cell in cells):
        return None
    try:
        x, y, width, height = map(parse_number, cells)
    except ValueError:
        raise DataError(f"{where}: face_x to face_height '{', '.join(cells)}' are not numbers") from None
    return x, y, x + width, y + height


def by_tail(images: list[Path]) -> dict[str, list[Path]]:
    """Return ``<folder>/<file>`` in lower case -> images; full paths depend on where a set was unpacked."""
    index: dict[str, list[Path]] = {}
    for file in images:
        index.setdefault(f"{file.parent.name}/{file.name}".lower(), []).append(file)
    return index


def lookup(source: Path, text: str, index: dict[str, list[Path]], where: str, needed: bool = True) -> Path | None:
    """Return the image of a path in a table, None if it is missing and not ``needed``.

    Raises DataError for a path out of the source folder, a missing image, and an ambiguous path.
    """
    words = text.replace("\\", "/").split("/")
    if text.startswith("/") or ".." in words:
        inside(source, text, where)
    fits = index.get("/".join(words[-2:]).lower(), [])
    if len(fits) > 1:
        tail = "/" + text.replace("\\", "/").lower()
        fits = [file for file in fits if file.as_posix().lower().endswith(tail)] or fits
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise DataError(f"{where}: {text} may be {fits[0]} or {fits[1]}; give --from the folder of one copy")
    if needed:
        raise DataError(f"{where}: {text} is missing below {source}; is the copy complete?")
    return None


def by_labels(source: Path, card: Card, images: list[Path], tables: list[Path]) -> Scan | None:
    """Return the rows of ``labels.csv``, which takes precedence over the folder names."""
    table = nearest_to_root(tables, "labels.csv")
    if table is None:
        return None
    index = by_tail(images)
    labels = Labels(card, source)
    found: dict[Path, Found] = {}
    seen: set[Path] = set()
    parts = part_names(images, source)
    own = {word.lower(): label for word, label in (card.folders | card.codes).items()}
    moved = 0
    for line, row in read_rows(table, ("pth", "label")):
        where = f"{table}, line {line}"
        label = labels.label(row["label"], where)
        file = lookup(source, row["pth"], index, where, needed=label is not None)
        if file is None or label is None:
            labels.ignore(row["label"], row["pth"] if file is None else file.relative_to(source).as_posix())
            seen |= {file} if file else set()
            continue
        seen.add(file)
        if file in found and found[file].label != label:
            raise DataError(f"{where}: {row['pth']} is {label} here, but {found[file].label} in an earlier line")
        if file not in found and own.get(file.parent.name.lower(), label) != label:
            moved += 1
        found[file] = repacked_image(file, source, label, parts)
    layout = f"class folders with labels.csv; {moved} images are in the folder of another class, the table is used"
    return Scan(layout, list(found.values()), labels.rest(images, seen, "not in labels.csv"), {})


def part_names(images: list[Path], source: Path) -> dict[str, str]:
    """Return folder name -> part; validation is the test part unless there is also a test folder."""
    both = {part_above(folder, source, RESPLIT) for folder in {file.parent for file in images}} >= {"val", "test"}
    return RESPLIT if both else {name: "test" if part == "val" else part for name, part in RESPLIT.items()}


def repacked_image(file: Path, source: Path, label: str, parts: dict[str, str]) -> Found:
    """Return an image of a re-pack, named by part, folder and file since file names repeat."""
    home = part_above(file.parent, source, parts)
    sample = "-".join(word for word in (home, file.parent.name.lower(), file.stem) if word)
    return Found(sample, file, label, "", "", 0, home or "none", own=False)


def by_folder(source: Path, card: Card, images: list[Path]) -> Scan | None:
    """Return ``<part>/<0..7>/<any>`` or ``<part>/Neutral/<any>``, with the official class numbers."""
    words = {word.lower() for word in (*card.folders, *card.codes)}
    if not any(folder.name.lower() in words for folder in {file.parent for file in images}):
        return None
    labels = Labels(card, source)
    parts = part_names(images, source)
    found = []
    for file in images:
        label = labels.label(file.parent.name, str(file))
        if label is None:
            labels.ignore(file.parent.name, file.relative_to(source).as_posix())
        else:
            found.append(repacked_image(file, source, label, parts))
    return Scan("class folders", found, labels.skipped, {})
