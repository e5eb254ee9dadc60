"""Run ids: defaults that change, or networks that change under their name, never make an old result pass for a new one."""

import hashlib
from typing import Any

import pytest

from fer_cli.config import SCHEMA, DataConfig, LearningConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.models.build import build_model

DEFAULTS = {3: "0ba07b0b2015"}
"""SCHEMA -> hash of every default setting it began with and of the small network's size."""
NETWORKS_ON_CLIPS = ("regions", "region_attention", "convlstm", "temporal", "region", "cells", "disentangle")
ADDED: dict[str, Any] = {
    "task": True,
    "trial": True,
    "sequences": True,
    "learning": dict.fromkeys(
        (
            "relabel",
            "relabel_view",
            "relabel_from",
            "relabel_accuracy",
            "confident",
            "confident_folds",
            "center_warmup",
        ),
        True,
    ),
    "data": dict.fromkeys(("max_val", "max_test", "frames", "frame_order", "landmarks"), True),
    "model": dict.fromkeys(
        ("source_sha256", "adapt", "importance_layers", "gate_start", "motion", *NETWORKS_ON_CLIPS), True
    ),
}
"""Settings that came later; taken out before the hash above is made. Their defaults leave every older run as it was, or
runs with them name them in their ids (``fer_cli.config.older``)."""
REMOVED = {'"relabel_logits":"weighted",': '"relabel_start":null,'}
"""Defaults before the place where one was, that runs of now do not have -> the default."""
ADDED_DEFAULTS = {3: "135acd2ff4d5"}
"""SCHEMA -> hash of the default settings that came later."""


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def test_a_network_that_changed_under_its_name_has_new_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, deep = RunConfig(), RunConfig(model=ModelConfig(backbone="resnet50-small"))
    before = plain.run_id("x"), deep.run_id("x")
    monkeypatch.setattr("fer_cli.config.REVISIONS", {"resnet50-small": 2})
    assert plain.run_id("x") == before[0]
    assert deep.run_id("x") != before[1]


def test_runs_whose_momentum_had_no_effect_are_new_runs_and_no_others() -> None:
    def identity(**train: object) -> dict[str, object]:
        return RunConfig(train=TrainConfig.model_validate({"weight_decay": 0.0} | train)).identity()

    assert identity(optimizer="sgd")["momentum"] == 2
    assert "momentum" not in identity(optimizer="adam") | identity(optimizer="sgd", schedule="constant")


def test_changed_defaults_raise_the_schema() -> None:
    """A run's identity leaves defaults out: whoever changes one must raise SCHEMA, or old results would pass for new."""
    size = sum(p.numel() for p in build_model(ModelConfig(), 7, attention=False).parameters())
    now = RunConfig().model_dump_json(exclude=ADDED)
    for before, removed in REMOVED.items():
        assert now.count(before) == 1
        now = now.replace(before, before + removed)
    assert digest(f"{now} {size}") == DEFAULTS[SCHEMA]
    assert digest(RunConfig().model_dump_json(include=ADDED)) == ADDED_DEFAULTS[SCHEMA]


def test_identities_of_earlier_versions_stay() -> None:
    runs = [
        RunConfig(),
        RunConfig(data=DataConfig(split="random", label_noise=0.2, noise_seed=3), seed=4),
        RunConfig(learning=LearningConfig(method="scn-cs", relabel_view="train", relabel_from=5 / 40)),
    ]
    assert [run.run_id("abc") for run in runs] == ["a6382a340ec8", "b95b886f2f70", "cd5a98d4e44e"]
