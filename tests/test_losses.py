"""Losses against values computed by hand (Fan 2025, Eq 1, 2, 4, 5; batch Q)."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from fer_cli.config import LearningConfig
from fer_cli.learning.losses import calibration_loss, decision_logits, low_group, method_loss, rank_regularisation
from fer_cli.models.resnet import resnet18_small
from fer_cli.models.scn import Recogniser

LOGITS = torch.tensor([[3.0, 1, 0], [0.5, 2, 0], [2, 0, 1], [0, 1, 4]])
LABELS = torch.tensor([0, 0, 2, 2])
ALPHA = torch.tensor([0.9, 0.3, 0.4, 0.8])


def total(method: str, alpha: torch.Tensor | None = ALPHA, **options: object) -> float:
    config = LearningConfig(method=method, **options)  # type: ignore[arg-type]
    return method_loss(LOGITS, alpha, LABELS, config)["loss"].item()


def test_cnn_is_plain_cross_entropy() -> None:
    assert total("ce", None) == pytest.approx(0.862423, abs=1e-5)


def test_importance_is_a_sigmoid_of_a_linear_map() -> None:
    net = Recogniser(resnet18_small(3), attention=True)
    assert net.alpha is not None
    weights = torch.zeros(1, 128)
    weights[0, :3] = torch.tensor([0.3, 0.1, -0.4])
    net.alpha.load_state_dict({"weight": weights, "bias": torch.zeros(1)})
    features = torch.zeros(1, 128)
    features[0, :3] = torch.tensor([1.0, -2.0, 0.5])
    net.backbone.features = lambda _: features  # type: ignore[method-assign]
    assert net(torch.zeros(1, 1, 8, 8)).alpha.item() == pytest.approx(0.475021, abs=1e-5)


def test_weighted_cross_entropy_of_q() -> None:
    losses = method_loss(LOGITS, ALPHA, LABELS, LearningConfig(method="scn"))
    assert losses["ce"].item() == pytest.approx(0.679025, abs=1e-5)


def test_weighting_keeps_the_decision() -> None:
    config = LearningConfig(method="scn")
    assert torch.equal(decision_logits(LOGITS, ALPHA, config).argmax(1), LOGITS.argmax(1))


def test_weighted_cross_entropy_alone_hides_misclassified_images() -> None:
    alpha = ALPHA.clone().requires_grad_()
    decided = decision_logits(LOGITS, alpha, LearningConfig(method="scn"))
    F.cross_entropy(decided, LABELS, reduction="sum").backward()
    probabilities = (ALPHA[:, None] * LOGITS).softmax(1)
    expected = (probabilities * LOGITS).sum(1) - LOGITS.gather(1, LABELS[:, None]).squeeze(1)
    assert alpha.grad is not None
    assert torch.allclose(alpha.grad, expected, atol=1e-5)
    assert alpha.grad[1] > 0
    assert alpha.grad[2] > 0


@pytest.mark.parametrize(
    ("alpha", "loss"),
    [
        ([0.60, 0.58, 0.56, 0.54, 0.52, 0.50, 0.48, 0.46, 0.44, 0.42], 0.05),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05], 0.0),
        ([0.9, 0.3, 0.4, 0.8], 0.0),
        ([0.5], 0.0),
    ],
)
def test_rank_regularisation(alpha: list[float], loss: float) -> None:
    assert float(rank_regularisation(torch.tensor(alpha), 0.7, 0.15)) == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize(
    ("alpha", "high", "low"),
    [
        ([0.60, 0.58, 0.56, 0.54, 0.52, 0.50, 0.48, 0.46, 0.44, 0.42], 0.54, 0.44),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05], 0.6, 0.116667),
        ([0.9, 0.3, 0.4, 0.8], 0.85, 0.35),
    ],
)
def test_group_means(alpha: list[float], high: float, low: float) -> None:
    values = torch.tensor(alpha)
    mask = low_group(values, 0.7)
    assert float(values[~mask].mean()) == pytest.approx(high, abs=1e-5)
    assert float(values[mask].mean()) == pytest.approx(low, abs=1e-5)


def test_calibration_loss_of_q() -> None:
    decided = ALPHA[:, None] * LOGITS
    losses = {
        reduction: float(calibration_loss(decided, ALPHA, LABELS, LearningConfig(method="cs", cs_reduction=reduction)))
        for reduction in ("sum", "batch", "mean_wrong")
    }
    assert losses == pytest.approx({"sum": 1.3, "batch": 0.325, "mean_wrong": 0.65}, abs=1e-5)
    opposite = LearningConfig(method="cs", cs_loss="reversed")
    assert float(calibration_loss(decided, ALPHA, LABELS, opposite)) == pytest.approx((0.3 + 0.4) / 4, abs=1e-5)


def test_calibration_loss_without_errors_is_zero_with_zero_gradient() -> None:
    alpha = ALPHA.clone().requires_grad_()
    loss = calibration_loss(alpha[:, None] * LOGITS, alpha, LOGITS.argmax(1), LearningConfig(method="cs"))
    loss.backward()
    assert loss.item() == 0
    assert alpha.grad is not None
    assert not alpha.grad.any()


def test_calibration_raises_the_weight_of_wrong_images_and_reversed_lowers_it() -> None:
    for form, sign in (("literal", -1.0), ("reversed", 1.0)):
        alpha = ALPHA.clone().requires_grad_()
        calibration_loss(LOGITS, alpha, LABELS, LearningConfig(method="cs", cs_loss=form)).backward()
        assert alpha.grad is not None
        assert torch.equal(torch.sign(alpha.grad), sign * torch.tensor([0.0, 1, 1, 0]))


def test_arm_totals_of_q() -> None:
    assert total("scn") == pytest.approx(0.679025, abs=1e-5)
    assert total("cs") == pytest.approx(0.871049, abs=1e-5)
    assert total("scn-cs") == pytest.approx(1.004025, abs=1e-5)
    assert total("scn-cs", cs_loss="literal+rr") == pytest.approx(1.004025, abs=1e-5)


def test_rank_term_joins_by_sum_or_by_gamma() -> None:
    close = torch.tensor([0.60, 0.58, 0.56, 0.54])
    weighted = float(F.cross_entropy(close[:, None] * LOGITS, LABELS))
    rank = float(rank_regularisation(close, 0.7, 0.15))
    assert rank == pytest.approx(0.15 - (0.59 - 0.55), abs=1e-5)
    assert total("scn", close) == pytest.approx(weighted + rank, abs=1e-5)
    assert total("scn", close, rank_form="gamma") == pytest.approx((weighted + rank) / 2, abs=1e-5)
    plain = total("scn-cs", close)
    assert total("scn-cs", close, cs_loss="literal+rr") == pytest.approx(plain + rank, abs=1e-5)


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=40), st.floats(0.05, 0.95), st.floats(0, 1))
def test_rank_regularisation_is_finite_and_bounded(alpha: list[float], beta: float, margin: float) -> None:
    loss = float(rank_regularisation(torch.tensor(alpha), beta, margin))
    assert 0 <= loss <= margin + 1e-6
