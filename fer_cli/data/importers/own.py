"""Cards for data without one: classes named by the words on disk, basic expressions in our spelling and order.

Numbers need codes: 0 alone has five meanings in the public sets (neutral, angry, surprise, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fer_cli.data.cards import CANONICAL, Card
from fer_cli.data.files import readable_name
from fer_cli.errors import DataError
from fer_cli.escape import bad_name, cut

SPELLINGS = {
    "angry": "angry", "anger": "angry", "disgust": "disgust", "disgusted": "disgust",
    "fear": "fear", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happy": "happy", "happiness": "happy", "joy": "happy", "joyful": "happy", "sad": "sad", "sadness": "sad",
    "surprise": "surprise", "surprised": "surprise", "suprise": "surprise", "suprised": "surprise",
    "neutral": "neutral", "neutrality": "neutral", "contempt": "contempt", "contemptuous": "contempt",
}  # fmt: skip
"""Common names of the basic expressions, including two misspellings -> our label."""

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
PARTS |= {"test": "test", "testing": "test"}
"""Common names of the parts of a split -> ours."""

NUMBERED = re.compile(r"(class|label|emotion|expression|category|c|e)?[ _-]*[+-]?\d+(\.\d*)?")
"""A number, possibly with a prefix such as ``class``."""

FEW = 12
"""Numbers listed in a message."""
IMAGE_SIZE = 48
"""Default side in pixels."""


def read_codes(text: str) -> dict[str, str]:
    """Return code (number or word in lower case) -> label from ``1=angry,2=disgust``.

    Raises DataError for a malformed pair, a duplicate code, and a number instead of a name.
    """
    codes: dict[str, str] = {}
    for pair in text.split(","):
        code, name = (part.strip().lower() for part in pair.partition("=")[::2])
        if not code or not name:
            raise DataError(f"--codes '{cut(pair)}': not a pair; write --codes 1=angry,2=disgust")
        if code in codes:
            raise DataError(f"--codes: '{cut(code)}' is given twice, as {cut(codes[code])} and {cut(name)}; keep one")
        if (wrong := bad_name(name)) or NUMBERED.fullmatch(name):
            raise DataError(f"--codes {cut(pair)}: {wrong or 'a number does not identify an expression'}; give a name")
        codes[code] = SPELLINGS.get(name, readable_name(name))
    return codes


def refuse_numbers(words: Iterable[str], what: str) -> None:
    """Raise DataError if any word is a number, suggesting ``--codes``."""
    numbers = sorted((word for word in words if NUMBERED.fullmatch(word)), key=lambda word: (len(word), word))
    if numbers:
        more = f" and {len(numbers) - FEW} more" if len(numbers) > FEW else ""
        found, pairs = ", ".join(numbers[:FEW]), ",".join(f"{number}=NAME" for number in numbers[:FEW])
        which = "a number does not identify an expression"
        raise DataError(f"{what} {found}{more}: {which}; give --codes {pairs}{',...' * bool(more)}, names for NAME")


def own_card(
    name: str, words: Iterable[str], what: str, ignored: dict[str, str] | None = None, codes: dict[str, str] | None = None
) -> Card:
    """Return a card for a user's own data.

    ``words``: class words in the data; ``what``: their description in messages; ``ignored``: words that are no class ->
    reason; ``codes``: see ``read_codes``. Raises DataError for a number without a code, an unknown word if there are codes,
    and fewer than two classes.
    """
    codes = codes or {}
    there = sorted({word.strip().lower() for word in words})
    refuse_numbers((word for word in there if word not in codes), what)
    folders = {}
    for word in there:
        if wrong := bad_name(word.encode("utf-8", "replace").decode()):  # invalid UTF-8 is escaped below
            raise DataError(f"{what} '{cut(readable_name(word))}': {wrong}; rename it")
        if codes and word not in codes and word not in SPELLINGS:
            raise DataError(f"{what} '{cut(readable_name(word))}': not in --codes; add it with its name")
        folders[word] = codes.get(word) or SPELLINGS.get(word, readable_name(word))
    labels = set(folders.values())
    if len(labels) < 2:
        raise DataError(f"{what}: found {', '.join(labels) or 'nothing'}; at least two classes are needed")
    return Card(
        name=name,
        pretty_name=f"{name} (own data)",
        version=1,
        licence="unknown",
        access="own data",
        redistributable=False,
        classes=[label for label in CANONICAL if label in labels] + sorted(labels - set(CANONICAL)),
        folders=folders,
        ignored=ignored or {},
        image_size=IMAGE_SIZE,
        colour="as in the files",
        protocol="none given",
        citation="none given",
    )


def why_ignored(card: Card, word: str) -> str:
    """Return the card's reason for ignoring a word."""
    return {own.lower(): why for own, why in card.ignored.items()}[word.strip().lower()]
