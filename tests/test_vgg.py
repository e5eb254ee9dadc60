"""VGG networks in torchvision's layout, and deep features of finished runs: which images, which numbers, no leak."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fer_cli.ablate import Item, Plan, make_plan, run_plan
from fer_cli.analysis import deep as judged
from fer_cli.analysis.deep import check_unseen, deep_features, finished, trained_on
from fer_cli.analysis.reopen import Reopened, pooled_features, reopen
from fer_cli.config import Machine
from fer_cli.data.manifest import load_info, load_set
from fer_cli.errors import DataError, ResultsError, StudyError
from fer_cli.learning import deep
from fer_cli.learning.deep import features_of
from fer_cli.models.comparators import COMPARATORS
from fer_cli.models.counts import multiply_adds, parameters
from fer_cli.models.scn import Recogniser
from fer_cli.models.vgg import VGG, vgg16, vgg_small
from fer_cli.models.weights import load_weights_file
from fer_cli.study import Choice

TORCHVISION = {
    "features.0.weight": (64, 3, 3, 3),
    "features.0.bias": (64,),
    "features.2.weight": (64, 64, 3, 3),
    "features.2.bias": (64,),
    "features.5.weight": (128, 64, 3, 3),
    "features.5.bias": (128,),
    "features.7.weight": (128, 128, 3, 3),
    "features.7.bias": (128,),
    "features.10.weight": (256, 128, 3, 3),
    "features.10.bias": (256,),
    "features.12.weight": (256, 256, 3, 3),
    "features.12.bias": (256,),
    "features.14.weight": (256, 256, 3, 3),
    "features.14.bias": (256,),
    "features.17.weight": (512, 256, 3, 3),
    "features.17.bias": (512,),
    "features.19.weight": (512, 512, 3, 3),
    "features.19.bias": (512,),
    "features.21.weight": (512, 512, 3, 3),
    "features.21.bias": (512,),
    "features.24.weight": (512, 512, 3, 3),
    "features.24.bias": (512,),
    "features.26.weight": (512, 512, 3, 3),
    "features.26.bias": (512,),
    "features.28.weight": (512, 512, 3, 3),
    "features.28.bias": (512,),
    "classifier.0.weight": (4096, 25088),
    "classifier.0.bias": (4096,),
    "classifier.3.weight": (4096, 4096),
    "classifier.3.bias": (4096,),
    "classifier.6.weight": (1000, 4096),
    "classifier.6.bias": (1000,),
}
"""Names and shapes of ``torchvision.models.vgg16(num_classes=1000).state_dict()``, in its order, written by hand."""


def on_meta(make: Any, *settings: int) -> Any:
    with torch.device("meta"):
        return make(*settings).eval()


def narrow(classes: int = 5, channels: int = 1, seed: int = 0) -> VGG:
    """Return VGG-16 with all its layers but few channels."""
    torch.manual_seed(seed)
    return VGG(classes, channels, ((4, 2), (6, 2), (8, 3), (8, 3), (8, 3)), hidden=16).eval()


# VGG-16


def test_vgg16_has_torchvisions_names_and_shapes_in_its_order() -> None:
    net = on_meta(vgg16, 1000)
    assert [(name, tuple(value.shape)) for name, value in net.state_dict().items()] == list(TORCHVISION.items())
    assert [name for name, _ in net.named_parameters()] == list(TORCHVISION)


def test_vgg16_has_the_published_sizes() -> None:
    net = on_meta(vgg16, 1000)
    assert parameters(net) == 138_357_544
    assert parameters(on_meta(vgg16, 6)) == 134_285_126
    assert multiply_adds(net, (3, 224, 224)) == 15_470_264_320
    assert [type(layer).__name__ for layer in net.classifier] == [*["Linear", "ReLU", "Dropout"] * 2, "Linear"]
    assert [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("channels", "side"), [(3, 224), (1, 64), (1, 32)])
def test_vgg16_gives_4096_numbers_an_image(channels: int, side: int) -> None:
    net = on_meta(vgg16, 6, channels, side)
    images = torch.empty(2, channels, side, side, device="meta")
    assert net.features.maps(images).shape == (2, 512, side // 32, side // 32)
    assert net.features(images).shape == (2, net.feature_size) == (2, 4096)
    assert net(images).shape == (2, 6)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(StudyError, match="vgg16 needs 32 pixels"):
        vgg16(6, 3, 31)


def test_features_are_fc7_after_relu() -> None:
    net, images = narrow(), torch.rand(3, 1, 40, 40)
    with torch.no_grad():
        maps = images
        for layer in net.features:
            maps = layer(maps)
        flat = F.adaptive_avg_pool2d(maps, 7).flatten(1)
        fc6 = F.relu(F.linear(flat, net.classifier[0].weight, net.classifier[0].bias))
        fc7 = F.relu(F.linear(fc6, net.classifier[3].weight, net.classifier[3].bias))
        assert torch.allclose(net.features(images), fc7, atol=1e-6)
        assert torch.allclose(net(images), net.classifier[6](fc7), atol=1e-6)
        assert torch.equal(net.features[:5](images), net.features[4](net.features[:4](images)))  # a slice is its layers
    assert (fc7 >= 0).all()
    assert net.fc is net.classifier[6]


def test_first_weights_are_drawn_as_torchvision_draws_them() -> None:
    state = narrow().state_dict()
    assert float(state["classifier.0.weight"].std()) == pytest.approx(0.01, rel=0.05)
    assert float(state["features.28.weight"].std()) == pytest.approx((2 / (8 * 9)) ** 0.5, rel=0.1)
    assert not any(value.any() for name, value in state.items() if name.endswith("bias"))


def test_in_evaluation_it_repeats_exactly_and_looks_at_each_image_alone() -> None:
    net, images = narrow(), torch.rand(5, 1, 48, 48)
    with torch.no_grad():
        first = net.features(images)
        assert torch.equal(first, net.features(images))
        assert torch.allclose(first[2:3], net.features(images[2:3]), atol=1e-6)
        assert not torch.equal(net.train().features(images), net.features(images))  # dropout is of training alone


def test_copies_and_averages_have_layers_of_their_own() -> None:
    net, images = narrow(), torch.rand(2, 1, 32, 32)
    shadow, averaged = copy.deepcopy(net), AveragedModel(net).module
    for other in (shadow, averaged):
        assert other.features.later == (other.avgpool, other.classifier)
        assert torch.equal(other(images), net(images))
    with torch.no_grad():
        net.classifier[0].weight.zero_()
    assert not torch.equal(shadow(images), net(images))


def test_a_recogniser_trains_every_weight_of_it() -> None:
    model = Recogniser(narrow(), attention=True).train()
    scores = model(torch.rand(8, 1, 40, 40))
    assert scores.features is not None
    assert scores.alpha is not None
    (F.cross_entropy(scores.logits, torch.arange(8) % 5) + scores.alpha.mean()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert sum(name.endswith("classifier.6.weight") for name in model.state_dict()) == 1


def test_a_file_of_weights_loads_in_colour_and_in_grey(tmp_path: Path) -> None:
    source, images = narrow(channels=3, seed=1), torch.rand(2, 1, 40, 40)
    torch.save(source.state_dict(), tmp_path / "vgg.pth")
    for channels in (3, 1):
        net = narrow(channels=channels, seed=2)
        assert load_weights_file(tmp_path / "vgg.pth", net).loaded == 32
        assert torch.allclose(
            net.features(images.expand(-1, channels, -1, -1)), source.features(images.expand(-1, 3, -1, -1))
        )


# the small network


def test_vgg_small_has_the_stated_size() -> None:
    net = on_meta(vgg_small, 7)
    assert parameters(net) == 321_703
    assert "321,703" in str(vgg_small.__doc__)
    assert sum(isinstance(layer, nn.Conv2d) for layer in net.modules()) == 6
    assert multiply_adds(net, (1, 48, 48)) == 48**2 * 288 + 48**2 * 9216 + 24**2 * 55_296 + 12**2 * 221_184 + 32_768 + 1_792


@pytest.mark.parametrize(("channels", "side"), [(1, 48), (3, 64), (1, 112), (1, 50)])
def test_vgg_small_gives_256_numbers_an_image(channels: int, side: int) -> None:
    net = vgg_small(6, channels, side).eval()
    images = torch.rand(3, channels, side, side)
    with torch.no_grad():
        first = net.features(images)
        assert first.shape == (3, net.feature_size) == (3, 256)
        assert torch.equal(first, net.features(images))
        assert torch.allclose(first[1:2], net.features(images[1:2]), atol=1e-6)
        assert torch.equal(net(images), net.fc(first))


def test_vgg_small_learns_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    net, images, labels = vgg_small(4), torch.rand(16, 1, 24, 24), torch.arange(16) % 4
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    assert all(p.grad is not None for p in net.parameters())
    assert (net.eval()(images).argmax(1) == labels).float().mean() == 1


# features of finished runs

STUDY = """
name: deep
question: What does the classifier get?
base:
  data: {name: ck48, image_size: 32, folds: 3, val_fraction: 0.25}
  train: {epochs: 1, batch_size: 32, weight_average: 0.5}
