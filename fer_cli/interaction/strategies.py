"""The four interaction strategies of He 2025 (section 3), which the article gives in prose: all thresholds are ours.

Strategy 1 watches the class of a lesson, through a window that slides by one frame. Strategy 2 looks at each lesson of a
student and at all lessons together, strategy 3 at each activity of the class, strategy 4 at each kind of content and pace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import CLASS, NOTHING, Finding, Rule, Session
from fer_cli.interaction.preferences import FALLS, Lesson, LessonRule, name_trend, theil_sen, volatility
from fer_cli.interaction.status import SLACK, Place
from fer_cli.interaction.thresholds import Thresholds

SLOW_OR_CLARIFY = "slow_or_clarify"
SUPPORT, CHALLENGE, KEEP = "support", "challenge", "keep"
EMPHASISE, ADD_INTERACTION = "emphasise", "add_interaction"
ADVICE = {
    SLOW_OR_CLARIFY: "slow down or explain again",
    SUPPORT: "support the student, adapt content or method",
    CHALLENGE: "offer harder content",
    KEEP: "",
    EMPHASISE: "do more of this activity",
    ADD_INTERACTION: "add discussion, or questions and answers",
}


@dataclass
class _Recent:
    """The frames with a face of a lesson's class in the window: time, and whether confused or anxious."""

    frames: deque[tuple[float, bool]] = field(default_factory=deque)
    hits: int = 0
    latest: float = float("-inf")
    alerted: float = float("-inf")


