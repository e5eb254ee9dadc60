"""Drawings inside a page, as SVG: states of students over time with alerts, and shares of expressions by course."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from fer_cli.drawing import PALETTE
from fer_cli.escape import cut
from fer_cli.interaction.display import ALERTS, STATES, bin_states, choose_students
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.feedback import UNNAMED, expression_shares
from fer_cli.interaction.findings import CLASS, Finding

WIDE, NAMES, RIGHT = 900, 150, 36
"""Pixels of a drawing's width, of the column of names, and of the margin."""
TALL, AXIS, HEADING = 26, 34, 26
"""Pixels of a row, of the axis below, and of a lesson's name."""
BIN_S = 1.0
"""Shortest bin in seconds: sessions are shorter than the lessons of a file."""
PALE = "#D9D9D9"
DARK = frozenset({"#0072B2", "#000000", "#882255", "#D55E00", "#009E73"})
"""Colours that need white letters."""
SHAPES = {
    "v": "M-6,-5 L6,-5 L0,6 Z",
    "x": "M-5,-5 L5,5 M-5,5 L5,-5",
    "+": "M-6,0 L6,0 M0,-6 L0,6",
    "s": "M-5,-5 L5,-5 L5,5 L-5,5 Z",
    "*": "M0,-7 L2,-2 L7,-2 L3,1 L5,6 L0,3 L-5,6 L-3,1 L-7,-2 L-2,-2 Z",
}
"""Marker of an alert -> path around its place."""
NAME = 20
"""Characters of a name beside an axis."""
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Distances of ticks in seconds; the first that gives ``MOST_TICKS`` or fewer is used, or hours."""
MOST_TICKS = 9


def draw_timeline(events: Sequence[Event], findings: Sequence[Finding], emotions: EmotionMap) -> str:
    """Return a drawing with a panel per lesson, a row for the class and one per student, and alerts at their end."""
    lessons: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        lessons.setdefault((event.course, event.lesson), []).append(event)
    students = choose_students(events, findings)
    parts, used, top = list[str](), set[str](), 2 * HEADING
    for place, part in lessons.items():
        here = [one for one in findings if (one.course, one.lesson) == place and one.outcome in ALERTS]
        title = ", ".join(filter(None, place)) or "session"
        body, states = _draw_lesson(part, here, students, emotions, title, top)
        parts += body
        used |= states | {one.outcome for one in here}
        top += HEADING + (len(students) + 1) * TALL + AXIS
    return _wrap([*_draw_keys(used), *parts], top, "States of students over time, with alerts")


def _draw_lesson(
    part: Sequence[Event],
    alerts: Iterable[Finding],
    students: Sequence[str],
    emotions: EmotionMap,
    title: str,
    top: int,
) -> tuple[list[str], set[str]]:
    """Return the elements of a lesson's panel, and the states in it."""
    modes, bin_s = bin_states(part, students, emotions, BIN_S)
    start, names, colours = part[0].t, list(STATES), list(map(colour_of, STATES.values()))
    scale = (WIDE - NAMES - RIGHT) / (modes.shape[1] * bin_s)
    body = [_text(NAMES, top + 16, title, "start", bold=True)]
    first = top + HEADING
    for row, name in enumerate(("class", *students)):
        body.append(_text(NAMES - 8, first + row * TALL + 17, cut(name, NAME), "end"))
    for row, line in enumerate(modes, start=1):
        for begin, end, state in runs(line):
            x, wide = NAMES + begin * bin_s * scale, (end - begin) * bin_s * scale
            text = f"{students[row - 1]}: {names[state]}, {clock(start + begin * bin_s)} to {clock(start + end * bin_s)}"
            body.append(
                f'<rect x="{x:.1f}" y="{first + row * TALL + 3}" width="{wide:.2f}" height="{TALL - 6}" '
                f'fill="{colours[state]}"><title>{escape(text)}</title></rect>'
            )
    rows = {CLASS: 0} | {student: row for row, student in enumerate(students, start=1)}
    for one in alerts:
        if one.student in rows:
            x, y = NAMES + (one.end - start) * scale, first + rows[one.student] * TALL + TALL / 2
            text = f"{one.outcome}, {clock(one.end)}"
            body.append(_mark(ALERTS[one.outcome][0], min(x, WIDE - 7), y, text))
    body += _draw_axis(start, modes.shape[1] * bin_s, scale, first + (len(students) + 1) * TALL)
    return body, {names[int(state)] for state in modes[~np.isnan(modes)]}


