"""Files of events: what is written is read back, what is wrong is one line or counted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fer_cli.errors import FerError
from fer_cli.interaction.courses import Course, read_courses
from fer_cli.interaction.emotions import EXPRESSIONS, expressions
from fer_cli.interaction.events import BACKWARDS, Event, Stream, read_events
from tests.logs import write_events

BASIC, LEARNING = EXPRESSIONS["basic"], EXPRESSIONS["learning"]
GOOD = {"t": 0.0, "student": "a", "face": True, "emotion": "happy"}
HEADER = "t,student,face,emotion"


def lines(*changes: dict[str, Any]) -> str:
    """JSON lines of good events a second apart, each with its changes."""
    return "".join(json.dumps(GOOD | {"t": float(t)} | change) + "\n" for t, change in enumerate(changes))


def read(folder: Path, text: str | bytes, name: str = "e.jsonl") -> Stream:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_events(path, BASIC)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=6)


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    made = []
    for number in range(draw(st.integers(1, 8))):
        face = draw(st.booleans())
        shares = {"happy": 0.75, "sad": 0.25} if face and draw(st.booleans()) else None
        made.append(
            Event(
                t=number + draw(st.floats(0, 0.9)),
                student=draw(NAMES),
                lesson=draw(NAMES | st.just("")),
                topic=draw(NAMES | st.just("")),
                frame_ok=face or draw(st.booleans()),
                face=face,
                emotion="happy" if face else None,
                probabilities=shares,
                head_down=draw(st.sampled_from([None, True, False])),
                interval_s=draw(st.sampled_from([None, 0.5])),
            )
        )
    return made


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_what_is_written_is_read_back(suffix: str, tmp_path: Path) -> None:
    @settings(max_examples=60, deadline=None)
    @given(events())
    def check(made: list[Event]) -> None:
        path = write_events(tmp_path / f"e.{suffix}", made)
        found = read_events(path, BASIC)
        assert found.events == made
        assert found.dropped == {}

    check()


@pytest.mark.parametrize("suffix", [pytest.param("jsonl", marks=pytest.mark.slow), "csv"])
def test_a_hundred_thousand_events_are_read_in_seconds(suffix: str, tmp_path: Path) -> None:
    shares = {"happy": 0.9, "sad": 0.1}
    made = [
        Event(t=float(i // 50), student=f"s{i % 50}", face=True, emotion="happy", probabilities=shares)
        for i in range(100_000)
    ]
    path = write_events(tmp_path / f"e.{suffix}", made)
    before = time.process_time()
    assert len(read_events(path, BASIC).events) == 100_000
    assert time.process_time() - before < 6


COUNTED = {
    "time is not a finite number": {"t": float("nan")},
    "negative probability": {"probabilities": {"happy": 1.2, "sad": -0.2}},
    "probabilities whose sum is not 1": {"probabilities": {"happy": 0.5, "sad": 0.4}},
    "probabilities without the recognised expression": {"probabilities": {"sad": 1.0}},
    "probability is not a finite number": {"probabilities": {"happy": float("nan"), "sad": 1.0}},
    "interval_s is not a finite number": {"interval_s": float("inf")},
    "a face without an expression": {"emotion": None},
    "an expression without a face": {"face": False},
    "a face without a frame": {"frame_ok": False},
    BACKWARDS: {"t": 0.5},
    "a student's second event of the same time": {"t": 1.0},
}


@pytest.mark.parametrize("reason", COUNTED)
def test_faulty_events_are_dropped_and_counted_with_their_line(reason: str, tmp_path: Path) -> None:
    found = read(tmp_path, lines({}, {}, COUNTED[reason], COUNTED[reason], {}, {}))
    assert [one.t for one in found.events] == [0, 1, 4, 5]
    assert found.dropped == {reason: 2}
    assert found.summary() == ["4 events, 2 dropped", f"dropped 2: {reason} (first in line 3)"]


def test_times_are_compared_within_a_student_and_events_sorted_over_students(tmp_path: Path) -> None:
    found = read(tmp_path, lines({"t": 5.0}, {"t": 2.0, "student": "b"}, {"t": 5.0, "student": "b"}))
    assert [(one.t, one.student) for one in found.events] == [(2, "b"), (5, "a"), (5, "b")]
    assert found.dropped == {}


WRONG = {
    "unknown class": ({"emotion": "hapy"}, "line 2: 'hapy' is none of the basic expressions; did you mean happy?"),
    "class of the other map": ({"emotion": "confused"}, "line 2: 'confused' is none of the basic expressions; it is one of"),
    "unknown class among probabilities": (
        {"probabilities": {"happy": 0.5, "sadd": 0.5}},
        "line 2: 'sadd' is none of the basic expressions; did you mean sad",
    ),
    "misspelt class with probabilities": (
        {"emotion": "hapy", "probabilities": {"happy": 1.0}},
        "line 2: 'hapy' is none of the basic expressions; did you mean happy?",
    ),
    "text for a number": ({"t": "soon"}, "line 2: t: Input should be a valid number (given: 'soon')"),
    "milliseconds": (
        {"t": 1.8e12},
        "line 2: t: Input should be less than or equal to 100000000000 (given: 1800000000000.0)",
    ),
    "number for a text": ({"student": 7}, "line 2: student: Input should be a valid string (given: 7)"),
    "text for a truth value": ({"face": "yes"}, "line 2: face: Input should be a valid boolean (given: 'yes')"),
    "unknown key": ({"emotions": "happy"}, "line 2: unknown key 'emotions'; did you mean emotion?"),
    "empty name": ({"student": ""}, "line 2: student: String should have at least 1 character"),
}


@pytest.mark.parametrize("case", WRONG)
def test_faults_of_form_are_one_line_with_file_and_line(case: str, tmp_path: Path) -> None:
    change, message = WRONG[case]
    with pytest.raises(FerError) as caught:
        read(tmp_path, lines({}, change, {}))
    assert str(tmp_path / "e.jsonl") in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"t": 0, "t": 5, "student": "a", "face": true, "emotion": "happy"}', "t"),
        ('{"t": 0, "t": 0, "student": "a", "face": true, "emotion": "happy"}', "t"),
        ('{"t": 0, "student": "a", "face": false, "face": true, "emotion": null}', "face"),
        (
            '{"t": 0, "student": "a", "face": true, "emotion": "happy", "probabilities": {"happy": 0.1, "happy": 1}}',
            "happy",
        ),
    ],
)
def test_a_key_given_twice_is_one_line(line: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(FerError) as caught:
        read(tmp_path, lines({"t": -1.0}) + line + "\n")
    assert str(caught.value) == f"{tmp_path / 'e.jsonl'}, line 2: two values of '{key}'; remove one of them"


def test_a_missing_key_and_broken_lines_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(FerError, match=r"line 1: no 'emotion'; an event needs t, student, face and emotion"):
        read(tmp_path, '{"t": 0, "student": "a", "face": true}\n')
    with pytest.raises(FerError, match=r"line 1: not valid JSON; write one event a line, such as"):
        read(tmp_path, "what?\n" + lines({}))
    with pytest.raises(FerError, match="a JSON array; write one event a line"):
        read(tmp_path, f"[{json.dumps(GOOD)}]")


def test_a_last_line_that_is_cut_off_is_counted(tmp_path: Path) -> None:
    whole = lines({}, {}, {"topic": "Größe"})
    start = whole.encode().rindex(b"{")
    for end in range(start + 1, len(whole.encode()) - 1):
        found = read(tmp_path, whole.encode()[:end])
        assert len(found.events) == 2
        assert found.dropped == {"a last line that is cut off": 1}
    assert len(read(tmp_path, whole[:-1]).events) == 3, "only the end of the line is missing"
    cells = f"{HEADER},topic\n0,a,true,happy,x\n1,a,true,ha"
    assert read(tmp_path, cells, "e.csv").dropped == {"a last line that is cut off": 1}
    with pytest.raises(FerError, match="line 3: 4 cells where the header has 5"):
        read(tmp_path, cells + "\n", "e.csv")


@pytest.mark.parametrize("content", ["", "\n\n", f"{HEADER}\n"])
def test_an_empty_file_has_no_events(content: str, tmp_path: Path) -> None:
    with pytest.raises(FerError, match="no event in it; give JSON lines or CSV"):
        read(tmp_path, content, "e.csv" if "," in content else "e.jsonl")


def test_a_file_without_a_valid_event_says_why(tmp_path: Path) -> None:
    with pytest.raises(FerError, match=r"no event in it \(2 dropped: negative probability, first in line 1\)"):
        read(tmp_path, lines(COUNTED["negative probability"], COUNTED["negative probability"]))


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(FerError, match="cannot be read"):
        read_events(tmp_path / "none.jsonl", BASIC)
    with pytest.raises(FerError, match="a folder, not a file"):
        read_events(tmp_path, BASIC)
    for name in ("e.jsonl", "e.csv"):
        with pytest.raises(FerError, match="line 2: not UTF-8"):
            read(tmp_path, b"{}\n\xff\xfe\n", name)


TABLES = {
    "missing": ("time,student,face,emotion\n", "no column 't'"),
    "near": ("t,student,face,emotoin\n0,a,true,happy\n", "no column 'emotion'; did you mean emotoin?"),
    "unknown": (f"{HEADER},head_donw\n", "unknown column 'head_donw'; did you mean head_down?"),
    "twice": (f"{HEADER},t\n", "two columns named 't'"),
    "text": (f"{HEADER}\n0,a,true,happy\nsoon,a,true,happy\n", "line 3: t 'soon' is not a number"),
    "flag": (f"{HEADER}\n0,a,perhaps,happy\n", "line 2: face 'perhaps' is neither true nor false"),
    "share": (f"{HEADER},p_happy\n0,a,true,happy,much\n", "line 2: p_happy 'much' is not a number"),
    "class": (
        f"{HEADER},p_hapy\n0,a,true,happy,1\n",
        "column 'p_hapy': 'hapy' is none of the basic expressions; did you mean happy?",
    ),
    "empty cell": (f"{HEADER}\n,a,true,happy\n", "line 2: no 't'"),
    "quote": (f'{HEADER}\n0,"a,true,happy\n', "not valid CSV"),
}


@pytest.mark.parametrize("case", TABLES)
def test_faults_of_a_table_are_one_line(case: str, tmp_path: Path) -> None:
    text, message = TABLES[case]
    with pytest.raises(FerError) as caught:
        read(tmp_path, text, "e.csv")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_may_leave_cells_and_columns_out(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER},head_down,p_happy,p_sad\r\n0, a ,TRUE,happy,,0.9,0.1\r\n1,a,0,,1,,\r\n"
    found = read(tmp_path, text, "e.csv").events
    assert found == [
        Event(t=0.0, student="a", face=True, emotion="happy", probabilities={"happy": 0.9, "sad": 0.1}),
        Event(t=1.0, student="a", face=False, emotion=None, head_down=True),
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_counted_or_one_line(data: st.DataObject) -> None:
    table = data.draw(st.booleans())
    rows = [f"{HEADER},p_happy", *(f"{t},a,true,happy,1" for t in range(4))]
    whole = ("\n".join(rows) + "\n" if table else lines({}, {}, {}, {})).encode()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 12))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\n", b"NaN", b"1e400", b"{", b"\\ud800", b"[" * 999])
        )
    with TemporaryDirectory() as folder:
        try:
            found = read(Path(folder), bytes(content), "e.csv" if table else "e.jsonl")
        except FerError as error:
            assert "\n" not in str(error)
        else:
            for name in {one.student for one in found.events}:
                times = [one.t for one in found.events if one.student == name]
                assert times == sorted(set(times))
            assert {one.emotion for one in found.events} <= {None, *BASIC.classes}


def test_events_are_frozen_and_checked_when_made() -> None:
    event = Event.model_validate(GOOD)
    with pytest.raises(ValidationError):
        event.t = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="an expression without a face"):
        Event(t=0.0, student="a", face=False, emotion="happy")


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_maps_cover_their_classes_and_are_stated(name: str) -> None:
    one = expressions(name)
    assert set(one.valence) == set(one.classes)
    for part in (one.distress, one.engaged, one.positive, one.confused, one.focused, one.joy, one.bored):
        assert part <= set(one.classes)
        assert part
    assert one.engaged <= one.positive
    assert not one.positive & one.distress
    assert all(abs(value) <= 1 for value in one.valence.values())
    assert len(one.conventions()) == 7


def test_the_valence_of_learning_expressions_and_of_basic_ones() -> None:
    assert LEARNING.valence == {
        "happy": 1.0, "curious": 0.6, "focused": 0.2, "confused": -0.4, "tired": -0.6, "distracted": -0.6
    }  # fmt: skip
    assert {name for name, value in BASIC.valence.items() if value == 1} == {"happy", "surprise"}
    assert {name for name, value in BASIC.valence.items() if value == 0} == {"neutral"}
    with pytest.raises(FerError, match="no such set of expressions; did you mean learning"):
        expressions("lerning")


def test_a_catalogue_of_courses(tmp_path: Path) -> None:
    path = tmp_path / "courses.csv"
    path.write_text("name,instructor,category\nmaths,Ada,science\nart,,\n")
    assert read_courses(path) == [Course("maths", "Ada", "science"), Course("art")]
    assert Course("a").likeness(Course("b")) == 0, "unknown instructors are not the same"
    for text, message in (
        ("name,teacher,category\n", "no column 'instructor'"),
        ("name,instructor,category\na,b\n", "line 2: 2 cells where the header has 3"),
        ("name,instructor,category\na,b,c\na,b,c\n", "line 3: a second course 'a'"),
        ("name,instructor,category\n,b,c\n", "line 2: a course without a name"),
        ("name,instructor,category,name\na,b,c,d\n", "two columns named 'name'; rename or remove one of them"),
        ("name,instructor,category,note,note\na,b,c,d,e\n", "two columns named 'note'"),
    ):
        path.write_text(text)
        with pytest.raises(FerError, match=message):
            read_courses(path)
    path.write_bytes(b"\xff")
    with pytest.raises(FerError, match="not a CSV in UTF-8"):
        read_courses(path)
