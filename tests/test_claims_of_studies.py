"""Claims in study files: every shipped one resolves, mistakes are one line, and run folders are judged end to end."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_cli.config import Compute, RunConfig
from fer_cli.data.kept import look_up_set
from fer_cli.errors import ResultsError, StudyError
from fer_cli.expand import expand
from fer_cli.judge import Judgement
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.report.answer import answer, claimed_points, claims_table, find_printed, judge_plan
from fer_cli.report.collect import collect
from fer_cli.report.doubts import find_doubts
from fer_cli.report.sides import Scales, find_people
from fer_cli.study import Choice, load_study, study_names
from fer_cli.verdicts import judge_studies
from tests.conftest import STUDY, Called
from tests.fakes import fake_result, leave
from tests.reports import SCORES, fake_results
from tests.test_fixture import FOLDER

CLAIMS = """
claims:
  - {text: SCN-CS beats the CNN, arm: SCN-CS, over: CNN, at: {data.label_noise: 0.0}, source: Fig 8}
  - {text: with noise too, arm: SCN-CS, over: CNN, at: {data.label_noise: 0.3}, source: Fig 9}
"""
PLANTED = {
    ("CNN", 0.0): [0.70, 0.71, 0.70],
    ("SCN-CS", 0.0): [0.90, 0.92, 0.91],
    ("CNN", 0.3): [0.70, 0.80, 0.60],
    ("SCN-CS", 0.3): [0.72, 0.75, 0.70],
}
ELSEWHERE = {"ecem", "incentives", "interaction-models", "ancova"}


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_claim_resolves(name: str, tmp_path: Path) -> None:
    """Each is made at points where both arms have runs, in every profile; each study of a paper has some."""
    study = load_study(name)
    for profile in {*study.profiles, "small"}:
        choice = Choice(profile)
        runs = expand(study, choice)
        plan = Plan(study, choice, "", [type("Item", (), {"run": run}) for run in runs])  # type: ignore[misc]
        cells = {(run.arm, run.at) for run in runs}
        for claim in study.claims:
            points = claimed_points(claim, plan)
            assert points
            assert {(arm, at) for arm in (claim.arm, claim.over) if arm for at in points} <= cells
    if name in ELSEWHERE or study.paper is None or study.paper.figure.startswith("none"):
        return
    tested = [claim for claim in study.claims if not claim.ours and claim.cost is None]  # costs are counted, without p
    assert 1 <= len(tested) <= 5
    assert all(claim.ours == claim.source.startswith("ours") for claim in study.claims)


def test_claims_at_a_grid_value_that_is_written_otherwise() -> None:
    """``auto`` becomes the split that it stands for; a claim that leaves a factor out is made at all its values."""
    study = load_study("feature-fusion")
    choice = Choice()
    runs = expand(study, choice)
    plan = Plan(study, choice, "", [type("Item", (), {"run": run}) for run in runs])  # type: ignore[misc]
    assert [claimed_points(claim, plan) for claim in study.claims[2:]] == [
        [(("data.split", "subject"),)],
        [(("data.split", "holdout"),)],
    ]
    sizes = load_study("sample-size")
    plan = Plan(sizes, choice, "", [type("Item", (), {"run": run}) for run in expand(sizes, choice)])  # type: ignore[misc]
    assert [at[0][1] for at in claimed_points(sizes.claims[0], plan)] == [500, 1000, 1500, 2000]


MISTAKES = [
    ("over: CNN, at: {data.label_noise: 0.0}", "over: CNM", ["claims.0", "no arm 'CNM'; did you mean CNN?"]),
    ("arm: SCN-CS, over", "arm: SCN, over", ["claims.0", "no arm 'SCN'; did you mean SCN-CS"]),
    ("data.label_noise: 0.0", "data.label_nois: 0.0", ["claims.0.at", "did you mean data.label_noise?"]),
    (
        "data.label_noise: 0.0",
        "data.label_noise: 0.2",
        ["claims.0.at", "'0.2' is not one of its values", "0.3"],
    ),
    ("over: CNN, at", "metric: acuracy, over: CNN, at", ["claims.0.metric", "did you mean accuracy?"]),
    ("over: CNN, at", "at_least: 0.5, over: CNN, at", ["claims.0", "one of over"]),
    ("over: CNN, at", "at", ["claims.0", "one of over"]),
    ("over: CNN, at", "at_least: 50, at", ["claims.0.at_least", "less than or equal to 1"]),
    ("over: CNN, at", "at_least: 0.5, margin: 0.1, at", ["claims.0", "margin: needs over"]),
    ("over: CNN, at", "over: SCN-CS, at", ["claims.0", "compared with itself"]),
    ("over: CNN, at", "ofer: CNN, at", ["claims.0.ofer: unknown key", "did you mean claims.0.over"]),
    (
        "over: CNN, at",
        "cost: parameters, at_least: 0.5, at",
        ["claims.0", "cost: needs over, and no at_least, measure"],
    ),
    ("over: CNN, at", "cost: parameters, metric: accuracy, over: CNN, at", ["claims.0", "cost: needs over"]),
    ("over: CNN, at", "cost: seconds, over: CNN, at", ["claims.0.cost", "'parameters' or 'multiply_adds'"]),
    ("source: Fig 8", 'source: ""', ["claims.0.source"]),
    ("source: Fig 8", 'source: " "', ["claims.0", "visible characters"]),
    (", source: Fig 8", "", ["claims.0.source: missing"]),
    ("data.label_noise: 0.3", "data.label_noise: 0", ["claims.1: the same as claims.0"]),
]


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES)
def test_mistakes_are_one_line(old: str, new: str, words: list[str], tmp_path: Path) -> None:
    assert old in CLAIMS
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY + CLAIMS.replace(old, new, 1))
    with pytest.raises(StudyError) as caught:
        load_study(str(path))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("tiny.yaml: ")
    assert all(word in text for word in words), text


def judged(plan: Plan, compute: Compute) -> list[Judgement]:
    cells = collect(plan)
    return judge_plan(cells, Scales(plan, find_doubts(plan, cells), compute))


def planted(tmp_path: Path, compute: Compute, text: str = STUDY + CLAIMS, scores: object = PLANTED) -> Plan:
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    plan = make_plan(str(path), Choice(), compute)
    fake_results(plan, scores)  # type: ignore[arg-type]
    return plan


def test_the_command_prints_the_table(tmp_path: Path, compute: Compute, fer: Callable[..., Called]) -> None:
    planted(tmp_path, compute)
    arguments = ["report", "--claims", "--study", tmp_path / "tiny.yaml", "--results", compute.results]
    done = fer(*arguments, "--data-root", compute.data_root)
    assert done.code == 0
    assert "2 claims: 1 supported, 1 undecided" in done.err
    rows = list(csv.DictReader(io.StringIO(done.out), delimiter="\t"))
    assert [row["verdict"] for row in rows] == ["supported", "undecided"]
    assert rows[0]["difference [95 % interval]"].startswith("+20.67 [")
    assert rows[0]["test"] == "corrected resampled paired t-test"
    assert (rows[0]["data"], rows[0]["n"], rows[0]["reproduced"]) == ("ck48", "3", "no paper")
    assert float(rows[0]["p (Holm)"]) == pytest.approx(2 * float(rows[0]["p"]), abs=2e-4)
    assert "seeds" in rows[1]["why"]


def test_the_command_has_one_line_for_what_is_missing(tmp_path: Path, compute: Compute, fer: Callable[..., Called]) -> None:
    where = ["--results", compute.results, "--data-root", compute.data_root]
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY + CLAIMS)
    for arguments, words in (
        (["--study", path], "no run of a study with claims is done"),
        (["--all"], "no run of a study with claims is done"),
        (["--study", "demo"], "demo: no claims"),
        (["--study", "scn-sc"], "did you mean scn-cs"),
        (["--study", path, "--data", "ck49"], "ck49"),
        (["--study", path, "--answers"], "--answers: cannot be combined with --claims"),
        (["--study", path, "--set", "train.lr=1e-3"], "--set: cannot be combined with --claims"),
        (["--all", "--figures"], "--figures: cannot be combined with --claims"),
        (["--study", "all"], "no study named 'all'"),
    ):
        done = fer("report", "--claims", *arguments, *where)
        assert (done.code, done.out) == (2, "")
        assert words in done.err
        assert done.err.count("\n") == 1


def test_each_data_set_is_judged_apart(tmp_path: Path, compute: Compute, both_root: Path) -> None:
    """Runs on a second set: a table of its own, with Holm of its own."""
    there = compute.model_copy(update={"data_root": both_root})
    planted(tmp_path, there)
    path = str(tmp_path / "tiny.yaml")
    second = make_plan(path, Choice(data="synth-basic"), there)
    fake_results(second, dict(zip(PLANTED, reversed(PLANTED.values()), strict=True)))
    found = judge_studies(path, there)
    assert [judged.plan.data for judged in found] == ["ck48", "synth-basic"]
    assert sum(len(judged.judgements) for judged in found) == 4
    (one,) = judge_studies(path, there, data="synth-basic")
    assert one.judgements == found[1].judgements
    with pytest.raises(ResultsError, match="no run of a study with claims"):
        judge_studies(path, there, profile="small", seeds=(7, 8, 9))


def test_leaky_and_underfitted_arms_are_no_evidence(tmp_path: Path, compute: Compute) -> None:
    text = (STUDY + CLAIMS).replace("SCN-CS: {learning.method: scn-cs}", "SCN-CS: {data.split: random}")
    plan = planted(tmp_path, compute, text)
    for one in judged(plan, compute):
        assert one.verdict == "not testable"
        assert one.why == "SCN-CS: leaky split: 75 % of test subjects were trained on"
    about = text.replace("source: Fig 8", "source: Fig 8, leaks: true")
    plan = planted(tmp_path, compute, about)
    assert [one.verdict for one in judged(plan, compute)] == ["supported", "not testable"]
    plan = planted(tmp_path, compute)
    for item in plan.items:
        if item.run.arm == "CNN" and item.run.seed == 1:
            item.folder.file("history.csv").write_text("epoch,train/accuracy\n1,0.25\n2,0.21\n")
    first, second = judged(plan, compute)
    assert first.why == "CNN: underfitted in 1/1 runs (final training accuracy 21.0 %)"
    share = "on correctly labelled images, estimated, 30.0 %"
    assert second.why == f"CNN: underfitted in 1/1 runs (final training accuracy {share})", "30 % of labels are wrong"


def test_what_did_nothing_is_told_beside_a_tested_claim(tmp_path: Path, compute: Compute) -> None:
    plan = planted(tmp_path, compute)  # in which every SCN-CS relabelled nothing
    assert [one.inert for one in judged(plan, compute)] == [("SCN-CS: relabelling is inert",)] * 2
    cells = collect(plan)
    scales = Scales(plan, find_doubts(plan, cells), compute)
    said = answer(judge_plan(cells, scales)[:1], [], cells, scales)
    assert " (SCN-CS: relabelling is inert). " in said and said.endswith("of no paper."), "decided, with all that is known"
    (table,) = claims_table(judge_plan(cells, scales))
    assert all(str(row[-1]).endswith("SCN-CS: relabelling is inert") for _, row in table.rows)
    first = next(item for item in plan.items if item.run.arm == "SCN-CS")
    content = first.folder.result().model_copy(update={"warnings": []})
    first.folder.file("result.json").write_text(content.model_dump_json())
    told = [bool(one.inert) for one in judged(plan, compute)]
    assert sorted(told) == [False, True], "unless one of its runs did relabel"


def test_the_answer_gives_reasons_as_they_are(tmp_path: Path, compute: Compute) -> None:
    """Neither an arm's name nor n begins with a capital because a sentence does."""
    one = {key: [0.70, 0.72, 0.71] if key[0] == "CNN" else [0.72, 0.75, 0.70] for key in PLANTED}
    text = (STUDY + CLAIMS.rsplit("  - ", 1)[0]).replace("SCN-CS", "scn")
    plan = planted(
        tmp_path, compute, text, {(arm.replace("SCN-CS", "scn"), at): values for (arm, at), values in one.items()}
    )
    cells = collect(plan)
    scales = Scales(plan, find_doubts(plan, cells), compute)
    (undecided,) = judge_plan(cells, scales)
    assert undecided.verdict == "undecided" and f": {undecided.why}." in answer([undecided], [], cells, scales)
    shutil.rmtree(next(item for item in plan.items if item.run.arm == "scn").folder.path)
    cells = collect(plan)
    said = answer(judge_plan(cells, scales), [], cells, scales)
    assert said == "The claim “scn beats the CNN” is not testable: scn: 2 of 3 seeds are done."


