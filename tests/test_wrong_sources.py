"""``--from`` at the wrong place: one line that says what is there and where to point."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_cli.data.build import build_own, build_set, scan_source
from fer_cli.data.cards import load_card
from fer_cli.data.importers import IMPORTERS
from fer_cli.data.importers.hints import few, where_to_point
from fer_cli.errors import DataError
from tests.conftest import FOLDERS, draw_set
from tests.trees import one_line, picture, pictures, write

Build = Callable[[Path, Path], object]


def by_card(name: str) -> Build:
    return lambda source, root: build_set(name, source, root)


def by_folder(source: Path, root: Path) -> object:
    return build_own("mine", source, "folder", None, root)


def by_table(source: Path, root: Path) -> object:
    return build_own("mine", source, "csv", None, root)


def refusal(build: Build, source: Path, root: Path) -> pytest.ExceptionInfo[DataError]:
    with pytest.raises(DataError) as raised:
        build(source, root)
    assert not root.exists()
    return raised


@pytest.mark.parametrize("name", sorted(IMPORTERS))
@pytest.mark.parametrize("file", ["a.png", "notes.txt", "list.dat"])
def test_a_file_is_not_called_a_missing_folder(tmp_path: Path, name: str, file: str) -> None:
    source = picture(tmp_path / file) if file.endswith("png") else write(tmp_path / file, "hello")
    with pytest.raises(DataError) as raised:
        scan_source(load_card(name), source)
    one_line(raised, f"{source}: a file, not a folder")
    with pytest.raises(DataError) as raised:
        scan_source(load_card(name), tmp_path / "gone")
    one_line(raised, f"{tmp_path / 'gone'}: no such folder")


@pytest.mark.parametrize("build", [by_folder, by_table])
def test_own_layouts_tell_a_file_from_a_missing_folder(tmp_path: Path, build: Build) -> None:
    source = picture(tmp_path / "a.png")
    one_line(refusal(build, source, tmp_path / "data"), "a file, not a folder" if build is by_folder else "not a csv")
    one_line(refusal(build, tmp_path / "gone", tmp_path / "data"), "no such f")


def test_leavings_of_archives_do_not_block_good_images(tmp_path: Path) -> None:
    source = draw_set(tmp_path / "CK+48", 2)
    before = scan_source(load_card("ck48"), source)
    for leaving in ("__MACOSX/happy/._a.png", "MACOSX/._b.png", "demo/.DS_Store", "old/.cache/a.png"):
        write(source / leaving, "x")
    (source / "empty").mkdir()
    assert scan_source(load_card("ck48"), source).found == before.found


def test_a_side_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    for folder, image in (("test_cropped", "a.png"), ("demo", "deep/b.png")):
        source = draw_set(tmp_path / folder / "CK+48", 2)
        picture(source / folder / image)
        raised = refusal(by_card("ck48"), source, tmp_path / "data")
        one_line(raised, f"{source / folder}: unknown class folder", f"if it is not a class, move it out of {source}")


def test_a_renamed_class_is_refused_with_the_words_of_the_card(tmp_path: Path) -> None:
    source = draw_set(tmp_path / "CK+48", 2)
    (source / "contempt").rename(source / "neutral")
    known = next(text for text in load_card("ck48").defects if "neutral" in text)
    assert "renames contempt to neutral" in known
    one_line(refusal(by_card("ck48"), source, tmp_path / "data"), str(source / "neutral"), f"its card says: {known}")
    assert load_card("ck48").words_on("hapy") == load_card("ck48").words_on("7") == ""


@pytest.mark.parametrize("build", [by_card("ck48"), by_card("jaffe"), by_folder], ids=["ck48", "jaffe", "own"])
def test_one_class_folder_points_to_the_folder_above(tmp_path: Path, build: Build) -> None:
    source = draw_set(tmp_path / "faces", 2)
    raised = refusal(build, source / "happy", tmp_path / "data")
    one_line(raised, f"; happy is one class of several (anger is beside it): give --from {source}")


def test_one_part_and_a_folder_beside_its_labels_point_to_the_folder_above(tmp_path: Path) -> None:
    for part in ("train", "test"):
        pictures(tmp_path / "set" / part, ["a.png", "b.png"])
    raised = refusal(by_folder, tmp_path / "set" / "train", tmp_path / "data")
    one_line(raised, f"train is one part of several (test is beside it): give --from {tmp_path / 'set'}")
    home = tmp_path / "raf"
    pictures(home / "Image" / "aligned", ["train_00001_aligned.jpg"])
    write(home / "list_patition_label.txt", "train_00001.jpg 5")
    for source in (home / "Image", home / "Image" / "aligned"):
        raised = refusal(by_card("rafdb"), source, tmp_path / "data")
        one_line(raised, f"list_patition_label.txt is beside Image: if it holds the labels, give --from {home}")
    shutil.rmtree(home / "Image")
    assert where_to_point(tmp_path / "set") == ""


def test_a_long_list_of_differences_is_cut_and_counted(tmp_path: Path) -> None:
    assert few(["a", "b", "c"], 3) == "a, b, c"
    assert few(list("abcdefg"), 3) == "a, b, c and 4 more"
    source = draw_set(tmp_path / "CK+48", 2)
    raised = refusal(by_card("ck48"), source, tmp_path / "data")
    one_line(raised, "angry 4 (card: 135), ", f" and {len(FOLDERS) + 2 - 5} more; is it complete?")
    text: Any = str(raised.value)
    assert text.count("(card:") == 5