seeds: [0]
arms:
  plain: {}
  leaky: {data.leak: test}
report: {against: plain}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Machine:
    results = tmp_path_factory.mktemp("deep") / "results"
    return Machine(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)


@pytest.fixture(scope="module")
def plan(here: Machine) -> Plan:
    path = here.results.parent / "deep.yaml"
    path.write_text(STUDY)
    plan = make_plan(str(path), Choice(), here)
    assert run_plan(plan, here).ok
    return plan


@pytest.fixture
def plain(plan: Plan) -> Item:
    return next(item for item in plan.items if item.run.arm == "plain")


@pytest.fixture
def images(here: Machine) -> np.ndarray:
    return load_set(here.data_root, "ck48").images


@pytest.fixture
def parts(plain: Item, here: Machine) -> dict[str, list[str]]:
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
    plain: Item, here: Machine, images: np.ndarray, parts: dict[str, list[str]]
) -> None:
    run = reopen(plain, here)
    order = {sample: row for row, sample in enumerate(load_set(here.data_root, "ck48").manifest["sample"])}
    chosen = images[[order[sample] for sample in parts["test"]]]
    assert chosen.shape[1:] == (48, 48)  # of another side than the run's 32
    found = deep_features(plain, here, chosen, unseen=parts["test"])
    assert found.shape == (len(run.data.test), 128)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pooled_features(run, run.data.test), atol=1e-5)
    np.testing.assert_array_equal(found, deep_features(plain, here, chosen))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_how_many_images_come_together_changes_no_value(
    precision: str, plain: Item, here: Machine, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = reopen(plain, here.model_copy(update={"precision": precision}))
    whole = features_of(run, images)  # 168: two whole batches of 64 and a part of one
    for rows in (slice(0, 1), slice(5, 70), slice(100, 168)):
        np.testing.assert_allclose(features_of(run, images[rows]), whole[rows], atol=1e-6, rtol=0)
    assert features_of(run, images[:0]).shape == (0, 128)
    if precision == "fp32":
        monkeypatch.setattr(deep, "MOST_IMAGES", 7)
        np.testing.assert_allclose(features_of(run, images[:20]), whole[:20], atol=1e-6, rtol=0)


def test_batches_fit_the_side() -> None:
    assert [deep.batch_size(side) for side in (24, 48, 112, 224, 2000)] == [64, 64, 64, 20, 1]


def test_reduced_precision_keeps_the_direction(plain: Item, here: Machine, images: np.ndarray) -> None:
    exact = deep_features(plain, here, images)
    reduced = deep_features(plain, here.model_copy(update={"precision": "bf16"}), images)
    assert reduced.dtype == np.float32
    assert not np.array_equal(exact, reduced)
    assert cosine(exact, reduced).min() >= 0.999


NETWORKS = {"vgg16 narrow": lambda: narrow(7), "vgg-small": lambda: vgg_small(7)}
NETWORKS |= {name: lambda name=name: COMPARATORS[name](7, 1, 32) for name in ("deepface", "openface", "capsule-emotion")}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_any_network_will_do(name: str, plain: Item, here: Machine, images: np.ndarray) -> None:
    torch.manual_seed(0)
    backbone, found = NETWORKS[name](), {}
    for precision in ("fp32", "bf16"):
        run = reopen(plain, here.model_copy(update={"precision": precision}))
        with_backbone(run, copy.deepcopy(backbone))
        found[precision] = features_of(run, images[:70])
        np.testing.assert_allclose(features_of(run, images[66:70]), found[precision][66:], atol=1e-6)
    assert found["fp32"].shape == (70, backbone.feature_size)
    assert cosine(found["fp32"], found["bf16"]).min() >= 0.999


def test_colour_goes_through_the_networks_own_conversion(plain: Item, here: Machine, images: np.ndarray) -> None:
    run = reopen(plain, here)
    colour = np.repeat(images[:4, ..., None], 3, axis=3)
    np.testing.assert_allclose(features_of(run, colour), features_of(run, images[:4]), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 48, 40), "uint8"), ((48, 48), "uint8"), ((2, 48, 48, 4), "uint8"), ((2, 48, 48), "float32")]
)
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: str, plain: Item, here: Machine) -> None:
    with pytest.raises(DataError, match="uint8 are needed, not"):
        deep_features(plain, here, np.zeros(shape, dtype))


