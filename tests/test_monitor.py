"""``fer monitor`` end to end: a rendered lesson, its log and report, interruptions, and no picture of a face."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_cli.interaction.emotions import EXPRESSIONS
from fer_cli.interaction.events import read_events
from fer_cli.runs import RunFolder
from fer_cli.synthetic.lesson import Lesson, draw_lesson
from tests.conftest import Called
from tests.films import write_film
from tests.processes import fork_fer, wait_for
from tests.used import STILLS, train_one

Fer = Callable[..., Called]
BASIC = EXPRESSIONS["basic"]
RATE = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, both_root: Path) -> RunFolder:
    """A run on embedded faces, trained for an epoch."""
    return train_one(STILLS, both_root, tmp_path_factory.mktemp("used"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds: a second of a lesson of two people there and back, five times."""
    drawn = [frame for frame, _ in draw_lesson(Lesson(1.0, 2, 3))]
    return write_film(tmp_path_factory.mktemp("film") / "lesson.mp4", (drawn + drawn[::-1]) * 5, RATE)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds without a face."""
    return write_film(tmp_path_factory.mktemp("blank") / "blank.avi", [np.full((120, 160, 3), 90, np.uint8)] * 120, 10)


@pytest.fixture
def monitor(fer: Fer, run: RunFolder, both_root: Path) -> Fer:
    """Call ``fer monitor`` with the run."""

    def call(*arguments: object) -> Called:
        where = ("--results", run.results, "--data-root", both_root, "--device", "cpu")
        return fer("monitor", run.run_id, *where, *arguments)

    return call


def test_a_lesson_becomes_events_findings_and_a_report(monitor: Fer, fer: Fer, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "session"
    (tmp_path / "few.yaml").write_text("difficulty: {in_a_row: 2}\nactivity: {frames: 2}\n")
    named = ("--course", "signals", "--topic", "sampling", "--lesson", "1")
    called = monitor("--video", film, "--out", out, "--smoothing", "--settings", tmp_path / "few.yaml", *named)
    assert called.code == 0, called.err
    stream = read_events(out / "events.jsonl", BASIC)
    assert stream.dropped == {} and len(stream.events) == 20
    assert [event.t for event in stream.events] == np.repeat(np.arange(10.0), 2).tolist()
    assert [event.student for event in stream.events] == ["s1", "s2"] * 10, "ids are stable"
    for event in stream.events:
        assert event.face and event.frame_ok and event.interval_s == 1.0 and event.head_down is None
        assert (event.course, event.topic, event.lesson) == ("signals", "sampling", "1")
        assert event.probabilities is not None
        assert event.emotion == max(event.probabilities, key=lambda name: event.probabilities[name])  # type: ignore[index]
    assert "heads are not measured: dlib is not installed" in called.err
    assert "120 frames, 0 without a face, 0 dropped; 20 events" in called.err
    assert "frames per second" in called.err
    status = fer("analyze", "status", out / "events.jsonl", "--settings", tmp_path / "few.yaml")
    assert called.out == status.out, "alerts are the rules on the log"
    page = (out / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=|url\(|@import|<script""", page), "no remote assets"
    for word in (
        "signals, 1",
        "s1",
        "s2",
        "lesson.mp4",
        "smoothed by the filter",
        "validation part (accuracy",
        "AI Act",
        "never to grade",
    ):
        assert word in page
    before = {name: (out / name).read_bytes() for name in ("report.html", "findings.csv", "events.jsonl", "session.json")}
    (out / "report.html").unlink()
    again = fer("monitor", "--events", out / "events.jsonl")
    assert (again.code, again.out) == (0, called.out), again.err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_is_found_live_is_what_is_found_in_the_log(run: RunFolder, both_root: Path, film: Path, tmp_path: Path) -> None:
    from fer_cli.interaction.assess import assess
    from fer_cli.use.monitor import Session, Wish

    (tmp_path / "few.yaml").write_text("difficulty: {in_a_row: 2}\nfeedback: {frames: 2, share: 0.01}\n")
    wish = Wish(
        run.run_id, film, None, tmp_path / "out", run.results, both_root, settings=tmp_path / "few.yaml", device="cpu"
    )
    session = Session(wish)
    found = [one for _, findings in (*session.follow(), *session.finish()) for one in findings]
    found += session.monitor.finish()
    assert session.close()
    events = read_events(tmp_path / "out" / "events.jsonl", session.emotions).events
    logged = assess(events, session.emotions, session.thresholds).findings
    assert sorted(map(repr, found)) == sorted(map(repr, logged)) and len(found) > 4


def test_smoothing_changes_probabilities_and_not_who_is_seen(monitor: Fer, film: Path, tmp_path: Path) -> None:
    assert monitor("--video", film, "--out", tmp_path / "a", "--smoothing").code == 0
    plain = monitor("--video", film, "--out", tmp_path / "b", "--interval", "0.5")
    assert plain.code == 0 and "means over an interval, not smoothed" in plain.err, "the default"
    smooth, raw = (read_events(tmp_path / name / "events.jsonl", BASIC).events for name in "ab")
    assert len(raw) == 2 * len(smooth) == 40 and [one.t for one in raw[:4]] == [0, 0, 0.5, 0.5]
    assert smooth[0].probabilities != raw[0].probabilities


def test_no_face_is_an_event_and_a_finding(monitor: Fer, blank: Path, tmp_path: Path) -> None:
    called = monitor("--video", blank, "--out", tmp_path / "out")
    assert called.code == 0, called.err
    events = read_events(tmp_path / "out" / "events.jsonl", BASIC).events
    assert [(one.student, one.frame_ok, one.face, one.emotion) for one in events] == [("nobody", True, False, None)] * 12
    assert "inattentive" in called.out and "120 without a face" in called.err
    assert "no data" not in (tmp_path / "out" / "report.html").read_text()


