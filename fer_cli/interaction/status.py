"""Learning-status rules of Aly 2023 (section IV-C): focus, difficulty, engagement and involvement.

Differences: no frame at all is ``technical``, a frame without a face ``inattentive`` (the article says "either"). A
difficulty is attached to the topic of the frame that completes it; whether that topic is hard is not known here. Preference,
pace and the trend over lessons are in ``preferences.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import CLASS, NOTHING, Finding, Rule, Session
from fer_cli.interaction.thresholds import Thresholds

SLACK = 1e-9
"""Seconds by which rounding may move the border of a window."""
INATTENTIVE, TECHNICAL, PASSIVE, ACTIVE = "inattentive", "technical", "passive", "active"
WAYS_OF_HELP = "explain the topic, or ask a teacher to help"

Place = tuple[str, str]
"""Course and lesson."""


@dataclass
class _Window:
    """A student's current window: number ``k`` from ``origin``."""

    place: Place
    origin: float
    last: float
    k: int = 0
    frames: int = 0
    lost: int = 0
    """Events without a frame."""
    faceless: int = 0
    """Frames without a face."""


class Focus:
    """Rule 1: a finding for each tumbling window in which most frames are missing or have no face.

    Windows start with a student's first event of a lesson. If no frame came at all, or as many were missing as had no face,
    the outcome is ``technical``. Windows without any event within a lesson are one technical finding, unless the capture
    interval is longer than a window.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.limits, self.interval = thresholds.focus, thresholds.interval_s
        self._open: dict[str, _Window] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Return the findings of windows that end before the event."""
        found: list[Finding] = []
        window, place = self._open.get(event.student), (event.course, event.lesson)
        if window is not None and (window.place != place or event.t - window.last > self.limits.new_session_s):
            found += self._close(event.student, window, last=True)
            window = None
        if window is None:
            window = self._open[event.student] = _Window(place, event.t, event.t)
        k = math.floor((event.t - window.origin + SLACK) / self.limits.window_s)
        if k > window.k:
            found += self._close(event.student, window)
            if k > window.k + 1 and (event.interval_s or self.interval) < self.limits.window_s:
                found.append(self._finding(event.student, window, window.k + 1, k, TECHNICAL, 1.0, 0))
            window.k, window.frames, window.lost, window.faceless = k, 0, 0, 0
        window.frames += 1
        window.lost += not event.frame_ok
        window.faceless += event.frame_ok and not event.face
        window.last = event.t
        return found or NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return the findings of last windows that are long enough."""
        return [one for student, window in self._open.items() for one in self._close(student, window, last=True)]

    def _close(self, student: str, window: _Window, last: bool = False) -> list[Finding]:
        start = window.origin + window.k * self.limits.window_s
        if last and window.last - start < self.limits.least_s - SLACK:
            return []
        missing = window.lost + window.faceless
        if not missing or missing / window.frames <= self.limits.missing:
            return []
        outcome = TECHNICAL if window.lost >= window.faceless else INATTENTIVE
        return [self._finding(student, window, window.k, window.k + 1, outcome, missing / window.frames, window.frames)]

    def _finding(
        self, student: str, window: _Window, first: int, end: int, outcome: str, share: float, frames: int
    ) -> Finding:
        """Return a finding about the windows from number ``first`` to before ``end``."""
        course, lesson = window.place
        advice = "check camera and connection" if outcome == TECHNICAL else "ask whether the student is there"
        start, stop = (window.origin + k * self.limits.window_s for k in (first, end))
        return Finding(
            "focus", outcome, student, start, stop, share, frames, course, lesson, "share of missing faces", advice
        )  # fmt: skip


@dataclass
class _Row:
    """A student's expressions of distress in a row."""

    place: Place
    count: int = 0
    start: float = 0.0


class Difficulty:
    """Rule 2: anger or distress many times in a row; then counting starts again.

    Frames without a face neither count nor reset; another expression or lesson resets.
    """

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.limit = thresholds.difficulty.in_a_row
        self.distress = emotions.distress | ({"disgust"} if thresholds.difficulty.with_disgust else set())
        self._rows: dict[str, _Row] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Return the finding that the event completes."""
        if event.emotion is None:
            return NOTHING
        place = (event.course, event.lesson)
        row = self._rows.get(event.student)
        if event.emotion not in self.distress:
            if row is not None:
                row.count = 0
            return NOTHING
        if row is None or row.place != place:
            row = self._rows[event.student] = _Row(place)
        if row.count == 0:
            row.start = event.t
        row.count += 1
        if row.count < self.limit:
            return NOTHING
        row.count = 0
        return (
            Finding(
                "difficulty", "difficulty", event.student, row.start, event.t, float(self.limit), self.limit,
                *place, event.topic, WAYS_OF_HELP,
            ),
        )  # fmt: skip

    def finish(self) -> Sequence[Finding]:
        """Return nothing: a row that has not been completed is no finding."""
        return NOTHING


class _Shares:
    """Counts by student and lesson, and of the class."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str, str], Session] = {}

    def add(self, event: Event, hit: bool, counts: bool) -> None:
        """Count an event for its student and the class; ``counts``: whether it is one of the n."""
        for student in (event.student, CLASS):
            key = (student, event.course, event.lesson)
            session = self.sessions.get(key)
            if session is None:
                session = self.sessions[key] = Session(event.t, event.t)
            session.end = max(session.end, event.t)
            session.n += counts
            session.hits += hit and counts


class Engagement:
    """Rule 3: the share of happy or surprised frames among those with a face, by student and lesson and for the class."""

    def __init__(self, emotions: EmotionMap) -> None:
        self.engaged = emotions.engaged
        self._shares = _Shares()

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event."""
        self._shares.add(event, event.emotion in self.engaged, event.face)
        return NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return the shares; None without a face."""
        return [
            Finding(
                "engagement", "no face" if one.share is None else "share of engaged expressions",
                student, one.start, one.end, one.share, one.n, course, lesson,
            )
            for (student, course, lesson), one in self._shares.sessions.items()
        ]  # fmt: skip


class Involvement:
    """Rule 4: passive if the head is bowed in more than half of the frames in which its position is known."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.limits = thresholds.involvement
        self._shares = _Shares()

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event; a bowed head may have no face."""
        self._shares.add(event, event.head_down is True, event.head_down is not None)
        return NOTHING

    def share(self, student: str, course: str, lesson: str) -> float | None:
        """Return the share of bowed frames so far, None before there are enough."""
        session = self._shares.sessions.get((student, course, lesson))
        return session.share if session is not None and session.n >= self.limits.least_frames else None

    def finish(self) -> Sequence[Finding]:
        """Return an outcome by student and lesson, and the share in the class."""
        found = []
        for (student, course, lesson), one in self._shares.sessions.items():
            share = one.share if one.n >= self.limits.least_frames else None
            outcome = "not measured" if share is None else PASSIVE if share > self.limits.bowed else ACTIVE
            if student == CLASS:
                outcome = "share of bowed heads" if share is not None else outcome
            advice = "remind the student" if outcome == PASSIVE else ""
            found.append(
                Finding(
                    "involvement", outcome, student, one.start, one.end, share, one.n,
                    course, lesson, "share of bowed heads", advice,
                )
            )  # fmt: skip
        return found


def status_rules(emotions: EmotionMap, thresholds: Thresholds) -> list[Rule]:
    """Return new rules 1 to 4."""
    return [Focus(thresholds), Difficulty(emotions, thresholds), Engagement(emotions), Involvement(thresholds)]
