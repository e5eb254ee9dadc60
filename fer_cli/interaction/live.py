"""The last minutes of each student and of the class, for a terminal."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fer_cli.interaction.display import state_of
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.feedback import name_student, raised
from fer_cli.interaction.findings import CLASS, Finding, natural

MINUTES = 3.0
"""Time that a line of valences spans."""
CELLS = 24
"""Its characters."""
LEVELS = "▁▂▃▄▅▆▇█"
"""Mean valence from -1 to 1."""
NO_FACE, NO_DATA = "·", " "
SHOWN = 2
"""Latest alerts of a student that are shown."""


class Row(NamedTuple):
    """What is shown of a student or the class."""

    student: str
    state: str
    valence: str
    alerts: str


@dataclass
class LiveView:
    """The last minutes of those who are there, and their alerts; memory does not grow with time."""

    emotions: EmotionMap
    now_s: float = 0.0
    _events: dict[str, deque[Event]] = field(default_factory=dict)
    _alerts: dict[str, deque[Finding]] = field(default_factory=dict)

    def push(self, events: Sequence[Event], findings: Iterable[Finding]) -> None:
        """Take the events of an interval and what the rules find with them; students without an event have left."""
        for event in events:
            self.now_s = max(self.now_s, event.t)
            self._events.setdefault(event.student, deque()).append(event)
        for student, seen in list(self._events.items()):
            while seen and seen[0].t <= self.now_s - 60 * MINUTES:
                seen.popleft()
            if not seen or seen[-1].t < self.now_s:
                del self._events[student]
                self._alerts.pop(student, None)
        for finding in raised(findings):
            if finding.student == CLASS or finding.student in self._events:
                self._alerts.setdefault(finding.student, deque(maxlen=SHOWN)).append(finding)

    def rows(self) -> list[Row]:
        """Return a row for the class, and one per student in natural order."""
        rows = [Row(name_student(CLASS), self.describe_class(), "", self._tell_alerts(CLASS))]
        for student in sorted(self._events, key=natural):
            seen = self._events[student]
            rows.append(Row(student, self.describe(seen[-1]), self.draw_valence(seen), self._tell_alerts(student)))
        return rows

    def describe(self, event: Event) -> str:
        """Return expression and state of an event in words."""
        state = state_of(event, self.emotions)
        if event.emotion is None:
            return state
        share = "" if event.probabilities is None else f" {100 * event.probabilities[event.emotion]:.0f} %"
        return f"{event.emotion}{share} ({state})"

    def describe_class(self) -> str:
        """Return how many students are visible, and the shares of engagement and distress among them."""
        latest = [seen[-1] for seen in self._events.values()]
        states = [state_of(event, self.emotions) for event in latest if event.face]
        if not states:
            return "no face is visible"
        shares = [f"{name} {100 * states.count(name) / len(states):.0f} %" for name in ("engaged", "distress")]
        return f"{len(states)} of {len(latest)} visible: {', '.join(shares)}"

    def draw_valence(self, seen: Iterable[Event]) -> str:
        """Return a character per part of the last minutes, by the mean valence of its events."""
        parts: list[list[Event]] = [[] for _ in range(CELLS)]
        for event in seen:
            back = math.floor((self.now_s - event.t) / (60 * MINUTES / CELLS))
            parts[max(0, CELLS - 1 - back)].append(event)
        return "".join(map(self._draw_part, parts))

    def _draw_part(self, part: list[Event]) -> str:
        values = [self.emotions.valence[event.emotion] for event in part if event.emotion is not None]
        if not values:
            return NO_FACE if part else NO_DATA
        mean = sum(values) / len(values)
        return LEVELS[min(len(LEVELS) - 1, int((mean + 1) / 2 * len(LEVELS)))]

    def _tell_alerts(self, student: str) -> str:
        return "; ".join(tell(one) for one in self._alerts.get(student, ()))


def tell(finding: Finding) -> str:
    """Return outcome, time and advice of a finding in words."""
    advice = f": {finding.advice}" if finding.advice else ""
    return f"{clock(finding.end)} {finding.outcome}{advice}"


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
