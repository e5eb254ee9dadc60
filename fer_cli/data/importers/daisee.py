"""DAiSEE: ten-second webcam clips of people watching lectures, here with their level of engagement as the class.

Every clip carries four states (boredom, engagement, confusion, frustration), each from 0 to 3; the label files give them
by clip, and the first six digits of a clip's number are the person. Of each video ``FRAMES_PER_CLIP`` frames are taken, of
pictures that were cut out of the videos all.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.formats import VIDEO_SUFFIXES
from fer_cli.data.importers.found import Found, Layout, Scan, duplicate_file_error, first_layout, read_rows
from fer_cli.data.importers.walk import below, file_named, files_below, image_files, visible_folders
from fer_cli.data.video import frame_count
from fer_cli.errors import DataError

FRAMES_PER_CLIP = 3
"""Frames taken from a clip, in the middle of as many equal stretches of it."""

PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Folder -> part; the label file is named after the folder."""
ALL = "all"
"""Of the label files, that of all parts; it says nothing of the part."""
Levels = dict[str, tuple[str, str]]
"""Clip -> its label, and the line that gives it."""
CLIP = re.compile(r"(?P<user>\d{6})\d{3,4}")
STARTS = re.compile(r"\d{9,}(?![a-zA-Z0-9])")
"""What begins with the number of a clip, and perhaps of a frame; a hexadecimal hash does not."""
CROPS = re.compile(r"(train|val|validation|test)(_\d+)?", re.IGNORECASE)
CROP = re.compile(r"(?P<level>\d)_(?P<clip>\d+)(_(?P<frame>\d+))?")

NO_LABEL = "clip without a label in its part's file"
NO_CLIP = "label without a clip"
CLOSED = "video cannot be opened"
OTHER_NAME = "video that is not named after a clip"
OUTSIDE = "video outside Train, Validation and Test"
PICTURE = "picture beside the videos"
NO_NUMBER = "picture that is not named after a clip"
NO_ROW = "picture whose clip is in no label file of a part"
NO_PICTURE = "label without a picture"


def scan_daisee(source: Path, card: Card) -> Scan:
    """Return frames of every labelled clip; raises DataError for a level outside 0..3 and a clip that lies there twice."""
    layouts: dict[str, Layout] = {
        "DataSet/{Train,Validation,Test}/<user>/<clip>/<clip>.avi with Labels/*Labels.csv": by_clip,
        "pictures named after a clip, or in a folder that is, with Labels/*Labels.csv": by_named_crop,
        "train_<n>/<level>_<number>.jpg": by_crop,
    }
    return first_layout(source, card, layouts)


def moments(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` frame numbers of ``count``, each in the middle of an equal stretch; fewer for a shorter clip."""
    return sorted({(2 * stretch + 1) * count // (2 * wanted) for stretch in range(wanted)}) if count > 0 else []


def by_clip(source: Path, card: Card) -> Scan | None:
    """Return the official layout; None where no part's folder holds a video."""
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
    """Return clip -> (label, the line that gives it) from the part's label file, else from that of all parts.

    The part's own file comes first: the one of all parts lists clips that belong to no part's official list. Raises
    DataError without either, and as ``levels_in`` does.
    """
    levels = levels_in(source, part, card)
    levels = levels_in(source, ALL, card) if levels is None else levels
    if levels is None:
        raise DataError(
            f"{source}: no {part.capitalize()}Labels.csv in it; give --from the folder that holds DataSet and Labels"
        )
    return levels


def levels_in(source: Path, part: str, card: Card) -> Levels | None:
    """Return clip -> (label, the line that gives it) from the label file of a part, or of all parts; None without that file.

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


def by_named_crop(source: Path, card: Card) -> Scan | None:
    """Return pictures that carry their clip's number in their own name or their folder's, joined with the label files.

    The part is that of the label file that lists the clip: re-packs pool the parts, or draw others. Raises DataError where
    there is no label file, and for a clip in the files of two parts.
    """
    files = list(files_below(source)) if source.is_dir() else []
    if not any(names_a_clip(file, source) for file in files):
        return None
    tables = {part: levels for part in (*PARTS, ALL) if (levels := levels_in(source, part, card)) is not None}
    if not tables:
        if not all(names_a_clip(file, source) for file in files):
            return None
        raise DataError(f"{source}: pictures named after clips, but no TrainLabels.csv; give --from what holds both")
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
    folders = f" ({moved} lie in the folder of another part than that of their label file, which counts)" if moved else ""
    return Scan(f"pictures by clip with label files{folders}", found, skipped, counts={})


@dataclass(frozen=True)
class Row:
    """What the label files say of a clip."""

    part: str
    """Name of the label file's part, ``ALL`` where only that of all parts lists the clip."""
    label: str
    where: str


@dataclass(frozen=True)
class Crop:
    """What a picture's name says."""

    clip: str
    rest: str
    """The rest of the name, which distinguishes the images of a clip."""

    @property
    def sample(self) -> str:
        """Return the clip and the rest of the name: unique for each image."""
        return f"{self.clip}_{self.rest}" if self.rest else self.clip

    @property
    def frame(self) -> int:
        """Return the first number behind the clip's, 0 where there is none."""
        number = re.search(r"\d{1,9}", self.rest)
        return int(number[0]) if number else 0


def joined_rows(tables: dict[str, Levels]) -> dict[str, Row]:
    """Return what all label files say, by clip; that of all parts adds clips that no other lists.

    Raises DataError for a clip that two parts list, which would leak.
    """
    rows: dict[str, Row] = {}
    for part, levels in tables.items():  # ALL comes last
        for clip, (label, where) in levels.items():
            if clip not in rows:
                rows[clip] = Row(part, label, where)
            elif part != ALL:
                raise DataError(f"clip {clip} is listed in {rows[clip].where} and in {where}; remove it from one of the two")
    return rows


def names_a_clip(file: Path, source: Path) -> bool:
    """Return whether a picture's name, or a folder above it, begins with the number of a clip."""
    return clip_folder(file, source) is not None or STARTS.match(file.stem) is not None


def clip_folder(file: Path, source: Path) -> str | None:
    """Return the clip whose number is the name of the nearest folder that has one, up to ``source``; None without."""
    names = [folder.name for folder in file.parents if folder.is_relative_to(source)]
    return next((name for name in names if CLIP.fullmatch(name)), None)


def crop_of(file: Path, source: Path, rows: dict[str, Row]) -> Crop | None:
    """Return what a picture's name says: the clip's number is its folder's name, or begins its own; None without.

    Programs that cut up videos write ``11000110021.jpg`` for frame 1 of clip 1100011002, and clips have nine or ten digits:
    without a folder the clip is then the one that the label files list.
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
    """Return the part that the nearest folder above names, up to ``source``; empty where none does."""
    names = [folder.name.lower() for folder in file.parents if folder.is_relative_to(source)]
    words = [match[1] for name in names if (match := CROPS.fullmatch(name))]
    return "" if not words else "validation" if words[0] == "val" else words[0]


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