class RealTimeFeedback:
    """Strategy 1: an alert when half of the frames in the last seconds are confused or anxious, then a pause.

    Events should come in order of time; of one that is late, the window holds it if it is not over.
    """

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.confused, self.limits = emotions.confused, thresholds.feedback
        self._recent: dict[Place, _Recent] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Return the alert that the event raises."""
        if event.emotion is None:
            return NOTHING
        recent = self._recent.setdefault((event.course, event.lesson), _Recent())
        recent.latest = max(recent.latest, event.t)
        oldest = recent.latest - self.limits.window_s + SLACK
        if event.t > oldest:
            recent.frames.append((event.t, event.emotion in self.confused))
            recent.hits += event.emotion in self.confused
        while recent.frames and recent.frames[0][0] <= oldest:
            recent.hits -= recent.frames.popleft()[1]
        n = len(recent.frames)
        waits = event.t - recent.alerted < self.limits.cool_down_s - SLACK
        if n < self.limits.frames or recent.hits / n < self.limits.share or waits:
            return NOTHING
        recent.alerted = event.t
        return (
            Finding(
                "strategy 1", SLOW_OR_CLARIFY, CLASS, recent.frames[0][0], event.t, recent.hits / n, n,
                event.course, event.lesson, event.topic, ADVICE[SLOW_OR_CLARIFY],
            ),
        )  # fmt: skip

    def finish(self) -> Sequence[Finding]:
        """Return nothing: alerts come at once."""
        return NOTHING


class PersonalisedLearning(LessonRule):
    """Strategy 2: support for students whose expressions fluctuate, harder content for stable and focused ones.

    For each lesson, and over the lessons of a course if there are enough for a slope: with the volatility and the share of
    focus of all lessons together; a falling valence asks for support too.
    """

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        super().__init__(emotions, thresholds)
        self.limits = thresholds.personal

    def judge_lesson(self, student: str, course: str, name: str, lesson: Lesson) -> list[Finding]:
        """Return an advice for a lesson with two windows or more."""
        if (value := volatility(lesson.modes)) is None:
            return []
        outcome = self._advise(value, lesson.focused / lesson.n)
        return [self._finding(outcome, student, [lesson], value, len(lesson.modes) - 1, course, name)]

    def judge_course(self, student: str, course: str, lessons: list[Lesson]) -> list[Finding]:
        """Return an advice over lessons."""
        enough = sorted((one for one in lessons if one.n >= self.trend.lesson_frames), key=lambda one: one.origin)
        pairs = sum(max(0, len(one.modes) - 1) for one in enough)
        value = volatility(*(one.modes for one in enough))
        if len(enough) < self.trend.lessons or value is None:
            return []
        outcome = self._advise(value, sum(one.focused for one in enough) / sum(one.n for one in enough))
        slope, p = theil_sen([one.total / one.n for one in enough])
        about = f"{len(enough)} lessons"
        if name_trend(slope, p, self.trend.level) == FALLS:
            outcome, about = SUPPORT, f"{about}, valence {FALLS}"
        return [self._finding(outcome, student, enough, value, pairs, course, about=about)]

    def _advise(self, value: float, focused: float) -> str:
        if value >= self.limits.volatile:
            return SUPPORT
        return CHALLENGE if value <= self.limits.stable and focused >= self.limits.focused else KEEP

    def _finding(
        self,
        outcome: str,
        student: str,
        of: list[Lesson],
        value: float,
        n: int,
        course: str,
        lesson: str = "",
        about: str = "",
    ) -> Finding:
        start, end = of[0].origin, of[-1].end
        return Finding("strategy 2", outcome, student, start, end, value, n, course, lesson, about, ADVICE[outcome])


class ActivityDesign:
    """Strategy 3: activities that the class enjoys, and those that bore or tire it."""

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.emotions, self.limits = emotions, thresholds.activity
        self._seen: dict[tuple[str, str], tuple[Session, Session]] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event of a named activity."""
        if event.activity and event.emotion is not None:
            key = (event.course, event.activity)
            if key not in self._seen:
                self._seen[key] = (Session(event.t, event.t), Session(event.t, event.t))
            for session, part in zip(self._seen[key], (self.emotions.joy, self.emotions.bored), strict=True):
                session.end = max(session.end, event.t)
                session.n += 1
                session.hits += event.emotion in part
        return NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return advice for activities with enough frames; both kinds are possible."""
        limits = ((EMPHASISE, self.limits.joy), (ADD_INTERACTION, self.limits.bored))
        return [
            Finding(
                "strategy 3", outcome, CLASS, one.start, one.end, one.share, one.n, course,
                about=activity, advice=ADVICE[outcome],
            )
            for (course, activity), sessions in self._seen.items()
            for one, (outcome, limit) in zip(sessions, limits, strict=True)
            if one.n >= self.limits.frames and one.hits / one.n >= limit
        ]  # fmt: skip


class ContentPreference:
    """Strategy 4: mean valence by student, kind of content and pace; the highest is recommended."""

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.valence, self.limits = emotions.valence, thresholds.content
        self._seen: dict[str, dict[tuple[str, str], Session]] = {}

    def push(self, event: Event) -> Sequence[Finding]:
        """Count an event whose content is named."""
        content = getattr(event, self.limits.content)
        if content and event.emotion is not None:
            cells = self._seen.setdefault(event.student, {})
            session = cells.setdefault((content, event.pace), Session(event.t, event.t))
            session.end = event.t
            session.n += 1
            session.total += self.valence[event.emotion]
        return NOTHING

    def finish(self) -> Sequence[Finding]:
        """Return the table, each student's best cell first and with an advice; cells with few frames are left out."""
        found = []
        for student, cells in self._seen.items():
            enough = {cell: one for cell, one in cells.items() if one.n >= self.limits.frames}
            ranked = sorted(enough, key=lambda cell: (-enough[cell].total / enough[cell].n, cell))
            for place, (content, pace) in enumerate(ranked):
                one = enough[content, pace]
                about = f"{content}, {pace}" if pace else content
                outcome = "recommend" if place == 0 and len(ranked) > 1 else "mean valence"
                advice = f"offer more {self.limits.content}: {about}" if outcome == "recommend" else ""
                found.append(
                    Finding(
                        "strategy 4", outcome, student, one.start, one.end, one.total / one.n, one.n, "", "", about, advice
                    )
                )
        return found


def strategy_rules(emotions: EmotionMap, thresholds: Thresholds) -> list[Rule]:
    """Return new strategies 1 to 4."""
    kinds = (RealTimeFeedback, PersonalisedLearning, ActivityDesign, ContentPreference)
    return [kind(emotions, thresholds) for kind in kinds]
