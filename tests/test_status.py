"""The learning-status rules at their borders, against plain counting, and by any number of events at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.interaction.courses import Course
from fer_cli.interaction.emotions import EXPRESSIONS, EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import Finding, Monitor, Rule, find, merge_windows
from fer_cli.interaction.preferences import Pace, Preference, Trend, preference_rules, theil_sen
from fer_cli.interaction.status import Difficulty, Engagement, Focus, Involvement, status_rules
from fer_cli.interaction.strategies import strategy_rules
from fer_cli.interaction.thresholds import DifficultyThresholds, Thresholds

BASIC, LEARNING, DEFAULT = EXPRESSIONS["basic"], EXPRESSIONS["learning"], Thresholds()


def event(t: float, emotion: str | None = "neutral", student: str = "a", **more: Any) -> Event:
    """An event; no emotion: no face."""
    return Event(t=float(t), student=student, face=emotion is not None, emotion=emotion, **more)


def frames(emotions: Sequence[str | None], start: float = 0.0, **more: Any) -> list[Event]:
    """One event a second."""
    return [event(start + second, emotion, **more) for second, emotion in enumerate(emotions)]


def outcomes(found: list[Finding]) -> list[tuple[str, float, float]]:
    return [(one.outcome, one.start, one.end) for one in found]


def every_rule(emotions: EmotionMap = BASIC) -> list[Rule]:
    return [
        *status_rules(emotions, DEFAULT),
        *preference_rules(emotions, DEFAULT, [Course("m", "x", "y"), Course("n", "x", "z")]),
        *strategy_rules(emotions, DEFAULT),
    ]


@pytest.mark.parametrize(("missing", "expected"), [(5, []), (6, [("inattentive", 0, 10)])])
def test_a_window_is_inattentive_above_half(missing: int, expected: list[Any]) -> None:
    stream = frames([None] * missing + ["neutral"] * (10 - missing) + ["neutral"] * 10)
    assert outcomes(find(stream, [Focus(DEFAULT)])) == expected


@pytest.mark.parametrize(
    ("lost", "faceless", "outcome"),
    [(6, 0, "technical"), (0, 6, "inattentive"), (3, 3, "technical"), (2, 4, "inattentive"), (10, 0, "technical")],
)
def test_no_frame_is_technical_and_no_face_inattentive(lost: int, faceless: int, outcome: str) -> None:
    stream = [event(t, None, frame_ok=False) for t in range(lost)]
    stream += [event(t, None) for t in range(lost, lost + faceless)]
    stream += [event(t) for t in range(lost + faceless, 10)]
    found = find([*stream, event(10)], [Focus(DEFAULT)])
    assert outcomes(found) == [(outcome, 0, 10)]
    assert (found[0].value, found[0].n) == (pytest.approx((lost + faceless) / 10), 10)


@pytest.mark.parametrize(("last", "kept"), [(14.9, False), (15.0, True)])
@pytest.mark.parametrize("start", [0.0, 0.3, 1e9])
def test_a_last_window_needs_five_seconds(last: float, kept: bool, start: float) -> None:
    stream = [*frames(["neutral"] * 10, start), *frames([None] * 4, start + 10), event(start + last, None)]
    assert len(find(stream, [Focus(DEFAULT)])) == kept


def test_windows_start_with_a_students_lesson() -> None:
    stream = frames(["neutral"] * 7, lesson="1") + frames([None] * 10, 7, lesson="2") + [event(17, lesson="2")]
    found = find(stream, [Focus(DEFAULT)])
    assert [(one.start, one.end, one.lesson) for one in found] == [(7, 17, "2")]


def test_seconds_without_any_event_are_technical_within_a_lesson_and_a_break_is_not() -> None:
    found = find([*frames(["neutral"] * 10), event(35), event(5000)], [Focus(DEFAULT)])
    assert outcomes(found) == [("technical", 10, 30)]
    rare = [event(t, interval_s=20.0) for t in range(0, 200, 20)]
    assert find(rare, [Focus(DEFAULT)]) == [], "events are as rare as they should be"


def test_no_face_for_minutes_is_one_merged_finding() -> None:
    found = find(frames([None] * 180), [Focus(DEFAULT)])
    assert len(found) == 18
    merged = merge_windows(found)
    assert outcomes(merged) == [("inattentive", 0, 180)]
    assert (merged[0].value, merged[0].n) == (pytest.approx(1.0), 180)
    assert find(frames([None] * 180), [Difficulty(BASIC, DEFAULT)]) == []
    apart = find(frames([None] * 10 + ["happy"] * 10 + [None] * 10), [Focus(DEFAULT)])
    assert merge_windows(apart) == apart
    both = [*find(frames([None] * 10), [Focus(DEFAULT)]), *find(frames([None] * 10, 10, student="b"), [Focus(DEFAULT)])]
    assert merge_windows(both) == both


def test_difficulty_is_thirty_in_a_row_then_counts_again() -> None:
    def ends(emotions: Sequence[str | None]) -> list[float]:
        return [one.end for one in find(frames(emotions, topic="x"), [Difficulty(BASIC, DEFAULT)])]

    assert ends(["angry"] * 29 + ["neutral"] + ["angry"] * 30) == [59]
    assert ends(["angry"] * 60) == [29, 59]
    assert ends(["angry"] * 29) == []
    assert ends(["angry", "sad", "fear"] * 10) == [29]
    assert ends(["angry"] * 15 + [None] * 100 + ["angry"] * 15) == [129], "no face neither counts nor resets"
    assert ends((["angry"] * 29 + ["disgust"]) * 2) == []
    wider = Thresholds(difficulty=DifficultyThresholds(with_disgust=True))
    assert len(find(frames(["disgust"] * 30), [Difficulty(BASIC, wider)])) == 1


def test_difficulty_has_the_topic_of_its_last_frame_and_its_own_student_and_lesson() -> None:
    stream = frames(["sad"] * 20, topic="old", lesson="1") + frames(["sad"] * 10, 20, topic="new", lesson="1")
    found = find(stream, [Difficulty(BASIC, DEFAULT)])
    assert [(one.about, one.start, one.end, one.n) for one in found] == [("new", 0, 29, 30)]
    two = frames(["sad"] * 29) + frames(["sad"] * 29, student="b")
    assert find(two, [Difficulty(BASIC, DEFAULT)]) == []
    apart = frames(["sad"] * 29, lesson="1") + frames(["sad"] * 29, 1000, lesson="2")
    assert find(apart, [Difficulty(BASIC, DEFAULT)]) == []
    assert len(find(frames(["confused", "tired"] * 15), [Difficulty(LEARNING, DEFAULT)])) == 1


def test_engagement_is_a_share_of_faces() -> None:
    seen = ["happy"] * 3 + ["surprise"] + ["neutral"] * 4
    found = find(frames([*seen, None, None]), [Engagement(BASIC)])
    assert [(one.student, one.value, one.n) for one in found] == [("", 0.5, 8), ("a", 0.5, 8)]
    none = find(frames([None] * 3), [Engagement(BASIC)])
    assert [(one.value, one.n, one.outcome) for one in none] == [(None, 0, "no face")] * 2
    both = find(frames(["happy"]) + frames(["sad"] * 3, student="b"), [Engagement(BASIC)])
    assert [(one.student, one.value) for one in both] == [("", 0.25), ("a", 1.0), ("b", 0.0)]


@pytest.mark.parametrize(("down", "outcome"), [(5, "active"), (6, "passive")])
def test_a_head_bowed_for_more_than_half_is_passive(down: int, outcome: str) -> None:
    stream = [event(t, head_down=t < down) for t in range(10)] + [event(10 + t) for t in range(90)]
    found = [one for one in find(stream, [Involvement(DEFAULT)]) if one.student]
    assert [(one.outcome, one.value, one.n) for one in found] == [(outcome, down / 10, 10)]
    unknown = find(frames(["neutral"] * 20), [Involvement(DEFAULT)])
    assert {(one.outcome, one.value) for one in unknown} == {("not measured", None)}


def test_preferred_courses_need_thirty_frames_and_recommend_alike_ones() -> None:
    courses = [
        Course("maths", "Ada", "science"),
        Course("physics", "Ada", "science"),
        Course("logic", "Ada", "arts"),
        Course("biology", "Eve", "science"),
        Course("poetry", "Eve", "arts"),
        Course("unknown"),
        Course("art", "Eve", "arts"),
    ]
    stream = frames(["happy"] * 10 + ["neutral"] * 20, course="maths")
    stream += frames(["neutral"] * 30, 30, course="art") + frames(["happy"] * 29, 60, course="few")
    found = find(stream, [Preference(BASIC, DEFAULT, courses)])
    ranks = [(one.outcome, one.about, one.value) for one in found if one.outcome.startswith("rank")]
    assert ranks == [("rank 1", "maths", pytest.approx(1 / 3)), ("rank 2", "art", 0.0)]
    told = [(one.about, one.value, one.advice) for one in found if one.outcome == "recommended"]
    assert sorted(told) == [
        ("biology", 1.0, "like maths: category"),
        ("logic", 1.0, "like maths: instructor"),
        ("physics", 2.0, "like maths: instructor and category"),
    ]


def test_pace_compares_mean_valence() -> None:
    stream = frames(["happy", "neutral"] * 10, pace="slow") + frames(["sad"] * 20, 20, pace="fast")
    stream += frames(["happy"] * 19, 40, pace="rare")
    found = find(stream, [Pace(BASIC, DEFAULT)])
    assert [(one.outcome, one.about, one.value) for one in found] == [("rank 1", "slow", 0.5), ("rank 2", "fast", -1.0)]
    assert find(stream[:20], [Pace(BASIC, DEFAULT)]) == [], "nothing to compare with"


def test_the_slope_over_lessons_is_the_median_of_the_slopes_of_pairs() -> None:
    values = [0.0, 0.4, 0.5, -0.2, 0.9]
    slopes = sorted((b - a) / (j - i) for i, a in enumerate(values) for j, b in enumerate(values) if j > i)
    slope, p = theil_sen(values)
    assert slope == pytest.approx((slopes[4] + slopes[5]) / 2)
    assert 0.05 < p <= 1
    assert theil_sen([0.3, 0.2, 0.1]) == (pytest.approx(-0.1), pytest.approx(2 / 6)), "3! orders, two of them monotone"
    assert theil_sen([1.0, 2.0, 3.0, 4.0, 5.0]) == (1.0, pytest.approx(2 / 120))
    assert theil_sen([0.5] * 4) == (0.0, 1.0)


def lessons(shares: Sequence[int]) -> list[Event]:
    """Lessons of 100 frames, so many of them happy and the rest neutral; the first frames are happy."""
    return [
        one
        for number, happy in enumerate(shares)
        for one in frames(["happy"] * happy + ["neutral"] * (100 - happy), 1000.0 * number, lesson=str(9 - number))
    ]


def test_a_trend_needs_three_lessons_in_order_of_time() -> None:
    found = [one for one in find(lessons([80, 60, 40, 20, 0]), [Trend(BASIC, DEFAULT)]) if one.rule == "trend"]
    assert [(one.outcome, one.n) for one in found] == [("falls", 5)]
    assert found[0].value == pytest.approx(-0.2)
    assert [one.rule for one in find(lessons([80, 60]), [Trend(BASIC, DEFAULT)])] == ["volatility"] * 2
    four = [one for one in find(lessons([80, 60, 40, 20]), [Trend(BASIC, DEFAULT)]) if one.rule == "trend"]
    assert [one.outcome for one in four] == ["no clear trend"], "four lessons in order are no evidence"
    flat = [one for one in find(lessons([10, 60, 10, 60]), [Trend(BASIC, DEFAULT)]) if one.rule == "trend"]
    assert flat[0].outcome == "no clear trend"


def modal(*modes: str | None) -> list[Event]:
    """Windows of 30 s with one expression each."""
    return frames([mode for mode in modes for _ in range(30)])


@pytest.mark.parametrize(
    ("modes", "value"),
    [
        (("neutral",) * 5, 0.0),
        (("happy", "sad") * 3, 1.0),
        (("happy", "happy", "sad", "sad", "sad", "sad"), 0.2),
        (("happy", None, "happy"), 0.0),
        (("happy",), None),
    ],
)
def test_volatility_is_the_share_of_windows_that_change(modes: tuple[str, ...], value: float | None) -> None:
    found = find(modal(*modes), [Trend(BASIC, DEFAULT)])
    assert [one.value for one in found] == [None if value is None else pytest.approx(value)]


def test_ties_of_the_mode_are_won_by_the_earlier_class_and_a_short_last_window_is_dropped() -> None:
    tie = frames(["sad", "angry"] * 15) + frames(["angry"] * 30, 30)
    assert find(tie, [Trend(BASIC, DEFAULT)])[0].value == 0.0
    for last, pairs in ((14, 0), (15, 0), (16, 1)):  # 16 frames reach over 15 s
        found = find(frames(["sad"] * 30 + ["happy"] * last), [Trend(BASIC, DEFAULT)])
        assert found[0].n == pairs


def test_no_events_give_no_findings() -> None:
    assert find([], every_rule()) == []


CLASSES = st.sampled_from(["angry", "sad", "happy", "neutral", "disgust", None])


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Up to four students interleaved, with runs of expressions, gaps, lessons and heads."""
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    clock = dict.fromkeys(names, draw(st.floats(0, 50)))
    events = []
    for _ in range(draw(st.integers(0, 14))):
        name, emotion = draw(st.sampled_from(names)), draw(CLASSES)
        step, lesson = draw(st.sampled_from([0.7, 1.0, 3.0, 12.0])), draw(st.sampled_from(["1", "2"]))
        head, ok = draw(st.sampled_from([True, False, None])), emotion is not None or draw(st.booleans())
        for _ in range(draw(st.integers(1, 45))):
            clock[name] += step
            extra = {"topic": lesson, "activity": lesson, "pace": lesson, "course": "m"}
            events.append(event(clock[name], emotion, name, lesson=lesson, head_down=head, frame_ok=ok, **extra))
    return sorted(events, key=lambda one: one.t)


