"""What ``fer monitor`` is made of: smoothing, captures, pacing, heads, the live view and the page's drawings."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
import pytest

from fer_cli.errors import FerError
from fer_cli.interaction.classroom import simulate_class
from fer_cli.interaction.display import STATES
from fer_cli.interaction.emotions import EXPRESSIONS
from fer_cli.interaction.events import Event
from fer_cli.interaction.feedback import Feedback
from fer_cli.interaction.findings import CLASS, Finding
from fer_cli.interaction.hmm import filter_states, observe
from fer_cli.interaction.html import write_page
from fer_cli.interaction.live import CELLS, LiveView
from fer_cli.interaction.session import choose_expressions
from fer_cli.interaction.svg import colour_of, draw_timeline, runs
from fer_cli.interaction.thresholds import FocusThresholds, HeadThresholds, Thresholds
from fer_cli.use.captures import ABSENT_S, NOBODY, Captures
from fer_cli.use.feeds import Drops, pace
from fer_cli.use.heads import Heads, five_points
from fer_cli.use.predict import Seen
from fer_cli.use.smoothing import STAY, Smoother, stay_probability
from fer_cli.use.sources import Moment
from fer_cli.use.windows import Sighting

CLASSES = ["happy", "sad", "neutral"]
EMISSION = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]])
BASIC = EXPRESSIONS["basic"]


def sighting(face: int, shares: tuple[float, ...] = (0.6, 0.3, 0.1), left: float = 0.0) -> Sighting:
    return Sighting(face, (left, 0.0, left + 40, 40), total=np.array(shares), windows=1, open=False)


def captures(interval_s: float = 1.0) -> Captures:
    return Captures(CLASSES, interval_s, {"course": "c"})


def test_the_filter_step_by_step_is_that_of_the_whole_sequence() -> None:
    smoother = Smoother(CLASSES, EMISSION, 2.0)
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3), 12)
    shares[[3, 4, 8]] = np.nan
    given = [None if np.isnan(row[0]) else row for row in shares]
    found = np.stack([smoother.push("s1", row) for row in given])
    whole = filter_states(np.full(3, 1 / 3), smoother.transition, observe(EMISSION, shares[None])).gamma[0]
    np.testing.assert_allclose(found, whole, atol=1e-12)
    smoother.forget("s1")
    np.testing.assert_allclose(smoother.push("s1", given[0]), whole[0], atol=1e-12)


def test_a_step_by_hand() -> None:
    """b = B p = (.59, .23, .24), whose sum is 1.06; the prior is uniform."""
    found = Smoother(CLASSES, EMISSION, 1.0).push("s1", np.array([0.7, 0.2, 0.1]))
    np.testing.assert_allclose(found, np.array([0.59, 0.23, 0.24]) / 1.06, atol=1e-12)


def test_the_chain_of_an_interval_is_a_power_of_that_of_a_second() -> None:
    second = Smoother(CLASSES, EMISSION, 1.0).transition
    np.testing.assert_allclose(np.diag(second), STAY, atol=1e-12)
    for interval in (2, 5):
        power = np.linalg.matrix_power(second, interval)
        np.testing.assert_allclose(Smoother(CLASSES, EMISSION, float(interval)).transition, power, atol=1e-12)
    half = Smoother(CLASSES, EMISSION, 0.5).transition
    np.testing.assert_allclose(half @ half, second, atol=1e-12)
    assert stay_probability(7, 1e4) == pytest.approx(1 / 7)


def test_an_event_has_the_mean_of_its_interval() -> None:
    seen = captures()
    assert seen.push(Seen(0, 0.0, [sighting(1, (0.8, 0.1, 0.1))])) == []
    assert seen.push(Seen(1, 0.5, [sighting(1, (0.2, 0.7, 0.1))])) == []
    (event,) = seen.push(Seen(2, 1.0, []))
    assert (event.t, event.student, event.emotion, event.course) == (0.0, "s1", "happy", "c")
    assert event.probabilities == {"happy": 0.5, "sad": 0.4, "neutral": 0.1}
    (event,) = seen.finish()
    assert (event.t, event.frame_ok, event.face, event.emotion) == (1.0, True, False, None)


def test_intervals_without_a_frame_are_technical_and_breaks_are_silent() -> None:
    seen = captures()
    seen.push(Seen(0, 0.2, [sighting(1)]))
    events = seen.push(Seen(1, 3.1, [sighting(1)]))
    assert [(one.t, one.frame_ok, one.face) for one in events] == [(0, True, True), (1, False, False), (2, False, False)]
    assert [one.t for one in seen.push(Seen(2, 2000.0, [sighting(1)]))] == [3.0]
    assert [one.t for one in seen.finish()] == [2000.0]
    assert seen.finish() == []


def test_a_lost_student_is_without_a_face_until_they_come_back_or_have_left() -> None:
    seen = captures()
    seen.push(Seen(0, 0.0, [sighting(1), sighting(2, left=100)]))
    for number in range(1, 10):
        seen.push(Seen(number, float(number), [sighting(2, left=100)]))
    assert set(seen.students) == {"s1", "s2"}
    events = seen.push(Seen(10, 10.0, [sighting(2, left=100), sighting(3, left=5)]))
    assert [(one.student, one.face) for one in events] == [("s1", False), ("s2", True)]
    assert set(seen.students) == {"s2", "s3"}, "the new face has the place of the first"
    events = seen.push(Seen(11, 11.0 + ABSENT_S, []))
    last = [one for one in events if one.t == events[-1].t]
    assert [one.student for one in last] == ["s2", "s3"]
    assert [one.student for one in seen.push(Seen(12, 13.0 + ABSENT_S, []))][-1] == NOBODY
    assert not seen.students


def moments(rate: float, count: int) -> Iterator[Moment]:
    for number in range(count):
        yield Moment(number, number / rate, np.zeros((2, 2, 3), np.uint8))


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now, self.waits = 0.0, list[float]()

    def read(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)


@pytest.mark.parametrize(("speed", "cost", "kept"), [(1.0, 0.01, 50), (2.0, 0.01, 50), (1.0, 0.5, 11)])
def test_frames_that_come_too_late_are_dropped(speed: float, cost: float, kept: int) -> None:
    drops, clock = Drops(), Clock()
    used = 0
    for _ in pace(moments(10, 50), speed, drops, clock.read, clock.wait):
        used += 1
        clock.now += cost
    assert used + drops.count == 50 and abs(used - kept) <= 1
    assert bool(clock.waits) is (drops.count == 0)
    assert clock.now == pytest.approx(4.9 / speed + cost, abs=0.6)


def test_heads_are_measured_where_landmarks_are_found() -> None:
    marks = np.zeros((68, 2))
    marks[36:42], marks[42:48], marks[[48, 54]] = (0.3, 0.4), (0.7, 0.4), ((0.34, 0.8), (0.66, 0.8))

    nose = [0.6]

    def place(picture: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
        assert picture.shape == (68, 68, 3) and box == (14, 14, 54, 54), "the box and its margin"
        marks[30] = (0.5, nose[0])
        return marks * 68

    picture = np.zeros((200, 200, 3), np.uint8)
    heads = Heads(HeadThresholds(), place, lambda t: None if t == 5 else picture)
    box = (50.0, 50.0, 90.0, 90.0)
    assert [heads(float(t), "s1", box) for t in (0, 1, 5, 11)] == [False, False, None, False]
    nose[0] = 0.72  # nearer to the mouth, by .3 of the way from the eyes: 38 degrees
    assert heads(12.0, "s1", box) is True
    np.testing.assert_allclose(five_points(marks)[2], (0.5, 0.72))


def event(t: float, emotion: str | None, student: str = "s1", **more: object) -> Event:
    return Event(t=t, student=student, face=emotion is not None, emotion=emotion, **more)  # type: ignore[arg-type]


def test_the_live_view_shows_states_valences_and_alerts() -> None:
    view = LiveView(BASIC)
    for t in range(300):
        alerts = [Finding("difficulty", "difficulty", "s1", 0, 29, 30, 30, advice="ask")] if t == 29 else []
        view.push([event(t, "happy" if t < 240 else "angry"), event(t, None, "s2")], alerts)
    whole, first, second = view.rows()
    assert whole.state == "1 of 2 visible: engaged 0 %, distress 100 %"
    assert first.state == "angry (distress)" and first.alerts == "0:29 difficulty: ask"
    assert first.valence == "█" * 16 + "▁" * 8 and second.valence == "·" * CELLS
    assert second.state == "no face"
    view.push([event(300, "neutral", "s3", probabilities={"neutral": 0.6, "sad": 0.4})], [])
    assert [row.student for row in view.rows()] == ["class", "s3"], "the others have left"
    assert view.rows()[1].state == "neutral 60 % (positive, not engaged)"
    assert view.rows()[1].valence == " " * 23 + "▅"


def test_the_live_view_forgets_who_has_left() -> None:
    view = LiveView(BASIC)
    for t in range(200):
        students = (f"s{t}", f"s{t - 1}", CLASS)
        alerts = [Finding("difficulty", "difficulty", student, t, t, 1, 1, advice="ask") for student in students]
        view.push([event(t, "sad", f"s{t}")], alerts)
    assert [(row.student, row.alerts) for row in view.rows()] == [
        ("class", "3:18 difficulty: ask; 3:19 difficulty: ask"),
        ("s199", "3:19 difficulty: ask"),
    ]
    assert len(view._events) == 1 and set(view._alerts) == {CLASS, "s199"}


@pytest.mark.parametrize(
    ("count", "words"), [(30, "for its time.</p>"), (33, "for its time. 3 more students are left out.</p>")]
)
def test_the_page_says_how_many_students_its_timeline_leaves_out(count: int, words: str) -> None:
    events = [event(float(t), "happy", f"s{n}") for t in range(2) for n in range(count)]
    page = write_page(Feedback(BASIC, Thresholds(), events, []))
    assert words in page and page.count("more students") == (count > 30)


def test_the_page_explains_inattention_by_its_thresholds() -> None:
    limits = Thresholds(focus=FocusThresholds(window_s=60.0, missing=0.25))
    page = write_page(Feedback(BASIC, limits, [event(0.0, "happy")], []))
    assert "no face was found in more than 25 % of the frames of 60 s: whoever" in page


def test_a_timeline_draws_each_state_at_its_time() -> None:
    events = [event(float(t), "happy" if t < 10 else "angry" if t < 15 else None) for t in range(20)]
    root = ElementTree.fromstring(draw_timeline(events, [], BASIC))
    tag = "{http://www.w3.org/2000/svg}"
    bars = [bar for bar in root.iter(f"{tag}rect") if bar.find(f"{tag}title") is not None]
    told = [str(bar.find(f"{tag}title").text) for bar in bars]  # type: ignore[union-attr]
    assert told == ["s1: engaged, 0:00 to 0:10", "s1: distress, 0:10 to 0:15", "s1: no face, 0:15 to 0:20"]
    wide = np.array([float(bar.attrib["width"]) for bar in bars])
    np.testing.assert_allclose(wide / wide.sum(), [0.5, 0.25, 0.25], atol=1e-3)
    assert [bar.attrib["fill"] for bar in bars] == [colour_of(STATES[name]) for name in ("engaged", "distress", "no face")]
    assert list(runs(np.array([np.nan, 1, 1, np.nan, np.nan, 2]))) == [(1, 3, 1), (5, 6, 2)]


def test_names_cannot_become_markup() -> None:
    events = [event(float(t), "happy", "<script>", course="<b>&") for t in range(3)]
    page = write_page(Feedback(BASIC, Thresholds(), events, []), source="<i>", notes=["<u>"])
    assert not any(bad in page for bad in ("<script", "<b>", "<i>", "<u>")) and "&lt;script&gt;" in page


def test_the_page_of_a_class_is_well_formed() -> None:
    from fer_cli.interaction.assess import assess

    events = simulate_class(kind="basic")[0]
    page = write_page(assess(events, BASIC, Thresholds()))
    body = page.replace("<!DOCTYPE html>", "").replace('<meta charset="utf-8">', "")
    body = "\n".join(line for line in body.splitlines() if not line.startswith("<meta"))
    root = ElementTree.fromstring(body)
    cells = [cell.text for cell in root.iter("td")]
    assert {"difficulty", "inattentive", "technical", "passive", "student 08"} <= set(cells)


def test_expressions_are_chosen_by_the_classes() -> None:
    assert choose_expressions(["happy", "sad"], None, "run x").name == "basic"
    assert choose_expressions(["happy", "tired"], None, "run x").name == "learning"
    with pytest.raises(FerError, match="run x: the rules know no set of expressions with all of happy, blue"):
        choose_expressions(["happy", "blue"], None, "run x")
