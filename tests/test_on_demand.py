"""Embedded sets are drawn on demand: labels and people from the recipe alone, and the same bytes in whatever order."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_cli.config import Compute, DataConfig, RunConfig
from fer_cli.data.cards import SWITCHES, Embedded, load_card, useful_switches
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from fer_cli.executors.processes import PRELOADED
from fer_cli.learning.sets import open_set, open_sets
from fer_cli.synthetic import build, sets
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.build import begin_embedded, build_embedded, draw_pictures
from fer_cli.synthetic.deal import deal_pictures, list_samples
from fer_cli.synthetic.identities import make_identity
from fer_cli.synthetic.ingredients import Ingredients
from fer_cli.synthetic.sets import Task, render_person
from tests.conftest import Called

Fer = Callable[..., Called]
EVERY = load_card("synth-basic").classes
SMALL = Embedded(recipes="basic", images=24, subjects=5, size=16)
FILES = ("images.npy", "manifest.parquet", "truth.parquet")
ROUGH = {"images": 40, "subjects": 10, "size": 32, "difficulty": 0.8, "occluded": 0.5}


@pytest.fixture
def small_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped sets have 40 pictures of 10 people at 16 pixels, or 7 clips of 2 or 3 frames."""

    def load_small(name: str) -> object:
        card = load_card(name)
        assert card.embedded is not None
        changes: dict[str, object] = {"images": 40, "subjects": 10, "size": 16}
        if card.embedded.frames:
            changes = {"images": 7, "subjects": 2, "size": 16, "frames": [2, 3]}
        return card.model_copy(update={"embedded": card.embedded.model_copy(update=changes)})

    monkeypatch.setattr(build, "load_card", load_small)


@given(few=st.integers(8, 200), more=st.integers(0, 200), people=st.integers(1, 60), uneven=st.booleans())
def test_a_picture_does_not_depend_on_how_many_are_asked_for(few: int, more: int, people: int, uneven: bool) -> None:
    shares = {label: 1.0 + 3 * number for number, label in enumerate(EVERY)} if uneven else {}
    options = SMALL.model_copy(update={"images": few, "subjects": people, "proportions": shares})
    smaller = deal_pictures(options, EVERY)
    larger = deal_pictures(options.model_copy(update={"images": few + more}), EVERY)
    assert (len(smaller), len(larger)) == (few, few + more)
    merged = smaller.merge(larger, how="left", indicator=True)
    assert (merged["_merge"] == "both").all()
    assert not larger.duplicated(["subject", "number"]).any()
    counts = larger["label"].value_counts().reindex(EVERY)
    assert counts.min() >= 1
    if not uneven:
        assert counts.max() - counts.min() <= 1
        own = larger.groupby(["label", "subject"]).size().unstack(fill_value=0).reindex(columns=range(people), fill_value=0)
        assert (own.max(axis=1) - own.min(axis=1)).max() <= 1, "the pictures of a class go round the people"


def test_learning_set_has_the_papers_counts() -> None:
    card = load_card("synth-learning")
    assert card.embedded is not None
    counts = deal_pictures(card.embedded, card.classes)["label"].value_counts().to_dict()
    assert counts == {"focused": 406, "distracted": 306, "curious": 367, "confused": 298, "tired": 278, "happy": 372}
    assert card.embedded.subjects == 100


@pytest.mark.parametrize("name", ["synth-basic", "synth-lecture"])
def test_pictures_drawn_in_any_order_are_those_of_a_whole_build(name: str, tmp_path: Path, small_card: None) -> None:
    whole = build_embedded(name, tmp_path / "whole", {})
    assert whole.drawn is None
    info = begin_embedded(name, tmp_path / "parts")
    assert (info.drawn, info.kept, info.fingerprint) == (0, whole.kept, whole.fingerprint)
    faces = load_set(tmp_path / "parts", name)
    columns = ["sample", "label", "subject", "sequence", "frame", "split"]
    there = load_set(tmp_path / "whole", name)
    pd.testing.assert_frame_equal(faces.manifest[columns], there.manifest[columns])
    with pytest.raises(DataError, match="not drawn yet"):
        _ = faces.images[[3]]
    order = np.random.default_rng(1).permutation(whole.kept)
    some = draw_pictures(name, tmp_path / "parts", order[:3])
    assert some.drawn is not None and 3 <= some.drawn < whole.kept
    faces = load_set(tmp_path / "parts", name)
    np.testing.assert_array_equal(faces.images[np.sort(order[:3])], there.images[np.sort(order[:3])])
    draw_pictures(name, tmp_path / "parts", order[2:9], jobs=2)
    draw_pictures(name, tmp_path / "parts", None)
    for file in FILES:
        ours, theirs = ((tmp_path / root / name / file).read_bytes() for root in ("parts", "whole"))
        assert ours == theirs, file


