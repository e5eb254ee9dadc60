"""Which images a run sees: the set, the split, what is planted in its training labels and what is done to its images."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fer_cli.config.registry import one_of
from fer_cli.config.section import Section
from fer_cli.escape import bad_folder, bad_name, cut

CONFUSABLE = [
    ["fear", "surprise"],
    ["angry", "disgust"],
    ["sad", "neutral"],
    ["contempt", "neutral"],
    ["contempt", "happy"],
    ["sad", "fear"],
    ["angry", "sad"],
    ["focused", "confused"],
    ["distracted", "tired"],
    ["curious", "happy"],
    ["focused", "curious"],
    ["confused", "tired"],
]
"""Labels that people take for one another, either way: what asymmetric noise swaps, and our simulated annotators too."""

SplitName = Literal["subject", "random", "sequence", "loso", "holdout", "official", "list"]
K_FOLD = ("subject", "random", "sequence")
"""Splits of which ``data.folds`` says the number of folds."""

OCCLUDERS = {
    "square": "a black square at a uniform place",
    "mask": "a face mask over mouth and nose",
    "eyes": "a black bar over the eyes",
    "hand": "a hand at a uniform place",
}
"""What stands before a face, in words."""

COMPANIONS = {
    "data.label_noise": ("data.noise_kind", "data.noise_pairs", "data.noise_seed"),
    "corrupt.occlusion": ("corrupt.occluder", "corrupt.parts", "corrupt.seed"),
    "corrupt.noise": ("corrupt.parts", "corrupt.seed"),
    **{f"corrupt.{name}": ("corrupt.parts",) for name in ("light", "blur", "downscale", "jpeg")},
}
"""Setting that says how much -> settings that only say how, and so have no effect where it is off."""


class DataConfig(Section):
    """Which images, how they are split, and what is planted in the training labels."""

    name: str = "synth-basic"
    classes: list[str] = []
    """Images of these classes only, in this order; none: all of the set's."""
    test: str | None = None
    """Another set, all of which is tested on; ``name`` then gives training and validation images only."""
    max_images: int | None = Field(None, ge=1)
    """Largest number of training images, drawn evenly over classes; fewer are a part of more."""
    max_subjects: int | None = Field(None, ge=1)
    """Largest number of people in the training part; fewer are a part of more."""
    image_size: int = Field(48, ge=16, le=512)
    """Side of the square input in pixels; images are resized once, when they are loaded."""
    split: SplitName = "subject"
    """``subject``: stratified k-fold that keeps each person in one part. ``random`` ignores people and leaks.

    ``sequence``: k-fold that keeps each clip in one part, but not each person. ``loso``: each person is the test part in
    turn. ``holdout``: a random share of the images, drawn anew for each seed; ignores people. ``official``: the parts the
    set was published with. ``list``: the parts that ``split_file`` names. Studies may say ``auto``: see ``config.auto``.
    """
    folds: int = Field(5, ge=2)
    """Of the splits subject, random and sequence."""
    fold: int = Field(0, ge=0)
    split_seed: int = Field(0, ge=0)
    val_fraction: float = Field(0.15, gt=0, le=0.5)
    """Share of the training part held out to choose the checkpoint, grouped as the split is."""
    test_fraction: float = Field(0.2, gt=0, le=0.5)
    """Share of the images that ``holdout`` tests on (Sun 2024: 8:2)."""
    test_part: Literal["private", "public"] = "private"
    """Which of two official test parts is tested on (FER2013). ``private``: public chooses the checkpoint. ``public``:
    private is not used, and the validation part is carved from the training part."""
    split_file: str | None = None
    """CSV with the columns sample and part (train, val, test, or none to leave an image out) for ``list``."""
    split_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of ``split_file``, which makes its content a part of the run's identity; a study adds it by itself."""
    leak: Literal["none", "val", "test"] = "none"
    """Part whose images are trained on as well, which shows what a score is worth then; never a way to train. ``val``: so
    does who trains on the "training and validation sets" (Aly 2023 on FER2013) and still chooses by the latter. They count
    in ``max_images``, so that all train on as many; not in ``max_subjects``."""
    label_noise: float = Field(0.0, ge=0, lt=1)
    """Share of training labels replaced by another class (validation and test stay as they are)."""
    noise_kind: Literal["symmetric", "asymmetric", "file"] = "symmetric"
    """``symmetric``: the new label is any other class. ``asymmetric``: one it is taken for, by ``noise_pairs``.
    ``file``: training labels are those of ``noise_file``, where that names one."""
    noise_pairs: list[list[str]] = CONFUSABLE
    """Pairs of labels taken for one another, either way; pairs with a class the set lacks are passed over."""
    noise_file: str | None = None
    """CSV with the columns sample and label (a name), of the images whose training label is to be replaced."""
    noise_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of ``noise_file``; as ``split_sha256``."""
    noise_seed: int | None = Field(None, ge=0)
    """Seed of the planted noise; none: the run's seed, so that all arms of one seed share the same flips."""

    @model_validator(mode="after")
    def _makes_sense(self) -> DataConfig:
        for where, name in [("name", self.name), ("test", self.test), *(("classes", name) for name in self.classes)]:
            if wrong := bad_name(name) or (where != "classes" and bad_folder(name)):
                raise ValueError(f"{where}: {cut(repr(name))}: {wrong}")
        if self.split in K_FOLD and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are 0 to {self.folds - 1}")
        if self.split not in {*K_FOLD, "loso"} and self.fold:
            raise ValueError(f"fold {self.fold} does not exist: split {self.split} has no folds")
        if self.test == self.name:
            raise ValueError(f"test: '{self.test}' is the training set itself; leave test out to test on its folds")
        if self.test is not None and self.split in {"loso", "holdout"}:
            raise ValueError(f"split: {self.split} holds images out to test on, but test names a set for that; use subject")
        if self.leak != "none" and self.test is not None:
            raise ValueError(f"leak: '{self.test}' is tested on, so no part of {self.name} is; leave test out")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError("classes: at least two, none twice")
        if not self.noise_pairs or any(len(pair) != 2 or pair[0] == pair[1] for pair in self.noise_pairs):
            raise ValueError("noise_pairs: at least one pair, each of two different labels, e.g. [[fear, surprise]]")
        for what, wanted in (("noise", self.noise_kind == "file"), ("split", self.split == "list")):
            file, sha256 = (self.noise_file, self.noise_sha256) if what == "noise" else (self.split_file, self.split_sha256)
            setting = "noise_kind: file" if what == "noise" else "split: list"
            if wanted and file is None:
                raise ValueError(f"{setting} needs {what}_file, a CSV")
            if wanted and sha256 is None:
                raise ValueError(f"{what}_file: give its {what}_sha256 too, else another content would pass for this one")
        return self

    @property
    def sets(self) -> tuple[str, ...]:
        """Return the data sets a run reads."""
        return (self.name,) if self.test is None else (self.name, self.test)

    @property
    def plants_noise(self) -> bool:
        """Return whether training labels may differ from the set's."""
        return self.noise_kind == "file" or self.label_noise > 0

    @property
    def ignores_people(self) -> bool:
        """Return whether the split makes no attempt to keep a person in one part, so that it leaks where people recur."""
        return self.test is None and (self.split in {"random", "sequence", "holdout"} or self.leak != "none")

    def idle(self) -> dict[str, str]:
        """Return the settings that were given but change nothing, each with the reason."""
        kind, planted = self.noise_kind, self.label_noise > 0
        off = "noise_kind is file" if kind == "file" else "data.label_noise is 0"
        needs = {
            "label_noise": (kind != "file", "noise_kind is file"),
            "noise_seed": (kind != "file" and planted, off),
            "noise_kind": (kind == "file" or planted, off),
            "noise_pairs": (kind == "asymmetric" and planted, off if not planted else f"noise_kind is {kind}"),
            "noise_file": (kind == "file", f"noise_kind is {kind}"),
            "noise_sha256": (kind == "file", f"noise_kind is {kind}"),
            "folds": (self.split in K_FOLD, f"split {self.split} has no number of folds"),
            "test_fraction": (self.split == "holdout", f"split is {self.split}"),
            "test_part": (
                self.split == "official" and self.test is None,
                "split is not official" if self.split != "official" else "data.test is tested on",
            ),
            "split_file": (self.split == "list", f"split is {self.split}"),
            "split_sha256": (self.split == "list", f"split is {self.split}"),
        }
        given = self.model_dump(exclude_defaults=True)
        return {name: why for name, (used, why) in needs.items() if name in given and not used}


