"""HOG and SIFT beside the image: a residual network that gets both, and a small network on features alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import make_blobs

from fer_cli.config import CLASSIFIERS, Compute, DataConfig, FeaturesConfig, LearningConfig, ModelConfig, RunConfig
from fer_cli.data.datamodule import Batch
from fer_cli.features.hog import Hog
from fer_cli.learning import smoke
from fer_cli.learning.mlp import EPOCHS, HIDDEN, Mlp, perceptron
from fer_cli.learning.reopen import open_run
from fer_cli.learning.train import load_data, new_module, train_run
from fer_cli.models.build import build_model
from fer_cli.runs import RunFolder
from fer_cli.tasks import task_of

Tiny = Callable[..., RunConfig]
JOINED = 1764 + 128
HANDCRAFTED = FeaturesConfig(blocks=["hog", "sift"], classifier="network")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_CACHE", str(tmp_path_factory.getbasetemp() / "joined"))


def joined(tiny: Tiny, **changes: Any) -> RunConfig:
    """Return the smallest run whose network gets HOG and SIFT."""
    return tiny(**changes).model_copy(update={"features": HANDCRAFTED})


@pytest.mark.parametrize("importance", [False, True])
@pytest.mark.parametrize("attention", ["none", "se", "soft-threshold"])
def test_all_but_the_classifier_begins_as_without_features(attention: Any, importance: bool) -> None:
    nets = {}
    for extra in (0, JOINED):
        torch.manual_seed(3)
        nets[extra] = build_model(ModelConfig(attention=attention), 6, importance, joined=extra)
    plain, wide = (net.state_dict() for net in nets.values())
    assert wide["backbone.fc.weight"].shape == (6, 128 + JOINED)
    assert all(torch.equal(plain[name], wide[name]) for name in plain if "backbone.fc" not in name)
    images, features = torch.rand(2, 1, 48, 48), torch.rand(2, JOINED)
    net = nets[JOINED].eval()
    expected = torch.cat([net.pooled(images), features], 1) @ wide["backbone.fc.weight"].T + wide["backbone.fc.bias"]
    torch.testing.assert_close(net(images, features).logits, expected)
    torch.testing.assert_close(net(images, features).features, net.pooled(images))


def test_a_run_counts_uses_and_reopens_what_is_joined(tiny: Tiny, compute: Compute, tmp_path: Path) -> None:
    config = joined(tiny)
    folder = RunFolder(tmp_path, config.run_id("x"))
    folder.path.mkdir(parents=True)
    result = train_run(config, compute, folder)
    data, _ = load_data(config, compute)
    plain, _ = load_data(tiny(), compute)
    assert data.split.hash == plain.split.hash
    assert (data.joined, plain.joined) == (JOINED, 0)
    classes = len(data.classes)
    alone = build_model(config.model, classes, attention=False)
    assert result.cost.parameters == sum(p.numel() for p in alone.parameters()) + JOINED * classes
    features = data.train.joined
    assert features is not None
    assert features.amin() == 0
    assert features.amax() == 1  # scaled by these rows
    folder.write_result(result)
    opened = open_run(config, folder, compute)
    part = opened.data.test
    batch = part[list(range(len(part)))]
    kept = pd.read_parquet(folder.file("predictions.parquet")).query("part == 'test'")
    with torch.inference_mode():
        seen = opened.module.judge(batch).logits.softmax(1).numpy()
        other = opened.module.judge(batch._replace(joined=torch.zeros_like(batch.joined))).logits.softmax(1).numpy()  # type: ignore[arg-type]
    np.testing.assert_allclose(seen, kept[[f"p_{name}" for name in data.classes]], atol=1e-5)
    assert np.abs(other - seen).max() > 1e-3


@pytest.mark.parametrize("classes", [[], ["surprise", "happy", "sad"]])
def test_each_image_gets_its_own_features(classes: list[str], compute: Compute) -> None:
    data_config = DataConfig(name="ck48", image_size=48, folds=3, val_fraction=0.25, classes=classes)
    features = FeaturesConfig(blocks=["hog"], classifier="network", scaling="none")
    data, _ = load_data(RunConfig(data=data_config, features=features), compute)
    for part in (data.train, data.val, data.test):
        np.testing.assert_allclose(part.joined, Hog().transform(part.images[:].numpy()), atol=1e-6)
        assert len(part) > 10


def test_gradient_reaches_the_weights_of_what_is_joined(tiny: Tiny, compute: Compute) -> None:
    config = joined(tiny)
    data, _ = load_data(config, compute)
    module = new_module(config, data)
    batch = data.train[list(range(16))]
    assert isinstance(batch, Batch)
    scores = module.model(module.pixels(batch.images), batch.joined)
    torch.nn.functional.cross_entropy(scores.logits, batch.labels).backward()
    gradient = module.model.get_parameter("backbone.fc.weight").grad
    assert gradient is not None
    varied = (batch.joined.amax(0) > 0).numpy()  # type: ignore[union-attr]
    assert (gradient[:, -JOINED:].abs().amax(0).numpy()[varied] > 0).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"features": FeaturesConfig(blocks=["cnn", "hog"], classifier="network")}, "cnn cannot be joined to a network"),
        ({"features": HANDCRAFTED, "model": ModelConfig(backbone="cnn3")}, "network requires one of the backbones resnet18"),
        ({"features": FeaturesConfig(blocks=["hog"]), "learning": LearningConfig(method="scn")}, "use network or"),
        ({"features": FeaturesConfig(classifier="network")}, "features.blocks is empty"),
    ],
)
def test_what_cannot_be_joined_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RunConfig(**settings)


def test_a_joined_network_takes_learning_settings() -> None:
    config = RunConfig(features=HANDCRAFTED, learning=LearningConfig(center_weight=1.0))
    assert task_of(config).before(config) is None
    assert config.features.joined
    assert not config.features.fitted


@pytest.mark.parametrize("rows", [65, 300])
def test_the_small_network_separates_what_can_be_separated(rows: int) -> None:
    values, labels = make_blobs(rows + 90, 20, centers=3, cluster_std=1.5, random_state=0)
    values, names = values.astype(np.float32), np.array(["angry", "happy", "sad"])[labels]
    fitted = Mlp(1).fit(values[:rows], names[:rows])
    assert (fitted.predict(values[rows:]) == names[rows:]).mean() > 0.95
    probabilities = fitted.predict_proba(values[rows:])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    again = Mlp(1).fit(values[:rows], names[:rows])
    np.testing.assert_array_equal(again.predict_proba(values[rows:]), probabilities)
    assert not np.array_equal(Mlp(2).fit(values[:rows], names[:rows]).predict_proba(values[rows:]), probabilities)


def test_the_small_network_does_not_touch_the_common_random_state() -> None:
    values, labels = make_blobs(70, 5, centers=2, random_state=0)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Mlp(1).fit(values.astype(np.float32), labels)
    assert torch.equal(torch.rand(3), expected)


def test_the_small_network_overfits_and_stands_a_constant_dimension() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 40)).astype(np.float32)
    values[:, 0] = 7
    labels = rng.integers(0, 4, 64)
    fitted = Mlp(0).fit(values, labels)
    assert (fitted.predict(values) == labels).mean() > 0.8  # of random labels, 40 steps
    assert np.isfinite(fitted.predict_proba(values)).all()
    with pytest.raises(ValueError, match="batch norm needs two"):
        Mlp(0).fit(values[:1], labels[:1])


def test_the_small_network_has_one_hidden_layer() -> None:
    assert sum(p.numel() for p in perceptron(JOINED, 6).parameters()) == JOINED * 256 + 2 * 256 + 256 * 6 + 6
    assert EPOCHS == 40
    assert f"({HIDDEN} units), {EPOCHS} epochs" in CLASSIFIERS["mlp"].words  # as tables tell it


@pytest.mark.parametrize(
    ("features", "trained"),
    [
        (FeaturesConfig(blocks=["hog"], classifier="mlp"), 0),
        (FeaturesConfig(blocks=["cnn", "sift"]), 1),
        (HANDCRAFTED, 1),
    ],
)
def test_smoke_tries_what_the_run_would_do(
    features: FeaturesConfig, trained: int, tiny: Tiny, compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[tuple[int, ...]] = []
    trainings: list[str] = []
    made, module = smoke.new_classifier, smoke.new_trainer

    def watched(config: RunConfig) -> Any:
        classifier = made(config)
        fitting = classifier.fit
        monkeypatch.setattr(classifier, "fit", lambda x, y: fitted.append(x.shape) or fitting(x, y))
        return classifier

    monkeypatch.setattr(smoke, "new_classifier", watched)
    monkeypatch.setattr(smoke, "new_trainer", lambda *a, **k: trainings.append("x") or module(*a, **k))
    config = tiny().model_copy(update={"features": features})
    task_of(config).smoke(config, compute, tmp_path)
    assert len(trainings) == trained
    assert len(fitted) == features.fitted
    if fitted:
        assert fitted[0][1] == {"hog": 1764, "cnn": 128 + 96}[features.blocks[0]]
