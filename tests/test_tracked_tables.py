"""Every interval, p and bold score of the tracked tables is what the library makes of the CSV beside them.

Tables of runs that are elsewhere were made by version 1 of the report, which had other tables: ``tests/tracked.py``.
"""

import re

import pytest

from fer_cli.blocks import DASH, MARKS, Number, cell_text, percent
from fer_cli.judge import Case, weigh
from fer_cli.report.collect import Cell, common_hash
from fer_cli.report.compared import Compared, adjust, find_effect, row_cells, weigh_difference
from fer_cli.report.doubts import OVERLAP
from fer_cli.report.version import VERSION, VERSIONS
from fer_cli.stats import NotTestable
from fer_cli.study import Claim
from tests.tracked import REPORTS, Report, Table, base_of, first_difference, first_rank_test, metric_of

LEAKY = "(leaky split)"
MAJORITY = {"ck48": 249 / 927}
"""Share of the majority class, surprise, among the images of CK+48 without contempt; with contempt it is 249/981."""

SCORES = re.compile(r"(.+) in %: (mean ± sd \(n\)|mean ± sd, n = \d+|one seed, n = 1)")
FIRST = [report for report in REPORTS if report.version == 1]
LATER = [report for report in REPORTS if report.version > 1]


def over(reports: list[Report]) -> pytest.MarkDecorator:
    """Return the mark that runs a test on each of the reports."""
    return pytest.mark.parametrize("report", reports, ids=lambda report: report.path.name)


def score_tables(report: Report) -> list[tuple[str, Table]]:
    """Return the metric and the table of each table of scores."""
    found = [(metric_of(table.title), table) for table in report.tables if SCORES.fullmatch(table.title)]
    return [(metric, table) for metric, table in found if metric is not None]


@over(REPORTS)
def test_scores_are_those_of_the_csv(report: Report) -> None:
    compared = 0
    for metric, table in score_tables(report):
        for label, texts in table.rows:
            for column, text in zip(table.columns, texts, strict=True):
                if report.version == 1 and "(" not in text.text:
                    continue  # the paper's value
                cell = report.cell(label, column)
                if len(cell.results) < len(cell.planned):
                    assert text.text == f"{DASH} n = {len(cell.results)}/{len(cell.planned)}"
                elif report.version == 1:
                    assert text.text.startswith(percent(cell.mean(metric) or 0.0)), (label, column)
                    assert text.text.endswith(f"({len(cell.results)})")
                else:
                    shown = text.text.rstrip(" " + "".join(MARKS.values()))
                    assert shown == Number(cell.mean(metric), cell.sd(metric)).text, (label, column)
                    assert table.title.endswith(f"n = {len(cell.results)}")
                compared += 1
    assert compared >= len(report.cells)


@over(FIRST)
def test_intervals_of_the_first_version_are_recomputed_from_the_csv(report: Report) -> None:
    for table in report.tables:
        base, metric = base_of(table.title), metric_of(table.title)
        if base is None or metric is None:
            continue
        for label, texts in table.rows:
            arm, against = (label, base) if base else label.split(" against ")
            for column, text in zip(table.columns, texts, strict=True):
                delta = first_difference(report.cell(arm, column), report.cell(against, column), metric)
                interval = None if delta.low is None or delta.high is None else (delta.low, delta.high)
                wanted = Number(delta.mean, interval=interval, unit="points").text
                assert text.text == wanted, (table.title, label, column)


def find_cells(report: Report, label: str, base: str) -> tuple[Cell, Cell]:
    """Return the two cells of a row of tested differences, whose label is the arms and the column."""
    for (arm, column), cell in report.cells.items():
        for (other, there), theirs in report.cells.items():
            names = [f"{arm} against {other}", *([arm] if other == base else [])]
            if column == there and label in [", ".join(filter(None, [name, column])) for name in names]:
                return cell, theirs
    raise AssertionError(label)


def compare(ours: Cell, theirs: Cell, metric: str, tested: bool) -> Compared:
    """Return the difference of two cells whose seeds have parts of their own."""
    claim = Claim(text="difference", arm=ours.arm, over=theirs.arm, metric=metric, source="CSV")
    hashed = common_hash([ours, theirs])
    weighed = weigh(Case(claim, (), ours.side(metric, hashed), theirs.side(metric, hashed)))
    test = weigh_difference(weighed) if tested else NotTestable("a red flag")
    effect = find_effect(ours, theirs, metric, weighed) if tested else None
    return Compared("", (), ours, theirs, metric, weighed, test, effect=effect)


@over(LATER)
def test_differences_are_recomputed_from_the_csv(report: Report) -> None:
    """The tested ones with p, Holm's correction, effect size and detectable difference; not those over images."""
    for table in report.tables:
        found = re.fullmatch(r".+, difference to (.+) in points( \[95 % interval\], not tested)?(?:, n = \d+)?", table.title)
        metric = metric_of(table.title)
        if not found or metric is None or any(cell.one_part for cell in report.cells.values()):
            continue
        if found[2]:
            for label, texts in table.rows:
                arm, against = label.split(" against ") if " against " in label else (label, found[1])
                for column, text in zip(table.columns, texts, strict=True):
                    one = compare(report.cell(arm, column), report.cell(against, column), metric, tested=False)
                    assert unsigned(text.text) == one.number.text, (table.title, label, column)
            continue
        rows = [(*find_cells(report, label, found[1]), texts) for label, texts in table.rows]
        made = adjust([compare(ours, theirs, metric, texts[1].text != DASH) for ours, theirs, texts in rows])
        for (_, _, texts), one in zip(rows, made, strict=True):
            wanted = [cell_text(cell) for cell in row_cells(one)]
            wanted = wanted if "g" in table.columns else [*wanted[:3], *wanted[4:]]
            assert [unsigned(text.text) for text in texts] == wanted


