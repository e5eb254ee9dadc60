"""What a report says of its samples, of the seeds that were left out, of what is simulated, and of measures by run."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fer_cli.ablate import run_plan
from fer_cli.config import Compute, RunConfig
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.report.measures import describe_input
from fer_cli.report.overview import repeats
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.reports import SCORES, fake_results, report, rows


def made(tmp_path: Path, compute: Compute, text: str = STUDY, seeds: tuple[int, ...] | None = None) -> Plan:
    """Return the plan of a study in ``tiny.yaml``, with results."""
    (tmp_path / "tiny.yaml").write_text(text)
    plan = make_plan(str(tmp_path / "tiny.yaml"), Choice(seeds=seeds), compute)
    fake_results(plan, SCORES)
    return plan


def test_samples_per_run_are_told_with_their_limits(tmp_path: Path, compute: Compute) -> None:
    """The set has 168 images, which is not what a run uses; a limit above what there is limits nothing."""
    text = STUDY.replace("folds: 3,", "folds: 3, max_images: 160, max_val: 9999, classes: [happy, sad, angry],")
    said = report(made(tmp_path, compute, text), compute, tmp_path)
    assert "168 images" in said
    words = "samples per run: trained on 160, validated on 40, tested on 100; as many as data.max_images 160 allow, drawn"
    assert f"- {words} with classes balanced\n" in said
    assert "- classes used: happy, sad, angry\n" in said and "9,999" not in said


def test_seeds_that_were_left_out_are_told(tmp_path: Path, compute: Compute) -> None:
    assert "n seeds (0, 1, 2); seed s" in report(made(tmp_path, compute), compute, tmp_path)
    made(tmp_path, compute, STUDY, (0, 2))
    said = make_report(str(tmp_path / "tiny.yaml"), compute, seeds=(0, 2)).markdown
    assert "n seeds (0, 2 of the study's 3); seed s determines" in said


def test_the_correction_for_overlap_names_its_ratio(tmp_path: Path, compute: Compute) -> None:
    """100 images tested, 160 trained on and 40 that choose the checkpoint."""
    said = report(made(tmp_path, compute), compute, tmp_path)
    assert "overlap (variance times 1/n + n_test/n_train, 0.500)" in said


def test_unpaired_intervals_are_named_where_nothing_is_tested(tmp_path: Path, compute: Compute) -> None:
    """A leaky arm is not tested, but its interval is Welch's all the same."""
    text = STUDY.replace("SCN-CS: {learning.method: scn-cs}", "SCN-CS: {data.split: random}")
    said = report(made(tmp_path, compute, text), compute, tmp_path)
    assert said.count("- unpaired intervals (Welch), since arms are split differently: SCN-CS, label noise 0.0, ") == 2


def test_what_cannot_be_detected_at_all_is_a_dash(tmp_path: Path, compute: Compute) -> None:
    """Scores are shares: no difference exceeds 100 points, whatever the noncentral t says."""
    scores = {key: [0.1, 0.9, 0.5] if key[0] == "CNN" else [0.8, 0.3, 0.6] for key in SCORES}
    plan = made(tmp_path, compute)
    fake_results(plan, scores)
    said = report(plan, compute, tmp_path)
    table = rows(said, "accuracy, difference to CNN in points")
    assert [row[-1] for name, row in table.items() if name] == ["–", "–"]
    assert "find at .05 after that correction; –: above 100 points" in said


def test_significant_differences_are_named(tmp_path: Path, compute: Compute) -> None:
    plan = made(tmp_path, compute)
    fake_results(plan, {key: [0.5, 0.51, 0.52] if key[0] == "CNN" else [0.9, 0.92, 0.91] for key in SCORES})
    said = report(plan, compute, tmp_path).split("\n")[3]
    assert "Of 2 tested differences, 2 are significant after Holm's correction (SCN-CS, label noise 0.0 +40.00 [" in said


@pytest.mark.parametrize(
    ("frames", "stills", "words"),
    [
        ([], True, "image"),
        ([8], False, "clip of 8 frames"),
        ([8, 1], False, "clip of 1 or 8 frames"),
        ([1], False, "clip of 1 frame"),
    ],
)
def test_multiply_adds_are_of_what_the_network_takes(frames: list[int], stills: bool, words: str) -> None:
    configs = [RunConfig(data={"frames": n}, model={"backbone": "teacher-expression"}) for n in frames]  # type: ignore[arg-type]
    configs += [RunConfig()] if stills else []
    items = [SimpleNamespace(run=SimpleNamespace(config=config)) for config in configs]
    assert describe_input(SimpleNamespace(items=items)) == words  # type: ignore[arg-type]


def test_a_simulation_is_named_at_the_top(tmp_path: Path, compute: Compute) -> None:
    study = "name: drawn\nquestion: q?\nbase: {sequences: {simulation: tags}}\nseeds: [0, 1]\n"
    path = tmp_path / "drawn.yaml"
    arms = "arms: {KNN: {sequences.model: knn}, ECEM: {sequences.model: ecem}}\n"
    path.write_text(f"{study}{arms}report: {{against: KNN}}\n")
    plan = make_plan(str(path), Choice(), compute)
    assert run_plan(plan, compute).complete
    head = make_report(str(path), compute).markdown.split("## ")[0]
    assert "- SIMULATION: nobody was observed; data are drawn from models of ECEM's own kind, which favours ECEM\n" in head


def test_claims_with_the_numbers_of_another_are_counted() -> None:
    row = ("`a` on `set`", "text", "undecided", "+1.00 [−1.00, +3.00]", "open")
    other = ("`b` on `set`", *row[1:])
    cost = (*row[:3], "−87.81 % parameters", "open")
    assert repeats([row, ("`b` on `another`", *row[1:])]) == [] and repeats([cost, cost]) == []
    (said,) = repeats([row, other, cost])
    assert said.startswith("1 has the numbers of another: ")


FLUCTUATION = """
claims:
  - {text: calmer, arm: SCN-CS, over: CNN, measure: fluctuation, at: {data.label_noise: 0.0}, source: ours}
"""


def test_late_fluctuation_is_judged_and_kept_by_run(tmp_path: Path, compute: Compute) -> None:
    """The sample deviation of validation accuracy over the second half of the epochs, in points."""
    plan = made(tmp_path, compute, STUDY + FLUCTUATION)
    wanted = {}
    for item in plan.items:
        late = [0.70, 0.74, 0.70 + 0.01 * item.run.seed] if item.run.arm == "CNN" else [0.70, 0.71, 0.70]
        accuracy = np.array([0.1, 0.2, 0.3, *late])
        frame = {"epoch": np.arange(6) + 1, "train/accuracy": accuracy, "val/accuracy": accuracy}
        pd.DataFrame(frame | {"train/loss": 1.0, "val/loss": 1.0}).to_csv(item.folder.file("history.csv"), index=False)
        wanted[item.run.arm, item.run.seed] = 100 * statistics.stdev(late)
    written = make_report(str(tmp_path / "tiny.yaml"), compute)
    mean = statistics.mean(wanted["SCN-CS", seed] - wanted["CNN", seed] for seed in range(3))
    table = rows(written.markdown, "Claims")
    assert table["calmer"][1].startswith(f"−{-mean:.2f} [") and "in points" in table["calmer"][1]
    with next(path for path in written.files if path.suffix == ".csv").open() as stream:
        kept = [row for row in csv.DictReader(stream) if row["metric"] == "fluctuation"]
    assert len(kept) == len(plan.items)
    for row in kept:
        assert float(row["value"]) == pytest.approx(wanted[row["arm"], int(row["seed"])])
