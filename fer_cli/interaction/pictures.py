"""Pictures of a stream of events: shares of expressions by course, and each student's states over time with alerts.

Aly 2023 (Figure 14) draws one pie for one course; bars of one length compare courses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fer_cli.drawing import PALETTE, Words, page, save
from fer_cli.escape import cut
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.feedback import CAUTION, NO_DATA, expression_shares
from fer_cli.interaction.findings import CLASS, Finding, natural

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
PALE = "#D9D9D9"
"""Colour of neutral or focused, the most frequent class."""
DARK = frozenset({"#0072B2", "#000000", "#882255"})
"""Colours that need white letters."""
WIDTH = 4.6
"""Inches; lines and letters stay legible at 84 mm."""
BINS = 120
"""Most time bins of a lesson; none is shorter than ``LEAST_S`` seconds."""
LEAST_S = 5.0
MOST_STUDENTS, MOST_LESSONS, MOST_ROWS, MOST_COURSES = 30, 6, 64, 20
"""Most students and lessons (and rows in all lessons) and courses of a picture; the footer says what is left out."""
NAME = 22
"""Characters of a name beside an axis."""


def state_of(event: Event, emotions: EmotionMap) -> str:
    """Return what the timeline shows for an event."""
    if event.emotion is None:
        return "no face" if event.frame_ok else "no frame"
    if event.emotion in emotions.engaged:
        return "engaged"
    if event.emotion in emotions.positive:
        return "positive, not engaged"
    return "distress" if event.emotion in emotions.distress else "other expression"


def draw_shares(events: Sequence[Event], emotions: EmotionMap, path: Path) -> Path:
    """Write a bar of expression shares per course and return the path."""
    shares = expression_shares(events, emotions)
    shown = dict(list(shares.items())[:MOST_COURSES])
    names = [name for name in emotions.classes if any(name in one for one in shown.values())]
    colours = dict(zip(emotions.classes, PALETTE, strict=False)) | dict.fromkeys(emotions.focused, PALE)
    frames = Counter(event.course for event in events if event.face)
    keys = [Patch(color=colours[name], label=name) for name in names]
    left_out = f"{len(shares) - len(shown)} more courses are left out. " if len(shares) > len(shown) else ""
    words = Words("Recognised expressions by course", (), [keys] if keys else (), [left_out + CAUTION[0]])
    figure = page(WIDTH, 0.55 + 0.42 * max(1, len(shown)), words)
    axes = figure.add_subplot()
    if not shown:
        return _save_empty(figure, axes, path)
    for place, one in enumerate(shown.values()):
        start = 0.0
        for name in names:
            share = one.get(name, 0.0)
            axes.barh(place, share, left=start, height=0.72, color=colours[name], edgecolor="white", linewidth=0.6)
            if share >= 0.06:
                paint = "white" if colours[name] in DARK else "black"
                axes.text(start + share / 2, place, f"{100 * share:.0f}", ha="center", va="center", size=8.5, color=paint)
            start += share
    labels = [f"{cut(course, NAME)}\n{frames[course] or frames['']} frames" for course in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share} %" for share in range(0, 101, 20)])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlabel("share of the frames with a face")
    return save(figure, path)


def draw_timeline(events: Sequence[Event], findings: Sequence[Finding], emotions: EmotionMap, path: Path) -> Path:
    """Write a panel per lesson with a row per student, coloured by state, and alerts as markers; return the path."""
    lessons: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        lessons.setdefault((event.course, event.lesson), []).append(event)
    students = choose_students(events, findings)
    most = min(MOST_LESSONS, max(1, MOST_ROWS // (len(students) + 1)))
    shown = dict(list(lessons.items())[:most])
    alerts = [one for one in findings if one.outcome in ALERTS and (one.course, one.lesson) in shown]
    states = {state_of(event, emotions) for part in shown.values() for event in part}
    keys = [Patch(color=colour, label=name) for name, colour in STATES.items() if name in states]
    kinds = {one.outcome for one in alerts}
    marks = [_mark(marker, label) for name, (marker, label) in ALERTS.items() if name in kinds]
    lost = len({event.student for event in events}) - len(students), len(lessons) - len(shown)
    left_out = "".join(f"{n} more {what} are left out. " for n, what in zip(lost, ("students", "lessons"), strict=True) if n)
    foot = f"{left_out}Most frequent state in each bin. {CAUTION[0]}"
    words = Words("States of students over time", (), [row for row in (keys, marks) if row], [foot])
    rows = len(students) + 1
    figure = page(WIDTH, max(1, len(shown)) * (0.62 + 0.2 * rows), words)
    if not shown:
        return _save_empty(figure, figure.add_subplot(), path)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, ((course, lesson), part) in zip(panels, shown.items(), strict=True):
        start = _draw_states(axes, part, students, emotions)
        here = [one for one in alerts if (one.course, one.lesson) == (course, lesson)]
        _draw_alerts(axes, here, students, start)
        axes.set_title(", ".join(filter(None, (course, lesson))) or "lesson", loc="left")
    panels[-1].set_xlabel("time in the lesson (min)")
    return save(figure, path)


def choose_students(events: Sequence[Event], findings: Sequence[Finding]) -> list[str]:
    """Return the names of the rows, in natural order; of too many students, those with the most alerts."""
    alerts = Counter(one.student for one in findings if one.outcome in ALERTS)
    names = sorted({event.student for event in events}, key=natural)
    return sorted(sorted(names, key=lambda name: -alerts[name])[:MOST_STUDENTS], key=natural)


def _mark(marker: str, label: str) -> Line2D:
    return Line2D([], [], color="black", marker=marker, ms=7, lw=0, label=label)


def _draw_states(axes: Axes, part: Sequence[Event], students: Sequence[str], emotions: EmotionMap) -> float:
    """Draw the rows of students below an empty one for the class, and return the start of the lesson in seconds."""
    start, end = part[0].t, max(event.t for event in part)
    bin_s = max(LEAST_S, (end - start) / BINS)
    columns = int((end - start) / bin_s) + 1
    rows = {student: row for row, student in enumerate(students)}
    names = list(STATES)
    counts = np.zeros((len(students), columns, len(names)), np.int64)
    for event in part:
        if event.student in rows:
            counts[rows[event.student], int((event.t - start) / bin_s), names.index(state_of(event, emotions))] += 1
    modes = np.where(counts.sum(2) > 0, counts.argmax(2).astype(float), np.nan)
    edges = np.arange(columns + 1) * bin_s / 60
    heights = np.arange(len(students) + 1) + 0.5
    colours = ListedColormap(list(STATES.values()))
    axes.pcolormesh(edges, heights, modes, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, rasterized=True)
    for height in heights:
        axes.axhline(height, color="white", lw=1)
    labels = ["class", *(cut(student, NAME) for student in students)]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(students) + 0.5, -0.5)
    axes.set_xlim(0, edges[-1])
    axes.grid(visible=False)
    return start


def _draw_alerts(axes: Axes, alerts: Sequence[Finding], students: Sequence[str], start: float) -> None:
    """Mark alerts at their end, in the row of their student or of the class."""
    rows = {CLASS: 0} | {student: row for row, student in enumerate(students, start=1)}
    for one in alerts:
        if one.student in rows:
            marker, _ = ALERTS[one.outcome]
            at = (one.end - start) / 60
            axes.plot(at, rows[one.student], marker, color="white", ms=9, mew=3.4, clip_on=False, zorder=3)
            axes.plot(at, rows[one.student], marker, color="black", ms=7, mew=1.6, clip_on=False, zorder=4)


def _save_empty(figure: Figure, axes: Axes, path: Path) -> Path:
    """Write a picture that says that there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, NO_DATA, ha="center", va="center", size=11, color="0.4")
    return save(figure, path)