def test_a_larger_set_keeps_the_pictures_of_a_smaller_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"images": 24, "subjects": 5, "size": 16}
    build_embedded("synth-basic", tmp_path, changes)
    before = load_set(tmp_path, "synth-basic")
    old = dict(zip(before.manifest["sample"], before.images[:].copy(), strict=True))
    drawn: list[int] = []
    render = sets.render_tasks

    def count(tasks: list[sets.Task], *rest: object) -> object:
        drawn.extend(len(task.numbers) for task in tasks)
        return render(tasks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sets, "render_tasks", count)
    build_embedded("synth-basic", tmp_path, changes | {"images": 30})
    assert sum(drawn) == 6
    after = load_set(tmp_path, "synth-basic")
    new = dict(zip(after.manifest["sample"], after.images[:], strict=True))
    assert all(np.array_equal(new[name], image) for name, image in old.items())
    build_embedded("synth-basic", tmp_path, changes | {"images": 16})
    assert len(load_set(tmp_path, "synth-basic").images) == 16
    assert sum(drawn) == 6, "a smaller set is cut out of a larger one"


def draw_some(root: Path, start: int) -> int:
    """Draw every other picture from ``start`` on, in a process of its own."""
    draw_pictures("synth-basic", root, np.arange(start, 40, 2))
    return len(load_set(root, "synth-basic").undrawn(np.arange(start, 40, 2)))


def test_two_processes_extend_one_set(tmp_path: Path, small_card: None) -> None:
    whole = build_embedded("synth-basic", tmp_path / "whole", {})
    begin_embedded("synth-basic", tmp_path / "both")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        left = list(pool.map(draw_some, [tmp_path / "both"] * 2, [0, 1]))
    assert left == [0, 0]
    info = load_set(tmp_path / "both", "synth-basic").info
    assert info.drawn is None and info.files["images.npy"] == whole.files["images.npy"]


def test_a_run_draws_its_own_images_only(tmp_path: Path, small_card: None) -> None:
    begin_embedded("synth-basic", tmp_path)
    data = DataConfig(classes=["happy", "sad", "fear"], folds=3, val_fraction=0.3, max_images=4, max_val=2, max_test=3)
    compute = Compute(data_root=tmp_path, results=tmp_path / "results", threads=1)
    (faces,) = open_sets(RunConfig(data=data), compute)
    chosen = faces.of_classes(data.classes)
    split = make_split(chosen.manifest, data)
    needed = np.concatenate([split.train, split.val, split.test])
    assert (len(split.train), len(split.val), len(split.test)) == (4, 2, 3)
    assert not len(chosen.undrawn(needed))
    assert faces.info.drawn == len(needed)
    assert chosen.images[needed].std() > 10
    assert open_set(compute, "synth-basic").info.drawn is None


def test_a_run_draws_only_those_images_of_another_set_that_it_is_tested_on(tmp_path: Path, small_card: None) -> None:
    for name in ("synth-basic", "synth-scene"):
        begin_embedded(name, tmp_path)
    data = DataConfig(test="synth-scene", classes=["happy", "sad"], folds=3, val_fraction=0.3, max_images=4, max_test=3)
    config = RunConfig(data=data)
    faces, other = open_sets(config, Compute(data_root=tmp_path, results=tmp_path / "results", threads=1))
    assert other.info.drawn == 3
    tested = RunData(faces, config, other).test
    assert sorted(np.bincount(tested.labels)) == [1, 2]
    assert not len(other.undrawn(np.flatnonzero(other.manifest["sample"].isin(tested.samples))))


def test_thinned_test_parts_are_balanced_and_leave_the_other_parts_alone() -> None:
    manifest = list_samples(SMALL.model_copy(update={"images": 400, "subjects": 40}), EVERY)
    whole, thinned = (make_split(manifest, DataConfig(max_test=most)) for most in (None, 16))
    np.testing.assert_array_equal(whole.train, thinned.train)
    np.testing.assert_array_equal(whole.val, thinned.val)
    assert set(thinned.test) < set(whole.test)
    assert manifest["label"].iloc[thinned.test].value_counts().tolist() == [2] * 8
    assert whole.test_hash != thinned.test_hash


