"""``fer report --answers``: what each run answered, from which the table's scores follow without the runs."""

import csv
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from fer_cli.config import Compute
from fer_cli.plan import make_plan
from fer_cli.report.answers import FOLDER, read_runs
from fer_cli.study import Choice
from tests.conftest import STUDY, Called
from tests.reports import SCORES, fake_results

TRACKED = Path(__file__).parent.parent / "results"
PUBLISHED = sorted((TRACKED / FOLDER).glob("*.parquet"))


def check_scores(answers: Path, table: Path) -> int:
    """Hold a table's scores to the answers of its runs, by scikit-learn; return how many were compared."""
    frame = pd.read_parquet(answers)
    about = read_runs(answers)
    parts = dict(iter(frame.groupby(["run", "part"])))
    compared = 0
    for row in csv.DictReader(table.read_text().splitlines()):
        if row.get("part", "test") != "test":
            continue
        made, classes = parts[row["run_id"], "test"], about[row["run_id"]]["classes"]
        truth, predicted = made["label"], made["predicted"]
        assert set(truth) | set(predicted) <= set(classes)
        seen = sorted(set(truth) | set(predicted))
        expected = {
            "accuracy": lambda t=truth, p=predicted: accuracy_score(t, p),
            "macro_f1": lambda t=truth, p=predicted, s=seen: f1_score(t, p, labels=s, average="macro", zero_division=0),
            "macro_recall": lambda t=truth, p=predicted, s=seen: recall_score(
                t, p, labels=s, average="macro", zero_division=0
            ),
        }
        if row["metric"] in expected:
            assert float(row["value"]) == pytest.approx(expected[row["metric"]](), abs=1e-12), (row["arm"], row["metric"])
            assert int(row["n_test"]) == len(made)
            compared += 1
    return compared


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_scores_of_tracked_tables_follow_from_tracked_answers(path: Path) -> None:
    table = TRACKED / "tables" / f"{path.stem}.csv"
    assert table.is_file(), "answers without their table"
    assert check_scores(path, table) > 0


def test_answers_hold_every_test_image_by_name_and_no_validation_image(
    tmp_path: Path, compute: Compute, fer: Callable[..., Called]
) -> None:
    study = tmp_path / "tiny.yaml"
    study.write_text(STUDY)
    plan = make_plan(str(study), Choice(), compute)
    fake_results(plan, SCORES)
    done = fer("report", "--study", study, "--answers", "--results", compute.results, "--data-root", compute.data_root)
    assert done.code == 0, done.err
    path = compute.results / FOLDER / f"{plan.stem}.parquet"
    assert str(path) in done.err
    frame = pd.read_parquet(path)
    assert set(frame["part"]) == {"test"}
    assert set(frame["run"]) == {item.run_id for item in plan.items}
    for item in plan.items:
        own = pd.read_parquet(item.folder.file("predictions.parquet")).query("part == 'test'").reset_index(drop=True)
        kept = frame[frame["run"] == item.run_id].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept[["sample", "label", "predicted"]], own[["sample", "label", "predicted"]])
    classes = plan.items[0].folder.result().data.classes
    assert read_runs(path) == {item.run_id: {"classes": classes, **item.run.config.flat()} for item in plan.items}
    assert check_scores(path, compute.results / "tables" / f"{plan.stem}.csv") == 2 * len(plan.items), (
        "accuracy and macro-F1"
    )
