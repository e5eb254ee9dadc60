"""Train, validation and test parts of a run.

``subject``: stratified k-fold with each person in one part only; the validation part is carved from the training part in the
same way. ``random``: stratified k-fold over images; images of one person, even of one sequence, are on both sides, so scores
also measure memorised faces (data leakage, reported in every table). ``sequence``: k-fold with each clip, but not each
person, in one part. ``loso``: leave one subject out; fold s tests on the s-th person in sorted order. ``holdout``: a
stratified random fraction of the images (Sun 2024: ten repeats of 8:2), each repeat with its own split seed; leaks like
``random``. ``official``: the parts in the manifest: train, test and optionally val, or FER2013's train, public and private.
``list``: the parts in a CSV. If the latter two have no validation part, one is carved from the training part, by person if
known, else clip.

``leak`` adds the validation or test part to the training part, to quantify leakage. If a run is tested on another set, only
a validation part is held out of the first; ``official`` and ``list`` still leave out their own test images.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.config import DataConfig, Known
from fer_cli.data.identity import clip_codes, known_codes
from fer_cli.data.listed import keep_known, name_of, read_sample_table
from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "val", "test")
FER2013 = ("train", "public", "private")
"""Official parts of a set with two test parts; the public one is used for model selection."""
UNUSED = "none"
"""Part of an image that is in no part."""

GIVEN = ("official", "list")
"""Splits with a fixed test part."""

Pair = tuple[np.ndarray, np.ndarray]
"""Positions of the rest and of the held-out part."""


@dataclass(frozen=True)
class Split:
    """Positions in the manifest, each (n,) int64 and ascending, and a hash of the samples per part."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    hash: str
    test_hash: str
    """Of the test part only: runs with the same one are tested on the same images."""
    shared_subjects: int
    """Known people in both the test and the training part: 0 unless the split leaks."""
    test_subjects: int
    shared_sequences: int
    """Clips in both the test and the training part."""
    test_sequences: int


def make_split(manifest: pd.DataFrame, config: DataConfig) -> Split:
    """Return the parts of fold ``config.fold``.

    Raises DataError for too few people, clips or images per class, if the manifest lacks the people or clips that the split
    needs, and for a missing part.
    """
    labels = manifest["label"].to_numpy()
    train, val, test = _read_parts(manifest, config) if config.split in GIVEN else _draw_parts(manifest, config)
    if config.max_subjects is not None:
        _require(manifest, "subject", config, "data.max_subjects cannot count people")
    val = thin(val, labels, config.max_val, "validation", config)
    test = thin(test, labels, config.max_test, "test", config)
    leaked = {"none": test[:0], "val": val, "test": test}[config.leak]
    if config.max_images is not None and len(leaked) >= config.max_images:
        raise DataError(
            f"{config.name}: data.max_images: {config.max_images} does not exceed the {len(leaked)} leaked images"
        )
    train = thin_training(train, labels, manifest["subject"].to_numpy(), config, len(leaked))
    train = np.concatenate([train, leaked])
    train, val, test = np.sort(train), np.sort(val), np.sort(test)
    needed = {"train": train, "val": val} | ({"test": test} if config.test is None else {})
    if empty := [name for name, part in needed.items() if not len(part)]:
        raise DataError(f"{config.name}: split {config.split} leaves no images for the {empty[0]} part")
    digest = hashlib.sha256()
    for part in (train, val, test):
        digest.update("\x1f".join(manifest["sample"].iloc[part]).encode() + b"\x1e")
    people, clips = manifest["subject"].to_numpy(), sequences_of(manifest)
    trained, tested = ([set(names[part]) - {""} for names in (people, clips)] for part in (train, test))
    counts = [count for ours, theirs in zip(trained, tested, strict=True) for count in (len(ours & theirs), len(theirs))]
    tested_on = hashlib.sha256("\x1f".join(manifest["sample"].iloc[test]).encode()).hexdigest()[:12]
    return Split(train, val, test, digest.hexdigest()[:12], tested_on, *counts)


