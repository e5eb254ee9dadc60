"""RAF-DB: faces from the internet, aligned to 100x100, classes numbered from 1; the basic set of seven classes.

The compound set has the same layout and file names with other classes; the functions here serve both and tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import read_number
from fer_cli.data.importers.found import (
    Box,
    Found,
    Layout,
    Scan,
    duplicate_file_error,
    first_layout,
    part_above,
    read_lines,
    read_rows,
    tree,
    with_leftovers,
)
from fer_cli.data.importers.walk import below
from fer_cli.digits import parse_number
from fer_cli.errors import DataError

LISTS = ("list_patition_label.txt", "list_partition_label.txt")
"""The official spelling and the corrected one."""
NAME = re.compile(r"(?P<part>train|test)_(?P<number>\d{4,5})(?P<aligned>_aligned)?", re.IGNORECASE)
RESPLIT = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


def scan_rafdb(source: Path, card: Card) -> Scan:
    """Return all labelled images of the basic set under ``source``; raises DataError for classes numbered from 0."""
    return first_layout(source, card, layouts("basic"))


def layouts(own: str) -> dict[str, Layout]:
    """Return the layouts of the ``basic`` or the ``compound`` set."""
    return {
        f"{own}/EmoLabel/{LISTS[0]} with {own}/Image/aligned or {own}/Image/original": lambda s, c: by_list(s, c, own),
        "train and test with class folders numbered from 1, or with a table (image, label)": lambda s, c: by_folder(
            s, c, own
        ),
    }


def code_label(card: Card, code: str, where: str) -> str:
    """Return the label of a class number or word; raises DataError for class 0 of renumbered copies."""
    if code.strip() == "0":
        fix = f"rename the classes to words ({', '.join(list(card.folders)[:2])}, ...) or use the official list"
        raise DataError(f"{where}: class 0, but RAF-DB numbers its classes from 1, so this copy was renumbered; {fix}")
    label = card.label(re.sub(r"(?<=\w)[_-]+(?=\w)", " ", code), where)
    if label is None:
        raise DataError(f"{where}: class '{code}' has no label")
    return label


def refuse_the_other(own: str, codes: set[str], where: str) -> None:
    """Raise DataError if the compound set is expected but the class numbers are those of the basic set."""
    numbers = {read_number(code.strip(), where) for code in codes if code.strip().isdecimal()}
    if own == "compound" and numbers and max(numbers) <= 7:
        raise DataError(f"{where}: only classes up to {max(numbers)}, as in the basic set; build it as rafdb")


def the_list(source: Path, own: str) -> Path | None:
    """Return the list of this set; raises DataError if there is only the other set's, or two copies."""
    other = {"basic": "compound", "compound": "basic"}[own]
    lists = [file for file in tree(source, {".txt"}) if file.name.lower() in LISTS]
    # The source folder's own name counts, its parents' names do not.
    fits = [file for file in lists if other not in {part.lower() for part in (source.name, *file.relative_to(source).parts)}]
    if lists and not fits:
        name = {"basic": "rafdb", "compound": "rafdb-compound"}[other]
        raise DataError(f"{lists[0]}: belongs to the {other} set; build it as {name}")
    if len(fits) > 1:
        raise DataError(f"{source}: holds both {fits[0]} and {fits[1]}; give --from the folder of one of them")
    return fits[0] if fits else None


def by_list(source: Path, card: Card, own: str) -> Scan | None:
    """Return the aligned images of the official list or, if there are none, the photographs with their boxes."""
    table = the_list(source, own)
    if table is None:
        return None
    base = table.parent.parent if table.parent.name.lower() == "emolabel" else table.parent
    aligned, originals = pictures(base)
    images = aligned or originals
    boxes = {} if aligned else {file.name.lower(): file for file in tree(base, {".txt"}) if "_boundingbox" in file.stem}
    rows = list(read_list(table))
    refuse_the_other(own, {code for _, _, code in rows}, str(table))
    found = []
    lines: dict[str, str] = {}
    for where, name, code in rows:
        stem = Path(name).stem.lower()
        label = code_label(card, code, where)
        if stem in lines:
            raise DataError(f"{where}: {name} is already in {lines[stem]}; keep one of the two")
        lines[stem] = where.rpartition(", ")[2]
        if stem not in images:
            raise DataError(f"{where}: no image of {name} below {base}; is the copy complete?")
        box = read_box(boxes[f"{stem}_boundingbox.txt"]) if f"{stem}_boundingbox.txt" in boxes else None
        found.append(Found(stem, images[stem], label, "", "", 0, stem.split("_")[0], box))
    unused = {"photograph of an aligned image": [below(source, file) for file in originals.values()]} if aligned else {}
    layout = f"{table.name} with {'aligned images' if aligned else 'photographs'}"
    return with_leftovers(source, Scan(layout, found, unused if originals else {}), f"not in {table.name}")


