"""Combined sets: each source's official parts, a part for a whole source, and what a combined set takes the place of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fer_cli.config import DataConfig
from fer_cli.data.build import build_own
from fer_cli.data.combine import combine_sets
from fer_cli.data.manifest import load_info, load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from tests.sets import rewrite
from tests.trees import picture, write

Fer = Callable[..., Any]


def listed_set(root: Path, name: str, parts: str, images: int = 12, classes: tuple[str, str] = ("happy", "sad")) -> None:
    """Build a set of two classes from a table; image n has the n-th of ``parts`` in turn."""
    folder, cycle = root.parent / f"{name}-source", parts.split()
    for number in range(images):
        picture(folder / f"{number}.png", number + 100 * len(name))
    rows = [f"{n}.png,{classes[n % 2]},p{n // 2},{cycle[n // 2 % len(cycle)]}" for n in range(images)]
    write(folder / "list.csv", "file,label,subject,split", *rows)
    build_own(name, folder, "csv", None, root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with sets of two parts (``two``), of FER2013's (``three``) and of none (``plain``)."""
    root = tmp_path / "data"
    listed_set(root, "two", "train test")
    listed_set(root, "three", "train train val test", 16)
    manifest = pd.read_parquet(root / "three" / "manifest.parquet")
    names = {"val": "public", "test": "private"}
    rewrite(root / "three", manifest.assign(split=manifest["split"].replace(names)))
    listed_set(root, "plain", "none")
    return root


def parts_of(root: Path, name: str) -> dict[tuple[str, str], int]:
    """Return (source, part) -> images."""
    manifest = load_set(root, name).manifest
    return manifest.groupby([manifest["sample"].str.partition("/")[0], "split"]).size().to_dict()


def test_each_source_keeps_its_official_parts(root: Path, fer: Fer) -> None:
    called = fer("data", "combine", "lab", "--of", "two,three", "--map", "basic-7", "--data-root", root)
    assert called.code == 0, called.err
    assert "official parts: three train 8, val 4, test 4; two train 6, test 6\n" in called.err
    assert parts_of(root, "lab") == {
        ("three", "train"): 8,
        ("three", "val"): 4,
        ("three", "test"): 4,
        ("two", "train"): 6,
        ("two", "test"): 6,
    }
    manifest = load_set(root, "lab").manifest
    split = make_split(manifest, DataConfig(name="lab", split="official"))
    assert (len(split.train), len(split.val), len(split.test)) == (14, 4, 10)


def test_a_source_without_parts_is_named_and_may_be_given_one(root: Path, fer: Fer) -> None:
    command = ("data", "combine", "lab", "--of", "two,plain", "--map", "basic-7", "--data-root", root)
    called = fer(*command)
    assert called.code == 0, called.err
    told = "official parts: two train 6, test 6; plain has none, so 12 images are in no part: give one with --part plain="
    assert told in called.err
    assert parts_of(root, "lab")["plain", "none"] == 12
    first = load_info(root, "lab").fingerprint
    called = fer(*command, "--part", "plain=train")
    assert "official parts: plain train 12; two train 6, test 6\n" in called.err
    assert f"replaced a set of 24 images, fingerprint {first}" in called.err
    assert load_info(root, "lab").fingerprint != first


def test_one_source_may_be_the_test_part(root: Path, fer: Fer) -> None:
    chosen = ("--part", "three=train", "--part", "plain=test")
    called = fer("data", "combine", "lab", "--of", "three,plain", "--map", "basic-7", *chosen, "--data-root", root)
    assert called.code == 0, called.err
    assert parts_of(root, "lab") == {("plain", "test"): 12, ("three", "train"): 16}
    (root / "lab" / "images.npy").write_bytes(b"")
    broken = fer("data", "check", "lab", "--data-root", root)
    assert "fer data combine lab --of plain,three --map basic-7 --part plain=test --part three=train --size" in broken.err


def test_sets_without_parts_say_nothing_of_them(root: Path, fer: Fer) -> None:
    listed_set(root, "other", "none")
    called = fer("data", "combine", "lab", "--of", "other,plain", "--map", "basic-7", "--data-root", root)
    assert called.code == 0
    assert "official" not in called.err