class Spy:
    """Counts calls that could write a picture."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for place, name in ((cv2, "imwrite"), (cv2, "imencode"), (Image.Image, "save"), (np, "save"), (np, "savez")):
            self.watch(patch, place, name)

    def watch(self, patch: pytest.MonkeyPatch, place: object, name: str) -> None:
        original = getattr(place, name)

        def call(*arguments: object, **options: object) -> object:
            self.calls.append(name)
            return original(*arguments, **options)

        patch.setattr(place, name, call)


def test_faces_are_written_only_if_asked_for(
    monitor: Fer, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    assert monitor("--video", film, "--out", tmp_path / "a").code == 0
    assert spy.calls == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a", "events.jsonl", "findings.csv", "report.html", "session.json",
    ]  # fmt: skip
    assert "base64" not in (tmp_path / "a" / "report.html").read_text()
    called = monitor("--video", film, "--out", tmp_path / "b", "--keep-faces", tmp_path / "faces")
    assert called.code == 0 and "20 pictures of faces" in called.err
    kept = sorted((tmp_path / "faces").iterdir())
    assert spy.calls == ["save"] * 20 and len(kept) == 20 and kept[0].name == "s1-000000.000.png"
    assert np.asarray(Image.open(kept[0])).std() > 20
    refused = monitor("--video", film, "--out", tmp_path / "c", "--keep-faces", tmp_path / "faces")
    assert refused.code == 2 and "is not empty" in refused.err and not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow), (signal.SIGKILL, -9)],
)
def test_an_interrupted_session_leaves_a_log_and_a_report(
    number: signal.Signals, code: int, fer: Fer, run: RunFolder, both_root: Path, film: Path, tmp_path: Path
) -> None:
    log = tmp_path / "out" / "events.jsonl"
    where = ("--results", run.results, "--data-root", both_root, "--device", "cpu", "--out", tmp_path / "out")
    command = ["monitor", run.run_id, "--video", film, "--real-time", "--interval", "0.25", *where]
    running = fork_fer(tmp_path / "said", *command)
    wait_for(lambda: log.exists() and log.read_bytes().count(b"\n") > 6)
    running.send_signal(number)
    ended, out, err = running.finish()
    assert ended == code, err
    lines = log.read_text().splitlines()
    assert log.read_bytes().endswith(b"\n") and 6 < len(lines) < 80
    assert all(json.loads(line)["student"] for line in lines)
    page = tmp_path / "out" / "report.html"
    assert page.exists() is (number != signal.SIGKILL)
    before = page.read_bytes() if page.exists() else None
    again = fer("monitor", "--events", log)
    assert again.code == 0, again.err
    if before is not None:
        assert (again.out, page.read_bytes()) == (out, before)
        assert "events;" in err


def test_a_log_that_is_cut_off_is_read_to_its_last_line(monitor: Fer, fer: Fer, film: Path, tmp_path: Path) -> None:
    assert monitor("--video", film, "--out", tmp_path / "out").code == 0
    log = tmp_path / "out" / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-30])
    called = fer("monitor", "--events", log, "--out", tmp_path / "other")
    assert called.code == 0, called.err
    page = (tmp_path / "other" / "report.html").read_text()
    (tmp_path / "rules.yaml").write_text("difficulty: {in_a_row: 20}\n")
    options = ["--settings", str(tmp_path / "rules.yaml"), "--expressions", "basic"]
    again = fer("monitor", "--events", log, *options)
    assert " ".join(options) in again.err.splitlines()[-1]
    assert "19 events, 1 dropped" in page and "a last line that is cut off" in page
    log.write_bytes(b"")
    assert fer("monitor", "--events", log).code == 2


def test_late_frames_are_dropped_and_counted(monitor: Fer, film: Path, tmp_path: Path) -> None:
    called = monitor("--video", film, "--out", tmp_path / "out", "--speed", "100")
    assert called.code == 0, called.err
    numbers = re.search(r"(\d+) frames, .* (\d+) dropped", called.err)
    assert numbers and int(numbers[2]) > 50 and int(numbers[1]) + int(numbers[2]) == 120
    assert "decode" not in called.err
    events = read_events(tmp_path / "out" / "events.jsonl", BASIC).events
    assert not all(event.frame_ok for event in events), "intervals without a frame"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_full_disk_ends_the_session_and_keeps_the_log(
    monitor: Fer, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_cli.use import lines

    original = lines.LineFile.write

    def write(self: lines.LineFile, line: str) -> None:
        if self._length > 2000:
            self._stream.close()
            self._stream = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 (closed with the log)
        original(self, line)

    monkeypatch.setattr(lines.LineFile, "write", write)
    called = monitor("--video", film, "--out", tmp_path / "out")
    assert called.code == 2, called.err
    assert "No space left on device; the log holds the events until then" in called.err
    assert len(read_events(tmp_path / "out" / "events.jsonl", BASIC).events) > 5
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.exhaustive
def test_a_small_disk_ends_the_session_and_keeps_the_log(monitor: Fer, film: Path, tmp_path: Path) -> None:
    """A real disk of 24 KB in memory, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert mounted.returncode == 0, f"run as root: {mounted.stderr}"
    try:
        called = monitor("--video", film, "--out", disk / "out", "--interval", "0.05")
        assert called.code == 2, called.err
        assert "No space left on device; the log holds the events until then" in called.err
        log = (disk / "out" / "events.jsonl").read_bytes()
        assert log.endswith(b"\n") and len(read_events(disk / "out" / "events.jsonl", BASIC).events) == log.count(b"\n") > 5
    finally:
        subprocess.run(["umount", str(disk)], check=True)