def test_one_test_part_is_judged_by_its_predictions(tmp_path: Path) -> None:
    """Three seeds tested on another set, with the images' contributions read from predictions."""
    shutil.copytree(FOLDER / "results", tmp_path / "results")
    compute = Compute(data_root=tmp_path / "none", results=tmp_path / "results", threads=1)
    path = tmp_path / "more.yaml"
    text = (FOLDER / "other.yaml").read_text().replace("name: other", "name: more").replace("seeds: [0]", "seeds: [0, 1, 2]")
    path.write_text(f"{text}\nclaims:\n  - {{text: better, arm: SCN, over: CNN, metric: macro_f1, source: ours}}\n")
    plan = make_plan(
        str(path), Choice(), compute, describe=lambda name: look_up_set(compute.results, compute.data_root, name)
    )
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), [40, 30, 30])
    gaps = []
    for item in plan.items:
        shutil.rmtree(item.folder.path, ignore_errors=True)
        share = 0.9 if item.run.arm == "SCN" else 0.6
        answers = np.where(random.random(100) < share, truth, (truth + 1) % 3)
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (truth, answers), 1)
        data = {"train": 160, "val": 40, "test": 100, "split_hash": f"s{item.run.seed}", "test_hash": "t"}
        config, matrices = item.run.config, {"test": counts.tolist()}
        made = fake_result(item.run_id, config, matrices, fingerprint=item.fingerprint, data=data)
        leave(item.folder, made)
        names = np.array(made.data.classes)
        frame = pd.DataFrame({"part": "test", "label": names[truth], "predicted": names[answers]})
        frame = frame.assign(sample=[f"{place:03d}" for place in range(100)])
        order = np.random.default_rng(item.run.seed).permutation(100)
        frame.iloc[order].to_parquet(item.folder.file("predictions.parquet"))
        gaps.append(made.metrics["test"]["macro_f1"] * (1 if item.run.arm == "SCN" else -1) / 3)
    (found,) = judged(plan, compute)
    assert (found.verdict, found.test, found.n) == ("supported", "t-test over seeds and images", 3)
    assert found.difference == pytest.approx(sum(gaps))


