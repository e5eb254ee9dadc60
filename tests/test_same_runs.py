"""Nothing is trained or tested twice under two names: arms, levels, comparisons, claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fer_cli.config import RunConfig
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.study import Choice, load_study

CLAIM: dict[str, Any] = {"text": "t", "arm": "A", "over": "B", "source": "ours", "ours": True}


def study(tmp_path: Path, **parts: Any) -> Path:
    """Write a study of arms B, A, C with the given parts."""
    arms = {"B": {}, "A": {"train.lr": 0.02}, "C": {"train.lr": 0.03}}
    content = {"name": "s", "question": "q?", "arms": arms, "report": {"against": "B"}, "seeds": [0, 1, 2]}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(content | parts, sort_keys=False))
    return path


def load(tmp_path: Path, **parts: Any) -> None:
    """Load and expand such a study."""
    expand(load_study(str(study(tmp_path, **parts))), Choice())


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"report": {"against": "B", "pairs": [["A", "C"], ["C", "A"]]}},
            "A and C are the same arm, or are already compared",
        ),
        ({"report": {"against": "B", "pairs": [["A", "B"]]}}, "A and B are the same arm, or are already compared"),
        ({"report": {"against": "B", "metrics": ["accuracy", "accuracy"]}}, "'accuracy' is given twice"),
        ({"report": {"against": "B", "bounds": ["A", "A"]}}, "'A' is given twice"),
        ({"claims": [CLAIM, CLAIM | {"arm": "B", "over": "A"}]}, "claims.1: the reverse of claims.0, and so the same test"),
        (
            {"levels": {"x": {"a": {"data.label_noise": 0.1}, "b": {"data.label_noise": 0.1}}}},
            "x a and x b give the same runs",
        ),
        ({"levels": {"x": {"a": {}, "b": {"data.label_noise": 0.0}}}}, "x a and x b give the same runs"),
        (
            {"base": {"features": {"blocks": ["hog"]}}, "arms": {"B": {}, "A": {"data.image_size": 32}}},
            "arm 'A' changes nothing: it is the same run as arm 'B', since no network is trained",
        ),
        (
            {"base": {"features": {"blocks": ["hog", "sift"]}}, "grid": {"train.lr": [1e-3, 2e-3]}, "arms": {"B": {}}},
            "train.lr 0.001 and train.lr 0.002 give the same runs",
        ),
    ],
)
def test_what_is_the_same_is_refused_in_one_line(parts: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        load(tmp_path, **parts)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_differs_is_accepted(tmp_path: Path) -> None:
    load(tmp_path, report={"against": "B", "pairs": [["A", "C"]], "metrics": ["accuracy", "macro_f1"]})
    load(tmp_path, claims=[CLAIM, CLAIM | {"arm": "C"}, CLAIM | {"arm": "B", "over": "A", "metric": "macro_f1"}])
    load(tmp_path, base={"features": {"blocks": ["cnn", "hog"]}})
    mixed = {"B": {"features.blocks": ["hog"]}, "A": {"features.blocks": ["cnn"]}}
    load(tmp_path, arms=mixed, grid={"train.lr": [1e-3, 2e-3]})


def test_the_network_counts_wherever_one_is_trained() -> None:
    hog = RunConfig.model_validate({"features": {"blocks": ["hog"]}, "train": {"lr": 0.5}, "data": {"image_size": 32}})
    assert hog.effective == RunConfig.model_validate({"features": {"blocks": ["hog"]}})
    assert hog.effective.run_id("x") != hog.run_id("x")
    flipped = hog.model_copy(update={"augment": hog.augment.model_copy(update={"flip": 0.0})})
    assert flipped != hog and flipped.effective == hog.effective
    for blocks, classifier in ((["cnn", "hog"], "logistic"), ([], "logistic"), (["hog"], "network")):
        features = {"blocks": blocks, **({"classifier": classifier} if blocks else {})}
        config = RunConfig.model_validate(
            {"features": features, "model": {"backbone": "resnet10-small"}, "train": {"lr": 0.5}}
        )
        assert config.effective == config


def test_a_mapping_may_be_an_arms_setting(tmp_path: Path) -> None:
    base = {"sequences": {"simulation": "emotions", "decode": "filter", "incentive": True}}
    arms = {"B": {}, "A": {"sequences.efficacy": {"praise": {"happy": 0.5}}}}
    runs = expand(load_study(str(study(tmp_path, base=base, arms=arms))), Choice())
    assert {run.arm: dict(run.differs) for run in runs} == {"B": {}, "A": {"sequences.efficacy.praise.happy": 0.5}}
    turned = {"B": arms["A"], "A": {}}
    runs = expand(load_study(str(study(tmp_path, base=base, arms=turned))), Choice())
    assert {run.arm: dict(run.differs) for run in runs} == {"B": {}, "A": {"sequences.efficacy.praise.happy": None}}


def test_an_upper_bound_may_be_paired_with_the_baseline(tmp_path: Path) -> None:
    """Upper bounds are compared with nothing unless a pair asks for it."""
    load(tmp_path, report={"against": "B", "bounds": ["C"], "pairs": [["C", "B"]]})
