"""Train, validation and test parts of a run.

``subject``: stratified k-fold in which a person stands in one part only; the validation part is carved from the training
part the same way. ``random``: stratified k-fold over images, blind to people; images of one person, even of one sequence,
stand on both sides, so its scores measure memory of faces as well as expression (a leak, named in every table).
``sequence``: k-fold that keeps each clip in one part, though not each person. ``loso``: leave one subject out; fold s tests
on the s-th person in sorted order. ``holdout``: a stratified random share of the images (Sun 2024: ten repeats of 8:2),
each repeat from a split seed of its own; as blind as ``random``. ``official``: the parts in the manifest, either train,
test and perhaps val, or FER2013's train, public and private. ``list``: the parts a CSV gives. Where the latter two name no
validation part, one is carved from the training part, people kept together where they are known, else clips.

``leak`` puts the validation or the test part into the training part too, to show what figures obtained so are worth.

Where a run is tested on another set, nothing is held out of the first but a validation part; ``official`` and ``list``
still leave their own test images out.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_cli.config import DataConfig, Known
from fer_cli.data.identity import clip_codes, known_codes
from fer_cli.data.listed import keep_known, name_of, read_sample_table
from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed

PARTS = ("train", "val", "test")
FER2013 = ("train", "public", "private")
"""Official parts of a set with two test parts, of which the public one is there to choose by."""
UNUSED = "none"
"""Part of an image that stands in no part."""

GIVEN = ("official", "list")
"""Splits whose test part is not drawn."""

Pair = tuple[np.ndarray, np.ndarray]
"""Positions of the rest, and of the part taken out of it."""


@dataclass(frozen=True)
class Split:
    """Positions in the manifest, each (n,) int64 and ascending, and a hash of which sample stands where."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    hash: str
    test_hash: str
    """Of the test part alone: runs that agree in it are tested on the same images."""
    shared_subjects: int
    """People of the test part who also stand in the training part: 0 unless the split leaks; unknown people do not count."""
    test_subjects: int
    shared_sequences: int
    """Clips of the test part that also stand in the training part; images without a clip do not count."""
    test_sequences: int


def make_split(manifest: pd.DataFrame, config: DataConfig) -> Split:
    """Return the parts of fold ``config.fold``.

    Raises DataError when people, clips or images per class are too few, when the manifest does not know what the split
    is made by, or when a given part is missing.
    """
    labels = manifest["label"].to_numpy()
    train, val, test = _read_parts(manifest, config) if config.split in GIVEN else _draw_parts(manifest, config)
    if config.max_subjects is not None:
        _require(manifest, "subject", config, "data.max_subjects cannot count people")
    leaked = {"none": test[:0], "val": val, "test": test}[config.leak]
    if config.max_images is not None and len(leaked) >= config.max_images:
        raise DataError(
            f"{config.name}: data.max_images: {config.max_images} leaves no room beside {len(leaked)} leaked ones"
        )
    train = thin_training(train, labels, manifest["subject"].to_numpy(), config, len(leaked))
    train = np.concatenate([train, leaked])
    train, val, test = np.sort(train), np.sort(val), np.sort(test)
    needed = {"train": train, "val": val} | ({"test": test} if config.test is None else {})
    if empty := [name for name, part in needed.items() if not len(part)]:
        raise DataError(f"{config.name}: split {config.split} leaves no image for the {empty[0]} part")
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
    """Return at most ``max_subjects`` people's and ``max_images`` of the training positions, a class at a time in turn.

    ``taken``: how many of ``max_images`` others have.
    """
    rng = np.random.default_rng(derive_seed(config.split_seed, "thinning", config.fold))
    people = rng.permutation(np.unique(subjects[train]))[: config.max_subjects]
    train = rng.permutation(train[np.isin(subjects[train], people)])
    turn = pd.Series(train).groupby(labels[train]).cumcount().to_numpy()
    most = None if config.max_images is None else config.max_images - taken
    return np.asarray(train[np.argsort(turn, kind="stable")][:most])


