"""Frames by number: exact in a whole video, the last that decodes in one cut short, nothing in what is none."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_cli.data.video import frame_count, read_film

LEVELS = (20, 60, 100, 140, 180, 220)
"""Red of frame 0, 1, ...; green and blue stay at 0."""


def write_video(path: Path, frames: int = len(LEVELS), side: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (side, side))
    assert writer.isOpened()
    noise = np.random.default_rng(0).integers(0, 10, (side, side), dtype=np.uint8)
    for number in range(frames):
        image = np.zeros((side, side, 3), np.uint8)
        image[..., 2] = LEVELS[number % len(LEVELS)] + noise  # OpenCV writes blue, green, red
        writer.write(image)
    writer.release()
    return path


def cut_short(path: Path, frames: int) -> None:
    """Keep the file's header and its first whole frames and half of the next."""
    content = path.read_bytes()
    starts = []
    at = content.find(b"00dc", content.find(b"movi"))
    while at != -1 and len(starts) < len(LEVELS):
        starts.append(at)
        at = content.find(b"00dc", at + 4)
    path.write_bytes(content[: (starts[frames] + starts[frames + 1]) // 2])


def test_frames_come_by_number_in_rgb(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi")
    assert frame_count(video) == len(LEVELS)
    frames = read_film(video, [4, 0, 2, 2]).frames
    assert sorted(frames) == [0, 2, 4]
    for number, frame in frames.items():
        assert (frame.shape, frame.dtype) == ((32, 32, 3), np.uint8)
        red, green, blue = frame.reshape(-1, 3).mean(axis=0)
        assert abs(red - LEVELS[number] - 4.5) < 6
        assert max(green, blue) < 12


def test_beyond_the_end_the_last_frame_stands(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi", 3)
    frames = read_film(video, [1, 2, 3, 900]).frames
    assert sorted(frames) == [1, 2, 3, 900]
    assert np.array_equal(frames[2], frames[3])
    assert np.array_equal(frames[2], frames[900])
    assert not np.array_equal(frames[1], frames[2])
    only = read_film(video, [900]).frames
    assert np.array_equal(only[900], frames[2])


def test_a_truncated_video_gives_its_last_whole_frame(tmp_path: Path) -> None:
    whole = read_film(write_video(tmp_path / "whole.avi"), [1, 2]).frames
    video = write_video(tmp_path / "clip.avi")
    cut_short(video, 3)
    assert frame_count(video) == len(LEVELS)  # what the header says, wrong now
    frames = read_film(video, [1, 3, 5]).frames
    assert np.array_equal(frames[1], whole[1])
    assert sorted(frames) == [1, 3, 5]
    assert np.array_equal(frames[5], read_film(video, [len(LEVELS)]).frames[len(LEVELS)])
    assert abs(frames[5][:8, :, 0].mean() - LEVELS[2]) < 50  # frame 2 or the half of frame 3, never one after it


@pytest.mark.parametrize("content", [None, b"", b"no video" * 50, b"RIFF\x00\x00\x00\x00AVI LIST"])
def test_what_is_no_video_gives_nothing(tmp_path: Path, content: bytes | None, capfd: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "clip.avi"
    if content is not None:
        video.write_bytes(content)
    assert frame_count(video) == 0
    assert read_film(video, [0, 5]).frames == {}
    assert capfd.readouterr() == ("", "")


def test_nothing_wanted_nothing_read(tmp_path: Path) -> None:
    assert read_film(write_video(tmp_path / "clip.avi"), []).frames == {}


def test_a_name_like_a_picture_pattern_is_still_one_file(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"clip_{number:02d}.png"), np.zeros((16, 16), np.uint8))
    assert frame_count(tmp_path / "clip_%02d.png") == 0
    assert frame_count(write_video(tmp_path / "clip_%02d.avi")) == len(LEVELS)


def test_a_playlist_posing_as_video_opens_nothing_else(tmp_path: Path) -> None:
    write_video(tmp_path / "other.avi")
    (tmp_path / "clip.avi").write_text("ffconcat version 1.0\nfile https://localhost:1/other.avi\n")
    assert frame_count(tmp_path / "clip.avi") == 0


def test_a_name_that_is_not_utf8_is_read_through_a_link(tmp_path: Path) -> None:
    """OpenCV ends the process for such a name."""
    path = write_video(tmp_path / "clip.avi").rename(tmp_path / os.fsdecode(b"\xff\xfe.avi"))
    assert frame_count(path) == len(LEVELS)
    assert sorted(read_film(path, [0, 3]).frames) == [0, 3]
