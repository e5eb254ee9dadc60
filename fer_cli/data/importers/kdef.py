"""KDEF: 70 people, seven posed expressions, two sessions, five angles, all encoded in the file name.

``AF01ANS.JPG``: session A, female 01, angry, straight. Subjects are the same in both sessions. The five angles of a pose
form a sequence whose frame number is the yaw in degrees (``FL`` -90, ``S`` 0, ``FR`` 90).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Found, Scan, check_folder, first_layout
from fer_cli.data.importers.walk import below, files_below
from fer_cli.errors import DataError

ANGLES = {"FL": -90, "HL": -45, "S": 0, "HR": 45, "FR": 90}
"""Angle letters -> yaw in degrees."""
PERSON = r"(?P<session>[AB])(?P<person>[FM]\d{2})"
NAME = re.compile(rf"{PERSON}(?P<class>[A-Z]{{2}})(?P<angle>FL|HL|S|HR|FR)", re.IGNORECASE)
CUT = re.compile(rf"{PERSON}[A-Z]{{0,3}}", re.IGNORECASE)
AVERAGE = re.compile(r"[FM][A-Z]{2}(FL|HL|S|HR|FR)", re.IGNORECASE)
PEOPLE = 35
"""Number of women, and of men."""


def scan_kdef(source: Path, card: Card) -> Scan:
    """Return all KDEF images below ``source``; raises DataError for an unknown class code or person."""
    return first_layout(source, card, {"KDEF/AF01/AF01ANS.JPG, or files of such names in any folder": by_name})


def by_name(source: Path, card: Card) -> Scan | None:
    """Return all images with KDEF names in any folders; averages, truncated names and other images are skipped."""
    files = list(files_below(source)) if source.is_dir() else []
    found, skipped, cut = [], dict[str, list[str]](), list[re.Match[str]]()
    for file in files:
        if match := NAME.fullmatch(file.stem):
            found.append(found_picture(file, match, card))
            continue
        short = CUT.fullmatch(file.stem)
        cut += [short] if short else []
        average = AVERAGE.fullmatch(file.stem) is not None
        reason = "truncated name" if short else "average face (AKDEF)" if average else "not a KDEF file name"
        skipped.setdefault(reason, []).append(below(source, file))
    if not found:
        return None
    angles, sessions = {image.frame for image in found}, {image.sequence[0] for image in found}
    seen = "frontal" if angles == {0} else f"{len(angles)} angles"
    layout = f"KDEF names, {seen}, session {' and '.join(sorted(sessions))}"
    return Scan(layout, found, skipped, expected_counts(card, found, cut, angles, sessions))


def found_picture(file: Path, name: re.Match[str], card: Card) -> Found:
    """Return one image; raises DataError for an unknown class, a person number over 35, or a contradicting class folder."""
    label = card.label(name["class"], str(file))
    person = name["person"].upper()
    if not 1 <= int(person[1:]) <= PEOPLE:
        raise DataError(f"{file}: KDEF has women F01 to F{PEOPLE} and men M01 to M{PEOPLE}, no {person}")
    if label is None:
        raise DataError(f"{file}: '{name['class']}' is not an expression of KDEF")
    check_folder(file, label, card)
    pose = f"{name['session']}{person}{name['class']}".upper()
    return Found(name[0].upper(), file, label, person, pose, ANGLES[name["angle"].upper()])


def expected_counts(
    card: Card, found: list[Found], cut: list[re.Match[str]], angles: set[int], sessions: set[str]
) -> dict[str, int] | None:
    """Return the expected images per class for the available angles and sessions; None for all of KDEF, {} if unknown.

    An image with a truncated name is missing in its class, which is known if the person lacks only one image.
    """
    whole = len(angles) == len(ANGLES) and len(sessions) == 2
    if whole and not cut:
        return None
    counts = dict.fromkeys(card.classes, 2 * PEOPLE * len(angles) * len(sessions))
    there = defaultdict[str, set[tuple[str, int]]](set)
    for image in found:
        there[image.sequence[:4]].add((image.label, image.frame))
    every = {(label, angle) for label in card.classes for angle in angles}
    for name in cut:
        gone = every - there[f"{name['session']}{name['person']}".upper()]
        if len(gone) != 1:
            return {}
        counts[gone.pop()[0]] -= 1
    return counts
