"""The table of predictions: its cells, a file that ends with a whole line, and which files may be written."""

import csv
import errno
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_cli.errors import DataError
from fer_cli.use.predict import Seen
from fer_cli.use.table import COLUMNS, CsvFile, csv_line, head_line, is_replaceable, lines_of
from fer_cli.use.windows import Sighting


def sighting(face: int = 3) -> Sighting:
    return Sighting(face, (-1.25, 20.0, 9.0, 52.04), total=np.array([0.5, 1.5], np.float32), windows=2, open=False)


def test_a_line_per_face_with_the_mean_of_its_windows() -> None:
    (line,) = lines_of(Seen(7, 0.28, [sighting()]), "a.mp4", ["sad", "happy"])
    assert line == "a.mp4,0.2800,3,-1.2,20.0,10.2,32.0,happy,0.250000,0.750000"
    (empty,) = lines_of(Seen(7, None, []), "a.png", ["sad", "happy"])
    assert empty == "a.png" + "," * 9
    assert head_line(["sad", "=1"]) == ",".join([*COLUMNS, "p_sad", "p_=1"])


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text_stays_one_cell_and_no_formula(cells: list[str]) -> None:
    line = csv_line([*cells, "end"])
    (row,) = csv.reader(io.StringIO(line))
    assert len(row) == len(cells) + 1 and row[-1] == "end"
    assert not any(cell.startswith(("=", "@", "\t")) for cell in row)


class Full:
    """A stream on a disk with room for so many more bytes."""

    def __init__(self, stream: io.FileIO, room: int) -> None:
        self.stream, self.room = stream, room

    def write(self, content: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = self.stream.write(content[: self.room])
        self.room -= done
        return done

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@pytest.mark.parametrize("room", [0, 1, 5, 6, 7, 11])
def test_on_a_full_disk_the_table_ends_with_its_last_whole_line(tmp_path: Path, room: int) -> None:
    path = tmp_path / "t.csv"
    with CsvFile(path) as table:
        table._stream = Full(table._stream, room)  # type: ignore[assignment]
        with pytest.raises(DataError, match=r"t\.csv: No space left on device; the table holds the rows until then"):
            for _ in range(10):
                table.write("12345")
    assert path.read_bytes() == b"12345\n" * (room // 6)


def test_only_missing_empty_and_own_tables_are_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert is_replaceable(path)
    path.touch()
    assert is_replaceable(path)
    path.write_text(head_line(["sad"]) + "\n")
    assert is_replaceable(path)
    path.write_text("name,age\n")
    assert not is_replaceable(path)
    assert not is_replaceable(tmp_path)
