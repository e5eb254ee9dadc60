"""Data cards: ``data_cards/<name>.md``, YAML front matter (this model) and prose.

Only the card maps a data set's class names to ours and gives its expected number of images.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from fer_cli.config import Section
from fer_cli.config.registry import one_of
from fer_cli.errors import DataError, nearest
from fer_cli.places import shipped_folder
from fer_cli.yamls import explain, parse_yaml, read_text

CANONICAL = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
"""The basic expressions in our order; a card lists its own in this order, then any others."""


OFF = "off"
SWITCHES = {
    "clothes": "garments as surfaces of their own; off: tones on the body",
    "crop": "faces lower in some pictures, as detectors crop them; off: in the middle",
    "distance": "cameras mostly farther than a metre; off: near",
    "glasses": "glasses of some people; off: none",
    "hair": "hair and beard; off: a shaved head",
    "lens": "blur, noise and compression; off: none",
    "light": "lamps drawn for each image; off: one frontal lamp",
    "occluder": "things in front of some faces; off: none",
    "pose": "head pose; off: frontal",
    "proportions": "larger eyes, wider mouths and faces than the model's mean; off: the model's",
    "texture": "mottled skin, lines, and folds and patterns of cloth; off: one smooth colour",
}
"""Ingredient of drawn people that can be switched off (``NAME@hair=off``) -> what it is."""


class Embedded(Section):
    """Rendering options of an embedded set; each can be overridden when building."""

    recipes: Literal["basic", "learning", "order", "gesture"]
    """Family of expressions, or gestures."""
    images: int
    """Number of images, or of clips if ``frames`` is given."""
    frames: list[int] = []
    """Minimum and maximum clip length in frames; empty: stills."""
    rate: float | None = Field(None, gt=0, le=120)
    """Frames per second of clips; None: stills."""
    subjects: int
    size: int
    """Side in pixels."""
    seed: int = Field(0, ge=0)
    difficulty: float = Field(0.4, ge=0, le=1)
    """0: strong expressions, soft light, sharp camera; 1: weak ones, hard light, noise."""
    pose: float = Field(14.0, ge=0, le=60)
    """Maximum head yaw in degrees."""
    zoom: list[float] = [0.95, 1.35]
    """Range of the image side, in sides of the square around the landmarks."""
    shift: float = Field(0.05, ge=0, le=0.5)
    ages: list[float] = [0.0, 1.0]
    """Age range: 0 is a young adult, 1 an old one."""
    speech: float = Field(0.0, ge=0, le=1)
    """Fraction of images with a speaking person, whose mouth moves on top of the expression."""
    bust: bool = False
    """Whether to draw shoulders."""
    occluded: float = Field(0.08, ge=0, le=1)
    """Fraction of images with an occluded face."""
    proportions: dict[str, float] = {}
    """Class -> fraction of the images; empty: equal."""
    off: list[Annotated[str, one_of(SWITCHES)]] = []
    """Ingredients that are switched off, in alphabetical order; set by the name of the set."""


def useful_switches(options: Embedded) -> list[str]:
    """Return the switches that change the pictures of a set: of upper bodies, of faces with shoulders, or of faces."""
    if options.recipes == "gesture":
        return ["clothes", "hair", "lens", "light", "texture"]
    without = "crop" if options.bust else "clothes"
    return [switch for switch in SWITCHES if switch != without]


def check_switches(name: str, options: Embedded) -> None:
    """Raise DataError for a switch without an effect on the set."""
    useful = useful_switches(options)
    for switch in options.off:
        if switch not in useful:
            raise DataError(f"{name}: {switch}: has no effect on these pictures; switches of this set: {', '.join(useful)}")


class Reference(Section):
    """A published result on the data set (not ours)."""

    method: str
    accuracy: float = Field(ge=0, le=1)
    protocol: str
    """Training and test data; ``not stated`` where the source does not say."""
    source: str


class Card(Section):
    """The machine-readable part of a data card."""

    name: str
    pretty_name: str
    """Its title; this and the next five keys are those of the Hugging Face hub (hub-docs, ``datasetcard.md``)."""
    license: Literal["cc0-1.0", "other"] = "other"
    license_name: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")] | None = None
    """Our short name of a licence that the hub does not list."""
    task_categories: list[Literal["image-classification", "video-classification"]] = []
    size_categories: list[Literal["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"]] = []
    """Number of images, of clips for sets of clips."""
    tags: list[str] = []
    version: int = Field(ge=1)
    """Raised when the importer or the expected content changes."""
    licence: str
    """The licence in words."""
    access: str
    """How to obtain the data."""
    redistributable: bool
    classes: list[str]
    """Our labels in our order; the data set's own order is that of ``codes``."""
    folders: dict[str, str] = {}
    """The data set's word for a class (folder, file-name code or table cell) -> our label."""
    codes: dict[str, str] = {}
    """The data set's number for a class -> our label."""
    ignored: dict[str, str] = {}
    """Words and numbers that are no expression (non-face, unknown) -> why they are left out."""
    counts: dict[str, int] = {}
    """Images per label; empty if unknown or dependent on how clips are sampled."""
    split_counts: dict[str, dict[str, int]] = {}
    """Official part -> images per label."""
    layouts: list[str] = []
    """Accepted layouts, the official one first."""
    embedded: Embedded | None = None
    """Rendering options of an embedded set, which has neither folders nor fixed counts."""
    subjects: int | None = Field(None, ge=1)
    """Number of people; None if unknown."""
    sequences: int | None = Field(None, ge=1)
    image_size: int = Field(ge=8)
    """Side of the stored images in pixels."""
    colour: str
    protocol: str
    defects: list[str] = []
    references: list[Reference] = []
    citation: str

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        canonical = [label for label in CANONICAL if label in self.classes]
        if [label for label in self.classes if label in CANONICAL] != canonical:
            raise ValueError(f"classes: basic expressions must be in the order {canonical}")
        if self.embedded is not None:
            if self.folders or self.counts:
                raise ValueError("embedded: a rendered set has neither folders nor counts")
            return self
        for where, table in [("counts", self.counts), *((f"split_counts.{k}", v) for k, v in self.split_counts.items())]:
            if table and set(table) != set(self.classes):
                raise ValueError(f"{where}: needs one number per class")
        for where, names in (("folders", self.folders), ("codes", self.codes)):
            if unknown := sorted(set(names.values()) - set(self.classes)):
                raise ValueError(f"{where}: {', '.join(unknown)} is not in classes")
        if self.counts and self.split_counts:
            sums = {c: sum(table[c] for table in self.split_counts.values()) for c in self.classes}
            if sums != self.counts:
                raise ValueError(f"split_counts: sum to {sums}, counts say {self.counts}")
        return self

    def label(self, word: str, where: str) -> str | None:
        """Return our label of a word or number of the data set, None if ignored; raises DataError for an unknown one."""
        own = {name.lower(): label for name, label in (self.folders | self.codes).items()}
        key = word.strip().lower()
        if key in own:
            return own[key]
        if key in {name.lower() for name in self.ignored}:
            return None
        hint = self.words_on(word) or nearest(key, own)
        raise DataError(f"{where}: unknown class '{word}' for the card of {self.name}{hint}")

    def words_on(self, word: str) -> str:
        """Return the card's remarks on an unknown class for a message, or an empty string."""
        key = word.strip().lower()
        known = [text for text in self.defects if key.isalpha() and key in re.findall(r"[^\W\d_]+", text.lower())]
        return f"; its card says: {'; '.join(known)}" if known else ""


