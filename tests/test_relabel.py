"""Relabelling against values computed by hand (Fan 2025, Eq 3, 4, 6; batch Q)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.config import LearningConfig
from fer_cli.learning.relabel import relabel, thresholds
from tests.test_losses import ALPHA, LABELS, LOGITS


def new_labels(**options: object) -> list[int]:
    return relabel(LOGITS, ALPHA, LABELS, LearningConfig(**options)).tolist()  # type: ignore[arg-type]


def test_weighted_leads_of_q() -> None:
    probabilities = (ALPHA[:, None] * LOGITS).softmax(1)
    lead = probabilities.max(1).values - probabilities.gather(1, LABELS[:, None]).squeeze(1)
    assert lead.tolist() == pytest.approx([0, 0.165736, 0.155535, 0], abs=1e-5)
    raw = LOGITS.softmax(1)
    assert (raw.max(1).values - raw.gather(1, LABELS[:, None]).squeeze(1)).tolist() == pytest.approx(
        [0, 0.571873, 0.420512, 0], abs=1e-5
    )


def test_scn_relabels_none_of_q_by_weighted_logits_and_two_by_raw_ones() -> None:
    assert new_labels(method="scn") == [0, 0, 2, 2]
    assert new_labels(method="scn", relabel_logits="raw") == [0, 1, 0, 2]


def test_calibrated_thresholds_relabel_two_of_q() -> None:
    config = LearningConfig(method="scn-cs")
    assert thresholds(ALPHA, config).tolist() == pytest.approx([0.02, 0.14, 0.12, 0.04], abs=1e-6)
    assert new_labels(method="scn-cs") == [0, 1, 0, 2]


def test_inverted_threshold_is_margin_times_alpha() -> None:
    config = LearningConfig(method="scn-cs", cs_threshold="inverted")
    assert thresholds(ALPHA, config).tolist() == pytest.approx([0.18, 0.06, 0.08, 0.16], abs=1e-6)


@pytest.mark.parametrize(("label", "expected"), [(1, 1), (2, 0)])
def test_lead_of_015_keeps_and_of_035_replaces(label: int, expected: int) -> None:
    logits = torch.tensor([[0.5, 0.35, 0.15]]).log()
    config = LearningConfig(method="scn", relabel_scope="all", relabel_logits="raw")
    assert relabel(logits, torch.tensor([0.5]), torch.tensor([label]), config).tolist() == [expected]


def test_scope_all_reaches_the_high_group_too() -> None:
    logits = torch.tensor([[0.0, 9.0], [0.0, 9.0], [0.0, 9.0], [9.0, 0.0]])
    alpha, labels = torch.tensor([0.9, 0.8, 0.7, 0.1]), torch.zeros(4, dtype=torch.long)
    low = relabel(logits, alpha, labels, LearningConfig(method="scn"))
    everywhere = relabel(logits, alpha, labels, LearningConfig(method="scn", relabel_scope="all"))
    assert low.tolist() == [0, 0, 1, 0]
    assert everywhere.tolist() == [1, 1, 1, 0]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 8))
def test_calibrated_set_contains_the_scn_set(seed: int, n: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator) * 3
    alpha = torch.rand(n, generator=generator)
    labels = torch.randint(classes, (n,), generator=generator)
    scn = relabel(logits, alpha, labels, LearningConfig(method="scn")) != labels
    calibrated = relabel(logits, alpha, labels, LearningConfig(method="scn-cs")) != labels
    assert bool((calibrated | ~scn).all())


def test_calibration_weight_and_importance_add_up_to_one() -> None:
    literal = thresholds(ALPHA, LearningConfig(method="scn-cs"))
    inverted = thresholds(ALPHA, LearningConfig(method="scn-cs", cs_threshold="inverted"))
    assert torch.allclose((literal + inverted) / 0.2, torch.ones(4))