def test_people_come_from_the_set(data_root: Path, tmp_path: Path) -> None:
    manifest = pd.read_parquet(data_root / "ck48" / "manifest.parquet")
    samples = tuple(manifest["sample"].astype(str))[::3]
    assert find_people(data_root, "ck48", samples) == tuple(manifest["subject"].astype(str))[::3]
    assert find_people(data_root, "ck48", (*samples, "unknown")) is None
    assert find_people(tmp_path, "ck48", samples) is None


def test_values_of_the_paper_belong_to_its_data_set(tmp_path: Path, compute: Compute) -> None:
    """``CK+48`` is not ``CK+``; a grid value other than the default has none; both arms make a difference."""
    paper = """
paper:
  cite: someone-2025
  published:
    - {arm: SCN-CS, data: CK-48, metric: accuracy, value: 0.91, where: Table 1}
    - {arm: SCN-CS, data: CK+, metric: accuracy, value: 0.99, where: Table 1}
    - {arm: CNN, data: ck48, metric: accuracy, value: 0.71, where: Table 1}
"""
    plan = planted(tmp_path, compute, STUDY + CLAIMS + paper)
    clean, noisy = plan.study.claims
    values, both = find_printed(clean, plan, (("data.label_noise", 0.0),))
    assert (values, both) == ((pytest.approx(0.2),), True)
    assert find_printed(noisy, plan, (("data.label_noise", 0.3),)) == ((), False)
    assert judged(plan, compute)[0].reproduced == "reproduced"
    own = planted(tmp_path, compute, STUDY + CLAIMS.replace("source: Fig 8}", "source: ours, ours: true}") + paper)
    assert [one.reproduced for one in judged(own, compute)] == ["no paper", "open"]
    alone = planted(tmp_path, compute, STUDY + CLAIMS + paper.replace("data: ck48", "data: MMI"))
    assert find_printed(clean, alone, (("data.label_noise", 0.0),)) == ((0.91,), False)
    assert RunConfig().flat()["data.label_noise"] == 0.0
    (note,) = (
        line for line in make_report(str(tmp_path / "tiny.yaml"), compute).markdown.split("\n") if "obtained on" in line
    )
    assert note == "- theirs on CK+, MMI were obtained on other data, splits and seeds, and are not comparable"


