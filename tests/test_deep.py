"""Deep features of finished runs: which images, which numbers, no leak."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_cli.ablate import run_plan
from fer_cli.analysis import deep as judged
from fer_cli.analysis.deep import check_unseen, find_finished_run, parts_of
from fer_cli.analysis.reopen import Reopened, pooled_features, reopen
from fer_cli.config import Compute, ModelConfig
from fer_cli.data.manifest import load_info, load_set
from fer_cli.errors import DataError, ResultsError
from fer_cli.learning import deep
from fer_cli.learning.deep import compute_features
from fer_cli.models.build import build_backbone
from fer_cli.models.vgg import vgg_small
from fer_cli.plan import Item, Plan, make_plan
from fer_cli.study import Choice
from tests.sets import rewrite
from tests.test_vgg import narrow

STUDY = """
name: deep
question: What does the classifier get?
base:
  data: {name: ck48, image_size: 32, folds: 3, val_fraction: 0.25}
  model: {backbone: resnet10-small}
  train: {epochs: 1, batch_size: 32, weight_average: 0.5}
seeds: [0]
arms:
  plain: {}
  leaky: {data.leak: test}
report: {against: plain}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Compute:
    results = tmp_path_factory.mktemp("deep") / "results"
    return Compute(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)


@pytest.fixture(scope="module")
def plan(here: Compute) -> Plan:
    path = here.results.parent / "deep.yaml"
    path.write_text(STUDY)
    plan = make_plan(str(path), Choice(), here)
    assert run_plan(plan, here).ok
    return plan


@pytest.fixture
def plain(plan: Plan) -> Item:
    return next(item for item in plan.items if item.run.arm == "plain")


@pytest.fixture
def images(here: Compute) -> np.ndarray:
    return load_set(here.data_root, "ck48").images.packed


@pytest.fixture
def parts(plain: Item, here: Compute) -> dict[str, list[str]]:
    return {part: list(samples) for part, samples in reopen(plain, here).data.samples.items()}


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def with_backbone(run: Reopened, backbone: nn.Module) -> Reopened:
    """Return the same run with another network in the place of its own, statistics settled on its images."""
    run.network.backbone = backbone  # type: ignore[assignment]
    run.module.train()
    with torch.no_grad():
        run.network(run.module.pixels(run.data.train.images[:32]).contiguous())
    run.module.eval()
    return run


def test_features_are_those_of_the_analyses(
    plain: Item, here: Compute, images: np.ndarray, parts: dict[str, list[str]]
) -> None:
    run = reopen(plain, here)
    order = {sample: row for row, sample in enumerate(load_set(here.data_root, "ck48").manifest["sample"])}
    chosen = images[[order[sample] for sample in parts["test"]]]
    assert chosen.shape[1:] == (48, 48)  # of another side than the run's 32
    found = compute_features(run, chosen)
    assert found.shape == (len(run.data.test), 96)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pooled_features(run, run.data.test), atol=1e-5)
    np.testing.assert_array_equal(found, compute_features(reopen(plain, here), chosen))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_how_many_images_come_together_changes_no_value(
    precision: str, plain: Item, here: Compute, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = reopen(plain, here.model_copy(update={"precision": precision}))
    whole = compute_features(run, images)  # 168: two whole batches of 64 and a part of one
    for rows in (slice(0, 1), slice(5, 70), slice(100, 168)):
        np.testing.assert_allclose(compute_features(run, images[rows]), whole[rows], atol=1e-6, rtol=0)
    assert compute_features(run, images[:0]).shape == (0, 96)
    if precision == "fp32":
        monkeypatch.setattr(deep, "MOST_IMAGES", 7)
        np.testing.assert_allclose(compute_features(run, images[:20]), whole[:20], atol=1e-6, rtol=0)


def test_batches_fit_the_side() -> None:
    assert [deep.batch_size(side) for side in (24, 48, 112, 224, 2000)] == [64, 64, 64, 20, 1]


def test_reduced_precision_keeps_the_direction(plain: Item, here: Compute, images: np.ndarray) -> None:
    exact = compute_features(reopen(plain, here), images)
    reduced = compute_features(reopen(plain, here.model_copy(update={"precision": "bf16"})), images)
    assert reduced.dtype == np.float32
    assert not np.array_equal(exact, reduced)
    assert cosine(exact, reduced).min() >= 0.999


NETWORKS = {"vgg16 narrow": lambda: narrow(7), "vgg-small": lambda: vgg_small(7)}
NETWORKS |= {
    name: lambda name=name: build_backbone(ModelConfig(backbone=name), 7, 32)
    for name in ("deepface", "openface", "capsule-emotion")
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "vgg-small" else name for name in NETWORKS]
)
def test_any_network_will_do(name: str, plain: Item, here: Compute, images: np.ndarray) -> None:
    torch.manual_seed(0)
    backbone, found = NETWORKS[name](), {}
    for precision in ("fp32", "bf16"):
        run = reopen(plain, here.model_copy(update={"precision": precision}))
        with_backbone(run, copy.deepcopy(backbone))
        found[precision] = compute_features(run, images[:70])
        np.testing.assert_allclose(compute_features(run, images[66:70]), found[precision][66:], atol=1e-6)
    assert found["fp32"].shape == (70, backbone.feature_size)
    assert cosine(found["fp32"], found["bf16"]).min() >= 0.999


