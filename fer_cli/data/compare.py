"""Comparison of images with a card, for ``fer data build`` (before decoding) and ``fer data check``."""

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

ANYWAY = "pass --allow-incomplete to build it anyway"
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
"""Pattern of file names (without suffix) specific to some sets -> the cards of those sets."""
SEVERAL = 5
"""Minimum number of classes for which equal counts are no coincidence."""


class Sorted(Protocol):
    """A labelled image: found in a source, or a row of a manifest."""

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def sequence(self) -> str: ...  # noqa: D102


def is_counted(card: Card, own: dict[str, int] | None) -> bool:
    """Return whether there are counts to compare with; ``own``: counts of the layout, if they differ from the card's."""
    return bool(card.counts or card.split_counts if own is None else own)


def verdict(card: Card, own: dict[str, int] | None) -> str:
    """Return the verdict for a set without differences from its card."""
    if is_counted(card, own):
        return "counts agree with the card"
    known = card.counts or card.split_counts
    return "not compared: this layout has no known counts" if known else "not compared: the card gives no counts"


def differences(card: Card, own: dict[str, int] | None, images: Collection[Sorted]) -> list[str]:
    """Return the differences from the card's counts, one phrase each.

    ``own``: counts of the layout; None if they are the card's, empty if unknown (then only empty classes are reported).
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
    """Raise DataError if a scan is of another set, has too many images or, unless ``allowed``, differs from the card."""
    refuse_names_of_another(card, scan)
    refuse_counts_of_another(card, scan)
    most = most_images(card, scan)
    if most is not None and len(scan.found) > most:
        what = f"{len(scan.found)} images, but {card.name} has only {most}; is it another set, or are there copies?"
        raise DataError(f"{source}: {what} Give --from the set's own folder, or build it under another name with --layout")
    if not allowed and (wrong := differences(card, scan.counts, scan.found)):
        what = f"{few(wrong)}{where_to_point(source, card.folders)}"
        raise DataError(f"{source} differs from the card of {card.name}: {what}; is it complete? {ANYWAY}")


def most_images(card: Card, scan: Scan) -> int | None:
    """Return the maximum number of images in this layout, None if unknown."""
    if scan.most is not None:
        return scan.most
    whole = sum(card.counts.values()) or sum(n for table in card.split_counts.values() for n in table.values())
    return sum((scan.counts or {}).values()) or whole or None


def refuse_names_of_another(card: Card, scan: Scan) -> None:
    """Raise DataError if a file name is specific to another card."""
    if card.name not in IMPORTERS:
        return
    for stem, file in {image.file.stem: image.file for image in scan.found}.items():
        owners: Sequence[frozenset[str]] = [names for pattern, names in NAMES if pattern.fullmatch(stem)]
        if owners and not any(card.name in names for names in owners):
            other = " or ".join(sorted(owners[0]))
            fix = f"build it as {other}, or move it out of the folder"
            raise DataError(f"{shorten(str(file))}: file name of {other}, not of {card.name}; {fix}")


def refuse_counts_of_another(card: Card, scan: Scan) -> None:
    """Raise DataError if the class counts, whatever the names, are exactly those of another set."""
    if card.name not in IMPORTERS:
        return
    counts = sizes(Counter(image.label for image in scan.found))
    if len(counts) < SEVERAL or counts == sizes(card.counts):
        return
    for name in IMPORTERS:
        if name != card.name and counts == sizes((other := load_card(name)).counts):
            where = scan.found[0].file.parent
            raise DataError(
                f"{where}: {sum(counts)} images with the class counts of {other.pretty_name}; build it as {name}"
            )


def sizes(counts: dict[str, int]) -> list[int]:
    """Return the sorted sizes of the non-empty classes."""
    return sorted(number for number in counts.values() if number)