@settings(max_examples=40, deadline=None)
@given(streams())
def test_chunks_of_any_size_find_the_same(stream: list[Event]) -> None:
    found = []
    for size in (1, 7, 1000, max(1, len(stream))):
        monitor = Monitor(every_rule())
        parts = [monitor.push(stream[start : start + size]) for start in range(0, len(stream), size)]
        found.append([one for part in parts for one in part] + monitor.finish())
    assert found[0] == found[1] == found[2] == found[3]


@settings(max_examples=40, deadline=None)
@given(streams())
def test_students_do_not_affect_each_other(stream: list[Event]) -> None:
    rules = [*status_rules(BASIC, DEFAULT), *preference_rules(BASIC, DEFAULT)]
    together = [one for one in find(stream, rules) if one.student]
    alone = []
    for name in {one.student for one in stream}:
        mine = [one for one in stream if one.student == name]
        found = find(mine, [*status_rules(BASIC, DEFAULT), *preference_rules(BASIC, DEFAULT)])
        alone += [one for one in found if one.student]
    assert sorted(together, key=repr) == sorted(alone, key=repr)


@settings(max_examples=60, deadline=None)
@given(streams())
def test_rules_equal_counting_over_the_whole_stream(stream: list[Event]) -> None:
    found = find(stream, status_rules(BASIC, DEFAULT))
    for name in {one.student for one in stream}:
        mine = [one for one in stream if one.student == name]
        hits = [one.end for one in found if one.rule == "difficulty" and one.student == name]
        assert hits == count_rows(mine)
        for lesson in {one.lesson for one in mine}:
            seen = [one for one in mine if one.lesson == lesson]
            faces = [one.emotion for one in seen if one.face]
            heads = [one.head_down for one in seen if one.head_down is not None]
            values = {one.rule: one.value for one in found if (one.student, one.lesson) == (name, lesson)}
            happy = sum(emotion in {"happy", "surprise"} for emotion in faces)
            assert values["engagement"] == (happy / len(faces) if faces else None)
            assert values["involvement"] == (sum(heads) / len(heads) if len(heads) >= 10 else None)


