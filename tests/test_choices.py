"""Choices by measurement are made once per machine; folding and layouts keep a network's values."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from fer_cli.config import BACKBONES, DataConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.learning import choices
from fer_cli.learning.choices import Predictor, choose, choose_layout, fold_batch_norms, measure
from fer_cli.learning.compute import ResolvedCompute
from fer_cli.learning.timing import seconds_per_image
from fer_cli.models.build import build_model
from fer_cli.models.scn import Recogniser

CPU = ResolvedCompute("cpu", bf16=False, channels_last=False, threads=1)
SHAPE = torch.Size((2, 1, 32, 32))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of measurements."""
    monkeypatch.setenv("FER_CACHE", str(tmp_path))
    return tmp_path / "choices"  # type: ignore[return-value]


def network(name: str, size: int = 48) -> tuple[Recogniser, ModelConfig]:
    """Return a network whose batch norms are not those of its start."""
    config = ModelConfig(backbone=name)
    torch.manual_seed(0)
    made = build_model(config, 7, attention=False, image_size=size).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr,operator]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
    return made, config


@pytest.mark.parametrize("name", [name for name in BACKBONES if "small" in name or name in {"multiscale", "mini-xception"}])
def test_folded_batch_norms_change_nothing_but_rounding(name: str) -> None:
    made, config = network(name)
    images = torch.rand(3, config.channels, 48, 48)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    folded = fold_batch_norms(made)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images).features, made(images).features, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in one.modules()) for one in (made, folded)]
    if name.startswith("resnet"):
        assert norms[0] > 0 and norms[1] == 0
    else:
        assert norms[1] <= norms[0]


def test_a_predictor_keeps_values_whatever_it_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    made, config = network("resnet10-small")
    images = torch.rand(4, 1, 48, 48)
    with torch.inference_mode():
        expected = made.pooled(images)
    for chosen in ("contiguous", "channels-last", "folded", "folded, channels-last"):
        monkeypatch.setattr(choices, "choose", lambda *_, chosen=chosen: chosen)
        found = Predictor(made, config.model_dump_json(), images.shape, CPU)(images)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["auto", "contiguous", "channels-last"])
def test_a_layout_that_was_asked_for_is_kept(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, config = network("resnet10-small")
    tried: list[list[str]] = []
    monkeypatch.setattr(choices, "choose", lambda *given: tried.append(list(given[-1])) or tried[-1][-1])
    found = Predictor(made, config.model_dump_json(), torch.Size((4, 1, 48, 48)), CPU, layout)
    kept = {"contiguous": ["contiguous", "folded"], "channels-last": ["channels-last", "folded, channels-last"]}
    assert tried == [kept.get(layout, ["contiguous", "channels-last", "folded", "folded, channels-last"])]
    assert found.choice == tried[0][-1]


def test_the_fastest_is_chosen_unless_the_default_is_nearly_as_fast() -> None:
    def after(*seconds: float) -> dict[str, object]:
        return {name: (lambda s=s: s) for name, s in zip("abc", seconds, strict=True)}

    assert choose("x", "one", SHAPE, CPU, after(1.0, 0.5, 0.8)) == "b"  # type: ignore[arg-type]
    assert choose("x", "two", SHAPE, CPU, after(1.0, 0.97, 0.96)) == "a"  # type: ignore[arg-type]


def test_a_measurement_is_made_once_and_made_again_where_it_cannot_be_read(cache: Path) -> None:
    calls: list[str] = []

    def work() -> float:
        calls.append("x")
        return 0.25

    assert measure("x", "n", SHAPE, CPU, {"a": work}) == {"a": 0.25}
    rounds = len(calls)
    assert measure("x", "n", SHAPE, CPU, {"a": work}) == {"a": 0.25} and len(calls) == rounds
    (file,) = cache.glob("*.json")
    assert json.loads(file.read_text())["of"]["kind"] == "x"
    for text in ("", "{", "[]", '{"seconds": {"a": -1}}', '{"seconds": {"a": "x"}}'):
        file.write_text(text)
        assert measure("x", "n", SHAPE, CPU, {"a": work}) == {"a": 0.25}
    assert len(calls) == 6 * rounds
    measure("x", "n", SHAPE, ResolvedCompute("cpu", bf16=False, channels_last=False, threads=2), {"a": work})
    assert len(calls) == 7 * rounds


def test_short_trainings_are_not_measured_and_long_ones_are(cache: Path) -> None:
    made, _ = network("resnet10-small")
    config = RunConfig(
        data=DataConfig(image_size=32), model=ModelConfig(backbone="resnet10-small"), train=TrainConfig(epochs=2)
    )
    assert choose_layout(lambda: made, config, 50, CPU) == CPU and not cache.exists()
    choose_layout(lambda: made, config, 10**5, CPU)
    assert len(list(cache.glob("*.json"))) == 1
    generator = torch.random.get_rng_state()
    trained, judged = seconds_per_image(config, 7, CPU)
    assert 0 < judged < trained < 1
    assert torch.equal(generator, torch.random.get_rng_state()), "a measurement must not move the random numbers of a run"
