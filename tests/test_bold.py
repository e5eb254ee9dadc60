"""What a table may set in bold: no constant answer, no underfitted arm, nothing on fewer than three seeds."""

import re
from pathlib import Path

import numpy as np
import pytest

from fer_cli.config import METRICS, Compute
from fer_cli.metrics import score, score_counts
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.fakes import fake_result, leave, spread
from tests.reports import PARTS, SCORES, fake_results, planned, report, rows


@pytest.fixture
def plan(tmp_path: Path, compute: Compute) -> Plan:
    return planned(tmp_path, compute)


def test_the_majority_baseline_is_printed_and_never_bold(tmp_path: Path, compute: Compute) -> None:
    """The majority class of the faked test parts has 40 of 100 images."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    made = make_plan(str(path), Choice(), compute)
    fake_results(made, {key: [0.3, 0.4, 0.4] if key[1] else values for key, values in SCORES.items()})
    markdown = report(made, compute, tmp_path)
    table = rows(markdown, "accuracy in %")
    assert table["CNN"] == ["80.00 ± 10.00", "36.67 ± 5.77"]
    assert table["SCN-CS"] == ["**83.00 ± 5.29**", "36.67 ± 5.77"]
    assert "- majority-class baseline: 40.00\n" in markdown
    assert "- majority-class baseline: 19.05\n" in markdown, "macro-F1: 2 x .4/1.4/3"
    table = rows(markdown, "macro-F1 in %")
    means = {arm: 100 * sum(spread_f1(value) for value in SCORES[arm, 0.0]) / 3 for arm in ("CNN", "SCN-CS")}
    assert table["CNN"][0].startswith(f"{means['CNN']:.2f} ± ")
    assert table["SCN-CS"][0].startswith(f"**{means['SCN-CS']:.2f} ± ")
    assert "**" not in table["CNN"][1] + table["SCN-CS"][1]


def spread_f1(accuracy: float) -> float:
    """Return the macro-F1 of a made-up test part."""
    return float(score_counts(np.array(spread(accuracy, PARTS["test"])), "abc")["macro_f1"])


BY_ONE = {"macro_f1": [[5, 0, 35], [15, 15, 0], [15, 0, 15]], "accuracy": [[40, 0, 0], [29, 1, 0], [30, 0, 0]]}
"""Test parts that beat a constant answer (40 % and a macro-F1 of 19.05 %) by one of the two: 35 and 34.4, 41 and 21.1 %."""


def test_what_beats_a_constant_answer_by_one_metric_alone_is_not_bold(tmp_path: Path, compute: Compute) -> None:
    """Neither 35 % accuracy with a high macro-F1, nor by macro-F1 alone where the other arm has more."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    made = make_plan(str(path), Choice(), compute)
    fake_results(made, SCORES)
    for item in made.items:
        if item.run.at[0][1]:
            counts = BY_ONE["macro_f1" if item.run.arm == "CNN" else "accuracy"]
            leave(item.folder, fake_result(item.run_id, item.run.config, {"test": counts}, fingerprint=item.fingerprint))
    markdown = report(made, compute, tmp_path)
    table = rows(markdown, "macro-F1 in %")
    best = score_counts(np.array(BY_ONE["macro_f1"]), "abc")["macro_f1"]
    assert table["CNN"][1] == f"{100 * best:.2f} ± 0.00", "the best macro-F1, by 35 % accuracy"
    assert rows(markdown, "accuracy in %")["SCN-CS"][1] == "**41.00 ± 0.00**"