def runs(line: np.ndarray) -> Iterable[tuple[int, int, int]]:
    """Yield first and last bin (exclusive) and state of stretches of equal states of a row (B,), without those of NaN."""
    edges = np.flatnonzero(line[1:] != line[:-1]) + 1  # NaN differs from itself
    for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), len(line)], strict=True):
        if not np.isnan(line[begin]):
            yield begin, end, int(line[begin])


def _draw_axis(start: float, length: float, scale: float, y: int) -> list[str]:
    """Return ticks with times of the stream, in minutes and seconds."""
    step = next((step for step in TICKS if length / step <= MOST_TICKS), 3600 * math.ceil(length / 3600 / MOST_TICKS))
    body = [f'<path d="M{NAMES},{y} H{NAMES + length * scale:.1f}" stroke="#666"/>']
    for number in range(math.ceil(start / step), math.floor((start + length) / step) + 1):
        x = NAMES + (number * step - start) * scale
        body.append(f'<path d="M{x:.1f},{y} v5" stroke="#666"/>')
        body.append(_text(x, y + 18, clock(number * step), "middle"))
    return body


def _draw_keys(used: set[str]) -> list[str]:
    """Return the legend of the states and alerts that are used."""
    body, x = list[str](), 4.0
    for name, colour in STATES.items():
        if name in used:
            body.append(f'<rect x="{x:.0f}" y="4" width="14" height="14" fill="{colour_of(colour)}"/>')
            body.append(_text(x + 19, 16, name, "start"))
            x += 34 + 7.2 * len(name)
    x = 4.0
    for outcome, (marker, label) in ALERTS.items():
        if outcome in used:
            body += [_mark(marker, x + 7, 2 + 1.5 * HEADING - 8, label), _text(x + 19, HEADING + 9, label, "start")]
            x += 34 + 7.2 * len(label)
    return body


def draw_shares(events: Sequence[Event], emotions: EmotionMap) -> str:
    """Return a drawing with a bar of expression shares per course."""
    shares = expression_shares(events, emotions)
    colours = dict(zip(emotions.classes, PALETTE, strict=False)) | dict.fromkeys(emotions.focused, PALE)
    frames = Counter(event.course or UNNAMED for event in events if event.face)
    body, x = list[str](), 4.0
    for name in (name for name in emotions.classes if any(name in one for one in shares.values())):
        body.append(f'<rect x="{x:.0f}" y="4" width="14" height="14" fill="{colours[name]}"/>')
        body.append(_text(x + 19, 16, name, "start"))
        x += 34 + 7.2 * len(name)
    room = WIDE - NAMES - RIGHT - 110
    for row, (course, one) in enumerate(shares.items()):
        y, at = HEADING + row * TALL, float(NAMES)
        body.append(_text(NAMES - 8, y + 17, cut(course, NAME), "end"))
        for name in emotions.classes:
            wide = one.get(name, 0.0) * room
            if wide:
                text = escape(f"{course}: {name} {100 * one[name]:.1f} %")
                body.append(
                    f'<rect x="{at:.1f}" y="{y + 3}" width="{wide:.2f}" height="{TALL - 6}" fill="{colours[name]}" '
                    f'stroke="white"><title>{text}</title></rect>'
                )
                if wide > 34:
                    paint = "white" if colours[name] in DARK else "black"
                    body.append(_text(at + wide / 2, y + 17, f"{100 * one[name]:.0f} %", "middle", paint=paint))
            at += wide
        body.append(_text(NAMES + room + 8, y + 17, f"{frames[course]} events", "start"))
    return _wrap(body, HEADING + max(1, len(shares)) * TALL, "Shares of recognised expressions by course")


def _wrap(body: Sequence[str], tall: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDE} {tall}" width="{WIDE}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="sans-serif" font-size="13"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str, paint: str = "black", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{paint}"{weight}>{escape(text)}</text>'


def _mark(marker: str, x: float, y: float, text: str) -> str:
    """Return an alert's marker, black with a white edge."""
    path, filled = SHAPES[marker], marker not in {"x", "+"}
    fill = "black" if filled else "none"
    return (
        f'<g transform="translate({x:.1f},{y:.1f})"><title>{escape(text)}</title>'
        f'<path d="{path}" fill="none" stroke="white" stroke-width="6"/>'
        f'<path d="{path}" fill="{fill}" stroke="black" stroke-width="{1 if filled else 2.5}"/></g>'
    )


def colour_of(colour: str) -> str:
    """Return a colour as SVG takes it: matplotlib's grey ``0.72`` becomes ``#b8b8b8``."""
    return (
        colour if colour.startswith("#") else f"#{round(255 * float(colour)):02x}" + f"{round(255 * float(colour)):02x}" * 2
    )


def clock(seconds: float) -> str:
    """Return minutes and seconds, after an hour with hours."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
