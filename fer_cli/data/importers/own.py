"""Cards for data that has none: classes by the words on the disk, basic expressions in our spelling and order.

A number is never taken for an expression: the public sets alone give 0 five meanings (neutral, angry, surprise, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fer_cli.data.cards import CANONICAL, Card
from fer_cli.data.files import readable_name
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

FEW = 12
"""Numbers that a message lists."""
IMAGE_SIZE = 48
"""Side in pixels unless chosen otherwise when building."""


def read_codes(text: str) -> dict[str, str]:
    """Return the data's own number or word for a class, in lower case -> name, of ``1=angry,2=disgust``.

    Raises DataError for anything else: a malformed pair, a duplicate code, a number in place of a name.
    """
    codes: dict[str, str] = {}
    for pair in text.split(","):
        code, name = (part.strip().lower() for part in pair.partition("=")[::2])
        if not code or not name:
            raise DataError(f"--codes '{cut(pair)}': not a pair; write --codes 1=angry,2=disgust")
        if code in codes:
            raise DataError(f"--codes: '{cut(code)}' is given twice, as {cut(codes[code])} and {cut(name)}; keep one")
        if (wrong := bad_name(name)) or NUMBERED.fullmatch(name):
            raise DataError(f"--codes {cut(pair)}: {wrong or 'a number does not say which expression it is'}; give a name")
        codes[code] = SPELLINGS.get(name, readable_name(name))
    return codes


def refuse_numbers(words: Iterable[str], what: str) -> None:
    """Raise DataError where any of the words is a number, naming all of them and the option that says what they mean."""
    numbers = sorted((word for word in words if NUMBERED.fullmatch(word)), key=lambda word: (len(word), word))
    if numbers:
        more = f" and {len(numbers) - FEW} more" if len(numbers) > FEW else ""
        found, pairs = ", ".join(numbers[:FEW]), ",".join(f"{number}=NAME" for number in numbers[:FEW])
        which = "a number does not say which expression it is"
        raise DataError(f"{what} {found}{more}: {which}; give --codes {pairs}{',...' * bool(more)}, names for NAME")


def own_card(
    name: str, words: Iterable[str], what: str, ignored: dict[str, str] | None = None, codes: dict[str, str] | None = None
) -> Card:
    """Return a card for a user's own data.

    ``words``: the data's own class words; ``what``: what they are and where, for messages; ``ignored``: words that stand
    for no class -> why; ``codes``: see ``read_codes``. Raises DataError when a word is a number without a code, when
    there are codes and a word has none and is no usual one, and when there are fewer than two classes.
    """
    codes = codes or {}
    there = sorted({word.strip().lower() for word in words})
    refuse_numbers((word for word in there if word not in codes), what)
    folders = {}
    for word in there:
        if wrong := bad_name(word.encode("utf-8", "replace").decode()):  # bytes that are not UTF-8 are escaped below
            raise DataError(f"{what} '{cut(readable_name(word))}': {wrong}; rename it")
        if codes and word not in codes and word not in SPELLINGS:
            raise DataError(f"{what} '{cut(readable_name(word))}': not among --codes; add it to them with its name")
        folders[word] = codes.get(word) or SPELLINGS.get(word, readable_name(word))
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
