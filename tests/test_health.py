"""What is computed of alpha, labels and predictions, by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, roc_auc_score

from fer_cli.config import METRICS, LearningConfig
from fer_cli.learning.health import alpha_health, attention_health, auroc, correction_scores, inert_warnings
from fer_cli.metrics import majority_baseline, score


def test_attention_health_by_hand() -> None:
    health = attention_health(torch.tensor([0.95, 0.85, 0.75, 0.05]), 0.7)
    assert health["alpha/mean"] == pytest.approx(0.65)
    assert health["alpha/gap"] == pytest.approx(0.9 - 0.4)
    assert health["alpha/hist_0.9"] == health["alpha/hist_0.0"] == 1
    assert sum(value for name, value in health.items() if "hist" in name) == 4


def test_correction_scores_by_hand() -> None:
    """Of ten labels three are flipped; of four changed one flip is put right, another stays wrong and two are broken."""
    truth = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    given = torch.tensor([1, 2, 0, 0, 1, 2, 0, 1, 2, 0])
    current = torch.tensor([0, 0, 0, 2, 0, 2, 0, 1, 2, 0])
    assert correction_scores(truth, given, current) == {
        "changed": 4,
        "wrong_start": pytest.approx(0.3),
        "wrong_end": pytest.approx(0.4),
        "precision": pytest.approx(1 / 4),
        "recall": pytest.approx(1 / 3),
        "broken": 2,
    }


def test_correction_scores_without_changes_or_noise_are_none_and_own_errors_show() -> None:
    """At noise 0 a method's own errors are left over: they count as wrong labels, not as repaired ones."""
    truth = torch.tensor([0, 1, 2, 0])
    idle = correction_scores(truth, truth, truth)
    assert idle == {"changed": 0, "wrong_start": 0.0, "wrong_end": 0.0, "precision": None, "recall": None, "broken": 0}
    broken = correction_scores(truth, truth, torch.tensor([1, 1, 2, 0]))
    assert broken == {"changed": 1, "wrong_start": 0.0, "wrong_end": 0.25, "precision": 0.0, "recall": None, "broken": 1}


def test_inert_modules_warn_and_busy_ones_do_not() -> None:
    config = LearningConfig(method="scn-cs")
    busy = {"alpha/sd": 0.1, "alpha/mean": 0.6, "relabel/count": 3.0, "loss/calibration": 0.2, "loss/rank": 0.1}
    idle = {"alpha/sd": 0.001, "alpha/mean": 0.99, "relabel/count": 0.0, "loss/calibration": 0.0, "loss/rank": 0.0}
    assert inert_warnings([busy], config, 10) == []
    assert len(inert_warnings([idle], config, 10)) == 3
    ranked = LearningConfig(method="scn-cs", cs_loss="literal+rr")
    assert len(inert_warnings([idle], ranked, 10)) == 4
    assert inert_warnings([busy | {"regions/dead": 0.5}], config, 10) == []
    assert "region attention is inert" in " ".join(inert_warnings([busy | {"regions/dead": 1.0}], config, 10))
    late = LearningConfig(method="scn", relabel_view="train", relabel_from=1.0)
    assert "starts in epoch 11 of 10" in " ".join(inert_warnings([busy], late, 10))


def test_relabelling_starts_after_a_share_of_the_epochs() -> None:
    """The public code relabels from the tenth of 70 epochs on: after 9/70. Half of 20 or 21 epochs ends in the 11th."""

    def first(epochs: int, **settings: object) -> int:
        return LearningConfig.model_validate({"method": "scn", **settings}).first_relabel_epoch(epochs)

    assert first(70, relabel_view="train", relabel_from=9 / 70) == 10
    assert [first(n, relabel_view="train") for n in (20, 21, 1)] == [11, 11, 1]
    assert [first(n) for n in (20, 21, 3, 1)] == [10, 11, 2, 1]  # after these, so the next trains on new labels
    assert first(20, relabel_from=0.0) == first(20, relabel_view="train", relabel_from=0.0) == 1
    assert [first(40, relabel_view="train", relabel_from=(s - 1) / 40) for s in range(1, 42)] == list(range(1, 42))


