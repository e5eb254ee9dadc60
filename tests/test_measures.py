"""Unweighted recall, scores by class and calibration: against scikit-learn, by hand, and where they are undefined."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from fer_cli.errors import DamagedError
from fer_cli.metrics import macro_recall, unweighted_recall
from fer_cli.outputs import bin_error, calibration_error
from fer_cli.report.measures import class_scores

COUNTS = np.array([[8, 2, 0], [1, 4, 0], [0, 0, 0]])


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_unweighted_recall_is_balanced_accuracy(pairs: list[tuple[int, int]]) -> None:
    counts = np.zeros((4, 4), np.int64)
    np.add.at(counts, tuple(np.array(pairs).T), 1)
    truth, answers = zip(*pairs, strict=True)
    assert unweighted_recall(counts) == pytest.approx(balanced_accuracy_score(truth, answers))


def test_unweighted_recall_leaves_out_classes_without_images() -> None:
    """They lower the mean over classes that occur in truth or predictions."""
    counts = np.array([[8, 1, 1], [1, 4, 0], [0, 0, 0]])
    assert unweighted_recall(counts) == pytest.approx((0.8 + 0.8) / 2)
    assert macro_recall(counts) == pytest.approx((0.8 + 0.8 + 0) / 3)


def test_scores_by_class() -> None:
    precision, recall, f1 = class_scores(COUNTS.tolist())
    truth, answers = np.nonzero(COUNTS)
    weights = COUNTS[truth, answers]
    wanted = precision_recall_fscore_support(np.repeat(truth, weights), np.repeat(answers, weights), labels=[0, 1])
    for ours, theirs in zip((precision, recall, f1), wanted, strict=False):
        assert ours[:2] == pytest.approx(list(theirs))
        assert ours[2] is None, "neither images nor predictions"
    precision, recall, f1 = class_scores([[0, 3], [0, 2]])
    assert (precision, recall, f1) == ([None, 0.4], [0.0, 1.0], [0.0, 2 * 2 / 7])


def test_calibration_error_by_hand(tmp_path: Path) -> None:
    """Bins of 1/15: .88 and .92 are in one (one of two right), 1.0 is in the last, with .99."""
    confidence, right = np.array([0.88, 0.92, 0.5, 1.0, 0.99]), np.array([1, 0, 1, 1, 1])
    error = (abs(1 - 1.80) + 0.5 + abs(2 - 1.99)) / 5
    assert bin_error(confidence, right) == pytest.approx(error)
    frame = pd.DataFrame({"part": ["test"] * 5 + ["val"], "sample": list("abcdef"), "label": "x"})
    frame["predicted"] = ["x", "y", "x", "x", "x", "y"]
    frame["p_x"] = [0.88, 0.08, 0.5, 1.0, 0.99, 0.0]
    frame["p_y"] = 1 - frame["p_x"]
    path = tmp_path / "predictions.parquet"
    frame.to_parquet(path)
    assert calibration_error(path, (1,)) == pytest.approx(error)
    frame.drop(columns=["p_x", "p_y"]).to_parquet(path)
    assert calibration_error(path, (2,)) is None


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ([-0.5, 0.2], "probability -0.5 is not in 0 to 1"),
        ([0.5, 1.5], "probability 1.5 is not in 0 to 1"),
        ([None, None], "not all numbers"),
        (["0.5", "0.5"], "not all numbers"),
    ],
)
def test_damaged_probabilities_are_one_line(tmp_path: Path, first: list[object], words: str) -> None:
    frame = pd.DataFrame({"part": "test", "label": "x", "predicted": "x", "p_x": first, "p_y": [0.1, 0.1]})
    path = tmp_path / "predictions.parquet"
    frame.to_parquet(path)
    with pytest.raises(DamagedError, match=words) as caught:
        calibration_error(path, (hash(str(first)),))
    assert "\n" not in str(caught.value)


def test_a_calibrated_network_has_a_small_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, 200_000)
    assert bin_error(confidence, (random.random(200_000) < confidence).astype(float)) < 0.01
    assert bin_error(confidence, np.ones(200_000)) == pytest.approx(0.35, abs=0.01)