def read_list(table: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (where, image name, class number) of the official list."""
    for line, words in read_lines(table):
        where = f"{table}, line {line}"
        if len(words) != 2 or NAME.fullmatch(Path(words[0]).stem) is None or "/" in words[0]:
            raise DataError(f"{where}: expected an image name and a class number, such as train_00001.jpg 5")
        yield where, words[0], words[1]


def pictures(base: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return aligned images and photographs below ``base`` by name (``train_00001``); raises DataError for duplicates."""
    aligned: dict[str, Path] = {}
    originals: dict[str, Path] = {}
    for file in tree(base):
        match = NAME.fullmatch(file.stem)
        if match is None:
            continue
        folders = {part.lower() for part in file.relative_to(base).parts[:-1]}
        kind = aligned if match["aligned"] or "aligned" in folders else originals
        stem = f"{match['part']}_{match['number']}".lower()
        if stem in kind:
            raise duplicate_file_error(file, kind[stem])
        kind[stem] = file
    return aligned, originals


def read_box(file: Path) -> Box:
    """Return the box of ``train_00001_boundingbox.txt``: left, top, right, bottom."""
    try:
        left, top, right, bottom = (parse_number(word) for _, words in read_lines(file) for word in words)
    except ValueError:
        raise DataError(f"{file}: expected four numbers (left, top, right, bottom)") from None
    return left, top, right, bottom


def label_tables(source: Path) -> list[tuple[str, str, str]]:
    """Return (location, image name, class) of all CSV files below ``source`` with the columns image and label."""
    rows = []
    for table in tree(source, {".csv"}):
        with table.open(encoding="utf-8-sig", errors="replace") as stream:
            header = {name.strip().strip('"') for name in stream.readline(4096).split(",")}
        if {"image", "label"} <= header:
            rows += [(f"{table}, line {n}", row["image"], row["label"]) for n, row in read_rows(table, ("image", "label"))]
    return rows


def by_folder(source: Path, card: Card, own: str) -> Scan | None:
    """Return ``train/4/train_00001_aligned.jpg``, with the class from the folder, a table, or both."""
    files = tree(source)
    words = {word.lower() for word in card.folders}
    of_folder: dict[Path, str] = {}
    for folder in {file.parent for file in files}:
        if folder.name.isdigit() or re.sub(r"[_-]+", " ", folder.name).lower() in words:
            of_folder[folder] = code_label(card, folder.name, str(folder))
    rows = label_tables(source)
    if not of_folder and not rows:
        return None
    refuse_the_other(own, {folder.name for folder in of_folder} | {code for _, _, code in rows}, str(source))
    of_file = table_labels(rows, files, of_folder, card)
    found = []
    for file in files:
        label = of_file.get(file) or of_folder.get(file.parent)
        if label is not None:
            found.append(resplit(file, source, label))
    named = all(NAME.fullmatch(image.file.stem) for image in found)
    layout = " and ".join(word for word, there in (("class folders", of_folder), ("tables (image, label)", rows)) if there)
    scan = Scan(layout, found, counts=None if named else {})
    return with_leftovers(source, scan, "neither in a class folder nor in a table")


def table_labels(
    rows: list[tuple[str, str, str]], files: list[Path], of_folder: dict[Path, str], card: Card
) -> dict[Path, str]:
    """Return the label of each image in a table; raises DataError if it is missing, ambiguous or in another class folder."""
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(file.name.lower(), []).append(file)
    labels: dict[Path, str] = {}
    for where, name, code in rows:
        label = code_label(card, code, where)
        fits = by_name.get(name.replace("\\", "/").rsplit("/", 1)[-1].lower(), [])
        if len(fits) != 1:
            problem = f"exists {len(fits)} times; keep one copy" if fits else "is missing; is the copy complete?"
            raise DataError(f"{where}: {name} {problem}")
        folder = of_folder.get(fits[0].parent)
        if (folder or label) != label or labels.get(fits[0], label) != label:
            rival = folder if (folder or label) != label else labels[fits[0]]
            raise DataError(
                f"{where}: {name} is {label}, but {rival} by its folder or another line; keep the right one only"
            )
        labels[fits[0]] = label
    return labels


def resplit(file: Path, source: Path, label: str) -> Found:
    """Return an image of a re-pack, with the part from an official file name, else from the folder."""
    match = NAME.fullmatch(file.stem)
    if match is not None:
        return Found(f"{match['part']}_{match['number']}".lower(), file, label, "", "", 0, match["part"].lower())
    home = part_above(file.parent, source, RESPLIT)
    sample = "-".join(word for word in (home, label, file.stem) if word)
    return Found(sample, file, label, "", "", 0, home or "none", own=False)
