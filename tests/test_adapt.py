"""Batch norms re-estimated on unlabelled images of the test set (``model.adapt``)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.errors import DataError, StudyError
from fer_cli.learning.adapt import FOLDS, adapted_norms, deal_folds, norms_of
from fer_cli.learning.module import FerModule
from fer_cli.learning.networks import check_networks
from fer_cli.learning.train import load_data, new_module, predict, prepare_torch
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from fer_cli.tasks import TASKS
from tests.conftest import Called

Tiny = Callable[..., RunConfig]
SIX = ["angry", "disgust", "fear", "happy", "sad", "surprise"]
TRANSFER = DataConfig(name="synth-basic", test="ck48", classes=SIX, image_size=24)


@pytest.fixture
def compute(both_root: Path, tmp_path: Path) -> Compute:
    return Compute(data_root=both_root, results=tmp_path / "results", device="cpu", precision="fp32", threads=1)


@pytest.fixture
def adapted(compute: Compute, tiny: Tiny) -> tuple[FerModule, RunData]:
    config = tiny(data=TRANSFER, model=ModelConfig(backbone="resnet10-small", adapt="batch-norm"))
    data, _ = load_data(config, compute)
    return new_module(config, data), data


def test_each_person_is_in_one_fold_and_each_image_in_one() -> None:
    people = np.array([f"p{number // 3}" for number in range(60)])
    folds = deal_folds(people, "set", 0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))
    assert len(folds) == FOLDS
    for one in range(FOLDS):
        for other in range(one):
            assert not set(people[folds[one]]) & set(people[folds[other]])
    assert [len(set(people[fold])) for fold in folds] == [4] * FOLDS
    assert any((a != b).any() for a, b in zip(folds, deal_folds(people, "set", 1), strict=True) if len(a) == len(b))


@pytest.mark.parametrize("people", [["a", "b", "", "c", "d", "e"], ["a", "b", "c", "d", "a"]])
def test_unknown_and_too_few_people_are_one_line(people: list[str]) -> None:
    with pytest.raises(DataError, match=r"set: model\.adapt: batch-norm deals known people into 5 folds"):
        deal_folds(np.array(people), "set", 0)


def test_statistics_are_those_of_the_images_and_then_what_they_were(
    adapted: tuple[FerModule, RunData], compute: Compute
) -> None:
    module, data = adapted
    first = norms_of(module.judged)[0]
    conv = module.judged.backbone.get_submodule("conv1")
    before = {name: buffer.clone() for name, buffer in module.judged.named_buffers()}
    chosen = np.arange(40)
    seen = []
    handle = conv.register_forward_hook(lambda _, __, out: seen.append(out))
    with adapted_norms(module, data, chosen, prepare_torch(compute)):
        images = torch.stack([out.mean((0, 2, 3)) for out in seen]).mean(0)
        torch.testing.assert_close(first.running_mean, images)
        assert all(not norm.training for norm in norms_of(module.judged))
        assert not torch.equal(first.running_var, before["backbone.bn1.running_var"])
    handle.remove()
    assert len(seen) == 2  # the images, and their mirror images
    for name, buffer in module.judged.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert {norm.momentum for norm in norms_of(module.judged)} == {nn.BatchNorm2d(1).momentum}


def test_predictions_need_no_labels_and_come_in_order(adapted: tuple[FerModule, RunData], compute: Compute) -> None:
    module, data = adapted
    resolved = prepare_torch(compute)
    found = predict(module, data, resolved)
    test = found[found["part"] == "test"]
    assert test["sample"].tolist() == list(data.samples["test"])
    columns = [f"p_{name}" for name in SIX]
    fold = deal_folds(data.test_people, "ck48", 0)[2]
    with adapted_norms(module, data, np.setdiff1d(np.arange(len(data.test)), fold), resolved):
        module.eval()
        with torch.no_grad():
            own = module.judge(data.test[fold.tolist()]).logits.softmax(1)
    np.testing.assert_allclose(test[columns].to_numpy()[fold], own.numpy(), atol=1e-5)
    data.test.labels = data.test.labels.flip(0)
    again = predict(module, data, resolved)
    assert again.loc[again["part"] == "test", columns].equals(test[columns])
    plain = new_module(module.config.model_copy(update={"model": ModelConfig(backbone="resnet10-small")}), data)
    plain.load_state_dict(module.state_dict())
    unadapted = predict(plain, data, resolved)
    assert not np.allclose(unadapted.loc[unadapted["part"] == "test", columns], test[columns], atol=1e-3)


def test_the_adapted_arm_shares_the_training_of_the_plain_one(tiny: Tiny) -> None:
    config = tiny(data=TRANSFER, model=ModelConfig(backbone="resnet10-small", adapt="batch-norm"))
    shared = TASKS["stills"].training(config)
    assert shared is not None
    assert shared.model.adapt == "none"
    assert shared.data == config.data
    assert TASKS["stills"].training(shared) is None


def test_settings_that_cannot_be_adapted_are_one_line() -> None:
    with pytest.raises(ValidationError, match=r"model.adapt has no effect: it needs another test set"):
        RunConfig(model=ModelConfig(adapt="batch-norm"))
    large = TRANSFER.model_copy(update={"image_size": 32})
    config = RunConfig(data=large, model=ModelConfig(backbone="vgg16", channels=3, adapt="batch-norm"))
    with pytest.raises(StudyError, match="backbone vgg16 has no batch norms"):
        check_networks([(config, SIX)])


def test_a_study_with_an_adapted_arm_trains_once(
    both_root: Path, tmp_path: Path, fer: Callable[..., Called], compute: Compute
) -> None:
    study = tmp_path / "adapt.yaml"
    study.write_text(
        "name: adapt\nquestion: Does adaptation help?\n"
        "base: {data.name: synth-basic, data.test: ck48, data.image_size: 24, model.backbone: resnet10-small,\n"
        f"  data.classes: [{', '.join(SIX)}], train.epochs: 1}}\n"
        "seeds: [0]\narms: {plain: {}, adapted: {model.adapt: batch-norm}}\nreport: {metrics: [accuracy], against: plain}\n"
    )
    where = ["--study", study, "--results", tmp_path / "results", "--data-root", both_root]
    called = fer("ablate", *where, "--no-track")
    assert called.code == 0
    plan = make_plan(str(study), Choice(), compute.model_copy(update={"results": tmp_path / "results"}))
    plain, adapted = (item.folder.result() for item in plan.items)
    assert adapted.trained_by == plain.run_id
    assert adapted.data.test_hash == plain.data.test_hash
    report = fer("report", *where)
    assert "re-estimated on unlabelled images of four subject folds" in report.out
