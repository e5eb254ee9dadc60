"""Train, validation and test parts of a run.

``subject``: stratified k-fold in which a person stands in one part only; the validation part is carved from the training
part the same way. ``random``: stratified k-fold over images, blind to people; images of one person, even of one sequence,
stand on both sides, so its scores measure memory of faces as well as expression (a leak, named in every table). Where a
run is tested on another set, nothing is held out of the first but a validation part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from fer_cli.config import DataConfig
from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed


@dataclass(frozen=True)
class Split:
    """Positions in the manifest, each (n,) int64 and ascending, and a hash of which sample stands where."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    hash: str
    shared_subjects: int
    """People of the test part who also stand in the training part: 0 unless the split leaks."""
    test_subjects: int


def make_split(manifest: pd.DataFrame, config: DataConfig) -> Split:
    """Return the parts of fold ``config.fold``; raises DataError when there are too few subjects or images per class."""
    labels = manifest["label"].to_numpy()
    subjects = manifest["subject"].to_numpy()
    seed = derive_seed(config.split_seed, "folds") % 2**32
    everything = np.arange(len(labels))
    rest, test = everything, everything[:0]
    if config.test is None:
        rest, test = _folds(labels, subjects, everything, config, config.folds, seed)[config.fold]
    val_folds = max(2, round(1 / config.val_fraction))
    val_seed = derive_seed(config.split_seed, "validation", config.fold) % 2**32
    train, val = _folds(labels, subjects, rest, config, val_folds, val_seed)[0]
    train = thinned(train, labels, subjects, config)
    train, val, test = np.sort(train), np.sort(val), np.sort(test)
    digest = hashlib.sha256()
    for part in (train, val, test):
        digest.update("\x1f".join(manifest["sample"].iloc[part]).encode() + b"\x1e")
    tested = set(subjects[test])
    return Split(train, val, test, digest.hexdigest()[:12], len(set(subjects[train]) & tested), len(tested))


def thinned(train: np.ndarray, labels: np.ndarray, subjects: np.ndarray, config: DataConfig) -> np.ndarray:
    """Return at most ``max_subjects`` people's and ``max_images`` of the training positions, a class at a time in turn."""
    rng = np.random.default_rng(derive_seed(config.split_seed, "thinning", config.fold))
    people = rng.permutation(np.unique(subjects[train]))[: config.max_subjects]
    train = rng.permutation(train[np.isin(subjects[train], people)])
    turn = pd.Series(train).groupby(labels[train]).cumcount().to_numpy()
    return np.asarray(train[np.argsort(turn, kind="stable")][: config.max_images])


def _folds(
    labels: np.ndarray, subjects: np.ndarray, pool: np.ndarray, config: DataConfig, k: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ``k`` pairs (rest, part) of positions taken from ``pool``."""
    people, per_class = len(set(subjects[pool])), np.unique(labels[pool], return_counts=True)[1].min()
    if config.split == "subject" and people < k:
        raise DataError(f"{config.name}: {people} subjects cannot fill {k} subject folds; lower data.folds")
    if config.split == "random" and per_class < k:
        raise DataError(f"{config.name}: a class of {per_class} images cannot fill {k} folds; lower data.folds")
    if config.split == "subject":
        pairs = StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(pool, labels[pool], subjects[pool])
    else:
        pairs = StratifiedKFold(k, shuffle=True, random_state=seed).split(pool, labels[pool])
    return [(pool[rest], pool[part]) for rest, part in pairs]
