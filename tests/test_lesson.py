"""A rendered lesson: its people, its truth and its files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.data.video import frame_count
from fer_cli.errors import DataError
from fer_cli.synthetic import lesson as made
from fer_cli.synthetic import recording
from fer_cli.synthetic.lesson import HEIGHT, RATE, WIDTH, Lesson, draw_frame, draw_lesson, make_tiles
from fer_cli.synthetic.recording import write_lesson
from fer_cli.synthetic.timeline import SHOWN, draw_timeline
from tests.conftest import Called
from tests.processes import fork_fer, wait_for

Fer = Callable[..., Called]
SHORT = Lesson(seconds=1.0, faces=2, seed=3)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, pd.DataFrame]:
    frames, rows = zip(*draw_lesson(SHORT), strict=True)
    return np.stack(frames), pd.DataFrame([row for some in rows for row in some])


def test_every_frame_and_person_has_a_row_of_truth(drawn: tuple[np.ndarray, pd.DataFrame]) -> None:
    frames, truth = drawn
    assert frames.shape == (RATE, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    assert truth["frame"].tolist() == np.repeat(np.arange(RATE), 2).tolist()
    assert truth["person"].tolist() == [0, 1] * RATE
    assert truth["time_s"].max() == pytest.approx((RATE - 1) / RATE, abs=1e-4)
    assert truth["intensity"].between(0, 1).all()


def test_boxes_hold_the_landmarks_within_the_tile_of_their_person(drawn: tuple[np.ndarray, pd.DataFrame]) -> None:
    for row in drawn[1].itertuples():
        tile = make_tiles(2)[row.person]
        marks = np.reshape(row.landmarks, (68, 2))
        assert ((marks >= (row.x0, row.y0)) & (marks <= (row.x1, row.y1))).all()
        assert tile.left <= row.x0 < row.x1 <= tile.left + tile.width
        assert tile.top <= row.y0 < row.y1 <= tile.top + tile.height
        assert 80 < row.x1 - row.x0 < 200 and 120 < row.y1 - row.y0 < 260


def test_what_moves_is_in_the_boxes(drawn: tuple[np.ndarray, pd.DataFrame]) -> None:
    """The lips are redder than the wall, and the walls beside the heads stand still."""
    frames, truth = drawn
    moved = np.abs(np.diff(frames.astype(int), axis=0)).mean((0, 3))
    for row in truth[truth["frame"] == 0].itertuples():
        tile = make_tiles(2)[row.person]
        face = moved[round(row.y0) : round(row.y1), round(row.x0) : round(row.x1)].mean()
        assert face > 2 * moved[tile.top : tile.top + 30, tile.left : tile.left + 60].mean()
        x, y = np.reshape(row.landmarks, (68, 2))[[51, 57]].mean(0).round().astype(int)
        red, green, _ = frames[0, y - 2 : y + 3, x - 2 : x + 3].mean((0, 1))
        assert red > 1.15 * green


def test_a_frame_is_the_same_whenever_it_is_drawn_and_another_with_another_seed(
    drawn: tuple[np.ndarray, pd.DataFrame],
) -> None:
    for cached in (made.make_listeners, made.empty_frame):
        cached.cache_clear()
    frame, rows = draw_frame(SHORT, 7)
    np.testing.assert_array_equal(frame, drawn[0][7])
    pd.testing.assert_frame_equal(pd.DataFrame(rows), drawn[1][drawn[1]["frame"] == 7].reset_index(drop=True))
    other = draw_frame(Lesson(seconds=1.0, faces=2, seed=4), 7)[0]
    assert np.abs(other.astype(int) - frame).mean() > 5


def test_people_show_every_expression_in_a_minute_with_neutral_gaps_and_move_their_heads() -> None:
    moments = draw_timeline(60 * RATE, RATE, np.random.default_rng(0))
    labels = [moment.expression.label for moment in moments]
    shares = np.array([moment.intensity for moment in moments])
    assert set(labels) == {*SHOWN, "neutral"}
    assert all((label == "neutral") == (share == 0) for label, share in zip(labels, shares, strict=True))
    assert shares.max() == 1
    assert all("neutral" in pair or pair[0] == pair[1] for pair in pairwise(labels))
    yaw, pitch = (np.array([getattr(moment.expression, name) for moment in moments]) for name in ("yaw", "pitch"))
    assert np.ptp(yaw) > 15 and np.ptp(pitch) > 8
    assert np.abs(np.diff(yaw)).max() < 15


@pytest.mark.parametrize("faces", range(1, 13))
def test_tiles_do_not_overlap_and_show_heads_with_shoulders(faces: int) -> None:
    tiles = make_tiles(faces)
    taken = np.zeros((HEIGHT, WIDTH), int)
    for tile in tiles:
        taken[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
        assert tile.extent * tile.width / tile.side >= 300
        assert 440 <= tile.extent * tile.height / tile.side <= 500
    assert len(tiles) >= faces and taken.max() == 1


def test_the_command_writes_video_and_truth(fer: Fer, tmp_path: Path) -> None:
    out = tmp_path / "new" / "lesson.mp4"
    command = ("data", "lesson", "--seconds", 1, "--faces", 1, "--seed", 5, "--jobs", 2, "--out", out)
    called = fer(*command)
    assert called.code == 0, called.err
    assert called.out.split() == [str(out), str(out.with_suffix(".parquet"))]
    assert f"next: fer data lesson --out {out.with_stem('lesson-6')} --seconds 1.0 --faces 1 --seed 6" in called.err
    assert sorted(path.name for path in out.parent.iterdir()) == ["lesson.mp4", "lesson.parquet"]
    video = cv2.VideoCapture(str(out))
    read = [video.read()[1] for _ in range(RATE)]
    assert not video.read()[0]
    assert video.get(cv2.CAP_PROP_FPS) == RATE
    frame, rows = draw_frame(Lesson(1.0, 1, 5), RATE - 1)  # drawn by another process in the video
    assert cv2.PSNR(read[-1], cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)) > 28
    truth = pd.read_parquet(out.with_suffix(".parquet"))
    assert len(truth) == RATE
    assert truth.iloc[-1]["landmarks"].tolist() == rows[0]["landmarks"]
    again = fer(*command)
    assert (again.code, again.out, again.err.count("\n")) == (2, "", 1)
    assert "--replace" in again.err


WRONG = [
    (("--faces", "0"), "--faces 0: must be 1 to 12"),
    (("--faces", "13"), "--faces 13: must be 1 to 12"),
    (("--seconds", "0"), "--seconds 0: must be more than 0"),
    (("--seconds", "nan"), "--seconds nan: must be more than 0"),
    (("--seconds", "1e9"), "at most 3600"),
    (("--seed", "-1"), "--seed -1: must not be negative"),
    (("--seconds", "long"), "--seconds"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_options_are_one_line(options: tuple[str, str], words: str, fer: Fer, tmp_path: Path) -> None:
    called = fer("data", "lesson", *options, "--out", tmp_path / "new" / "lesson.mp4")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert words in called.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["lesson.txt", ".", "", "/"])
def test_another_suffix_is_one_line(name: str, fer: Fer) -> None:
    called = fer("data", "lesson", "--out", name)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert ".mp4 or .avi" in called.err


def test_a_missing_codec_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recording.CODECS, ".mp4", "none")
    with pytest.raises(DataError, match=r"cannot write \.mp4 with codec none; try --out with \.avi"):
        write_lesson(tmp_path / "lesson.mp4", SHORT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [b"caf\xe9", b"film_%02d"])
def test_weird_names_of_folder_and_video(tmp_path: Path, name: bytes) -> None:
    """OpenCV ends the process for a name that is not UTF-8."""
    folder = tmp_path / os.fsdecode(name)
    lesson = Lesson(seconds=0.2, faces=1)
    truth = write_lesson(folder / f"{folder.name}.avi", lesson)
    assert sorted(folder.iterdir()) == sorted([truth.with_suffix(".avi"), truth])
    assert frame_count(truth.with_suffix(".avi")) == lesson.frames


def test_an_interruption_leaves_the_old_video(tmp_path: Path) -> None:
    def stop(items: Iterable[Any], total: int) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == 2:
                raise KeyboardInterrupt
            yield item

    for name in ("lesson.avi", "lesson.parquet"):
        (tmp_path / name).write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_lesson(tmp_path / "lesson.avi", SHORT, progress=stop, replace=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"lesson.avi": "old", "lesson.parquet": "old"}


@pytest.mark.parametrize(("number", "ended"), [(signal.SIGINT, "130 interrupted"), (signal.SIGTERM, "143 terminated")])
def test_a_lesson_that_is_ended_leaves_nothing_and_says_so(tmp_path: Path, number: int, ended: str) -> None:
    out = tmp_path / "out"
    running = fork_fer(tmp_path / "said", "data", "lesson", "--seconds", 600, "--jobs", 1, "--out", out / "a.mp4")
    wait_for(lambda: list(out.glob(".fer-*.mp4")))
    running.send_signal(number)
    code, _, err = running.finish()
    assert f"{code} {err.splitlines()[-1]}" == f"{ended}; files it had not finished are not kept"
    assert list(out.iterdir()) == []


def test_a_link_to_nothing_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"a\.mp4: exists; pass --replace"):
        write_lesson(tmp_path / "a.mp4", SHORT)
    assert (tmp_path / "a.mp4").is_symlink()
