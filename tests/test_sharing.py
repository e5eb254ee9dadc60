"""Runs that differ only in what is done to test images share one training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fer_cli.ablate import run_plan
from fer_cli.config import Compute, CorruptConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.estimate import estimate
from fer_cli.learning.train import train_run
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from fer_cli.tasks import task_of
from tests.conftest import STUDY
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]
NOISY = STUDY.replace("grid: {data.label_noise: [0.0, 0.3]}", "grid: {corrupt.noise: [0.0, 0.1, 0.3]}").replace(
    "columns: data.label_noise", "columns: corrupt.noise"
)
NOISY = NOISY.replace("  train:", "  model: {backbone: cnn3}\n  train:")


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(NOISY)
    return path


@pytest.fixture
def here(data_root: Path, tmp_path: Path) -> Compute:
    results = tmp_path / "results"
    return Compute(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)


def test_one_training_serves_every_level(noisy: Path, here: Compute, tmp_path: Path) -> None:
    plan = make_plan(str(noisy), Choice(seeds=(0,)), here, only=("CNN",))
    assert (len(plan.items), len(plan.first), [len(item.needs) for item in plan.everything]) == (3, 0, [0, 1, 1])
    assert run_plan(plan, here).counts == {"done": 3}
    clean, *others = plan.items
    for item in others:
        result = item.folder.result()
        assert result.trained_by == clean.run_id
        assert result.selection == clean.folder.result().selection
        assert item.folder.file("history.csv").read_bytes() == clean.folder.file("history.csv").read_bytes()
        alone = tmp_path / item.run_id
        alone.mkdir()
        own = train_run(item.run.config, here, folder_at(alone))
        assert own.metrics == result.metrics
        predictions = [pd.read_parquet(folder / "predictions.parquet") for folder in (alone, item.folder.path)]
        pd.testing.assert_frame_equal(*predictions)
    scores = [pd.read_parquet(item.folder.file("predictions.parquet")) for item in plan.items]
    valid = [frame[frame["part"] == "val"].reset_index(drop=True) for frame in scores]
    pd.testing.assert_frame_equal(valid[0], valid[2])
    assert not scores[0].equals(scores[2])


def test_the_files_of_a_training_are_those_of_all_that_share_it(here: Compute, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(model=ModelConfig(backbone="cnn3"), train=TrainConfig(epochs=1, batch_size=32))
    first, second = folder_at(tmp_path / "first"), folder_at(tmp_path / "second")
    first.path.mkdir(), second.path.mkdir()
    first.write_result(train_run(config, here, first))
    (first.path / "suspects").mkdir()
    for name in ("suspects.csv", "suspects/001.png", "confident.parquet"):
        first.file(name).write_text(name)
    train_run(config, here, second, trained=first)
    for name in ("suspects.csv", "suspects/001.png", "confident.parquet", "history.csv", "best.pt"):
        assert second.file(name).read_bytes() == first.file(name).read_bytes()


def test_a_level_alone_trains_on_clean_images_first(noisy: Path, here: Compute) -> None:
    noisy.write_text(NOISY.replace("[0.0, 0.1, 0.3]", "[0.1, 0.3]"))
    plan = make_plan(str(noisy), Choice(seeds=(0,)), here, only=("CNN",))
    assert (len(plan.items), len(plan.first)) == (2, 1)
    assert run_plan(plan, here).counts == {"done": 3}
    assert {item.folder.result().trained_by for item in plan.items} == {plan.first[0].run_id}
    bare = make_plan(str(noisy), Choice(seeds=(1,)), here, only=("CNN",))
    times = estimate(bare, here, bare.states())
    trained, tested = times[bare.first[0].run_id], times[bare.items[0].run_id]
    assert trained is not None
    assert tested is not None
    assert tested < trained


def test_the_clean_level_may_come_last(noisy: Path, here: Compute) -> None:
    noisy.write_text(NOISY.replace("corrupt.noise: [0.0, 0.1, 0.3]", "corrupt.light: [0.3, 1.0]").replace("noise", "light"))
    plan = make_plan(str(noisy), Choice(seeds=(0,)), here)
    assert [(item.run.arm, item.run.at) for item in plan.items] == [
        (arm, (("corrupt.light", level),)) for level in (0.3, 1.0) for arm in ("CNN", "SCN-CS")
    ]
    assert not plan.first
    assert plan.items[0].trained is plan.items[2]


def test_levels_can_be_added_to_older_results(noisy: Path, here: Compute) -> None:
    plan = make_plan(str(noisy), Choice(seeds=(0,)), here, only=("CNN",))
    clean = plan.items[0]
    assert run_plan(replace(plan, items=[clean]), here).ok
    older = json.loads(clean.folder.file("result.json").read_text())
    del older["weights"], older["selection"]["weights"]
    clean.folder.file("result.json").write_text(json.dumps(older))
    assert run_plan(plan, here).counts == {"skipped": 1, "done": 2}
    result = plan.items[1].folder.result()
    assert result.weights is None
    assert result.trained_on is not None
    assert result.trained_on.model_dump() == {"machine": older["machine"], "provenance": older["provenance"]}


@pytest.mark.parametrize(
    ("corrupt", "shared"),
    [
        (CorruptConfig(), False),
        (CorruptConfig(noise=0.1), True),
        (CorruptConfig(noise=0.1, parts=["train", "test"]), False),
        (CorruptConfig(blur=1.0, parts=["train"]), False),
    ],
)
def test_only_what_leaves_training_images_alone_is_shared(corrupt: CorruptConfig, shared: bool) -> None:
    config = RunConfig(corrupt=corrupt, seed=3)
    training = task_of(config).training(config)
    assert training == (RunConfig(seed=3) if shared else None)
    if training is not None:
        assert task_of(training).training(training) is None


def test_every_level_waits_for_a_training_that_failed(noisy: Path, here: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    import fer_cli.learning.train as training

    def fail(*_: object) -> None:
        raise FloatingPointError("no luck")

    monkeypatch.setattr(training, "fit", fail)
    plan = make_plan(str(noisy), Choice(seeds=(0,)), here, only=("CNN",))
    summary = run_plan(plan, here)
    assert (summary.counts["failed"], summary.counts["blocked"]) == (1, 2)
    assert [item.folder.status for item in plan.items] == ["failed", "new", "new"]
