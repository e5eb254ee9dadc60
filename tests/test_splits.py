"""Splits that keep people apart, splits that do not and say so, and exact label noise."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fer_cli.config import DataConfig
from fer_cli.data.corrupt import plant_label_noise
from fer_cli.data.listed import read_sample_table
from fer_cli.data.splits import Split, make_split
from fer_cli.errors import DataError
from fer_cli.expand import expand
from fer_cli.study import Choice, load_study


def manifest(subjects: int = 30, classes: int = 4, frames: int = 3) -> pd.DataFrame:
    rows = [
        (f"S{s:03d}_{c}_{f}", f"class{c}", f"S{s:03d}", f"{c}", "none")
        for s in range(subjects)
        for c in range(classes)
        for f in range(frames)
        if (s + c) % 3
    ]
    table = pd.DataFrame(rows, columns=["sample", "label", "subject", "sequence", "split"])
    return table.assign(name="face " + table["sample"])


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


def people(table: pd.DataFrame, part: np.ndarray) -> set[str]:
    return set(table["subject"].iloc[part])


def clips(table: pd.DataFrame, part: np.ndarray) -> set[tuple[str, str]]:
    rows = table.iloc[part]
    return set(zip(rows["subject"], rows["sequence"], strict=True))


def is_partition(table: pd.DataFrame, parts: Split) -> bool:
    return sorted(np.concatenate([parts.train, parts.val, parts.test])) == list(range(len(table)))


@settings(max_examples=25, deadline=None)
@given(st.integers(14, 30), st.integers(2, 4), st.integers(2, 3), st.integers(0, 4), st.integers(0, 3))
def test_sequence_split_keeps_clips_apart(subjects: int, classes: int, frames: int, fold: int, seed: int) -> None:
    table = manifest(subjects, classes, frames)
    parts = make_split(table, DataConfig(split="sequence", fold=fold, split_seed=seed))
    assert is_partition(table, parts)
    assert not clips(table, parts.test) & (clips(table, parts.train) | clips(table, parts.val))
    assert not clips(table, parts.val) & clips(table, parts.train)
    assert (parts.shared_sequences, parts.test_sequences) == (0, len(clips(table, parts.test)))


def test_shared_subjects_and_sequences_are_counted() -> None:
    table = manifest()
    random = make_split(table, DataConfig(split="random"))
    assert random.shared_subjects == len(people(table, random.train) & people(table, random.test)) > 0
    assert random.shared_sequences == len(clips(table, random.train) & clips(table, random.test)) > 0
    assert make_split(table, DataConfig(split="sequence")).shared_subjects > 0
    nameless = make_split(table.assign(subject="", sequence=""), DataConfig(split="random"))
    assert (nameless.shared_subjects, nameless.test_subjects) == (0, 0)
    assert (nameless.shared_sequences, nameless.test_sequences) == (0, 0)


def test_leave_one_subject_out_takes_people_in_sorted_order() -> None:
    table = manifest(subjects=11).sample(frac=1, random_state=0).reset_index(drop=True)
    for fold, person in enumerate(sorted(set(table["subject"]))):
        parts = make_split(table, DataConfig(split="loso", fold=fold))
        assert people(table, parts.test) == {person}
        assert is_partition(table, parts)
        assert not people(table, parts.train) & people(table, parts.val)
        assert (parts.shared_subjects, parts.test_subjects) == (0, 1)
    with pytest.raises(
        DataError, match=r"fold 11 does not exist: split loso has one per subject, folds \(and seeds\) 0 to 10"
    ):
        make_split(table, DataConfig(split="loso", fold=11))


def test_holdout_draws_anew_for_each_seed_stratified_and_leaks() -> None:
    table = manifest()
    tests = []
    for seed in range(10):
        parts = make_split(table, DataConfig(split="holdout", split_seed=seed))
        assert is_partition(table, parts)
        assert len(parts.test) == -(-len(table) // 5)
        shares = table["label"].iloc[parts.test].value_counts() / table["label"].value_counts()
        assert shares.between(0.15, 0.25).all()
        assert parts.shared_subjects > 0 and parts.shared_sequences > 0
        tests.append(tuple(parts.test))
    assert len(set(tests)) == 10
    assert len(make_split(table, DataConfig(split="holdout", test_fraction=0.4)).test) == -(-2 * len(table) // 5)
    with pytest.raises(DataError, match="cannot contain every class"):
        make_split(manifest(4, 3, 1).head(5), DataConfig(split="holdout"))


def published(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the manifest with whole people dealt round to official parts."""
    order = table["subject"].str[1:].astype(int)
    return table.assign(split=[names[number % len(names)] for number in order])


