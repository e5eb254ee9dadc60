"""What the rules find, and how they are fed: one event at a time, so that a live stream and a file give the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from fer_cli.interaction.events import Event

CLASS = ""
"""Student of findings about the whole class."""
NOTHING: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One result of a rule."""

    rule: str
    outcome: str
    student: str
    """Empty for the class."""
    start: float
    end: float
    """Seconds: times of the first and last frame that it rests on, or of its window."""
    value: float | None
    """The measured quantity; None without data."""
    n: int
    """Frames, windows or lessons that it rests on."""
    course: str = ""
    lesson: str = ""
    about: str = ""
    """Topic, activity, course or pace."""
    advice: str = ""


class Rule(Protocol):
    """A rule over a stream of events."""

    def push(self, event: Event) -> Sequence[Finding]:
        """Return what is found with the next event; the times of a student's events increase."""
        ...

    def finish(self) -> Sequence[Finding]:
        """Return what is found at the end of the stream."""
        ...


@dataclass
class Session:
    """A student in one lesson of a course, counted: ``hits`` of ``n`` frames."""

    start: float
    end: float
    hits: int = 0
    n: int = 0
    total: float = 0.0
    """Sum of valences."""

    @property
    def share(self) -> float | None:
        """Return hits / n, or None without frames."""
        return self.hits / self.n if self.n else None


class Monitor:
    """Rules fed together, by any number of events at a time."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)

    def push(self, events: Iterable[Event]) -> list[Finding]:
        """Return what the rules find with the next events."""
        return [finding for event in events for rule in self.rules for finding in rule.push(event)]

    def finish(self) -> list[Finding]:
        """Return what the rules find at the end."""
        return [finding for rule in self.rules for finding in rule.finish()]


def find(events: Iterable[Event], rules: Iterable[Rule]) -> list[Finding]:
    """Return all that rules find in a stream, in order of rule, class before students, and start."""
    monitor = Monitor(rules)
    found = [*monitor.push(events), *monitor.finish()]
    return sorted(found, key=lambda one: (one.rule, one.student, one.start, one.end, one.outcome, one.about))


def merge_windows(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in which windows that follow each other with the same outcome are one; values are their mean."""
    merged: list[Finding] = []

    def key(one: Finding) -> tuple[str, ...]:
        return one.rule, one.student, one.course, one.lesson, one.outcome, one.about, one.advice

    for _, group in groupby(findings, key):
        for one in group:
            last = merged[-1] if merged else None
            if last is None or one.rule != "focus" or key(last) != key(one) or abs(one.start - last.end) > 1e-6:
                merged.append(one)
                continue
            share = (last.value or 0) * (last.end - last.start) + (one.value or 0) * (one.end - one.start)
            value = share / (one.end - last.start)
            merged[-1] = Finding(
                one.rule, one.outcome, one.student, last.start, one.end, value, last.n + one.n,
                one.course, one.lesson, one.about, one.advice,
            )  # fmt: skip
    return merged


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts s2 before s10."""
    parts = re.split(r"(\d+)", name)
    return [(0, len(part.lstrip("0")), part) if part.isdecimal() else (1, 0, part) for part in parts]
