"""Cards for data that has none: classes by the words on the disk, basic expressions in our spelling and order.

A number is never taken for an expression: the public sets alone give 0 five meanings (neutral, angry, surprise, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fer_cli.data.cards import CANONICAL, Card
from fer_cli.data.files import readable
from fer_cli.errors import DataError
from fer_cli.escape import bad_name, cut

SPELLINGS = {
    "angry": "angry",
    "anger": "angry",
    "disgust": "disgust",
    "disgusted": "disgust",
    "fear": "fear",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happy": "happy",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "sad": "sad",
    "sadness": "sad",
    "surprise": "surprise",
    "surprised": "surprise",
    "suprise": "surprise",
    "suprised": "surprise",
    "neutral": "neutral",
    "neutrality": "neutral",
    "contempt": "contempt",
    "contemptuous": "contempt",
}
"""Words in use for the basic expressions, two common slips of the pen among them -> our label."""

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Words in use for the parts of a split -> ours."""

NUMBERED = re.compile(r"(class|label|emotion|expression|category|c|e)?[ _-]*[+-]?\d+(\.\d*)?")
"""A number, also one dressed up as a word."""

IMAGE_SIZE = 48
"""Side in pixels unless chosen otherwise when building."""


def own_card(name: str, words: Iterable[str], what: str, ignored: dict[str, str] | None = None) -> Card:
    """Return a card for a user's own data.

    ``words``: the data's own class words; ``what``: what they are and where, for messages; ``ignored``: words that stand
    for no class -> why. Raises DataError when a word is a number, and when there are fewer than two classes.
    """
    folders = {}
    for word in sorted({word.strip().lower() for word in words}):
        if wrong := bad_name(word.encode("utf-8", "replace").decode()):  # bytes that are not UTF-8 are escaped below
            raise DataError(f"{what} '{cut(readable(word))}': {wrong}; rename it")
        if NUMBERED.fullmatch(word):
            raise DataError(f"{what} '{word}': a number does not say which expression it is; give names, or a code table")
        folders[word] = SPELLINGS.get(word, readable(word))
    labels = set(folders.values())
    if len(labels) < 2:
        raise DataError(f"{what}: {', '.join(labels) or 'nothing'} found, at least two classes are needed")
    return Card(
        name=name,
        title=f"{name} (own data)",
        version=1,
        licence="unknown",
        access="own data",
        redistributable=False,
        classes=[label for label in CANONICAL if label in labels] + sorted(labels - set(CANONICAL)),
        folders=folders,
        ignored=ignored or {},
        image_size=IMAGE_SIZE,
        colour="as the files have it",
        protocol="none given",
        citation="none given",
    )


def why_ignored(card: Card, word: str) -> str:
    """Return why the card leaves out a word for which ``card.label`` gives None."""
    return {own.lower(): why for own, why in card.ignored.items()}[word.strip().lower()]