def test_no_space_leaves_the_set_as_it_was(tmp_path: Path, small_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_embedded("synth-basic", tmp_path)
    draw_pictures("synth-basic", tmp_path, np.arange(4))
    before = {path.name: path.read_bytes() for path in (tmp_path / "synth-basic").iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(build, "write_set", full)
    with pytest.raises(OSError, match="No space"):
        draw_pictures("synth-basic", tmp_path, np.arange(9))
    monkeypatch.undo()
    held = {path.name: path.read_bytes() for path in (tmp_path / "synth-basic").iterdir() if path.name in before}
    assert held == before
    assert [path.name for path in tmp_path.iterdir()] == ["synth-basic"]


SWITCHED = [
    ("synth-basic@hari=off", "no switch 'hari'; did you mean hair"),
    ("synth-basic@light=off,hair=off", "in alphabetical order: synth-basic@hair=off,light=off"),
    ("synth-basic@hair=off,hair=off", "name switches once"),
    ("synth-basic@hair=on", "the only value of a switch is off"),
    ("synth-basic@", "no switch ''"),
    ("synth-basic@clothes=off", "clothes: has no effect on these pictures; switches of this set: crop, distance, glasses"),
    ("synth-gesture@hair=off,pose=off", "pose: has no effect"),
    ("synth-scene@crop=off", "crop: has no effect on these pictures; switches of this set: clothes, distance"),
    ("ck48@hair=off", "has no switches"),
    ("synth-bsic@hair=off", "did you mean synth-basic"),
]


@pytest.mark.parametrize(("name", "words"), SWITCHED)
def test_a_wrong_switch_is_one_line(name: str, words: str, fer: Fer, tmp_path: Path) -> None:
    plans = [["ablate", "--study", "scn-cs", "--data", name, "--plan"]] if "basic" in name or "ck48" in name else []
    for command in (["data", "build", name], *plans):
        called = fer(*command, "--data-root", tmp_path / "data")
        assert (called.code, called.err.count("\n")) == (2, 1), called.err
        assert words in called.err
    assert not (tmp_path / "data").exists()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with sets in which nothing is switched off."""
    root = tmp_path_factory.mktemp("plain")
    for name in ("synth-basic", "synth-scene"):
        build_embedded(name, root, ROUGH)
    return root


@pytest.mark.parametrize(
    "switch",
    [name if name in {"clothes", "glasses", "hair"} else pytest.param(name, marks=pytest.mark.slow) for name in SWITCHES],
)
def test_a_switch_makes_a_set_of_its_own_with_other_pictures_of_the_same_people(
    switch: str, plain: Path, tmp_path: Path
) -> None:
    name = "synth-scene" if switch == "clothes" else "synth-basic"  # shoulders show in scenes
    off = build_embedded(f"{name}@{switch}=off", tmp_path, ROUGH)
    ours, theirs = load_set(plain, name), load_set(tmp_path, f"{name}@{switch}=off")
    assert ours.info.fingerprint != off.fingerprint and off.title.endswith(f"without {switch}")
    same = ["sample", "label", "subject"]
    pd.testing.assert_frame_equal(ours.manifest[same], theirs.manifest[same])
    assert (ours.manifest["sha256"] != theirs.manifest["sha256"]).mean() > (0.1 if switch in {"glasses", "hair"} else 0.3)


@pytest.mark.parametrize("name", ["synth-basic", "synth-gesture", "synth-scene"])
def test_a_switch_that_a_set_does_not_have_changes_no_pixel_of_it(name: str) -> None:
    card = load_card(name)
    assert card.embedded is not None
    usual = card.embedded.model_copy(update={"size": 32, "frames": card.embedded.frames and [2, 2]})
    others = usual.model_copy(update={"off": sorted(set(SWITCHES) - set(useful_switches(usual)))})
    bespectacled = next(n for n in range(50) if make_identity(usual.seed, n, len(UNITS)).glasses is not None)
    made = [Task(one, tuple(card.classes), bespectacled, (0, 1), tuple(card.classes[:2])) for one in (usual, others)]
    assert others.off and np.array_equal(*(render_person(task)[0] for task in made))


def test_every_switch_is_an_ingredient() -> None:
    assert sorted(SWITCHES) == sorted(field.name for field in fields(Ingredients))
    assert Ingredients.without(["hair"]) == Ingredients(hair=False)


def test_a_damaged_set_is_not_begun_anew(tmp_path: Path, small_card: None) -> None:
    begin_embedded("synth-basic", tmp_path)
    path = tmp_path / "synth-basic" / "set.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"set\.json"):
        begin_embedded("synth-basic", tmp_path)
    assert path.read_text() == "{"
