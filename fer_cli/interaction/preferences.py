"""Preferred courses and pace, and the trend over lessons.

Preference is rule 5 of Aly 2023 (section IV-C), with the share of engaged frames as the measure; a course is recommended for
sharing the instructor or the category of the preferred one. Pace and the development across lessons are named by He 2025
(section 3.4 and 3.2) without a formula: here the mean valence by pace, the volatility by lesson, and the slope of
Theil (1950) and Sen (1968) of the mean valence over lessons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fer_cli.interaction.courses import Course
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import NOTHING, Finding, Rule, Session
from fer_cli.interaction.status import SLACK
from fer_cli.interaction.thresholds import Thresholds

RISES, FALLS, NO_TREND = "rises", "falls", "no clear trend"


class Preference:
    """Rule 5: a student's courses by their share of engaged frames, and unseen ones like the first of them."""

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds, courses: Iterable[Course] = ()) -> None:
        self.engaged, self.least = emotions.engaged, thresholds.preference.course_frames
        self.courses = {course.name: course for course in courses}
        self._seen: dict[str, dict[str, Session]] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event of a named course."""
        if event.course:
            courses = self._seen.setdefault(event.student, {})
            session = courses.setdefault(event.course, Session(event.t, event.t))
            session.end = event.t
            session.n += event.face
            session.hits += event.emotion in self.engaged
        return NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return the ranks of courses with enough frames, and the recommended ones."""
        found: list[Finding] = []
        for student, courses in self._seen.items():
            enough = {name: one for name, one in courses.items() if one.n >= self.least}
            ranked = sorted(enough, key=lambda name: (-(enough[name].share or 0.0), name))
            for place, name in enumerate(ranked, start=1):
                one = enough[name]
                found.append(
                    Finding("preference", f"rank {place}", student, one.start, one.end, one.share, one.n, name, about=name)
                )
            if ranked:
                found += self._recommend(student, ranked[0], courses)
        return found

    def _recommend(self, student: str, first: str, seen: dict[str, Session]) -> list[Finding]:
        """Return unseen courses of the same instructor (1) or category (1) as the first, by their sum."""
        if (liked := self.courses.get(first)) is None:
            return []
        one = seen[first]
        scores = {name: liked.likeness(course) for name, course in self.courses.items() if name not in seen}
        return [
            Finding(
                "preference", "recommended", student, one.start, one.end, float(score), one.n,
                about=name, advice=f"like {first}: {liked.reason(self.courses[name])}",
            )
            for name, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
            if score
        ]  # fmt: skip


class Pace:
    """The pace with a student's highest mean valence, where at least two have enough frames."""

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.valence, self.least = emotions.valence, thresholds.preference.pace_frames
        self._seen: dict[str, dict[str, Session]] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event whose pace is known."""
        if event.pace and event.emotion is not None:
            session = self._seen.setdefault(event.student, {}).setdefault(event.pace, Session(event.t, event.t))
            session.end = event.t
            session.n += 1
            session.total += self.valence[event.emotion]
        return NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return each student's paces by mean valence."""
        found = []
        for student, paces in self._seen.items():
            enough = {name: one for name, one in paces.items() if one.n >= self.least}
            if len(enough) < 2:
                continue
            ranked = sorted(enough, key=lambda name: (-enough[name].total / enough[name].n, name))
            for place, name in enumerate(ranked, start=1):
                one = enough[name]
                mean = one.total / one.n
                found.append(Finding("pace", f"rank {place}", student, one.start, one.end, mean, one.n, about=name))
        return found


@dataclass
class Lesson:
    """A student's expressions in one lesson: counts by class in the current window, and modes of those before."""

    origin: float
    end: float
    k: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    modes: list[str] = field(default_factory=list)
    n: int = 0
    focused: int = 0
    total: float = 0.0