def thin_training(
    train: np.ndarray, labels: np.ndarray, subjects: np.ndarray, config: DataConfig, taken: int = 0
) -> np.ndarray:
    """Return training positions of at most ``max_subjects`` people and ``max_images`` - ``taken`` images, class-balanced."""
    rng = np.random.default_rng(derive_seed(config.split_seed, "thinning", config.fold))
    people = rng.permutation(np.unique(subjects[train]))[: config.max_subjects]
    train = rng.permutation(train[np.isin(subjects[train], people)])
    return take_balanced(train, labels, None if config.max_images is None else config.max_images - taken)


def thin(positions: np.ndarray, labels: np.ndarray, most: int | None, part: str, config: DataConfig) -> np.ndarray:
    """Return at most ``most`` of the positions of a part, drawn at random, class-balanced."""
    if most is None:
        return positions
    rng = np.random.default_rng(derive_seed(config.split_seed, f"thinning {part}", config.fold))
    return take_balanced(rng.permutation(positions), labels, most)


def other_part(manifest: pd.DataFrame, classes: list[str], config: DataConfig) -> np.ndarray:
    """Return the test part in another set's ``manifest``: ascending positions of images of ``classes``, thinned."""
    labels = manifest["label"].to_numpy()
    known = np.flatnonzero(manifest["label"].isin(classes).to_numpy())
    return np.sort(thin(known, labels, config.max_test, "test", config))


def take_balanced(positions: np.ndarray, labels: np.ndarray, most: int | None) -> np.ndarray:
    """Return the first ``most`` of ``positions``, taken from the classes in turn."""
    import pandas as pd  # deferred: reports use this module without it

    turn = pd.Series(positions).groupby(labels[positions]).cumcount().to_numpy()
    return np.asarray(positions[np.argsort(turn, kind="stable")][:most])


def known_of(manifest: pd.DataFrame) -> Known:
    """Return the parts and groups of a manifest that splits can use."""
    people, clips = known_codes(manifest["subject"]), clip_codes(manifest)
    parts = set(manifest["split"].astype(str))
    given = frozenset() if parts & {UNUSED, ""} else frozenset(parts)
    return Known(given, *(len(np.unique(codes)) if (codes >= 0).all() else 0 for codes in (people, clips)))


def sequences_of(manifest: pd.DataFrame) -> np.ndarray:
    """Return (N,) names of clips, unique over people; "" for images without a clip."""
    clips = manifest["sequence"].astype(str)
    return (manifest["subject"].astype(str) + "\x1f" + clips).where(clips != "", "").to_numpy()


