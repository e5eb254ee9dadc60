"""Uncertain training images: an exact share, from the seed, of training images alone, with labels drawn uniformly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fer_cli.config import AugmentConfig, Compute, DataConfig, LearningConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.data import uncertain
from fer_cli.data.corrupt import corrupt_images
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.data.prepare import Prepared
from fer_cli.data.uncertain import WAYS, degradation, degrade_images, plant_uncertainty
from fer_cli.learning.train import train_run
from tests.conftest import Called, draw_set
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]


def noisy(rate: float = 0.4, **more: object) -> DataConfig:
    settings = {"name": "ck48", "image_size": 24, "folds": 3, "val_fraction": 0.25, "label_noise": rate}
    return DataConfig.model_validate(settings | {"noise_kind": "uncertain"} | more)


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(2, 9), st.floats(0, 0.99), st.integers(0, 1000))
def test_an_exact_share_is_degraded_and_only_its_labels_change(n: int, classes: int, rate: float, seed: int) -> None:
    codes = np.arange(n) % classes
    noise = plant_uncertainty(codes, classes, rate, seed)
    assert noise.degraded.sum() == round(rate * n)
    assert np.array_equal(noise.labels[~noise.degraded], codes[~noise.degraded])
    assert noise.labels.min() >= 0 and noise.labels.max() < classes
    again = plant_uncertainty(codes, classes, rate, seed)
    assert np.array_equal(noise.labels, again.labels) and np.array_equal(noise.ways, again.ways)
    less = plant_uncertainty(codes, classes, rate / 2, seed)
    assert np.array_equal(less.ways[less.degraded], noise.ways[less.degraded])
    assert np.array_equal(less.labels[less.degraded], noise.labels[less.degraded])


def test_labels_and_ways_are_uniform_within_three_standard_errors() -> None:
    """10,000 degraded images of one class: a label has p = 1/7, a way 1/4; one in seven labels stays right."""
    noise = plant_uncertainty(np.full(20_000, 2), 7, 0.5, seed=5)
    for values, kinds in ((noise.labels[noise.degraded], 7), (noise.ways[noise.degraded], len(WAYS))):
        counts = np.bincount(values, minlength=kinds)
        assert counts.sum() == 10_000
        error = np.sqrt(10_000 * (1 / kinds) * (1 - 1 / kinds))
        assert np.abs(counts - 10_000 / kinds).max() < 3 * error
    assert (noise.labels == 2).mean() == pytest.approx(1 - noisy(0.5).wrong_share(7), abs=0.01)
    assert noisy(0.5).wrong_share(7) == pytest.approx(3 / 7)
    assert not np.array_equal(noise.ways, plant_uncertainty(np.full(20_000, 2), 7, 0.5, seed=6).ways)


def test_a_degraded_image_is_that_of_its_one_corruption(data_root: Path) -> None:
    images = torch.from_numpy(load_set(data_root, "ck48").images[np.arange(10)])
    samples = np.array([f"s{place}" for place in range(10)])
    ways = np.array([-1, 0, 1, 2, 3, -1, 0, 1, 2, 3])
    changed = degrade_images(images, samples, ways, seed=4)
    assert torch.equal(changed[ways < 0], images[ways < 0])
    for place, way in enumerate(WAYS):
        chosen = np.flatnonzero(ways == place)
        config = degradation(way, 48, uncertain.derive_seed(4, "uncertain") % 2**31)
        assert config.model_fields_set >= {way}
        assert torch.equal(changed[chosen], corrupt_images(images[chosen], samples[chosen], config))
        assert (changed[chosen] != images[chosen]).flatten(1).any(1).all()
    alone = degrade_images(images[[3]], samples[[3]], ways[[3]], seed=4)
    assert torch.equal(alone[0], changed[3])


def test_strength_follows_the_size_of_the_image() -> None:
    assert degradation("blur", 96, 0).blur == 2 * degradation("blur", 48, 0).blur
    assert degradation("downscale", 96, 0).downscale == degradation("downscale", 48, 0).downscale


def test_training_images_alone_are_degraded_and_once(data_root: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    faces, seen = load_set(data_root, "ck48"), []

    def spy(images: torch.Tensor, samples: np.ndarray, ways: np.ndarray, seed: int) -> torch.Tensor:
        seen.append((samples[ways >= 0].tolist(), seed))
        return degrade_images(images, samples, ways, seed)

    monkeypatch.setattr("fer_cli.data.prepare.degrade_images", spy)
    clean, data = RunData(faces, tiny(seed=3)), RunData(faces, tiny(data=noisy(), seed=3))
    assert data.degraded is not None
    assert data.degraded.sum() == round(0.4 * len(data.train))
    assert len(seen) == 1 and seen[0] == (data.train.samples[data.degraded].tolist(), 3)
    for part in ("val", "test"):
        ours, theirs = getattr(data, part), getattr(clean, part)
        assert torch.equal(ours.images[:], theirs.images[:]) and torch.equal(ours.labels, theirs.labels)
    differs = (data.train.images[:] != clean.train.images[:]).flatten(1).any(1).numpy()
    assert np.array_equal(differs, data.degraded)
    assert np.array_equal(data.train.labels.numpy()[~data.degraded], data.true_labels[~data.degraded])
    data.train.images[:], data.train.images[[0, 1]]
    assert len(seen) == 1
    again = RunData(faces, tiny(data=noisy(), seed=3))
    assert torch.equal(again.train.images[:], data.train.images[:])
    other = RunData(faces, tiny(data=noisy(noise_seed=9), seed=3))
    assert not np.array_equal(other.degraded, data.degraded)


def test_a_part_of_the_training_part_keeps_what_belongs_together(data_root: Path, tiny: Tiny) -> None:
    data = RunData(load_set(data_root, "ck48"), tiny(data=noisy()))
    index = np.array([5, 0, 7])
    few = data.train_on(index)
    assert torch.equal(few.train.images[:], data.train.images[index])
    assert few.train.samples.tolist() == data.train.samples[index].tolist()
    assert np.array_equal(few.true_labels, data.true_labels[index]) and np.array_equal(few.degraded, data.degraded[index])
    pixels = data.train.images[index].float() / 255
    assert (few.mean, few.std) == (pytest.approx(float(pixels.mean())), pytest.approx(float(pixels.std())))
    assert len(data.train) > 3 and few.val is data.val and few.test is data.test


def test_degraded_images_are_kept_in_memory_once(data_root: Path, tiny: Tiny) -> None:
    config = tiny(data=noisy(image_size=48))
    data = RunData(load_set(data_root, "ck48"), config)
    assert isinstance(data.train.images, Prepared)
    assert data.train.images.kept is not None and data.val.images.kept is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data": {"noise_kind": "uncertain"}}, "data.noise_kind has no effect: data.label_noise is 0"),
        (
            {"data": {"noise_kind": "uncertain", "label_noise": 0.2}, "features": {"blocks": ["hog"]}},
            "features.blocks: of the set's own images; cannot be combined with data.noise_kind: uncertain",
        ),
        ({"data": {"noise_kind": "uncertian", "label_noise": 0.2}}, "noise_kind"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RunConfig.model_validate(settings)


def test_the_plan_refuses_a_share_that_degrades_nothing(
    fer: Callable[..., Called], study_file: Path, data_root: Path
) -> None:
    text = study_file.read_text().replace("{data.label_noise: [0.0, 0.3]}", "{data.noise_kind: [symmetric, uncertain]}")
    study_file.write_text(text.replace("columns: data.label_noise", "columns: data.noise_kind"))
    called = fer("ablate", "--study", study_file, "--data-root", data_root, "--plan")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "data.noise_kind has no effect: data.label_noise is 0" in called.err


@pytest.mark.exhaustive
def test_strengths_are_those_that_half_recognised_images_have(tmp_path: Path) -> None:
    """One fold of 3,500 faces, 20 epochs: about two minutes. The folds behind ``STRENGTHS`` are in its docstring."""
    from fer_cli.synthetic.build import build_embedded
    from tests.strengths import accuracies, clean_runs, train

    build_embedded("synth-basic", tmp_path / "data", {"images": 6000, "subjects": 150, "size": 64}, jobs=1)
    compute = Compute(data_root=tmp_path / "data", results=tmp_path / "r", threads=1, device="cpu", precision="fp32")
    (config,) = clean_runs("synth-basic", (0,))
    found = accuracies(config, train(config, compute), compute, steps=0)
    assert found[""][0] > 0.8
    for way in WAYS:
        assert 0.4 < found[way][0] < 0.72, way


@pytest.mark.slow
def test_low_weights_find_degraded_images(tmp_path: Path) -> None:
    """SCN's weighting alone, 40 % of 168 cartoons degraded: the importance weight sees the image."""
    from fer_cli.data.build import build_set

    build_set("ck48", draw_set(tmp_path / "CK+48", 24), tmp_path / "data", allow_incomplete=True)
    (tmp_path / "run").mkdir()
    config = RunConfig(
        data=noisy(image_size=48),
        model=ModelConfig(backbone="resnet10-small"),
        augment=AugmentConfig(rotate=5.0, translate=0.02, scale=0.05, brightness=0.1, contrast=0.1),
        train=TrainConfig(epochs=20, batch_size=32, lr=3e-3),
        learning=LearningConfig(method="scn", relabel=False),
    )
    compute = Compute(
        data_root=tmp_path / "data",
        results=tmp_path / "r",
        device="cpu",
        precision="fp32",
        layout="contiguous",
        threads=1,
    )
    result = train_run(config, compute, folder_at(tmp_path / "run"))
    assert result.health["alpha/auroc_degraded"] >= 0.9
    assert result.health["alpha/auroc_wrong"] > 0.8  # one in seven degraded images keeps its label
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["labels/wrong_share"].nunique() == 1
    assert history["labels/wrong_share"].iloc[0] == pytest.approx(result.data.flipped / result.data.train)
