"""Splits that keep people apart, splits that do not and say so, and exact label noise."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.config import DataConfig
from fer_cli.data.corrupt import plant_label_noise
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError


def manifest(subjects: int = 30, classes: int = 4, frames: int = 3) -> pd.DataFrame:
    rows = [
        (f"S{s:03d}_{c}_{f}", f"class{c}", f"S{s:03d}")
        for s in range(subjects)
        for c in range(classes)
        for f in range(frames)
        if (s + c) % 3
    ]
    return pd.DataFrame(rows, columns=["sample", "label", "subject"])


@pytest.mark.parametrize("split", ["subject", "random"])
def test_folds_cover_every_image_once_and_parts_never_overlap(split: str) -> None:
    table = manifest()
    tests = []
    for fold in range(5):
        parts = make_split(table, DataConfig(split=split, fold=fold))
        whole = np.concatenate([parts.train, parts.val, parts.test])
        assert sorted(whole) == list(range(len(table)))
        assert set(table["label"].iloc[parts.val]) == set(table["label"])
        tests.append(parts.test)
    assert sorted(np.concatenate(tests)) == list(range(len(table)))


def test_subject_split_keeps_people_apart_and_random_split_does_not() -> None:
    table = manifest()
    for fold in range(5):
        parts = make_split(table, DataConfig(fold=fold))
        people = [set(table["subject"].iloc[part]) for part in (parts.train, parts.val, parts.test)]
        assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
        assert parts.shared_subjects == 0
        leaky = make_split(table, DataConfig(split="random", fold=fold))
        assert leaky.shared_subjects > 0.8 * leaky.test_subjects


def test_split_depends_on_its_seed_alone() -> None:
    table = manifest()
    hashes = {make_split(table, DataConfig(fold=1, split_seed=seed)).hash for seed in (0, 0, 1)}
    assert len(hashes) == 2


def test_too_few_subjects_or_images_for_the_folds() -> None:
    with pytest.raises(DataError, match="4 subjects cannot fill 5 subject folds"):
        make_split(manifest(subjects=4), DataConfig())
    with pytest.raises(DataError, match="a class of 2 images cannot fill 5 folds"):
        make_split(manifest(subjects=3, frames=1), DataConfig(split="random"))


def test_noise_of_thirty_percent_flips_exactly_thirty_of_a_hundred() -> None:
    codes = np.arange(100) % 7
    noisy = plant_label_noise(codes, 7, 0.3, seed=0)
    assert (noisy != codes).sum() == 30
    assert np.array_equal(noisy, plant_label_noise(codes, 7, 0.3, seed=0))
    assert not np.array_equal(noisy, plant_label_noise(codes, 7, 0.3, seed=1))


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(2, 9), st.floats(0, 0.99), st.integers(0, 99))
def test_noise_count_is_exact_and_labels_stay_valid(n: int, classes: int, rate: float, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, classes, n)
    noisy = plant_label_noise(codes, classes, rate, seed)
    assert (noisy != codes).sum() == round(rate * n)
    assert noisy.min() >= 0
    assert noisy.max() < classes


def test_noise_reaches_every_other_class_about_equally() -> None:
    noisy = plant_label_noise(np.zeros(6000, np.int64), 7, 0.9, seed=3)
    counts = np.bincount(noisy, minlength=7)[1:]
    assert counts.sum() == 5400
    assert np.abs(counts - 900).max() < 5 * np.sqrt(900)
