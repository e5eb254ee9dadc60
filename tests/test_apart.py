"""A network is not tested on images it has learned from, whatever the data sets are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fer_cli.checks import shared_images
from fer_cli.config import RunConfig
from fer_cli.data.build import Choices, build_own
from fer_cli.data.combine import combine_sets
from fer_cli.data.manifest import FaceSet, load_info, load_set
from fer_cli.errors import DataError
from tests.conftest import Called


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with sets ``a``; ``again``, of its files in another size; ``b``, with one image of ``a``; ``far``."""
    base = tmp_path_factory.mktemp("apart")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "far"):
        for number in range(200):
            place = base / name / (("sad", "happy", "fear", "happy")[number % 4])
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (24, 24), np.uint8)).save(place / f"{name}{number:03d}.png")
    (base / "b/sad/b000.png").write_bytes((base / "a/sad/a000.png").read_bytes())
    for name, source, size in (("a", "a", 24), ("again", "a", 16), ("b", "b", 24), ("far", "far", 24)):
        build_own(
            name,
            base / source,
            "folder",
            r"[a-z]+\d*(?P<subject>\d)\.",
            base / "data",
            choices=Choices(preparation={"size": size}),
        )
    combine_sets("mix", ["a", "b"], "basic-7", base / "data", 24, {})
    return base / "data"


def run(root: Path, name: str, **changes: object) -> tuple[RunConfig, FaceSet, SimpleNamespace]:
    """Return a run on a set, its images and a split in halves, of which the second is tested, or the images ``tested``."""
    model = {"pretrain": changes.pop("pretrain", None)}
    tested = changes.pop("tested", None)
    kept = {key: changes.pop(key) for key in ("trial", "features") if key in changes}
    config = RunConfig.model_validate({"data": {"name": name, **changes}, "model": model, **kept})
    faces = load_set(root, name).of_classes(config.data.classes)
    places = np.arange(len(faces.manifest))
    half = len(places) // 2
    chosen = places[half:] if tested is None else places[faces.manifest["sample"].isin(tested)]
    rest = np.setdiff1d(places, chosen)
    return config, faces, SimpleNamespace(hash=str(changes), train=rest[::2], val=rest[1::2], test=chosen)


def told(root: Path, *runs: tuple[RunConfig, FaceSet, SimpleNamespace]) -> list[str]:
    """Return what is said of runs before they start."""
    names = [name for path in root.iterdir() if (name := path.name)]
    infos = {name: load_info(root, name) for name in names if (root / name / "set.json").is_file()}
    return shared_images(runs, infos, root)  # type: ignore[arg-type]


def test_sets_that_share_nothing_tested_are_accepted(root: Path) -> None:
    assert told(root, run(root, "a"), run(root, "a", test="far"), run(root, "a", pretrain="far")) == []
    unseen = load_set(root, "b").manifest["sample"][50:]
    assert told(root, run(root, "b", pretrain="a", tested=set(unseen) - shared(root))) == []


def shared(root: Path) -> set[str]:
    """The image of ``b`` that is also in ``a``."""
    one, other = (load_set(root, name).manifest for name in ("a", "b"))
    return set(other["sample"][other["sha256"].isin(one["sha256"])])


def test_a_few_duplicates_are_told(root: Path) -> None:
    assert len(shared(root)) == 1
    whole = set(load_set(root, "b").manifest["sample"])
    twice = run(root, "b", pretrain="a", tested=whole)
    assert told(root, twice, twice) == ["model.pretrain: 1 of 200 test images of b are also in a"]


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("a", {"pretrain": "again"}, "model.pretrain: 100 of 100 test images of a are also in again"),
        ("a", {"test": "again"}, "data.test: 100 of 200 test images of again are also in a"),
        ("a", {"pretrain": "mix"}, "model.pretrain: mix and a hold the same data"),
        ("mix", {"pretrain": "b"}, "model.pretrain: b and mix hold the same data"),
        ("a", {"test": "mix"}, "data.test: a and mix hold the same data"),
        ("far", {"test": "a", "pretrain": "again"}, "model.pretrain: 200 of 200 test images of a are also in again"),
        ("a", {"pretrain": "again", "trial": True}, "model.pretrain: 50 of 50 validation images of a are also in again"),
    ],
)
def test_the_same_data_by_another_name_is_refused(root: Path, name: str, how: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        told(root, run(root, name, **how))


def test_a_small_tested_part_may_be_all_shared(root: Path) -> None:
    with pytest.raises(DataError, match="1 of 1 test images of b are also in a, so what a network has seen would be tested"):
        told(root, run(root, "b", pretrain="a", tested=shared(root)))


def test_classes_that_are_left_out_are_neither_tested_nor_learned(root: Path) -> None:
    """The shared image is sad; of three classes two are kept."""
    whole = set(load_set(root, "b").manifest["sample"])
    assert told(root, run(root, "b", pretrain="a", classes=["happy", "fear"], tested=whole)) == []
    assert told(root, run(root, "a", test="b", classes=["happy", "fear"])) == []


def test_a_start_that_no_network_takes_is_no_leak(root: Path) -> None:
    assert told(root, run(root, "a", pretrain="again", features={"blocks": ["hog"]})) == []


def test_a_study_that_would_leak_stops_before_its_first_run(fer: Callable[..., Called], root: Path, tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(
        "name: s\nquestion: q?\nbase: {data: {name: a, image_size: 24, split: random}, model: {backbone: resnet10-small}}\n"
        "seeds: [0, 1, 2]\narms: {scratch: {}, started: {model.pretrain: again}}\nreport: {against: scratch}\n"
    )
    called = fer("ablate", "--study", study, "--data-root", root, "--results", tmp_path / "r", "--no-track")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert "test images of a are also in again, so what a network has seen would be tested" in called.err
    assert not list((tmp_path / "r").rglob("result.json"))
