"""The learning loop of Aly 2023 (Figure 6) as a transition table.

A learner learns; at each capture the expression is recognised; a positive one goes back to learning, another one to an
adjustment of the teaching, chosen by the rule that fired last, else the three in turn. Registration and login are states of
the figure only: nothing here holds accounts. Without a face the loop captures again (Figure 8), and it ends with its source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fer_cli.errors import FerError, nearest
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import Rule
from fer_cli.interaction.status import INATTENTIVE, PASSIVE, Difficulty, Focus, Involvement
from fer_cli.interaction.thresholds import Thresholds

LOGIN, LEARN, RECOGNISE, ADJUST, END = "login", "learn", "recognise", "adjust", "end"
TRANSITIONS: dict[tuple[str, str], str] = {
    (LOGIN, "ok"): LEARN,
    (LEARN, "tick"): RECOGNISE,
    (RECOGNISE, "positive"): LEARN,
    (RECOGNISE, "negative"): ADJUST,
    (RECOGNISE, "no_face"): RECOGNISE,
    (ADJUST, "done"): LEARN,
} | {(state, "end"): END for state in (LOGIN, LEARN, RECOGNISE, ADJUST, END)}
"""State and signal -> next state."""
OPTIONS = {"difficulty": "reduce_difficulty", INATTENTIVE: "insert_context", PASSIVE: "slow_pace"}
"""Outcome of a rule -> adjustment; its values in this order are the turn without a rule."""


def next_state(state: str, signal: str) -> str:
    """Return the next state; raises FerError for a signal that the state does not have."""
    if (state, signal) in TRANSITIONS:
        return TRANSITIONS[state, signal]
    known = [name for at, name in TRANSITIONS if at == state]
    if not known:
        raise FerError(f"learning loop: no state '{state}'{nearest(state, {at for at, _ in TRANSITIONS})}")
    raise FerError(f"learning loop: no signal '{signal}' in state '{state}'{nearest(signal, known)}")


@dataclass
class LearningLoop:
    """One learner's place in the loop."""

    state: str = LOGIN
    turn: int = 0
    """Adjustments so far that no rule chose."""

    def send(self, signal: str, rule: str | None = None) -> str | None:
        """Move on by a signal and return the adjustment that it leads to, if any; ``rule``: outcome of the last hit."""
        self.state = next_state(self.state, signal)
        if self.state != ADJUST or signal != "negative":
            return None
        if rule in OPTIONS:
            return OPTIONS[rule]
        options = list(OPTIONS.values())
        self.turn += 1
        return options[(self.turn - 1) % len(options)]


@dataclass(frozen=True)
class Step:
    """A recognition and where it led."""

    t: float
    student: str
    signal: str
    state: str
    """After the signal."""
    adjustment: str = ""


class LearningLoops:
    """The loops of all students of a stream; the rules of status choose their adjustments.

    A hit is used once, by the next adjustment: a difficulty, an inattentive window, or else a head that has been bowed for
    most of the lesson so far.
    """

    def __init__(self, emotions: EmotionMap, thresholds: Thresholds) -> None:
        self.positive = emotions.positive
        self._involvement = Involvement(thresholds)
        self._rules: list[Rule] = [Focus(thresholds), Difficulty(emotions, thresholds)]
        self._loops: dict[str, LearningLoop] = {}
        self._hits: dict[str, str] = {}

    def push(self, event: Event) -> Step:
        """Return the step of an event: captured, recognised, and back to learning unless there was no face."""
        for rule in self._rules:
            for finding in rule.push(event):
                if finding.outcome in OPTIONS:
                    self._hits[event.student] = finding.outcome
        self._involvement.push(event)
        loop = self._loops.get(event.student)
        if loop is None:
            loop = self._loops[event.student] = LearningLoop()
            loop.send("ok")
        if loop.state == LEARN:
            loop.send("tick")
        signal = "no_face" if event.emotion is None else "positive" if event.emotion in self.positive else "negative"
        adjustment = loop.send(signal, self._take_hit(event) if signal == "negative" else None)
        step = Step(event.t, event.student, signal, loop.state, adjustment or "")
        if loop.state == ADJUST:
            loop.send("done")
        return step

    def finish(self) -> dict[str, str]:
        """End all loops and return student -> state."""
        for loop in self._loops.values():
            loop.send("end")
        return {student: loop.state for student, loop in self._loops.items()}

    def _take_hit(self, event: Event) -> str | None:
        """Return the rule that fired last for the student since the last adjustment, else whether the head was bowed."""
        if (hit := self._hits.pop(event.student, None)) is not None:
            return hit
        share = self._involvement.share(event.student, event.course, event.lesson)
        return PASSIVE if share is not None and share > self._involvement.limits.bowed else None


def walk(events: Iterable[Event], emotions: EmotionMap, thresholds: Thresholds) -> list[Step]:
    """Return the steps of a stream of events, until it ends."""
    loops = LearningLoops(emotions, thresholds)
    steps = [loops.push(event) for event in events]
    loops.finish()
    return steps
