"""Sections return typed blocks, renderers only write them, and the frame holds every score once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest
from rich.text import Text

from fer_cli import escape
from fer_cli.blocks import Figure, Note, Number, Table, cell_text, describe_p
from fer_cli.config import METRICS, Compute
from fer_cli.data.kept import look_up_set
from fer_cli.plan import make_plan
from fer_cli.report import RENDERERS, SECTIONS, Report, make_report
from fer_cli.report.collect import collect
from fer_cli.report.doubts import find_doubts
from fer_cli.report.frame import tidy
from fer_cli.report.material import Material
from fer_cli.study import Choice

FIXTURE = Path(__file__).parent / "fixtures" / "runs"
STUDIES = sorted(path.stem for path in FIXTURE.glob("*.yaml"))


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Material]:
    """The material of each study of the fixture's finished runs, by name."""
    results = tmp_path_factory.mktemp("sections") / "results"
    shutil.copytree(FIXTURE / "results", results)
    compute = Compute(data_root=results / "none", results=results, threads=1)
    describe = cache(partial(look_up_set, results, compute.data_root))
    found = {}
    for name in STUDIES:
        plan = make_plan(str(FIXTURE / f"{name}.yaml"), Choice(), compute, describe=describe)
        cells = collect(plan)
        found[name] = Material(name, plan, cells, find_doubts(plan, cells), describe, compute, results / "figures" / name)
    return found


@pytest.mark.parametrize(
    "section", [pytest.param(name, marks=pytest.mark.slow) if name == "figures" else name for name in SECTIONS]
)
def test_a_section_returns_typed_blocks(section: str, materials: dict[str, Material], tmp_path: Path) -> None:
    found = []
    for name, material in materials.items():
        found += list(SECTIONS[section](replace(material, figures=section == "figures", folder=tmp_path / name)))
    assert found or section in {"analyses", "claims", "detected", "published"}
    for block in found:
        if isinstance(block, Table):
            assert block.title and block.rows
            assert all(label and len(cells) == len(block.columns) for label, cells in block.rows)
            for cell in (cell for _, cells in block.rows for cell in cells):
                assert isinstance(cell, Number | str)
                free = not isinstance(cell, Number) or cell.value is None or cell.unit in {"count", "plain"}
                assert free or abs(cell.value) <= 1  # type: ignore[union-attr, arg-type]
        elif isinstance(block, Figure):
            assert block.path.is_file()
        else:
            assert isinstance(block, Note) and block.text and "\n" not in block.text


def test_scores_and_differences_are_numbers_with_spread_n_and_interval(materials: dict[str, Material]) -> None:
    for material in materials.values():
        (first, *_) = SECTIONS["scores"](material)
        assert isinstance(first, Table)
        for cell in (cell for _, cells in first.rows for cell in cells if isinstance(cell, Number) and cell.n):
            assert cell.value is not None and cell.n == cell.planned
            assert (cell.sd is None) == (cell.n < 2)
        for table in SECTIONS["differences"](material):
            assert isinstance(table, Table)
            for cell in (cell for _, cells in table.rows for cell in cells):
                assert isinstance(cell, Number)
                if cell.value is not None and cell.interval is not None:
                    assert cell.interval[0] <= cell.value <= cell.interval[1]


@pytest.mark.parametrize("name", RENDERERS)
def test_a_renderer_writes_what_the_blocks_hold(
    name: str, materials: dict[str, Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    escapes: dict[str, Callable[[str], str]] = {"md": escape.markdown, "tex": escape.latex}
    for material in materials.values():
        blocks = [block for section in SECTIONS.values() for block in section(material)]
        report = Report("a title", blocks, tidy(material.plan, material.cells), ["accuracy"])
        text = RENDERERS[name](report)
        if name == "terminal":
            text = Text.from_ansi(text).plain
        text = text.replace("~", " ")  # in LaTeX, numbers stay on one line
        for table in report.tables if name != "csv" else []:
            for cell in (cell for _, cells in table.rows for cell in cells if isinstance(cell, Number)):
                assert escapes.get(name, str)(cell.text) in text
        if name == "csv":
            assert len(text.splitlines()) == 1 + len(report.scores.frame().query("part == 'test' and metric == 'accuracy'"))


def test_the_frame_holds_every_score_of_every_part_once(materials: dict[str, Material]) -> None:
    for material in materials.values():
        frame = tidy(material.plan, material.cells).frame()
        assert not frame.duplicated(["arm", *material.plan.factors, "seed", "part", "metric"]).any()
        results = [result for cell in material.cells.values() for result in cell.results.values()]
        assert len(frame) == len(METRICS) * sum(len(result.metrics) for result in results)
        means = frame.query("part == 'test'").groupby(["arm", "metric"])["value"].apply(list)
        for (arm, at), cell in material.cells.items():
            if not at:
                assert means[arm, "accuracy"] == cell.values("accuracy")
        assert isinstance(frame, pd.DataFrame)


def test_numbers_read_as_in_papers() -> None:
    assert Number(0.9347, 0.0052, n=5, planned=5).text == "93.47 ± 0.52"
    assert Number(0.9347, n=5).text == "93.47 (5)"
    assert Number(0.61, 0.02, n=3, planned=5, marks=("underfitted", "leaky")).text == "61.00 ± 2.00 n = 3/5 †‡"
    assert [Number(p, unit="p").text for p in (0.04567, 0.00009)] == ["0.0457", "< 0.0001"]
    assert Number(0.012, interval=(-0.0035, 0.0275), unit="points").text == "+1.20 [−0.35, +2.75]"
    assert Number(None, n=2, planned=5).text == "– n = 2/5"
    assert [describe_p(p) for p in (0.04567, 0.00009)] == ["p = 0.0457", "p < 0.0001"]
    assert Number(1234567, unit="count").text == "1,234,567"
    assert Number(-0.1, n=1, planned=2, unit="plain", digits=3).text == "−0.100 n = 1/2"


def test_a_section_is_added_by_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count_runs(material: Material) -> list[Table]:
        done = sum(len(cell.results) for cell in material.cells.values())
        return [Table("Runs", ["done"], [("all arms", [Number(done, unit="count")])])]

    monkeypatch.setitem(SECTIONS, "count", count_runs)
    shutil.copytree(FIXTURE / "results", tmp_path / "results")
    compute = Compute(data_root=tmp_path, results=tmp_path / "results", threads=1)
    written = make_report(str(FIXTURE / f"{STUDIES[0]}.yaml"), compute)
    table = written.report.tables[-1]
    assert (table.title, cell_text(table.rows[0][1][0])) == ("Runs", str(written.planned - written.missing))
    assert "## Runs" in written.files[0].read_text() and r"; Runs}" in written.files[2].read_text()
