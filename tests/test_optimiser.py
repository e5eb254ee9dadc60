"""Optimiser and schedule against their closed forms: every setting reaches the steps that are made."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from fer_cli.config import Compute, RunConfig, TrainConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.learning.train import new_module, train_run
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]
STEPS = 20


def optimisation(data_root: Path, config: RunConfig) -> tuple[torch.optim.Optimizer, Any]:
    """Return optimiser and schedule, or None, of a training of ``STEPS`` steps."""
    module = new_module(config, RunData(load_set(data_root, "ck48"), config))
    module._trainer = SimpleNamespace(estimated_stepping_batches=STEPS)  # type: ignore[assignment]
    made = module.configure_optimizers()
    if isinstance(made, torch.optim.Optimizer):
        return made, None
    assert made["lr_scheduler"]["interval"] == "step"
    return made["optimizer"], made["lr_scheduler"]["scheduler"]


def rates(optimiser: torch.optim.Optimizer, schedule: Any) -> list[float]:
    """Return the learning rate of each step."""
    found = []
    for _ in range(STEPS):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if schedule is not None:
            schedule.step()
    return found


def test_cosine_schedule_falls_from_the_peak_to_zero(data_root: Path, tiny: Tiny) -> None:
    found = rates(*optimisation(data_root, tiny(train=TrainConfig(lr=0.02, schedule="cosine"))))
    assert found == pytest.approx([0.01 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)])


def test_one_cycle_rises_to_the_peak_and_falls_and_constant_stays(data_root: Path, tiny: Tiny) -> None:
    cycle = rates(*optimisation(data_root, tiny(train=TrainConfig(lr=0.02))))
    peak = cycle.index(max(cycle))
    assert max(cycle) == pytest.approx(0.02, rel=0.02)
    assert cycle[: peak + 1] == sorted(cycle[: peak + 1]) and cycle[peak:] == sorted(cycle[peak:], reverse=True)
    assert cycle[0] == pytest.approx(0.02 / 25) and cycle[-1] < 1e-6 and 4 <= peak <= 7
    constant = rates(*optimisation(data_root, tiny(train=TrainConfig(lr=0.02, schedule="constant"))))
    assert constant == [0.02] * STEPS


@pytest.mark.parametrize("momentum", [0.9, 0.6])
def test_momentum_of_sgd_carries_earlier_steps_on(momentum: float, data_root: Path, tiny: Tiny) -> None:
    """With a gradient of 1 the second step is 1 + momentum times the first."""
    train = TrainConfig(optimizer="sgd", lr=0.01, weight_decay=0.0, momentum=momentum, schedule="constant")
    optimiser, _ = optimisation(data_root, tiny(train=train))
    weight = optimiser.param_groups[0]["params"][0]
    before, moves = weight.detach().clone(), []
    for _ in range(3):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
        moves.append(float((before - weight.detach()).mean()))
        before = weight.detach().clone()
    expected = [1, 1 + momentum, 1 + momentum + momentum**2]
    assert moves == pytest.approx([0.01 * size for size in expected], rel=1e-3)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_no_schedule_changes_the_momentum_of_sgd(schedule: str, data_root: Path, tiny: Tiny) -> None:
    train = TrainConfig(optimizer="sgd", lr=0.01, weight_decay=0.0, momentum=0.6, schedule=schedule)  # type: ignore[arg-type]
    optimiser, scheduled = optimisation(data_root, tiny(train=train))
    found = []
    for _ in range(STEPS):
        found.append(optimiser.param_groups[0]["momentum"])
        optimiser.step()
        if scheduled is not None:
            scheduled.step()
    assert found == [0.6] * STEPS


def test_one_cycle_moves_the_first_beta_of_adam(data_root: Path, tiny: Tiny) -> None:
    optimiser, _ = optimisation(data_root, tiny(train=TrainConfig(lr=0.01)))
    assert optimiser.param_groups[0]["betas"][0] == pytest.approx(0.95)


@pytest.mark.parametrize(("optimiser", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_weight_decay_is_of_matrices_only(optimiser: str, kind: type, data_root: Path, tiny: Tiny) -> None:
    made, _ = optimisation(data_root, tiny(train=TrainConfig(optimizer=optimiser, weight_decay=0.03)))  # type: ignore[arg-type]
    assert type(made) is kind
    decayed, spared = made.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.03, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"]) and all(p.ndim <= 1 for p in spared["params"])


def test_the_schedule_reaches_the_history_of_a_run(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    """Two epochs of a cosine end at half the peak and at zero."""
    folder = tmp_path / "run"
    folder.mkdir()
    train = TrainConfig(epochs=2, batch_size=32, optimizer="sgd", lr=0.01, weight_decay=0.0, schedule="cosine")
    train_run(tiny(train=train), compute, folder_at(folder))
    assert pd.read_csv(folder / "history.csv")["lr"].tolist() == pytest.approx([0.005, 0.0], abs=1e-9)
