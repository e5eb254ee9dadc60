"""A ``.zip`` as a source: the same set as its folder, read in place, and nothing else than its own pictures."""

import hashlib
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_cli.data import archive, video
from fer_cli.data.archive import LEADS_OUT, NO_FILE, Inside, archive_of, on_disk, parts_of, source_at
from fer_cli.data.build import build_own, build_set, scan_source
from fer_cli.data.cards import load_card
from fer_cli.data.check import check_set
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.walk import files_below
from fer_cli.data.manifest import load_info, load_set
from fer_cli.errors import DataError
from tests.conftest import Called, draw_set
from tests.test_importers_cross import TREES
from tests.test_importers_more import daisee_tree
from tests.trees import one_line, picture, pictures, write

Fer = Callable[..., Called]


def zipped(root: Path, file: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack a folder's content into a ``.zip``, in no order."""
    paths = sorted(root.rglob("*"))
    random.Random(3).shuffle(paths)
    with zipfile.ZipFile(file, "w", method) as packed:
        for path in paths:
            packed.write(path, path.relative_to(root).as_posix())
    return file


def packed(file: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return file


def faces(tmp_path: Path) -> dict[str, bytes]:
    names = ("happy/a.png", "happy/b.png", "sad/a.png", "sad/b.png")
    return {name: picture(tmp_path / "made" / name, level).read_bytes() for level, name in enumerate(names)}


def told(scan: Scan, root: Path) -> object:
    """All that a scan says, without where the source lies."""
    found = [replace(image, file=Path(image.file.relative_to(root).as_posix())) for image in scan.found]
    return (
        found,
        scan.layout,
        scan.counts,
        scan.others,
        scan.most,
        {why: sorted(names) for why, names in scan.skipped.items()},
    )


def outcome(name: str, source: Path) -> object:
    try:
        return told(scan_source(load_card(name), source), source)
    except DataError as error:
        return str(error).replace(str(source), "SOURCE")


@pytest.mark.parametrize("tree", TREES)
def test_every_importer_finds_in_an_archive_what_it_finds_in_the_folder(tmp_path: Path, tree: str) -> None:
    root = tmp_path / "set"
    root.mkdir()
    TREES[tree](root)
    name = tree.partition(",")[0].removeprefix("frames of ").split()[0]
    with source_at(zipped(root, tmp_path / "set.zip")) as source:
        assert archive_of(source) is not None
        assert outcome(name, source) == outcome(name, root)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_builds_the_set_of_its_folder_and_is_noted(tmp_path: Path, method: int) -> None:
    root = draw_set(tmp_path / "CK+48", 3)
    file = zipped(root, tmp_path / "ck48.ZIP", method)
    plain = build_set("ck48", root, tmp_path / "plain", allow_incomplete=True)
    info = build_set("ck48", file, tmp_path / "data", allow_incomplete=True)
    assert (info.fingerprint, info.kept, info.layout) == (plain.fingerprint, plain.kept, plain.layout)
    mine, theirs = load_set(tmp_path / "data", "ck48"), load_set(tmp_path / "plain", "ck48")
    assert mine.manifest.equals(theirs.manifest)
    assert (plain.archive, info.archive) == ({}, {"ck48.ZIP": hashlib.sha256(file.read_bytes()).hexdigest()})
    assert check_set(tmp_path / "data", "ck48", file).problems == check_set(tmp_path / "data", "ck48", root).problems


def test_films_of_an_archive_are_read_frame_by_frame_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    daisee_tree(tmp_path / "DAiSEE")
    plain = build_set("daisee", tmp_path / "DAiSEE", tmp_path / "plain", allow_incomplete=True)
    info = build_set("daisee", zipped(tmp_path / "DAiSEE", tmp_path / "d.zip"), tmp_path / "data", allow_incomplete=True)
    assert plain.kept > 10
    assert (info.fingerprint, info.skipped) == (plain.fingerprint, plain.skipped)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_folder_within_an_archive_and_a_link_to_one_are_sources(tmp_path: Path) -> None:
    draw_set(tmp_path / "all" / "CK+48", 2)
    pictures(tmp_path / "all" / "other", ["happy/a.png", "sad/b.png"])
    blob = zipped(tmp_path / "all", tmp_path / "blob")
    (tmp_path / "set.zip").symlink_to(blob)
    with pytest.raises(DataError) as raised:
        build_set("ck48", tmp_path / "set.zip", tmp_path / "data", allow_incomplete=True)
    one_line(raised, "class folders in both", "set.zip/CK+48", "set.zip/other", "give --from one of them")
    info = build_set("ck48", tmp_path / "set.zip" / "CK+48", tmp_path / "data", allow_incomplete=True)
    assert info.kept == 28
    with pytest.raises(DataError) as raised:
        build_set("ck48", tmp_path / "set.zip" / "none", tmp_path / "data")
    one_line(raised, "set.zip/none", "no such folder")


# What an archive may try

ESCAPES = {
    "../../out.png": LEADS_OUT,
    "happy/../../out.png": LEADS_OUT,
    "/etc/out.png": LEADS_OUT,
    "C:/out.png": LEADS_OUT,
    "c:out.png": LEADS_OUT,
    "..\\out.png": LEADS_OUT,
    "\\\\server\\out.png": LEADS_OUT,
}


def test_entries_that_lead_out_are_listed_and_never_read(fer: Fer, tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    entries = faces(tmp_path)
    bad = dict.fromkeys(ESCAPES, entries["sad/a.png"])
    link = zipfile.ZipInfo("happy/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(packed(home / "x.zip", entries | bad), "a") as packed_again:
        packed_again.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    called = fer("data", "build", "x", "--from", home / "x.zip", "--layout", "folder", "--data-root", tmp_path / "data")
    assert called.code == 0
    info = load_info(tmp_path / "data", "x")
    assert info.kept == 4
    assert info.skipped == {
        LEADS_OUT: [name.replace("\\", "\\x5c") for name in ESCAPES],
        NO_FILE: ["happy/link.png"],
    }
    assert "all" in called.out
    assert called.out.splitlines()[-1].split()[1:] == ["12", "4", "0", "0", "0", "8"]
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(tmp_path / "data")] == before


def named_twice(file: Path, entries: dict[str, bytes]) -> None:
    packed(file, entries)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as again:
        again.writestr("happy/a.png", b"other")


def flagged(file: Path, entries: dict[str, bytes]) -> None:
    content = bytearray(packed(file, entries).read_bytes())
    place = content.index(b"PK\1\2")
    content[place + 8] |= 1
    file.write_bytes(content)


def overlapping(file: Path, entries: dict[str, bytes]) -> None:
    """Let every entry say that it takes as much room as the whole archive."""
    content = bytearray(packed(file, entries).read_bytes())
    place = -1
    while (place := content.find(b"PK\1\2", place + 1)) >= 0:
        struct.pack_into("<I", content, place + 20, len(content) // 2)
    file.write_bytes(content)


def swollen(file: Path, entries: dict[str, bytes]) -> None:
    content = bytearray(packed(file, entries).read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 2**32 - 2)
    file.write_bytes(content)


def otherwise(file: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as lzma:
        lzma.writestr("happy/a.png", entries["happy/a.png"])


REFUSED: dict[str, tuple[Callable[[Path, dict[str, bytes]], object], list[str]]] = {
    "twice": (named_twice, ["two entries are called happy/a.png", "unpack it"]),
    "file and folder": (lambda file, entries: packed(file, entries | {"happy": b"x"}), ["two entries are called happy"]),
    "folder and file": (
        lambda file, entries: packed(file, {"happy": b"x"} | entries),
        ["two entries are called happy/a.png"],
    ),
    "slashes": (lambda file, entries: packed(file, entries | {"happy\\a.png": b"x"}), ["two entries are called"]),
    "encrypted": (flagged, ["happy/a.png is encrypted", "password"]),
    "overlapping": (overlapping, ["entries overlap", "zip bomb"]),
    "swollen": (swollen, ["unpacks to 4.0 GiB", "zip bomb"]),
    "lzma": (otherwise, ["compressed with unsupported method 14", "unpack it"]),
    "text": (lambda file, entries: file.write_text("hello"), ["not a readable .zip"]),
    "empty file": (lambda file, entries: file.write_bytes(b""), ["not a readable .zip (empty file)"]),
    "cut short": (
        lambda file, e: file.write_bytes(packed(file, e).read_bytes()[:-30]),
        ["not a readable .zip", "is it complete?"],
    ),
    "nothing in it": (lambda file, entries: packed(file, {}), ["contains no class folders"]),
    "a zip in it": (lambda file, entries: packed(file, {"inner.zip": b"x"}), ["it contains inner.zip", "unpack it"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_archives_that_are_not_read_give_one_line(fer: Fer, tmp_path: Path, kind: str) -> None:
    make, words = REFUSED[kind]
    make(tmp_path / "x.zip", faces(tmp_path))
    called = fer("data", "build", "x", "--from", tmp_path / "x.zip", "--layout", "folder", "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert all(word in called.err for word in ["x.zip", *words]), called.err
    assert not (tmp_path / "data").exists()


def test_a_damaged_entry_is_unreadable_and_a_damaged_table_is_one_line(fer: Fer, tmp_path: Path) -> None:
    entries = faces(tmp_path)
    content = packed(
        tmp_path / "x.zip", entries | {"list.csv": b"file,label\nhappy/a.png,happy\nsad/a.png,sad\n"}
    ).read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(entries["happy/b.png"][40:60], bytes(20), 1))
    info = build_own("x", tmp_path / "x.zip", "folder", None, tmp_path / "data", allow_incomplete=True)
    assert info.unreadable == {"happy/b.png": "damaged in its archive"}
    (tmp_path / "x.zip").write_bytes(content.replace(b"file,label", b"file,lapel", 1))
    called = fer("data", "build", "y", "--from", tmp_path / "x.zip", "--layout", "csv", "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert "x.zip/list.csv: damaged in its archive" in called.err


def test_a_zip_in_a_folder_is_counted_and_pointed_at(fer: Fer, tmp_path: Path) -> None:
    root = tmp_path / "src"
    for name, content in faces(tmp_path).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    packed(root / "more.zip", faces(tmp_path))
    where = ("--layout", "folder", "--data-root", tmp_path / "data")
    called = fer("data", "build", "x", "--from", root, *where)
    assert called.code == 0
    assert "1 .zip" in called.err
    assert "are not opened; to read one, pass it directly: --from PATH.zip" in called.err
    (tmp_path / "alone").mkdir()
    (root / "more.zip").rename(tmp_path / "alone" / "more.zip")
    for name, layout in (("y", where), ("jaffe", where[2:]), ("z", ("--layout", "csv", *where[2:]))):
        called = fer("data", "build", name, "--from", tmp_path / "alone", *layout)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert f"it contains more.zip, which is not opened: give --from {tmp_path / 'alone' / 'more.zip'}" in called.err


def test_rows_of_a_table_never_leave_the_archive(tmp_path: Path) -> None:
    picture(tmp_path / "secret.png")
    packed(tmp_path / "x.zip", faces(tmp_path) | {"list.csv": b"file,label\n../secret.png,happy\nsad/a.png,sad"})
    with pytest.raises(DataError) as raised:
        build_own("x", tmp_path / "x.zip", "csv", None, tmp_path / "data")
    one_line(raised, "line 2", "leads out of")


def test_an_archive_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = packed(tmp_path / "x.zip", faces(tmp_path))

    def touching(items: object, count: int) -> object:
        os.utime(file, ns=(1, 1))
        return items

    with pytest.raises(DataError, match="changed while being read"):
        build_own("x", file, "folder", None, tmp_path / "data", progress=touching)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


def test_an_interrupted_build_from_an_archive_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft knows an archive's entries by their size and the archive's time."""
    file = packed(tmp_path / "x.zip", faces(tmp_path))
    monkeypatch.setattr("fer_cli.data.pack.CHUNK", 1)

    def breaking(items: object, count: int) -> object:
        for place, item in enumerate(items):  # type: ignore[arg-type, var-annotated]
            if place == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        build_own("x", file, "folder", None, tmp_path / "data", progress=breaking)  # type: ignore[arg-type]
    left: list[int] = []
    info = build_own("x", file, "folder", None, tmp_path / "data", progress=lambda items, n: left.append(n) or items)
    assert (info.kept, left) == (4, [1])


# Paths in an archive are paths

NAMES = st.lists(st.sampled_from(["a", "b", ".", "..", "", "C:", "x.png", "é", "\\", " "]), min_size=1, max_size=5).map(
    "/".join
)


@given(NAMES)
def test_no_name_of_an_entry_leads_out(name: str) -> None:
    parts = parts_of(name)
    if parts is not None:
        assert all(part not in {"", ".", ".."} for part in parts)
        assert os.path.normpath("/base/" + "/".join(parts)).startswith("/base/")
        assert not parts[0].startswith("C:")
    else:
        slashes = name.replace("\\", "/")
        first = next((part for part in slashes.split("/") if part not in {"", "."}), "")
        assert (
            slashes.startswith("/")
            or first.startswith("C:")
            or ".." in slashes.split("/")
            or not slashes.replace("/", "").replace(".", "")
        )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.sets(st.lists(st.sampled_from("abc"), min_size=2, max_size=4).map(lambda parts: "/".join(parts) + ".png")))
def test_a_tree_in_an_archive_is_walked_and_read_as_on_the_disk(tmp_path: Path, paths: set[str]) -> None:
    folder = tmp_path / f"{abs(hash(frozenset(paths)))}"
    folder.mkdir(exist_ok=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode() * 1000)
    with source_at(zipped(folder, tmp_path / "x.zip")) as root:
        mine, theirs = list(files_below(root)), list(files_below(folder))
        assert [f.relative_to(root) for f in mine] == [f.relative_to(folder) for f in theirs]
        assert [f.read_bytes() for f in mine] == [f.read_bytes() for f in theirs]
        assert [f.stat().st_size for f in mine] == [f.stat().st_size for f in theirs]
        assert {type(f) for f in mine} <= {type(root)}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_archive_gives_pictures_or_one_error(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(
        packed(tmp_path / "x.zip", {"happy/a.pgm": b"P5 8 8 255 " + bytes(64), "sad/b.txt": b"abc"}).read_bytes()
    )
    for place, value in changes:
        content[-1 - place % len(content)] = value
    (tmp_path / "x.zip").write_bytes(content)
    try:
        with source_at(tmp_path / "x.zip") as root:
            for file in files_below(root, {".pgm", ".txt"}):
                file.read_bytes()
    except (DataError, OSError) as error:
        assert "\n" not in str(error)


def test_what_is_in_an_archive_answers_as_files_do(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a" / "list.csv", "héllo", "two", bom=True)
    write(tmp_path / "beside.txt", "outside")
    with source_at(zipped(tmp_path / "in", tmp_path / "x.zip")) as root:
        assert isinstance(root, Inside)
        file = root / "a" / "list.csv"
        assert (root.is_dir(), root.is_file(), file.is_dir(), file.is_file()) == (True, False, False, True)
        assert (file.exists(), (root / "b").exists(), file.is_symlink()) == (True, False, False)
        assert file.read_text(encoding="utf-8-sig").splitlines() == ["héllo", "two"]
        with file.open("rb") as stream:
            stream.seek(-3, io.SEEK_END)
            assert (stream.read(), stream.seek(3), stream.read(2)) == (b"two", 3, b"h\xc3")
        assert (root.parent / "beside.txt").read_text() == "outside"
        assert (file.resolve(), file.lstat().st_size) == (file, 13)
        for wrong in (root / "none", root / "a", file / "below"):
            with pytest.raises(OSError, match=r"none|a|below"):
                wrong.read_bytes()
        with pytest.raises(OSError, match="none"):
            list((root / "none").iterdir())
        with pytest.raises(OSError, match="Read-only"):
            file.write_bytes(b"x")
        with on_disk(file) as copy:
            assert copy.read_bytes() == file.read_bytes()
            assert copy.stat().st_mode & 0o077 == 0 or copy.parent.stat().st_mode & 0o077 == 0
        assert not copy.exists()


def test_a_damaged_film_has_no_frames_but_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(tmp_path / "x.zip", {"a.avi": b"RIFF" * 99}).read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(b"RIFF", b"RIFE", 1))
    with source_at(tmp_path / "x.zip") as root:
        assert video.frame_count(root / "a.avi") == 0
        monkeypatch.setattr(archive.shutil, "copyfileobj", full)
        with pytest.raises(OSError, match="No space"):
            video.frame_count(root / "a.avi")


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")
