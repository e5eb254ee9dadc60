"""Old run folders are still read: tables made of them say the same numbers as on the day the runs were trained.

The fixture holds small files of real runs on embedded faces (no weights, no images), two arms with and without label noise,
a classifier on features, a searched margin, a shared training, a test on another set; and the tables made of them then.
"""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from fer_cli.config import Compute
from fer_cli.report import make_report
from tests.tracked import Report

FOLDER = Path(__file__).parent / "fixtures" / "runs"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
NUMBER = re.compile(r"[+−]?\d[\d,]*(?:\.\d+)?")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the fixture's results folder."""
    shutil.copytree(FOLDER / "results", tmp_path / "results")
    return tmp_path / "results"


def numbers(report: Report) -> list[list[list[tuple[list[str], bool]]]]:
    """Return, for each table, each row and each cell, the numbers in it, and whether it is bold."""
    return [[[(NUMBER.findall(cell.text), cell.bold) for cell in cells] for _, cells in t.rows] for t in report.tables]


@pytest.mark.parametrize("name", STUDIES)
def test_tables_of_old_runs_are_what_they_were(name: str, results: Path) -> None:
    (before,) = FOLDER.glob(f"tables/{name}-*.md")
    written = make_report(str(FOLDER / f"{name}.yaml"), Compute(data_root=results / "none", results=results, threads=1))
    assert (written.missing, written.damaged) == (0, [])
    old, new = Report(before.with_suffix("")), Report(results / "tables" / before.stem)
    assert numbers(new) == numbers(old)
    assert sum(len(found) for table in numbers(old) for row in table for found, _ in row) > 5
    with before.with_suffix(".csv").open() as was, new.path.with_suffix(".csv").open() as now:
        lines = list(zip(csv.DictReader(was), csv.DictReader(now), strict=True))
    for then, today in lines:
        assert {key: today[key] for key in then if key != "value"} == {key: then[key] for key in then if key != "value"}
        assert float(today["value"]) == pytest.approx(float(then["value"]), abs=1e-12)


def test_the_fixture_stays_small_and_has_no_weights() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert {path.suffix for path in files} == {".yaml", ".json", ".csv", ".parquet", ".md"}
    assert len(list(FOLDER.glob("results/runs/*/result.json"))) == 22
