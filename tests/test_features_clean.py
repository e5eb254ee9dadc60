"""Making room in the store: its own entries go, all else stays, and what was removed is computed anew."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from fer_cli.data.manifest import FaceSet
from fer_cli.features.clean import DAY_S, list_entries, remove_entries
from fer_cli.features.hog import Hog
from fer_cli.features.lbp import Lbp
from fer_cli.features.store import Store
from tests.conftest import Called
from tests.test_features import WORDS, drawn_faces
from tests.test_features_store import faces_of

Fer = Callable[..., Called]
HEX = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    images, labels = drawn_faces()
    return faces_of(images[:12], labels[:12])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: FaceSet) -> Store:
    """The store of the command, with two descriptions and one entry that was learned."""
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    kept = Store()
    kept.extract(faces, Lbp(size=8, cells=1))
    kept.extract(faces, WORDS, np.arange(12))
    return kept


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_everything_the_store_wrote_is_found_and_removed(kept: Store, faces: FaceSet) -> None:
    entries = list_entries(kept.folder)
    assert [entry.kind for entry in entries] == ["lbp", "sift", "sift"]
    assert {file for entry in entries for file in entry.files} == set(kept.folder.iterdir())
    assert sum(entry.size for entry in entries) == sum(path.stat().st_size for path in kept.folder.iterdir())
    assert list(remove_entries(entries)) == entries
    assert names(kept.folder) == set()
    assert list_entries(kept.folder) == []
    assert kept.extract(faces, WORDS, np.arange(12)).origin == "computed"


def test_what_a_killed_process_left_is_removed(kept: Store) -> None:
    before = len(list_entries(kept.folder))
    for name in (
        f".hog-{HEX}.values.npy.77.tmp",
        f".hog-{HEX}.json.77.tmp",
        f"hog-{HEX}.lock",
        f"cnn-{HEX}.state-words.npy",
    ):
        (kept.folder / name).write_bytes(b"1234")
    entries = list_entries(kept.folder)
    assert len(entries) == before + 2
    assert {entry.kind: entry.size for entry in entries if entry.kind in {"hog", "cnn"}} == {"hog": 12, "cnn": 4}
    assert len(list(remove_entries(entries))) == before + 2
    assert names(kept.folder) == set()


OTHERS = (
    "notes.txt",
    "hog.json",
    f"hog-{HEX}",
    f"hog-{HEX}.npy",
    f"hog-{HEX}.values.npz",
    f"hog-{HEX}.values.npy.bak",
    f"hog-{HEX[1:]}.json",
    f"hog-{HEX}0.json",
    f"hog-{HEX.upper()}.json",
    f"hog-{HEX}.json.77.tmp",
    f".hog-{HEX}.json",
    f".hog-{HEX}.json.tmp",
    f"hog-{HEX}.json\n",
)


def test_nothing_else_is_removed(kept: Store) -> None:
    for name in OTHERS:
        (kept.folder / name).write_text("mine")
    below = kept.folder / "more"
    below.mkdir()
    (below / f"hog-{HEX}.json").write_text("mine")
    (kept.folder / f"lbp-{HEX}.json").mkdir()
    assert len(list(remove_entries(list_entries(kept.folder)))) == 3
    assert names(kept.folder) == {*OTHERS, "more", f"lbp-{HEX}.json"}
    assert (below / f"hog-{HEX}.json").read_text() == "mine"


def test_links_are_neither_followed_nor_removed(kept: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"hog-{HEX}.json").write_text("mine")
    (kept.folder / "away").symlink_to(outside)
    (kept.folder / f"hog-{HEX}.json").symlink_to(outside / f"hog-{HEX}.json")
    (kept.folder / f"lbp-{HEX}.lock").symlink_to(outside / "lock")
    (kept.folder / f"lbp-{HEX}.json").write_text("{}")
    gone = list(remove_entries(list_entries(kept.folder)))
    assert len(gone) == 3
    assert names(outside) == {f"hog-{HEX}.json"}
    assert names(kept.folder) == {"away", f"hog-{HEX}.json", f"lbp-{HEX}.json", f"lbp-{HEX}.lock"}


def test_an_entry_that_is_being_written_stays(kept: Store, fer: Fer) -> None:
    entry = list_entries(kept.folder)[0]
    with FileLock(kept.folder / f"{entry.key}.lock"):
        called = fer("features", "clean")
        assert called.code == 0
        assert "deleted: 2 entries" in called.err
        assert "kept: 1 entries that another process is writing" in called.err
        assert names(kept.folder) == {file.name for file in entry.files}
    assert "deleted: 1 entries" in fer("features", "clean").err


def test_only_old_entries_go_where_asked(kept: Store, fer: Fer) -> None:
    old, *young = list_entries(kept.folder)
    for file in old.files:
        os.utime(file, (time.time() - 31 * DAY_S,) * 2)
    os.utime(young[0].files[0], (time.time() - 31 * DAY_S,) * 2)  # its other files are young
    assert fer("features", "clean", "--older-than", "40").err.startswith("deleted: 0 entries, 0.0 MiB in ")
    called = fer("features", "clean", "--older-than", 30.5)
    assert called.code == 0
    assert called.out.splitlines() == ["features\tentries\tMiB", "lbp\t1\t0.0"]
    assert list_entries(kept.folder) == young
    assert fer("features", "clean", "--older-than", -1).code == 2


def test_the_command_says_what_it_would_do_then_does_it(kept: Store, fer: Fer, faces: FaceSet) -> None:
    kept.extract(faces_of(np.repeat(faces.images.packed, 40, 0), ["happy"] * 480), Hog())
    before = names(kept.folder)
    size = sum(path.stat().st_size for path in kept.folder.iterdir()) / 2**20
    told = fer("features", "clean", "--plan")
    assert told.code == 0
    assert told.err == f"would be deleted: 4 entries, {size:.1f} MiB in {kept.folder}\n"
    assert told.out.splitlines() == ["features\tentries\tMiB", "hog\t1\t3.2", "lbp\t1\t0.0", "sift\t2\t0.1"]
    assert names(kept.folder) == before
    done = fer("features", "clean")
    assert (done.out, done.err) == (told.out, told.err.replace("would be deleted", "deleted"))
    assert names(kept.folder) == set()


def test_a_store_that_is_not_there_is_empty(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "none"))
    called = fer("features", "clean")
    assert (called.code, called.out) == (0, "features\tentries\tMiB\n")
    assert called.err.startswith("deleted: 0 entries, 0.0 MiB")
    assert not (tmp_path / "none").exists()
