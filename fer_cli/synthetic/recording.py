"""A lesson as files: the video, and its truth as a table with a row per frame and person."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from fer_cli.errors import DataError
from fer_cli.places import plain_path, whole_file
from fer_cli.progress import Progress, silent
from fer_cli.synthetic.lesson import HEIGHT, RATE, WIDTH, Lesson, check_lesson, draw_lesson

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
"""Suffix -> codec that OpenCV brings along."""


def write_lesson(path: Path, lesson: Lesson, jobs: int = 1, progress: Progress = silent, replace: bool = False) -> Path:
    """Write the video, and beside it its truth as ``.parquet``, whose path is returned.

    Raises DataError for invalid settings, another suffix than those of CODECS, and, unless ``replace``, existing files.
    """
    check_lesson(lesson)
    if path.suffix not in CODECS:
        raise DataError(f"{path}: name a video {' or '.join(CODECS)}")
    truth = path.with_suffix(".parquet")
    if there := [file for file in (path, truth) if os.path.lexists(file)]:
        if not replace:
            raise DataError(f"{there[0]}: exists; pass --replace to replace it, or another --out")
        if folders := [file for file in there if file.is_dir()]:
            raise DataError(f"{folders[0]}: a folder, not a file; pass another --out")
    rows: list[dict[str, Any]] = []
    with whole_file(path) as video, whole_file(truth) as table, plain_path(video.parent.absolute()) as folder:
        encoded = folder / f".fer-{secrets.token_hex(8)}{path.suffix}"  # its suffix chooses the container
        try:
            video.touch()  # whatever forbids a file here is named
            writer = open_writer(encoded, path)
            for frame, added in progress(draw_lesson(lesson, jobs), lesson.frames):
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                rows += added
            writer.release()
            check_length(encoded, path, lesson.frames)
            encoded.replace(video)
        finally:
            encoded.unlink(missing_ok=True)
        with table.open("wb") as stream:
            pd.DataFrame(rows).to_parquet(stream, index=False)
    return truth


def open_writer(encoded: Path, path: Path) -> cv2.VideoWriter:
    """Return a writer into ``encoded`` of the video ``path``; raises DataError if this OpenCV cannot encode it."""
    codec = CODECS[path.suffix]
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the line below says what is wrong
    writer = cv2.VideoWriter(str(encoded), cv2.VideoWriter.fourcc(*codec), RATE, (WIDTH, HEIGHT))
    if not writer.isOpened():
        others = " or ".join(suffix for suffix in CODECS if suffix != path.suffix)
        raise DataError(f"{path}: this OpenCV cannot write {path.suffix} with codec {codec}; try --out with {others}")
    return writer


def check_length(encoded: Path, path: Path, frames: int) -> None:
    """Raise DataError unless ``encoded``, of the video ``path``, holds all ``frames``: OpenCV reports no full disk."""
    written = int(cv2.VideoCapture(str(encoded)).get(cv2.CAP_PROP_FRAME_COUNT))
    if written != frames:
        raise DataError(f"{path}: {written} of {frames} frames could be written; free some space and rerun")
