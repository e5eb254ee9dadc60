"""Emotion and view of MMI sequences, from label files and XML files."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from fer_cli.data.cards import Card
from fer_cli.data.importers.walk import file_named
from fer_cli.errors import DataError

LABEL_FILES = ("emotion_labels.pkl", "emotion_labels.csv", "emotion_labels.json")
SEQUENCE = re.compile(r"S(\d{3})[-_](\d{3})(\.\w+)?", re.IGNORECASE)
MAX_BYTES = 4 * 2**20
"""Size limit of label and XML files in bytes."""

UNREADABLE = (
    ValueError,
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What reading a damaged or hostile pickle or JSON raises."""

Label = tuple[str, str]
"""The data set's word or number for a class, and its location."""


class Plain(pickle.Unpickler):
    """Unpickler for dicts of strings and numbers; refuses classes and functions."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Refuse every class and function."""
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def read_labels(source: Path, card: Card) -> dict[str, Label] | None:
    """Return the label of each sequence ``S001_100`` from the label file in ``source``; None without such a file.

    Numbers are accepted only in ``emotion_labels.pkl``, whose order is that of the card's ``codes``. Raises DataError for
    numbers in other files, and for a sequence with two labels.
    """
    file = file_named(source, *LABEL_FILES)
    if file is None:
        return None
    if file.stat().st_size > MAX_BYTES:
        raise DataError(f"{file}: too large for a label file")
    numbers = file.suffix.lower() == ".pkl"
    labels: dict[str, Label] = {}
    for where, name, value in cells_of(file):
        match = SEQUENCE.fullmatch(name)
        if match is None:
            raise DataError(f"{where}: '{name}' is not an MMI sequence; expected S001_100")
        if value.lstrip("-").isdigit() and not numbers:
            words = ", ".join(sorted(card.folders))
            raise DataError(f"{where}: emotion '{value}' is a number of unknown meaning; use one of {words}")
        sequence = f"S{match[1]}_{match[2]}"
        if labels.setdefault(sequence, (value, where))[0] != value:
            raise DataError(f"{where}: {sequence} is '{value}' here but '{labels[sequence][0]}' earlier")
    return labels


def cells_of(file: Path) -> list[tuple[str, str, str]]:
    """Return (location, sequence, emotion) from a label file; raises DataError for an invalid one."""
    if file.suffix.lower() == ".csv":
        rows = []
        for number, line in enumerate(text_of(file).splitlines(), 1):
            cells = [cell.strip().strip('"') for cell in line.split(",")]
            header = number == 1 and SEQUENCE.fullmatch(cells[0]) is None
            if header or not any(cells):
                continue
            if len(cells) != 2:
                raise DataError(f"{file}, line {number}: expected sequence,emotion")
            rows.append((f"{file}, line {number}", cells[0], cells[1]))
        return rows
    try:
        if file.suffix.lower() == ".pkl":
            # Written by Python 2
            table = Plain(io.BytesIO(file.read_bytes()), encoding="latin-1").load()
            pairs = tuple(table.items()) if isinstance(table, dict) else None
        else:
            table = json.loads(text_of(file), object_pairs_hook=tuple)  # a dict would keep the last of two labels
            pairs = table if isinstance(table, tuple) else None
        if pairs is not None:
            return [(f"{file}, {name}", str(name), str(value)) for name, value in pairs]
    except UNREADABLE as error:
        raise DataError(f"{file}: not a table of labels ({error}); write emotion_labels.csv instead") from None
    raise DataError(f"{file}: expected sequence -> emotion, found {type(table).__name__}")


def text_of(file: Path) -> str:
    """Return the text of a file without byte-order mark; raises DataError if it is not text."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text file") from None


def emotion_of(video: Path, codes: dict[str, str], codes_name: str) -> Label | None:
    """Return the emotion in the XML files beside a video, or None; FACS files are ignored.

    Raises DataError for a number that is not in ``codes``, and if the files disagree.
    """
    found: dict[str, Path] = {}
    for file in (video.with_suffix(".xml"), video.parent / "session.xml"):
        if file.is_file():
            found |= {value: file for value in metatags(parse_xml(file)) if value not in found}
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"{video}: its XML files give {len(found)} emotions, {' and '.join(sorted(found))}")
    value, file = next(iter(found.items()))
    if not value.isdigit():
        return value, str(file)
    if value not in codes:
        fix = f"add {codes_name} (code,emotion) beside Sessions with its meaning in your copy"
        raise DataError(f"{file}: emotion '{value}' is a number, and MMI's numbering is not verified; {fix}")
    return codes[value], f"{file}, by {codes_name}"


def metatags(root: ElementTree.Element) -> list[str]:
    """Return the non-empty values of ``<Metatag Name="Emotion" Value="..."/>`` and its other spellings."""
    values = []
    for element in root.iter():
        own = {key.lower(): value for key, value in element.attrib.items()}
        tag = str(element.tag).rpartition("}")[2].lower()
        if own.get("name", "").lower() == "emotion" or tag == "emotion":
            values.append(own.get("value") or element.text or "")
        elif "emotion" in own:
            values.append(own["emotion"])
    return [value.strip() for value in values if value.strip()]


def view_of(video: Path) -> str:
    """Return the view of a video in ``session.xml``, or ""; raises DataError for several."""
    file = video.parent / "session.xml"
    if not file.is_file():
        return ""
    views = {
        value.strip()
        for element in parse_xml(file).iter()
        for key, value in element.attrib.items()
        if key.lower() == "view" and value.strip()
    }
    if len(views) > 1:
        raise DataError(f"{file}: gives several views, {' and '.join(sorted(views))}")
    return views.pop() if views else ""


def parse_xml(file: Path) -> ElementTree.Element:
    """Return the root of an XML file; raises DataError if it is invalid, too large, or declares entities."""
    refusal = DataError(f"{file}: not read: it is empty, larger than {MAX_BYTES} bytes, or declares entities")

    def refuse(*_: object) -> None:
        raise refusal

    content = file.read_bytes() if file.stat().st_size <= MAX_BYTES else b""
    if not content:
        raise refusal
    checker = expat.ParserCreate()
    checker.EntityDeclHandler = refuse  # entities can expand without bound
    try:
        checker.Parse(content, True)
        return ElementTree.fromstring(content)  # noqa: S314 (see above)
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{file}: not XML ({error})") from None
