"""``RESULTS.md`` names the answer of every table and which are behind; ``fer report --all`` writes both."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from fer_cli.config import Compute
from fer_cli.plan import make_plan
from fer_cli.report import make_report
from fer_cli.report.overview import FILE, VERDICTS, overview_text, read_tables
from fer_cli.report.version import VERSION, VERSIONS
from fer_cli.study import Choice
from tests.conftest import STUDY, Called
from tests.reports import SCORES, fake_results
from tests.test_claims_of_studies import CLAIMS
from tests.test_fixture import FOLDER
from tests.verdicts import README, put_verdicts

TRACKED = Path(__file__).parent.parent / "results"


def test_the_tracked_overview_is_that_of_the_tracked_tables() -> None:
    """Where this fails, a table, a study or the report's version changed: write it again with fer report --all --results
    results and python -m tests.verdicts."""
    text = (TRACKED / FILE).read_text()
    assert README.read_text() == put_verdicts(README.read_text(), text)
    assert text == overview_text(TRACKED)
    tables = read_tables(TRACKED)
    assert [path.stem for path in sorted((TRACKED / "tables").glob("*.md"))] == [table.path.stem for table in tables]
    for table in tables:
        assert f"](tables/{table.path.stem}.md)" in text
    listed = re.findall(r"^- (made by report version \d+.*|configs .*|its study .*) \((\d+)\): (.+)$", text, re.MULTILINE)
    found = {name: reason for reason, _, names in listed for name in names.split(", ")}
    assert {name for name, reason in found.items() if "version 1" in reason} == {
        table.path.stem for table in tables if table.version == 1
    }
    assert len(found) == sum(int(count) for _, count, _ in listed)
    costs = re.findall(r"\| [+−][\d.]+ % (?:parameters|multiply-adds) \|", text)
    assert costs and f"Of costs, which are counted, not tested: {len(costs)} claims: " in text
    behind = re.search(r"(\d+) tables, (\d+) of them behind\.", text)
    assert behind and (int(behind[1]), int(behind[2])) == (len(tables), text.count("; **behind**: "))


@pytest.fixture
def study(tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped study with finished runs, in a folder of its own."""
    home = tmp_path / "experiments"
    home.mkdir()
    path = home / "tiny.yaml"
    path.write_text(STUDY + CLAIMS)
    monkeypatch.setattr("fer_cli.study.shipped_folder", lambda _: home)
    fake_results(make_plan("tiny", Choice(), compute), SCORES)
    return path


def test_all_reports_and_their_overview(study: Path, compute: Compute, fer: Callable[..., Called]) -> None:
    done = fer("report", "--all", "--results", compute.results, "--data-root", compute.data_root)
    assert (done.code, done.out) == (0, ""), done.err
    assert "1 reports written" in done.err
    text = (compute.results / FILE).read_text()
    head = (compute.results / "tables" / "tiny-ck48-small.md").read_text().split("\n")[2:4]
    date = VERSIONS[VERSION]
    facts = f"- data `ck48`; split `subject`; n = 3; report version {VERSION} ({date}); [tables](tables/tiny-ck48-small.md)"
    lines = text.split("\n")
    first = lines.index("## tiny on ck48 (small)")
    assert lines[first : first + 5] == ["## tiny on ck48 (small)", "", *head, facts]
    assert lines[4:7] == [f"## {VERDICTS}", "", "2 claims: 1 undecided, 1 not testable."]
    claims = [line for line in lines[:first] if line.startswith("| `tiny` on `ck48` | ")]
    assert len(claims) == 2
    assert claims[0].startswith("| `tiny` on `ck48` | SCN-CS beats the CNN | undecided | +3.00 [")
    assert "1 tables, 0 of them behind." in text
    assert head[1].startswith(
        "- None of 2 claims is supported or contradicted. 1 is undecided (“SCN-CS beats the CNN”: +3.00"
    )


