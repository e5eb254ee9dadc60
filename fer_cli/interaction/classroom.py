"""A simulated class with planted episodes, from a seed: an example, and what the tests hold the rules against.

SIMULATION: expressions are drawn from fixed shares, one frame a second. Nothing in it stems from students.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fer_cli.interaction.courses import Course
from fer_cli.interaction.events import Event

COURSE = "signals"
COURSES = (
    Course(COURSE, "Ada", "engineering"),
    Course("circuits", "Ada", "engineering"),
    Course("control", "Grace", "engineering"),
    Course("poetry", "Emily", "arts"),
)
LESSON_S, BREAK_S = 300, 86_400
"""Seconds of a lesson, and from the start of one to that of the next."""
TOPICS = ("sampling", "convolution", "filters")
ACTIVITIES = ("lecture", "exercise", "discussion")
"""Topic and activity change every third of a lesson."""
PACES = ("slow", "fast", "slow")
"""Pace by lesson."""
CALM = {"neutral": 0.84, "happy": 0.08, "surprise": 0.04, "disgust": 0.04}
"""Class shares without an episode: neither distress, nor confusion or anxiety, nor boredom."""
DISCUSSION = CALM | {"happy": 0.64, "neutral": 0.28}
"""The class enjoys the last third, planted for strategy 3."""
LEARNING = {
    "neutral": "focused", "happy": "happy", "surprise": "curious",
    "disgust": "distracted", "fear": "confused", "sad": "tired",
}  # fmt: skip
"""Basic expression -> learning expression in its place."""
SPREAD = 0.7
"""Probability of the recognised class; the rest is shared by the others."""


@dataclass(frozen=True)
class Episode:
    """What is planted: one kind, who has it, in which lesson (from 1), from second ``start`` to before ``end`` of it."""

    kind: str
    students: tuple[str, ...]
    lesson: int
    start: int
    end: int


def episodes(names: tuple[str, ...]) -> tuple[Episode, ...]:
    """Return the planted episodes of a class of at least six students.

    A row of 30 sad frames; a window of 10 s without a face in 6 frames; one without frames in 6; heads bowed for 60 % of a
    lesson; more than half of the class afraid for 26 s; a student whose expression alternates every 30 s.
    """
    most = names[: len(names) // 2 + 1]
    return (
        Episode("difficulty", names[:1], 1, 120, 150),
        Episode("inattentive", names[1:2], 1, 50, 56),
        Episode("technical", names[2:3], 2, 70, 76),
        Episode("passive", names[3:4], 2, 0, LESSON_S * 3 // 5),
        Episode("confused", most, 3, 120, 146),
        Episode("volatile", names[4:5], 1, 0, LESSON_S),
    )


def simulate_class(
    students: int = 8, lessons: int = 3, seed: int = 0, kind: str = "basic"
) -> tuple[list[Event], tuple[Episode, ...]]:
    """Return the events of a class in order of time, and what is planted in them; episodes of later lessons are left out.

    ``kind``: ``basic`` or ``learning`` expressions.
    """
    names = tuple(f"student {number + 1:02d}" for number in range(students))
    planted = tuple(one for one in episodes(names) if one.lesson <= lessons)
    rng = np.random.default_rng(seed)
    events = [
        event
        for lesson in range(1, lessons + 1)
        for second in range(LESSON_S)
        for event in _frame(names, lesson, second, planted, rng, LEARNING if kind == "learning" else {})
    ]
    return events, planted


def _frame(
    names: tuple[str, ...],
    lesson: int,
    second: int,
    planted: tuple[Episode, ...],
    rng: np.random.Generator,
    renamed: dict[str, str],
) -> Iterator[Event]:
    """Yield the events of all students at one second of a lesson; ``renamed``: class -> class that replaces it."""
    part = second * len(TOPICS) // LESSON_S
    shares = DISCUSSION if ACTIVITIES[part] == "discussion" else CALM
    drawn = rng.choice(list(shares), size=len(names), p=list(shares.values()))
    for name, usual in zip(names, drawn.tolist(), strict=True):
        active = {
            one.kind for one in planted if name in one.students and one.lesson == lesson and one.start <= second < one.end
        }
        emotion = renamed.get(drawn_one := _expression(active, usual, second), drawn_one)
        face = not active & {"inattentive", "technical"}
        yield Event(
            t=float((lesson - 1) * BREAK_S + second),
            student=name,
            course=COURSE,
            topic=TOPICS[part],
            activity=ACTIVITIES[part],
            lesson=f"lesson {lesson}",
            pace=PACES[(lesson - 1) % len(PACES)],
            frame_ok="technical" not in active,
            face=face,
            emotion=emotion if face else None,
            probabilities=_probabilities(emotion, list(renamed.values()) or list(LEARNING)) if face else None,
            head_down="passive" in active if face else None,
            interval_s=1.0,
        )


def _expression(active: set[str], usual: str, second: int) -> str:
    """Return the expression that the episodes ask for, else the usual one."""
    if "difficulty" in active:
        return "sad"
    if "confused" in active:
        return "fear"
    if "volatile" in active:
        return ("neutral", "happy")[second // 30 % 2]
    return usual


def _probabilities(emotion: str, classes: list[str]) -> dict[str, float]:
    """Return probabilities of the classes with the recognised one first."""
    others = [name for name in classes if name != emotion]
    return {emotion: SPREAD} | dict.fromkeys(others, round((1 - SPREAD) / len(others), 6))
