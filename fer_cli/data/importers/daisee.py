"""DAiSEE: ten-second webcam clips of people watching lectures, here with their level of engagement as the class.

Every clip carries four states (boredom, engagement, confusion, frustration), each from 0 to 3; the label files give them
by clip, and the first six digits of a clip's number are the person. Of each clip ``FRAMES_PER_CLIP`` frames are taken.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.formats import VIDEO_SUFFIXES
from fer_cli.data.importers.found import Found, Layout, Scan, file_twice, first_layout, read_rows
from fer_cli.data.importers.walk import below, file_named, files_below, image_files, visible_folders
from fer_cli.data.video import frame_count
from fer_cli.errors import DataError

FRAMES_PER_CLIP = 3
"""Frames taken from a clip, in the middle of as many equal stretches of it."""

PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Folder -> part; the label file is named after the folder."""
CLIP = re.compile(r"(?P<user>\d{6})\d{3,4}")
CROPS = re.compile(r"(train|val|validation|test)(_\d+)?", re.IGNORECASE)
CROP = re.compile(r"(?P<level>\d)_(?P<clip>\d+)(_(?P<frame>\d+))?")

NO_LABEL = "clip without a label in its part's file"
NO_CLIP = "label without a clip"
CLOSED = "video cannot be opened"
OTHER_NAME = "video that is not named after a clip"
OUTSIDE = "video outside Train, Validation and Test"
PICTURE = "picture beside the videos"


def scan_daisee(source: Path, card: Card) -> Scan:
    """Return frames of every labelled clip; raises DataError for a level outside 0..3 and a clip that lies there twice."""
    layouts: dict[str, Layout] = {
        "DataSet/{Train,Validation,Test}/<user>/<clip>/<clip>.avi with Labels/*Labels.csv": by_clip,
        "train_<n>/<level>_<number>.jpg": by_crop,
    }
    return first_layout(source, card, layouts)


def moments(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` frame numbers of ``count``, each in the middle of an equal stretch; fewer for a shorter clip."""
    return sorted({(2 * stretch + 1) * count // (2 * wanted) for stretch in range(wanted)}) if count > 0 else []


def by_clip(source: Path, card: Card) -> Scan | None:
    """Return the official layout; None where no part's folder holds a video."""
    parts = part_folders(source)
    videos = {part: list(files_below(folder, VIDEO_SUFFIXES)) for part, folder in parts.items()}
    if not any(videos.values()):
        return None
    skipped: dict[str, list[str]] = {}
    listed: dict[str, str] = {}
    clips: dict[str, Path] = {}
    wanted: list[tuple[Path, str, str]] = []
    for part, files in videos.items():
        levels = read_levels(source, part, card)
        listed |= {clip: where for clip, (_, where) in levels.items()}
        for file in files:
            if CLIP.fullmatch(file.stem) is None:
                skipped.setdefault(OTHER_NAME, []).append(below(source, file))
                continue
            if file.stem in clips:
                raise file_twice(file, clips[file.stem], what="clip")
            clips[file.stem] = file
            if file.stem in levels:
                wanted.append((file, PARTS[part], levels[file.stem][0]))
            else:
                skipped.setdefault(NO_LABEL, []).append(below(source, file))
    found = clip_frames(wanted, source, skipped)
    known = {file for files in videos.values() for file in files}
    leftovers = {
        NO_CLIP: [f"{clip} ({where})" for clip, where in listed.items() if clip not in clips],
        OUTSIDE: [below(source, file) for file in files_below(source, VIDEO_SUFFIXES) if file not in known],
        PICTURE: [below(source, file) for file in files_below(source)],
    }
    return Scan("clips with label files", found, skipped | {why: rest for why, rest in leftovers.items() if rest})


def part_folders(source: Path) -> dict[str, Path]:
    """Return part -> its folder, up to two levels below the source; raises DataError where a part lies there twice."""
    parts: dict[str, Path] = {}
    level = [source] if source.is_dir() else []
    for _ in range(3):
        for folder in (inner for root in level for inner in visible_folders(root) if inner.name.lower() in PARTS):
            part = folder.name.lower()
            if part in parts:
                raise DataError(f"{source}: holds both {parts[part]} and {folder}; give --from one copy of DAiSEE")
            parts[part] = folder
        if parts:
            return parts
        level = [inner for root in level for inner in visible_folders(root)]
    return parts


def read_levels(source: Path, part: str, card: Card) -> dict[str, tuple[str, str]]:
    """Return clip -> (label, where it stands) from the part's label file, or from that of all parts where it is missing.

    The part's own file comes first: the one of all parts lists clips that belong to no part's official list. Raises
    DataError without either, for an unknown level, and for a clip with two levels.
    """
    table = file_named(source, f"{part}Labels.csv", depth=3) or file_named(source, "AllLabels.csv", depth=3)
    if table is None:
        raise DataError(
            f"{source}: no {part.capitalize()}Labels.csv in it; give --from the folder that holds DataSet and Labels"
        )
    levels: dict[str, tuple[str, str]] = {}
    for line, row in read_rows(table, ("ClipID", "Engagement")):
        where = f"{table}, line {line}"
        label = card.label(row["Engagement"], where)
        clip = Path(row["ClipID"]).stem
        if label is None:
            continue
        if levels.setdefault(clip, (label, f"{table.name}, line {line}"))[0] != label:
            raise DataError(f"{where}: clip {clip} has another level in an earlier line; keep one of the two")
    return levels


def clip_frames(wanted: list[tuple[Path, str, str]], source: Path, skipped: dict[str, list[str]]) -> list[Found]:
    """Return the frames to take of (video, part, label); videos that cannot be opened go to ``skipped``."""
    found = []
    with ThreadPoolExecutor() as pool:  # each file is opened to ask for its length
        counts = list(pool.map(frame_count, [file for file, _, _ in wanted]))
    for (file, part, label), count in zip(wanted, counts, strict=True):
        if count == 0:
            skipped.setdefault(CLOSED, []).append(below(source, file))
        clip = file.stem
        for moment in moments(count, FRAMES_PER_CLIP):
            sample = f"{clip}_{moment:05d}"
            found.append(Found(sample, file, label, clip[:6], clip, moment, part, moment=moment))
    return found


def by_crop(source: Path, card: Card) -> Scan | None:
    """Return face crops named ``<level>_<number>.jpg`` in a folder per part; people and clips are lost in this re-pack."""
    level = [source, *visible_folders(source)] if source.is_dir() else []
    folders = [folder for root in level for folder in visible_folders(root) if CROPS.fullmatch(folder.name)]
    if not any(CROP.fullmatch(file.stem) for folder in folders for file in image_files(folder)):
        return None
    found = []
    seen: set[Path] = set()
    for folder in folders:
        word = folder.name.lower().split("_")[0]
        part = "val" if word.startswith("val") else word
        for file in image_files(folder):
            seen.add(file)
            match = CROP.fullmatch(file.stem)
            if match is None:
                raise DataError(f"{file}: not a name of this re-pack of DAiSEE; expected <engagement 0..3>_<number>.jpg")
            label = card.label(match["level"], str(file))
            sequence = f"{part}_{match['clip']}" if match["frame"] else ""
            if label is not None:
                found.append(Found(f"{part}_{file.stem}", file, label, "", sequence, int(match["frame"] or 0), part))
    rest = [below(source, file) for file in files_below(source) if file not in seen]
    return Scan("face crops by part, people unknown", found, {"image outside the parts": rest} if rest else {}, counts={})
