"""The class-centre loss step by step: its weight, the spread of the centres and the deviation of the features."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from fer_cli.config import Compute, LearningConfig, RunConfig, TrainConfig
from fer_cli.learning.losses import center_spread, class_center_loss
from fer_cli.learning.module import FerModule
from fer_cli.learning.train import train_run
from tests.fakes import folder_at


def test_spread_by_hand() -> None:
    """Two centres at distance sqrt(10): squared distances from their mean sum to 5 (methods, E7)."""
    centres = torch.tensor([[1.0, 1.0], [2.0, 4.0]])
    wanted = {"population": 2.5, "unbiased": 5.0, "elementwise": 1.25}
    for form, value in wanted.items():
        config = LearningConfig.model_validate({"center_weight": 1.0, "center_spread": form})
        assert float(center_spread(centres, config)) == pytest.approx(value)


def test_features_all_alike_rest_at_a_loss_of_one_whatever_the_centres() -> None:
    """The plateau of the collapse: features at the mean of the centres of balanced classes cost 1, and no scale helps."""
    config = LearningConfig(center_weight=1.0)
    for scale in (0.01, 1.0, 100.0):
        centres = (scale * torch.randn(6, 10, generator=torch.Generator().manual_seed(0))).requires_grad_()
        labels = torch.arange(6).repeat(4)
        points = centres.detach().mean(0).repeat(24, 1)
        loss = class_center_loss(points, centres, labels, config)
        assert float(loss.detach()) == pytest.approx(1.0, abs=1e-4)  # 1e-8 is added to the spread
        loss.backward()
        assert centres.grad is not None and float(centres.grad.abs().max()) < 1e-4 / scale


@pytest.mark.parametrize("plain", [False, True])
def test_the_weight_rises_and_each_step_is_recorded(
    plain: bool, compute: Compute, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    learning = LearningConfig(center_weight=2.0, center_warmup=0.5, center_lr=0.5 if plain else None)
    config = tiny(learning=learning, train=TrainConfig(epochs=2, batch_size=16, weight_average=0.0))
    (tmp_path / "run").mkdir()
    train_run(config, compute, folder_at(tmp_path / "run"))
    rows = pd.read_csv(tmp_path / "run" / "centres.csv")
    steps = len(rows)
    assert rows["step"].tolist() == list(range(1, steps + 1)) and steps % 2 == 0
    assert rows["weight"].tolist() == pytest.approx([min(2.0, 4.0 * step / steps) for step in rows["step"]])
    assert (rows[["spread", "deviation", "loss"]] > 0).all(axis=None)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert rows["loss"].iloc[-steps // 2 :].mean() == pytest.approx(history["loss/centre"].iloc[-1], rel=0.1)


def test_without_warm_up_the_weight_is_constant(tiny: Callable[..., RunConfig]) -> None:
    module = FerModule.__new__(FerModule)
    object.__setattr__(module, "config", tiny(learning=LearningConfig(center_weight=0.3)))
    assert module.center_weight() == 0.3
