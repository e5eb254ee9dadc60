"""``fer analyze``: tables, files and figures from end to end, factor levels from a run, and every kind of bad input."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.analysis.units import factor_levels
from fer_cli.config import Compute, DataConfig, RunConfig
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from fer_cli.interaction.columns import choose_sample, join_columns, parse_columns, read_columns, split_names
from fer_cli.interaction.factors import choose_positive, split_units
from fer_cli.outputs import count_predictions
from fer_cli.report.ancova import interval_text, p_text, plain_text, share_text
from fer_cli.report.effects import Effect, axis_end, draw_effects
from fer_cli.results import Scores
from fer_cli.runs import RunFolder
from tests.ancova_data import COVARIATE, OUTCOME
from tests.conftest import Called
from tests.fakes import fake_result, leave

Fer = Callable[..., Called]
ASKED = ("--outcome", "y", "--factors", "f", "--covariate", "c")


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Sixteen students, two of them with a missing value."""
    rows = [f"s{i:02d},{OUTCOME[i]},{COVARIATE[i]},{(i // 4) % 2},{i // 8}" for i in range(16)]
    rows += ["s16,NA,1,0,0", "s17,4,,1,1"]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["student,y,c,face,body", *rows]) + "\n")
    return path


def test_the_table_is_the_papers_and_the_files_hold_it(fer: Fer, scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "effects"
    called = fer(
        *(
            "analyze",
            "ancova",
            "--data",
            scores,
            "--outcome",
            "y",
            "--factors",
            "face,body",
            "--covariate",
            "c",
            "--out",
            out,
        )
    )
    assert called.code == 0, called.err
    lines = called.out.splitlines()
    assert "|  | df | mean square | F | p | partial η² | 90 % interval | partial ω² |" in lines
    assert any(line.startswith("| c (covariate) | 1 | 19.92 | 138.53 | < .001 | .926 | [") for line in lines)
    assert any(line.startswith("| face × body | 1 | 1.51 | 10.48 | .008 | .488 | [") for line in lines)
    assert "| error | 11 | 0.14 |  |  |  |  |  |" in lines
    assert "N = 16, 4 cells of 4 rows, error df 11; 2 rows left out: y missing 1, c missing 1" in called.out
    assert "F(3, 8) = 0.65 | .605 |" in called.out and "median-centred) | F(3, 12) = 3.47 | .051 |" in called.out
    assert "| face 1, body 1 | 4 | 11.750 | 11.464 | [" in called.out
    assert {path.name for path in out.iterdir()} == {"ancova.md", "ancova.tex", "ancova.csv", "means.csv", "effects.png"}
    assert (out / "ancova.md").read_text().strip() == called.out.strip()
    rows = list(csv.DictReader((out / "ancova.csv").read_text().splitlines()))
    face = next(row for row in rows if row["effect"] == "face")
    assert float(face["F"]) == pytest.approx(337.118520, abs=6e-7) and face["n"] == "16"
    normal = next(row for row in rows if row["effect"].startswith("normal"))
    assert normal["F"] == "" and 0 < float(normal["W"]) <= 1 and face["W"] == "", "Shapiro and Wilk's W is no F"
    assert len(list(csv.DictReader((out / "means.csv").read_text().splitlines()))) == 8
    tex = (out / "ancova.tex").read_text()
    assert r"partial $\eta$$^2$" in tex and r"\textless{} .001" in tex and not set("ηω²×−") & set(tex.split("\\begin", 1)[1])
    assert (out / "effects.png").read_bytes().startswith(b"\x89PNG")


def test_several_outcomes_joined_levels_and_no_covariate(fer: Fer, scores: Path, tmp_path: Path) -> None:
    levels = tmp_path / "levels.csv"
    levels.write_text("student,voice\n" + "".join(f"s{i:02d},{'loud' if i % 2 else 'soft'}\n" for i in range(15)))
    ask = ["analyze", "ancova", "--data", scores, "--with", levels, "--on", "student"]
    called = fer(*ask, "--outcome", "y,c", "--factors", "voice")
    assert called.code == 0, called.err
    assert "## y: analysis of variance (no covariate)" in called.out and "## c: analysis of variance" in called.out
    assert "3 rows left out: no row in the joined table 2, y missing 1" in called.out
    assert "| homogeneity of slopes (all interactions of covariates with factors) | – | no covariate |" in called.out
    assert "next: fer analyze ancova" in called.err and "--with" in called.err


def test_the_simulation_stands_beside_the_paper(fer: Fer, tmp_path: Path) -> None:
    out = tmp_path / "simulated"
    called = fer("analyze", "ancova", "--study", "ancova", "--out", out)
    assert called.code == 0, called.err
    assert called.out.startswith("# SIMULATION")
    assert "1,000 data sets, seed 0; N = 100 (25 in each of 4 cells), error df 95" in called.out
    assert "| face | 205.69 | < .001 | .68 | .680 | .690 | .68" in called.out
    assert "I-15: p follows from F in 3 of 20 rows" in called.out
    names = {"simulation.md", "simulation.tex", "simulation.csv", "simulated.csv", "simulation.png"}
    assert {path.name for path in out.iterdir()} == names
    assert len(list(csv.DictReader((out / "simulation.csv").read_text().splitlines()))) == 20
    again = fer(
        *("analyze", "ancova", "--data", out / "simulated.csv", "--outcome", "negative emotion", "--factors", "face,body"),
        *("--covariate", "pretest"),
    )
    assert again.code == 0 and "N = 100, 4 cells of 25 rows, error df 95; no row left out" in again.out


BAD = [
    ("", ASKED, "empty; its first line must name the columns"),
    ("y,f,c\n", ASKED, "no rows below the header"),
    ("y,f,c\n1,a,1\n2,a,2\n3,a,1\n5,a,2\n", ASKED, "factor 'f' has one level, 'a'"),
    ("y,f,c\n1,a,1\n2,a,1\n3,b,1\n5,b,1\n", ASKED, "covariate 'c' is constant (1)"),
    ("y,f,c\n2,a,1\n2,a,2\n2,b,1\n2,b,5\n", ASKED, "outcome 'y' is constant (2)"),
    ("y,f,c\nx,a,1\n2,a,2\n3,b,1\n", ASKED, "line 2: 'x' in column 'y' is not a number"),
    ("y,f,c\n1,a,1\n2,a,low\n3,b,1\n", ASKED, "line 3: 'low' in column 'c' is not a number"),
    ("y,f,c\n1,a,1\n2,a,1_0\n3,b,1\n", ASKED, "line 3: '1_0' in column 'c' is not a number"),
    ("y;f;c\n1,5;a;1\n2;b;2\n", ASKED, "'1,5' in column 'y' is not a number; use a decimal point"),
    ("y,f,c\n1,a,inf\n2,a,2\n3,b,1\n", ASKED, "line 2: 'inf' in column 'c' is not a finite number"),
    ("y,f,c\n1e400,a,1\n2,a,2\n3,b,1\n", ASKED, "'1e400' in column 'y' is not a finite number"),
    ("y,f,c\n1,a,1\n2,b,2\n3,b,3\n", ASKED, "3 rows for 3 parameters"),
    ("y,f,c\n1,a,\n2,b,2\n3,b,3\n4,a,4\n", ASKED, "3 rows for 3 parameters (cells and covariates); more are needed (1 row"),
    ("y,f,c\n1,a,1\n2,a,1\n3,b,2\n5,b,2\n6,b,2\n", ASKED, "covariate 'c' is determined by the factors"),
    ("y,f,c\n1,a,1\n1,a,2\n3,b,2\n3,b,2\n3,b,2\n", ASKED, "fitted exactly"),
    (
        "y,f,c\n1,a,\n2,,2\n,b,1\n",
        ASKED,
        "no row has a value in all of the columns (c missing: 1, f missing: 1, y missing: 1)",
    ),
    ("y,f,c,c\n1,a,1,2\n2,b,2,2\n", ASKED, "2 columns are named 'c'"),
    ("y,f,c\n1,a\n2,b,2\n", ASKED, "line 2: 2 cells, but the header names 3 columns"),
    ('y,f,c\n1,"a,1\n2,a,2\n', ASKED, "not a CSV"),
    ("y,f,c\n1,a,1\n", ("--outcome", "yy", "--factors", "f"), "no column 'yy'; did you mean y?"),
    ("y,f,c\n1,a,1\n", ("--outcome", "y", "--factors", "face"), "--factors: no column 'face'"),
    ("y,f,c\n1,a,1\n", ("--outcome", "y", "--factors", "f,f"), "column 'f' is given twice as factor"),
    ("y,f,c\n1,a,1\n", ("--outcome", "y", "--factors", "f", "--covariate", "f"), "both factor and covariate"),
    ("y,f,c\n1,a,1\n", ("--outcome", "f", "--factors", "f"), "both outcome and factor"),
    ("y,f,c\n1,a,1\n", ("--outcome", "y,y", "--factors", "f"), "'y' is given twice"),
    ("y,f,c\n1,a,1\n", ("--outcome", ",", "--factors", "f"), "--outcome: give at least one column"),
    ("y,f,c\n1,a,1\n", ("--outcome", "y", "--factors", ","), "--factors: give at least one column"),
    ("y,f,c\n1,a,1\n", ("--outcome", "y"), "give --factors, or --study ancova"),
    ("y,f,c\n1,a,1\n", (*ASKED, "--on", "y"), "--with FILE and --on COLUMN belong together"),
    ("y,f,c\n1,a,1\n", ("--study", "ancova"), "cannot be combined with --data"),
]


@pytest.mark.parametrize(("text", "options", "words"), BAD)
def test_bad_tables_are_one_line(fer: Fer, tmp_path: Path, text: str, options: tuple[str, ...], words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    called = fer("analyze", "ancova", "--data", path, *options)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert words in called.err


@pytest.mark.parametrize("name", ["ancova.csv", "means.csv"])
def test_a_table_is_not_written_over(fer: Fer, scores: Path, tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    table.write_bytes(before := scores.read_bytes())
    called = fer("analyze", "ancova", "--data", table, "--outcome", "y", "--factors", "face", "--out", tmp_path)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert f"{name}: is also an input; choose another folder with --out" in called.err
    assert table.read_bytes() == before


def test_an_empty_cell_and_an_identifier_are_refused(fer: Fer, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    rows = [f"p{i},{i + i % 3},{'ab'[i % 2]},{'uv'[i > 5]}" for i in range(10)]
    path.write_text("\n".join(["person,y,f,g", *[row for row in rows if not row.endswith("a,v")]]))
    called = fer("analyze", "ancova", "--data", path, "--outcome", "y", "--factors", "f,g")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "1 of 4 combinations of levels have no row, e.g. f = a, g = v" in called.err
    called = fer("analyze", "ancova", "--data", path, "--outcome", "y", "--factors", "person")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "factor 'person' has 8 levels in 8 rows: it looks like an identifier" in called.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\0\0", "a binary file"),
        (b"PAR1abc", "a binary file"),
        (b"\xff\xfey,f\n", "line 1: not UTF-8"),
        (None, "a folder"),
    ],
)
def test_files_that_are_no_tables(fer: Fer, tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "table.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    called = fer("analyze", "ancova", "--data", path, *ASKED)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert words in called.err
    called = fer("analyze", "ancova", "--data", tmp_path / "none.csv", *ASKED)
    assert (called.code, called.err.count("\n")) == (2, 1) and "no such file" in called.err


def test_columns_of_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes("\ufeff y ;f;Größe\r\n\r\n 1.5 ;a;2\r\n2;10;NaN\r\n-3e1;9;4\r\n;;\r\n".encode())
    table = read_columns(path)
    assert table.names == ("y", "f", "Größe") and table.lines == (3, 4, 5)
    sample = choose_sample(table, "y", ["f"], ["Größe"])
    assert sample.values.tolist() == [1.5, -30.0] and sample.dropped == {"Größe missing": 1}
    assert choose_sample(table, "y", ["f"], []).factors == {"f": ("10", "9", "a")}
    numbers = parse_columns("y,f\n1,10\n2,9\n", "x")
    assert choose_sample(numbers, "y", ["f"], []).factors == {"f": ("9", "10")}, "numbers are in order of value"
    assert split_names('a, "b, c" ,d,') == ["a", "b, c", "d"]


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('y,f;\t"\n\r 1.5ab-\x0b\u2028é'), min_size=1, max_size=60))
def test_any_text_is_a_table_or_one_line(text: str) -> None:
    if not text.strip():
        return
    try:
        table = parse_columns(text, "any.csv")
        choose_sample(table, table.names[0], table.names[1:2], table.names[2:])
    except DataError as error:
        assert "\n" not in str(error) and str(error).startswith("any.csv")


def test_columns_of_several_lines_and_names_of_interactions() -> None:
    table = parse_columns('"a\nb",f\r\n1,"x\u2028y"\r\n', "x")
    assert table.names == ("a\nb", "f") and table.rows == (("1", "x\u2028y"),)
    table = parse_columns("y,f × g,f,g\n1,2,3,4\n", "x.csv")
    with pytest.raises(DataError, match="' × ' is kept for interactions"):
        choose_sample(table, "y", ["f", "g"], ["f × g"])


def test_the_figure_ends_above_everything_drawn(tmp_path: Path) -> None:
    groups = {
        "an outcome with a long name that needs two lines of text": [
            Effect("a name of forty letters, which is cut off", 0.31, (0.1, 0.42), (0.2, 0.4), printed=0.55),
            Effect("b", 0.0, None),
        ]
    }
    assert axis_end(groups) == 0.6
    assert axis_end({"one": [Effect("a", 0.97, (0.9, 0.99))]}) == 1.0
    path = draw_effects("Effects", groups, tmp_path / "new" / "effects.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_joined_tables_need_a_unique_key() -> None:
    left = parse_columns("k,y\na,1\nb,2\n,3\n", "left.csv")
    joined = join_columns(left, parse_columns("f,k\nu,a\nv,c\n", "right.csv"), "k")
    assert joined.names == ("k", "y", "f") and joined.rows == (("a", "1", "u"), ("b", "2", None), ("", "3", None))
    for right, words in (
        ("k,f\na,u\na,v\n", "k 'a' has two rows"),
        ("k,y\na,u\n", "column 'y' is also in left.csv"),
        ("j,f\na,u\n", "no column 'k'"),
        ("k,f\nA,u\n", "no k of left.csv is in it"),
    ):
        with pytest.raises(DataError, match=words):
            join_columns(left, parse_columns(right, "right.csv"), "k")


def test_numbers_read_well() -> None:
    assert [p_text(p) for p in (0.0, 0.00099, 0.001, 0.0484, 0.9996, 1.0, None)] == [
        "< .001", "< .001", ".001", ".048", "> .999", "1.000", "–",
    ]  # fmt: skip
    assert [share_text(value) for value in (0.0, 0.02, 0.0001, -0.0101, -0.0001)] == [
        ".000",
        ".020",
        "< .001",
        "−.010",
        ".000",
    ]
    assert [plain_text(value) for value in (0.0, 0.001, -3.14159, 205.69, 2.5e7)] == [
        "0.00",
        "0.001",
        "−3.14",
        "205.69",
        "2.5e+07",
    ]
    assert [interval_text(span) for span in ((0.0, 0.07), (0.98, 0.9999), None)] == ["[.000, .070]", "[.980, 1]", "–"]


@pytest.fixture
def run(data_root: Path, tmp_path: Path) -> tuple[str, Compute]:
    """A finished run on the drawn faces whose predictions are happy more often for subjects of higher number."""
    compute = Compute(data_root=data_root, results=tmp_path / "results", device="cpu", track=False)
    faces = load_set(data_root, "ck48")
    manifest = faces.manifest
    number = manifest["subject"].rank(method="dense").to_numpy()
    happy = np.random.default_rng(0).uniform(0, 12, len(manifest)) < number
    frame = pd.DataFrame({"part": "test", "sample": manifest["sample"], "label": manifest["label"]})
    frame["predicted"] = np.where(happy, "happy", "sad")
    folder = RunFolder(compute.results, "abc")
    folder.path.mkdir(parents=True)
    classes = faces.info.classes
    result = fake_result(
        "abc",
        RunConfig(data=DataConfig(name="ck48")),
        counts={"test": np.ones((len(classes), len(classes)), int).tolist()},
        fingerprint=faces.info.fingerprint,
        data={"classes": classes},
    )
    frame.to_parquet(folder.file(result.predictions))
    counts = count_predictions(folder.file(result.predictions), classes)
    scores = {"test": Scores.of(counts["test"], classes)}
    folder.write_result(result.model_copy(update={"metrics": scores}))
    return "abc", compute


def test_levels_of_subjects_from_a_runs_predictions(fer: Fer, run: tuple[str, Compute], tmp_path: Path) -> None:
    run_id, compute = run
    where = ["--results", compute.results, "--data-root", compute.data_root]
    out = tmp_path / "all levels.csv"
    called = fer("analyze", "factors", run_id, "--by", "subject", *where, "--out", out)
    assert called.code == 0, called.err
    assert f"--with '{out}' --on subject --factors face" in called.err
    assert "positive: happy, surprise as predicted; 12 units, " in called.err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["subject", "n", "positive", "face"] and len(rows) == 12
    shares = [float(row["positive"]) for row in rows]
    assert shares[-1] > shares[0] and {row["n"] for row in rows} == {"14"}
    median = float(np.median(shares))
    assert [row["face"] for row in rows] == ["high" if share >= median else "low" for share in shares]
    shown = fer("analyze", "factors", run_id[:2], "--by", "subject", *where, "--name", "voice", "--positive", "sad")
    assert shown.out.splitlines()[0] == "subject\tn\tpositive\tvoice" and "positive: sad as predicted" in shown.err
    student = tmp_path / "scores.csv"
    student.write_text("subject,y\n" + "".join(f"{row['subject']},{place % 5}\n" for place, row in enumerate(rows)))
    joined = fer(
        "analyze", "ancova", "--data", student, "--with", out, "--on", "subject", "--outcome", "y", "--factors", "face"
    )
    assert joined.code == 0 and "N = 12, 2 cells" in joined.out


def test_levels_that_cannot_be_had_are_one_line(fer: Fer, run: tuple[str, Compute]) -> None:
    run_id, compute = run
    where = ["--results", compute.results, "--data-root", compute.data_root]
    cases = [
        ([run_id, "--by", "subjct"], "did you mean subject?"),
        ([run_id, "--by", "sample"], "does not group images into units"),
        ([run_id, "--by", "split"], "one unit only, 'none'"),
        ([run_id, "--by", "subject", "--positive", "hapy"], "did you mean happy"),
        ([run_id, "--by", "subject", "--positive", "fear"], "all 12 units have the same share of fear (0.000)"),
        ([run_id, "--by", "subject", "--name", "n"], "choose another name"),
        (["abd", "--by", "subject"], "no run 'abd' under"),
    ]
    for arguments, words in cases:
        called = fer("analyze", "factors", *arguments, *where)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
        assert words in called.err
    RunFolder(compute.results, run_id).file("result.json").write_text("{}")
    assert fer("analyze", "factors", run_id, "--by", "subject", *where).code == 2
    gone, old = RunFolder(compute.results, "gone"), RunFolder(compute.results, "old")
    leave(gone, fake_result("gone", RunConfig(data=DataConfig(name="jaffe"))))
    with pytest.raises(DataError, match="'jaffe' is not built"):
        factor_levels(gone, "subject", compute.data_root)
    leave(old, fake_result("old", RunConfig(data=DataConfig(name="ck48"))))
    with pytest.raises(DataError, match="tested on other data"):
        factor_levels(old, "subject", compute.data_root)


def test_the_convention_of_levels() -> None:
    basic = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    assert choose_positive(basic) == ("happy", "surprise", "neutral")
    assert choose_positive(("focused", "distracted", "curious", "confused", "tired", "happy")) == (
        "happy",
        "curious",
        "focused",
    )
    assert choose_positive(("smile", "frown"), ("smile",)) == ("smile",)
    for classes, chosen, words in (
        (("smile", "frown"), (), "'frown' is neither"),
        (("angry", "sad"), (), "none of the expressions"),
        (("happy", "neutral"), (), "each of the expressions"),
        (basic, ("Happy",), "did you mean happy"),
    ):
        with pytest.raises(DataError, match=words):
            choose_positive(classes, chosen)


def test_units_split_at_the_median() -> None:
    """Shares .25, .5, .5, 1: the median .5 is high."""
    units = ["a"] * 4 + ["b"] * 2 + ["c"] * 2 + ["d"]
    predicted = ["happy", "sad", "sad", "sad", "happy", "sad", "sad", "happy", "happy"]
    found = split_units(units, predicted, ("happy",), "teacher")
    assert found.shares.tolist() == [0.25, 0.5, 0.5, 1.0] and found.counts.tolist() == [4, 2, 2, 1]
    assert (found.levels, found.median, found.tied) == (["low", "high", "high", "high"], 0.5, 2)
    for units, predicted, words in (
        (["a", "a"], ["happy", "sad"], "one unit only, 'a'"),
        (["a", "b"], ["happy", "happy"], "all 2 units have the same share"),
        (["a", "b", "c"], ["sad", "sad", "happy"], "more than half of the 3 units have the lowest share"),
    ):
        with pytest.raises(DataError, match=words):
            split_units(units, predicted, ("happy",), "teacher")
