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
from fer_cli.interaction.display import ALERTS, STATES, bin_states, choose_students, count_hidden, state_of
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.feedback import CAUTION, NO_DATA, expression_shares
from fer_cli.interaction.findings import CLASS, Finding

PALE = "#D9D9D9"
"""Colour of neutral or focused, the most frequent class."""
DARK = frozenset({"#0072B2", "#000000", "#882255"})
"""Colours that need white letters."""
WIDTH = 4.6
"""Inches; lines and letters stay legible at 84 mm."""
MOST_LESSONS, MOST_ROWS, MOST_COURSES = 6, 64, 20
"""Most lessons (and rows in all lessons) and courses of a picture; the footer says what is left out."""
NAME = 22
"""Characters of a name beside an axis."""


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
    lost = {"students": count_hidden(events, students), "lessons": len(lessons) - len(shown)}
    left_out = "".join(f"{n} more {what} are left out. " for what, n in lost.items() if n)
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


def _mark(marker: str, label: str) -> Line2D:
    return Line2D([], [], color="black", marker=marker, ms=7, lw=0, label=label)


def _draw_states(axes: Axes, part: Sequence[Event], students: Sequence[str], emotions: EmotionMap) -> float:
    """Draw the rows of students below an empty one for the class, and return the start of the lesson in seconds."""
    modes, bin_s = bin_states(part, students, emotions)
    edges = np.arange(modes.shape[1] + 1) * bin_s / 60
    heights = np.arange(len(students) + 1) + 0.5
    colours = ListedColormap(list(STATES.values()))
    axes.pcolormesh(edges, heights, modes, cmap=colours, vmin=-0.5, vmax=len(STATES) - 0.5, rasterized=True)
    for height in heights:
        axes.axhline(height, color="white", lw=1)
    labels = ["class", *(cut(student, NAME) for student in students)]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(students) + 0.5, -0.5)
    axes.set_xlim(0, edges[-1])
    axes.grid(visible=False)
    return part[0].t


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