def test_official_parts_are_taken_as_they_are() -> None:
    table = published(manifest(), "train", "train", "val", "test")
    parts = make_split(table, DataConfig(split="official"))
    for name in ("train", "val", "test"):
        assert set(table["split"].iloc[getattr(parts, name)]) == {name}
    assert is_partition(table, parts)
    assert parts.hash == make_split(table, DataConfig(split="official", split_seed=3)).hash
    left_out = table.assign(split=table["split"].where(table.index >= 20, "none"))
    assert min(np.concatenate([(p := make_split(left_out, DataConfig(split="official"))).train, p.val, p.test])) >= 20
    with pytest.raises(DataError, match=r"data.val_fraction has no effect: the official split has a validation part"):
        make_split(table, DataConfig(split="official", val_fraction=0.3))
    with pytest.raises(DataError, match="has no public part, only test, train, val"):
        make_split(table, DataConfig(split="official", test_part="public"))


def test_validation_is_carved_from_official_training_people_or_clips() -> None:
    table = published(manifest(), "train", "train", "test")
    config = DataConfig(split="official")
    parts = make_split(table, config)
    assert set(table["split"].iloc[parts.test]) == {"test"} and len(parts.test) == (table["split"] == "test").sum()
    assert set(table["split"].iloc[np.concatenate([parts.train, parts.val])]) == {"train"}
    assert len(parts.val) and not people(table, parts.train) & people(table, parts.val)
    numbered = table.assign(
        sequence=[f"{p}{c}" for p, c in zip(table["subject"], table["sequence"], strict=True)], subject=""
    )
    parts = make_split(numbered, config)
    assert len(parts.val) and not clips(numbered, parts.train) & clips(numbered, parts.val)
    bare = table.assign(subject="", sequence="")
    assert is_partition(bare, make_split(bare, config))


@pytest.mark.parametrize("data", [pytest.param(None, marks=pytest.mark.slow), "ck48"])
def test_the_smoke_profile_of_public_private_has_room_for_its_leaks(data: str | None) -> None:
    """On tables as large as the default set and CK+48."""
    table = manifest(*{None: (600, 8, 5), "ck48": (118, 3, 3)}[data])
    runs = expand(load_study("public-private"), Choice("smoke", data, (0,)))
    splits = {run.config.data.model_dump_json(): run.config.data for run in runs}  # arms share them
    assert len(splits) == 3
    for config in splits.values():
        assert len(make_split(table, config).train)


def test_a_planted_leak_trains_on_a_part_more_and_changes_no_other() -> None:
    table = manifest()
    honest = make_split(table, DataConfig())
    for part in ("val", "test"):
        leaky = make_split(table, DataConfig(leak=part))  # type: ignore[arg-type]
        assert set(leaky.train) == set(honest.train) | set(getattr(honest, part))
        assert (leaky.val == honest.val).all()
        assert (leaky.test == honest.test).all()
        assert leaky.hash != honest.hash
        assert leaky.test_hash == honest.test_hash
        assert leaky.shared_subjects == (leaky.test_subjects if part == "test" else 0)
        assert DataConfig(leak=part).ignores_people  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="leak: the test part is 'ck48', not a part of synth-basic"):
            DataConfig(test="ck48", leak=part)  # type: ignore[arg-type]
    assert not DataConfig().ignores_people
    assert make_split(table, DataConfig(fold=1)).test_hash != honest.test_hash


