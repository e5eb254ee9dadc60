"""Runs that start from another run's weights, and runs that are tested on another set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from fer_cli.ablate import Silent, run_plan
from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.data.cards import load_card
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from fer_cli.learning.record import load_backbone, save_weights
from fer_cli.learning.train import load_data, new_module, train_run
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from fer_cli.tasks import TASKS
from tests.conftest import STUDY, Called
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]


@pytest.fixture
def both(both_root: Path, tmp_path: Path) -> Compute:
    return Compute(data_root=both_root, results=tmp_path / "results", device="cpu", precision="fp32", threads=1)


def test_a_run_on_another_set_trains_on_none_of_it(both: Compute, tiny: Tiny, tmp_path: Path) -> None:
    six = ["angry", "disgust", "fear", "happy", "sad", "surprise"]
    config = tiny(data=DataConfig(name="synth-basic", test="ck48", classes=six, image_size=24))
    data, fingerprint = load_data(config, both)
    ck48 = load_set(both.data_root, "ck48")
    assert data.classes == six
    assert len(data.test) == (ck48.manifest["label"] != "contempt").sum() == 144
    assert data.dropped == {"contempt": 24}
    assert len(data.train) + len(data.val) == 180
    names = ck48.manifest.loc[ck48.manifest["label"] != "contempt", "label"].tolist()
    assert [six[code] for code in data.test.labels.tolist()] == names
    assert not set(data.samples["train"]) & set(data.samples["val"])
    assert fingerprint == "+".join(load_set(both.data_root, name).info.fingerprint for name in ("synth-basic", "ck48"))
    folder = tmp_path / "run"
    folder.mkdir()
    result = train_run(config, both, folder_at(folder))
    assert (result.data.test, result.data.dropped) == (144, {"contempt": 24})
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions["part"].value_counts()["test"] == 144


def test_fewer_images_and_people_are_parts_of_more(both: Compute) -> None:
    manifest = load_set(both.data_root, "synth-basic").manifest
    whole = make_split(manifest, DataConfig(test="ck48"))
    parts = [make_split(manifest, DataConfig(test="ck48", max_images=n)) for n in (40, 80)]
    assert [len(part.train) for part in parts] == [40, 80]
    assert set(parts[0].train) < set(parts[1].train) < set(whole.train)
    assert all((part.val == whole.val).all() for part in parts)
    assert set(manifest["label"].iloc[parts[0].train].value_counts()) == {5}
    few = make_split(manifest, DataConfig(test="ck48", max_subjects=4))
    assert manifest["subject"].iloc[few.train].nunique() == 4
    assert set(few.train) < set(whole.train)
    assert len(whole.test) == 0


def test_unknown_class_and_same_set_are_refused(both: Compute) -> None:
    with pytest.raises(DataError, match="no class 'glad'"):
        load_set(both.data_root, "ck48").of_classes(["happy", "glad"])
    config = RunConfig(data=DataConfig(name="synth-basic", test="ck48", classes=["neutral", "contempt"]))
    faces = load_set(both.data_root, "ck48").of_classes(["happy", "sad"])
    with pytest.raises(DataError, match="none of its classes"):
        RunData(load_set(both.data_root, "synth-basic"), config, faces)
    with pytest.raises(ValidationError, match="training set itself"):
        DataConfig(name="ck48", test="ck48")
    with pytest.raises(ValidationError, match="would leak"):
        RunConfig(data=DataConfig(name="synth-basic"), model=ModelConfig(pretrain="synth-basic"))


def test_backbone_is_taken_over_and_the_classifier_starts_anew(both: Compute, tiny: Tiny, tmp_path: Path) -> None:
    donor = RunData(load_set(both.data_root, "synth-basic"), tiny(data=DataConfig(image_size=24)))
    heir = RunData(load_set(both.data_root, "ck48"), tiny())
    first = new_module(tiny(seed=3), donor)
    save_weights(tmp_path / "best.pt", first, 1)
    module = new_module(tiny(seed=4), heir)
    classifier = module.model.backbone.fc.weight.clone()
    load_backbone(tmp_path / "best.pt", module)
    images = torch.rand(2, 1, 24, 24)
    for network in (module.model, module.judged):
        own = network.eval().backbone.features(images)
        torch.testing.assert_close(own, first.judged.eval().backbone.features(images))
    assert torch.equal(module.model.backbone.fc.weight, classifier)
    assert module.model.backbone.fc.out_features == 7
    assert float(module.model.mean) == pytest.approx(heir.mean)


def test_each_image_by_its_own_contrast(both: Compute, tiny: Tiny) -> None:
    data, _ = load_data(tiny(), both)
    module = new_module(tiny(model=ModelConfig(normalise="image")), data).eval()
    images = torch.rand(3, 1, 24, 24)
    with torch.no_grad():
        bright, dark = module.model(images).logits, module.model(images * 0.5 + 0.2).logits
    torch.testing.assert_close(bright, dark, atol=0.1, rtol=0.1)


PRETRAINED = STUDY.replace("train: {epochs: 2", "model: {pretrain: synth-basic, backbone: cnn3}\n  train: {epochs: 1")


def test_pre_training_runs_first_and_once(both: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stills = TASKS["stills"]

    def pretraining(config: RunConfig) -> RunConfig | None:
        begun = stills.before(config)
        return None if begun is None else begun.model_copy(update={"train": TrainConfig(epochs=1, batch_size=64)})

    monkeypatch.setitem(TASKS, "stills", replace(stills, before=pretraining))
    path = tmp_path / "tiny.yaml"
    path.write_text(PRETRAINED)
    plan = make_plan(str(path), Choice(seeds=(0,)), both)
    assert len(plan.first) == 1
    assert len(plan.items) == 4
    order: list[str] = []
    observer = Silent()
    monkeypatch.setattr(observer, "done", lambda item, _: order.append(item.run_id))
    summary = run_plan(plan, both.model_copy(update={"track": False}), observer=observer)
    assert order == [plan.first[0].run_id, *(item.run_id for item in plan.items)]
    assert (summary.counts["done"], summary.ok) == (5, True)
    assert {item.folder.result().pretrained_by for item in plan.items} == {plan.first[0].run_id}
    plain = tmp_path / "plain" / "tiny.yaml"
    plain.parent.mkdir()
    plain.write_text(PRETRAINED.replace("pretrain: synth-basic, ", ""))
    others = {item.run_id for item in make_plan(str(plain), Choice(seeds=(0,)), both).items}
    assert not others & {item.run_id for item in plan.items}
    again = run_plan(plan, both.model_copy(update={"track": False}))
    assert again.counts == {"skipped": 5}


def test_a_failed_pre_training_keeps_its_followers_waiting(
    both: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fer_cli.learning.train as training

    def fail(*_: object) -> None:
        raise FloatingPointError("no luck")

    monkeypatch.setattr(training, "fit", fail)
    path = tmp_path / "tiny.yaml"
    path.write_text(PRETRAINED)
    plan = make_plan(str(path), Choice(seeds=(0,)), both)
    summary = run_plan(plan, both.model_copy(update={"track": False}))
    assert not summary.ok
    assert (summary.counts["failed"], summary.counts["blocked"]) == (1, 4)
    assert all(item.folder.status == "new" for item in plan.items)


def test_embedded_data_is_drawn_on_first_use(
    fer: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_small(name: str) -> object:
        card = load_card(name)
        assert card.embedded is not None
        few = {"images": 160, "subjects": 20, "size": 24}
        return card.model_copy(update={"embedded": card.embedded.model_copy(update=few)})

    monkeypatch.setattr("fer_cli.synthetic.build.load_card", load_small)
    path = tmp_path / "tiny.yaml"
    text = STUDY.replace("name: ck48", "name: synth-basic, max_images: 8, max_val: 8, max_test: 8")
    path.write_text(text)
    root = tmp_path / "data"
    arguments = ["--study", path, "--data-root", root, "--results", tmp_path / "results"]
    assert fer("ablate", *arguments, "--plan").code == 0
    assert not root.exists(), "a plan draws nothing"
    called = fer("ablate", *arguments, "--smoke", "--only", "CNN", "--seeds", "1")
    assert called.code == 0, called.err
    assert "drawn as they are needed" in called.err
    info = load_set(root, "synth-basic").info
    assert (info.kept, info.drawn) == (160, 24)
    assert fer("ablate", *arguments, "--plan").code == 0
    assert load_set(root, "synth-basic").info == info


def test_positions_of_classes_do_not_depend_on_the_other_sets_order(both: Compute, tiny: Tiny) -> None:
    turned = ["surprise", "sad", "happy", "fear", "disgust", "angry"]
    data, _ = load_data(tiny(data=DataConfig(name="synth-basic", test="ck48", classes=turned, image_size=24)), both)
    names = np.array(turned)[data.test.labels.numpy()]
    manifest = load_set(both.data_root, "ck48").manifest
    assert names.tolist() == manifest.loc[manifest["label"] != "contempt", "label"].tolist()
