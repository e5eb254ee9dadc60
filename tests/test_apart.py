"""A network is not tested on images it has learned from, whatever the data sets are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_cli.checks import shared_images
from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig
from fer_cli.data.apart import check_apart
from fer_cli.data.build import Choices, build_own
from fer_cli.data.combine import combine_sets
from fer_cli.data.manifest import load_info
from fer_cli.errors import DataError
from tests.conftest import Called


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with sets ``a``; ``again``, its files in another folder and size; ``b``, one of 200 images from ``a``."""
    base = tmp_path_factory.mktemp("apart")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for number in range(200):
            place = base / name / ("happy" if number % 2 else "sad")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (24, 24), np.uint8)).save(place / f"{name}{number:03d}.png")
    (base / "b/sad/b000.png").write_bytes((base / "a/sad/a000.png").read_bytes())
    for name, source, size in (("a", "a", 24), ("again", "a", 16), ("b", "b", 24)):
        build_own(
            name,
            base / source,
            "folder",
            r"[ab]\d*(?P<subject>\d)\.",
            base / "data",
            choices=Choices(preparation={"size": size}),
        )
    combine_sets("mix", ["a", "b"], "basic-7", base / "data", 24, {})
    return base / "data"


def check(root: Path, used: str, tested: str) -> str:
    """Check a set to pre-train on against the tested one."""
    return check_apart(load_info(root, used), load_info(root, tested), "model.pretrain", root)


def test_sets_apart_are_accepted_and_a_few_duplicates_told(root: Path) -> None:
    assert check(root, "b", "a") == "model.pretrain: 1 of 200 images of a are also in b"


@pytest.mark.parametrize(
    ("used", "tested", "words"),
    [
        ("again", "a", "model.pretrain: 200 of 200 images of a are also in again, so test images would be learned from"),
        ("mix", "a", "model.pretrain: mix and a hold the same data"),
        ("b", "mix", "model.pretrain: b and mix hold the same data"),
    ],
)
def test_the_same_data_by_another_name_is_refused(root: Path, used: str, tested: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check(root, used, tested)


def test_runs_are_checked_for_both_ways_of_learning_from_another_set(root: Path, tmp_path: Path) -> None:
    compute = Compute(data_root=root, results=tmp_path)
    assert shared_images([RunConfig(data=DataConfig(name="a"))], compute) == []
    with pytest.raises(DataError, match=r"^data\.test: again and a|^data\.test: 200 of 200 images of again are also in a"):
        shared_images([RunConfig(data=DataConfig(name="a", test="again"))], compute)
    with pytest.raises(DataError, match=r"^model\.pretrain: 200 of 200"):
        shared_images([RunConfig(data=DataConfig(name="a"), model=ModelConfig(pretrain="again"))], compute)
    pretrained = RunConfig(data=DataConfig(name="a"), model=ModelConfig(pretrain="b"))
    assert shared_images([pretrained, pretrained], compute) == ["model.pretrain: 1 of 200 images of a are also in b"]


def test_a_study_that_would_leak_stops_before_its_first_run(fer: Callable[..., Called], root: Path, tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(
        "name: s\nquestion: q?\nbase: {data: {name: a, image_size: 24, split: random}, model: {backbone: resnet10-small}}\n"
        "seeds: [0, 1, 2]\narms: {scratch: {}, started: {model.pretrain: again}}\nreport: {against: scratch}\n"
    )
    called = fer("ablate", "--study", study, "--data-root", root, "--results", tmp_path / "r", "--no-track")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert "images of a are also in again, so test images would be learned from" in called.err
    assert not list((tmp_path / "r").rglob("result.json"))
