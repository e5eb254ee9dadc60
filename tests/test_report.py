"""Tables recomputed by hand: means, deviations, intervals, missing cells, bold, LaTeX."""

import csv
import dataclasses
import html
import io
import json
import math
import re
import shlex
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from scipy import stats

from fer_cli.choices import remember
from fer_cli.config import Compute
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.report.canvas import label_arms
from fer_cli.report.collect import Cell, collect
from fer_cli.report.doubts import Doubts
from fer_cli.report.published import describe_source
from fer_cli.report.sides import Scales
from fer_cli.report.version import VERSION
from fer_cli.results import Cost, Seconds
from fer_cli.study import Choice, Published
from tests.conftest import STUDY, Called
from tests.fakes import changed, fake_result, leave, spread
from tests.reports import SCORES, SIZES, fake_results, planned, report, rows


@pytest.fixture
def plan(tmp_path: Path, compute: Compute) -> Plan:
    return planned(tmp_path, compute)


def test_means_deviations_and_bold(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    table = rows(report(plan, compute, tmp_path), "accuracy in %")
    assert table[""] == ["label noise 0.0", "label noise 0.3"]
    assert table["CNN"] == ["80.00 ± 10.00", "**60.00 ± 10.00**"]
    assert table["SCN-CS"] == ["**83.00 ± 5.29**", "**60.00 ± 10.00**"]
    assert statistics.stdev(SCORES["SCN-CS", 0.0]) == pytest.approx(0.0529, abs=1e-4)


def test_arms_that_learned_validation_images_show_what_they_score_there(tmp_path: Path, compute: Compute) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("SCN-CS: {learning.method: scn-cs}", "SCN-CS: {data.leak: val}"))
    made = make_plan(str(path), Choice(), compute)
    fake_results(made, SCORES)
    table = rows(report(made, compute, tmp_path), "on validation images, accuracy in %")
    assert [label.split(" (")[0] for label in table] == ["", "CNN", "SCN-CS"]
    assert table["CNN"][0] == "90.00 ± 10.00"


