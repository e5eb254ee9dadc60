"""What a table may set in bold: no constant answer, no underfitted arm, nothing on fewer than three seeds."""

import json
import re
from pathlib import Path

import pytest

from fer_cli.config import Machine
from fer_cli.metrics import HEADLINE, score
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.reports import SCORES, fake_results, planned, report, rows


@pytest.fixture
def plan(tmp_path: Path, machine: Machine) -> Plan:
    return planned(tmp_path, machine)


def test_the_majority_baseline_is_printed_and_never_bold(tmp_path: Path, machine: Machine) -> None:
    """The majority class of the faked test parts has 20 of 50 images."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    made = make_plan(str(path), Choice(), machine)
    fake_results(made, {key: [0.3, 0.4, 0.4] if key[1] else values for key, values in SCORES.items()})
    markdown = report(made, machine, tmp_path)
    table = rows(markdown, "accuracy in %")
    assert table["CNN"] == ["80.00 ± 10.00 (3)", "36.67 ± 5.77 (3)"]
    assert table["SCN-CS"] == ["**83.00 ± 5.29 (3)**", "36.67 ± 5.77 (3)"]
    rule = "an arm at or below it, here or in accuracy, is never bold"
    assert f"- majority-class baseline: 40.00; {rule}\n" in markdown
    assert "- majority-class baseline: 19.05; an arm at or below it, here or in accuracy, is never bold\n" in markdown, (
        "macro-F1: 2 x .4/1.4/3"
    )
    table = rows(markdown, "macro-F1 in %")
    assert table["CNN"] == ["40.00 ± 5.00 (3)", "18.33 ± 2.89 (3)"]
    assert table["SCN-CS"] == ["**41.50 ± 2.65 (3)**", "18.33 ± 2.89 (3)"]


def test_what_beats_a_constant_answer_by_one_metric_alone_is_not_bold(tmp_path: Path, machine: Machine) -> None:
    """35 % accuracy where the majority class has 40, with a macro-F1 of 35 % where answering it alone gives 19."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    made = make_plan(str(path), Choice(), machine)
    fake_results(made, {key: [0.35, 0.35, 0.35] if key[1] else values for key, values in SCORES.items()})
    for item in made.items:
        content = item.folder.result()
        content["metrics"]["test"]["macro_f1"] = 0.35 if item.run.arm == "CNN" else 0.19
        item.folder.file("result.json").write_text(json.dumps(content))
    table = rows(report(made, machine, tmp_path), "macro-F1 in %")
    assert table["CNN"] == ["**35.00 ± 0.00 (3)**", "35.00 ± 0.00 (3)"]
    for item in made.items:
        content = item.folder.result()
        content["metrics"]["test"]["macro_f1"] = 0.19
        item.folder.file("result.json").write_text(json.dumps(content))
    assert "**" not in report(made, machine, tmp_path).split("## macro-F1 in %")[1].split("##")[0], "80 % accuracy"


@pytest.mark.parametrize("metric", HEADLINE)
def test_no_constant_answer_is_bold_for_any_metric(metric: str, tmp_path: Path, machine: Machine) -> None:
    """Both arms answer the first class, or another: neither beats the baseline, which is scored as any prediction is."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("against: CNN", f"against: CNN, metrics: [{metric}]"))
    made = make_plan(str(path), Choice(), machine)
    fake_results(made, SCORES)
    truth = ["a"] * 20 + ["b"] * 15 + ["c"] * 15
    for item in made.items:
        answer = "b" if item.run.at[0][1] else "a"
        content = item.folder.result()
        content["metrics"]["test"] = score(truth, [answer] * 50, ["a", "b", "c"])
        item.folder.file("result.json").write_text(json.dumps(content))
    markdown = report(made, machine, tmp_path)
    assert "**" not in markdown
    assert re.search(r"majority-class baseline: ([0-9.]+);", markdown).group(1) == (  # type: ignore[union-attr]
        f"{100 * score(truth, ['a'] * 50, ['a', 'b', 'c'])[metric]:.2f}"
    )


def test_underfitted_arms_are_named_and_never_bold(plan: Plan, machine: Machine, tmp_path: Path) -> None:
    """Judged by images whose labels are right: 0.4 of all is more than half of them where 30 % are wrong."""
    for item in plan.items:
        share = {("SCN-CS", 0): 0.2, ("SCN-CS", 1): 0.3}.get(
            (item.run.arm, item.run.seed), 0.4 if item.run.at[0][1] else 0.6
        )
        item.folder.file("history.csv").write_text(f"epoch,train/accuracy\n1,0.9\n2,{share}\n")
    text = report(plan, machine, tmp_path)
    named = [line for line in text.splitlines() if "underfitted in" in line]
    assert named == ["- SCN-CS: underfitted in 4/6 runs (final training accuracy 30 %); not evidence about the method"]
    table = rows(text, "accuracy in %")
    assert table["SCN-CS"][:2] == ["83.00 ± 5.29 (3)", "60.00 ± 10.00 (3)"], "the best mean, and an equal one"
    assert table["CNN"][:2] == ["**80.00 ± 10.00 (3)**", "**60.00 ± 10.00 (3)**"]
    assert "- never bold because underfitted (see the notes): SCN-CS\n" in text


def test_nothing_is_bold_below_three_seeds(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    plan = make_plan(str(path), Choice(seeds=(0, 1)), machine)
    fake_results(plan, SCORES)
    markdown = make_report(str(path), machine, seeds=(0, 1)).markdown
    assert "**" not in markdown
    assert rows(markdown, "accuracy in %")["CNN"][0] == "75.00 ± 7.07 (2)"
    single = make_report(str(path), machine, seeds=(0,)).markdown
    assert rows(single, "accuracy in %")["CNN"][0] == "80.00 (1)"
    assert rows(single, "accuracy, difference")["SCN-CS"][0] == "+5.00"