@pytest.mark.parametrize(
    ("base", "arm", "kept"),
    [
        ("", "", True),
        ("  data.leak: val\n", "", False),
        ("  corrupt: {occlusion: 0.2}\n", "", False),
        ("", ", data.label_noise: 0.2", False),
        ("", ", data.test: synth-basic", False),
    ],
)
def test_values_of_the_paper_need_its_images_and_labels(
    base: str, arm: str, kept: bool, tmp_path: Path, compute: Compute, both_root: Path
) -> None:
    """A printed value is of clean images and labels of the set itself, whichever arm has another setting."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"name: tiny\nquestion: What?\nbase:\n  data.name: ck48\n{base}arms:\n  CNN: {{}}\n"
        f"  SCN: {{learning.method: scn{arm}}}\nreport: {{against: CNN}}\n"
        "paper: {cite: x, published: [{arm: SCN, data: CK48, metric: accuracy, value: 0.9, where: Table 1}]}\n"
        "claims: [{text: better, arm: SCN, over: CNN, source: Table 1}]\n"
    )
    plan = make_plan(str(path), Choice(), compute.model_copy(update={"data_root": both_root}))
    values, _ = find_printed(plan.study.claims[0], plan, ())
    assert values == ((0.9,) if kept else ())


def test_claims_are_not_part_of_runs(tmp_path: Path, compute: Compute) -> None:
    without = [item.run_id for item in planted(tmp_path, compute, STUDY, SCORES).items]
    assert [item.run_id for item in planted(tmp_path, compute, STUDY + CLAIMS, SCORES).items] == without