def test_paired_difference_by_hand(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    """One test: p alone is that after Holm's correction; equal arms are not tested."""
    table = rows(report(plan, compute, tmp_path), "accuracy, difference to CNN in points")
    assert table[""] == ["difference [95 % interval]", "p", "p (Holm)", "g", "detectable"]
    deltas = [0.05, 0.07, -0.03]
    error = statistics.stdev(deltas) * math.sqrt(1 / 3 + 50 / 100)
    half = 4.302653 * error
    p = 2 * stats.t.sf(0.03 / error, 2)
    g = 0.03 / statistics.stdev(deltas) * math.gamma(1) / math.gamma(0.5)  # J(2) = gamma(1) / (sqrt(1) gamma(1/2))
    expected = f"+3.00 [−{100 * (half - 0.03):.2f}, +{100 * (0.03 + half):.2f}]"
    assert table["SCN-CS, label noise 0.0"][:4] == [expected, f"{p:.4f}", f"{p:.4f}", f"{g:.2f}"]
    assert table["SCN-CS, label noise 0.3"] == ["+0.00", "–", "–", "–", "–"]
    power = stats.nct.sf(4.302653, 2, float(table["SCN-CS, label noise 0.0"][4]) / 100 / error)
    assert power == pytest.approx(0.8, abs=0.001)


CORRECTED = "corrected resampled paired t-test; the training sets of different folds or draws overlap"


@pytest.mark.parametrize(
    ("split", "resampled"),
    [
        ("folds: 3", True),
        ("split: holdout", True),
        ("split: loso", True),
        ("split: random", True),
        ("split: official", False),
        ("test: other", False),
    ],
)
def test_overlapping_training_parts_widen_intervals_and_are_named(
    split: str, resampled: bool, tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds and repeated hold-out share training images; published parts, and another set to test on, do not resample."""
    if "other" in split:
        shutil.copytree(compute.data_root / "ck48", tmp_path / "data" / "ck48")
        shutil.copytree(compute.data_root / "ck48", tmp_path / "data" / "other")
        compute = compute.model_copy(update={"data_root": tmp_path / "data"})
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("folds: 3", split))
    made = make_plan(str(path), Choice(), compute)
    fake_results(made, SCORES)
    markdown = report(made, compute, tmp_path)
    half = 4.302653 * statistics.stdev([0.05, 0.07, -0.03]) * math.sqrt(1 / 3 + (50 / 100 if resampled else 0))
    label, cells = list(rows(markdown, "accuracy, difference to CNN").items())[1]
    assert label.startswith("SCN-CS")
    assert cells[0].removesuffix(" ‡").endswith(f"+{100 * (0.03 + half):.2f}]")
    assert (CORRECTED in markdown) == (resampled and "random" not in split)
    assert "by seed" not in markdown


def test_further_differences_are_those_asked_for(tmp_path: Path, compute: Compute) -> None:
    """The same as the difference to the baseline, the other way round."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("against: CNN", "against: CNN, pairs: [[CNN, SCN-CS]]"))
    plan = make_plan(str(path), Choice(), compute)
    fake_results(plan, SCORES)
    markdown = report(plan, compute, tmp_path)
    table = rows(markdown, "accuracy, difference to CNN")
    low, high = re.findall(r"[+−][0-9.]+", table["SCN-CS, label noise 0.0"][0])[1:]
    assert table["CNN against SCN-CS, label noise 0.0"][0] == f"−3.00 [{turned(high)}, {turned(low)}]"


def test_costs_are_told_of_all_arms_that_have_a_network(tmp_path: Path, compute: Compute) -> None:
    """A classifier on features tells none, and does not hide those of the others."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        STUDY.replace("  CNN: {}\n", "  CNN: {}\n  HOG: {features.blocks: [hog]}\n  SCN: {learning.method: scn}\n")
    )
    plan = make_plan(str(path), Choice(), compute)
    fake_results(plan, SCORES | {(arm, noise): SCORES["CNN", noise] for arm in ("HOG", "SCN") for noise in (0.0, 0.3)})
    costs = {"CNN": 1000, "SCN": 1100, "SCN-CS": 1100}
    for item in plan.items:
        if item.run.arm in costs:
            cost = Cost(parameters=costs[item.run.arm], multiply_adds=70, seconds=Seconds(total=4.0))
            changed(item.folder, cost=cost)
    markdown = report(plan, compute, tmp_path)
    table = rows(markdown, "Model complexity")
    assert table == {"": ["parameters", "multiply-adds"]} | {arm: [f"{cost:,}", "70"] for arm, cost in costs.items()}
    for item in plan.items:
        changed(item.folder, cost=Cost(seconds=Seconds(total=4.0, training=2.0 + item.run.seed)))
    assert rows(report(plan, compute, tmp_path), "Model complexity")["HOG"] == ["3.0 [2.0, 4.0]", "6"]
    for item in plan.items:  # the same three trainings at every level
        changed(item.folder, trained_by=f"{item.run.seed:012d}")
    assert rows(report(plan, compute, tmp_path), "Model complexity")["HOG"] == ["3.0 [2.0, 4.0]", "3"]
    assert (
        "checkpoint: best val/macro_f1 (ties go to the latest epoch); test images predicted once, by this checkpoint"
        in markdown
    )
    assert "classifier: multinomial logistic regression (C = 1) on features, scaling min-max" in markdown


def test_label_correction_is_shown_by_what_is_left_and_older_results_by_their_count(
    plan: Plan, compute: Compute, tmp_path: Path
) -> None:
    """Means over the runs in which a share is defined; results of earlier versions know how many labels changed."""
    for item in plan.items:
        if item.run.arm == "SCN-CS":
            noise, seed = item.run.at[0][1], item.run.seed
            correction = (
                {"count": 40, "fixed": 30, "broken": 2}
                if noise
                else {
                    "count": 10 + seed,
                    "changed": 8,
                    "wrong_start": 0.2,
                    "wrong_end": 0.1 + 0.01 * seed,
                    "precision": None if seed == 0 else 0.25 * seed,
                    "recall": None,
                }
            )
            changed(item.folder, relabelled=correction)
    markdown = report(plan, compute, tmp_path)
    table = rows(markdown, "Module diagnostics")
    assert table["SCN-CS"] == ["wrong 20.0 → 11.0 %, precision 37.5, recall –; 11 replaced", "40 replaced"]
    assert "CNN" not in table
    assert "fixed" not in markdown.split("Module diagnostics")[1].split("## ")[0]


def turned(number: str) -> str:
    """Return a number as text with the other sign."""
    return {"+": "−", "−": "+"}[number[0]] + number[1:]


def test_csv_gives_back_every_cell(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    report(plan, compute, tmp_path)
    path = compute.results / "tables" / "tiny-ck48-small.csv"
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(lines) == 12 * 2
    for (arm, noise), values in SCORES.items():
        mine = [
            float(line["value"])
            for line in lines
            if (line["arm"], line["metric"]) == (arm, "accuracy") and float(line["data.label_noise"]) == noise
        ]
        assert mine == values
    assert {line["run_id"] for line in lines} == {item.run_id for item in plan.items}


def test_missing_cells_show_and_are_not_averaged(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    lost = next(item for item in plan.items if item.run.arm == "SCN-CS" and item.run.at[0][1] == 0.3)
    shutil.rmtree(lost.folder.path)
    markdown = report(plan, compute, tmp_path)
    assert rows(markdown, "accuracy in %")["SCN-CS"][1] == "– n = 2/3"
    assert rows(markdown, "accuracy in %")["CNN"][1] == "60.00 ± 10.00"
    assert rows(markdown, "accuracy, difference")["SCN-CS, label noise 0.3"][0] == "–"
    assert "- not tested (SCN-CS, label noise 0.3): SCN-CS: 2 of 3 seeds are done\n" in markdown


def test_header_says_what_a_reader_must_know(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    markdown = report(plan, compute, tmp_path)
    for words in (
        f"fingerprint {plan.items[0].fingerprint}",
        "168 images, 12 subjects, 7 classes",
        "differs from its card",
        "split `subject`: 3 stratified folds",
        "best val/macro_f1",
        "±: sample standard deviation over n seeds (0, 1, 2); seed s determines fold s mod 3, label noise, initial weights "
        "and batch order, the same for every arm",
        "SCN-CS: learning.method = scn-cs",
        "random initialisation",
        "relabelling is inert: SCN-CS, label noise 0.0 (3/3 runs), SCN-CS, label noise 0.3 (3/3 runs)",
        "SCN-CS on MMI: & text; 50 % of it",
        "not comparable",
        f"report version {VERSION} of ",
    ):
        assert words in markdown, words


@pytest.mark.parametrize(
    ("base", "seeds", "words"),
    [
        ("{sequences: {simulation: tags}}", (0, 1), "n seeds (0, 1); seed s determines the simulated sequences, the same"),
        ("{sequences: {simulation: tags}}", (3,), "- seed s = 3 determines the simulated sequences, the same for every arm"),
        ("{data: {name: ck48, folds: 3}, features: {blocks: [hog]}}", (0, 1), "seed s determines fold s mod 3, the same"),
    ],
)
def test_what_a_seed_determines(base: str, seeds: tuple[int, ...], words: str, compute: Compute, tmp_path: Path) -> None:
    """No weights where no network is trained, and no ± over one seed. Of one arm and its upper bound nothing is compared."""
    change = "sequences.model: knn" if "tags" in base else "features.blocks: [lbp]"
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"name: tiny\nquestion: What?\nbase: {base}\nseeds: [0, 1]\narms:\n  a: {{}}\n  b: {{{change}}}\n"
        "report: {against: a, bounds: [b]}\n"
    )
    plan = make_plan(str(path), Choice(seeds=seeds), compute)
    for item in plan.items:
        leave(item.folder, fake_result(item.run_id, item.run.config, fingerprint=item.fingerprint))
    text = make_report(str(path), compute, seeds=seeds).markdown
    assert words in text and "initial weights" not in text and ("±:" in text) == (len(seeds) > 1)
    assert "The study has one arm besides its upper bounds, so nothing is compared." in text


def test_leaky_split_is_marked_on_its_cells_and_not_tested(compute: Compute, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("SCN-CS: {learning.method: scn-cs}", "SCN-CS: {data.split: random}"))
    fake_results(make_plan(str(path), Choice(), compute), SCORES)
    markdown = make_report(str(path), compute).markdown
    assert rows(markdown, "accuracy in %")["SCN-CS"] == ["83.00 ± 5.29 ‡", "60.00 ± 10.00 ‡"]
    assert "- ‡ leaky split: 75 % of test subjects were trained on: SCN-CS\n" in markdown
    assert "LEAKS" in markdown and "(75% of test subjects were trained on)" in markdown
    assert "- not tested: SCN-CS is leaky\n" in markdown


@pytest.mark.parametrize(
    ("setting", "marked"), [("data.split: random", True), ("data.leak: test", True), ("learning.method: scn-cs", False)]
)
def test_figures_mark_the_arms_that_tables_mark_as_leaky(
    setting: str, marked: bool, compute: Compute, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("SCN-CS: {learning.method: scn-cs}", f"SCN-CS: {{{setting}}}"))
    plan = make_plan(str(path), Choice(), compute)
    fake_results(plan, SCORES)
    assert label_arms(plan, collect(plan)) == {
        arm: f"{arm} (leaky)" if marked and arm == "SCN-CS" else arm for arm in plan.study.arms
    }
    assert ("‡" in rows(make_report(str(path), compute).markdown, "accuracy in %")["SCN-CS"][0]) == marked


def test_latex_is_escaped_and_balanced(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    report(plan, compute, tmp_path)
    text = (compute.results / "tables" / "tiny-ck48-small.tex").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    for name in ("table", "tabular"):
        assert len(re.findall(rf"\\begin\{{{name}\*?\}}", body)) == len(re.findall(rf"\\end\{{{name}\*?\}}", body)) > 0
    assert not re.search(r"(?<!\\)[%#_]", body.replace("label_noise", "")), "unescaped special character"
    assert body.isascii()
    for tabular in body.split(r"\begin{tabular}")[1:]:
        lines = [line for line in tabular.splitlines() if line.endswith(r"\\") and r"\multicolumn" not in line]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1


AWKWARD = ["[1.5] | a", "*_x_*", "=1+1", "# $\\foo$ `x` 50 % & <b>", "a\\"]


def test_awkward_names_stay_text_in_every_table(compute: Compute, tmp_path: Path) -> None:
    arms = "".join(
        f"  {json.dumps(name)}: {{train.momentum: 0.5, train.optimizer: sgd, train.weight_decay: 0.{i}}}\n"
        for i, name in enumerate(AWKWARD, 1)
    )
    path = tmp_path / "tiny.yaml"
    question = json.dumps("First line\nsecond | line \\input{x} of *all*?")
    path.write_text(STUDY.replace("Does the tiny study run?", question).replace("  CNN: {}\n", f"  CNN: {{}}\n{arms}"))
    plan = make_plan(str(path), Choice(), compute)
    scores = {(arm, noise): SCORES["CNN", noise] for arm in AWKWARD for noise in (0.0, 0.3)}
    fake_results(plan, SCORES | scores)
    markdown = make_report(str(path), compute).markdown
    assert "- First line second | line".replace("|", "\\|") in markdown
    tables = MarkdownIt("commonmark").enable("table").render(markdown)
    for name in AWKWARD:
        assert f"<td>{html.escape(name).replace('`x`', '<code>x</code>')}</td>" in tables
    assert "<em>" not in tables and "<b>" not in tables
    assert len({row.count("<td") for row in tables.split("<table>")[1].split("<tr>")[2:]}) == 1
    tex = (compute.results / "tables" / "tiny-ck48-small.tex").read_text()
    assert all(line.startswith("%") for line in tex.split(r"\begin{table")[0].splitlines() if line)
    assert "\n{}[1.5] \\textbar{} a & " in tex and "\n{}*\\_x\\_* & " in tex
    with (compute.results / "tables" / "tiny-ck48-small.csv").open(newline="") as stream:
        found = {row["arm"] for row in csv.DictReader(stream)}
    assert found == {"CNN", "SCN-CS", *(f"'{name}" if name.startswith("=") else name for name in AWKWARD)}


def test_report_without_runs_says_what_to_type(fer: Callable[..., Called], compute: Compute, study_file: Path) -> None:
    called = fer("report", "--study", study_file, "--results", compute.results, "--data-root", compute.data_root)
    assert called.code == 2
    assert called.err.count("\n") == 1
    assert "fer ablate --study" in called.err


def test_report_remembers_what_was_run_last(compute: Compute, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    fake_results(make_plan(str(path), Choice(seeds=(0, 1)), compute), SCORES)
    record = compute.results / "studies" / "tiny.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"profile": "small", "data": None, "seeds": [0, 1]}))
    written = make_report(str(path), compute)
    assert (written.planned, written.missing) == (8, 0)


def test_arms_tested_on_the_same_images_are_paired_whatever_they_trained_on(plan: Plan, compute: Compute) -> None:
    def cell(arm: str, values: list[float], data: list[dict[str, str]]) -> Cell:
        results = {
            seed: fake_result(counts={"test": spread(value, (40, 30, 30))}, data=SIZES | own)
            for seed, (value, own) in enumerate(zip(values, data, strict=True))
        }
        return Cell(arm, plan.items[0].run.at, list(results), results)

    plain = cell("CNN", [0.5, 0.6, 0.7], [{"split_hash": f"s{i}", "test_hash": f"t{i}"} for i in range(3)])
    leaky = cell("SCN-CS", [0.6, 0.7, 0.81], [{"split_hash": f"z{i}", "test_hash": f"t{i}"} for i in range(3)])
    other = cell("SCN-CS", [0.6, 0.7, 0.81], [{"split_hash": f"z{i}", "test_hash": f"u{i}"} for i in range(3)])
    older = cell("SCN-CS", [0.6, 0.7, 0.81], [{"split_hash": f"s{i}"} for i in range(3)])
    scales = Scales(plan, Doubts(), compute)
    names = [getattr(scales.compare(one, plain, "accuracy"), "test", "") for one in (leaky, older, other)]
    assert names == ["corrected resampled paired t-test"] * 2 + ["corrected resampled Welch's t-test"]


def test_the_suggested_report_is_of_the_same_runs_whatever_ran_last(
    fer: Callable[..., Called], compute: Compute, tmp_path: Path
) -> None:
    other = Choice(seeds=(0,), settings=("train.lr=0.001",))
    remember(dataclasses.replace(planned(tmp_path, compute), choice=other), compute.results)
    where = ["--data-root", compute.data_root, "--results", compute.results]
    first = fer("report", "--study", tmp_path / "tiny.yaml", "--seeds", "3", "--set", "none", *where)
    assert first.code == 0, first.err
    words = shlex.split(first.err.splitlines()[-1].removeprefix("next: fer "))
    words.remove("--figures")
    assert fer(*words).out == first.out


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("Table 2", ""),
        ("Table 5, with STFD", "with STFD"),
        ("text on Fig 8", "text on Fig 8"),
        ("text on Fig 9, error 34 %", "text on Fig 9, error 34 %"),
        ("Tables 3 and 4, text on Fig 12", "text on Fig 12"),
        ("Tables 1, 2 and 3", ""),
        ("Figs 5 and 9, read off", "read off"),
        ("Table 3 and 5 % noise", "and 5 % noise"),
        ("abstract", ""),  # the heading of its table
    ],
)
def test_sources_of_published_values_are_whole(where: str, said: str) -> None:
    one = Published(arm="a", data="b", metric="accuracy", value=0.5, where=where)
    assert describe_source(one) == said
    assert describe_source(one.model_copy(update={"note": "a note"})) == "; ".join(filter(None, [said, "a note"]))
