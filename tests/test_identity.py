"""A set is its content: one fingerprint wherever its files lie, and none for files that were changed since."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.ablate import make_plan
from fer_cli.config import DataConfig, Machine
from fer_cli.data import identity
from fer_cli.data.build import Choices, build_own, build_set
from fer_cli.data.cards import Embedded, load_card
from fer_cli.data.combine import combine_sets
from fer_cli.data.identity import fingerprint, image_hash, mark_of, sample_ids
from fer_cli.data.importers.found import Found
from fer_cli.data.manifest import IMAGES, INFO, MANIFEST, TRUTH, build_command, load_info, load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from fer_cli.study import Choice
from fer_cli.synthetic import body, mesh, recipe
from fer_cli.synthetic.build import build_embedded
from fer_cli.synthetic.recipe import recipe_fingerprint
from tests.conftest import Called, draw_face, draw_set
from tests.sets import rewrite

Fer = Callable[..., Called]
SUBJECT = r"(?P<subject>S\d+)_(?P<sequence>\d+)_(?P<frame>\d+)"


@pytest.fixture
def root(data_root: Path, tmp_path: Path) -> Path:
    """A data root of its own with the drawn faces."""
    shutil.copytree(data_root / "ck48", tmp_path / "data" / "ck48")
    return tmp_path / "data"


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
    for row, image in zip(faces.manifest.itertuples(), faces.images, strict=True):
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
        return fingerprint(table, image_hash(pixels), [{"step": step}], list(classes))

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


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a few embedded faces."""
    root = tmp_path_factory.mktemp("drawn")
    build_embedded("synth-basic", root, {"images": 8, "subjects": 2, "size": 24, "seed": 3})
    return root


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
    }
    assert set(changes) == set(Embedded.model_fields)
    marks = {recipe_fingerprint(options.model_copy(update={key: value}), ["happy"]) for key, value in changes.items()}
    marks |= {recipe_fingerprint(options, ["happy"]), recipe_fingerprint(options, ["sad"])}
    gestures = options.model_copy(update={"recipes": "gesture"})
    for module, name in ((recipe, "VERSION"), (mesh, "HEAD_SHA256"), (body, "BODY_SHA256")):
        marks.add(recipe_fingerprint(gestures, ["happy"]))
        monkeypatch.setattr(module, name, 99)
        marks.add(recipe_fingerprint(options, ["happy"]))
    assert len(marks) == len(changes) + 2 + 3 + 2


def test_a_set_that_an_earlier_version_drew_is_refused(
    fer: Fer, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "VERSION", 99)
    called = fer("ablate", "--study", "scn-cs", "--plan", "--data-root", drawn, "--results", tmp_path / "results")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert "drawn by another version of fer" in called.err
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


# --- verified files ----------------------------------------------------------------------------------------------


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
        assert called.err.endswith("build the set again with: fer data build ck48 --from FOLDER\n")
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
    os.utime(path)
    identity.file_hash(path)
    assert path.name not in identity.notes_of(path.parent)
    monkeypatch.setattr(identity, "SETTLED", 0)
    identity.file_hash(path)
    assert identity.notes_of(path.parent)[path.name][0] == mark_of(path)


def test_where_the_set_cannot_be_written_hashes_are_kept_in_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = identity.write_text

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
    assert not (root / "ck48" / identity.VERIFIED).exists()
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
    assert "built by another version of fer, whose fingerprints mean something else, as do results on it" in called.err
    assert f"build the set again with: {command}" in called.err


@pytest.mark.parametrize("steps", [1, [], [1], {}, [{"step": "combine"}], [{"step": "combine", "of": {}}]])
def test_nothing_in_an_old_set_is_trusted(steps: Any) -> None:
    known = {"preprocessing": steps, "embedded": 1, "layout": []}
    assert build_command("ck48", known) == "fer data build ck48 --from FOLDER"
    assert build_command("synth-basic", known) == "fer data build synth-basic"
    assert build_command("synth-basic", {"embedded": {"size": "$(rm x)"}}) == "fer data build synth-basic --size '$(rm x)'"


def test_results_on_another_build_are_not_mixed_in(
    fer: Fer, root: Path, tmp_path: Path, study_file: Path, machine: Machine
) -> None:
    here = machine.model_copy(update={"data_root": root})
    item = make_plan(str(study_file), Choice(), here).items[0]
    item.folder.path.mkdir(parents=True)
    config = item.run.config.model_dump(mode="json")
    result = {"config": config, "fingerprint": item.fingerprint, "seconds": {"total": 1.0}, "machine": {"threads": 1}}
    item.folder.file("result.json").write_text(json.dumps(result))
    rewrite(root / "ck48", fingerprint="0" * 16)
    places = ["--data-root", root, "--results", machine.results]
    planned = fer("ablate", "--study", study_file, "--plan", *places)
    assert planned.code == 0
    assert "on other builds of these sets, which are not used: 1 on ck48" in planned.err
    assert {line.split("\t")[1] for line in planned.out.splitlines()[1:]} == {"new"}
    (item.folder.path.parent / "damaged").mkdir()
    (item.folder.path.parent / "damaged" / "result.json").write_text("[]")
    called = fer("report", "--study", study_file, *places)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert f"runs under {machine.results} on other builds of these sets, which are not used: 1 on ck48" in called.err
    assert f"train it with: fer ablate --study {study_file}" in called.err
