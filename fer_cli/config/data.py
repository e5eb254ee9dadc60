"""Data settings of a run: data set, split, label noise and image corruption."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

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
"""Labels that people confuse, in either direction: swapped by asymmetric noise and by simulated annotators."""

SplitName = Literal["subject", "random", "sequence", "loso", "holdout", "official", "list"]
K_FOLD = ("subject", "random", "sequence")
"""Splits with ``data.folds`` folds."""

OCCLUDERS = {
    "square": "a black square at a uniform place",
    "mask": "a face mask over mouth and nose",
    "eyes": "a black bar over the eyes",
    "hand": "a hand at a uniform place",
}
"""Occluder -> description."""

COMPANIONS = {
    "data.label_noise": ("data.noise_kind", "data.noise_pairs", "data.noise_seed"),
    "corrupt.occlusion": ("corrupt.occluder", "corrupt.parts", "corrupt.seed"),
    "corrupt.noise": ("corrupt.parts", "corrupt.seed"),
    **{f"corrupt.{name}": ("corrupt.parts",) for name in ("light", "blur", "downscale", "jpeg")},
}
"""Setting -> settings that only modify it and have no effect if it is off."""


class DataConfig(Section):
    """Which images, how they are split, and which label noise is added."""

    name: str = "synth-basic"
    classes: list[str] = []
    """Only images of these classes, in this order; empty: all classes of the set."""
    test: str | None = None
    """Another set that serves as test part in full; ``name`` then provides training and validation images only."""
    max_images: int | None = Field(None, ge=1)
    """Maximum number of training images, balanced over classes; smaller subsets are nested in larger ones."""
    max_val: int | None = Field(None, ge=1)
    """Maximum number of validation images, balanced over classes."""
    max_test: int | None = Field(None, ge=1)
    """Maximum number of test images, balanced over classes; metrics are then those of equally frequent classes."""
    max_subjects: int | None = Field(None, ge=1)
    """Maximum number of people in the training part; smaller subsets are nested in larger ones."""
    image_size: int = Field(48, ge=16, le=512)
    """Side of the square input in pixels; images are resized once, on loading."""
    frames: int = Field(16, ge=1, le=256)
    """Frames per clip, evenly spaced in time, for networks on clips; shorter clips repeat frames. 1: the middle frame."""
    frame_order: Literal["given", "shuffled"] = "given"
    """``shuffled``: the frames of every clip, in all parts, are in an order drawn once from the run's seed and the clip's
    name, as a control that cannot use the order."""
    landmarks: Literal["truth", "dlib", "fallback"] = "truth"
    """Landmarks from which boxes of regions of the face are made: the true ones of embedded people, dlib's (extra
    ``landmarks``), or none, with boxes at fixed places in the detected face."""
    split: SplitName = "subject"
    """``subject``: stratified k-fold with each person in one part. ``random``: ignores people, with leakage.

    ``sequence``: k-fold with each clip, but not each person, in one part. ``loso``: leave one subject out. ``holdout``: a
    random test part for each seed, ignoring people. ``official``: the published parts. ``list``: the parts in
    ``split_file``. Studies may use ``auto``: see ``config.auto``.
    """
    folds: int = Field(5, ge=2)
    """For the splits subject, random and sequence."""
    fold: int = Field(0, ge=0)
    split_seed: int = Field(0, ge=0)
    val_fraction: float = Field(0.15, gt=0, le=0.5)
    """Fraction of the training part held out for checkpoint selection, grouped like the split."""
    test_fraction: float = Field(0.2, gt=0, le=0.5)
    """Test fraction of ``holdout`` (Sun 2024: 8:2)."""
    test_part: Literal["private", "public"] = "private"
    """Which of two official test parts to test on (FER2013). ``private``: public selects the checkpoint. ``public``:
    private is unused, and the validation part is taken from the training part."""
    split_file: str | None = None
    """For ``list``: CSV with the columns sample and part (train, val, test, or none to exclude an image)."""
    split_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of ``split_file``, which makes its content part of the run id; studies add it automatically."""
    leak: Literal["none", "val", "test"] = "none"
    """Part that is also trained on, to measure the effect of leakage; never for proper training. ``val`` is training on the
    "training and validation sets" (Aly 2023 on FER2013) and selecting on the latter. The images count towards
    ``max_images``, so that training sizes are equal, but not towards ``max_subjects``."""
    label_noise: float = Field(0.0, ge=0, lt=1)
    """Fraction of training labels replaced by another class; validation and test labels do not change.

    With ``noise_kind: uncertain``, the fraction of training images that are degraded and get a label at random."""
    noise_kind: Literal["symmetric", "asymmetric", "uncertain", "file"] = "symmetric"
    """``symmetric``: the new label is any other class. ``asymmetric``: a confusable one, by ``noise_pairs``. ``uncertain``:
    the image is degraded by blur, low light, occlusion or down-scaling, and its label is any class, its own included.
    ``file``: the label in ``noise_file``, for the images that it lists."""
    noise_pairs: list[list[str]] = CONFUSABLE
    """Pairs of confusable labels, in either direction; pairs with a class the set lacks are skipped."""
    noise_file: str | None = None
    """CSV with the columns sample and label (a name) for the images whose training label is replaced."""
    noise_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of ``noise_file``; like ``split_sha256``."""
    noise_seed: int | None = Field(None, ge=0)
    """Seed of the label noise; none: the run's seed, so that all arms of a seed share the same flips."""

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
            raise ValueError(f"test: '{self.test}' is the training set itself; remove test to use its folds")
        if self.test is not None and self.split in {"loso", "holdout"}:
            raise ValueError(f"split: {self.split} holds out test images, but the test part is the set in test; use subject")
        if self.leak != "none" and self.test is not None:
            raise ValueError(f"leak: the test part is '{self.test}', not a part of {self.name}; remove test")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError("classes: at least two are required, duplicates are not allowed")
        if not self.noise_pairs or any(len(pair) != 2 or pair[0] == pair[1] for pair in self.noise_pairs):
            raise ValueError("noise_pairs: at least one pair, each of two different labels, e.g. [[fear, surprise]]")
        for what, wanted in (("noise", self.noise_kind == "file"), ("split", self.split == "list")):
            file, sha256 = (self.noise_file, self.noise_sha256) if what == "noise" else (self.split_file, self.split_sha256)
            setting = "noise_kind: file" if what == "noise" else "split: list"
            if wanted and file is None:
                raise ValueError(f"{setting} needs {what}_file, a CSV")
            if wanted and sha256 is None:
                raise ValueError(f"{what}_file: requires {what}_sha256, so that changed content is detected")
        return self

    @property
    def sets(self) -> tuple[str, ...]:
        """Return the data sets a run reads."""
        return (self.name,) if self.test is None else (self.name, self.test)

    @property
    def plants_noise(self) -> bool:
        """Return whether training labels may differ from the set's labels."""
        return self.noise_kind == "file" or self.label_noise > 0

    @property
    def degrades(self) -> bool:
        """Return whether some training images are degraded."""
        return self.noise_kind == "uncertain" and self.label_noise > 0

    def wrong_share(self, classes: int) -> float:
        """Return the expected share of wrong training labels among ``classes`` classes, without those of a file."""
        return self.label_noise * (1 - 1 / classes) if self.noise_kind == "uncertain" else self.label_noise

    @property
    def ignores_people(self) -> bool:
        """Return whether the split may put a person into several parts, with leakage if people recur."""
        return self.test is None and (self.split in {"random", "sequence", "holdout"} or self.leak != "none")

    def idle(self) -> dict[str, str]:
        """Return given settings without effect -> reason."""
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
    """Corruption of training and test images, applied once on loading; validation images stay clean.

    Steps follow the imaging process: ``occlusion``, low ``light``, lens ``blur``, coarse sensor (``downscale``), sensor
    ``noise``, ``jpeg`` compression. Pixels are those of the loaded image, whose side is ``data.image_size``; values are
    rounded to 0-255 after each step.
    """

    parts: list[Literal["train", "test"]] = Field(["test"], min_length=1, max_length=2)
    occlusion: float = Field(0.0, ge=0, lt=1)
    """Covered fraction of the image area; a square's side is round(sqrt(occlusion) x image side) (Fan 2025, Fig 9)."""
    occluder: Annotated[str, one_of(OCCLUDERS)] = "square"
    light: float = Field(1.0, gt=0, le=1)
    """Factor on grey values."""
    blur: float = Field(0.0, ge=0, le=64)
    """Standard deviation of a Gaussian blur in pixels."""
    downscale: float = Field(1.0, ge=1, le=64)
    """Images are shrunk to round(side / downscale) and enlarged again, both bilinear with antialiasing."""
    noise: float = Field(0.0, ge=0, le=1)
    """Standard deviation of Gaussian noise as a fraction of the full range: 0.1 is 25.5 grey levels."""
    jpeg: int | None = Field(None, ge=1, le=100)
    """JPEG quality; none: no compression."""
    seed: int = Field(0, ge=0)
    """Seed of positions and noise; they depend on it and the sample name only, so all runs see the same corrupted image."""

    @field_validator("parts")
    @classmethod
    def _in_order(cls, parts: list[Literal["train", "test"]]) -> list[Literal["train", "test"]]:
        if len(set(parts)) != len(parts):
            raise ValueError("duplicates are not allowed")
        return sorted(parts, key=["train", "test"].index)  # any order is the same run

    @property
    def active(self) -> bool:
        """Return whether any corruption is on."""
        lossy = self.light < 1 or self.blur > 0 or self.downscale > 1 or self.jpeg is not None
        return lossy or self.occlusion > 0 or self.noise > 0

    def covered_pixels(self, side: int) -> int:
        """Return the number of covered pixels of ``side`` x ``side``: exact for squares, a minimum for other shapes."""
        if self.occluder == "square":
            return round(math.sqrt(self.occlusion) * side) ** 2
        return round(self.occlusion * side * side)

    def idle(self, side: int) -> dict[str, str]:
        """Return given settings without effect on images of ``side`` pixels -> reason."""
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
