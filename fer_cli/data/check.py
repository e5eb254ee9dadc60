"""Comparison of a built set with its card, its checksums and its source."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer_cli.data.archive import source_at
from fer_cli.data.build import display_name, scan_source
from fer_cli.data.cards import Card, has_card, load_card
from fer_cli.data.compare import differences, verdict
from fer_cli.data.decode import UnreadableError, read_source, why
from fer_cli.data.files import shorten
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.hints import few
from fer_cli.data.manifest import FaceSet, SetInfo, load_info, load_set, verify_files
from fer_cli.data.own import own_of, scan_own
from fer_cli.data.rebuild import FRAMES
from fer_cli.errors import DataError
from fer_cli.progress import Progress, silent

NAMED = 3
"""Files named per line."""


@dataclass(frozen=True)
class Count:
    """Images of one class in one official part, and the card's number."""

    split: str
    label: str
    images: int
    card: int | None
    """None if the card gives no number."""
    clips: int | None = None
    """Number of rendered clips; None for other images."""

    @property
    def agrees(self) -> bool:
        """Return whether the number equals the card's, if it gives one."""
        return self.card is None or self.card == self.images


@dataclass(frozen=True)
class Checked:
    """The result of a check."""

    info: SetInfo
    counts: list[Count]
    problems: list[str]
    """One line per kind of problem, with the number and the first few cases."""
    against: str
    """Verdict of the count comparison if nothing differs."""


def check_set(data_root: Path, name: str, source: Path | None = None, progress: Progress = silent) -> Checked:
    """Return the counts of a built set beside its card's, and all problems; all files are hashed again.

    ``source``: the folder it was built from; every kept image is then compared with its file by content. Raises DataError if
    the set is not built or its files were changed.
    """
    info = load_info(data_root, name)
    verify_files(data_root / name, info, tuple(info.files), remembered=False)
    faces = load_set(data_root, name)
    problems = []
    card = load_card(name) if has_card(name) else None
    counts = count_table(faces, card)
    if card is not None and card.embedded is None:
        rows: list[Any] = list(faces.manifest.itertuples())
        if wrong := differences(card, info.expected, rows):
            problems.append(f"differs from the card: {few(wrong)}")
    if source is not None:
        with source_at(source) as place:
            problems += compare_with_source(faces, *rescan_source(info, card, place), progress)
    return Checked(info, counts, problems, verdict(card, info.expected) if card else "not compared: no card of this name")


def count_table(faces: FaceSet, card: Card | None) -> list[Count]:
    """Return the images per official part and class beside the card's numbers."""
    found = Counter(zip(faces.manifest["split"], faces.manifest["label"], strict=True))
    clips: Counter[tuple[str, str]] = Counter()
    if faces.info.clips is not None:
        one_each = faces.manifest.drop_duplicates(["subject", "sequence"])
        clips = Counter(zip(one_each["split"], one_each["label"], strict=True))
    known = card.split_counts if card and faces.info.expected is None else {}
    parts = list(dict.fromkeys([*known, *sorted(faces.manifest["split"].unique())]))
    rows = []
    for part in parts:
        for label in faces.info.classes:
            expected = None
            if card is not None and faces.info.expected is None and card.split_counts:
                expected = card.split_counts.get(part, {}).get(label, 0)
            elif len(parts) == 1 and card is not None:
                own = card.counts if faces.info.expected is None else faces.info.expected
                expected = own[label] if own else None
            number = None if faces.info.clips is None else clips[part, label]
            rows.append(Count(part, label, found[part, label], expected, number))
    return rows


def rescan_source(info: SetInfo, card: Card | None, source: Path) -> tuple[Scan, Path]:
    """Return a new scan of ``source``, made as when the set was built, and the folder it refers to.

    Raises DataError for a set that was not read from files, or whose build options were not recorded.
    """
    if card is None and info.own:
        return scan_own(info.name, source, own_of(info.own))[1:]
    if card is None or card.embedded is not None:
        raise DataError(f"{info.name}: --from needs a set read from files with recorded options")
    return scan_source(card, source, frames_of(info)), source


def frames_of(info: SetInfo) -> int | None:
    """Return the number of frames that were taken of each sequence or video for clips, None for stills."""
    first = info.preprocessing[0] if info.preprocessing else {}
    return int(first["per clip"]) if first.get("step") == FRAMES else None


def compare_with_source(faces: FaceSet, found: Scan, source: Path, progress: Progress) -> list[str]:
    """Return the differences between a set and its source: files missing, changed, relabelled or new, with examples.

    Images are matched by their name in the source; video frames are compared by name and label only.
    """
    scan = {image.sample: image for image in found.found}
    wrong: dict[str, list[str]] = {"missing": [], "unreadable": [], "changed": [], "labelled otherwise": []}
    for row in progress(faces.manifest.itertuples(), len(faces.manifest)):
        image = scan.pop(row.name, None)
        if image is None:
            wrong["missing"].append(row.file)
        elif image.label != row.label:
            wrong["labelled otherwise"].append(f"{row.file} ({image.label}, built as {row.label})")
        elif image.moment is None:
            try:
                content = read_source(image.file) if image.pixels is None else image.pixels
            except (UnreadableError, OSError) as error:
                wrong["unreadable"].append(f"{row.file} ({why(error)})")
                continue
            if hashlib.sha256(content).hexdigest() != row.sha256:
                wrong["changed"].append(row.file)
    out = {*faces.info.unreadable, *faces.info.no_face, *faces.info.duplicates}
    wrong["new"] = [name for name in (display_name(image, source) for image in scan.values()) if name not in out]
    return [f"{kind}: {len(files)}, e.g. {', '.join(map(shorten, files[:NAMED]))}" for kind, files in wrong.items() if files]


def left_out_table(info: SetInfo) -> pd.DataFrame:
    """Return per class and in total: in, kept, no face, unreadable, duplicate, left out; the last five sum to the first.

    Files without a class that were left out have a row of their own.
    """
    reasons = ("no face", "unreadable", "duplicate")
    rows = []
    for label in info.classes:
        gone = [info.left_out.get(reason, {}).get(label, 0) for reason in reasons]
        rows.append([label, info.counts[label] + sum(gone), info.counts[label], *gone, 0])
    if others := sum(map(len, info.skipped.values())):
        rows.append(["without a class", others, 0, 0, 0, 0, others])
    table = pd.DataFrame(rows, columns=["class", "in", "kept", *reasons, "left out"])
    table.loc[len(table)] = ["all", *table.drop(columns="class").sum().tolist()]
    return table
