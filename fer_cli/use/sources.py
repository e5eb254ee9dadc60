"""Pictures and videos that a user names, as files and folders; videos as frames with times, one at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from fer_cli.data.decode import UnreadableError
from fer_cli.data.files import readable_name, why_unreadable
from fer_cli.data.formats import HEAD, IMAGE_SUFFIXES, UNREAD_FILMS, VIDEO_SUFFIXES, kind_of
from fer_cli.data.importers.walk import files_below, is_junk, leads_out, real, walk_folders
from fer_cli.data.video import frame_count, open_video
from fer_cli.errors import DataError
from fer_cli.escape import PATH, cut
from fer_cli.places import open_regular

FILMS = frozenset({"MP4", "AVI", "Matroska", "MPEG", "FLV", "WMV", "Ogg"})
"""Formats of videos by their first bytes."""
RATE = 25.0
"""Frames per second of a video that states neither times nor a rate."""
FASTEST = 1000.0
OUTWARD = "linked folders outside, not followed"
CUT_SHORT = 0.98
"""Fewer than this share of the frames that a video's header states are reported."""


@dataclass(frozen=True)
class Source:
    """A file to read."""

    path: Path
    name: str
    """As shown: the path that the user gave, or the folder's and the file's below it."""
    kind: Literal["image", "video"]
    named: bool = True
    """Whether the user named the file, not a folder with it."""


@dataclass
class Sources:
    """The files that a user named."""

    files: list[Source] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason -> number of files in folders that are not read."""


class Moment(NamedTuple):
    """A frame of a video."""

    number: int
    """From 0, among the frames that decode."""
    time_s: float
    image: np.ndarray
    """(H, W, 3) uint8 RGB, upright by the video's rotation tag."""


def find_sources(paths: Iterable[Path]) -> Sources:
    """Return the files named by ``paths``: files, and all images and videos below folders.

    Raises DataError for a missing path, one that is not a file, and a folder without any.
    """
    found = Sources()
    for path in paths:
        shown = cut(readable_name(path), PATH)
        if path.is_dir():
            below = list(files_below(path, IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            if links := count_links(path):
                found.skipped[OUTWARD] += links
            if not below:
                suffixes = ", ".join(sorted(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES | VIDEO_SUFFIXES))
                beside = f"; {links} {OUTWARD}" if links else ""
                raise DataError(f"{shown}: a folder without images or videos ({suffixes}){beside}")
            found.files += [Source(file, readable_name(file), kind_of_file(file), named=False) for file in below]
        elif (reason := why_unreadable(path)) is not None:
            raise DataError(f"{shown}: {reason}")
        else:
            found.files.append(Source(path, readable_name(path), kind_of_file(path)))
    return found


def count_links(root: Path) -> int:
    """Return the number of visible links to folders outside ``root``, which are not followed."""
    home = real(root)
    return sum(
        leads_out(folder / name, home) and not is_junk(name) for folder, folders, _ in walk_folders(root) for name in folders
    )


def keep_videos(found: Sources, clips: int) -> Sources:
    """Return the videos, for a network on clips of ``clips`` frames; images in folders are counted as skipped.

    Raises DataError for an image that was named, or if there are no videos.
    """
    reads = f"the run reads clips of {clips} frames of a face" if clips > 1 else "the run reads frames of videos"
    images = [file for file in found.files if file.kind == "image"]
    videos = [file for file in found.files if file.kind == "video"]
    if named := [file for file in images if file.named]:
        raise DataError(f"{cut(named[0].name, PATH)}: an image, but {reads}; give a video, or use a run on still images")
    if not videos:
        raise DataError(f"no videos, but {reads}; give a video, or use a run on still images")
    skipped = found.skipped + Counter({f"images, as {reads}": len(images)})
    return Sources(videos, +skipped)


def kind_of_file(path: Path) -> Literal["image", "video"]:
    """Return whether a file is read as an image or a video: by its suffix, else by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in UNREAD_FILMS:
        return "video"
    if suffix in IMAGE_SUFFIXES:
        return "image"
    try:
        with open_regular(path) as stream:
            return "video" if kind_of(stream.read(HEAD)) in FILMS else "image"
    except OSError:
        return "image"


def count_frames(source: Source) -> int:
    """Return the number of frames in a file, for progress: of a video what its header states."""
    return 1 if source.kind == "image" else frame_count(source.path)


def read_moments(path: Path) -> Iterator[Moment]:
    """Yield the frames of a video that decode, with the times of its time stamps, which increase.

    A frame without a later stamp than the one before follows it by 1 / rate. Raises UnreadableError if none decodes.
    """
    if (reason := why_unreadable(path)) is not None:
        raise UnreadableError(reason)
    if not path.stat().st_size:
        raise UnreadableError("empty file")
    number, before = 0, -math.inf
    with open_video(path) as capture:
        if capture is None:
            raise UnreadableError("not a video that can be read, or cut short before its end")
        step = 1 / frame_rate(capture)
        while capture.grab():
            whole, frame = capture.retrieve()
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not math.isfinite(stamp) or stamp <= before or stamp < 0:
                stamp = 0.0 if before == -math.inf else before + step
            before = stamp
            if whole and frame is not None:
                yield Moment(number, stamp, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                number += 1
    if not number:
        raise UnreadableError("no frame can be decoded")


def frame_rate(capture: cv2.VideoCapture) -> float:
    """Return the frames per second that a video states, ``RATE`` if they are unknown."""
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if math.isfinite(rate) and 0 < rate <= FASTEST else RATE


def rate_of(path: Path) -> float:
    """Return the frames per second of a video file."""
    with open_video(path) as capture:
        return RATE if capture is None else frame_rate(capture)
