"""Every kind of run keeps one contract; saying which kind a run is of makes no other run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from fer_cli.config import (
    METRICS,
    Compute,
    CorruptConfig,
    DataConfig,
    FeaturesConfig,
    LearningConfig,
    ModelConfig,
    RunConfig,
    SequencesConfig,
    TrainConfig,
)
from fer_cli.config.learning import METHODS
from fer_cli.runs import RunFolder
from fer_cli.tasks import TASKS, Inputs, task_of
from tests.conftest import Called

DATA = DataConfig(name="ck48", image_size=24, folds=3, val_fraction=0.25)
RUNS = {
    "stills": RunConfig(data=DATA, train=TrainConfig(epochs=1, batch_size=32)),
    "features": RunConfig(data=DATA, features=FeaturesConfig(blocks=["hog"])),
    "clips": RunConfig(
        data=DATA.model_copy(update={"frames": 2}),
        model=ModelConfig(backbone="teacher-action"),
        train=TrainConfig(epochs=1, batch_size=8),
    ),
    "sequences": RunConfig(sequences=SequencesConfig(simulation="tags", model="naive-bayes")),
}
"""A small run of each kind."""


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_tried_run_and_described(name: str, compute: Compute, tmp_path: Path) -> None:
    config, task = RUNS[name], TASKS[name]
    assert (config.kind, task_of(config), task.name) == (name, task, name)
    assert (task.before(config), task.training(config)) == (None, None)
    task.check([(config, ["happy", "sad"])])
    task.smoke(config, compute, tmp_path)
    folder = RunFolder(tmp_path / "results", config.run_id("x"))
    folder.path.mkdir(parents=True)
    epochs: list[int] = []
    result = task.run(config, Inputs(folder, lambda epoch, _: epochs.append(epoch)), compute)
    assert folder.file("predictions.parquet").is_file()
    assert bool(epochs) == folder.file("best.pt").is_file() == task.trains_network
    folder.write_result(result)
    assert folder.result() == result
    assert (result.kind, result.config, result.metrics["test"].n) == (name, config, result.data.test)
    assert task.cost(config) >= 1 and 0 <= task.balance(config) <= 1
    assert all(isinstance(line, str) and line for line in task.describe([config]))
    assert task.describe([]) == []


def test_what_must_come_before_follows_from_the_settings() -> None:
    corrupted = RunConfig(data=DATA, corrupt=CorruptConfig(blur=1.0))
    assert task_of(corrupted).training(corrupted) == RunConfig(data=DATA)
    started = RunConfig(data=DATA, model=ModelConfig(pretrain="synth-basic"))
    before = task_of(started).before(started)
    assert (
        before is not None and before.data.name == "synth-basic" and "synth-basic" in task_of(started).name_before(started)
    )
    fused = RunConfig(data=DATA, features=FeaturesConfig(blocks=["cnn", "hog"]))
    assert task_of(fused).before(fused) == RunConfig(data=DATA)
    decoded = RunConfig(data=DATA, sequences=SequencesConfig(simulation="emotions", decode="filter"))
    assert task_of(decoded).before(decoded) == RunConfig(data=DATA)
    assert (decoded.sets, RUNS["sequences"].sets) == (("ck48",), ())


def test_pretraining_has_no_settings_of_the_run_that_it_cannot_have() -> None:
    plain = RunConfig(data=DATA, model=ModelConfig(pretrain="synth-basic"))
    before = task_of(plain).before(plain)
    test, deep = DATA.model_copy(update={"test": "other"}), {"pretrain": "synth-basic", "importance_layers": 2}
    adapted = RunConfig(data=test, model=ModelConfig(pretrain="synth-basic", adapt="batch-norm"))
    weighted = RunConfig(data=DATA, model=ModelConfig.model_validate(deep), learning=LearningConfig(method="scn"))
    assert [task_of(one).before(one) for one in (adapted, weighted)] == [before, before]


@pytest.mark.parametrize("name", ["features", "sequences"])
def test_saying_the_kind_says_nothing_of_the_run_before(name: str) -> None:
    other = {"features": {"features": {"blocks": ["cnn"]}}, "sequences": {"sequences": {"simulation": "emotions"}}}[name]
    said = RunConfig.model_validate(other | {"task": name, "data": DATA.model_dump()})
    assert task_of(said).before(said) == RunConfig(data=DATA)


@pytest.mark.parametrize("name", TASKS)
def test_saying_the_kind_that_is_implied_makes_no_other_run(name: str) -> None:
    config = RUNS[name]
    said = RunConfig.model_validate(config.model_dump() | {"task": name})
    assert said.run_id("x") == config.run_id("x")
    other = next(kind for kind in TASKS if kind != name)
    with pytest.raises(ValidationError, match=f"task: {other}, but the other settings imply {name}"):
        RunConfig.model_validate(config.model_dump() | {"task": other})
    with pytest.raises(ValidationError, match="task"):
        RunConfig.model_validate(config.model_dump() | {"task": "vedeo"})


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow) if name in {"scn", "cs"} else name for name in METHODS]
)
def test_a_method_trains_with_the_parts_that_it_names(method: str, compute: Compute, tmp_path: Path) -> None:
    switches = METHODS[method]
    learning = LearningConfig.model_validate({"method": method} | ({"relabel_from": 0.0} if switches.relabels else {}))
    config = RUNS["stills"].model_copy(update={"learning": learning})
    folder = RunFolder(tmp_path, config.run_id("x"))
    folder.path.mkdir(parents=True)
    result = task_of(config).run(config, Inputs(folder), compute)
    assert ("alpha/sd" in result.health) == switches.attention
    assert (result.relabelled is not None) == switches.relabels
    assert all(0 <= value <= 1 for value in (result.metrics["test"][name] for name in METRICS))


def test_an_unknown_task_is_one_line(fer: Callable[..., Called], study_file: Path) -> None:
    study_file.write_text(study_file.read_text().replace("base:\n", "base:\n  task: still\n", 1))
    called = fer("ablate", "--study", study_file, "--plan")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "task: Input should be 'stills', 'features', 'clips' or 'sequences' (given: 'still')" in called.err