def test_the_claims_of_the_papers_are_counted_apart(study: Path, compute: Compute) -> None:
    text = study.read_text().replace("source: Fig 9}", "source: ours, ours: true}")
    study.write_text(text + "\npaper: {cite: someone-2025}\n")
    make_report("tiny", compute)
    lines = overview_text(compute.results).split("\n")
    counts = "2 claims: 1 undecided, 1 not testable. The papers make 1 of them: 1 undecided."
    assert counts in lines
    rows = [line.split(" | ") for line in lines if line.startswith("| `tiny` on `ck48` | ")]
    assert [row[-1].removesuffix(" |") for row in rows] == ["open", "no paper"]


def test_a_table_is_behind_once_its_study_or_the_report_changes(study: Path, compute: Compute) -> None:
    make_report("tiny", compute)

    def lag() -> str:
        (table,) = read_tables(compute.results)
        return table.find_lag()

    assert lag() == ""
    study.write_text(study.read_text().replace("question: Does", "question: Will"))
    assert lag() == "", "words are no settings"
    study.write_text(study.read_text().replace("epochs: 2", "epochs: 3"))
    assert lag() == "configs changed since"
    assert "- configs changed since (1): tiny-ck48-small\n" in overview_text(compute.results)
    study.unlink()
    assert lag() == "its study is gone"
    path = compute.results / "tables" / "tiny-ck48-small.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(
            stream, [name for name in rows[0] if name not in {"report", "configs"}], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
    assert lag() == "made by report version 1, its study is gone"
    best = "- The highest accuracy is 83.00 % (SCN-CS, label noise 0.0, n = 3), whose red flags, if any, are in its table.\n"
    assert best in overview_text(compute.results)


def test_bad_input_is_one_line(study: Path, compute: Compute, fer: Callable[..., Called]) -> None:
    where = ["--results", compute.results, "--data-root", compute.data_root]
    for arguments, words in [
        (["report"], "--study"),
        (["report", "--all", "--study", "tiny"], "--study: cannot be combined with --all"),
        (["report", "--all", "--claims", "--seeds", "0"], "--seeds: cannot be combined with --all"),
        (["report", "--all", "--results", compute.results / "none"], "no run of a shipped study is done under"),
    ]:
        called = fer(*arguments, *([] if "none" in str(arguments) else where))
        assert (called.code, called.err.strip().count("\n")) == (2, 0), called.err
        assert words in called.err
    (compute.results / "tables").mkdir()
    (compute.results / "tables" / "odd.csv").write_text("a,b\n1,2\n")
    called = fer("report", "--all", *where)
    assert called.code == 2 and "odd.csv: not a table of fer report" in called.err


def test_older_runs_are_reported_too(tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture's runs, of an earlier version, without the data."""
    shutil.copytree(FOLDER / "results", tmp_path / "old")
    here = compute.model_copy(update={"results": tmp_path / "old", "data_root": tmp_path / "nowhere"})
    monkeypatch.setattr("fer_cli.study.shipped_folder", lambda _: FOLDER)
    from fer_cli.report import make_reports

    names = [name for name, _ in make_reports(here)]
    assert names == sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert all(not table.find_lag() for table in read_tables(here.results))


def test_every_tracked_figure_is_named() -> None:
    """A figure whose table is gone would be of runs that nothing tells of."""
    named = {unquote(path) for path in re.findall(r"\]\((figures/[^)]+)\)", (TRACKED / FILE).read_text())}
    found = {path.relative_to(TRACKED).as_posix() for path in (TRACKED / "figures").rglob("*") if path.is_file()}
    assert found == named and len(found) > 20


def test_figures_that_are_not_kept_are_counted(study: Path, compute: Compute) -> None:
    make_report("tiny", compute)
    table, folder = compute.results / "tables" / "tiny-ck48-small.md", compute.results / "figures" / "tiny-ck48-small"
    table.write_text(table.read_text() + "\n- maps-1-a.png: maps\n- maps-2-b.png: maps\n")
    more = "; 2 more figures that it names are not kept here (`fer report --figures` draws them)"
    assert overview_text(compute.results).count(more) == 1
    folder.mkdir(parents=True)
    (folder / "maps-1-a.png").write_bytes(b"")
    one = "; another figure that it names is not kept here (`fer report --figures` draws it)"
    assert overview_text(compute.results).count(one) == 1
    (folder / "maps-2-b.png").write_bytes(b"")
    assert "not kept here" not in overview_text(compute.results)
