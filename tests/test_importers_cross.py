"""Each set's fake tree under each importer: nothing passes as a set that it is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.data.build import build_set, scan_source
from fer_cli.data.cards import load_card
from fer_cli.data.check import check_set
from fer_cli.data.compare import check_scan
from fer_cli.data.importers import IMPORTERS
from fer_cli.errors import DataError
from tests.conftest import draw_set
from tests.test_data import Fer
from tests.test_importers_daisee import named_crops
from tests.test_importers_lab import SOME, draw_920, draw_ckplus
from tests.test_importers_mmi import draw_session, frames_of, metatag
from tests.test_importers_more import daisee_tree, imfdb_tree
from tests.test_importers_portraits import draw_fei, jaffe_names, kdef_names, put
from tests.test_importers_wild import expw, fer_table, ferplus_lists, ferplus_tables
from tests.test_importers_wild_folders import affect_new, affect_old, raf
from tests.trees import one_line, pictures

SIX = ("angry", "disgust", "fear", "happy", "sad", "surprise")
SEVEN = (*SIX, "neutral")
EIGHT = (*SEVEN, "contempt")
CODES = tuple(zip(SEVEN, ("AN", "DI", "AF", "HA", "SA", "SU", "NE"), strict=True))


def mmi(root: Path) -> Path:
    put(root, *frames_of("S001_100", 39, 40, 41), *frames_of("S050_003", 30, 31, 32))
    (root / "emotion_labels.csv").write_text("sequence,emotion\nS001_100,sadness\nS050_003,fear")
    return root


def mmi_videos(root: Path) -> Path:
    draw_session(root, 1, "S001-100", metatag("fear"))
    return draw_session(root, 2, "S002-100", metatag("anger"), size=(48, 32))


def fer2013(root: Path) -> Path:
    return put(
        root, *(f"{part}/{label}/{part}_{n}.jpg" for part in ("Training", "PrivateTest") for n, label in enumerate(SEVEN))
    )


TREES: dict[str, Callable[[Path], object]] = {
    "affectnet": affect_new,
    "affectnet, older": lambda root: put(affect_old(root), "Manually_Annotated_Images/500/ff.jpg"),
    "ck48": lambda root: draw_set(root, 4),
    "ckplus": lambda root: draw_ckplus(root, SOME),
    "ckplus920": lambda root: draw_920(root, load_card("ckplus920").codes),
    "daisee": daisee_tree,
    "daisee, pictures": named_crops,
    "expw": expw,
    "fei": draw_fei,
    "fer2013": fer2013,
    "fer2013, table": lambda root: fer_table(root / "fer2013.csv"),
    "ferplus": ferplus_lists,
    "ferplus, tables": lambda root: ferplus_tables(root / "FERPlus"),
    "ferplus, folders": lambda root: put(root, *(f"train/{label}/fer{n:07d}.png" for n, label in enumerate(EIGHT))),
    "imfdb": imfdb_tree,
    "jaffe": lambda root: put(root, *(f"jaffe/{name}.tiff" for name in jaffe_names())),
    "jaffe, folders": lambda root: put(root, *(f"{name.split('.')[1][:2]}/{name}.png" for name in jaffe_names())),
    "kdef": lambda root: put(root, *(f"KDEF/{name}" for name in kdef_names()[:70])),
    "kdef, folders": lambda root: put(root, *(f"{label}/AF01{code}S.JPG" for label, code in CODES)),
    "mmi": mmi,
    "mmi, videos": mmi_videos,
    "frames of mmi in folders": lambda root: put(root, *(f"{label}/S001_100_0{n}.png" for n, label in enumerate(SIX))),
    "olsfed": lambda root: put(root, *(f"{label}/a.jpg" for label in ("confusion", "distraction", "enjoyment", "fatigue"))),
    "rafdb": lambda root: raf(root / "basic"),
    "rafdb, words": lambda root: put(root, *(f"train/{word}/train_{n:05d}_aligned.jpg" for n, word in enumerate(SEVEN))),
    "rafdb, numbers": lambda root: put(root, *(f"DATASET/train/{n}/train_{n:05d}_aligned.jpg" for n in range(1, 8))),
    "rafdb-compound": lambda root: raf(root / "compound", codes=11),
}
"""The sixteen sets, and re-packs of them that are folders of classes -> what writes one."""
OVERLAPS = {
    ("ckplus", "ck48"): "CK+48 is the last three frames of each sequence of CK+, under the same names",
    ("fer2013", "ferplus, tables"): "the pixels of FER+ are FER2013's own table",
}
"""(Importer, tree) that fit although the names differ, and why that is right."""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("sets")
    places = {name: home / str(number) for number, name in enumerate(TREES)}
    for name, root in places.items():
        TREES[name](root)
    return places


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("name", IMPORTERS)
def test_no_set_passes_as_another_even_where_counts_may_differ(trees: dict[str, Path], name: str, tree: str) -> None:
    card, source = load_card(name), trees[tree]
    if tree.partition(",")[0] == name or (name, tree) in OVERLAPS:
        check_scan(card, scan := scan_source(card, source), source, allowed=True)
        assert scan.found
        return
    with pytest.raises(DataError) as raised:
        check_scan(card, scan_source(card, source), source, allowed=True)
    one_line(raised)


def test_own_trees_that_are_whole_pass_and_counts_alone_tell_a_set_of_plain_names(tmp_path: Path) -> None:
    counts = load_card("jaffe").counts
    plain = put(tmp_path / "plain", *(f"{label}/im{n}.png" for label, total in counts.items() for n in range(total)))
    with pytest.raises(DataError) as raised:
        build_set("affectnet", plain, tmp_path / "data", allow_incomplete=True)
    one_line(raised, "213 images", "JAFFE", "build it as jaffe")
    info = build_set("jaffe", plain, tmp_path / "data")
    assert (info.kept, info.expected, info.differences) == (213, {}, [])


def test_a_folder_above_two_sets_does_not_pass_as_one_of_them(tmp_path: Path) -> None:
    put(tmp_path / "raf", *(f"train/{word}/train_{n:05d}_aligned.jpg" for n, word in enumerate(SEVEN)))
    fer2013(tmp_path / "fer")
    with pytest.raises(DataError) as raised:
        build_set("rafdb", tmp_path, tmp_path / "data", allow_incomplete=True)
    one_line(raised, "file name of fer2013, not of rafdb", "move it out of the folder")


def test_no_set_has_more_than_its_card_says(tmp_path: Path) -> None:
    pictures(tmp_path / "src", (f"{label}/p{n}.png" for label in SEVEN for n in range(31)))
    with pytest.raises(DataError) as raised:
        build_set("jaffe", tmp_path / "src", tmp_path / "data", allow_incomplete=True)
    one_line(raised, "217 images, but jaffe has only 213", "--layout")
    assert not (tmp_path / "data").exists()


def test_agree_is_said_only_where_counts_were_compared(fer: Fer, tmp_path: Path) -> None:
    root = tmp_path / "data"
    pictures(tmp_path / "src", (f"{label}/p{n}.png" for label in SEVEN for n in range(2)))
    built = fer("data", "build", "jaffe", "--from", tmp_path / "src", "--data-root", root)
    assert built.code == 0
    assert "not compared: this layout has no known counts" in built.err
    checked = fer("data", "check", "jaffe", "--data-root", root)
    assert checked.code == 0
    assert "not compared: this layout has no known counts" in checked.err
    assert not any(words in built.err + checked.err for words in ("counts agree", "everything agrees"))
    assert all(count.card is None for count in check_set(root, "jaffe").counts)


def test_a_rebuild_says_what_it_replaces_and_shrinks_nothing_unasked(fer: Fer, tmp_path: Path) -> None:
    root = tmp_path / "data"
    source = pictures(tmp_path / "src", (f"{label}/p{n}.png" for label in SEVEN for n in range(2)))
    command = ("data", "build", "jaffe", "--from", source, "--data-root", root)
    first = fer(*command)
    assert "replaced" not in first.err
    again = fer(*command)
    fingerprint = check_set(root, "jaffe").info.fingerprint
    assert f"replaced a set of 14 images, fingerprint {fingerprint}" in again.err
    (source / "sad" / "p0.png").unlink()
    less = fer(*command)
    assert less.code == 2
    assert less.err.count("\n") == 1
    assert f"has 14 images (fingerprint {fingerprint}), this build only 13; pass --replace" in less.err
    assert check_set(root, "jaffe").info.kept == 14
    assert fer(*command, "--replace").code == 0
    assert check_set(root, "jaffe").info.kept == 13