def test_colour_goes_through_the_networks_own_conversion(plain: Item, here: Compute, images: np.ndarray) -> None:
    run = reopen(plain, here)
    colour = np.repeat(images[:4, ..., None], 3, axis=3)
    np.testing.assert_allclose(compute_features(run, colour), compute_features(run, images[:4]), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 48, 40), "uint8"), ((48, 48), "uint8"), ((2, 48, 48, 4), "uint8"), ((2, 48, 48), "float32")]
)
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: str, plain: Item, here: Compute) -> None:
    with pytest.raises(DataError, match="are needed, not"):
        compute_features(reopen(plain, here), np.zeros(shape, dtype))


# no leak


def test_training_parts_are_told(plan: Plan, here: Compute, parts: dict[str, list[str]]) -> None:
    plain, leaky = plan.items
    assert parts_of(plain, here)["train"] == parts["train"]
    assert sorted(parts_of(leaky, here)["train"]) == sorted([*parts["train"], *parts["test"]])


def test_what_was_trained_on_is_refused_as_test(plan: Plan, here: Compute) -> None:
    plain, leaky = plan.items
    parts = judged.parts_of(plain, here)
    check_unseen(plain, here, parts["test"])
    wanted = [*parts["test"], *parts["train"][:3]]
    told = f"3 of {len(wanted)} test samples are in its training part and 0 in its validation part"
    with pytest.raises(DataError, match=told):
        check_unseen(plain, here, wanted)
    with pytest.raises(DataError, match="0 of 2 test samples are in its training part and 2 in its validation part"):
        check_unseen(plain, here, parts["val"][:2])
    count = len(parts["test"])
    with pytest.raises(DataError, match=f"{count} of {count} test samples are in its training part"):
        check_unseen(leaky, here, parts["test"])


@pytest.mark.parametrize(
    ("name", "made_of", "common"),
    [("ck48", [], None), ("other", [], None), ("synth-basic", [], "synth-basic"), ("mixed", ["x", "ck48"], "ck48")],
)
def test_sets_behind_the_weights_are_refused_as_test(
    name: str, made_of: list[str], common: str | None, plain: Item, here: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is on ck48 and, as it is told here, pre-trained on synth-basic."""
    config = plain.run.config
    config = config.model_copy(update={"model": config.model.model_copy(update={"pretrain": "synth-basic"})})
    item = replace(plain, run=replace(plain.run, config=config))
    info = load_info(here.data_root, "ck48")
    known = {"ck48": info, "synth-basic": info.model_copy(update={"name": "synth-basic"})}
    monkeypatch.setattr(judged, "load_info", lambda _, name: known[name])
    tested = info.model_copy(update={"name": name, "parts": dict.fromkeys(made_of, "0" * 16), "fingerprint": "1" * 16})
    if common is None:
        judged.check_sets(item, here, tested)
        return
    with pytest.raises(DataError, match=f"{common} was used for its weights, so test images of {name} may have been seen"):
        judged.check_sets(item, here, tested)


def test_a_set_built_anew_or_another_split_is_no_proof(plain: Item, here: Compute, tmp_path: Path) -> None:
    shutil.copytree(here.data_root / "ck48", tmp_path / "data" / "ck48")
    rewrite(tmp_path / "data" / "ck48", fingerprint="0123456789abcdef")
    with pytest.raises(DataError, match="to 0123456789abcdef; train the run again"):
        parts_of(plain, here.model_copy(update={"data_root": tmp_path / "data"}))
    changed = plain.run.config.data.model_copy(update={"split_seed": 5})
    config = plain.run.config.model_copy(update={"data": changed})
    with pytest.raises(DataError, match="its split changed from"):
        parts_of(replace(plain, run=replace(plain.run, config=config)), here)


# by id


def test_a_finished_run_is_found_by_its_id(plain: Item, here: Compute, images: np.ndarray) -> None:
    item = find_finished_run(plain.run_id, here)
    assert item.run.config == plain.run.config
    assert item.fingerprint == plain.fingerprint
    one, other = (compute_features(reopen(found, here), images[:3]) for found in (item, plain))
    np.testing.assert_array_equal(one, other)


def test_runs_that_cannot_be_used_are_one_line(plain: Item, here: Compute, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="not a finished run"):
        find_finished_run("0123456789ab", here)
    there = here.model_copy(update={"results": tmp_path})
    copy = tmp_path / "runs" / "0123456789ab"
    shutil.copytree(plain.folder.path, copy)
    with pytest.raises(ResultsError, match="the result of another run"):
        find_finished_run("0123456789ab", there)
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"run_id": "0123456789ab"}))
    with pytest.raises(ResultsError, match="made by an earlier version"):
        find_finished_run("0123456789ab", there)
    (copy / "config.json").unlink()
    with pytest.raises(ResultsError, match="made by an earlier version"):  # the result holds the settings, too
        find_finished_run("0123456789ab", there)
