"""CK+: posed sequences from neutral to peak; the last three frames of each labelled one, or evenly spaced ones for clips.

The label of a sequence is a number such as ``   3.0000000e+00`` in its own text file; 266 of the 593 sequences have none.
Folder names differ between copies, so files are identified by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Found, Scan, class_folders, first_layout, with_leftovers
from fer_cli.data.importers.sequences import THINNED, Keep
from fer_cli.data.importers.walk import below, files_below, is_junk
from fer_cli.errors import DataError

NAME = re.compile(r"(?P<subject>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})", re.IGNORECASE)
LABEL = re.compile(r"(?P<image>(?P<sequence>S\d{3}_\d{3})_\d{8})(?P<official>_emotion)?", re.IGNORECASE)
PEAK_FRAMES = 3
"""Frames taken from the end of a sequence, as in CK+48 and most papers."""
UNLABELLED = "no emotion label"
IGNORED = "class excluded by the card"
EARLIER = "frame before the last three"
OUTSIDE = "not a frame of a CK+ sequence"

Frame = tuple[Path, re.Match[str]]
"""An image and its parsed name."""


def last_frames(count: int) -> range:
    """Return the positions of the peak frames of ``count``."""
    return range(max(0, count - PEAK_FRAMES), count)


def scan_ckplus(source: Path, card: Card, keep: Keep = last_frames) -> Scan:
    """Return the last three frames (or those of ``keep``) of all labelled sequences.

    Raises DataError if labels and images do not match.
    """
    return first_layout(
        source,
        card,
        {
            "cohn-kanade-images/S005/001/S005_001_00000011.png with Emotion/.../S005_001_00000011_emotion.txt": partial(
                official, keep=keep
            ),
            f"class folders {', '.join(card.folders)} with S005_001_00000011.png": partial(by_class, keep=keep),
            "a folder of peak frames S005_001_00000011.png with a folder of S005_001_00000011.txt": flat_peaks,
        },
    )


def official(source: Path, card: Card, keep: Keep = last_frames) -> Scan | None:
    """Return ``.../S005/001/S005_001_00000011.png``, labelled by ``..._emotion.txt`` anywhere below ``source``."""
    if not source.is_dir():
        return None
    frames = [frame for frame in named_frames(source) if in_sequence_folder(*frame)]
    if not frames:
        return None
    sequences: dict[str, list[Frame]] = {}
    for frame in frames:
        sequences.setdefault(sequence_of(frame[1]), []).append(frame)
    labels = {image.rpartition("_")[0]: file for image, file in labels_of(source, frames).items()}
    found, skipped = [], dict[str, list[str]]()
    for name, images in sorted(sequences.items()):
        folders = sorted({file.parent for file, _ in images})
        if len(folders) > 1:
            raise DataError(f"{source}: sequence {name} is in both {folders[0]} and {folders[1]}; give --from one copy")
        label = card.label(code_in(labels[name]), str(labels[name])) if name in labels else None
        found += peaks(source, images, label, skipped, IGNORED if name in labels else UNLABELLED, keep)
    return with_leftovers(source, Scan("image and label trees", found, skipped), OUTSIDE)


def by_class(source: Path, card: Card, keep: Keep = last_frames) -> Scan | None:
    """Return ``<class>/S055_004/S055_004_00000025.png`` or ``<class>/S055_004_00000025.png``."""
    if not source.is_dir():
        return None
    # Some copies have a folder of onset frames, which is no class of this card.
    folders = class_folders(source, card, card.folders | dict.fromkeys(card.ignored, ""))
    if folders is None:
        return None
    found, skipped, homes = [], dict[str, list[str]](), dict[str, Path]()
    for folder, label in folders.items():
        sequences: dict[str, list[Frame]] = {}
        for file in files_below(folder):
            match = NAME.fullmatch(file.stem)
            if match is None:
                raise DataError(f"{file}: not a CK+ file name; expected <subject>_<sequence>_<frame>.png")
            sequences.setdefault(sequence_of(match), []).append((file, match))
        for name, images in sorted(sequences.items()):
            if label and homes.setdefault(name, folder) != folder:
                raise DataError(f"{folder}: frames of {name} are also in {homes[name]}; a sequence has one label")
            found += peaks(source, images, label or None, skipped, IGNORED, keep)
    return with_leftovers(source, Scan("class folders", found, skipped, counts={}), OUTSIDE)


def flat_peaks(source: Path, card: Card) -> Scan | None:
    """Return ``Emotions_t/S005_001_00000011.png``, each labelled by the text file of the same name."""
    if not source.is_dir():
        return None
    frames = list(named_frames(source))
    if not frames or not label_files(source):
        return None
    labels = labels_of(source, frames)
    found, skipped = [], dict[str, list[str]]()
    for file, match in frames:
        where = labels.get(match[0].upper())
        label = card.label(code_in(where), str(where)) if where else None
        if label is None:
            skipped.setdefault(IGNORED if where else UNLABELLED, []).append(below(source, file))
        else:
            found.append(found_frame(file, match, label))
    counts = {label: number // PEAK_FRAMES for label, number in card.counts.items()}
    return with_leftovers(source, Scan("peak frames and labels", found, skipped, counts), OUTSIDE)


def named_frames(source: Path) -> Iterable[Frame]:
    """Yield the images below ``source`` with names of CK+ frames."""
    for file in files_below(source):
        if match := NAME.fullmatch(file.stem):
            yield file, match


def in_sequence_folder(file: Path, name: re.Match[str]) -> bool:
    """Return whether an image is in the folders of its subject and sequence."""
    sequence, subject = file.parent, file.parent.parent
    return sequence.name == name["sequence"] and subject.name.upper() == name["subject"].upper()


def sequence_of(name: re.Match[str]) -> str:
    """Return ``S005_001`` of a parsed file name."""
    return f"{name['subject'].upper()}_{name['sequence']}"


def labels_of(source: Path, frames: list[Frame]) -> dict[str, Path]:
    """Return the label files; raises DataError if there are none, or a labelled image (last of its sequence) is missing."""
    labels = label_files(source)
    if not labels:
        hint = "put the Emotion (Emotion_labels, source_emotion) folder beside the images and give --from the folder above"
        raise DataError(f"{source}: CK+ sequences without ..._emotion.txt; {hint}")
    images = {name[0].upper() for _, name in frames}
    for image, file in labels.items():
        if image not in images:
            raise DataError(f"{file}: labels {image}, but no such image is in {source}; is the copy complete?")
    return labels


def label_files(source: Path) -> dict[str, Path]:
    """Return the label file of each labelled image, without FACS and landmark files; raises DataError for a conflict."""
    labels: dict[str, Path] = {}
    for file in files_below(source, {".txt"}):
        match = LABEL.fullmatch(file.stem)
        if match is None or is_junk(file.name):
            continue
        image = match["image"].upper()
        if image in labels and code_in(labels[image]) != code_in(file):
            raise DataError(f"{file}: differs from {labels[image]}; give --from one copy")
        labels[image] = file
    return labels


def code_in(file: Path) -> str:
    """Return the class number in a label file as an integer; raises DataError if there is none."""
    try:
        value = float(file.read_text(encoding="utf-8-sig"))
        if not value.is_integer():
            raise ValueError
    except (ValueError, OverflowError):
        raise DataError(f"{file}: expected one integer, the emotion of the sequence") from None
    return str(int(value))


def peaks(
    source: Path, images: list[Frame], label: str | None, skipped: dict[str, list[str]], reason: str, keep: Keep
) -> list[Found]:
    """Return the frames of one sequence that ``keep`` takes; the others (all, if unlabelled) are added to ``skipped``."""
    ordered = sorted(images, key=lambda frame: int(frame[1]["frame"]))
    kept = set() if label is None else set(keep(len(ordered)))
    why = reason if label is None else EARLIER if keep is last_frames else THINNED
    for place, (file, _) in enumerate(ordered):
        if place not in kept:
            skipped.setdefault(why, []).append(below(source, file))
    return [found_frame(file, name, str(label)) for place, (file, name) in enumerate(ordered) if place in kept]


def found_frame(file: Path, name: re.Match[str], label: str) -> Found:
    """Return one frame with the subject, sequence and number in its name."""
    return Found(name[0].upper(), file, label, name["subject"].upper(), sequence_of(name), int(name["frame"]))