def test_auroc_is_that_of_scikit_learn_with_ties() -> None:
    scores, positive = torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([False, False, True, True])
    assert auroc(scores, positive) == pytest.approx(3.5 / 4)  # of four pairs three are in order, one is tied
    assert auroc(scores, torch.zeros(4, dtype=torch.bool)) is None
    random = np.random.default_rng(0)
    many, yes = random.integers(0, 30, 400) / 30, random.random(400) < 0.3
    assert auroc(torch.from_numpy(many), torch.from_numpy(yes)) == pytest.approx(roc_auc_score(yes, many), abs=1e-12)


def test_low_alpha_finds_what_is_planted() -> None:
    alpha, wrong = torch.tensor([0.9, 0.2, 0.8, 0.1]), torch.tensor([False, True, True, False])
    degraded = torch.tensor([False, True, False, True])
    assert alpha_health(alpha, wrong, degraded) == {"alpha/auroc_wrong": 0.5, "alpha/auroc_degraded": 1.0}
    assert alpha_health(alpha, wrong & False, None) == {}


def test_accuracy_equals_support_weighted_recall_and_scikit_learn() -> None:
    from sklearn.metrics import f1_score, recall_score

    truth, predicted = ["a", "a", "a", "b", "b", "c"], ["a", "a", "b", "b", "c", "c"]
    scores = score(truth, predicted, ["c", "b", "a", "d"])
    assert scores["accuracy"] == pytest.approx(recall_score(truth, predicted, average="weighted"))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert scores["recall"] == pytest.approx({"a": 2 / 3, "b": 0.5, "c": 1.0, "d": None})
    assert scores["confusion"] == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]


def test_class_order_changes_nothing_per_name() -> None:
    truth, predicted = ["a", "a", "b", "c"], ["a", "b", "b", "c"]
    one, other = (score(truth, predicted, order) for order in (["a", "b", "c"], ["c", "a", "b"]))
    assert one["recall"] == other["recall"]
    assert one["macro_f1"] == other["macro_f1"]


def test_majority_baseline_is_the_score_of_the_constant_answer() -> None:
    """By hand for 6, 3 and 1 images and a class without any: precision .6 and recall 1 of one class among three."""
    matrix = [[1, 5, 0, 0], [0, 3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    f1 = 2 * 0.6 / 1.6
    expected = {"accuracy": 0.6, "macro_f1": f1 / 3, "weighted_f1": 0.6 * f1, "macro_precision": 0.2, "macro_recall": 1 / 3}
    expected["uar"] = 1 / 3
    found = majority_baseline(matrix)
    assert {name: found[name] for name in METRICS} == pytest.approx(expected)
    truth, constant = ["a"] * 6 + ["b"] * 3 + ["c"], ["a"] * 10
    direct = score(truth, constant, ["a", "b", "c", "d"])
    assert {name: found[name] for name in METRICS} == {name: direct[name] for name in METRICS}


@pytest.mark.parametrize("seed", range(20))
def test_metrics_are_those_of_scikit_learn_to_the_last_bit(seed: int) -> None:
    """Selection compares these numbers: two classes to nine, some without images, some never answered."""
    random = np.random.default_rng(seed)
    classes = [f"c{code}" for code in range(2 + seed % 8)]
    truth, predicted = (random.choice(classes[: len(classes) - cut], 30 + seed) for cut in (seed % 2, (seed // 2) % 2))
    scores = score(truth, predicted, classes)
    present = sorted({*truth, *predicted})
    assert scores["accuracy"] == accuracy_score(truth, predicted)
    assert scores["confusion"] == confusion_matrix(truth, predicted, labels=classes).tolist()
    for average, names in {
        "macro": ("macro_precision", "macro_recall", "macro_f1"),
        "weighted": (None, None, "weighted_f1"),
    }.items():
        found = precision_recall_fscore_support(truth, predicted, labels=present, average=average, zero_division=0.0)
        for name, value in zip(names, found, strict=False):
            assert name is None or scores[name] == value, name