def card_names() -> list[str]:
    """Return the names of all shipped cards."""
    return sorted(path.stem for path in shipped_folder("data_cards").glob("*.md"))


def has_card(name: str) -> bool:
    """Return whether a data set, or the set of which it is a variant (``NAME@switch=off``), has a shipped card."""
    return name.partition("@")[0] in card_names()


def load_card(name: str) -> Card:
    """Return the card of data set ``name``, or of a variant of an embedded set: ``NAME@switch=off,switch=off``.

    Raises DataError for an unknown name or switch, and for a malformed card.
    """
    base, variant, given = name.partition("@")
    path = shipped_folder("data_cards") / f"{base}.md"
    if not path.is_file():
        raise DataError(f"no data card named '{base}'{nearest(base, card_names())}")
    card = read_card(path)
    return switch_off(card, name, given) if variant else card


def switch_off(card: Card, name: str, given: str) -> Card:
    """Return the card of variant ``name`` of an embedded set; ``given``: its switches, as in ``hair=off,light=off``."""
    if card.embedded is None:
        raise DataError(f"{name}: {card.name} is read from files and has no switches")
    off = []
    for text in given.split(","):
        switch, _, value = text.partition("=")
        if switch not in SWITCHES:
            raise DataError(f"{name}: no switch '{switch}'{nearest(switch, SWITCHES)}")
        if value != OFF:
            raise DataError(f"{name}: {switch}: the only value of a switch is {OFF}; all are on without one")
        off.append(switch)
    usual = f"{card.name}@{','.join(f'{switch}={OFF}' for switch in sorted(set(off)))}"
    if name != usual:
        raise DataError(f"{name}: name switches once, in alphabetical order: {usual}")
    options = card.embedded.model_copy(update={"off": sorted(off)})
    check_switches(name, options)
    title = f"{card.pretty_name}, without {', '.join(sorted(off))}"
    return card.model_copy(update={"name": name, "pretty_name": title, "embedded": options})


def read_card(path: Path) -> Card:
    """Return the card in a file; raises DataError if its front matter is missing or wrong."""
    parts = read_text(path, DataError).split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise DataError(f"{path.name}: a card starts with YAML front matter between two '---' lines")
    try:
        return Card.model_validate(parse_yaml(f"\n{parts[1]}", path.name, DataError))
    except ValidationError as error:
        raise DataError(f"{path.name}: {explain(error, Card)}") from None
