"""The four strategies and the learning loop, and a simulated class in which each rule finds what was planted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest

from fer_cli.errors import FerError
from fer_cli.interaction.classroom import BREAK_S, COURSE, COURSES, LESSON_S, simulate_class
from fer_cli.interaction.emotions import EXPRESSIONS
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import CLASS, Finding, find
from fer_cli.interaction.loop import OPTIONS, TRANSITIONS, LearningLoop, next_state, walk
from fer_cli.interaction.preferences import preference_rules
from fer_cli.interaction.status import status_rules
from fer_cli.interaction.strategies import (
    ActivityDesign,
    ContentPreference,
    PersonalisedLearning,
    RealTimeFeedback,
    strategy_rules,
)
from fer_cli.interaction.thresholds import Thresholds
from tests.test_status import event, frames, modal

BASIC, LEARNING, DEFAULT = EXPRESSIONS["basic"], EXPRESSIONS["learning"], Thresholds()


def alerts(emotions: Sequence[str | None], start: float = 0.0) -> list[float]:
    return [one.end for one in find(frames(emotions, start), [RealTimeFeedback(LEARNING, DEFAULT)])]


def test_half_of_thirty_frames_confused_is_an_alert() -> None:
    assert alerts(["focused"] * 15 + ["confused"] * 15) == [29]
    assert alerts(["focused"] * 16 + ["confused"] * 14) == []
    assert alerts((["focused"] * 2 + ["confused"]) * 10) == []


def test_an_alert_needs_ten_frames_with_a_face() -> None:
    assert alerts(["confused"] * 9) == []
    assert alerts(["confused"] * 10) == [9]
    assert alerts(["confused"] * 5 + [None] * 100 + ["confused"] * 9) == []
    assert alerts([]) == []


def test_the_window_slides_by_one_frame_and_forgets_after_thirty_seconds() -> None:
    assert alerts(["focused"] * 30 + ["confused"] * 14 + ["focused"] * 60) == []
    assert alerts(["focused"] * 30 + ["confused"] * 15) == [44]


def test_the_cool_down_lasts_sixty_seconds() -> None:
    assert alerts(["confused"] * 69) == [9]
    assert alerts(["confused"] * 70) == [9, 69]
    assert alerts(["confused"] * 190) == [9, 69, 129, 189]


def test_the_class_is_watched_together_and_lessons_apart() -> None:
    both = [one for t in range(5) for name in "ab" for one in [event(t, "confused", name)]]
    found = find(both, [RealTimeFeedback(LEARNING, DEFAULT)])
    assert [(one.student, one.end, one.value, one.n, one.outcome) for one in found] == [
        (CLASS, 4.0, 1.0, 10, "slow_or_clarify")
    ]
    apart = [event(t, "confused", name, lesson=name) for t in range(5) for name in "ab"]
    assert find(apart, [RealTimeFeedback(LEARNING, DEFAULT)]) == []


def test_fluctuating_students_get_support_and_stable_focused_ones_harder_content() -> None:
    def advice(events: list[Event]) -> list[str]:
        return [one.outcome for one in find(events, [PersonalisedLearning(BASIC, DEFAULT)])]

    assert advice(modal("happy", "sad", "happy")) == ["support"]
    assert advice(modal("neutral", "neutral", "neutral")) == ["challenge"]
    assert advice(modal("happy", "happy", "happy")) == ["keep"], "stable, but not focused"
    assert advice(modal("neutral", "neutral", "happy", "happy", "happy", "happy")) == ["keep"], "volatility .2"
    assert advice(modal("neutral", "happy", "happy", "sad", "sad", "sad")) == ["support"], "volatility .4"
    assert advice(modal("neutral")) == [], "one window has no volatility"


def test_strategy_two_also_looks_over_lessons() -> None:
    falling = [
        one
        for number, happy in enumerate([90, 70, 50, 30, 10])
        for one in frames(["happy"] * happy + ["neutral"] * (100 - happy), 1000.0 * number, lesson=str(number))
    ]
    over = [one for one in find(falling, [PersonalisedLearning(BASIC, DEFAULT)]) if not one.lesson]
    assert [(one.outcome, one.about) for one in over] == [("support", "5 lessons, valence falls")]
    stable = [one for n in range(3) for one in frames(["neutral"] * 90, 1000.0 * n, lesson=str(n))]
    over = [one for one in find(stable, [PersonalisedLearning(BASIC, DEFAULT)]) if not one.lesson]
    assert [(one.outcome, one.value, one.n) for one in over] == [("challenge", 0.0, 6)]


@pytest.mark.parametrize(
    ("joy", "bored", "expected"),
    [(4, 3, ["emphasise"]), (3, 4, ["add_interaction"]), (3, 3, []), (4, 4, ["add_interaction", "emphasise"])],
)
def test_activities_are_emphasised_or_enlivened_from_two_fifths(joy: int, bored: int, expected: list[str]) -> None:
    seen = ["happy"] * joy + ["tired", "distracted"] * bored
    seen = seen[: joy + bored] + ["focused"] * (10 - joy - bored)
    found = find(frames(seen, activity="drill"), [ActivityDesign(LEARNING, DEFAULT)])
    assert [one.outcome for one in found] == expected
    assert find(frames(seen[:9], activity="drill"), [ActivityDesign(LEARNING, DEFAULT)]) == []


def test_content_and_pace_with_the_highest_valence_are_recommended() -> None:
    stream = frames(["happy"] * 10 + ["focused"] * 10, activity="quiz", pace="slow")
    stream += frames(["confused"] * 20, 20, activity="quiz", pace="fast") + frames(["happy"] * 19, 40, activity="film")
    found = find(stream, [ContentPreference(LEARNING, DEFAULT)])
    assert [(one.outcome, one.about, one.value) for one in found] == [
        ("recommend", "quiz, slow", pytest.approx(0.6)),
        ("mean valence", "quiz, fast", pytest.approx(-0.4)),
    ]
    basic = find(frames(["happy", "surprise", "neutral", "sad"] * 5, activity="x"), [ContentPreference(BASIC, DEFAULT)])
    assert [(one.outcome, one.value) for one in basic] == [("mean valence", 0.25)], "alone: nothing to prefer"


@pytest.mark.parametrize(
    ("state", "signal", "expected"),
    [
        ("login", "ok", "learn"),
        ("learn", "tick", "recognise"),
        ("recognise", "positive", "learn"),
        ("recognise", "negative", "adjust"),
        ("recognise", "no_face", "recognise"),
        ("adjust", "done", "learn"),
        *((state, "end", "end") for state in ("login", "learn", "recognise", "adjust", "end")),
    ],
)
def test_the_transition_table(state: str, signal: str, expected: str) -> None:
    assert next_state(state, signal) == expected
    assert len(TRANSITIONS) == 11


def test_signals_that_a_state_does_not_have_are_refused() -> None:
    with pytest.raises(FerError, match="no signal 'positve' in state 'recognise'; did you mean positive"):
        next_state("recognise", "positve")
    with pytest.raises(FerError, match="no state 'lern'; did you mean learn"):
        next_state("lern", "tick")
    with pytest.raises(FerError, match="no signal 'tick' in state 'end'"):
        next_state("end", "tick")


def test_the_rule_chooses_the_adjustment_and_without_one_they_take_turns() -> None:
    loop = LearningLoop(state="recognise")

    def adjust(rule: str | None) -> str | None:
        loop.state = "recognise"
        return loop.send("negative", rule)

    assert [adjust(None) for _ in range(4)] == ["reduce_difficulty", "insert_context", "slow_pace", "reduce_difficulty"]
    assert [adjust(rule) for rule in OPTIONS] == ["reduce_difficulty", "insert_context", "slow_pace"]
    assert adjust("technical") == "insert_context", "no rule of the loop: the turn goes on"


def test_a_stream_walks_through_the_loop_and_ends() -> None:
    steps = walk(frames(["neutral", None, "sad", "happy"]), BASIC, DEFAULT)
    assert [(one.signal, one.state, one.adjustment) for one in steps] == [
        ("positive", "learn", ""),
        ("no_face", "recognise", ""),
        ("negative", "adjust", "reduce_difficulty"),
        ("positive", "learn", ""),
    ]
    blank = walk(frames([None] * 5), BASIC, DEFAULT)
    assert [one.state for one in blank] == ["recognise"] * 5, "captured again until the source ends"
    assert walk([], BASIC, DEFAULT) == []


def test_hits_of_rules_choose_the_next_adjustment_once() -> None:
    inattentive = walk(frames([None] * 10 + ["sad", "sad"]), BASIC, DEFAULT)
    assert [one.adjustment for one in inattentive[-2:]] == ["insert_context", "reduce_difficulty"]
    bowed = walk([event(t, "sad" if t == 11 else "neutral", head_down=True) for t in range(12)], BASIC, DEFAULT)
    assert bowed[-1].adjustment == "slow_pace"
    hard = walk(frames(["sad"] * 30), BASIC, DEFAULT)
    assert hard[-1].adjustment == "reduce_difficulty"
    assert Counter(one.adjustment for one in hard) == dict(zip(OPTIONS.values(), (11, 10, 9), strict=True)), "29 in turn"


@pytest.fixture(scope="module", params=[(0, "basic"), (1, "basic"), (2, "learning")])
def planted(request: pytest.FixtureRequest) -> list[Finding]:
    seed, kind = request.param
    emotions = EXPRESSIONS[kind]
    events, _ = simulate_class(seed=seed, kind=kind)
    assert all(one.t <= other.t for one, other in pairwise(events))
    rules = [
        *status_rules(emotions, DEFAULT),
        *preference_rules(emotions, DEFAULT, COURSES),
        *strategy_rules(emotions, DEFAULT),
    ]
    return find(events, rules)


def test_exactly_the_planted_episodes_are_found(planted: list[Finding]) -> None:
    by_kind = {one.kind: one for one in simulate_class()[1]}
    found = [(one.student, one.lesson, one.start, one.about) for one in planted if one.rule == "difficulty"]
    hard = by_kind["difficulty"]
    assert found == [(hard.students[0], "lesson 1", hard.start, "convolution")]
    focus = {(one.outcome, one.student, one.lesson, one.start % BREAK_S) for one in planted if one.rule == "focus"}
    assert focus == {
        (kind, by_kind[kind].students[0], f"lesson {by_kind[kind].lesson}", float(by_kind[kind].start))
        for kind in ("inattentive", "technical")
    }
    passive = [(one.student, one.lesson) for one in planted if one.outcome == "passive"]
    assert passive == [(by_kind["passive"].students[0], "lesson 2")]
    confused = [one for one in planted if one.rule == "strategy 1"]
    assert [one.lesson for one in confused] == ["lesson 3"]
    assert by_kind["confused"].start + 20 <= confused[0].end - 2 * BREAK_S < by_kind["confused"].end
    support = [(one.student, one.lesson) for one in planted if one.outcome == "support"]
    assert support == [(by_kind["volatile"].students[0], "lesson 1"), (by_kind["volatile"].students[0], "")]
    assert {one.outcome for one in planted if one.rule == "trend"} == {"no clear trend"}
    liked = [(one.outcome, one.about) for one in planted if one.rule == "strategy 3"]
    assert liked == [("emphasise", "discussion")]
    assert {one.about for one in planted if one.outcome == "recommend"} == {"discussion, slow", "discussion, fast"}
    assert {one.about for one in planted if one.outcome == "recommended"} == {"circuits", "control"}


def test_the_class_is_the_same_for_a_seed() -> None:
    assert simulate_class(6, 1, seed=4) == simulate_class(6, 1, seed=4)
    events, episodes = simulate_class(6, 1, seed=4)
    assert events != simulate_class(6, 1, seed=5)[0]
    assert len(events) == 6 * LESSON_S
    assert {one.kind for one in episodes} == {"difficulty", "inattentive", "volatile"}
    assert {one.course for one in events} == {COURSE}
