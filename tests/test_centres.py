"""The class-centre loss step by step: its weight, the spread of the centres and the deviation of the features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fer_cli.analysis.centres import centres_analysis, read_trace
from fer_cli.analysis.outcome import groups_of
from fer_cli.blocks import Figure, Note, Number, Table
from fer_cli.config import Compute, LearningConfig, RunConfig, TrainConfig
from fer_cli.errors import DamagedError
from fer_cli.learning.losses import center_spread, class_center_loss
from fer_cli.learning.module import FerModule
from fer_cli.learning.train import train_run
from fer_cli.outputs import read_centres
from fer_cli.plan import Plan, make_plan
from fer_cli.results import find_damage
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.fakes import folder_at
from tests.reports import fake_results


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


@pytest.fixture
def plan(tmp_path: Path, compute: Compute) -> Plan:
    """A study of a plain network and one with the class-centre loss, whose every run has a made-up result."""
    path = tmp_path / "tiny.yaml"
    arms = "  CNN: {}\n  SCN-CS: {learning.center_weight: 0.5}\n"
    path.write_text(STUDY.replace("  CNN: {}\n  SCN-CS: {learning.method: scn-cs}\n", arms))
    made = make_plan(str(path), Choice(), compute)
    fake_results(made, {(arm, noise): [0.7, 0.8, 0.9] for arm in ("CNN", "SCN-CS") for noise in (0.0, 0.3)})
    return made


def note_steps(plan: Plan, steps: int = 119) -> None:
    """Leave the steps of runs with the loss: in seed s the deviation falls from 1 to 0.1 (s + 1) at half, and rises to 1."""
    for item in plan.items:
        if item.run.arm == "SCN-CS":
            low = 0.1 * (item.run.seed + 1)
            table = pd.DataFrame({"step": range(1, steps + 1), "weight": 0.5, "spread": 2.0, "loss": 0.75})
            table["deviation"] = low + (1 - low) * np.abs(np.linspace(-1, 1, steps))
            table.to_csv(item.folder.file("centres.csv"), index=False)


def test_analysis_of_the_loss_by_hand(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    """119 steps, each 1/59 of the way: in the middle one of 20, steps are 5 off the lowest in the mean."""
    note_steps(plan)
    table, figure = centres_analysis(plan, compute, tmp_path / "figures")
    assert isinstance(table, Table) and isinstance(figure, Figure)
    assert len(table.rows) == 2 and all(label.startswith("SCN-CS") for label, _ in table.rows)
    cells = [cell for cell in table.rows[0][1] if isinstance(cell, Number)]
    lowest, reached, deviation, loss = (cell.value for cell in cells)
    assert lowest == pytest.approx(0.2 + 0.8 * 5 / 59)
    assert reached == pytest.approx(0.5, abs=0.02)
    assert deviation == pytest.approx(0.2 + 0.8 * (1 - 9.5 / 59))
    assert loss == pytest.approx(1.5)
    assert [cell.n for cell in cells] == [3] * 4
    assert cells[0].sd == pytest.approx(0.1 * (1 - 5 / 59))
    assert figure.path.stat().st_size > 10_000


def test_runs_without_the_steps_are_left_out(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    """Runs of older versions have no ``centres.csv``."""
    (note,) = centres_analysis(plan, compute, tmp_path)
    assert isinstance(note, Note) and "no finished run" in note.text


def test_a_run_with_damaged_steps_is_damaged(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    """Reports leave it out, and ``--retry-failed`` trains it again."""
    note_steps(plan)
    assert all(find_damage(item.folder.path) is None for item in plan.items)
    broken = next(item for item in plan.items if item.run.arm == "SCN-CS").folder.file("centres.csv")
    for content, reason in (
        (broken.read_text()[:-5], "truncated"),
        ("step,weight,loss\n1,1.0,2.0\n", "no column deviation"),
    ):
        broken.write_text(content)
        assert f"centres.csv: {reason}" in str(find_damage(broken.parent))
        with pytest.raises(DamagedError, match=reason):
            read_centres(broken)
    table, _ = centres_analysis(plan, compute, tmp_path)
    assert isinstance(table, Table)
    assert [cell.n for cell in table.rows[0][1] if isinstance(cell, Number)] == [2] * 4


def test_a_training_of_few_steps_is_one_point(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    note_steps(plan, steps=9)
    table, _ = centres_analysis(plan, compute, tmp_path)
    assert isinstance(table, Table)
    lowest, reached, end, _ = (cell.value for cell in table.rows[0][1] if isinstance(cell, Number))
    assert (lowest, reached) == (end, 1.0)
    trace = read_trace(groups_of(plan)[-1])
    assert trace is not None and trace.first == 9
