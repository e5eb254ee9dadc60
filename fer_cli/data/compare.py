"""Whether images are those that a card describes: the one comparison of ``fer data build`` and ``fer data check``.

A build compares what was found before anything is decoded, so a wrong folder is refused within the scan.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from fer_cli.data.cards import Card, load_card
from fer_cli.data.files import shorten
from fer_cli.data.importers import IMPORTERS, ckplus, fer2013, jaffe, kdef, rafdb
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.hints import few, where_to_point
from fer_cli.errors import DataError

ANYWAY = "pass --allow-incomplete to build it as it is"
NAMES: list[tuple[re.Pattern[str], frozenset[str]]] = [
    (ckplus.NAME, frozenset({"ckplus", "ck48"})),
    (fer2013.NAME, frozenset({"fer2013"})),
    (re.compile(r"fer\d{7}", re.IGNORECASE), frozenset({"ferplus"})),
    (jaffe.NAME, frozenset({"jaffe"})),
    (kdef.NAME, frozenset({"kdef"})),
    (re.compile(r"S\d{3}[-_]\d{3}[-_]\d{1,5}", re.IGNORECASE), frozenset({"mmi"})),
    (rafdb.NAME, frozenset({"rafdb", "rafdb-compound"})),
    (re.compile(r"fer2013|icml_face_data", re.IGNORECASE), frozenset({"fer2013", "ferplus"})),
    (re.compile(r"jaffe_pixels", re.IGNORECASE), frozenset({"jaffe"})),
]
"""File names, without suffix, that only some sets have -> the cards of those sets."""
SEVERAL = 5
"""Classes from which on equal counts are no accident."""


class Sorted(Protocol):
    """An image that has a class: found in a source, or a row of a manifest."""

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def sequence(self) -> str: ...  # noqa: D102


def is_counted(card: Card, own: dict[str, int] | None) -> bool:
    """Return whether there are counts to compare with; ``own``: those of the layout, where they differ from the card's."""
    return bool(card.counts or card.split_counts if own is None else own)


def verdict(card: Card, own: dict[str, int] | None) -> str:
    """Return what is said of a set that does not differ from its card."""
    if is_counted(card, own):
        return "counts agree with the card"
    known = card.counts or card.split_counts
    return "not compared: this layout has no known counts" if known else "not compared: the card gives no counts"


def differences(card: Card, own: dict[str, int] | None, images: Collection[Sorted]) -> list[str]:
    """Return how images differ from what the card expects, a phrase each; empty where nothing differs or is known.

    ``own``: counts of the layout, None where they are the card's, empty where none are known; then a class that has no
    image is all that can be said.
    """
    counts = Counter(image.label for image in images)
    if own is not None and not own:
        return [f"{label} 0 (the card has this class)" for label in card.classes if not counts[label]]
    expected = card.counts if own is None else own
    found = [f"{label} {counts[label]} (card: {n})" for label, n in expected.items() if counts[label] != n]
    if own is not None:
        return found
    for part, table in card.split_counts.items():
        inside = Counter(image.label for image in images if image.split == part)
        found += [f"{part} {label} {inside[label]} (card: {n})" for label, n in table.items() if inside[label] != n]
    subjects = len({image.subject for image in images})
    if card.counts and card.subjects is not None and subjects != card.subjects:
        found.append(f"subjects {subjects} (card: {card.subjects})")
    sequences = len({image.sequence for image in images})
    if card.counts and card.sequences is not None and sequences != card.sequences:
        found.append(f"sequences {sequences} (card: {card.sequences})")
    return found


def check_scan(card: Card, scan: Scan, source: Path, allowed: bool) -> None:
    """Raise DataError where what was found is another set, is more than the set has, or, unless ``allowed``, differs.

    Another set and a surplus are refused whatever is allowed: no part of a set has more than the whole.
    """
    refuse_names_of_another(card, scan)
    refuse_counts_of_another(card, scan)
    most = most_images(card, scan)
    if most is not None and len(scan.found) > most:
        what = f"{len(scan.found)} images, more than the {most} that {card.name} has; another set, or copies beside it?"
        raise DataError(f"{source}: {what} Give --from the set's own folder, or build it under another name with --layout")
    if not allowed and (wrong := differences(card, scan.counts, scan.found)):
        what = f"{few(wrong)}{where_to_point(source, card.folders)}"
        raise DataError(f"{source} differs from the card of {card.name}: {what}; is it whole? {ANYWAY}")


def most_images(card: Card, scan: Scan) -> int | None:
    """Return how many images there can be at most in this layout, None where that is not known."""
    if scan.most is not None:
        return scan.most
    whole = sum(card.counts.values()) or sum(n for table in card.split_counts.values() for n in table.values())
    return sum((scan.counts or {}).values()) or whole or None


def refuse_names_of_another(card: Card, scan: Scan) -> None:
    """Raise DataError where a file has a name that only another card's images have."""
    if card.name not in IMPORTERS:
        return
    for stem, file in {image.file.stem: image.file for image in scan.found}.items():
        owners: Sequence[frozenset[str]] = [names for pattern, names in NAMES if pattern.fullmatch(stem)]
        if owners and not any(card.name in names for names in owners):
            other = " or ".join(sorted(owners[0]))
            fix = f"build it as {other}, or move it out of the folder"
            raise DataError(f"{shorten(str(file))}: a file name of {other}, not of {card.name}; {fix}")


def refuse_counts_of_another(card: Card, scan: Scan) -> None:
    """Raise DataError where the images per class are exactly those of another set, whatever the classes are called.

    File names such as ``im0.png`` tell nothing, and one number means another class in each set; whole sets have counts of
    their own.
    """
    if card.name not in IMPORTERS:
        return
    counts = sizes(Counter(image.label for image in scan.found))
    if len(counts) < SEVERAL or counts == sizes(card.counts):
        return
    for name in IMPORTERS:
        if name != card.name and counts == sizes((other := load_card(name)).counts):
            where = scan.found[0].file.parent
            raise DataError(f"{where}: {sum(counts)} images, as many per class as {other.title} has; build it as {name}")


def sizes(counts: dict[str, int]) -> list[int]:
    """Return the numbers of images of the classes that have any, in order."""
    return sorted(number for number in counts.values() if number)
