"""Data cards: ``data_cards/<name>.md``, YAML front matter read by this model, prose read by people.

The card is the only place that maps a data set's own class names to ours, and that says how many images it should hold.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from fer_cli.config import Section
from fer_cli.errors import DataError, nearest
from fer_cli.places import shipped_folder
from fer_cli.yamls import explain, parse_yaml, read_text

CANONICAL = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
"""The basic expressions in our order; a card lists those it has in this order, then its own."""


class Embedded(Section):
    """How an embedded set is drawn; each may be changed when it is built."""

    recipes: Literal["basic", "learning", "gesture"]
    """Family of expressions, or gestures."""
    images: int
    """Number of pictures; of clips where ``frames`` is given."""
    frames: list[int] = []
    """Shortest and longest clip in frames; empty: single pictures."""
    subjects: int
    size: int
    """Side in pixels."""
    seed: int = Field(0, ge=0)
    difficulty: float = Field(0.4, ge=0, le=1)
    """0: strong expressions, soft light, sharp camera; 1: weak ones, hard light, noise."""
    pose: float = Field(14.0, ge=0, le=60)
    """Largest yaw of the head in degrees."""
    zoom: list[float] = [0.95, 1.35]
    """Smallest and largest side of the picture, in sides of the square around the landmarks."""
    shift: float = Field(0.05, ge=0, le=0.5)
    ages: list[float] = [0.0, 1.0]
    """Youngest and oldest: 0 is a young adult, 1 an old one."""
    speech: float = Field(0.0, ge=0, le=1)
    """Share of pictures in which the person is speaking: the mouth moves on top of the expression."""
    bust: bool = False
    """Whether shoulders are drawn, for pictures that show more than the face."""
    occluded: float = Field(0.08, ge=0, le=1)
    """Share of pictures with something in front of the face."""
    proportions: dict[str, float] = {}
    """Class -> share of the images; empty: equal shares."""


class Reference(Section):
    """A published result on the data set; never ours."""

    method: str
    accuracy: float = Field(ge=0, le=1)
    protocol: str
    """What was trained on and tested on; ``not stated`` where the source does not say."""
    source: str


class Card(Section):
    """The machine-read part of a data card."""

    name: str
    title: str
    version: int = Field(ge=1)
    """Raised when the importer or the expected content changes."""
    licence: str
    access: str
    """How a reader obtains the data."""
    redistributable: bool
    classes: list[str]
    """Our label names, in our order; the data set's own order is that of ``codes``."""
    folders: dict[str, str] = {}
    """The data set's own word for a class (folder, file-name code or table cell) -> our label name."""
    codes: dict[str, str] = {}
    """The data set's own number for a class -> our label name; the only place that says what a number means."""
    ignored: dict[str, str] = {}
    """Words and numbers that stand for no expression (non-face, unknown) -> why they are left out."""
    counts: dict[str, int] = {}
    """Images per label name; empty where no count is known or it depends on how clips are sampled."""
    split_counts: dict[str, dict[str, int]] = {}
    """Official part -> images per label name."""
    layouts: list[str] = []
    """What the importer accepts, the official layout first."""
    embedded: Embedded | None = None
    """Of a set that the suite draws itself: how; such a set has neither folders nor fixed counts."""
    subjects: int | None = Field(None, ge=1)
    """People; none where the data set does not tell who is who."""
    sequences: int | None = Field(None, ge=1)
    image_size: int = Field(ge=8)
    """Side in pixels of the packed images."""
    colour: str
    protocol: str
    defects: list[str] = []
    references: list[Reference] = []
    citation: str

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        canonical = [label for label in CANONICAL if label in self.classes]
        if [label for label in self.classes if label in CANONICAL] != canonical:
            raise ValueError(f"classes: basic expressions stand in the order {canonical}")
        if self.embedded is not None:
            if self.folders or self.counts:
                raise ValueError("embedded: a drawn set has neither folders nor counts")
            return self
        for where, table in [("counts", self.counts), *((f"split_counts.{k}", v) for k, v in self.split_counts.items())]:
            if table and set(table) != set(self.classes):
                raise ValueError(f"{where}: one number per class is needed")
        for where, names in (("folders", self.folders), ("codes", self.codes)):
            if unknown := sorted(set(names.values()) - set(self.classes)):
                raise ValueError(f"{where}: {', '.join(unknown)} is not in classes")
        if self.counts and self.split_counts:
            sums = {c: sum(table[c] for table in self.split_counts.values()) for c in self.classes}
            if sums != self.counts:
                raise ValueError(f"split_counts: sum to {sums}, counts say {self.counts}")
        return self

    def label(self, word: str, where: str) -> str | None:
        """Return our label for the data set's own word or number, None for one it ignores.

        Raises DataError naming ``where`` it stands for a word that the card does not know.
        """
        own = {name.lower(): label for name, label in (self.folders | self.codes).items()}
        key = word.strip().lower()
        if key in own:
            return own[key]
        if key in {name.lower() for name in self.ignored}:
            return None
        hint = self.words_on(word) or nearest(key, own)
        raise DataError(f"{where}: class '{word}' is unknown to the card of {self.name}{hint}")

    def words_on(self, word: str) -> str:
        """Return what a message about an unknown class adds where the card speaks of it, else an empty text."""
        key = word.strip().lower()
        known = [text for text in self.defects if key.isalpha() and key in re.findall(r"[^\W\d_]+", text.lower())]
        return f"; its card says: {'; '.join(known)}" if known else ""


def card_names() -> list[str]:
    """Return the names of all shipped cards."""
    return sorted(path.stem for path in shipped_folder("data_cards").glob("*.md"))


def load_card(name: str) -> Card:
    """Return the card of data set ``name``; raises DataError for an unknown name or a malformed card."""
    path = shipped_folder("data_cards") / f"{name}.md"
    if not path.is_file():
        raise DataError(f"no data card named '{name}'{nearest(name, card_names())}")
    return read_card(path)


def read_card(path: Path) -> Card:
    """Return the card in a file; raises DataError when its front matter is missing or wrong."""
    parts = read_text(path, DataError).split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise DataError(f"{path.name}: a card starts with YAML front matter between two '---' lines")
    try:
        return Card.model_validate(parse_yaml(f"\n{parts[1]}", path.name, DataError))
    except ValidationError as error:
        raise DataError(f"{path.name}: {explain(error, Card)}") from None
