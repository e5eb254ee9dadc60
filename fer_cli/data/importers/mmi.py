"""MMI: videos from neutral to apex and back; the three frames in the middle are taken, or evenly spaced ones for clips.

Official: ``Sessions/<n>/S001-100.avi`` with ``session.xml`` (``track``: view 0 frontal, 1 profile, 2 both side by side) and
``S001-100.xml``, whose metatag ``Emotion`` is a number of unverified meaning, mapped by a user-given table. Re-pack: frames
``S001_100_040.png`` with a label per sequence.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import read_number
from fer_cli.data.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fer_cli.data.importers.found import Found, Scan, first_layout, inside, read_lines, read_rows, with_leftovers
from fer_cli.data.importers.mmi_labels import LABEL_FILES, emotion_of, read_labels, view_of
from fer_cli.data.importers.sequences import THINNED, Keep
from fer_cli.data.importers.walk import below, file_named, files_below
from fer_cli.data.video import count_frames, open_video
from fer_cli.errors import DataError

VIDEO = re.compile(r"S(?P<subject>\d{3})[-_](?P<session>\d{3})", re.IGNORECASE)
FRAME = re.compile(r"S(?P<subject>\d{3})[-_](?P<session>\d{3})[-_](?P<frame>\d+)", re.IGNORECASE)
ID_LIST = re.compile(r"(train|val|test)_ids(_\d+)?", re.IGNORECASE)
MIDDLE = 3
"""Frames taken from the middle of a sequence."""
CODES = "emotion_codes.csv"
UNLABELLED = "no emotion label"
NOT_MIDDLE = "not in the middle of its sequence"
IGNORED = "class excluded by the card"
VIEWS = {"1": "profile view", "2": "frontal and profile view in one picture"}
STUDIO_HEIGHT = 480
"""Height of upright landscape frontal videos; in those of 576 lines the face is on its side."""
OTHER = "not a frame of an MMI sequence"


def middle(count: int) -> range:
    """Return the positions of the middle frames of ``count``."""
    start = max(0, count // 2 - MIDDLE // 2)
    return range(start, min(count, start + MIDDLE))


def scan_mmi(source: Path, card: Card, keep: Keep = middle) -> Scan:
    """Return the middle frames (or those of ``keep``) of all labelled frontal sequences."""
    return first_layout(
        source,
        card,
        {
            f"frames S001_100_040.png with {LABEL_FILES[0]} or {LABEL_FILES[1]}": partial(from_frames, keep=keep),
            "Sessions/<n>/S001-100.avi with session.xml and S001-100.xml": partial(from_videos, keep=keep),
        },
    )


def frame_number(file: Path, name: re.Match[str]) -> int:
    """Return the number of the frame ``S001_100_040.png``; raises DataError if it is too large."""
    return read_number(name["frame"], str(file))


def sequence_of(name: re.Match[str]) -> str:
    """Return ``S001_100`` of a parsed file name."""
    return f"S{name['subject']}_{name['session']}"


def from_frames(source: Path, card: Card, keep: Keep = middle) -> Scan | None:
    """Return ``S001_100_040.png``: the frames in id lists, else the middle three of each labelled sequence."""
    files = list(files_below(source)) if source.is_dir() else []
    frames = [(file, name) for file in files if (name := FRAME.fullmatch(file.stem))]
    if not frames:
        return None
    labels = read_labels(source, card)
    if labels is None:
        raise DataError(
            f"{source}: MMI frames without labels; add {LABEL_FILES[1]}: sequence,emotion and S001_100,happiness"
        )
    listed = listed_frames(source, {file.name.lower(): file for file, _ in frames})
    found, skipped, sequences = [], dict[str, list[str]](), dict[str, list[tuple[Path, re.Match[str]]]]()
    for file, name in frames:
        if sequence_of(name) not in labels:
            skipped.setdefault(UNLABELLED, []).append(below(source, file))
        elif listed and file not in listed:
            skipped.setdefault("not in the id lists", []).append(below(source, file))
        else:
            sequences.setdefault(sequence_of(name), []).append((file, name))
    for sequence, images in sequences.items():
        ordered = sorted(images, key=lambda image: frame_number(*image))
        kept = range(len(ordered)) if listed else keep(len(ordered))
        for position, (file, name) in enumerate(ordered):
            label = card.label(*labels[sequence])
            if label is not None and position in kept:
                found.append(found_frame(file, name, frame_number(file, name), label, None))
            else:
                reason = IGNORED if label is None else NOT_MIDDLE if keep is middle else THINNED
                skipped.setdefault(reason, []).append(below(source, file))
    return with_leftovers(source, Scan("extracted frames", found, skipped, counts={}), OTHER)


def listed_frames(source: Path, frames: dict[str, Path]) -> set[Path]:
    """Return the frames named in ``train_ids_0.csv``, ``test_ids_0.csv``, ...; raises DataError for a missing one."""
    listed = set()
    for table in files_below(source, {".csv", ".txt"}):
        if ID_LIST.fullmatch(table.stem) is None:
            continue
        for line, words in read_lines(table):
            where = f"{table}, line {line}"
            name = inside(source, words[0], where).name
            if name.lower() not in frames:
                raise DataError(f"{where}: {name} is not in {source}; is the copy complete?")
            listed.add(frames[name.lower()])
    return listed


def from_videos(source: Path, card: Card, keep: Keep = middle) -> Scan | None:
    """Return the three middle frames of all labelled frontal videos ``S001-100.avi``."""
    files = list(files_below(source, VIDEO_SUFFIXES)) if source.is_dir() else []
    videos = [(file, name) for file in files if (name := VIDEO.fullmatch(file.stem))]
    if not videos:
        return None
    labels, codes = read_labels(source, card), read_codes(source)
    found, skipped = [], dict[str, list[str]]()
    for file, name in videos:
        given = labels.get(sequence_of(name)) if labels is not None else emotion_of(file, codes, CODES)
        label = card.label(*given) if given else None
        reason = UNLABELLED if given is None else IGNORED if label is None else unusable(file)
        if label is None or reason:
            skipped.setdefault(reason, []).append(below(source, file))
            continue
        count, width, height = video_size(file)
        lies = width > height != STUDIO_HEIGHT
        # A video that cannot be opened is kept with its first frame, so that the build lists it as unreadable.
        frames = [found_frame(file, name, moment, label, moment) for moment in keep(count) or (0,)]
        found += [replace(frame, turn=int(lies)) for frame in frames]
    scan = Scan("session videos", found, skipped, counts={})
    return with_leftovers(source, scan, OTHER, IMAGE_SUFFIXES | VIDEO_SUFFIXES)


def read_codes(source: Path) -> dict[str, str]:
    """Return the user's ``emotion_codes.csv`` (number of the metatag -> emotion); empty without that file."""
    table = file_named(source, CODES, depth=1)
    return {row["code"]: row["emotion"] for _, row in read_rows(table, ("code", "emotion"))} if table else {}


def unusable(file: Path) -> str:
    """Return why a video does not show only a frontal face; empty if it does."""
    view = view_of(file)
    return "" if view in {"", "0"} else VIEWS.get(view, f"unknown view {view}")


def video_size(file: Path) -> tuple[int, int, int]:
    """Return the number of frames, width and height in pixels of a video; zeros if it cannot be opened."""
    import cv2

    with open_video(file) as capture:
        if capture is None:
            return 0, 0, 0
        width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        return count_frames(capture), width, height


def found_frame(file: Path, name: re.Match[str], frame: int, label: str, moment: int | None) -> Found:
    """Return one frame of an image file or, with ``moment``, of a video."""
    sequence = sequence_of(name)
    return Found(f"{sequence}_{frame:03d}", file, label, sequence.partition("_")[0], sequence, frame, moment=moment)
