"""Files of a set are verified: an edited, damaged or old set trains nothing and costs one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_cli.config import Compute
from fer_cli.data import identity
from fer_cli.data.identity import mark_of
from fer_cli.data.manifest import IMAGES, INFO, MANIFEST, TRUTH, load_info, load_set
from fer_cli.data.rebuild import build_command
from fer_cli.errors import DataError
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from tests.conftest import Called
from tests.fakes import fake_result, leave
from tests.sets import rewrite

Fer = Callable[..., Called]


def edit_pixels(folder: Path) -> None:
    images = np.load(folder / IMAGES)
    np.save(folder / IMAGES, 255 - images)


def edit_manifest(folder: Path) -> None:
    table = pd.read_parquet(folder / MANIFEST)
    table.assign(label=table["label"].to_numpy()[::-1]).to_parquet(folder / MANIFEST, index=False)


def edit_classes(folder: Path) -> None:
    content = json.loads((folder / INFO).read_text())
    (folder / INFO).write_text(json.dumps(content | {"classes": content["classes"][::-1]}))


EDITS = {
    IMAGES: (edit_pixels, "changed since the set was built (SHA-256 was "),
    MANIFEST: (edit_manifest, "changed since the set was built (SHA-256 was "),
    INFO: (edit_classes, "edited since the set was built"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_set_trains_nothing(fer: Fer, root: Path, tmp_path: Path, study_file: Path, name: str) -> None:
    load_set(root, "ck48")  # what was verified once is not trusted for ever
    edit, words = EDITS[name]
    edit(root / "ck48")
    places = ["--data-root", root, "--results", tmp_path / "results"]
    for command in (
        ["ablate", "--study", study_file, "--no-track", *places],
        ["ablate", "--study", study_file, "--plan", *places],
        ["report", "--study", study_file, *places],
        ["extract-features", "--fuse", "lbp", "--data", "ck48", "--out", tmp_path / "x.npz", *places],
        ["data", "audit", "ck48", "--data-root", root],
        ["data", "check", "ck48", "--data-root", root],
        ["data", "peek", "ck48", "--out", tmp_path / "x.png", "--data-root", root],
    ):
        called = fer(*command)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), (command, called)
        assert called.err.startswith(f"error: {root / 'ck48' / name}: {words}"), called.err
        again = f"build the set again with: fer data build ck48 --from FOLDER --data-root {root}\n"
        assert called.err.endswith(again)
    assert not (tmp_path / "results").exists()
    assert not list(tmp_path.glob("x.*"))


def test_files_are_hashed_once_and_again_when_they_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    plain = identity.hashlib.file_digest

    def counting(stream: Any, name: str) -> Any:
        hashed.append(Path(stream.name).name)
        return plain(stream, name)

    def load() -> list[str]:
        """Load the set as a new process would, and return what was hashed for it."""
        identity._notes.clear()
        hashed.clear()
        load_set(root, "ck48")
        return sorted(hashed)

    monkeypatch.setattr(identity, "SETTLED", 0)
    monkeypatch.setattr(identity.hashlib, "file_digest", counting)
    assert load() == [IMAGES, MANIFEST]
    assert load() == []
    content = (root / "ck48" / IMAGES).read_bytes()
    (root / "ck48" / "again.npy").write_bytes(content)
    (root / "ck48" / "again.npy").replace(root / "ck48" / IMAGES)
    assert load() == [IMAGES]  # the same bytes in another file
    assert load() == []
    before = (root / "ck48" / IMAGES).stat()
    with (root / "ck48" / IMAGES).open("r+b") as stream:  # same file, same size, and the clock turned back
        stream.seek(1000)
        stream.write(b"edited")
    os.utime(root / "ck48" / IMAGES, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"images\.npy: changed since"):
        load()
    assert hashed == [IMAGES]


def test_what_was_written_a_moment_ago_is_not_remembered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "ck48" / IMAGES
    monkeypatch.setattr(identity, "SETTLED", 3600 * 10**9)
    identity.file_hash(path)
    assert path.name not in identity.notes_of(path.parent)
    monkeypatch.setattr(identity, "SETTLED", 0)
    identity.file_hash(path)
    assert identity.notes_of(path.parent)[path.name][0] == mark_of(path)


def test_where_the_set_cannot_be_written_hashes_are_kept_in_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = identity.write_text
    kept = root / "ck48" / identity.VERIFIED
    kept.write_text(json.dumps({IMAGES: [[0, 0, 0, 0], "0" * 64]}))  # from when the folder could be written

    def write(path: Path, text: str) -> None:
        if path.parent == root / "ck48":
            raise PermissionError(13, "Permission denied", str(path))
        plain(path, text)

    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "SETTLED", 0)
    monkeypatch.setattr(identity, "write_text", write)
    identity._notes.clear()
    load_set(root, "ck48")
    identity._notes.clear()
    monkeypatch.setattr(identity.hashlib, "file_digest", None)  # would fail if it were called
    load_set(root, "ck48")
    assert json.loads(kept.read_text()) == {IMAGES: [[0, 0, 0, 0], "0" * 64]}
    assert len(list((tmp_path / "cache" / "verified").iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"images.npy": 1}', b'{"images.npy": [1]}', b"\xff", b"[" * 100_000]
)
def test_damaged_notes_are_as_good_as_none(root: Path, content: bytes) -> None:
    identity._notes.clear()
    (root / "ck48" / identity.VERIFIED).write_bytes(content)
    assert load_set(root, "ck48").info.kept == 168
    edit_pixels(root / "ck48")
    with pytest.raises(DataError, match=r"images\.npy: changed since"):
        load_set(root, "ck48")


def test_check_hashes_every_file_whatever_is_remembered(root: Path, drawn: Path, fer: Fer, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "other")
    truth = tmp_path / "other" / "synth-basic" / TRUTH
    truth.write_bytes(truth.read_bytes() + b" ")
    called = fer("data", "check", "synth-basic", "--data-root", tmp_path / "other")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "truth.parquet: changed since the set was built" in called.err
    images = root / "ck48" / IMAGES
    identity.note(images.parent, {IMAGES: [mark_of(images), load_info(root, "ck48").files[IMAGES]]})
    images.write_bytes(b"")
    identity.note(images.parent, {IMAGES: [mark_of(images), load_info(root, "ck48").files[IMAGES]]})
    assert fer("data", "check", "ck48", "--data-root", root).code == 2


# --- damaged and old sets ----------------------------------------------------------------------------------------


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no pixels": (IMAGES, lambda path: path.write_bytes(b""), "changed since"),
    "half the pixels": (
        IMAGES,
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "changed since",
    ),
    "other numbers": (IMAGES, lambda path: np.save(path, np.zeros((168, 48, 48))), "changed since"),
    "objects": (IMAGES, lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True), "changed since"),
    "gone": (IMAGES, lambda path: path.unlink(), "no such file"),
    "a folder": (IMAGES, lambda path: (path.unlink(), path.mkdir()), "a folder, not a file"),
    "a pipe": (IMAGES, lambda path: (path.unlink(), os.mkfifo(path)), "a pipe, not a file"),
    "half a manifest": (MANIFEST, lambda path: path.write_bytes(path.read_bytes()[:5000]), "changed since"),
    "text for a manifest": (MANIFEST, lambda path: path.write_text("sample,label\n"), "changed since"),
    "a dangling manifest": (MANIFEST, lambda path: (path.unlink(), path.symlink_to("x")), "dangling link"),
    "empty": (INFO, lambda path: path.write_bytes(b""), "empty file"),
    "half": (INFO, lambda path: path.write_bytes(path.read_bytes()[:200]), "not JSON"),
    "a list": (INFO, lambda path: path.write_text("[1, 2]"), "no table of settings"),
    "bytes": (INFO, lambda path: path.write_bytes(b"\xff\xfe\x00\x01"), "not JSON"),
    "deep": (INFO, lambda path: path.write_text("[" * 100_000), "not JSON"),
    "a long number": (INFO, lambda path: path.write_text('{"scheme": ' + "9" * 10_000 + "}"), "not JSON"),
    "nothing in it": (INFO, lambda path: path.write_text("{}"), "built by another version of fer"),
    "no seal": (INFO, lambda path: path.write_text('{"scheme": 2, "name": "ck48"}'), "edited since"),
    "a pipe for settings": (INFO, lambda path: (path.unlink(), os.mkfifo(path)), "a pipe, not a file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.timeout(120)
def test_a_damaged_set_is_one_line_in_every_command(
    fer: Fer, root: Path, tmp_path: Path, study_file: Path, damage: str
) -> None:
    name, spoil, words = DAMAGES[damage]
    spoil(root / "ck48" / name)
    for command in (
        ["data", "check", "ck48"],
        ["data", "audit", "ck48"],
        ["data", "peek", "ck48", "--out", tmp_path / "x.png"],
        ["data", "combine", "both", "--of", "ck48,other", "--map", "basic-7"],
        ["ablate", "--study", study_file, "--plan", "--results", tmp_path / "results"],
    ):
        called = fer(*command, "--data-root", root)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), (command, called)
        assert called.err.startswith(f"error: {root / 'ck48' / name}: {words}"), called.err
        assert "build the set again with: fer data build ck48 --from FOLDER" in called.err
    listed = fer("data", "list", "--data-root", root)
    assert listed.code == 0
    assert ("unusable" in listed.err) == (name == INFO)
    assert sorted(path.name for path in root.iterdir()) == ["ck48"]


OLD: dict[str, Any] = {"name": "x", "fingerprint": "59dd6c855d41af41", "preprocessing": [{"step": "decode"}]}
"""What there is in a ``set.json`` of fer before schemes had numbers."""


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("ck48", {}, "fer data build ck48 --from FOLDER"),
        ("synth-basic", {"embedded": {"images": 20000, "size": 64, "subjects": 2000}}, "fer data build synth-basic"),
        ("mine", {"layout": "class folders"}, "fer data build mine --from FOLDER --layout folder"),
        ("mine", {"layout": "table list.csv"}, "fer data build mine --from FOLDER --layout csv"),
        (
            "lab",
            {"preprocessing": [{"step": "combine", "of": ["ck48", "jaffe"], "map": "basic-7"}], "image_size": 48},
            "fer data combine lab --of ck48,jaffe --map basic-7 --size 48",
        ),
    ],
)
def test_a_set_of_another_scheme_is_refused_with_the_command_that_builds_it(
    fer: Fer, tmp_path: Path, name: str, content: dict[str, Any], command: str
) -> None:
    (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / name / INFO).write_text(json.dumps(OLD | content))
    called = fer("data", "audit", name, "--data-root", tmp_path / "data")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert "built by another version of fer, whose fingerprints and results are not comparable" in called.err
    assert f"build the set again with: {command}" in called.err


@pytest.mark.parametrize("steps", [1, [], [1], {}, [{"step": "combine"}], [{"step": "combine", "of": {}}]])
def test_nothing_in_an_old_set_is_trusted(steps: Any) -> None:
    known = {"preprocessing": steps, "embedded": 1, "layout": []}
    assert build_command("ck48", known) == "fer data build ck48 --from FOLDER"
    assert build_command("synth-basic", known) == "fer data build synth-basic"
    assert build_command("synth-basic", {"embedded": {"size": "$(rm x)"}}) == "fer data build synth-basic --size '$(rm x)'"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], []),
        (["--size", "32", "--colour", "rgb"], ["--size", "32", "--colour", "rgb"]),
        (["--interpolation", "cubic", "--drop-duplicates"], ["--interpolation", "cubic", "--drop-duplicates"]),
        (
            ["--detect", "lbp", "--margin", "0.1", "--no-face", "keep"],
            ["--detect", "lbp", "--margin", "0.1", "--align", "none"],
        ),
    ],
)
def test_the_command_that_builds_a_set_again_repeats_its_options(
    options: list[str], words: list[str], fer: Fer, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for place, label in enumerate(["happy", "happy", "sad", "sad"]):
        path = tmp_path / "photos" / label / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if place == 3:
            shutil.copy(path.with_name("2.png"), path)
        else:
            Image.fromarray(rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)).save(path)
    called = fer(
        "data", "build", "mine", "--from", tmp_path / "photos", "--layout", "folder", *options, "--data-root", tmp_path
    )
    assert called.code == 0, called.err
    again = build_command("mine", load_info(tmp_path, "mine").model_dump(mode="json"))
    assert again.split() == ["fer", "data", "build", "mine", "--from", "FOLDER", "--layout", "folder", *words]


def test_results_on_another_build_are_not_mixed_in(
    fer: Fer, root: Path, tmp_path: Path, study_file: Path, compute: Compute
) -> None:
    here = compute.model_copy(update={"data_root": root})
    item = make_plan(str(study_file), Choice(), here).items[0]
    leave(item.folder, fake_result(item.run_id, item.run.config, fingerprint=item.fingerprint))
    rewrite(root / "ck48", fingerprint="0" * 16)
    places = ["--data-root", root, "--results", compute.results]
    planned = fer("ablate", "--study", study_file, "--plan", *places)
    assert planned.code == 0
    assert "on other builds of these sets are not used: 1 on ck48" in planned.err
    assert {line.split("\t")[1] for line in planned.out.splitlines()[1:]} == {"new"}
    (item.folder.path.parent / "damaged").mkdir()
    (item.folder.path.parent / "damaged" / "result.json").write_text("[]")
    called = fer("report", "--study", study_file, *places)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert f"runs under {compute.results} on other builds of these sets are not used: 1 on ck48" in called.err
    assert f"train it with: fer ablate --study {study_file}" in called.err