class Lessons:
    """Lessons of each student and course, with the modal expression of each tumbling window.

    Ties are won by the class that comes first in the map. Windows without a face have no mode and are skipped; a last window
    of less than half the length is dropped.
    """

    def __init__(self, emotions: EmotionMap, window_s: float) -> None:
        self.emotions, self.window_s = emotions, window_s
        self.seen: dict[tuple[str, str], dict[str, Lesson]] = {}

    def push(self, event: Event) -> None:
        """Count an event."""
        lessons = self.seen.setdefault((event.student, event.course), {})
        lesson = lessons.get(event.lesson)
        if lesson is None:
            lesson = lessons[event.lesson] = Lesson(event.t, event.t)
        k = int((event.t - lesson.origin + SLACK) / self.window_s)
        if k > lesson.k:
            self._close(lesson)
            lesson.k = k
        lesson.end = event.t
        if event.emotion is not None:
            lesson.counts[event.emotion] = lesson.counts.get(event.emotion, 0) + 1
            lesson.n += 1
            lesson.focused += event.emotion in self.emotions.focused
            lesson.total += self.emotions.valence[event.emotion]

    def finish(self) -> None:
        """Close the last windows that are long enough."""
        for lesson in (one for lessons in self.seen.values() for one in lessons.values()):
            if lesson.end - lesson.origin - lesson.k * self.window_s >= self.window_s / 2 - SLACK:
                self._close(lesson)
            lesson.counts = {}

    def _close(self, lesson: Lesson) -> None:
        if lesson.counts:
            lesson.modes.append(max(self.emotions.classes, key=lambda name: lesson.counts.get(name, 0)))
        lesson.counts = {}


def volatility(*lessons: Sequence[str]) -> float | None:
    """Return the share of consecutive windows of a lesson whose modal expression changes, None without such windows."""
    changes = [before != after for modes in lessons for before, after in pairwise(modes)]
    return sum(changes) / len(changes) if changes else None


class LessonRule:
    """A rule on whole lessons: it counts events, and judges each lesson and all lessons of a course at the end."""

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.trend = thresholds.trend
        self._lessons = Lessons(emotions, thresholds.trend.window_s)

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event."""
        self._lessons.push(event)
        return NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return what is found in each lesson, and in the lessons of each student and course."""
        self._lessons.finish()
        found: list[Finding] = []
        for (student, course), lessons in self._lessons.seen.items():
            for name, one in lessons.items():
                found += self.judge_lesson(student, course, name, one)
            found += self.judge_course(student, course, list(lessons.values()))
        return found

    def judge_lesson(self, student: str, course: str, name: str, lesson: Lesson) -> list[Finding]:
        """Return what is found in one lesson."""
        raise NotImplementedError

    def judge_course(self, student: str, course: str, lessons: list[Lesson]) -> list[Finding]:
        """Return what is found in all lessons of a course."""
        raise NotImplementedError


class Trend(LessonRule):
    """Volatility by lesson, and the Theil-Sen slope of the mean valence per lesson where a course has enough lessons."""

    def judge_lesson(self, student: str, course: str, name: str, lesson: Lesson) -> list[Finding]:
        """Return the volatility of a lesson."""
        value = volatility(lesson.modes)
        outcome = "too short" if value is None else "share of windows that change"
        pairs = max(0, len(lesson.modes) - 1)
        return [Finding("volatility", outcome, student, lesson.origin, lesson.end, value, pairs, course, name)]

    def judge_course(self, student: str, course: str, lessons: list[Lesson]) -> list[Finding]:
        """Return the slope over lessons in order of time; Kendall's p decides whether there is a trend."""
        enough = sorted((one for one in lessons if one.n >= self.trend.lesson_frames), key=lambda one: one.origin)
        if len(enough) < self.trend.lessons:
            return []
        slope, p = theil_sen([one.total / one.n for one in enough])
        outcome = name_trend(slope, p, self.trend.level)
        words = f"mean valence per lesson, Kendall's p = {p:.3f}"
        return [
            Finding("trend", outcome, student, enough[0].origin, enough[-1].end, slope, len(enough), course, about=words)
        ]


def theil_sen(values: Sequence[float]) -> tuple[float, float]:
    """Return the median of the slopes between all pairs of equally spaced values, and the p of Kendall's rank test.

    The test is exact, so that fewer than five values never give p < .05; with ties, which only an approximation covers, p is
    at least that of values in order. SciPy's interval of the slope excludes 0 for any three values in order.
    """
    from scipy.stats import kendalltau, theilslopes

    slope = float(theilslopes(values).slope)
    if len(set(values)) == 1:
        return slope, 1.0
    p = float(kendalltau(range(len(values)), values).pvalue)
    return slope, max(p, 2 / math.factorial(len(values)))


def name_trend(slope: float, p: float, level: float) -> str:
    """Return whether values rise or fall, where the rank test says so at ``level``."""
    return NO_TREND if p >= level or slope == 0 else RISES if slope > 0 else FALLS


def preference_rules(emotions: EmotionMap, thresholds: Thresholds, courses: Iterable[Course] = ()) -> list[Rule]:
    """Return new rules of preference, pace and trend."""
    return [Preference(emotions, thresholds, courses), Pace(emotions, thresholds), Trend(emotions, thresholds)]