class CorruptConfig(Section):
    """What is done to images of the training and test parts, once, when they are loaded; validation images stay clean.

    The order is that of a camera: something stands before the face (``occlusion``), light is low (``light``), the lens is
    unsharp (``blur``), the sensor coarse (``downscale``) and noisy (``noise``), the file compressed (``jpeg``). Pixels are
    those of the loaded image, whose side is ``data.image_size``; values are rounded to 0-255 after each step.
    """

    parts: list[Literal["train", "test"]] = Field(["test"], min_length=1, max_length=2)
    """Whose images."""
    occlusion: float = Field(0.0, ge=0, lt=1)
    """Share of the image area that is covered; a square's side is round(sqrt(occlusion) x image side) (Fan 2025, Fig 9)."""
    occluder: Annotated[str, one_of(OCCLUDERS)] = "square"
    light: float = Field(1.0, gt=0, le=1)
    """Share of the light that is left: grey values are multiplied by it."""
    blur: float = Field(0.0, ge=0, le=64)
    """Standard deviation of a Gaussian blur in pixels."""
    downscale: float = Field(1.0, ge=1, le=64)
    """Images are shrunk to round(side / downscale) and enlarged again, both bilinear, with antialiasing."""
    noise: float = Field(0.0, ge=0, le=1)
    """Standard deviation of Gaussian noise as a share of the full range: 0.1 is 25.5 grey levels."""
    jpeg: int | None = Field(None, ge=1, le=100)
    """Quality of a JPEG compression; none: not compressed."""
    seed: int = Field(0, ge=0)
    """Of places and noise. It and the image's name say all: every run, whatever its seed, sees the same corrupted image."""

    @model_validator(mode="after")
    def _parts_once(self) -> CorruptConfig:
        if len(set(self.parts)) != len(self.parts):
            raise ValueError("parts: none twice")
        return self

    @property
    def active(self) -> bool:
        """Return whether any image is changed."""
        lossy = self.light < 1 or self.blur > 0 or self.downscale > 1 or self.jpeg is not None
        return lossy or self.occlusion > 0 or self.noise > 0

    def covered_pixels(self, side: int) -> int:
        """Return how many pixels of ``side`` x ``side`` are covered: by a square exactly, by other shapes at least."""
        if self.occluder == "square":
            return round(math.sqrt(self.occlusion) * side) ** 2
        return round(self.occlusion * side * side)

    def idle(self, side: int) -> dict[str, str]:
        """Return the settings that were given but change nothing in images of ``side`` pixels, each with the reason."""
        placed = self.occlusion > 0 and self.occluder in {"square", "hand"}
        needs = {
            "occlusion": (self.covered_pixels(side) > 0, f"it covers no pixel of {side} x {side}"),
            "occluder": (self.occlusion > 0, "corrupt.occlusion is 0"),
            "downscale": (round(side / self.downscale) != side, f"{side} pixels stay {side}"),
            "parts": (self.active, "nothing is corrupted"),
            "seed": (placed or self.noise > 0, "nothing is drawn at random"),
        }
        given = self.model_dump(exclude_defaults=True)
        return {name: why for name, (used, why) in needs.items() if name in given and not used}
