"""ExpW: photographs from a web search with one or more labelled faces each, and a list of boxes.

File names begin with the search words, which are not labels. Faces of one photograph share a sequence, so that splits keep
them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import read_number
from fer_cli.data.importers.found import Box, Found, Scan, duplicate_file_error, first_layout, inside, read_lines, tree
from fer_cli.data.importers.walk import below, nearest_to_root
from fer_cli.digits import parse_number
from fer_cli.errors import DataError

LIST = "label.lst"
NO_AREA = "empty box"


def scan_expw(source: Path, card: Card) -> Scan:
    """Return all labelled faces under ``source``; raises DataError for a malformed line or a missing photograph."""
    return first_layout(source, card, {f"{LIST} with the photographs in any folder beside it": by_list})


def read_list(table: Path) -> Iterator[tuple[str, str, str, Box, str]]:
    """Yield (where, photograph, face number, box, class) of ``image face top left right bottom confidence class``."""
    for line, words in read_lines(table):
        where = f"{table}, line {line}"
        try:
            top, left, right, bottom = map(parse_number, words[-6:-2])
        except ValueError:
            raise DataError(
                f"{where}: expected image, face number, top, left, right, bottom, confidence and class, separated by blanks"
            ) from None
        if len(words) < 8 or not words[-7].isdecimal():
            raise DataError(f"{where}: expected eight words, the second a face number; is the file complete?")
        # Only the file name can contain blanks.
        yield where, " ".join(words[:-7]), words[-7], (left, top, right, bottom), words[-1]


def by_list(source: Path, card: Card) -> Scan | None:
    """Return the faces of ``label.lst`` with their boxes, which may extend beyond the photograph."""
    table = nearest_to_root(tree(source, {".lst"}), LIST)
    if table is None:
        return None
    photographs: dict[str, Path] = {}
    for photograph in tree(source):
        twin = photographs.setdefault(photograph.name, photograph)
        if twin is not photograph:
            raise duplicate_file_error(photograph, twin, what="photograph")
    found: dict[str, Found] = {}
    skipped: dict[str, list[str]] = {}
    seen: set[Path] = set()
    for where, name, face, box, code in read_list(table):
        label = card.label(code, where)
        file = photographs.get(inside(source, name, where).name if "/" in name or "\\" in name else name)
        if file is None:
            raise DataError(f"{where}: photograph {name} is missing below {source}; is every archive unpacked?")
        sample = f"{file.stem}-{face}"
        if sample in found:
            raise DataError(f"{where}: duplicate face {face} of {name}; keep one line")
        if box[2] <= box[0] or box[3] <= box[1]:
            skipped.setdefault(NO_AREA, []).append(f"{below(source, file)}, face {face}")
        elif label is not None:
            found[sample] = Found(sample, file, label, "", file.stem, read_number(face, where), box=box)
        seen.add(file)
    if rest := [below(source, file) for file in photographs.values() if file not in seen]:
        skipped[f"no face in {LIST}"] = rest
    return Scan(f"{LIST} with boxes", list(found.values()), skipped)
