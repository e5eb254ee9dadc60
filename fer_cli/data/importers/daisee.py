"""DAiSEE: ten-second webcam clips of people watching lectures, with their engagement level as the class.

The label files rate boredom, engagement, confusion and frustration of each clip from 0 to 3; the first six digits of a
clip's number identify the person. ``FRAMES_PER_CLIP`` frames are taken per video, or more for clips;
of extracted images, all.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.files import read_number
from fer_cli.data.formats import VIDEO_SUFFIXES
from fer_cli.data.importers.found import Found, Layout, Scan, duplicate_file_error, first_layout, read_rows
from fer_cli.data.importers.sequences import Keep
from fer_cli.data.importers.walk import below, file_named, files_below, image_files, visible_folders
from fer_cli.data.video import frame_count
from fer_cli.errors import DataError

FRAMES_PER_CLIP = 3
"""Frames per clip, at the centres of equal segments."""

PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Folder (also the label file's prefix) -> part."""
ALL = "all"
"""Prefix of the label file of all parts."""
Levels = dict[str, tuple[str, str]]
"""Clip -> label and its line in the label file."""
CLIP = re.compile(r"(?P<user>\d{6})\d{3,4}")
STARTS = re.compile(r"\d{9,}(?![a-zA-Z0-9])")
"""Names that begin with a clip number, possibly followed by a frame number; excludes hexadecimal hashes."""
CROPS = re.compile(r"(train|val|validation|test)(_\d+)?", re.IGNORECASE)
CROP = re.compile(r"(?P<level>\d)_(?P<clip>\d+)(_(?P<frame>\d+))?")

NO_LABEL = "clip without a label in its part's file"
NO_CLIP = "label without a clip"
CLOSED = "video cannot be opened"
OTHER_NAME = "video not named after a clip"
OUTSIDE = "video outside Train, Validation and Test"
PICTURE = "image beside the videos"
NO_NUMBER = "image not named after a clip"
NO_ROW = "image of a clip that is in no part's label file"
NO_PICTURE = "label without an image"