# no leak


def test_training_parts_are_told(plan: Plan, here: Machine, parts: dict[str, list[str]]) -> None:
    plain, leaky = plan.items
    assert trained_on(plain, here) == parts["train"]
    assert sorted(trained_on(leaky, here)) == sorted([*parts["train"], *parts["test"]])


def test_what_was_trained_on_is_refused_as_test(plan: Plan, here: Machine, images: np.ndarray) -> None:
    plain, leaky = plan.items
    parts = judged.parts_of(plain, here)
    check_unseen(plain, here, parts["test"])
    wanted = [*parts["test"], *parts["train"][:3]]
    told = f"3 of {len(wanted)} test samples were in its training part and 0 in its validation part"
    with pytest.raises(DataError, match=told):
        deep_features(plain, here, images[:2], unseen=wanted)
    with pytest.raises(DataError, match="0 of 2 test samples were in its training part and 2 in its validation part"):
        check_unseen(plain, here, parts["val"][:2])
    count = len(parts["test"])
    with pytest.raises(DataError, match=f"{count} of {count} test samples were in its training part"):
        check_unseen(leaky, here, parts["test"])


@pytest.mark.parametrize(
    ("name", "made_of", "common"),
    [("ck48", [], None), ("other", [], None), ("synth-basic", [], "synth-basic"), ("mixed", ["x", "ck48"], "ck48")],
)
def test_sets_behind_the_weights_are_refused_as_test(
    name: str, made_of: list[str], common: str | None, plain: Item, here: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is on ck48 and, as it is told here, pre-trained on synth-basic."""
    config = plain.run.config
    config = config.model_copy(update={"model": config.model.model_copy(update={"pretrain": "synth-basic"})})
    item = replace(plain, run=replace(plain.run, config=config))
    info = load_info(here.data_root, "ck48")
    known = {"ck48": info, "synth-basic": info.model_copy(update={"name": "synth-basic"})}
    monkeypatch.setattr(judged, "load_info", lambda _, name: known[name])
    tested = info.model_copy(update={"name": name, "parts": dict.fromkeys(made_of, "0" * 16)})
    if common is None:
        judged.check_sets(item, here, tested)
        return
    with pytest.raises(DataError, match=f"{common} stands behind its weights, and {name} is tested here"):
        judged.check_sets(item, here, tested)


def test_a_set_built_anew_or_another_split_is_no_proof(plain: Item, here: Machine, tmp_path: Path) -> None:
    shutil.copytree(here.data_root / "ck48", tmp_path / "data" / "ck48")
    info = tmp_path / "data" / "ck48" / "set.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fingerprint": "0123456789abcdef"}))
    with pytest.raises(DataError, match="which is 0123456789abcdef now"):
        trained_on(plain, here.model_copy(update={"data_root": tmp_path / "data"}))
    changed = plain.run.config.data.model_copy(update={"split_seed": 5})
    config = plain.run.config.model_copy(update={"data": changed})
    with pytest.raises(DataError, match="its settings give"):
        trained_on(replace(plain, run=replace(plain.run, config=config)), here)


# by id


def test_a_finished_run_is_found_by_its_id(plain: Item, here: Machine, images: np.ndarray) -> None:
    item = finished(plain.run_id, here)
    assert item.run.config == plain.run.config
    assert item.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(deep_features(item, here, images[:3]), deep_features(plain, here, images[:3]))


def test_runs_that_cannot_be_used_are_one_line(plain: Item, here: Machine, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no finished run"):
        finished("0123456789ab", here)
    there = here.model_copy(update={"results": tmp_path})
    shutil.copytree(plain.folder.path, tmp_path / "runs" / "0123456789ab")
    with pytest.raises(ResultsError, match="of an earlier version"):
        finished("0123456789ab", there)
    (tmp_path / "runs" / "0123456789ab" / "config.json").write_text("{")
    with pytest.raises(ResultsError, match="not written by this version"):
        finished("0123456789ab", there)
