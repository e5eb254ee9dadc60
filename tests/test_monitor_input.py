"""``fer monitor`` on bad input, and cameras: consent, one that is not there, one that ends."""

import csv
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_cli.errors import DataError
from fer_cli.interaction.emotions import EXPRESSIONS
from fer_cli.interaction.events import Event, read_events
from fer_cli.runs import RunFolder
from fer_cli.synthetic.lesson import Lesson, draw_lesson
from fer_cli.use import feeds
from tests.conftest import Called
from tests.films import stretch_film, turn_film, write_film
from tests.used import STILLS, train_one

Fer = Callable[..., Called]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, both_root: Path) -> RunFolder:
    """A run on embedded faces, trained for an epoch."""
    return train_one(STILLS, both_root, tmp_path_factory.mktemp("used"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: a second of a lesson of two people there and back."""
    drawn = [frame for frame, _ in draw_lesson(Lesson(1.0, 2, 3))]
    return write_film(tmp_path_factory.mktemp("film") / "lesson.mp4", drawn + drawn[::-1], 12)


@pytest.fixture
def monitor(fer: Fer, run: RunFolder, both_root: Path) -> Fer:
    """Call ``fer monitor`` with the run."""

    def call(*arguments: object) -> Called:
        where = ("--results", run.results, "--data-root", both_root, "--device", "cpu")
        return fer("monitor", run.run_id, *where, *arguments)

    return call


class FakeCamera:
    """A camera that delivers some frames and then none; other numbers are not there."""

    frames: list[np.ndarray] = []
    there = (0,)

    def __init__(self, index: object, *arguments: object) -> None:
        self.index, self.left = index, list(self.frames)

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.index in self.there

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.03)
        return (True, self.left.pop(0)) if self.left else (False, None)

    def release(self) -> None:
        pass


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch, film: Path) -> type[FakeCamera]:
    """A camera that sees the first two seconds of the film, and is taken for gone half a second later."""
    capture, frames = cv2.VideoCapture(str(film)), []
    while (got := capture.read())[0] and len(frames) < 24:
        frames.append(got[1])
    monkeypatch.setattr(FakeCamera, "frames", frames)
    monkeypatch.setattr(feeds.cv2, "VideoCapture", FakeCamera)
    monkeypatch.setattr(feeds, "GONE_S", 0.5)
    return FakeCamera


def test_a_camera_that_ends_is_an_exit_code_with_a_report(
    monitor: Fer,
    camera: type[FakeCamera],
    tmp_path: Path,
) -> None:
    called = monitor("--camera", 0, "--consent", "--out", tmp_path / "out", "--interval", "0.2")
    assert called.code == 1, called.err
    assert "camera 0: no frame for some seconds" in called.err
    events = read_events(tmp_path / "out" / "events.jsonl", EXPRESSIONS["basic"]).events
    assert {one.student for one in events if one.face} == {"s1", "s2"}
    assert not events[-1].frame_ok, "what the camera did not see is a technical fault"
    assert "camera 0" in (tmp_path / "out" / "report.html").read_text()


def test_a_camera_needs_consent(monitor: Fer, camera: type[FakeCamera], tmp_path: Path) -> None:
    called = monitor("--camera", 0, "--out", tmp_path / "out")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "add --consent if everyone who may be filmed" in called.err and "some laws forbid it" in called.err
    assert not (tmp_path / "out").exists()


def test_a_camera_that_is_not_there_names_those_that_are(
    monitor: Fer,
    camera: type[FakeCamera],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called = monitor("--camera", 7, "--consent", "--out", tmp_path / "out")
    assert called.code == 2 and "--camera 7: cannot be opened; cameras found: 0" in called.err
    monkeypatch.setattr(FakeCamera, "there", ())
    called = monitor("--camera", 7, "--consent", "--out", tmp_path / "out")
    assert called.code == 2 and "no camera is found" in called.err and not (tmp_path / "out").exists()


def test_opencv_says_nothing_about_a_camera_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"^--camera 98: cannot be opened; "):
        feeds.open_camera(98)
    assert capfd.readouterr().err == ""


def test_wrong_options_are_one_line(monitor: Fer, fer: Fer, film: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "no.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    (tmp_path / "file").write_text("")
    (tmp_path / "t.yaml").write_text("difficulty: {in_row: 2}")
    out = ("--out", tmp_path / "out")
    for arguments, words in (
        ((), "give one of --video, --camera and --events"),
        (("--video", film, "--events", film), "not --video and --events"),
        (("--events", film), "takes no run"),
        (("--video", film, "--speed", "2", "--real-time"), "give one of them"),
        (("--camera", "0", "--consent", "--real-time"), "are for --video"),
        (("--video", film, "--speed", "0"), "--speed 0: must be"),
        (("--video", film, "--interval", "0"), "--interval 0: must be"),
        (("--video", film, "--course", "a\nb"), "--course"),
        (("--video", tmp_path / "none.mp4"), "none.mp4"),
        (("--video", tmp_path), "a folder; name one video"),
        (("--video", tmp_path / "a.png"), "a picture; recognise it with fer predict"),
        (("--video", film, "--expressions", "learning"), "'angry' is none of the learning expressions"),
        (("--video", film, "--expressions", "basics"), "did you mean basic?"),
        (("--video", film, "--settings", tmp_path / "t.yaml"), "in_a_row"),
        (("--video", tmp_path / "no.mp4"), "not a video that can be read, or cut short"),
    ):
        called = monitor(*arguments, *out)
        assert (called.code, called.out) == (2, ""), (arguments, called)
        assert "error: " in called.err.splitlines()[-1] and words in called.err.splitlines()[-1], (arguments, called.err)
        assert not (tmp_path / "out").exists(), arguments
    called = monitor("--video", film, "--out", tmp_path / "file" / "below")
    assert called.code == 2 and "a file, not a folder" in called.err, called.err
    assert fer("monitor", "--video", film).code == 2
    assert "no run" in fer("monitor", "zzzz", "--video", film, "--results", tmp_path, *out).err


def test_a_session_is_never_overwritten(monitor: Fer, fer: Fer, film: Path, tmp_path: Path) -> None:
    assert monitor("--video", film, "--out", tmp_path / "out").code == 0
    before = (tmp_path / "out" / "events.jsonl").read_bytes()
    called = monitor("--video", film, "--out", tmp_path / "out")
    assert called.code == 2 and "holds a session (events.jsonl)" in called.err
    assert (tmp_path / "out" / "events.jsonl").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("mine")
    called = fer("monitor", "--events", tmp_path / "out" / "events.jsonl", "--out", tmp_path / "mine")
    assert called.code == 2 and "not a report of fer monitor" in called.err
    (tmp_path / "out" / "session.json").write_text("{")
    called = fer("monitor", "--events", tmp_path / "out" / "events.jsonl")
    assert called.code == 2 and "session.json: not what fer monitor writes" in called.err


def test_a_video_cut_short_is_reported(monitor: Fer, film: Path, tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.avi", [np.full((120, 160, 3), 8 * n, np.uint8) for n in range(30)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    called = monitor("--video", path, "--out", tmp_path / "out")
    assert called.code in {0, 2}, called.err
    assert "decode; it is damaged or cut short" in called.err or "cut short before its end" in called.err


def read_log(folder: Path) -> list[Event]:
    return read_events(folder / "events.jsonl", EXPRESSIONS["basic"]).events


def test_a_turned_video_is_watched_upright(monitor: Fer, film: Path, tmp_path: Path) -> None:
    """Frames that lie on their side, with a tag that turns them back."""
    capture, frames = cv2.VideoCapture(str(film)), []
    while (got := capture.read())[0]:
        frames.append(cv2.cvtColor(cv2.rotate(got[1], cv2.ROTATE_90_COUNTERCLOCKWISE), cv2.COLOR_BGR2RGB))
    path = write_film(tmp_path / "turned.mp4", frames, 12)
    turn_film(path)
    assert monitor("--video", path, "--out", tmp_path / "out").code == 0
    assert [(one.t, one.student, one.face) for one in read_log(tmp_path / "out")] == [
        (t, student, True) for t in (0.0, 1.0) for student in ("s1", "s2")
    ]


def test_events_of_a_video_of_variable_rate_have_the_times_of_its_stamps(monitor: Fer, film: Path, tmp_path: Path) -> None:
    """Twelve frames in the first second, and twelve in the next twelve."""
    path = tmp_path / "slow.mp4"
    path.write_bytes(film.read_bytes())
    stretch_film(path, first=12, longer=12)
    assert monitor("--video", path, "--out", tmp_path / "out").code == 0
    events = read_log(tmp_path / "out")
    assert [one.t for one in events] == [float(t) for t in range(13) for _ in range(2)]
    assert all(one.frame_ok and one.face for one in events), "a frame in each second"
    assert {one.student for one in events} == {"s1", "s2"}


def test_no_face_for_minutes_is_an_event_a_second_and_one_finding(monitor: Fer, tmp_path: Path) -> None:
    path = write_film(tmp_path / "blank.avi", [np.full((60, 80, 3), 90, np.uint8)] * 150, 1)
    called = monitor("--video", path, "--out", tmp_path / "out")
    assert called.code == 0 and "150 frames, 150 without a face" in called.err, called.err
    assert [(one.t, one.student, one.face) for one in read_log(tmp_path / "out")] == [
        (float(t), "nobody", False) for t in range(150)
    ]
    (row,) = csv.DictReader(called.out.splitlines(), delimiter="\t")
    assert "inattentive" in row.values()


def test_a_limit_on_the_size_of_files_is_one_line_and_the_log_valid(monitor: Fer, film: Path, tmp_path: Path) -> None:
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, largest[1]))
        called = monitor("--video", film, "--out", tmp_path / "out", "--interval", "0.05")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, largest)
    assert called.code == 2, called.err
    assert "events.jsonl: File too large; the log holds the events until then" in called.err.splitlines()[-1]
    assert "Traceback" not in called.err
    log = (tmp_path / "out" / "events.jsonl").read_bytes()
    assert log.endswith(b"\n") and len(log) <= 4000 and 0 < len(read_log(tmp_path / "out")) == log.count(b"\n")


def test_a_camera_is_ended_by_an_interruption(monitor: Fer, camera: type[FakeCamera], tmp_path: Path) -> None:
    """There is no camera here: a stand-in delivers frames, and the interruption comes between two of them."""
    from fer_cli.use.predict import Reader

    follow = Reader.follow

    def stop(self: Reader, moments: object) -> object:
        for number, seen in enumerate(follow(self, moments)):  # type: ignore[arg-type]
            if number == 3:
                raise KeyboardInterrupt
            yield seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "follow", stop)
        called = monitor("--camera", 0, "--consent", "--out", tmp_path / "out", "--interval", "0.1")
    assert called.code == 130, called.err
    assert len(read_log(tmp_path / "out")) > 1 and (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_an_exported_file_gives_the_table_and_the_events_of_its_run(
    fer: Fer, monitor: Fer, run: RunFolder, both_root: Path, film: Path, tmp_path: Path
) -> None:
    where = ("--results", run.results, "--data-root", both_root)
    file = tmp_path / "faces.onnx"
    exported = fer("export", run.run_id, *where, "--out", file)
    assert exported.code == 0, exported.err
    tables = []
    for name in (run.run_id, file):
        called = fer("predict", name, film, *where, "--device", "cpu")
        assert called.code == 0, called.err
        tables.append(pd.read_csv(io.StringIO(called.out)))
    shares = [one.filter(like="p_").to_numpy() for one in tables]
    assert shares[0].shape == (48, 8)
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-4)
    rest = [one.drop(columns=[name for name in one if name.startswith("p_")]) for one in tables]
    pd.testing.assert_frame_equal(*rest)
    logs = []
    for name, more in (("run", ()), ("file", ()), ("smooth", ("--smoothing",))):
        source = run.run_id if name == "run" else file
        called = fer("monitor", source, *where, "--device", "cpu", "--video", film, "--out", tmp_path / name, *more)
        assert called.code == 0, called.err
        logs.append(read_log(tmp_path / name))
    for one, other, smooth in zip(*logs, strict=True):
        assert (one.t, one.student, one.emotion) == (other.t, other.student, other.emotion)
        assert one.probabilities == pytest.approx(other.probabilities, abs=3e-4)
        assert smooth.probabilities != other.probabilities, "the run's confusion is found under --results"
    alone = fer(
        "monitor", file, "--results", tmp_path, "--device", "cpu", "--video", film, "--out", tmp_path / "c", "--smoothing"
    )
    assert alone.code == 0 and "not smoothed: the run of the exported file is not under" in alone.err
