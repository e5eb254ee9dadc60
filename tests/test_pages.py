"""Pages of reports: whole, escaped, small, the same numbers as in Markdown, no pixel of a restricted set."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_cli.blocks import Number, Table, cell_text
from fer_cli.config import Compute
from fer_cli.page import mistakes, runs
from fer_cli.page.drawn import inline_figures
from fer_cli.page.index import read_summary, write_index
from fer_cli.page.mistakes import Album, Mistake, find_mistakes, why_not_shown
from fer_cli.page.study import MOST_TABLES, fit_tables, list_claims, write_page
from fer_cli.page.svg import inline_svg
from fer_cli.page.tables import lay_out, shade_confusion
from tests.fakes import fake_result, leave
from tests.pages import COMMANDS, Parsed, read_data, write_many, write_tiny

ODD = ("SCN-CS", "\"<script>alert('x')</script> & שלום\"")


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out figures, which other tests cover, and which take a second."""
    monkeypatch.setattr("fer_cli.page.study.find_figures", lambda _: [])


@pytest.mark.usefixtures("no_figures")
def test_a_page_is_whole_and_asks_for_nothing(tmp_path: Path, compute: Compute) -> None:
    written, page = write_tiny(tmp_path, compute)
    parsed = Parsed(page)
    assert parsed.wrong == []
    assert parsed.styled == 0  # the policy forbids it
    assert len(parsed.ids) == len(set(parsed.ids))
    assert set(parsed.targets) - {""} <= set(parsed.ids)
    assert set(parsed.addresses) == {"data:,", "index.html"}
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", page)
    assert parsed.tags.count("h1") == 1
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    policy = re.findall(r'content="(default-src [^"]*)"', page)[0]
    for element, rule in (("style", "style-src"), ("script", "script-src")):
        inside = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside[-1].encode()).digest()).decode()
        assert len(inside) == 1
        assert f"{rule} 'sha256-{digest}'" in policy.replace("&#39;", "'")
    assert len(page.encode()) < 100_000
    assert write_page(written, COMMANDS).path.read_text() == page


@pytest.mark.usefixtures("no_figures")
def test_every_number_is_that_of_the_markdown(tmp_path: Path, compute: Compute) -> None:
    written, page = write_tiny(tmp_path, compute)
    parsed, markdown = Parsed(page), written.markdown
    shown = [table for table in written.report.blocks if isinstance(table, Table) and table.kind != "claims"]
    sheets = {name: rows for name, rows in parsed.tables.items() if name.startswith(("main-table", "table-"))}
    assert len(sheets) == len([table for table in shown if not table.only or "html" in table.only])
    for table, rows in zip([t for t in shown if not t.only or "html" in t.only], sheets.values(), strict=True):
        wanted = [[label, *(cell_text(cell) for cell in cells)] for label, cells in table.rows]
        assert [[" ".join(text.split()) for text in row] for row in rows[1:]] == wanted
        if not table.only:
            assert all(cell_text(cell) in markdown for _, cells in table.rows for cell in cells if isinstance(cell, Number))
    data = read_data(page)
    cells = {(cell.arm, cell.at): cell for cell in written.material.cells.values()}
    for run_id, place, seed, _, state, accuracy, *_ in data["runs"]:
        cell = list(cells.values())[place]
        assert state == "done"
        assert cell.results[seed].run_id == run_id
        assert accuracy == f"{100 * cell.results[seed].metrics['test']['accuracy']:.2f}"


@pytest.mark.usefixtures("no_figures")
def test_names_are_escaped(tmp_path: Path, compute: Compute) -> None:
    from tests.conftest import STUDY
    from tests.reports import PAPER, fake_results

    path = tmp_path / "tiny.yaml"
    path.write_text(
        (STUDY + PAPER)
        .replace("SCN-CS", '<script>alert(1)</script> & "q" שלום')
        .replace("Does the tiny study run?", "'Does it <b>run</b> & `stay`?'")
    )
    from fer_cli.plan import make_plan
    from fer_cli.report import make_report
    from fer_cli.study import Choice

    plan = make_plan(str(path), Choice(), compute)
    name = next(arm for arm in plan.study.arms if arm != "CNN")
    fake_results(plan, {(arm, noise): [0.8, 0.7, 0.9] for arm in plan.study.arms for noise in (0.0, 0.3)})
    page = write_page(make_report(str(path), compute), COMMANDS).path.read_text()
    parsed = Parsed(page)
    assert parsed.wrong == []
    assert "<script>alert" not in page
    assert "<b>run" not in page
    assert parsed.tags.count("script") == 3  # summary, data, the page's own
    assert name in [row[0] for row in parsed.tables["main-table"]]
    assert any(cell["arm"] == name for cell in read_data(page)["cells"])
    index = write_index(compute.results / "pages").read_text()
    assert "<script>alert" not in index
    assert Parsed(index).wrong == []