def moments(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` of ``count`` frame numbers at the centres of equal segments; fewer for a shorter clip."""
    return sorted({(2 * stretch + 1) * count // (2 * wanted) for stretch in range(wanted)}) if count > 0 else []


def three_frames(count: int) -> list[int]:
    """Return the positions of ``FRAMES_PER_CLIP`` of ``count`` frames."""
    return moments(count, FRAMES_PER_CLIP)


def scan_daisee(source: Path, card: Card, keep: Keep = three_frames) -> Scan:
    """Return frames of all labelled clips, of videos three or those of ``keep``.

    Raises DataError for a level outside 0..3 and a duplicate clip.
    """
    layouts: dict[str, Layout] = {
        "DataSet/{Train,Validation,Test}/<user>/<clip>/<clip>.avi with Labels/*Labels.csv": partial(by_clip, keep=keep),
        "images named after a clip, or in a folder named after one, with Labels/*Labels.csv": by_named_crop,
        "train_<n>/<level>_<number>.jpg": by_crop,
    }
    return first_layout(source, card, layouts)


def by_clip(source: Path, card: Card, keep: Keep = three_frames) -> Scan | None:
    """Return the official layout; None if no part's folder contains videos."""
    if not source.is_dir() or next(files_below(source, VIDEO_SUFFIXES), None) is None:
        return None
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
                raise duplicate_file_error(file, clips[file.stem], what="clip")
            clips[file.stem] = file
            if file.stem in levels:
                wanted.append((file, PARTS[part], levels[file.stem][0]))
            else:
                skipped.setdefault(NO_LABEL, []).append(below(source, file))
    found = clip_frames(wanted, source, skipped, keep)
    known = {file for files in videos.values() for file in files}
    leftovers = {
        NO_CLIP: [f"{clip} ({where})" for clip, where in listed.items() if clip not in clips],
        OUTSIDE: [below(source, file) for file in files_below(source, VIDEO_SUFFIXES) if file not in known],
        PICTURE: [below(source, file) for file in files_below(source)],
    }
    return Scan("clips with label files", found, skipped | {why: rest for why, rest in leftovers.items() if rest})


def part_folders(source: Path) -> dict[str, Path]:
    """Return part -> folder, up to two levels below the source; raises DataError for a duplicate part."""
    parts: dict[str, Path] = {}
    level = [source]
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


def read_levels(source: Path, part: str, card: Card) -> Levels:
    """Return clip -> (label, line) from the part's label file, else from that of all parts, which lists additional clips.

    Raises DataError if both are missing, and as ``levels_in`` does.
    """
    levels = levels_in(source, part, card)
    levels = levels_in(source, ALL, card) if levels is None else levels
    if levels is None:
        raise DataError(
            f"{source}: no {part.capitalize()}Labels.csv in it; give --from the folder that holds DataSet and Labels"
        )
    return levels


def levels_in(source: Path, part: str, card: Card) -> Levels | None:
    """Return clip -> (label, line) from the label file of a part or of all parts, None if it is missing.

    Raises DataError for an unknown level, and for a clip with two levels.
    """
    table = file_named(source, f"{part}Labels.csv", depth=3)
    if table is None:
        return None
    levels: Levels = {}
    for line, row in read_rows(table, ("ClipID", "Engagement")):
        where = f"{table}, line {line}"
        label = card.label(row["Engagement"], where)
        clip = Path(row["ClipID"]).stem
        if label is None:
            continue
        if levels.setdefault(clip, (label, f"{table.name}, line {line}"))[0] != label:
            raise DataError(f"{where}: clip {clip} has another level in an earlier line; keep one of the two")
    return levels


def clip_frames(wanted: list[tuple[Path, str, str]], source: Path, skipped: dict[str, list[str]], keep: Keep) -> list[Found]:
    """Return the frames of (video, part, label); videos that cannot be opened go to ``skipped``."""
    found = []
    with ThreadPoolExecutor() as pool:  # opens each file for its length
        counts = list(pool.map(frame_count, [file for file, _, _ in wanted]))
    for (file, part, label), count in zip(wanted, counts, strict=True):
        if count == 0:
            skipped.setdefault(CLOSED, []).append(below(source, file))
        clip = file.stem
        for moment in keep(count):
            sample = f"{clip}_{moment:05d}"
            found.append(Found(sample, file, label, clip[:6], clip, moment, part, moment=moment))
    return found


def by_named_crop(source: Path, card: Card) -> Scan | None:
    """Return images whose name or folder contains a clip number, labelled by the label files.

    The part is that of the label file, since re-packs pool or redraw the parts. Raises DataError without a label file, and
    for a clip in the files of two parts.
    """
    files = list(files_below(source)) if source.is_dir() else []
    if not any(names_a_clip(file, source) for file in files):
        return None
    tables = {part: levels for part in (*PARTS, ALL) if (levels := levels_in(source, part, card)) is not None}
    if not tables:
        if not all(names_a_clip(file, source) for file in files):
            return None
        raise DataError(f"{source}: images named after clips, but no TrainLabels.csv; give --from the folder of both")
    rows = joined_rows(tables)
    found: list[Found] = []
    skipped: dict[str, list[str]] = {}
    used: set[str] = set()
    moved = 0
    for file in files:
        crop, folder = crop_of(file, source, rows), part_of_folder(file, source)
        row = None if crop is None else rows.get(crop.clip)
        if crop is None or row is None or (row.part == ALL and len(tables) > 1 and (not folder or folder in tables)):
            skipped.setdefault(NO_NUMBER if crop is None else NO_ROW, []).append(below(source, file))
            continue
        used.add(crop.clip)
        moved += bool(folder) and row.part not in {folder, ALL}
        part = PARTS.get(folder if row.part == ALL else row.part, "none")
        found.append(Found(crop.sample, file, row.label, crop.clip[:6], crop.clip, crop.frame, part))
    parts = {*PARTS, *(rows[clip].part for clip in used)}
    if unused := [f"{clip} ({row.where})" for clip, row in rows.items() if clip not in used and row.part in parts]:
        skipped[NO_PICTURE] = unused
    folders = f" ({moved} are in the folder of another part; the label file is used)" if moved else ""
    return Scan(f"images by clip with label files{folders}", found, skipped, counts={})


@dataclass(frozen=True)
class Row:
    """The entry of a clip in the label files."""

    part: str
    """Part of the label file; ``ALL`` if only the file of all parts lists the clip."""
    label: str
    where: str


@dataclass(frozen=True)
class Crop:
    """The parsed name of an image."""

    clip: str
    rest: str
    """The rest of the name, which distinguishes the images of a clip."""

    @property
    def sample(self) -> str:
        """Return a unique name: the clip and the rest of the name."""
        return f"{self.clip}_{self.rest}" if self.rest else self.clip

    @property
    def frame(self) -> int:
        """Return the first number after the clip's, 0 if there is none."""
        number = re.search(r"\d{1,9}", self.rest)
        return int(number[0]) if number else 0


def joined_rows(tables: dict[str, Levels]) -> dict[str, Row]:
    """Return the rows of all label files by clip; raises DataError for a clip listed in two parts (data leakage)."""
    rows: dict[str, Row] = {}
    for part, levels in tables.items():  # ALL comes last
        for clip, (label, where) in levels.items():
            if clip not in rows:
                rows[clip] = Row(part, label, where)
            elif part != ALL:
                raise DataError(f"clip {clip} is listed in {rows[clip].where} and in {where}; remove it from one of the two")
    return rows


def names_a_clip(file: Path, source: Path) -> bool:
    """Return whether an image's name, or a folder above it, begins with a clip number."""
    return clip_folder(file, source) is not None or STARTS.match(file.stem) is not None


def clip_folder(file: Path, source: Path) -> str | None:
    """Return the nearest folder above, up to ``source``, that is named after a clip; None without."""
    names = [folder.name for folder in file.parents if folder.is_relative_to(source)]
    return next((name for name in names if CLIP.fullmatch(name)), None)


def crop_of(file: Path, source: Path, rows: dict[str, Row]) -> Crop | None:
    """Return the parsed name of an image, with the clip number from its folder or its own name; None without.

    Frame 1 of clip 1100011002 may be ``11000110021.jpg``; as clips have nine or ten digits, the label files decide.
    """
    clip = clip_folder(file, source)
    if clip is None:
        match = STARTS.match(file.stem)
        digits = match[0] if match else ""
        fits = [digits[:n] for n in (9, 10) if digits[:n] in rows]
        if not CLIP.fullmatch(digits) and len(fits) != 1:
            return None
        clip = digits if CLIP.fullmatch(digits) else fits[0]
    return Crop(clip, file.stem.removeprefix(clip).lstrip("_-. "))


def part_of_folder(file: Path, source: Path) -> str:
    """Return the part of the nearest folder above, up to ``source``, named after one; empty without."""
    names = [folder.name.lower() for folder in file.parents if folder.is_relative_to(source)]
    words = [match[1] for name in names if (match := CROPS.fullmatch(name))]
    return "" if not words else "validation" if words[0] == "val" else words[0]


def by_crop(source: Path, card: Card) -> Scan | None:
    """Return face crops ``<level>_<number>.jpg`` in a folder per part; this re-pack lacks people and clips."""
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
                raise DataError(
                    f"{file}: unexpected name in this re-pack of DAiSEE; expected <engagement 0..3>_<number>.jpg"
                )
            label = card.label(match["level"], str(file))
            sequence = f"{part}_{match['clip']}" if match["frame"] else ""
            frame = read_number(match["frame"] or "0", str(file))
            if label is not None:
                found.append(Found(f"{part}_{file.stem}", file, label, "", sequence, frame, part))
    rest = [below(source, file) for file in files_below(source) if file not in seen]
    return Scan("face crops by part, people unknown", found, {"image outside the parts": rest} if rest else {}, counts={})
