"""Tables of pixels of one's own: square grey pictures in cells, in CSV and Parquet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_cli.data.build import Choices, build_own
from fer_cli.data.importers.rows import row_part
from fer_cli.data.manifest import load_info, load_set
from fer_cli.data.own import Own, scan_own
from fer_cli.errors import DataError
from tests.conftest import Called
from tests.test_importers_labels import adds_up, build, refused
from tests.trees import one_line, picture, write

Fer = Callable[..., Called]


SIDE = 10


def row(seed: int, side: int = SIDE) -> str:
    return " ".join(map(str, np.random.default_rng(seed).integers(0, 256, side * side)))


def image_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SIDE * SIDE).astype(np.uint8).reshape(SIDE, SIDE)


def table(file: Path) -> Path:
    parts = ("Training", "PublicTest", "PrivateTest", "Training")
    frame = pd.DataFrame(
        {
            "emotion": [0, 3, 0, 3],
            "pixels": [row(seed) for seed in range(4)],
            "Usage": parts,
            "subject": ["p1", "p2", "p3", "p1"],
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file)
    return file


@pytest.mark.parametrize("name", ["own.csv", "own.parquet"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_rows_of_pixels_become_images_with_parts_and_people(tmp_path: Path, name: str, as_folder: bool) -> None:
    file = table(tmp_path / "set" / name)
    how = Choices({"size": SIDE})
    source = file.parent if as_folder else file
    info = build_own("mine", source, "csv", None, tmp_path / "data", choices=how, codes="0=angry,3=happy")
    assert (info.kept, info.classes, info.subjects, info.layout) == (4, ["angry", "happy"], 3, f"table {name} of pixels")
    built = load_set(tmp_path / "data", "mine")
    rows = {str(one.name): (one.label, one.split, one.subject) for one in built.manifest.itertuples(index=False)}
    assert rows == {
        "row00001": ("angry", "train", "p1"),
        "row00002": ("happy", "public", "p2"),
        "row00003": ("angry", "private", "p3"),
        "row00004": ("happy", "train", "p1"),
    }
    for place, sample in enumerate(built.manifest["name"]):
        assert (built.images.packed[place] == image_of(int(sample[3:]) - 1)).all()


def test_csv_parquet_and_zip_of_one_table_are_one_set(tmp_path: Path) -> None:
    import zipfile

    prints = set()
    table(tmp_path / "a" / "own.csv")
    for kind in ("own.csv", "own.parquet"):
        info = build_own("mine", table(tmp_path / kind / kind), "csv", None, tmp_path / f"d{kind}", codes="0=angry,3=happy")
        prints.add(info.fingerprint)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.write(tmp_path / "own.parquet" / "own.parquet", "own.parquet")
    prints.add(build_own("mine", tmp_path / "x.zip", "csv", None, tmp_path / "dz", codes="0=angry,3=happy").fingerprint)
    assert len(prints) == 1


def test_two_columns_of_one_name_in_parquet_are_one_line(tmp_path: Path) -> None:
    pd.DataFrame({"file": ["a.png"], "label": ["sad"], " label": ["happy"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError) as raised:
        build_own("mine", tmp_path / "t.parquet", "csv", None, tmp_path / "data")
    one_line(raised, "t.parquet: two columns are named 'label'; rename or remove one of them")


def test_lists_of_numbers_and_holes_in_parquet(tmp_path: Path) -> None:
    pixels = [list(map(int, row(seed).split())) for seed in range(4)]
    labels = ["happy", None, "sad", "happy"]
    pd.DataFrame({"pixels": pixels, "label": labels, "note": [{}] * 4}).drop(columns="note").to_parquet(
        tmp_path / "t.parquet"
    )
    info = build_own("mine", tmp_path / "t.parquet", "csv", None, tmp_path / "data", choices=Choices({"size": SIDE}))
    assert (info.counts, info.skipped) == ({"happy": 2, "sad": 1}, {"row without a label": ["t.parquet, row 2"]})


def test_bytes_in_parquet_are_the_text_they_are(tmp_path: Path) -> None:
    for n in range(4):
        picture(tmp_path / f"é{n}.png", n)
    plain = {
        "file": [f"é{n}.png" for n in range(4)],
        "label": ["angry", "happy", "angry", "happy"],
        "subject": ["p1", "p2", "p1", None],
        "sequence": ["s1", "s2", "s1", ""],
        "split": ["train", "test", "train", "test"],
    }
    prints = set()
    for kind in (pa.string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.binary())):
        columns = {name: [None if cell is None else cell.encode() for cell in cells] for name, cells in plain.items()}
        arrays = {name: pa.array(cells, pa.binary()).cast(kind) for name, cells in columns.items()}
        pq.write_table(pa.table(arrays), tmp_path / "t.parquet")
        info = build_own("mine", tmp_path / "t.parquet", "csv", None, tmp_path / "data")
        assert (info.classes, info.subjects, info.kept) == (["angry", "happy"], 2, 4)
        prints.add(info.fingerprint)
    assert len(prints) == 1


@pytest.mark.parametrize("column", ["file", "label", "subject", "sequence", "split"])
@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([b"a", b"\xff"], "holds bytes that are not UTF-8 text; write it as text"),
        ([{"a": 1}, {"a": 2}], "holds records, not text; write one column for each of their fields"),
    ],
)
def test_bytes_and_records_that_are_no_text_are_one_line(
    column: str, cells: list[object], words: str, tmp_path: Path
) -> None:
    columns: dict[str, list[object]] = {"file": ["a.png", "b.png"], "label": ["sad", "happy"], column: cells}
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), tmp_path / "t.parquet")
    with pytest.raises(DataError) as raised:
        build_own("mine", tmp_path / "t.parquet", "csv", None, tmp_path / "data")
    one_line(raised, f"column '{column}' {words}")


WRONG = {
    "cut short": (" ".join(row(9).split()[:-1]), "99 pixels, not a square image"),
    "cut short to a square": (row(9, 9), "81 pixels, most rows have 10 x 10"),
    "a word": (row(9).replace(" ", " x ", 1), "'x' is not a pixel"),
    "too large": (f"256 {row(9).split(' ', 1)[1]}", "'256' is not a pixel"),
    "below nothing": (f"-1 {row(9).split(' ', 1)[1]}", "'-1' is not a pixel"),
    "a fraction": (f"0.5 {row(9).split(' ', 1)[1]}", "'0.5' is not a pixel"),
    "empty": ("", "0 pixels, not a square image"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_row_that_cannot_be_read_is_unreadable_with_its_reason(fer: Fer, tmp_path: Path, kind: str) -> None:
    cell, reason = WRONG[kind]
    write(tmp_path / "own.csv", "label,pixels", f"happy,{row(1)}", f"sad,{row(2)}", f"sad,{cell}", f"happy,{row(3)}")
    refused(
        build(fer, tmp_path / "data", tmp_path / "own.csv", "--layout", "csv"), "1 of 4 images", reason, "--allow-incomplete"
    )
    called = build(fer, tmp_path / "data", tmp_path / "own.csv", "--layout", "csv", "--allow-incomplete")
    assert called.code == 0
    info = load_info(tmp_path / "data", "mine")
    assert list(info.unreadable) == ["own.csv [row00003]"]
    assert reason in info.unreadable["own.csv [row00003]"]
    assert adds_up(info) == {"in": 4, "kept": 3, "no face": 0, "unreadable": 1, "duplicate": 0, "left out": 0}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["emotion,pixels", f"0,{row(1)}", f"3,{row(2)}"], ["label 0, 3:", "--codes 0=NAME,3=NAME"]),
        (["pixels,note", f"{row(1)},x"], ["no column 'label' (or 'emotion') beside 'pixels'"]),
        (["label,emotion,pixels", f"happy,1,{row(1)}"], ["both columns 'label' and 'emotion' give the label"]),
        (["label,split,Usage,pixels", f"happy,train,train,{row(1)}"], ["both columns 'split' and 'Usage' give the split"]),
        (["label,pixels", "happy,1 2 3", "sad,x"], ["contains no row with readable pixels", "row00001: 3 pixels"]),
        (["label,pixels", f",{row(1)}"], ["no row with a label"]),
        (["label,pixels,Usage", f"happy,{row(1)},Trial", f"sad,{row(2)},Training"], ["line 2", "unknown part 'Trial'"]),
        (["label,pixels,frame", f"happy,{row(1)},x", f"sad,{row(2)},1"], ["line 2", "frame 'x' is not an integer"]),
        (["label,pixels", f"happy,{row(1)}", "sad"], ["line 3", "1 cells, the header has 2", "is the file complete?"]),
        (
            ["label,pixels,subject,sequence", f"happy,{row(1)},p1,s", f"sad,{row(2)},p2,s"],
            ["line 3", "sequence 's' belongs to subjects 'p1' and 'p2'"],
        ),
        (["label,pixels", f"happy,{row(1)}"], ["found happy; at least two classes"]),
    ],
)
def test_tables_of_pixels_that_cannot_be_read_give_one_line(
    fer: Fer, tmp_path: Path, lines: list[str], words: list[str]
) -> None:
    write(tmp_path / "own.csv", *lines)
    refused(build(fer, tmp_path / "data", tmp_path / "own.csv", "--layout", "csv"), "own.csv", *words)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["text", "cut", "empty", "damaged"])
def test_what_is_no_parquet_gives_one_line(fer: Fer, tmp_path: Path, kind: str) -> None:
    file = table(tmp_path / "own.parquet")
    content = file.read_bytes()
    middle = content.index(b"pixels") - 200
    damaged = content[:60] + bytes(40) + content[100:middle] + bytes(20) + content[middle + 20 :]
    file.write_bytes({"text": b"label,pixels\n", "cut": content[:-20], "empty": b"", "damaged": damaged}[kind])
    refused(build(fer, tmp_path / "data", file, "--layout", "csv", "--codes", "0=angry,3=happy"), "own.parquet")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 2**14), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_damage_to_a_parquet_table_ends_in_a_traceback(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    file = table(tmp_path / "own.parquet")
    content = bytearray(file.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    file.write_bytes(content)
    try:
        scan_own("mine", file, Own(layout="csv", codes="0=angry,3=happy"))
    except DataError as error:
        assert "\n" not in str(error)


def test_parts_are_known_by_every_word_in_use() -> None:
    words = {
        "Training": "train",
        " val": "val",
        "TEST": "test",
        "PublicTest": "public",
        "PrivateTest": "private",
        "": "none",
    }
    assert {word: row_part({"split": word}, "x") for word in words} == words