def test_leaked_images_take_the_place_of_others() -> None:
    table = manifest()
    leaked = len(make_split(table, DataConfig()).test)
    few = make_split(table, DataConfig(leak="test", max_images=leaked + 6))
    assert len(few.train) == leaked + 6
    assert set(few.test) <= set(few.train)
    with pytest.raises(DataError, match=f"data.max_images: {leaked} does not exceed the {leaked} leaked images"):
        make_split(table, DataConfig(leak="test", max_images=leaked))


def test_fer2013_chooses_on_public_and_tests_on_private_or_the_other_way_in_one_paper() -> None:
    table = published(manifest(), "train", "train", "public", "private")
    parts = make_split(table, DataConfig(split="official"))
    assert [set(table["split"].iloc[part]) for part in (parts.train, parts.val, parts.test)] == [
        {"train"},
        {"public"},
        {"private"},
    ]
    leaky = make_split(table, DataConfig(split="official", test_part="public"))
    assert [set(table["split"].iloc[part]) for part in (leaky.train, leaky.val, leaky.test)] == [
        {"train"},
        {"train"},
        {"public"},
    ]
    assert len(leaky.train) + len(leaky.val) == len(parts.train)


def test_sets_that_do_not_know_what_a_split_needs() -> None:
    table = manifest()
    nameless = table.assign(subject="")
    for split in ("subject", "loso"):
        with pytest.raises(DataError, match=r"has no subjects.*use data.split: sequence, official, list"):
            make_split(nameless, DataConfig(split=split))
    some = table.assign(subject=table["subject"].where(table.index > 4, ""))
    with pytest.raises(DataError, match="5 of 240 images without a subject"):
        make_split(some, DataConfig())
    with pytest.raises(DataError, match=r"has no sequences.*cannot keep clips apart"):
        make_split(table.assign(sequence=""), DataConfig(split="sequence"))
    with pytest.raises(DataError, match=r"data.max_subjects cannot count people; remove it"):
        make_split(nameless, DataConfig(split="random", max_subjects=3))
    with pytest.raises(DataError, match="has no official parts"):
        make_split(table, DataConfig(split="official"))
    with pytest.raises(DataError, match="official part 'dev': expected train, val, test or train, public, private"):
        make_split(published(table, "train", "dev"), DataConfig(split="official"))
    with pytest.raises(DataError, match="gives no images to the test part"):
        make_split(published(table, "train", "val"), DataConfig(split="official"))
    with pytest.raises(DataError, match=r"1 groups cannot fill 7 group folds; raise data.val_fraction"):
        make_split(table.assign(split=["train", "test"] * 120, subject="S001"), DataConfig(split="official"))


