"""``fer audit-paper``: what it prints, its exit codes, and bad input as one line."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.papers.audit import CHECKS, COLUMNS
from fer_cli.papers.read import paper_names
from fer_cli.places import PACKAGE, shipped_folder
from tests.conftest import Called

Fer = Callable[..., Called]
HEAD = "cite: x\ntables:\n  t:\n    kind: "
CLASSES = "per_class\n    place: T\n    model: m\n    rows: {a: {precision: 83.1, recall: 82.6, f1: %s}}\n"
SCORES = "scores\n    place: T\n    rows: {m: {d: %s}}\n"
COUNTS = "counts\n    place: T\n    rows: {a: {x: %s}}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "paper.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_findings_is_printed_with_exit_code_0(fer: Fer, tmp_path: Path) -> None:
    called = fer("audit-paper", write(tmp_path, HEAD + CLASSES % "84.5"))
    head, row = (line.split("\t") for line in called.out.splitlines())
    assert (called.code, head) == (0, COLUMNS)
    assert row[:5] == ["x", "T", "m / a / f1", "impossible", "f1-outside"]
    assert "1 finding (1 impossible) in 1 paper" in called.err
    assert "no values that round to the printed ones" in called.err


def test_fail_exits_with_1_on_findings_only(fer: Fer, tmp_path: Path) -> None:
    assert fer("audit-paper", write(tmp_path, HEAD + CLASSES % "84.5"), "--fail").code == 1
    clean = fer("audit-paper", write(tmp_path, HEAD + CLASSES % "82.8"), "--fail")
    assert (clean.code, clean.out.splitlines()) == (0, ["\t".join(COLUMNS)])
    assert "0 findings in 1 paper" in clean.err


def test_all_shipped_papers_as_csv(fer: Fer) -> None:
    called = fer("audit-paper", "--all", "--csv")
    rows = list(csv.reader(io.StringIO(called.out)))
    assert (called.code, rows[0]) == (0, COLUMNS)
    assert {row[0] for row in rows[1:]} == set(paper_names())
    assert {row[4] for row in rows[1:]} <= set(CHECKS)
    single = [list(csv.reader(io.StringIO(fer("audit-paper", name, "--csv").out)))[1:] for name in paper_names()]
    assert rows[1:] == [row for part in single for row in part]


def test_the_example_can_be_copied_and_audited_by_path(fer: Fer, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shutil.copy(shipped_folder("experiments") / "papers" / "example.yaml", path)
    by_path, by_name = fer("audit-paper", path), fer("audit-paper", "example")
    assert (by_path.code, by_path.out) == (0, by_name.out)
    assert by_path.out.count("\n") == 8


def test_checks_are_listed_with_their_words(fer: Fer) -> None:
    called = fer("audit-paper", "--checks")
    assert [line.split("\t")[0] for line in called.out.splitlines()] == ["check", *CHECKS]


def test_formulas_of_a_file_are_escaped_in_csv_and_control_characters_refused(fer: Fer, tmp_path: Path) -> None:
    text = (HEAD + CLASSES % "84.5").replace("cite: x", 'cite: "=1+1"')
    assert fer("audit-paper", write(tmp_path, text), "--csv").out.splitlines()[1].startswith("'=1+1,")
    refused = fer("audit-paper", write(tmp_path, text.replace("place: T", 'place: "T\\e[31m"')))
    assert refused.code == 2
    assert "the character U+001B is not allowed" in refused.err


BAD = {
    "corrupt YAML": ("cite: x\ntables: {t: [\n", "line 3: not valid YAML"),
    "empty": ("", "empty; experiments/papers/example.yaml shows"),
    "only a comment": ("# nothing\n", "expected a mapping of settings, found NoneType"),
    "a list": ("- 1\n", "expected a mapping of settings, found list"),
    "no tables": ("cite: x\n", "tables: missing"),
    "misspelt tables": ("cite: x\ntabels: {}\n", "tabels: unknown key; did you mean tables?"),
    "no image": (HEAD + SCORES % "1.0" + "sets: {d: {n: 0}}\n", "sets.d.n.0: expected a count of at least 1, found 0"),
    "itself": (
        HEAD + SCORES % "1.0" + "claims: [{place: T, of: [t, m, d], over: [t, m, d]}]\n",
        "t, m, d is compared with itself",
    ),
    "itself, in pairs": (
        HEAD + SCORES % "1.0" + "claims: [{place: T, pairs: [[[t, m, d], [t, m, d]]]}]\n",
        "t, m, d is compared with itself",
    ),
    "itself, as another": (HEAD + SCORES % "1.0" + "differ: [[[t, m, d], [t, m, d]]]\n", "t, m, d is paired with itself"),
    "empty tables": ("cite: x\ntables: {}\n", "tables: expected a mapping of at least one table"),
    "no cite": ("tables:\n  t:\n    kind: " + SCORES % "1.0", "cite: missing"),
    "a table that is a number": ("cite: x\ntables: {t: 5}\n", "tables.t: expected a mapping with a kind, one of scores"),
    "no kind": ("cite: x\ntables: {t: {place: T}}\n", "tables.t.kind: missing; known: scores, per_class"),
    "unknown kind": (
        "cite: x\ntables: {t: {kind: per_clas}}\n",
        "tables.t.kind: unknown kind 'per_clas'; did you mean per_class",
    ),
    "unknown key of a row": (
        HEAD + (CLASSES % "84.5").replace("recall", "recal"),
        "tables.t.rows.a.recal: unknown key; did you mean rows.a.recall",
    ),
    "unknown key of a table": (
        HEAD + (SCORES % "1.0").replace("place", "plase"),
        "tables.t.plase: unknown key; did you mean place",
    ),
    "unknown key of a set": (
        HEAD + SCORES % "1.0" + "sets: {d: {clases: {}}}\n",
        "sets.d.clases: unknown key; did you mean sets.d.classes",
    ),
    "unknown key of a claim": (
        HEAD + SCORES % "1.0" + "claims: [{place: p, off: [t, m, d]}]\n",
        "claims.0.off: unknown key; did you mean claims.0.of",
    ),
    "a number as words": (
        HEAD + CLASSES % "high",
        "tables.t.rows.a.f1: expected a number as printed, such as 0.10 or <0.001, found 'high'",
    ),
    "a list for a number": (HEAD + CLASSES % "[1, 2]", "tables.t.rows.a.f1: expected a number as printed"),
    "true for a number": (HEAD + CLASSES % "true", "expected a number as printed, such as 0.10 or <0.001, found True"),
    "not a number": (HEAD + CLASSES % ".nan", "expected a number as printed, such as 0.10 or <0.001, found '.nan'"),
    "a huge number": (HEAD + CLASSES % "1e999999999", "1e999999999 is out of range"),
    "a negative bound": (HEAD + CLASSES % "<0", "<0: a bound must be above 0"),
    "a negative count": (
        HEAD + COUNTS % "-5",
        "tables.t.rows.a.x: expected a count, a whole number of at least 0, found '-5'",
    ),
    "a broken count": (HEAD + COUNTS % "1.5", "expected a count, a whole number of at least 0, found '1.5'"),
    "a count as words": (HEAD + COUNTS % "many", "expected a count, a whole number of at least 0, found 'many'"),
    "no runs": (HEAD + CLASSES % "84.5" + "    runs: 0\n", "tables.t.runs: expected a count of at least 1, found 0"),
    "a wrong unit": (
        HEAD + SCORES % "1.0" + "    unit: percent\n",
        "tables.t.unit: Input should be '%', 'share' or 'plain'",
    ),
    "a wrong ratio": (
        HEAD + COUNTS % "5" + "    ratios: [{place: p, parts: [x, x], printed: 4 to 1}]\n",
        "tables.t.ratios.0.printed: String should match pattern",
    ),
    "an unknown part": (
        HEAD + COUNTS % "5" + "    totals: [{place: p, parts: [xx], printed: 5}]\n",
        "tables.t.totals: no part 'xx'; did you mean x?",
    ),
    "an unknown test set": (
        HEAD + CLASSES % "84.5" + "    set: tset\nsets: {test: {}}\n",
        "tables.t.set: no test set 'tset'; did you mean test?",
    ),
    "an unknown table of counts": (
        HEAD + SCORES % "1.0" + "sets: {d: {counts: [u, x]}}\n",
        "sets.d.counts: no table 'u'; known: t",
    ),
    "a table that is no counts": (
        HEAD + SCORES % "1.0" + "sets: {d: {counts: [t, x]}}\n",
        "sets.d.counts: 't' is not a table of kind counts",
    ),
    "a claim over a mapping": (
        HEAD + SCORES % "1.0" + "claims: [{place: p, of: [t, m, d], over: {a: 1}}]\n",
        "claims.0.over: expected a cell [table, row, column], or words for a value",
    ),
    "an unknown cell": (
        HEAD + SCORES % "1.0" + "claims: [{place: p, of: [t, m, d], over: [t, m, e]}]\n",
        "claims.0: no cell 'm / e'; did you mean m / d?",
    ),
    "half a path": (HEAD + SCORES % "1.0" + "differ: [[[t, m], [t, m, d]]]\n", "differ.0: no cell 'm'"),
    "a claim without cells": (
        HEAD + SCORES % "1.0" + "claims: [{place: p, by: 1}]\n",
        "claims.0: needs of and over, or pairs",
    ),
    "a matrix with a class too many": (
        HEAD + "confusion\n    place: T\n    model: m\n    rows: {a: {a: 1, c: 2}, b: {a: 1, b: 2}}\n",
        "tables.t.rows.a: no class 'c'; known: a, b",
    ),
    "labels of an unknown row": (
        HEAD + "information\n    place: T\n    labels: {n: 2}\n    rows: {m: {d: 1}}\n",
        "tables.t.labels: no row 'n'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name: str, fer: Fer, tmp_path: Path) -> None:
    text, message = BAD[name]
    called = fer("audit-paper", write(tmp_path, text))
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert called.err.startswith("error: ")
    assert "paper.yaml" in called.err
    assert message in called.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: give FILE.yaml, --all, or one of aly-2023"),
        (["sun-2024", "--all"], "example, not two of them"),
        (["sun-2042"], "no paper named 'sun-2042'; for one of your own, give its path FILE.yaml; did you mean sun-2024"),
        (["missing/mine.yaml"], "missing/mine.yaml: no such file"),
    ],
)
def test_a_wrong_paper_is_one_line(arguments: list[str], message: str, fer: Fer) -> None:
    called = fer("audit-paper", *arguments)
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
    assert message in called.err


def test_odd_files_are_one_line(fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "latin.yaml").write_bytes("cite: Müller\n".encode("latin-1"))
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * 1_000_000)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nothing")
    for name, message in (
        ("folder.yaml", "a folder, not a file"),
        ("pipe.yaml", "a pipe or a device"),
        ("latin.yaml", "line 1: not UTF-8"),
        ("large.yaml", "larger than the limit of 1 MB"),
        ("dangling.yaml", "cannot be read"),
    ):
        called = fer("audit-paper", tmp_path / name)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert message in called.err


def test_a_closed_reader_is_no_error() -> None:
    code = f"{sys.executable} -m fer_cli audit-paper --all --csv | head -1"
    done = subprocess.run(["/bin/sh", "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == ",".join(COLUMNS)
    assert "Traceback" not in done.stderr


def test_an_installed_package_has_the_papers(tmp_path: Path) -> None:
    """The wheel holds ``experiments`` inside the package, as ``pyproject.toml`` says; there ``fer`` finds them."""
    build = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    inside = build["wheel"]["force-include"]["experiments"]
    assert "experiments" in build["sdist"]["include"]
    shutil.copytree(PACKAGE, tmp_path / "fer_cli", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    shutil.copytree(PACKAGE.parent / "experiments", tmp_path / inside)
    command = [sys.executable, "-m", "fer_cli", "audit-paper", "--all", "--csv"]
    place = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=place)
    assert {line.split(",")[0] for line in done.stdout.splitlines()[1:]} == set(paper_names())
