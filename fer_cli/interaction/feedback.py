"""Feedback for students and the class (Aly 2023, Figures 13 and 14): findings in words, and shares of expressions by course.

The article shows a dialogue window and one pie; here a Markdown report, and a bar per course in ``pictures.py``.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from fer_cli.escape import csv_cell, markdown
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import CLASS, Finding, merge_windows, natural
from fer_cli.interaction.loop import walk
from fer_cli.interaction.preferences import FALLS, RISES
from fer_cli.interaction.thresholds import Thresholds

NO_DATA = "no data"
CAUTION = (
    "A label says what a recogniser takes a visible expression for. It is often wrong, more often for some people than for "
    "others, and a face does not show what a student feels, understands or attends to.",
    "The rules and most thresholds are conventions that no study has validated. Use a finding as a reason to ask, never to "
    "grade or to discipline anyone.",
)
"""Sentences above every report and below every table of findings."""
HEAD = ("rule", "outcome", "student", "course", "lesson", "about", "start (s)", "end (s)", "value", "n", "advice")
UNNAMED = "(no course)"
COLUMNS = tuple(one.name for one in fields(Finding))
"""Of the CSV of all findings."""
TITLE = "# Learning status"
"""First line of the report in Markdown."""


@dataclass(frozen=True)
class Feedback:
    """What a report is made of."""

    emotions: EmotionMap
    thresholds: Thresholds
    events: Sequence[Event]
    findings: Sequence[Finding]
    source: str = ""
    dropped: Sequence[str] = field(default_factory=tuple)
    """Sentences about the file and the events that were dropped."""


def expression_shares(events: Iterable[Event], emotions: EmotionMap) -> dict[str, dict[str, float]]:
    """Return course -> class -> share of the frames with a face, which sum to 1; courses without a face are left out."""
    counts: dict[str, Counter[str]] = {}
    for event in events:
        if event.emotion is not None:
            counts.setdefault(event.course or UNNAMED, Counter())[event.emotion] += 1
    return {
        course: {name: seen[name] / seen.total() for name in emotions.classes if seen[name]}
        for course, seen in counts.items()
    }


def capture_interval(events: Sequence[Event]) -> float | None:
    """Return the median time in seconds between two events of a student, None without any."""
    last: dict[str, float] = {}
    steps = []
    for event in events:
        if event.student in last:
            steps.append(event.t - last[event.student])
        last[event.student] = event.t
    return statistics.median(steps) if steps else None


def name_student(student: str) -> str:
    """Return the name in tables."""
    return "class" if student == CLASS else student


def table_rows(findings: Iterable[Finding]) -> list[list[str]]:
    """Return the cells below ``HEAD``, windows that follow each other as one."""
    return [
        [
            one.rule, one.outcome, name_student(one.student), one.course, one.lesson, one.about,
            f"{one.start:.1f}", f"{one.end:.1f}", "–" if one.value is None else f"{one.value:.2f}", str(one.n), one.advice,
        ]
        for one in merge_windows(findings)
    ]  # fmt: skip


def findings_csv(findings: Iterable[Finding]) -> str:
    """Return all findings as CSV with full precision, a window a row; the class has an empty student."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in findings:
        writer.writerow(csv_cell("" if (cell := getattr(finding, name)) is None else cell) for name in COLUMNS)
    return out.getvalue()


def write_report(feedback: Feedback) -> str:
    """Return the report in Markdown: the class, each student, shares by course, conventions and thresholds."""
    lines = [TITLE, "", *(f"> {sentence}" for sentence in CAUTION), ""]
    if not feedback.events:
        return "\n".join([*lines, NO_DATA, ""])
    starts: dict[tuple[str, str], float] = {}
    for event in feedback.events:
        starts.setdefault((event.course, event.lesson), event.t)
    lines += [*_bullets(describe_data(feedback)), "", "## Class", "", *_tell(feedback, CLASS, starts), ""]
    for student in sorted({event.student for event in feedback.events}, key=natural):
        lines += [f"## {markdown(student)}", "", *_tell(feedback, student, starts), ""]
    lines += [
        "## Expressions by course",
        "",
        *_shares_table(feedback),
        "",
        "## Learning loop",
        "",
        *_loop_table(feedback),
        "",
    ]
    lines += ["## Conventions", "", *_bullets(feedback.emotions.conventions()), "", "## Thresholds", ""]
    return "\n".join([*lines, *_bullets(describe_thresholds(feedback.thresholds)), ""])


def _bullets(sentences: Iterable[str]) -> list[str]:
    return [f"- {markdown(one)}" for one in sentences] or [f"- {NO_DATA}"]