def listed(folder: Path, parts: dict[str, str], **more: Any) -> DataConfig:
    path = folder / "parts.csv"
    path.write_text("sample,part\n" + "".join(f"{sample},{part}\n" for sample, part in parts.items()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return DataConfig(split="list", split_file=str(path), split_sha256=sha256, **more)


def test_listed_parts(tmp_path: Path) -> None:
    table = published(manifest(), "train", "train", "val", "test", "none")
    given = dict(zip(table["sample"], table["split"], strict=True))
    parts = make_split(table, listed(tmp_path, given))
    for name in ("train", "val", "test"):
        assert set(table["split"].iloc[getattr(parts, name)]) == {name}
    elsewhere = make_split(table, listed(tmp_path, given, test="ck48"))
    assert len(elsewhere.test) == 0 and np.array_equal(elsewhere.train, parts.train)
    some = table[table["label"] != "class0"].reset_index(drop=True)
    assert len(make_split(some, listed(tmp_path, given, classes=["class1", "class2", "class3"])).train)
    named = make_split(table, listed(tmp_path, {f"face {k}": v for k, v in given.items()}))  # as the source calls them
    assert (named.hash, named.test_hash) == (parts.hash, parts.test_hash)
    carved = make_split(table, listed(tmp_path, {k: v.replace("val", "train") for k, v in given.items()}))
    assert len(carved.val) and not people(table, carved.train) & people(table, carved.val)


def test_lists_that_are_wrong(tmp_path: Path) -> None:
    table = published(manifest(), "train", "test")
    given = dict(zip(table["sample"], table["split"], strict=True))
    first = table["sample"].iloc[0]
    for wrong, words in (
        (given | {first: "dev"}, f"sample 'face {first}': unknown part 'dev'; use train, val, test or none"),
        ({k: v for k, v in given.items() if k != first}, f"sample 'face {first}' is missing"),
        (given | {"S999": "test"}, "the data set has no sample 'S999'"),
        (given | {f"face {first}": "test"}, f"duplicate sample '{first}', also listed as 'face {first}'"),
        (dict.fromkeys(given, "test"), "gives no images to the train part"),
    ):
        with pytest.raises(DataError, match=words):
            make_split(table, listed(tmp_path, wrong))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("sample,part\nx,train,\ny,test,\n", r"not a CSV table \(.*Expected 2 fields in line 2, saw 3\)$"),
        ("sample,part,part\nx,train,test\n", "2 columns 'part'; the header must name sample and part once"),
        ("sample\nx\n", "no column 'part'"),
        ("", "not a CSV table"),
    ],
)
def test_tables_whose_cells_do_not_fit_their_header(tmp_path: Path, lines: str, words: str) -> None:
    path = tmp_path / "parts.csv"
    path.write_text(lines)
    with pytest.raises(DataError, match=words) as caught:
        read_sample_table(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), "part")
    assert "\n" not in str(caught.value)


def test_parts_of_a_run_on_another_set() -> None:
    table = published(manifest(), "train", "train", "val", "test")
    official = make_split(table, DataConfig(split="official", test="ck48"))
    assert len(official.test) == 0
    assert "test" not in set(table["split"].iloc[np.concatenate([official.train, official.val])])
    sequence = make_split(table, DataConfig(split="sequence", test="ck48"))
    assert len(sequence.train) + len(sequence.val) == len(table)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "holdout", "fold": 1}, "split holdout has no folds"),
        ({"split": "official", "fold": 1}, "split official has no folds"),
        ({"fold": 5}, "folds are 0 to 4"),
        ({"split": "loso", "test": "ck48"}, "use subject"),
        ({"split": "holdout", "test": "ck48"}, "use subject"),
        ({"split": "list"}, "needs split_file"),
        ({"split": "list", "split_file": "x"}, "split_file: requires split_sha256"),
    ],
)
def test_splits_that_make_no_sense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DataConfig(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "loso", "folds": 10},
        {"split": "official", "folds": 10},
        {"split": "random", "test_fraction": 0.3},
        {"test_part": "public"},
        {"split": "official", "test": "ck48", "test_part": "public"},
        {"split_file": "x", "split_sha256": "0" * 64},
    ],
)
def test_settings_a_split_does_not_use_are_idle(changes: dict[str, Any]) -> None:
    assert DataConfig(**changes).idle()


def test_a_validation_part_of_images_without_people_is_drawn_quickly_and_by_class() -> None:
    """290,000 images as AffectNet has them: groups of one image each would take minutes."""
    n = 60_000
    random = np.random.default_rng(0)
    manifest = pd.DataFrame({"sample": [f"{i:06d}" for i in range(n)], "label": random.choice(list("aab"), n)})
    manifest = manifest.assign(subject="", sequence="", split=np.where(np.arange(n) % 50 == 0, "test", "train"))
    began = time.process_time()
    split = make_split(manifest, DataConfig(split="official"))
    assert time.process_time() - began < 5  # group by group: over 15
    shares = [(manifest["label"].iloc[part] == "a").mean() for part in (split.train, split.val)]
    assert abs(shares[0] - shares[1]) < 1e-3 and len(split.val) == pytest.approx(n * 49 / 50 / 7, abs=3)
    few = manifest.iloc[:3000]  # three of one class: cannot fill seven folds
    few = few.assign(label=np.where(np.arange(3000) < 3, "c", "a"))
    assert len(make_split(few, DataConfig(split="official")).val)