def _draw_parts(manifest: pd.DataFrame, config: DataConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training, validation and test positions of a random split."""
    labels, groups = manifest["label"].to_numpy(), _groups(manifest, config)
    everything = np.arange(len(labels))
    rest, test = everything, everything[:0]
    if config.test is None and config.split == "loso":
        rest, test = _one_out(manifest["subject"].to_numpy(), config)
    elif config.test is None and config.split == "holdout":
        rest, test = _share_out(labels, config)
    elif config.test is None:
        seed = derive_seed(config.split_seed, "folds") % 2**32
        rest, test = _folds(labels, groups, everything, config, config.folds, seed, "lower data.folds")[config.fold]
    return *_carve(labels, groups, rest, config), test


def _read_parts(manifest: pd.DataFrame, config: DataConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training, validation and test positions of a fixed split."""
    names = official_parts(manifest, config) if config.split == "official" else parts_from_file(manifest, config)
    train, val, test = (np.flatnonzero(names == part) for part in PARTS)
    for name, part in (("train", train), ("test", test)):
        if not len(part) and (name == "train" or config.test is None):
            raise DataError(f"{config.name}: split {config.split} gives no images to the {name} part")
    if config.test is not None:
        test = test[:0]
    if len(val) and config.val_fraction != DataConfig().val_fraction:
        raise DataError(f"{config.name}: data.val_fraction has no effect: the {config.split} split has a validation part")
    if not len(val):
        train, val = _carve(manifest["label"].to_numpy(), _groups(manifest, config), train, config)
    return train, val, test


def official_parts(manifest: pd.DataFrame, config: DataConfig) -> np.ndarray:
    """Return (N,) "train", "val", "test" or "none" from the manifest's split; raises DataError for other names."""
    names = manifest["split"].astype(str)
    kinds = set(names) - {UNUSED, ""}
    if not kinds:
        raise DataError(f"{config.name}: has no official parts; use data.split: subject, sequence, holdout or list")
    if kinds & set(FER2013[1:]) and kinds <= set(FER2013):
        chosen = {"train": "train", "public": "val", "private": "test"}
        if config.test_part == "public":
            chosen = {"train": "train", "public": "test", "private": UNUSED}
        return names.map(chosen).fillna(UNUSED).to_numpy()
    if unknown := sorted(kinds - set(PARTS)):
        raise DataError(f"{config.name}: official part '{unknown[0]}': expected {', '.join(PARTS)} or {', '.join(FER2013)}")
    if config.test_part == "public":
        raise DataError(f"{config.name}: has no public part, only {', '.join(sorted(kinds))}; remove data.test_part")
    return names.replace("", UNUSED).to_numpy()


def parts_from_file(manifest: pd.DataFrame, config: DataConfig) -> np.ndarray:
    """Return (N,) "train", "val", "test" or "none" from ``config.split_file``, which must name every image."""
    path, sha256 = config.split_file, config.split_sha256
    assert path is not None and sha256 is not None
    listed = keep_known(read_sample_table(path, sha256, "part"), manifest, path, not config.classes)
    wrong = listed[~listed.isin([*PARTS, UNUSED])]
    if len(wrong):
        sample = name_of(wrong.index[0], manifest)
        raise DataError(f"{path}: sample '{sample}': unknown part '{wrong.iloc[0]}'; use train, val, test or none")
    missing = manifest["sample"][~manifest["sample"].isin(listed.index)]
    if len(missing):
        hint = f"{len(missing)} such; use part none to leave an image out"
        raise DataError(f"{path}: sample '{name_of(missing.iloc[0], manifest)}' is missing ({hint})")
    return manifest["sample"].map(listed).to_numpy()


def _groups(manifest: pd.DataFrame, config: DataConfig) -> np.ndarray | None:
    """Return the groups (N,) to keep together in folds and validation: people or clips, or None.

    Raises DataError if the split needs people or clips that the manifest lacks.
    """
    if config.split in {"random", "holdout"}:
        return None
    if config.split in {"subject", "loso"}:
        _require(manifest, "subject", config, f"data.split: {config.split} cannot keep people apart")
        return manifest["subject"].to_numpy()
    if config.split == "sequence":
        _require(manifest, "sequence", config, "data.split: sequence cannot keep clips apart")
        return clip_codes(manifest)
    return group_images(manifest)


def group_images(manifest: pd.DataFrame) -> np.ndarray:
    """Return (N,) what each image belongs to: its person, if known, else its clip, else itself."""
    import pandas as pd  # deferred: reports use this module without it

    people, codes = manifest["subject"].astype(str), clip_codes(manifest)
    clips = pd.Series([f"clip {code:09d}" for code in codes], manifest.index)
    groups = ("subject " + people).where(people != "", clips.where(codes >= 0, "image " + manifest["sample"]))
    return groups.to_numpy()


def deal_training(labels: np.ndarray, groups: np.ndarray, k: int, config: DataConfig) -> list[Pair]:
    """Return ``k`` pairs (rest, part) of places in the training part, stratified by the given ``labels`` (n,).

    ``groups`` (n,), of ``group_images``, stay together. Raises DataError for too few groups or images per class.
    """
    seed = derive_seed(config.split_seed, "training folds", config.fold) % 2**32
    grouped = config.model_copy(update={"split": "official"})  # says groups, not subjects
    pairs = _folds(labels, groups, np.arange(len(labels)), grouped, k, seed, "lower learning.confident_folds")
    return [(np.sort(rest), np.sort(part)) for rest, part in pairs]


def _require(manifest: pd.DataFrame, column: str, config: DataConfig, problem: str) -> None:
    """Raise DataError with a remedy unless every image has a ``column``."""
    unknown = int((manifest[column].astype(str) == "").sum())
    if unknown:
        known = f"no {column}s" if unknown == len(manifest) else f"{unknown} of {len(manifest)} images without a {column}"
        others = ("sequence" if column == "subject" else "subject", "official", "list", "random")
        cure = "remove it" if "max" in problem else f"use data.split: {', '.join(others[:-1])} or (with leakage) random"
        raise DataError(f"{config.name}: has {known}, so {problem}; {cure}")


def _one_out(subjects: np.ndarray, config: DataConfig) -> Pair:
    """Return the positions of all other people and those of person number ``config.fold`` in sorted order."""
    people = np.unique(subjects)
    if config.fold >= len(people):
        known = f"one per subject, folds (and seeds) 0 to {len(people) - 1}"
        raise DataError(f"{config.name}: fold {config.fold} does not exist: split loso has {known}")
    left_out = subjects == people[config.fold]
    return np.flatnonzero(~left_out), np.flatnonzero(left_out)


def _share_out(labels: np.ndarray, config: DataConfig) -> Pair:
    """Return the positions of a stratified random split: the rest, and ceil(test_fraction x N) test images."""
    counts = np.unique(labels, return_counts=True)[1]
    held_out = math.ceil(config.test_fraction * len(labels))
    if counts.min() < 2 or held_out < len(counts):
        short = f"a test part of {held_out} out of {len(labels)} images cannot contain every class"
        raise DataError(f"{config.name}: {short}; raise data.test_fraction")
    from sklearn.model_selection import StratifiedShuffleSplit  # here: it takes a second to import

    seed = derive_seed(config.split_seed, "holdout") % 2**32
    draw = StratifiedShuffleSplit(1, test_size=held_out, random_state=seed)
    rest, test = next(draw.split(labels, labels))
    return np.sort(rest), np.sort(test)


def _carve(labels: np.ndarray, groups: np.ndarray | None, rest: np.ndarray, config: DataConfig) -> Pair:
    """Split ``rest`` into training and validation positions: the first of round(1 / val_fraction) folds validates."""
    seed = derive_seed(config.split_seed, "validation", config.fold) % 2**32
    k = max(2, round(1 / config.val_fraction))
    return _folds(labels, groups, rest, config, k, seed, "raise data.val_fraction")[0]


def _folds(
    labels: np.ndarray, groups: np.ndarray | None, pool: np.ndarray, config: DataConfig, k: int, seed: int, cure: str
) -> list[Pair]:
    """Return ``k`` pairs (rest, part) of positions in ``pool``, stratified by class with ``groups`` kept together.

    Raises DataError, ending in ``cure``, for too few groups or images.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    per_class = np.unique(labels[pool], return_counts=True)[1]
    if groups is not None and config.split in GIVEN and per_class.min() >= k and len(set(groups[pool])) == len(pool):
        groups = None  # groups of one image: 290,000 of them take 86 s, as many images 2 s
    if groups is None:
        if per_class.min() < k:
            raise DataError(f"{config.name}: a class of {per_class.min()} images cannot fill {k} folds; {cure}")
        pairs = StratifiedKFold(k, shuffle=True, random_state=seed).split(pool, labels[pool])
        return [(pool[rest], pool[part]) for rest, part in pairs]
    together = len(set(groups[pool]))
    what = {"sequence": "sequence", "official": "group", "list": "group"}.get(config.split, "subject")
    if together < k:
        raise DataError(f"{config.name}: {together} {what}s cannot fill {k} {what} folds; {cure}")
    if per_class.max() < k:
        raise DataError(f"{config.name}: classes of at most {per_class.max()} images cannot fill {k} folds; {cure}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # missing classes are reported elsewhere
        pairs = list(StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(pool, labels[pool], groups[pool]))
    return [(pool[rest], pool[part]) for rest, part in pairs]
