"""Events from recognised frames: one per student and capture interval, with the mean probabilities of its frames.

A student is a face with an id, which the tracker keeps for two seconds; ``s3`` is the third face. A student without a face
in an interval has an event that says so, until a new face appears where the student's was last seen (probably the same
person under a new id), or for ``ABSENT_S`` seconds. While no student is there, ``NOBODY`` has the events without a face. An
interval without any frame is an event with ``frame_ok`` false; a longer gap than ``BREAK_S`` is none.

``t`` of an event is the beginning of its interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fer_cli.data.align import overlap
from fer_cli.data.detect import Box
from fer_cli.interaction.events import Event
from fer_cli.use.faces import LEAST_IOU
from fer_cli.use.predict import Seen
from fer_cli.use.smoothing import Smoother

ABSENT_S = 60.0
BREAK_S = 600.0
NOBODY = "nobody"
DIGITS = 4
"""Decimals of probabilities in events."""

Measure = Callable[[float, str, Box], bool | None]
"""From time, student and box in that frame to whether the head is bowed, None if it is not measured."""


@dataclass
class Present:
    """A student in the current interval, and where they were last seen."""

    box: Box
    seen_s: float
    total: np.ndarray | None = None
    """(K,) sum of probabilities over the interval's frames with the face."""
    frames: int = 0
    head_down: bool | None = None


class Captures:
    """Collects frames by interval; memory does not grow with time."""

    def __init__(
        self,
        classes: list[str],
        interval_s: float,
        named: Mapping[str, str],
        smoother: Smoother | None = None,
        measure: Measure | None = None,
    ) -> None:
        """``named``: course, topic, lesson of the events; ``smoother``: None for the plain mean; ``measure``: of heads."""
        self.classes, self.interval_s, self.named = classes, interval_s, dict(named)
        self.smoother, self.measure = smoother, measure
        self.students: dict[str, Present] = {}
        self._number: int | None = None
        self._frames = 0

    def push(self, seen: Seen) -> list[Event]:
        """Return the events of the intervals that end before a frame, whose time does not decrease."""
        assert seen.time_s is not None
        events = self.advance(seen.time_s)
        self._frames += 1
        for one in seen.faces:
            student = f"s{one.face}"
            if student not in self.students:
                self._replace_absent(one.box, seen.time_s)
                self.students[student] = Present(one.box, seen.time_s)
            present = self.students[student]
            present.box, present.seen_s = one.box, seen.time_s
            present.total = one.probabilities + (0 if present.total is None else present.total)
            present.frames += 1
            if self.measure is not None and present.head_down is None:
                present.head_down = self.measure(seen.time_s, student, one.box)
        return events

    def advance(self, time_s: float) -> list[Event]:
        """Return the events of the intervals that end before ``time_s``."""
        number = math.floor(time_s / self.interval_s + 1e-9)
        if self._number is None:
            self._number = number
        events: list[Event] = []
        if number > self._number:
            events += self._close()
            gap = (number - self._number - 1) * self.interval_s
            for missing in range(self._number + 1, number if gap <= BREAK_S else 0):
                self._number = missing
                events += self._close()
            self._number = number
        return events

    def finish(self) -> list[Event]:
        """Return the events of the last interval."""
        return self._close() if self._frames else []

    def _close(self) -> list[Event]:
        """Return the events of the current interval and begin the next one."""
        assert self._number is not None
        t, frame_ok = round(self._number * self.interval_s, 6), self._frames > 0
        for student, present in list(self.students.items()):
            if t - present.seen_s > ABSENT_S:
                self._remove(student)
        events = [self._event(t, student, present, frame_ok) for student, present in self.students.items()]
        self._frames = 0
        if not events:
            where = {**self.named, "interval_s": self.interval_s}
            return [Event(t=t, student=NOBODY, frame_ok=frame_ok, face=False, emotion=None, **where)]  # type: ignore[arg-type]
        return events

    def _event(self, t: float, student: str, present: Present, frame_ok: bool) -> Event:
        mean = None if present.total is None else present.total / present.frames
        if self.smoother is not None:
            smooth = self.smoother.push(student, None if mean is None else mean / mean.sum())
            mean = None if mean is None else smooth
        head_down, present.head_down = present.head_down, None
        present.total, present.frames = None, 0
        where = {**self.named, "interval_s": self.interval_s, "head_down": head_down}
        if mean is None:
            return Event(t=t, student=student, frame_ok=frame_ok, face=False, emotion=None, **where)  # type: ignore[arg-type]
        shares = {name: round(float(value), DIGITS) for name, value in zip(self.classes, mean, strict=True)}
        emotion = max(shares, key=lambda name: shares[name])  # of equal ones in the log, the first class
        return Event(t=t, student=student, face=True, emotion=emotion, probabilities=shares, **where)  # type: ignore[arg-type]

    def _replace_absent(self, box: Box, time_s: float) -> None:
        """Remove the absent student at whose last place a new face appears."""
        absent = {name: one for name, one in self.students.items() if one.seen_s < time_s and one.total is None}
        best = max(absent, key=lambda name: overlap(absent[name].box, box), default=None)
        if best is not None and overlap(absent[best].box, box) >= LEAST_IOU:
            self._remove(best)

    def _remove(self, student: str) -> None:
        del self.students[student]
        if self.smoother is not None:
            self.smoother.forget(student)
