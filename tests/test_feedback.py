"""Feedback: shares by course, the report and its pictures, and ``fer analyze status`` end to end."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from PIL import Image

from fer_cli.interaction.assess import assess, read_thresholds
from fer_cli.interaction.classroom import simulate_class
from fer_cli.interaction.display import MOST_STUDENTS, STATES, choose_students, state_of
from fer_cli.interaction.emotions import EXPRESSIONS
from fer_cli.interaction.events import Event
from fer_cli.interaction.feedback import (
    CAUTION,
    HEAD,
    UNNAMED,
    Feedback,
    capture_interval,
    expression_shares,
    findings_csv,
    raised,
    table_rows,
    write_report,
)
from fer_cli.interaction.pictures import draw_shares, draw_timeline
from fer_cli.interaction.thresholds import Thresholds
from tests.conftest import Called
from tests.logs import write_events
from tests.test_status import event, frames, streams

BASIC, DEFAULT = EXPRESSIONS["basic"], Thresholds()
Fer = Callable[..., Called]


def made(events: list[Event]) -> Feedback:
    return assess(events, BASIC, DEFAULT)


@settings(max_examples=30, deadline=None)
@given(streams())
def test_shares_sum_to_one_by_course(stream: list[Event]) -> None:
    shares = expression_shares(stream, BASIC)
    assert set(shares) == {one.course for one in stream if one.face}
    for one in shares.values():
        assert sum(one.values()) == pytest.approx(1.0)
        assert all(share > 0 for share in one.values())


def test_shares_by_hand_and_of_unnamed_courses() -> None:
    stream = frames(["happy", "sad", "sad", "sad", None], course="m") + frames(["neutral"], 10)
    assert expression_shares(stream, BASIC) == {"m": {"happy": 0.25, "sad": 0.75}, UNNAMED: {"neutral": 1.0}}
    assert expression_shares([], BASIC) == {}


def test_an_empty_stream_has_no_data(tmp_path: Path) -> None:
    empty = made([])
    assert empty.findings == []
    assert write_report(empty).rstrip().endswith("no data")
    assert "no data" in write_report(made(frames([None] * 3)))
    for draw in (
        lambda path: draw_shares([], BASIC, path),
        lambda path: draw_timeline([], [], BASIC, path),
        lambda path: draw_shares(frames([None]), BASIC, path),
    ):
        with Image.open(draw(tmp_path / "empty.png")) as drawn:
            assert drawn.width > 300


def test_the_report_tells_students_times_within_their_lesson_and_conventions() -> None:
    stream = frames(["neutral"] * 20 + ["sad"] * 30, 500, topic="filters", lesson="two")
    text = write_report(made(stream))
    line = "- difficulty: difficulty (filters) in two, 0:20 to 0:49, n = 30: explain the topic, or ask a teacher to help"
    assert line in text.splitlines()
    assert all(sentence in text for sentence in CAUTION)
    assert "- anger or distress (difficulty): angry, fear, sad" in text
    assert "in\\_a\\_row 30" in text or "in_a_row 30" in text
    assert "heads were not measured" in text
    assert "| (no course) | 60.0 | 40.0 | 50 |" in text


def test_names_cannot_break_the_report_or_the_table() -> None:
    stream = frames(["sad"] * 30, student="=a|b\n# c", topic="<b>", course="x|y")
    text = write_report(made(stream))
    assert "# c" not in text.splitlines()
    assert "| x\\|y |" in text
    rows = list(csv.reader(io.StringIO(findings_csv(made(stream).findings))))
    assert rows[1][2].startswith("'=a|b") or rows[1][2] == ""
    assert any(row[2].startswith("'=a|b") for row in rows)


def test_the_capture_interval_is_measured_and_compared_with_what_was_stated() -> None:
    assert capture_interval(frames(["sad"] * 5)) == 1.0
    assert capture_interval([]) is None
    slow = [event(5.0 * t) for t in range(9)]
    assert "median capture interval 5 s, so that 30 frames in a row take about 150 s" in write_report(made(slow))
    assert "the stated interval is 1 s: check the times" in write_report(made(slow))
    told = [event(5.0 * t, interval_s=5.0) for t in range(9)]
    assert "check the times" not in write_report(made(told))


def test_only_what_asks_for_something_is_raised() -> None:
    found = made(frames(["sad"] * 30 + ["neutral"] * 30, course="m")).findings
    assert {one.rule for one in raised(found)} == {"difficulty", "strategy 1", "strategy 2"}
    assert {one.rule for one in found} >= {"engagement", "volatility"}
    assert all(len(row) == len(HEAD) for row in table_rows(found))


def test_the_states_of_the_timeline() -> None:
    seen = [
        event(0, "happy"),
        event(0),
        event(0, "disgust"),
        event(0, "sad"),
        event(0, None),
        event(0, None, frame_ok=False),
    ]
    assert [state_of(one, BASIC) for one in seen] == list(STATES)


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        return {colour for count, colour in image.convert("RGB").getcolors(10**7) or [] if count > 200}


def test_the_timeline_shows_each_state_in_its_colour_and_says_what_is_left_out(tmp_path: Path) -> None:
    stream = frames(["happy"] * 60 + ["sad"] * 60)
    feedback = made(stream)
    drawn = colours(draw_timeline(stream, feedback.findings, BASIC, tmp_path / "a.png"))
    assert {(0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00)} <= drawn
    assert (0xE6, 0x9F, 0x00) not in drawn
    many = [event(t, "happy", f"s{n:03d}") for t in range(3) for n in range(MOST_STUDENTS + 5)]
    assert choose_students(many, made(many).findings)[:3] == ["s000", "s001", "s002"]
    late = frames([None] * 20, student="s034") + many
    assert "s034" in choose_students(late, made(late).findings), "students with alerts are kept"
    assert choose_students([event(0, student=name) for name in ("s10", "s2", "x")], []) == ["s2", "s10", "x"]
    with Image.open(draw_timeline(many, [], BASIC, tmp_path / "b.png")) as tall:
        assert tall.height < 2000


def test_thresholds_are_read_and_wrong_ones_are_one_line(tmp_path: Path, fer: Fer) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("difficulty: {in_a_row: 20}\n")
    assert read_thresholds(path).difficulty.in_a_row == 20
    events = write_events(tmp_path / "e.jsonl", frames(["sad"] * 25, lesson="1"))
    assert "difficulty" not in fer("analyze", "status", events).out
    assert "difficulty\tdifficulty\ta" in fer("analyze", "status", events, "--settings", path).out
    for text, message in (
        ("difficulty: {in_row: 20}\n", "difficulty.in_row: unknown key; did you mean difficulty.in_a_row"),
        ("focus: {missing: 2}\n", "focus.missing: Input should be less than 1 (given: 2)"),
        ("- 1\n", "expected a mapping"),
    ):
        path.write_text(text)
        called = fer("analyze", "status", events, "--settings", path)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
        assert message in called.err


def test_files_in_the_place_of_what_is_written_are_kept(tmp_path: Path, fer: Fer) -> None:
    """A log of any name, and tables of others; what was written before is replaced."""
    sad = frames(["sad"] * 25, lesson="1")
    for command, wanted in (
        (lambda path: fer("monitor", "--events", path), {"report.html", "findings.csv"}),
        (lambda path: fer("analyze", "status", path, "--out", path.parent), {"report.md", "findings.csv", "timeline.png"}),
    ):
        folder = tmp_path / str(len(wanted))
        folder.mkdir()
        for name in sorted(wanted):
            log = write_events(folder / name, sad)
            before = log.read_bytes()
            called = command(log)
            assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
            assert f"{name}: is also an input; choose another folder with --out" in called.err
            assert log.read_bytes() == before and [one.name for one in folder.iterdir()] == [name]
            log.unlink()
        log = write_events(folder / "e.jsonl", sad)
        (folder / "findings.csv").write_text("what,I,found\n")
        assert (
            "findings.csv: exists and is not findings of fer; move it away, or choose another folder with --out"
            in command(log).err
        )
        assert (folder / "findings.csv").read_text() == "what,I,found\n"
        (folder / "findings.csv").unlink()
        assert [command(log).code for _ in range(2)] == [0, 0]
        assert wanted < {one.name for one in folder.iterdir()}


def test_the_command_prints_findings_counts_and_writes_four_files(tmp_path: Path, fer: Fer) -> None:
    stream, _ = simulate_class(6, 1)
    path = write_events(tmp_path / "e.csv", [*stream, stream[0]])
    called = fer("analyze", "status", path, "--out", tmp_path / "new" / "out")
    assert called.code == 0
    head, *rows = called.out.splitlines()
    assert head.split("\t") == list(HEAD)
    assert {tuple(row.split("\t")[:3]) for row in rows} >= {
        ("difficulty", "difficulty", "student 01"),
        ("focus", "inattentive", "student 02"),
        ("strategy 2", "support", "student 05"),
    }
    assert "1800 events, 1 dropped" in called.err
    assert "(first in line 1802)" in called.err
    assert "never to grade or to discipline anyone" in called.err
    written = sorted(one.name for one in (tmp_path / "new" / "out").iterdir())
    assert written == ["findings.csv", "report.md", "shares.png", "timeline.png"]
    report = (tmp_path / "new" / "out" / "report.md").read_text()
    assert "source: e.csv" in report
    assert "dropped 1: time runs backwards" in report
    found = list(csv.DictReader(io.StringIO((tmp_path / "new" / "out" / "findings.csv").read_text())))
    assert len(fer("analyze", "status", path, "--all").out.splitlines()) == len(found) + 1


@pytest.mark.parametrize("kind", EXPRESSIONS)
def test_the_example_is_a_simulation_and_needs_no_file(kind: str, fer: Fer) -> None:
    called = fer("analyze", "status", "--example", "--expressions", kind)
    assert called.code == 0
    assert "slow_or_clarify\tclass" in called.out
    assert "SIMULATION" in called.err
    assert "next: fer analyze status --example" in called.err


def test_wrong_calls_are_one_line(tmp_path: Path, fer: Fer) -> None:
    events = write_events(tmp_path / "e.jsonl", frames(["sad"]))
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    for arguments, message in (
        ([], "give either a file of events or --example"),
        ([events, "--example"], "give either a file of events or --example"),
        ([events, "--expressions", "lerning"], "no such set of expressions; did you mean learning"),
        ([events, "--expressions", "learning"], "line 1: 'sad' is none of the learning expressions"),
        ([empty], "no event in it"),
        ([tmp_path / "none"], "cannot be read"),
        ([events, "--courses", tmp_path / "none.csv"], "cannot be read"),
        ([events, "--settings", tmp_path / "none.yaml"], "cannot be read"),
        ([events, "--out", events], "part of the path is a file, not a folder; choose another folder with --out"),
    ):
        called = fer("analyze", "status", *arguments)
        assert called.code == 2
        assert message in called.err.splitlines()[-1]
        assert "Traceback" not in called.err
