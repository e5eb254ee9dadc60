"""A set is its content: one fingerprint wherever its files lie, and for embedded ones known before they are drawn."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.config import DataConfig
from fer_cli.data.block import Block
from fer_cli.data.build import Choices, build_own, build_set
from fer_cli.data.cards import Embedded, load_card
from fer_cli.data.combine import combine_sets
from fer_cli.data.identity import fingerprint, image_hash, sample_ids
from fer_cli.data.importers.found import Found
from fer_cli.data.manifest import IMAGES, INFO, MANIFEST, TRUTH, build_command, load_info, load_set
from fer_cli.data.splits import make_split
from fer_cli.synthetic import recipe
from fer_cli.synthetic.assets import pin_of
from fer_cli.synthetic.recipe import recipe_fingerprint
from tests.conftest import Called, draw_face, draw_set

Fer = Callable[..., Called]
SUBJECT = r"(?P<subject>S\d+)_(?P<sequence>\d+)_(?P<frame>\d+)"


# --- what a set is -----------------------------------------------------------------------------------------------


def test_one_set_in_three_folders_has_one_fingerprint(tmp_path: Path) -> None:
    draw_set(tmp_path / "a" / "CK+48", 3)
    shutil.copytree(tmp_path / "a" / "CK+48", tmp_path / "b" / "anything" / "x.png")
    for name, source in (("1", "a"), ("2", "a/CK+48"), ("3", "b/anything"), ("4", "b/anything/x.png")):
        build_set("ck48", tmp_path / source, tmp_path / name, allow_incomplete=True)
        build_own("mine", tmp_path / source, "folder", SUBJECT, tmp_path / name)
    for set_ in ("ck48", "mine"):
        built = [load_set(tmp_path / name, set_) for name in "1234"]
        assert len({faces.info.fingerprint for faces in built}) == 1
        assert len({faces.info.files[IMAGES] for faces in built}) == 1
        for faces in built[1:]:
            pd.testing.assert_frame_equal(faces.manifest.drop(columns="file"), built[0].manifest.drop(columns="file"))
        assert built[0].manifest["file"].iloc[0] != built[1].manifest["file"].iloc[0]  # a path tells where, not what


def test_samples_are_free_of_paths_and_rows_stand_in_their_order(tmp_path: Path) -> None:
    source = draw_set(tmp_path / "CK+48", 3)
    build_own("mine", source, "folder", None, tmp_path / "data")
    faces = load_set(tmp_path / "data", "mine")
    assert faces.manifest["sample"].str.fullmatch("[0-9a-f]{16}").all()
    assert faces.manifest["sample"].is_monotonic_increasing and faces.manifest["sample"].is_unique
    assert not faces.manifest["name"].is_monotonic_increasing
    for row, image in zip(faces.manifest.itertuples(), faces.images.packed, strict=True):
        assert row.sample == row.sha256[:16]
        assert np.array_equal(image, cv2.imread(str(source / row.file), cv2.IMREAD_GRAYSCALE))


def test_file_names_have_no_part_in_samples_splits_or_fingerprint(tmp_path: Path) -> None:
    source = draw_set(tmp_path / "CK+48", 12)
    first = build_own("mine", source, "folder", r"(?P<subject>S\d+)", tmp_path / "a")
    for number, path in enumerate(sorted(source.rglob("*.png"), key=lambda path: hash(path.name))):
        path.rename(path.with_name(f"{number:03d}_{path.name[:4]}.png"))
    second = build_own("mine", source, "folder", r"(?P<subject>S\d+)", tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    one, two = (load_set(tmp_path / root, "mine").manifest for root in "ab")
    assert one["sample"].tolist() == two["sample"].tolist()
    assert not set(one["name"]) & set(two["name"])
    for split in ("subject", "random"):
        config = DataConfig(name="mine", split=split, folds=3)  # type: ignore[arg-type]
        assert make_split(one, config).hash == make_split(two, config).hash


def test_copies_are_numbered_by_what_they_are_not_where_they_lie(tmp_path: Path) -> None:
    def copies(names: dict[str, str]) -> pd.DataFrame:
        source = tmp_path / "-".join(names)
        for name, label in names.items():
            (source / label).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(source / label / f"{name}.png"), draw_face("happy", 1, 1))
        info = build_own("mine", source, "folder", None, source / "data")
        dropped = build_own(
            "less", source, "folder", None, source / "data", choices=Choices(drop_duplicates=True), allow_incomplete=True
        )
        assert load_set(source / "data", "less").manifest["label"].tolist() == ["happy"]
        return load_set(source / "data", "mine").manifest.assign(fingerprint=info.fingerprint, dropped=dropped.fingerprint)

    one, two = copies({"a": "sad", "b": "happy", "c": "sad"}), copies({"x": "happy", "b": "sad", "a": "sad"})
    columns = ["sample", "label", "fingerprint", "dropped"]
    pd.testing.assert_frame_equal(one[columns], two[columns])
    name = one["sample"].iloc[0]
    assert one[["sample", "label"]].to_numpy().tolist() == [[name, "happy"], [f"{name}-2", "sad"], [f"{name}-3", "sad"]]


def test_own_numbers_stay_and_content_names_the_rest() -> None:
    found = [
        Found("S001", Path("a"), "happy", "", "", 0),
        Found("x/b.png", Path("b"), "sad", "", "", 0, own=False),
        Found("x/a.png", Path("c"), "sad", "", "", 0, own=False, box=(0, 0, 9, 9)),
        Found("y/a.png", Path("d"), "happy", "", "", 0, own=False),
    ]
    alike = "ab" * 8 + "00" * 24, "ab" * 8 + "11" * 24
    assert sample_ids(found, ["0" * 64, alike[0], alike[0], alike[1]]) == [
        "S001",
        "ab" * 8,
        f"{'ab' * 8}-2",
        f"{'ab' * 8}-3",
    ]


def manifest() -> pd.DataFrame:
    table = pd.DataFrame({"sample": list("abcdef"), "label": ["x", "y"] * 3, "subject": ["p", "p", "p", "q", "q", ""]})
    return table.assign(sequence=["s", "s", "t", "s", "", ""], frame=[1, 2, 1, 1, 0, 0], split="none", name="", file="")


def test_a_fingerprint_changes_with_content_and_with_nothing_else() -> None:
    images = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8)

    def mark(table: pd.DataFrame, pixels: np.ndarray = images, step: str = "", classes: str = "xy") -> str:
        return fingerprint(table, image_hash(Block(pixels)), [{"step": step}], list(classes))

    plain = manifest()
    same = mark(plain)
    calls_clips_otherwise = plain.assign(sequence=["clip9", "clip9", "clip1", "clip9", "", ""], name="n", file="f")
    assert mark(calls_clips_otherwise) == same
    changed = images.copy()
    changed[3, 4, 5] ^= 1
    others = {
        "pixel": mark(plain, changed),
        "shape": mark(plain, images.reshape(6, 4, 16)),
        "step": mark(plain, step="decode"),
        "order of classes": mark(plain, classes="yx"),
        "label": mark(plain.assign(label=["y", "y", *plain["label"][2:]])),
        "subject": mark(plain.assign(subject=["p", "p", "p", "q", "r", ""])),
        "clips": mark(plain.assign(sequence=["s", "t", "t", "s", "", ""])),
        "clip or none": mark(plain.assign(sequence=["s", "s", "t", "s", "u", ""])),
        "frame": mark(plain.assign(frame=[1, 3, 1, 1, 0, 0])),
        "part": mark(plain.assign(split="train")),
        "sample": mark(plain.assign(sample=list("abcdeg"))),
    }
    assert len({same, *others.values()}) == 1 + len(others)


def test_splits_by_clip_do_not_depend_on_what_clips_are_called() -> None:
    table = pd.DataFrame(
        [(f"{n:03d}", "xy"[n // 3 % 2], "", f"c{n // 3}", "none") for n in range(120)],
        columns=["sample", "label", "subject", "sequence", "split"],
    ).assign(name="")
    renamed = table.assign(sequence=[f"{hash(name) % 9973}-{name}" for name in table["sequence"]])
    parts = table.assign(split=["train", "train", "train", "test"] * 30)
    for split in ("sequence", "official"):
        config = DataConfig(split=split, folds=3)  # type: ignore[arg-type]
        one, two = (parts, parts.assign(sequence=renamed["sequence"])) if split == "official" else (table, renamed)
        assert make_split(one, config).hash == make_split(two, config).hash


def test_a_combined_set_does_not_depend_on_the_order_of_its_parts(root: Path, tmp_path: Path) -> None:
    for name in ("happy", "sad"):
        (tmp_path / "src" / name).mkdir(parents=True)
        for number in range(3):
            assert cv2.imwrite(str(tmp_path / "src" / name / f"{number}.png"), draw_face("happy", number, len(name)))
    build_own("ck4", tmp_path / "src", "folder", None, root)
    one = combine_sets("one", ["ck48", "ck4"], "basic-7", root)
    two = combine_sets("two", ["ck4", "ck48"], "basic-7", root)
    assert one.fingerprint == two.fingerprint
    faces = load_set(root, "one")
    assert faces.manifest["sample"].is_monotonic_increasing
    assert build_command("one", one.model_dump()) == "fer data combine one --of ck4,ck48 --map basic-7 --size 48"


# --- embedded sets -----------------------------------------------------------------------------------------------


def test_an_embedded_set_is_known_before_it_is_drawn(drawn: Path) -> None:
    card = load_card("synth-basic")
    assert card.embedded is not None
    options = Embedded.model_validate(card.embedded.model_dump() | {"images": 8, "subjects": 2, "size": 24, "seed": 3})
    info = load_info(drawn, "synth-basic")
    assert info.fingerprint == recipe_fingerprint(options, card.classes)
    assert set(info.files) == {IMAGES, MANIFEST, TRUTH}
    command = "fer data build synth-basic --images 8 --subjects 2 --size 24 --seed 3"
    assert build_command("synth-basic", info.model_dump()) == command


def test_a_recipes_fingerprint_covers_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Embedded(recipes="basic", images=8, subjects=2, size=24)
    changes: dict[str, Any] = {
        "recipes": "learning",
        "images": 9,
        "frames": [2, 3],
        "rate": 8.0,
        "subjects": 3,
        "size": 25,
        "seed": 1,
        "difficulty": 0.5,
        "pose": 15.0,
        "zoom": [0.9, 1.35],
        "shift": 0.06,
        "ages": [0.0, 0.9],
        "speech": 0.1,
        "bust": True,
        "occluded": 0.1,
        "proportions": {"happy": 2.0},
        "off": ["hair"],
    }
    assert set(changes) == set(Embedded.model_fields)
    marks = {recipe_fingerprint(options.model_copy(update={key: value}), ["happy"]) for key, value in changes.items()}
    marks |= {recipe_fingerprint(options, ["happy"]), recipe_fingerprint(options, ["sad"])}
    gestures = options.model_copy(update={"recipes": "gesture"})
    marks.add(recipe_fingerprint(gestures, ["happy"]))
    pins = {"head": pin_of("head"), "body": pin_of("body")}
    monkeypatch.setattr(recipe, "pin_of", pins.__getitem__)
    for name, pin in [*pins.items()]:
        pins[name] = pin.model_copy(update={"arrays": "0" * 64})
        marks.add(recipe_fingerprint(gestures, ["happy"]))
    marks.add(recipe_fingerprint(options, ["happy"]))
    monkeypatch.setattr(recipe, "VERSION", 99)
    marks.add(recipe_fingerprint(options, ["happy"]))
    assert len(marks) == len(changes) + 2 + 1 + 2 + 2


def test_a_set_that_an_earlier_version_drew_is_refused(
    fer: Fer, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "VERSION", 99)
    called = fer("ablate", "--study", "scn-cs", "--plan", "--data-root", drawn, "--results", tmp_path / "results")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert "rendered by another version of fer" in called.err
    assert called.err.endswith("with: fer data build synth-basic --images 8 --subjects 2 --size 24 --seed 3\n")


def test_a_damaged_embedded_set_is_not_drawn_over(fer: Fer, drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "data")
    path = tmp_path / "data" / "synth-basic" / INFO
    path.unlink()
    path.symlink_to("gone.json")
    called = fer("ablate", "--study", "scn-cs", "--plan", "--data-root", tmp_path / "data", "--results", tmp_path / "r")
    assert (called.code, called.err) == (
        2,
        f"error: {path}: dangling link; build the set again with: fer data build synth-basic\n",
    )
