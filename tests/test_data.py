"""Cards, importers and building: right labels, counts and splits, or one clear error with nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fer_cli.data.build import build_set
from fer_cli.data.cards import CANONICAL, card_names, load_card, read_card
from fer_cli.data.importers import IMPORTERS
from fer_cli.data.manifest import COLUMNS, load_set
from fer_cli.errors import DataError
from fer_cli.places import shipped_folder
from fer_cli.synthetic.expressions import RECIPES
from fer_cli.synthetic.gestures import GESTURES
from tests.conftest import FOLDERS, Called, draw_set

Fer = Callable[..., Called]


@pytest.mark.parametrize("name", card_names())
def test_every_card_is_complete_and_has_an_importer(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    if card.embedded is None:
        assert name in IMPORTERS
        assert set(card.folders.values()) == set(card.classes)
    else:
        assert card.redistributable
        known = GESTURES if card.embedded.recipes == "gesture" else RECIPES[card.embedded.recipes]
        assert set(card.classes) <= set(known)
        assert (card.subjects, card.image_size) == (card.embedded.subjects, card.embedded.size)
    assert [c for c in card.classes if c in CANONICAL] == [c for c in CANONICAL if c in card.classes]


@pytest.mark.parametrize("name", card_names())
def test_the_header_has_the_keys_of_the_hub(name: str) -> None:
    """Those that hub-docs documents for data sets (datasetcard.md), with values that its server accepts."""
    header = yaml.safe_load((shipped_folder("data_cards") / f"{name}.md").read_text().split("---\n")[1])
    card = load_card(name)
    assert {"pretty_name", "license", "task_categories", "tags"} <= header.keys()
    assert (header["license"] == "other") == ("license_name" in header) == (card.embedded is None)
    clips = card.embedded is not None and bool(card.embedded.frames)
    assert header["task_categories"] == [f"{'video' if clips else 'image'}-classification"]
    images = sum(card.counts.values()) if card.embedded is None else card.embedded.images
    bounds = {"n<1K": (1, 1e3), "1K<n<10K": (1e3, 1e4), "10K<n<100K": (1e4, 1e5), "100K<n<1M": (1e5, 1e6)}
    if images:
        (size,) = header["size_categories"]
        assert bounds[size][0] <= images < bounds[size][1]


def test_ck48_card_agrees_with_the_published_counts() -> None:
    card = load_card("ck48")
    assert sum(card.counts.values()) == 981 == 3 * 327
    assert (card.subjects, card.sequences) == (118, 327)


def test_card_with_a_wrong_key_names_it(tmp_path: Path) -> None:
    text = (shipped_folder("data_cards") / "ck48.md").read_text().replace("subjects:", "subject:")
    (tmp_path / "ck48.md").write_text(text)
    with pytest.raises(DataError, match=r"subject: unknown key; did you mean subjects"):
        read_card(tmp_path / "ck48.md")


def test_card_without_front_matter(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("# prose only\n")
    with pytest.raises(DataError, match="front matter"):
        read_card(tmp_path / "x.md")


def test_built_set_holds_names_groups_and_pixels(data_root: Path, faces_folder: Path) -> None:
    faces = load_set(data_root, "ck48")
    assert tuple(faces.manifest.columns) == COLUMNS
    assert faces.images.shape == (168, 1, 1, 48, 48)
    assert faces.images[:2].dtype == np.uint8
    assert faces.info.counts == dict.fromkeys(faces.info.classes, 24)
    assert faces.info.subjects == 12
    row = faces.manifest.set_index("sample").loc["S003_001_00000002"]
    assert (row["label"], row["subject"], row["sequence"], row["frame"]) == ("angry", "S003", "S003_001", 2)
    assert row["file"] == "anger/S003_001_00000002.png"
    import cv2

    position = int(np.flatnonzero(faces.manifest["sample"] == "S003_001_00000002")[0])
    assert np.array_equal(faces.images[position][0, 0], cv2.imread(str(faces_folder / row["file"]), cv2.IMREAD_GRAYSCALE))
    assert [faces.info.classes[code] for code in faces.codes] == list(faces.manifest["label"])


def test_same_files_same_fingerprint_and_one_changed_pixel_another(faces_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(faces_folder, copy)
    first = build_set("ck48", faces_folder, tmp_path / "a", allow_incomplete=True)
    second = build_set("ck48", copy, tmp_path / "b", allow_incomplete=True)
    assert first.fingerprint == second.fingerprint
    shutil.copy(copy / "happy" / "S001_004_00000001.png", copy / "happy" / "S001_004_00000002.png")
    third = build_set("ck48", copy, tmp_path / "b", allow_incomplete=True)
    assert third.fingerprint != first.fingerprint
    assert load_set(tmp_path / "b", "ck48").info.fingerprint == third.fingerprint


def test_nested_root_hidden_files_and_other_files_are_understood(tmp_path: Path) -> None:
    draw_set(tmp_path / "outer" / "CK+48", 3)
    (tmp_path / "outer" / "CK+48" / "happy" / "._S001_004_00000001.png").write_bytes(b"AppleDouble")
    (tmp_path / "outer" / "CK+48" / "happy" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "outer" / "CK+48" / ".DS_Store").write_bytes(b"x")
    info = build_set("ck48", tmp_path / "outer", tmp_path / "data", allow_incomplete=True)
    assert (info.found, info.kept) == (42, 42)


def corrupt(folder: Path, names: list[str]) -> None:
    for name, content in zip(names, [b"", b"no image", None], strict=True):
        path = folder / name
        path.write_bytes(path.read_bytes()[:60] if content is None else content)


BROKEN = ["happy/S001_004_00000001.png", "anger/S002_001_00000002.png", "fear/S003_003_00000001.png"]


def test_unreadable_images_stop_the_build_and_are_named(fer: Fer, tmp_path: Path) -> None:
    corrupt(draw_set(tmp_path / "src", 4), BROKEN)
    called = fer("data", "build", "mine", "--from", tmp_path / "src", "--layout", "folder", "--data-root", tmp_path / "data")
    assert called.code == 2
    assert called.err.count("\n") == 1
    assert "3 of 56 images" in called.err
    assert all(name in called.err for name in BROKEN)
    assert not (tmp_path / "data").exists()


def test_unreadable_images_left_out_by_choice_are_counted_and_listed(fer: Fer, tmp_path: Path) -> None:
    corrupt(draw_set(tmp_path / "src", 4), BROKEN)
    root = tmp_path / "data"
    called = fer("data", "build", "ck48", "--from", tmp_path / "src", "--data-root", root, "--allow-incomplete")
    assert called.code == 0
    assert "in 56, kept 53, no face 0, unreadable 3, duplicate 0, left out 0" in called.err
    assert called.out.splitlines()[-1].split("\t") == ["all", "56", "53", "0", "3", "0", "0"]
    assert all(f"left out, unreadable: {name}" in called.err for name in BROKEN)
    info = json.loads((root / "ck48" / "set.json").read_text())
    assert info["found"] == info["kept"] + len(info["unreadable"]) == 56
    assert sum(info["counts"].values()) == 53 == len(pd.read_parquet(root / "ck48" / "manifest.parquet"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, ["no such folder", "anger"]),
        (lambda src: [shutil.rmtree(src / name) for name in FOLDERS], ["contains no ck48; looked for class folders anger"]),
        (lambda src: [f.unlink() for f in src.rglob("*.png")], ["contains no images"]),
        (lambda src: (src / "happy").rename(src / "hapy"), ["hapy", "unknown class folder", "did you mean happy"]),
        (lambda src: (src / "happy" / "S001_004_00000001.png").rename(src / "happy" / "a.png"), ["a.png", "file name"]),
        (
            lambda src: shutil.copy(src / "happy" / "S001_004_00000001.png", src / "fear" / "S001_004_00000001.png"),
            ["same image is also at"],
        ),
        (lambda src: shutil.rmtree(src / "fear"), ["differs from the card", "fear 0 (card: 75)", "--allow-incomplete"]),
    ],
)
def test_bad_sources_give_one_line_and_leave_nothing(
    fer: Fer, tmp_path: Path, spoil: Callable[[Path], object], words: list[str]
) -> None:
    source = draw_set(tmp_path / "src", 2)
    spoil(source)
    called = fer("data", "build", "ck48", "--from", source, "--data-root", tmp_path / "data")
    assert called.code == 2
    assert called.err.count("\n") == 1
    assert called.err.startswith("error: ")
    assert all(word in called.err for word in words), called.err
    assert not (tmp_path / "data").exists()


def test_unknown_data_set_names_the_nearest(fer: Fer, tmp_path: Path) -> None:
    called = fer("data", "build", "ck84", "--from", tmp_path)
    assert called.code == 2
    assert "did you mean ck48?" in called.err


def test_a_full_disk_leaves_the_older_build_whole(
    fer: Fer, faces_folder: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    before = load_set(root, "ck48").info.fingerprint

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(root))

    monkeypatch.setattr("fer_cli.data.pack.Pack.add", full)
    called = fer("data", "build", "ck48", "--from", faces_folder, "--data-root", root, "--allow-incomplete")
    assert called.code == 2
    assert called.err.count("\n") == 1
    assert "no space left" in called.err
    assert [path.name for path in root.iterdir()] == ["ck48"]
    assert load_set(root, "ck48").info.fingerprint == before


def test_files_that_disagree_are_refused(data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    np.save(root / "ck48" / "images.npy", np.zeros((3, 48, 48), np.uint8))
    with pytest.raises(DataError, match=r"images\.npy: changed since the set was built"):
        load_set(root, "ck48")
    (root / "ck48" / "set.json").write_text("{}")
    with pytest.raises(DataError, match="built by another version of fer"):
        load_set(root, "ck48")


def test_pickled_arrays_are_refused(data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    np.save(root / "ck48" / "images.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"images\.npy: changed since the set was built"):
        load_set(root, "ck48")