def count_rows(mine: list[Event]) -> list[float]:
    """Times of the 30th, 60th ... frame of each maximal row of distress with a face in one lesson."""
    seen = [one for one in mine if one.face]
    times: list[float] = []
    row: list[Event] = []
    for before, one in pairwise([None, *seen]):
        assert one is not None
        if before is None or before.lesson != one.lesson or one.emotion not in {"angry", "sad", "fear"}:
            row = []
        if one.emotion in {"angry", "sad", "fear"}:
            row.append(one)
            if len(row) % 30 == 0:
                times.append(one.t)
    return times


@settings(max_examples=60, deadline=None)
@given(streams())
def test_focus_windows_equal_those_of_the_whole_lesson(stream: list[Event]) -> None:
    """One lesson without breaks: every full window by its own count."""
    mine = [one.model_copy(update={"lesson": "1"}) for one in stream if one.student == "a"]
    found = [one for one in find(mine, [Focus(DEFAULT)]) if one.n]
    if not mine:
        assert not found
        return
    expected = []
    groups: dict[int, list[Event]] = {}
    for one in mine:
        groups.setdefault(math.floor((one.t - mine[0].t + 1e-9) / 10), []).append(one)
    for k, group in groups.items():
        share = sum(not one.face for one in group) / len(group)
        whole = k < max(groups) or mine[-1].t - mine[0].t - 10 * k >= 5 - 1e-9
        if whole and share > 0.5:
            expected.append((pytest.approx(mine[0].t + 10 * k), share, len(group)))
    assert [(one.start, one.value, one.n) for one in found] == expected
