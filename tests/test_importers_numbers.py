"""Numbers that no manifest stores: one line that says where each stands, before any image is decoded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.data.build import build_own, scan_source
from fer_cli.data.cards import load_card
from fer_cli.data.files import LARGEST, read_number
from fer_cli.errors import DataError
from tests.test_importers_mmi import frames_of
from tests.test_importers_more import imfdb_row
from tests.trees import one_line, pictures, write

HUGE = 10**20


def mmi(root: Path) -> None:
    pictures(root, frames_of("S001_100", 1, HUGE))
    write(root / "emotion_labels.csv", "S001_100,fear")


def imfdb(root: Path) -> None:
    film = root / "Rekha" / "Silsila"
    pictures(film / "images", [f"Rekha_{HUGE}.jpg"])
    write(film / "Silsila.txt", imfdb_row(f"Rekha_{HUGE}.jpg", "FEAR"))


def expw(root: Path) -> None:
    pictures(root, ["a.jpg"])
    write(root / "label.lst", f"a.jpg {HUGE} 1 2 9 9 50 3")


def daisee(root: Path) -> None:
    pictures(root, ["train_5358/2_2095.jpg", f"train_5358/0_1_{HUGE}.jpg", "test_1/1_1.jpg"])


@pytest.mark.parametrize("tree", [mmi, imfdb, expw, daisee])
def test_a_huge_number_in_a_set_is_one_line(tmp_path: Path, tree: Callable[[Path], None]) -> None:
    tree(tmp_path)
    with pytest.raises(DataError) as raised:
        scan_source(load_card(tree.__name__), tmp_path)
    one_line(raised, str(tmp_path), f"number {HUGE} is too large; the largest is {LARGEST}")


@pytest.mark.parametrize("frame", [str(HUGE), "9" * 5000])
def test_a_huge_frame_of_ones_own_is_one_line(tmp_path: Path, frame: str) -> None:
    pictures(tmp_path, ["happy/p1.jpg", f"sad/p1_{HUGE}.jpg"])
    write(tmp_path / "list.csv", "file,label,frame", f"happy/p1.jpg,happy,{frame}", f"sad/p1_{HUGE}.jpg,sad,2")
    with pytest.raises(DataError) as raised:
        build_own("mine", tmp_path, "csv", None, tmp_path / "data")
    one_line(raised, "list.csv, line 2", "is too large")
    with pytest.raises(DataError) as raised:
        build_own("mine", tmp_path, "folder", r"(?P<subject>p\d)(_(?P<frame>\d+))?", tmp_path / "data")
    one_line(raised, f"p1_{HUGE}.jpg", "is too large")


def test_the_largest_number_and_leading_zeros_are_read() -> None:
    assert read_number("0" * 5000 + str(LARGEST), "x") == LARGEST
    with pytest.raises(DataError, match=r"^x: number 9223372036854775808 is too large"):
        read_number(str(LARGEST + 1), "x")
