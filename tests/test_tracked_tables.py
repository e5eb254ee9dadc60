"""Every interval, W, p and bold score of the tracked tables is what the library makes of the CSV beside them."""

import re

import pytest

from fer_cli.blocks import percent
from fer_cli.report.doubts import OVERLAP, rank_caveat
from fer_cli.report.tables import difference_number, rank_text
from tests.tracked import REPORTS, Report, Table, base_of, metric_of

LEAKY = "(leaky split)"
MAJORITY = {"ck48": 249 / 927}
"""Share of the majority class, surprise, among the images of CK+48 without contempt; with contempt it is 249/981."""

pytestmark = pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.path.name)


def test_scores_are_those_of_the_csv(report: Report) -> None:
    compared = 0
    for table in report.tables:
        metric = metric_of(table.title)
        if metric is None or "in %: mean ± sd (n)" not in table.title:
            continue
        for label, texts in table.rows:
            for column, text in zip(table.columns, texts, strict=True):
                if "(" in text.text:  # not the paper's value
                    cell = report.cell(label, column)
                    assert text.text.startswith(percent(cell.mean(metric) or 0.0)), (label, column)
                    assert text.text.endswith(f"({len(cell.results)})")
                    compared += 1
    assert compared >= len(report.cells)


def test_intervals_are_recomputed_from_the_csv(report: Report) -> None:
    for table in report.tables:
        base, metric = base_of(table.title), metric_of(table.title)
        if base is None or metric is None:
            continue
        for label, texts in table.rows:
            arm, against = (label, base) if base else label.split(" against ")
            for column, text in zip(table.columns, texts, strict=True):
                delta = report.cell(arm, column).difference_to(report.cell(against, column), metric)
                assert delta is not None
                assert text.text == difference_number(delta).text, (table.title, label, column)


def test_rank_tests_are_recomputed_from_the_csv(report: Report) -> None:
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
            assert words == rank_text(cells[arm], cells[other], metric), (table.title, label)
        assert table.notes[1:] == rank_caveat(cells.values()) != []


def test_latex_says_the_same(report: Report) -> None:
    """Intervals, W and p in their order; signs are math in LaTeX."""
    latex = report.path.with_suffix(".tex").read_text().replace("$-$", "−").replace("~", " ")
    markdown = "\n".join(report.lines)
    for pattern in (r"[+−][\d.]+ \[[+−][\d.]+, [+−][\d.]+\]", r"W = [\d.]+, p = \d\.\d{4}"):
        assert re.findall(pattern, latex) == re.findall(pattern, markdown)


def test_bold_is_the_best_that_may_be(report: Report) -> None:
    """Neither leaky nor underfitted arms, nor any whose accuracy is that of the majority class or less."""
    notes = report.tables[-1].notes
    weak = {found[1] for line in notes if (found := re.match(r"(.+): underfitted in \d+/\d+ runs \(final training", line))}
    bounds = next((line for line in report.lines if "never bold because an upper bound: " in line), "")
    labels = [label for table in report.tables for label, _ in table.rows]
    weak |= {label for label in labels if bounds.endswith((f": {label}", f", {label}"))}
    assert not any("hardly learned" in line for line in notes)
    printed = re.search(r"majority-class baseline: ([\d.]+)", "\n".join(report.lines))
    floor = float(printed[1]) / 100 if printed else MAJORITY.get(report.path.name.split("-")[-2].split("+")[0], 0.25)
    for table in report.tables:
        metric = metric_of(table.title)
        if metric is None or "in %: mean ± sd (n)" not in table.title:
            continue
        for place, column in enumerate(table.columns):
            if not any(re.search(r"\(\d+\)$", texts[place].text) for _, texts in table.rows):
                continue  # the paper's values
            assert bold(table, place) == best(report, table, column, metric, weak, floor), (table.title, column)


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


def test_what_was_recomputed_is_named(report: Report) -> None:
    """Only where intervals over folds needed the correction, and the table was made before it."""
    notes = report.tables[-1].notes
    resampled = any(cell.overlap and len(cell.results) > 1 for cell in report.cells.values())
    assert any(OVERLAP in line and "corrected resampled t-test" in line for line in notes) == resampled
    assert any(line.startswith("recomputed from the CSV beside this table") for line in notes) <= resampled