@pytest.mark.parametrize("metric", METRICS)
def test_no_constant_answer_is_bold_for_any_metric(metric: str, tmp_path: Path, compute: Compute) -> None:
    """Both arms answer the first class, or another: neither beats the baseline, which is scored as any prediction is."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("against: CNN", f"against: CNN, metrics: [{metric}]"))
    made = make_plan(str(path), Choice(), compute)
    truth = ["a"] * 20 + ["b"] * 15 + ["c"] * 15
    for item in made.items:
        counts = [[0, 20, 0], [0, 15, 0], [0, 15, 0]] if item.run.at[0][1] else [[20, 0, 0], [15, 0, 0], [15, 0, 0]]
        leave(item.folder, fake_result(item.run_id, item.run.config, {"test": counts}, fingerprint=item.fingerprint))
    markdown = report(made, compute, tmp_path)
    assert "**" not in markdown
    assert re.search(r"majority-class baseline: ([0-9.]+)", markdown).group(1) == (  # type: ignore[union-attr]
        f"{100 * score(truth, ['a'] * 50, ['a', 'b', 'c'])[metric]:.2f}"
    )


def test_underfitted_cells_are_marked_and_never_bold(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    """Judged by images whose labels are right: 0.4 of all is more than half of them where 30 % are wrong."""
    for item in plan.items:
        share = {("SCN-CS", 0): 0.2, ("SCN-CS", 1): 0.3}.get(
            (item.run.arm, item.run.seed), 0.4 if item.run.at[0][1] else 0.6
        )
        item.folder.file("history.csv").write_text(f"epoch,train/accuracy\n1,0.9\n2,{share}\n")
    text = report(plan, compute, tmp_path)
    limit = "final training accuracy on correctly labelled images, estimated, below 50 % in some runs"
    legend = f"- † underfitted, no evidence about the method ({limit}): SCN-CS 4/6 (30.4 %)\n"
    assert text.count(legend) == 6, "under accuracy, macro-F1, the paper's table, both differences and F1 by class"
    assert "The highest accuracy is 80.00 % (CNN, label noise 0.0, n = 3)." in text
    table = rows(text, "accuracy in %")
    assert table["SCN-CS"][:2] == ["83.00 ± 5.29 †", "60.00 ± 10.00 †"], "the best mean, and an equal one"
    assert table["CNN"][:2] == ["**80.00 ± 10.00**", "**60.00 ± 10.00**"]
    differences = rows(text, "accuracy, difference to CNN")
    assert differences["SCN-CS, label noise 0.0"][0].endswith("†") and differences["SCN-CS, label noise 0.0"][1] == "–"
    for title in ("macro-F1, difference to CNN", "F1 by class"):
        assert all(cell.endswith("†") for cell in rows(text, title)["SCN-CS"]), title
    tables = make_report(str(tmp_path / "tiny.yaml"), compute).report.shown("html")
    for table in (table for table in tables if table.kind == "seeds"):
        assert all(cells[1].text.endswith(" †") and "†" not in cells[0].text for _, cells in table.rows)  # type: ignore[union-attr]


def test_an_answer_marks_the_flagged_scores_that_it_names(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    """The baseline, though another arm is best; the best one, where no arm is clean."""
    for flagged, said in (
        (("CNN",), "The highest accuracy is 83.00 % (SCN-CS, label noise 0.0, n = 3); CNN has 80.00 % † there; † underf"),
        (
            ("CNN", "SCN-CS"),
            "The highest accuracy is 83.00 % † (SCN-CS, label noise 0.0, n = 3); CNN has 80.00 % † there; †",
        ),
    ):
        for item in plan.items:
            share = 0.2 if item.run.arm in flagged else 0.9
            item.folder.file("history.csv").write_text(f"epoch,train/accuracy\n1,0.9\n2,{share}\n")
        assert said in report(plan, compute, tmp_path)


def test_nothing_is_bold_below_three_seeds(compute: Compute, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    plan = make_plan(str(path), Choice(seeds=(0, 1)), compute)
    fake_results(plan, SCORES)
    markdown = make_report(str(path), compute, seeds=(0, 1)).markdown
    assert "**" not in markdown
    assert rows(markdown, "accuracy in %")["CNN"][0] == "75.00 ± 7.07"
    single = make_report(str(path), compute, seeds=(0,)).markdown
    assert rows(single, "accuracy in %")["CNN"][0] == "80.00"
    assert "## accuracy in %: one seed, n = 1" in single
    assert rows(single, "accuracy, difference")["SCN-CS, label noise 0.0"] == ["+5.00", "–", "–", "–"]
    assert "- not tested: n = 1: a t-test needs at least 3 differences\n" in single