@pytest.mark.usefixtures("no_figures")
def test_a_restricted_set_shows_no_pixel(tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(mistakes, "load_set", lambda *place: asked.append(str(place)))
    written, page = write_tiny(tmp_path, compute)
    assert "the card of ck48 forbids it" in page
    assert not asked
    data = read_data(page)
    assert data["pictures"] == {}
    assert all("pictures" not in detail for detail in data["details"].values())
    assert "data:image" not in page
    assert "image/jpeg" not in write_page(written, COMMANDS, thumbnails=9).path.read_text()
    assert why_not_shown(["synth-basic", "simulation"]) == ""
    assert "no card" in why_not_shown(["my-own-faces"])


def test_mistakes_are_the_surest_and_have_pictures(tmp_path: Path, compute: Compute, both_root: Path) -> None:
    from fer_cli.data.manifest import load_set
    from fer_cli.runs import RunFolder

    faces = load_set(both_root, "synth-basic")
    samples = faces.manifest["sample"].iloc[:4].tolist()
    config = fake_result().config
    config = config.model_copy(update={"data": config.data.model_copy(update={"name": "synth-basic"})})
    result = fake_result("abc", config, fingerprint=faces.info.fingerprint)
    folder = RunFolder(tmp_path, "abc")
    leave(folder, result)
    rows = {"part": ["test"] * 4, "sample": samples, "label": ["sad"] * 4, "predicted": ["happy", "happy", "sad", "angry"]}
    shares = {"p_happy": [0.6, 0.9, 0.1, 0.2], "p_sad": [0.1, 0.05, 0.8, 0.1], "p_angry": [0.3, 0.05, 0.1, 0.7]}
    pd.DataFrame(rows | shares).to_parquet(folder.file(result.predictions))
    found = find_mistakes(folder.path, result, 2)
    assert found == [Mistake(samples[1], "sad", "happy", 0.9), Mistake(samples[3], "sad", "angry", 0.7)]
    album = Album(both_root)
    assert album.add(result, [*found, Mistake("nobody", "sad", "happy", None)]) == [
        f"synth-basic/{samples[1]}",
        f"synth-basic/{samples[3]}",
        "",
    ]
    assert all(picture.startswith("data:image/jpeg;base64,/9j/") for picture in album.pictures.values())
    changed = Album(both_root)
    assert changed.add(fake_result("abc", config), found) == ["", ""]
    assert "has changed since" in changed.refused
    gone = Album(tmp_path)
    gone.add(result, found)
    assert "synth-basic is not built" in gone.refused


@pytest.mark.usefixtures("no_figures")
def test_a_page_stays_small_and_says_what_it_leaves_out(
    tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "find_mistakes", lambda *_: [Mistake("sample", "sad", "happy", 0.9)])
    page = write_page(write_many(compute, arms=30, seeds=10), COMMANDS)
    assert [note.partition(" under ")[0] for note in page.notes] == ["no images are shown: synth-basic is not built"]
    monkeypatch.setattr("fer_cli.page.study.MOST_BYTES", page.size - 100_000)
    less = write_page(write_many(compute, arms=30, seeds=10), COMMANDS)
    assert less.size < page.size - 90_000
    assert re.match(r"curves, confusion matrix and mistakes are here for \d+ of 300 finished runs", less.notes[0])
    data = read_data(less.path.read_text())
    assert len(data["runs"]) == 300
    kept = {data["runs"][int(place)][1] for place in data["details"]}
    assert kept == set(range(30))  # of each arm its best seed before any other
    table = Table("large", ["a"], [("x", ["y" * 100])] * (MOST_TABLES // 100))
    sheets, notes = fit_tables([table, replace(table, title="little", rows=table.rows[:1])])
    assert [sheet.title for sheet in sheets] == ["little"]
    assert notes == ["left out to keep this page small; its numbers are in the CSV: large"]


def test_flags_have_a_sign_and_a_meaning() -> None:
    flagged = Number(0.61, sd=0.02, n=3, planned=5, marks=("underfitted", "leaky"))
    sheet = lay_out(Table("t", ["a"], [("arm", [flagged])], ["† did not learn"]), "key")
    cell = sheet.rows[0][1][0]
    assert (cell.main, cell.rest, cell.marks) == ("61.00", "± 2.00 n = 3/5", ("underfitted", "leaky"))
    assert sheet.flags["underfitted"] == ("†", "did not learn")
    assert sheet.flags["leaky"][1].startswith("leaky split")


def test_claims_keep_their_numbers() -> None:
    rows = [("a > b", ["undecided", Number(0.012, interval=(-0.003, 0.02), unit="points"), "–", "n = 9 seeds needed"])]
    claim = next(list_claims(Table("Claims", ["verdict", "difference", "p", "why"], rows, kind="claims")))
    assert (claim.text, claim.verdict, claim.sign) == ("a > b", "undecided", "?")
    assert claim.facts == [("difference", "+1.20 [−0.30, +2.00]"), ("why", "n = 9 seeds needed")]


def test_confusion_is_shaded_by_row() -> None:
    matrix = shade_confusion("t", np.array([[9, 1, 0], [0, 5, 5], [0, 0, 0]]), ["a", "b", "c"])
    assert [[shade for _, shade, _ in cells] for _, cells, _ in matrix.rows] == [[9, 1, 0], [0, 5, 5], [0, 0, 0]]
    assert [recall for _, _, recall in matrix.rows] == ["90.0", "50.0", "–"]


def test_figures_are_the_same_and_share_no_id(tmp_path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    made = []
    for salt in ("one", "two"):
        with rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
            figure = Figure(figsize=(3, 2))
            axes = figure.subplots()
            axes.plot([0, 1, 2], [0.123456, 1, 0.5], "o-", label="a < b & c")
            axes.legend()
            figure.savefig(tmp_path / f"{salt}.svg")
        made.append(inline_svg(tmp_path / f"{salt}.svg", "f1", 'a "figure" & more'))
    assert made[0] == made[1]
    other = Parsed(inline_svg(tmp_path / "one.svg", "f2", "other"))
    first = Parsed(made[0])
    assert first.wrong == []
    assert first.styled == 0
    assert set(first.targets) <= set(first.ids)
    assert not set(first.ids) & set(other.ids)
    assert "a < b & c" in first.words
    assert "text" in first.tags
    assert not {"style", "metadata", "script"} & set(first.tags)


def test_the_index_has_a_row_per_page(tmp_path: Path) -> None:
    def page(name: str, **changes: object) -> None:
        summary = {
            "study": name,
            "data": "ck48",
            "profile": "small",
            "answer": f"{name} <wins>",
            "changed": "2026-01-02 10:00 UTC",
        }
        summary |= {"claims": {"supported": 2, "undecided": 1}, "n": "5 seeds, all runs done", **changes}
        text = json.dumps(summary).replace("<", "\\u003c")
        (tmp_path / f"{name}.html").write_text(f'<script type="application/json" id="summary">{text}</script>')

    page("old")
    page("young", changed="2026-03-02 10:00 UTC")
    (tmp_path / "broken.html").write_text('<script type="application/json" id="summary">{"study": 3}</script>')
    (tmp_path / "other.html").write_text("hello")
    index = write_index(tmp_path, ["old", "never"])
    rows = Parsed(index.read_text()).tables["studies"]
    assert [row[0] for row in rows[1:]] == ["young", "old"]
    assert rows[1][1] == "young <wins>"
    assert "2 supported" in rows[1][2]
    assert "1 undecided" in rows[1][2]
    text = index.read_text()
    assert "broken.html: not a page" in text
    assert "other.html: not a page" in text
    assert "without a finished run or a page: never" in text
    assert read_summary(tmp_path / "missing.html") is None
    assert write_index(tmp_path, ["old", "never"]).read_text() == text


def test_a_figure_with_pixels_is_left_out_for_a_restricted_set(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    for name, pixels in (("curves", False), ("maps", True)):
        figure = Figure(figsize=(2, 2))
        axes = figure.subplots()
        axes.plot([0, 1])
        if pixels:
            axes.imshow(np.eye(2))
        figure.savefig(tmp_path / f"{name}.svg")
    paths = [tmp_path / "curves.png", tmp_path / "maps.png", tmp_path / "none.png"]
    drawn, notes = inline_figures(paths, "no images are shown: the card forbids it")
    assert [figure.caption for figure in drawn] == ["Accuracy and loss by epoch"]
    assert [note.split(": ", 1)[1] for note in notes] == [
        "not on this page; no images are shown: the card forbids it",
        "not drawn as SVG",
    ]
    drawn, notes = inline_figures(paths[:2], "")
    assert [figure.caption for figure in drawn] == ["Accuracy and loss by epoch", "maps"]
    assert 'href="data:image/png;base64,' in drawn[1].svg
