"""What timelines show, on screen, in pictures and in pages: a student's state in each bin of time, and alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import Finding, natural

STATES = {
    "engaged": "#009E73",
    "positive, not engaged": "#A6D8F0",
    "other expression": "#E69F00",
    "distress": "#D55E00",
    "no face": "0.72",
    "no frame": "0.25",
}
"""State of a student in a time bin -> colour."""
ALERTS = {
    "difficulty": ("v", "difficulty"),
    "inattentive": ("x", "inattentive"),
    "technical": ("+", "technical"),
    "passive": ("s", "passive"),
    "slow_or_clarify": ("*", "class confused"),
}
"""Outcome -> marker and label."""
BINS = 120
"""Most time bins of a lesson; none is shorter than ``LEAST_S`` seconds."""
LEAST_S = 5.0
MOST_STUDENTS = 30


def state_of(event: Event, emotions: EmotionMap) -> str:
    """Return what the timeline shows for an event."""
    if event.emotion is None:
        return "no face" if event.frame_ok else "no frame"
    if event.emotion in emotions.engaged:
        return "engaged"
    if event.emotion in emotions.positive:
        return "positive, not engaged"
    return "distress" if event.emotion in emotions.distress else "other expression"


def choose_students(events: Sequence[Event], findings: Sequence[Finding]) -> list[str]:
    """Return the names of the rows, in natural order; of too many students, those with the most alerts."""
    alerts = Counter(one.student for one in findings if one.outcome in ALERTS)
    names = sorted({event.student for event in events}, key=natural)
    return sorted(sorted(names, key=lambda name: -alerts[name])[:MOST_STUDENTS], key=natural)


def count_hidden(events: Sequence[Event], students: Sequence[str]) -> int:
    """Return the number of students with events that are not among ``students``, the rows of a timeline."""
    return len({event.student for event in events} - set(students))


def bin_states(
    part: Sequence[Event], students: Sequence[str], emotions: EmotionMap, least_s: float = LEAST_S
) -> tuple[np.ndarray, float]:
    """Return the most frequent state in each bin of a lesson, and the length of a bin in seconds.

    States (S, B) float64 are places in ``STATES``, NaN without events; a row per student; the first bin begins with the
    first event.
    """
    start, end = part[0].t, max(event.t for event in part)
    bin_s = max(least_s, (end - start) / BINS)
    columns = int((end - start) / bin_s) + 1
    rows = {student: row for row, student in enumerate(students)}
    names = list(STATES)
    counts = np.zeros((len(students), columns, len(names)), np.int64)
    for event in part:
        if event.student in rows:
            counts[rows[event.student], int((event.t - start) / bin_s), names.index(state_of(event, emotions))] += 1
    return np.where(counts.sum(2) > 0, counts.argmax(2).astype(float), np.nan), bin_s