@over(FIRST)
def test_rank_tests_of_the_first_version_are_recomputed_from_the_csv(report: Report) -> None:
    for table in report.tables:
        metric = metric_of(table.title)
        if metric is None or " by seed" not in table.title:
            continue
        column = table.title.split(" by seed")[1].removeprefix(", ")
        cells = {arm: cell for (arm, title), cell in report.cells.items() if title == column}
        note = table.notes[0]
        base = note.split(" against ")[1].split(":")[0]
        tests = note.split(": ", maxsplit=1)[1].split("; ")
        assert len(tests) >= len(cells) - 1
        for test in tests:
            label, words = test.split(": ")
            arm, other = label.split(" against ") if " against " in label else (label, base)
            assert words == first_rank_test(cells[arm], cells[other], metric), (table.title, label)
        assert f"{OVERLAP}: the rank test assumes independent pairs" in table.notes[1]


@over(REPORTS)
def test_latex_says_the_same(report: Report) -> None:
    """Intervals, W and p in their order; signs are math in LaTeX."""
    latex = report.path.with_suffix(".tex").read_text().replace("$-$", "−").replace("~", " ")
    markdown = "\n".join(report.lines)
    for pattern in (r"[+−][\d.]+ \[[+−][\d.]+, [+−][\d.]+\]", r"W = [\d.]+, p = \d\.\d{4}"):
        assert re.findall(pattern, latex) == re.findall(pattern, markdown)


@over(REPORTS)
def test_bold_is_the_best_that_may_be(report: Report) -> None:
    """Neither leaky nor underfitted arms, nor any whose accuracy is that of the majority class or less."""
    notes = report.tables[-1].notes
    weak = {found[1] for line in notes if (found := re.match(r"(.+): underfitted in \d+/\d+ runs \(final training", line))}
    bounds = next((line for line in report.lines if re.search("never bold(: | because an upper bound: )", line)), "")
    labels = [label for table in report.tables for label, _ in table.rows]
    weak |= {label for label in labels if bounds.endswith((f": {label}", f", {label}"))}
    assert not any("hardly learned" in line for line in notes)
    printed = re.search(r"majority-class baseline: ([\d.]+)", "\n".join(report.lines))
    floor = float(printed[1]) / 100 if printed else MAJORITY.get(report.path.name.split("-")[-2].split("+")[0], 0.25)
    unlike = any(line.startswith("- arms differ in what is simulated") for line in report.lines)
    for metric, table in score_tables(report):
        for place, column in enumerate(table.columns):
            if unlike:
                assert not bold(table, place)
                continue
            if report.version == 1 and not any(re.search(r"\(\d+\)$", texts[place].text) for _, texts in table.rows):
                continue  # the paper's values
            flagged = {label for label, texts in table.rows if set(MARKS.values()) & set(texts[place].text)}
            if sum(MARKS["leaky"] not in texts[place].text for _, texts in table.rows) == 1:
                assert not bold(table, place), "nothing that does not leak to be better than"
                continue
            assert bold(table, place) == best(report, table, column, metric, weak | flagged, floor), (table.title, column)


def unsigned(text: str) -> str:
    """Return a number without its red flags."""
    return text.rstrip(" " + "".join(MARKS.values()))


def bold(table: Table, place: int) -> set[str]:
    """Return the rows whose score is bold."""
    return {label for label, texts in table.rows if texts[place].bold}


def best(report: Report, table: Table, column: str, metric: str, weak: set[str], floor: float) -> set[str]:
    """Return the rows that have the best printed mean among those that may be bold."""
    compared = [label for label, _ in table.rows if LEAKY not in label and LEAKY not in column]
    cells = {label: report.cell(label, column) for label in compared}
    if len(cells) < 2 or min(len(cell.results) for cell in cells.values()) < 3:
        return set()
    means = {
        label: cell.mean(metric) or 0.0
        for label, cell in cells.items()
        if label not in weak and (cell.mean("accuracy") or 0.0) > floor
    }
    return {label for label, mean in means.items() if percent(mean) == percent(max(means.values()))}


@over(LATER)
def test_later_versions_say_which(report: Report) -> None:
    configs = {row["configs"] for row in report.rows}
    assert {int(row["report"]) for row in report.rows} == {report.version} <= set(VERSIONS)
    assert report.version <= VERSION and len(configs) == 1
    line = f"- report version {report.version} of {VERSIONS[report.version]}; hash of the expanded configs {configs.pop()}"
    assert line in report.lines


@over(FIRST)
def test_what_was_recomputed_is_named(report: Report) -> None:
    """Only where intervals over folds needed the correction, and the table was made before it."""
    notes = report.tables[-1].notes
    resampled = any(cell.overlap and len(cell.results) > 1 for cell in report.cells.values())
    assert any(OVERLAP in line and "corrected resampled t-test" in line for line in notes) == resampled
    assert any(line.startswith("recomputed from the CSV beside this table") for line in notes) <= resampled