def describe_data(feedback: Feedback) -> list[str]:
    """Return sentences about the events: source, number, interval, what was not measured."""
    events = feedback.events
    interval, assumed = capture_interval(events), feedback.thresholds.interval_s
    sentences = [f"source: {feedback.source}"] if feedback.source else []
    sentences += feedback.dropped or [f"{len(events)} events"]
    students, lessons = {one.student for one in events}, {(one.course, one.lesson) for one in events}
    counted = [f"{len(some)} {name}{'s' * (len(some) != 1)}" for name, some in (("student", students), ("lesson", lessons))]
    sentences.append(f"{', '.join(counted)}, {feedback.emotions.name} expressions")
    if interval is not None:
        row = feedback.thresholds.difficulty.in_a_row
        sentences.append(
            f"median capture interval {interval:g} s, so that {row} frames in a row take about {row * interval:g} s"
        )
        stated = {one.interval_s for one in events if one.interval_s is not None} or {assumed}
        if all(abs(interval - one) > one / 2 for one in stated):
            sentences.append(f"the stated interval is {', '.join(f'{one:g}' for one in sorted(stated))} s: check the times")
    if all(one.head_down is None for one in events):
        sentences.append("heads were not measured: no finding about involvement")
    return sentences


def raised(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that ask for something, and trends; the others are measurements."""
    return [one for one in findings if one.advice or one.outcome in {RISES, FALLS}]


def _tell(feedback: Feedback, student: str, starts: dict[tuple[str, str], float]) -> list[str]:
    """Return what is raised about a student or the class, measurements by lesson, and preferences."""
    mine = [one for one in merge_windows(feedback.findings) if one.student == student]
    lines = _bullets([_sentence(one, starts) for one in raised(mine)] or ["nothing raised"])
    lines += ["", *_lessons_table(mine)]
    ranked = []
    for rule, words in (("preference", "courses by share of engaged frames"), ("pace", "paces by mean valence")):
        ranks = [one for one in mine if one.rule == rule and one.outcome.startswith("rank")]
        ranks.sort(key=lambda one: -(one.value or 0.0))
        if ranks:
            ranked.append(f"{words}: {', '.join(f'{one.about} {one.value:.2f} (n = {one.n})' for one in ranks)}")
    cells = [one for one in mine if one.rule == "strategy 4"]
    if cells:
        cells.sort(key=lambda one: -(one.value or 0.0))
        ranked.append(f"mean valence by content: {', '.join(f'{one.about} {one.value:.2f} (n = {one.n})' for one in cells)}")
    return lines + (["", *_bullets(ranked)] if ranked else [])


def _sentence(one: Finding, starts: dict[tuple[str, str], float]) -> str:
    """Return a finding in words, with times in minutes and seconds from the start of its lesson."""
    place = " ".join(filter(None, (one.course, one.lesson)))
    start = starts.get((one.course, one.lesson))
    when = "" if start is None or not one.lesson else f", {_clock(one.start - start)} to {_clock(one.end - start)}"
    about = f" ({one.about})" if one.about else ""
    value = "" if one.value is None or one.rule == "difficulty" else f", {one.value:.2f}"
    where = f" in {place}" if place else ""
    return f"{one.rule}: {one.outcome}{about}{where}{when}{value}, n = {one.n}{f': {one.advice}' if one.advice else ''}"


def _clock(seconds: float) -> str:
    """Return minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


MEASURES = {"engagement": "engaged", "involvement": "head bowed", "volatility": "volatility"}
"""Rule -> column of the table of lessons."""


def _lessons_table(mine: Sequence[Finding]) -> list[str]:
    """Return a Markdown table of what was measured, a row per lesson."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in mine:
        if one.rule in MEASURES:
            value = "–" if one.value is None else f"{one.value:.2f}"
            rows.setdefault((one.course, one.lesson), {})[one.rule] = f"{value} ({one.n})"
    lines = [["course", "lesson", *(f"{name} (n)" for name in MEASURES.values())], ["---"] * (len(MEASURES) + 2)]
    for (course, lesson), cells in rows.items():
        lines.append([markdown(course), markdown(lesson), *(cells.get(rule, "–") for rule in MEASURES)])
    return [f"| {' | '.join(line)} |" for line in lines]


def _shares_table(feedback: Feedback) -> list[str]:
    """Return a Markdown table of shares in %, a row per course."""
    shares = expression_shares(feedback.events, feedback.emotions)
    if not shares:
        return [NO_DATA]
    names = [name for name in feedback.emotions.classes if any(name in one for one in shares.values())]
    frames = Counter(one.course or UNNAMED for one in feedback.events if one.face)
    rows = [["course", *names, "frames"], ["---"] * (len(names) + 2)]
    for course, one in shares.items():
        cells = [f"{100 * one.get(name, 0):.1f}" for name in names]
        rows.append([markdown(course), *cells, str(frames[course])])
    return [f"| {' | '.join(row)} |" for row in rows] + ["", "Shares of the frames with a face, in %."]


def _loop_table(feedback: Feedback) -> list[str]:
    """Return how often the learning loop would have adjusted the teaching, by option."""
    steps = walk(feedback.events, feedback.emotions, feedback.thresholds)
    counts = Counter(one.adjustment for one in steps if one.adjustment)
    if not counts:
        return ["No adjustment."]
    total = counts.total()
    listed = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return _bullets([f"{total} of {len(steps)} recognitions were not positive and ask for an adjustment: {listed}"])


def describe_thresholds(thresholds: Thresholds) -> list[str]:
    """Return a sentence per rule with the values used."""
    return [
        f"{rule}: {', '.join(f'{name} {value}' for name, value in values.items())}"
        for rule, values in thresholds.model_dump(exclude={"interval_s"}).items()
    ]