def known_of(manifest: pd.DataFrame) -> Known:
    """Return what a manifest says of its images that a split can be made by."""
    people, clips = known_codes(manifest["subject"]), clip_codes(manifest)
    parts = set(manifest["split"].astype(str))
    given = frozenset() if parts & {UNUSED, ""} else frozenset(parts)
    return Known(given, *(len(np.unique(codes)) if (codes >= 0).all() else 0 for codes in (people, clips)))


def sequences_of(manifest: pd.DataFrame) -> np.ndarray:
    """Return (N,) names of clips, unique over people; "" where an image belongs to none."""
    clips = manifest["sequence"].astype(str)
    return (manifest["subject"].astype(str) + "\x1f" + clips).where(clips != "", "").to_numpy()


def _draw_parts(manifest: pd.DataFrame, config: DataConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training, validation and test positions of a split drawn by us."""
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
    """Return training, validation and test positions of a split that is given."""
    names = official_parts(manifest, config) if config.split == "official" else parts_from_file(manifest, config)
    train, val, test = (np.flatnonzero(names == part) for part in PARTS)
    for name, part in (("train", train), ("test", test)):
        if not len(part) and (name == "train" or config.test is None):
            raise DataError(f"{config.name}: split {config.split} gives no image to the {name} part")
    if config.test is not None:
        test = test[:0]
    if len(val) and config.val_fraction != DataConfig().val_fraction:
        raise DataError(f"{config.name}: data.val_fraction has no effect: the {config.split} split has a validation part")
    if not len(val):
        train, val = _carve(manifest["label"].to_numpy(), _groups(manifest, config), train, config)
    return train, val, test


def official_parts(manifest: pd.DataFrame, config: DataConfig) -> np.ndarray:
    """Return (N,) "train", "val", "test" or "none" from the manifest's split; raises DataError when that has other names."""
    names = manifest["split"].astype(str)
    kinds = set(names) - {UNUSED, ""}
    if not kinds:
        raise DataError(f"{config.name}: was published without parts; use data.split: subject, sequence, holdout or list")
    if kinds & set(FER2013[1:]) and kinds <= set(FER2013):
        chosen = {"train": "train", "public": "val", "private": "test"}
        if config.test_part == "public":
            chosen = {"train": "train", "public": "test", "private": UNUSED}
        return names.map(chosen).fillna(UNUSED).to_numpy()
    if unknown := sorted(kinds - set(PARTS)):
        raise DataError(f"{config.name}: official part '{unknown[0]}': known are {', '.join(PARTS)} or {', '.join(FER2013)}")
    if config.test_part == "public":
        raise DataError(f"{config.name}: has no public part, only {', '.join(sorted(kinds))}; leave data.test_part out")
    return names.replace("", UNUSED).to_numpy()


def parts_from_file(manifest: pd.DataFrame, config: DataConfig) -> np.ndarray:
    """Return (N,) "train", "val", "test" or "none" from ``config.split_file``, which must name every image."""
    path, sha256 = config.split_file, config.split_sha256
    assert path is not None and sha256 is not None
    listed = keep_known(read_sample_table(path, sha256, "part"), manifest, path, not config.classes)
    wrong = listed[~listed.isin([*PARTS, UNUSED])]
    if len(wrong):
        sample = name_of(wrong.index[0], manifest)
        raise DataError(f"{path}: sample '{sample}': part '{wrong.iloc[0]}' is none of train, val, test and none")
    missing = manifest["sample"][~manifest["sample"].isin(listed.index)]
    if len(missing):
        hint = f"{len(missing)} such; a part of none leaves an image out"
        raise DataError(f"{path}: sample '{name_of(missing.iloc[0], manifest)}' is not in it ({hint})")
    return manifest["sample"].map(listed).to_numpy()


def _groups(manifest: pd.DataFrame, config: DataConfig) -> np.ndarray | None:
    """Return (N,) what must stay together in folds and in the validation part: people, clips, or None for nothing.

    Raises DataError where the split needs people or clips and the manifest does not know them.
    """
    if config.split in {"random", "holdout"}:
        return None
    if config.split in {"subject", "loso"}:
        _require(manifest, "subject", config, f"data.split: {config.split} cannot keep people apart")
        return manifest["subject"].to_numpy()
    if config.split == "sequence":
        _require(manifest, "sequence", config, "data.split: sequence cannot keep clips apart")
        return clip_codes(manifest)
    people, codes = manifest["subject"].astype(str), clip_codes(manifest)
    clips = pd.Series([f"clip {code:09d}" for code in codes], manifest.index)
    groups = ("subject " + people).where(people != "", clips.where(codes >= 0, "image " + manifest["sample"]))
    return groups.to_numpy()


def _require(manifest: pd.DataFrame, column: str, config: DataConfig, problem: str) -> None:
    """Raise DataError, saying what can be done, unless every image has a ``column``."""
    unknown = int((manifest[column].astype(str) == "").sum())
    if unknown:
        known = f"no {column}s" if unknown == len(manifest) else f"{unknown} of {len(manifest)} images without a {column}"
        others = ("sequence" if column == "subject" else "subject", "official", "list", "random")
        cure = "remove it" if "max" in problem else f"use data.split: {', '.join(others[:-1])} or, where it may leak, random"
        raise DataError(f"{config.name}: has {known}, so {problem}; {cure}")


def _one_out(subjects: np.ndarray, config: DataConfig) -> Pair:
    """Return all others' positions and those of the person whose place in sorted order is ``config.fold``."""
    people = np.unique(subjects)
    if config.fold >= len(people):
        known = f"one per subject, folds (and seeds) 0 to {len(people) - 1}"
        raise DataError(f"{config.name}: fold {config.fold} does not exist: split loso has {known}")
    left_out = subjects == people[config.fold]
    return np.flatnonzero(~left_out), np.flatnonzero(left_out)


def _share_out(labels: np.ndarray, config: DataConfig) -> Pair:
    """Return the positions of a stratified random draw: the rest, and ceil(test_fraction x N) to test on."""
    counts = np.unique(labels, return_counts=True)[1]
    held_out = math.ceil(config.test_fraction * len(labels))
    if counts.min() < 2 or held_out < len(counts):
        short = f"a test part of {held_out} from {len(labels)} images cannot hold every class"
        raise DataError(f"{config.name}: {short}; raise data.test_fraction")
    from sklearn.model_selection import StratifiedShuffleSplit  # here: it takes a second to import

    seed = derive_seed(config.split_seed, "holdout") % 2**32
    draw = StratifiedShuffleSplit(1, test_size=held_out, random_state=seed)
    rest, test = next(draw.split(labels, labels))
    return np.sort(rest), np.sort(test)


def _carve(labels: np.ndarray, groups: np.ndarray | None, rest: np.ndarray, config: DataConfig) -> Pair:
    """Return training and validation positions of ``rest``: the first of round(1 / val_fraction) folds validates."""
    seed = derive_seed(config.split_seed, "validation", config.fold) % 2**32
    k = max(2, round(1 / config.val_fraction))
    return _folds(labels, groups, rest, config, k, seed, "raise data.val_fraction")[0]


def _folds(
    labels: np.ndarray, groups: np.ndarray | None, pool: np.ndarray, config: DataConfig, k: int, seed: int, cure: str
) -> list[Pair]:
    """Return ``k`` pairs (rest, part) of positions taken from ``pool``, stratified by class, ``groups`` kept together.

    Raises DataError, ending in ``cure``, where groups or images are too few.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    per_class = np.unique(labels[pool], return_counts=True)[1]
    if groups is not None and config.split in GIVEN and per_class.min() >= k and len(set(groups[pool])) == len(pool):
        groups = None  # nothing to keep together: 290,000 groups of one image take 86 s, as many images 2 s
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
        warnings.filterwarnings("ignore", "The least populated class")  # checks and tables name classes that a part lacks
        pairs = list(StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(pool, labels[pool], groups[pool]))
    return [(pool[rest], pool[part]) for rest, part in pairs]
