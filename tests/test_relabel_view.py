"""Relabelling from a clean view: of images without augmentation, by the averaged network, at the end of an epoch."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from fer_cli.config import Compute, LearningConfig, RunConfig, TrainConfig
from fer_cli.config.older import read_older
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.learning.module import FerModule
from fer_cli.learning.relabel import relabel
from fer_cli.learning.train import train_run
from fer_cli.study import Choice, load_study
from tests.conftest import STUDY
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]


def settings(**more: object) -> LearningConfig:
    return LearningConfig.model_validate({"method": "scn", "relabel_margin": 0.0, "relabel_from": 0.0} | more)


def test_labels_are_those_of_the_averaged_network_on_the_images_as_they_are(
    compute: Compute, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, epochs = FerModule.relabel_clean, []

    def checked(module: FerModule) -> None:
        """Relabel, and compare with one forward pass of all images by the averaged network."""
        data = module.trainer.datamodule  # type: ignore[attr-defined]
        network, mode, state = module.judged, module.judged.training, torch.get_rng_state()
        assert network is not module.model
        network.eval()
        with torch.no_grad():
            logits, alpha, _ = network(module.pixels(data.train.images[:]))
        network.train(mode)
        before = module.label_current.clone()
        wanted = relabel(logits, alpha, before, module.config.learning)
        original(module)
        assert torch.equal(module.label_current, wanted)
        assert not torch.equal(wanted, before)
        assert torch.equal(torch.get_rng_state(), state) and network.training == mode
        epochs.append(module.current_epoch + 1)

    monkeypatch.setattr(FerModule, "relabel_clean", checked)
    config = tiny(learning=settings(), train=TrainConfig(epochs=3, batch_size=32, weight_average=0.5))
    (tmp_path / "run").mkdir()
    result = train_run(config, compute, folder_at(tmp_path / "run"))
    assert epochs == [1, 2]  # what follows the last epoch is never trained on
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["relabel/count"].iloc[2] == 0 and (history["relabel/count"].iloc[:2] > 0).all()
    assert result.relabelled is not None and result.relabelled.count == history["relabel/count"].sum()


@pytest.mark.parametrize(("wanted", "began"), [(0.01, True), (0.99, False)])
def test_a_validation_accuracy_may_have_to_be_reached_first(
    compute: Compute, tiny: Tiny, tmp_path: Path, wanted: float, began: bool
) -> None:
    (tmp_path / "run").mkdir()
    result = train_run(tiny(learning=settings(relabel_accuracy=wanted)), compute, folder_at(tmp_path / "run"))
    assert (result.health["relabel/count"] == 0.0, result.relabelled is not None) == (True, True)
    assert (result.relabelled.count > 0) == began  # type: ignore[union-attr]


def test_weighting_alone_replaces_no_label() -> None:
    alone = settings(relabel=False, relabel_margin=0.2, relabel_from=0.5)
    assert (alone.parts.relabels, alone.parts.attention, alone.uses_rank) == (False, True, True)
    assert alone.idle() == {}
    assert LearningConfig(method="cs", relabel=False).idle() == {"relabel": "method cs does not relabel"}
    assert set(settings(relabel=False).idle()) == {"relabel_margin", "relabel_from"}


def test_older_settings_are_read_and_keep_their_ids() -> None:
    """A run of an earlier version says ``relabel_start``; ids as then (see test_study for those of defaults)."""
    old = {"learning": {"method": "scn", "relabel_start": 30}, "train": {"epochs": 40}}
    now = RunConfig.model_validate(old)
    assert (now.learning.relabel_view, now.learning.relabel_from) == ("train", 29 / 40)
    assert now.learning.first_relabel_epoch(40) == 30
    near = RunConfig.model_validate(
        {"learning": {"method": "scn", "relabel_view": "train", "relabel_from": 0.725}, "train": {"epochs": 40}}
    )
    assert near.run_id("x") == now.run_id("x") == "e869db0595a1"
    seventh = RunConfig.model_validate({"learning": {"method": "scn", "relabel_start": None}, "train": {"epochs": 70}})
    assert seventh.learning.first_relabel_epoch(70) == 10
    ours = RunConfig(learning=LearningConfig(method="scn"), train=TrainConfig(epochs=70))
    assert ours.run_id("x") != seventh.run_id("x")
    plain = RunConfig.model_validate({"learning": {"method": "ce", "relabel_start": None}})
    assert plain == RunConfig() and plain.run_id("x") == RunConfig().run_id("x")
    assert RunConfig.model_validate_json(now.model_dump_json()) == now
    assert read_older("no settings") == "no settings"


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": None},
        {"train": []},
        {"learning": {"relabel_start": 1, "method": ["scn"]}},
        {"learning": {"relabel_start": -(10**400), "method": "scn"}},
    ],
    ids=["no training", "a list", "two methods", "before the first epoch"],
)
def test_older_settings_of_a_wrong_type_are_invalid_and_no_more(wrong: dict[str, object]) -> None:
    old = {"learning": {"relabel_start": 10**400, "method": "scn"}, "train": {"epochs": 40}}
    assert RunConfig.model_validate(old).learning.relabel_from == 1
    with pytest.raises(ValidationError):
        RunConfig.model_validate(old | wrong)


def test_gates_that_begin_at_one_keep_the_ids_of_older_runs() -> None:
    old = RunConfig.model_validate({"learning": {"relabel_start": None}, "model": {"attention": "cbam"}})
    assert old.model.gate_start == "one"
    one = RunConfig.model_validate({"model": {"attention": "cbam", "gate_start": "one"}})
    zero = RunConfig.model_validate({"model": {"attention": "cbam"}})
    assert one.run_id("x") == old.run_id("x") == "4214d70c3dc4"
    assert zero.run_id("x") != one.run_id("x")
    with pytest.raises(ValidationError, match=r"model\.gate_start has no effect: attention is se"):
        RunConfig.model_validate({"model": {"attention": "se", "gate_start": "one"}})


def test_a_study_with_the_former_setting_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("{learning.method: scn-cs}", "{learning.method: scn-cs, learning.relabel_start: 2}"))
    with pytest.raises(StudyError, match=r"learning.relabel_start was replaced by learning.relabel_from") as error:
        expand(load_study(str(path)), Choice())
    assert "\n" not in str(error.value)
