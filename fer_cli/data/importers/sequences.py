"""Which frames of a sequence or video a set holds: what its importer takes for stills, or evenly spaced ones for clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from fer_cli.data.formats import VIDEO_SUFFIXES
from fer_cli.data.importers.found import Found, Scan
from fer_cli.data.importers.walk import below
from fer_cli.data.video import frame_count
from fer_cli.errors import DataError

Keep = Callable[[int], Sequence[int]]
"""Returns the positions of the frames to take from so many."""
THINNED = "frame not among the evenly spaced ones"


def spread_over(frames: int) -> Keep:
    """Return what takes at most ``frames`` evenly spaced positions, including the first and last; the middle one for 1."""

    def keep(count: int) -> list[int]:
        if frames == 1:
            return [(count - 1) // 2] if count > 0 else []
        if count <= frames:
            return list(range(count))
        return [round(place * (count - 1) / (frames - 1)) for place in range(frames)]

    return keep


def spread_clips(source: Path, scan: Scan, frames: int) -> Scan:
    """Return a scan of ``source`` with at most ``frames`` evenly spaced images of each sequence and frames of each video.

    A video is a sequence named by its path. One that cannot be opened is kept with its first frame, so that the build lists
    it as unreadable.
    """
    keep = spread_over(frames)
    videos = [image for image in scan.found if image.file.suffix.lower() in VIDEO_SUFFIXES]
    with ThreadPoolExecutor() as pool:  # opens each file for its length
        counts = list(pool.map(frame_count, [video.file for video in videos]))
    found, left = [], list[str]()
    for video, count in zip(videos, counts, strict=True):
        for moment in keep(count) or (0,):
            name = f"{video.sample}#{moment:06d}"
            found.append(replace(video, sample=name, sequence=video.sample, frame=moment, moment=moment))
    sequences: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for image in scan.found:
        if image.file.suffix.lower() in VIDEO_SUFFIXES:
            continue
        if image.sequence:
            sequences[image.subject, image.sequence].append(image)
        else:
            found.append(image)
    for images in sequences.values():
        ordered = sorted(images, key=lambda image: (image.frame, image.sample))
        kept = set(keep(len(ordered)))
        found += [image for place, image in enumerate(ordered) if place in kept]
        left += [below(source, image.file) for place, image in enumerate(ordered) if place not in kept]
    if scan.found and not videos and not sequences:
        raise DataError(f"--frames: has no effect: {source} holds single images, neither videos nor sequences")
    skipped = scan.skipped | ({THINNED: sorted(left)} if left else {})
    order = {image.file: place for place, image in enumerate(scan.found)}
    found.sort(key=lambda image: (order[image.file], image.frame))
    return replace(scan, found=found, skipped=skipped)
