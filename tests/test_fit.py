"""Classifiers on fused features as runs of a study: what they need first, what they are fitted on, how they are told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from fer_cli.ablate import run_plan
from fer_cli.config import (
    CLASSIFIERS,
    EXTRACTOR_VERSIONS,
    EXTRACTORS,
    Compute,
    CorruptConfig,
    DataConfig,
    FeaturesConfig,
    LearningConfig,
    RunConfig,
    load,
)
from fer_cli.config.features import SiftSettings
from fer_cli.inventory.again import choose_compute
from fer_cli.learning import fit
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.stats import paired_difference, signed_rank
from fer_cli.study import Choice
from tests.conftest import Called
from tests.fakes import folder_at

STUDY = """
name: fused
question: Are three better than one?
base:
  data: {name: ck48, image_size: 24, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 1, batch_size: 32}
seeds: [0, 1]
arms:
  CNN: {features.blocks: [cnn]}
  HOG: {features.blocks: [hog]}
  all: {features.blocks: [cnn, hog, sift]}
grid: {data.split: [subject, holdout]}
report: {columns: data.split, metrics: [accuracy], against: CNN}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Compute:
    results = tmp_path_factory.mktemp("fused") / "results"
    return Compute(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)


@pytest.fixture(scope="module")
def plan(here: Compute, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The study, done."""
    path = here.results.parent / "fused.yaml"
    path.write_text(STUDY)
    plan = make_plan(str(path), Choice(), here)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert run_plan(plan, here).counts == {"done": 16}
    return plan


def test_one_network_per_split_serves_all_arms_that_need_one(plan: Plan) -> None:
    assert len(plan.items) == 12
    assert len(plan.first) == 4
    for item in plan.items:
        result = item.folder.result()
        needs = "cnn" in item.run.config.features.blocks
        assert (item.start is not None) == needs
        assert result.pretrained_by == (item.start.run_id if item.start is not None else None)
        if item.start is not None:
            network = item.start.folder.result()
            assert network.data.split_hash == result.data.split_hash
            assert network.config.features.blocks == []
    dims = {item.run.arm: (item.folder.result().features or {})["dims"] for item in plan.items}
    assert dims == {"CNN": {"cnn": 128}, "HOG": {"hog": 1764}, "all": {"cnn": 128, "hog": 1764, "sift": 128}}


def test_the_layout_that_computed_features_of_a_network_is_recorded(plan: Plan, here: Compute) -> None:
    results = [item.folder.result() for item in plan.items]
    recorded = {result.run_id: (result.features or {}).get("layout") for result in results}
    for result in results:
        layout = recorded[result.run_id]
        assert layout is None or "cnn" in result.config.features.blocks
        assert layout is None or result.machine.channels_last == layout.endswith("channels-last")
        again = choose_compute(result, here.data_root, here.results)[0].layout
        if layout is None and "cnn" in result.config.features.blocks:  # read from the cache
            assert again == "auto"
        else:
            assert again == ("channels-last" if result.machine.channels_last else "contiguous")
    assert len([layout for layout in recorded.values() if layout is not None]) == len(plan.first)


def test_faces_of_new_people_are_recognised(plan: Plan) -> None:
    scores = [item.folder.result().metrics["test"]["accuracy"] for item in plan.items if item.run.arm == "HOG"]
    assert min(scores) > 0.9  # the drawn faces are easy
    predictions = pd.read_parquet(plan.items[0].folder.file("predictions.parquet"))
    classes = plan.items[0].folder.result().data.classes
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (np.array(classes)[probabilities.argmax(1)] == predictions["predicted"]).all()


@pytest.mark.parametrize(
    "classifier",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "forest" else name
        for name, known in CLASSIFIERS.items()
        if known.code
    ],
)
def test_only_training_rows_reach_the_classifier(
    classifier: str, plan: Plan, here: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    config = next(item.run.config for item in plan.items if item.run.arm == "HOG")
    config = config.model_copy(update={"features": FeaturesConfig(blocks=["hog"], classifier=classifier)})
    given: list[np.ndarray] = []
    made = fit.new_classifier

    def watched(config: RunConfig) -> Any:
        classifier = made(config)
        fitting = classifier.fit
        monkeypatch.setattr(classifier, "fit", lambda x, y: given.append(x) or fitting(x, y))
        return classifier

    monkeypatch.setattr(fit, "new_classifier", watched)
    one, other = (fit.fit_run(config, here, folder_at(folder)) for folder in (tmp_path, tmp_path))
    assert one.metrics == other.metrics
    assert one.metrics["test"]["accuracy"] > 0.8
    known = CLASSIFIERS[classifier]
    options = made(config).get_params()
    assert {name: options[name] for name in known.options} == known.options
    assert all(f"{value:g}" in known.words for name, value in known.options.items() if name in {"C", "n_estimators"})
    assert given[0].shape == (one.data.train, 1764)
    assert given[0].max(0)[given[0].max(0) > 0].min() == pytest.approx(1)  # scaled by these rows


def test_the_table_tells_classifier_leak_seeds_and_rank_test(plan: Plan, here: Compute, fer: Callable[..., Called]) -> None:
    path = here.results.parent / "fused.yaml"
    called = fer("report", "--study", path, "--results", here.results, "--data-root", here.data_root)
    assert called.code == 0, called.err
    assert "classifier: multinomial logistic regression (C = 1) on features, scaling min-max" in called.out
    assert "which extracts features cnn, trained on the training part of each split" in called.out
    assert "|  | split subject | split holdout |" in called.out
    assert "‡ leaky split: 100 % of test subjects were trained on" in called.out
    assert "| HOG | 100.00 ± 0.00 | 100.00 ± 0.00 ‡ |" in called.out
    assert "- not tested (HOG, split holdout): HOG is leaky" in called.out
    by_seed = next(
        table for table in make_report(str(path), here).report.shown("html") if "by seed, split holdout" in table.title
    )
    assert "seed 1" in [*by_seed.columns, *(label for label, _ in by_seed.rows)]
    assert any("HOG: training parts of different seeds overlap" in note for note in by_seed.notes)


def test_a_run_whose_features_cannot_be_computed_fails_alone(here: Compute, tmp_path: Path) -> None:
    """The faces have too few key points for 5,000 words; HOG needs none."""
    path = tmp_path / "few.yaml"
    text = STUDY.replace("name: fused", "name: few").replace("[0, 1]", "[0]").replace("against: CNN", "against: HOG")
    text = text.replace("CNN: {features.blocks: [cnn]}", "SIFT: {features.blocks: [sift], features.sift.words: 5000}")
    path.write_text(text.replace("  all: {features.blocks: [cnn, hog, sift]}\n", ""))
    plan = make_plan(str(path), Choice(), replace_results(here, tmp_path))
    summary = run_plan(plan, replace_results(here, tmp_path))
    assert summary.counts == {"done": 2, "failed": 2}
    failed = [item for item in plan.items if item.folder.status == "failed"]
    assert {item.run.arm for item in failed} == {"SIFT"}
    assert "training images, for 5000 words" in failed[0].folder.file("error.txt").read_text()


def replace_results(compute: Compute, folder: Path) -> Compute:
    """Return the machine with its results under ``folder``."""
    return compute.model_copy(update={"results": folder / "results"})


def test_a_faces_column_gives_scores_of_detected_faces_too(
    plan: Plan, here: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    config = next(item.run.config for item in plan.items if item.run.arm == "HOG")
    load = fit.load_data

    def half(config: RunConfig, compute: Compute) -> Any:
        data, fingerprint = load(config, compute)
        data.test_faces = {sample: place % 2 == 0 for place, sample in enumerate(data.samples["test"])}
        return data, fingerprint

    monkeypatch.setattr(fit, "load_data", half)
    metrics = fit.fit_run(config, here, folder_at(tmp_path)).metrics
    assert metrics["test, face detected"].n == -(-metrics["test"].n // 2)


def test_settings_of_extractors_reach_a_run(
    plan: Plan, here: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    plain = next(item.run.config for item in plan.items if item.run.arm == "HOG")
    features = FeaturesConfig.model_validate({"blocks": ["sift", "hog"], "hog": {"norm": "max"}, "sift": {"dense": True}})
    assert features.blocks == ["hog", "sift"]
    config = plain.model_copy(update={"features": features})
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    assert config.run_id("x") != plain.model_copy(update={"features": FeaturesConfig(blocks=["hog", "sift"])}).run_id("x")
    result = fit.fit_run(config, here, folder_at(tmp_path))
    assert result.features is not None
    assert result.features["dims"] == {"hog": 1764, "sift": 2048}
    told = result.features["provenance"]
    assert told["extractors"]["hog"]["norm"] == "max"
    assert {"scikit-image", "opencv-contrib-python"} <= told["libraries"].keys()


def test_versions_of_extractors_are_part_of_a_runs_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: load(code).version for name, code in EXTRACTORS.items() if load(code).version != 1} == EXTRACTOR_VERSIONS
    hog, sift = (RunConfig(features=FeaturesConfig(blocks=[name])) for name in ("hog", "sift"))
    before = hog.run_id("x"), sift.run_id("x"), RunConfig().run_id("x")
    monkeypatch.setattr("fer_cli.config.EXTRACTOR_VERSIONS", EXTRACTOR_VERSIONS | {"hog": 3})
    assert hog.run_id("x") != before[0]
    assert (sift.run_id("x"), RunConfig().run_id("x")) == before[1:]


def test_a_second_command_does_nothing(plan: Plan, here: Compute) -> None:
    assert run_plan(plan, here).counts == {"skipped": 16}
    lost = replace(plan, items=plan.items[:1])
    assert lost.everything[0].run_id == plan.first[0].run_id


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"corrupt": CorruptConfig(noise=0.1)}, "cannot be combined with corrupt"),
        ({"learning": LearningConfig(method="scn")}, "ignores learning"),
        ({"data": DataConfig(name="synth-basic", test="ck48")}, "cannot be combined with corrupt"),
        ({"features": FeaturesConfig(blocks=["hog", "hog"])}, "duplicates are not allowed"),
        (
            {"features": FeaturesConfig(blocks=["hog"], sift=SiftSettings(words=64))},
            "features.sift has no effect: sift is not",
        ),
        ({"features": FeaturesConfig(classifier="forest")}, "features.classifier has no effect: features.blocks is empty"),
    ],
)
def test_settings_that_do_not_go_with_features_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RunConfig(**({"features": FeaturesConfig(blocks=["hog"])} | settings))


def test_the_papers_ten_splits_give_its_means_and_a_rank_test() -> None:
    """Sun 2024, Table 3: the harness on the printed columns."""
    columns = {
        "CNN": [76.78, 79.01, 81.98, 77.87, 75.64, 78.13, 79.46, 71.87, 77.78, 78.67],
        "HOG": [74.87, 69.76, 77.39, 81.09, 74.89, 72.08, 68.09, 72.65, 59.97, 69.28],
        "SIFT": [65.09, 64.89, 65.07, 62.01, 60.34, 67.80, 62.89, 60.26, 62.01, 60.87],
        "fusion": [86.05, 82.08, 82.86, 85.23, 80.02, 79.98, 81.98, 77.78, 80.67, 82.29],
    }
    means = {name: round(float(np.mean(values)), 2) for name, values in columns.items()}
    assert means == {"CNN": 77.72, "HOG": 72.01, "SIFT": 63.12, "fusion": 81.89}
    found = signed_rank(columns["fusion"], columns["CNN"])
    assert found is not None
    assert found == (0.0, pytest.approx(0.001953, abs=1e-6))
    assert paired_difference(columns["fusion"], columns["CNN"]).mean == pytest.approx(4.175)
    assert signed_rank([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 8]) is None