@pytest.mark.parametrize("order", ["two,lesson", "lesson,two"])
def test_a_set_that_adds_no_image_is_named_with_its_classes(root: Path, fer: Fer, order: str) -> None:
    listed_set(root, "lesson", "none", classes=("confused", "curious"))
    command = ("data", "combine", "lab", "--of", order, "--data-root", root)
    called = fer(*command, "--map", "basic-7")
    told = (
        "error: --of lesson: none of its classes (confused, curious) is in --map basic-7; leave it out or change the map\n"
    )
    assert (called.code, called.err) == (2, told)
    assert not (root / "lab").exists()
    called = fer(*command, "--map", "learning-6")
    assert called.code == 0, called.err
    assert {source for source, _ in parts_of(root, "lab")} == {"two", "lesson"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--part", "plain"], "expected NAME=train or NAME=val or NAME=test"),
        (["--part", "plan=test"], "plan is not in --of; did you mean plain?"),
        (["--part", "plain=tests"], "unknown part; use train, val, test; did you mean test?"),
        (["--part", "plain=train", "--part", "plain=test"], "plain is already in the train part"),
        (["--part", "plain=train", "--part", "two=train"], "the test part is empty; add --part NAME=test"),
    ],
)
def test_wrong_parts_give_one_line(root: Path, fer: Fer, options: list[str], words: str) -> None:
    called = fer("data", "combine", "lab", "--of", "two,plain", "--map", "basic-7", *options, "--data-root", root)
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert words in called.err
    assert not (root / "lab").exists()


def test_a_combined_set_says_what_it_replaces_and_shrinks_nothing_unasked(root: Path, fer: Fer) -> None:
    more = combine_sets("lab", ["two", "three"], "basic-7", root)
    command = ("data", "combine", "lab", "--of", "two,plain", "--map", "basic-7", "--data-root", root)
    called = fer(*command)
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert f"has 28 images (fingerprint {more.fingerprint}), this build only 24; pass --replace" in called.err
    assert load_info(root, "lab").fingerprint == more.fingerprint
    called = fer(*command, "--replace")
    assert called.code == 0
    assert f"replaced a set of 28 images, fingerprint {more.fingerprint}" in called.err
    assert load_info(root, "lab").kept == 24


def test_a_combined_set_does_not_take_the_place_of_what_it_is_made_of(root: Path, fer: Fer) -> None:
    called = fer("data", "combine", "two", "--of", "two,plain", "--map", "basic-7", "--data-root", root)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "is one of --of" in called.err


def test_unknown_people_stay_unknown_in_a_set_and_in_a_combined_one(root: Path) -> None:
    folder, words = root.parent / "words", ("unknown", "None", "NaN", "p1", "p2", "p3")
    for number in range(12):
        picture(folder / f"{number}.png", number)
    rows = [f"{n}.png,{('happy', 'sad')[n % 2]},{words[n // 2]},{('none', 's1')[n % 2]}" for n in range(12)]
    write(folder / "list.csv", "file,label,subject,sequence", *(row.replace("s1", f"s{n}") for n, row in enumerate(rows)))
    info = build_own("words", folder, "csv", None, root)
    assert (info.subjects, info.sequences) == (3, None)
    faces = load_set(root, "words")
    assert sorted(set(faces.manifest["subject"])) == ["", "p1", "p2", "p3"]
    with pytest.raises(DataError, match="words: has 6 of 12 images without a subject"):
        make_split(faces.manifest, DataConfig(name="words", split="subject", folds=2))
    older = faces.manifest.assign(subject=faces.manifest["subject"].replace("", "unknown"))
    rewrite(root / "words", older)
    combine_sets("both", ["two", "words"], "basic-7", root)
    manifest = load_set(root, "both").manifest
    mine = manifest[manifest["sample"].str.startswith("words/")]
    assert sorted(set(mine["subject"])) == ["", "words/p1", "words/p2", "words/p3"]
    assert (mine["sequence"] == "").sum() == 6
