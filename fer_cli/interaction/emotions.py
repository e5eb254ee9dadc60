"""EXPRESSIONS: what the rules take the classes of a recogniser for.

The rules speak of anger, distress, enjoyment, boredom or confusion (Aly 2023, section IV-C; He 2025, section 3); few of them
are no classes of a recogniser. These maps replace them by its classes. They are conventions of ours, and every report states
them: a class says what a face looks like, not what a student feels.
"""

from __future__ import annotations

from dataclasses import dataclass

from fer_cli.errors import FerError, nearest


@dataclass(frozen=True)
class EmotionMap:
    """The classes of a recogniser in the order that settles ties, and which of them each rule counts."""

    name: str
    classes: tuple[str, ...]
    distress: frozenset[str]
    """Anger or distress: difficulty (Aly 2023, rule 2)."""
    engaged: frozenset[str]
    """Happiness or surprise: engagement and preference (rules 3 and 5)."""
    positive: frozenset[str]
    """Goes on learning without an adjustment (Figure 6)."""
    confused: frozenset[str]
    """Confusion or anxiety (He 2025, strategy 1)."""
    focused: frozenset[str]
    """Focus (strategy 2)."""
    joy: frozenset[str]
    """Enjoyment (strategy 3)."""
    bored: frozenset[str]
    """Boredom or fatigue (strategy 3)."""
    valence: dict[str, float]
    """Class -> valence in [-1, 1] (strategy 4, trends)."""

    def check(self, emotion: str) -> None:
        """Raise FerError if ``emotion`` is no class of this map, with the nearest class or the map that has it."""
        if emotion in self.valence:
            return
        others = [name for name, other in EXPRESSIONS.items() if emotion in other.classes]
        hint = f"; it is one of the {others[0]} expressions" if others else nearest(emotion, self.classes)
        raise FerError(f"'{emotion}' is none of the {self.name} expressions{hint}")

    def conventions(self) -> list[str]:
        """Return the map as sentences for a report."""

        def names(part: frozenset[str]) -> str:
            return ", ".join(name for name in self.classes if name in part)

        values = ", ".join(f"{name} {self.valence[name]:g}" for name in self.classes)
        return [
            f"anger or distress (difficulty): {names(self.distress)}",
            f"engaged (engagement, preference): {names(self.engaged)}",
            f"positive (learning loop): {names(self.positive)}",
            f"confusion or anxiety (strategy 1): {names(self.confused)}",
            f"focus (strategy 2): {names(self.focused)}; enjoyment (strategy 3): {names(self.joy)}",
            f"boredom or fatigue (strategy 3): {names(self.bored)}",
            f"valence (trend, pace, strategy 4): {values}",
        ]


def _basic() -> EmotionMap:
    """Return the map of basic expressions: fear and sadness stand for confusion and anxiety, sadness for boredom."""
    classes = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
    valence = dict.fromkeys(classes, -1.0) | {"happy": 1.0, "surprise": 1.0, "neutral": 0.0}
    return EmotionMap(
        "basic",
        classes,
        distress=frozenset({"angry", "sad", "fear"}),
        engaged=frozenset({"happy", "surprise"}),
        positive=frozenset({"happy", "surprise", "neutral"}),
        confused=frozenset({"fear", "sad"}),
        focused=frozenset({"neutral"}),
        joy=frozenset({"happy"}),
        bored=frozenset({"sad"}),
        valence=valence,
    )


def _learning() -> EmotionMap:
    """Return the map of the six learning expressions of Sun 2024, which know neither anger nor anxiety."""
    valence = {"focused": 0.2, "distracted": -0.6, "curious": 0.6, "confused": -0.4, "tired": -0.6, "happy": 1.0}
    return EmotionMap(
        "learning",
        tuple(valence),
        distress=frozenset({"confused", "tired"}),
        engaged=frozenset({"happy", "curious"}),
        positive=frozenset({"happy", "curious", "focused"}),
        confused=frozenset({"confused"}),
        focused=frozenset({"focused"}),
        joy=frozenset({"happy"}),
        bored=frozenset({"distracted", "tired"}),
        valence=valence,
    )


EXPRESSIONS: dict[str, EmotionMap] = {"basic": _basic(), "learning": _learning()}
"""Name -> map. ``contempt``, which some sets have, counts as other negative expressions."""


def expressions(name: str) -> EmotionMap:
    """Return a map by name; raises FerError with the nearest name."""
    if name not in EXPRESSIONS:
        raise FerError(f"expressions '{name}': no such set of expressions{nearest(name, EXPRESSIONS)}")
    return EXPRESSIONS[name]
