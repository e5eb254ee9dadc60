"""VGG networks: torchvision's names, shapes and sizes; fc7 as features; the small one learns."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.scn import Recogniser
from fer_cli.models.vgg import VGG, vgg16, vgg_small
from fer_cli.models.weights import load_weights_file

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
    assert count_parameters(net) == 138_357_544
    assert count_parameters(on_meta(vgg16, 6)) == 134_285_126
    assert count_multiply_adds(net, (3, 224, 224)) == 15_470_264_320
    assert [type(layer).__name__ for layer in net.classifier] == [*["Linear", "ReLU", "Dropout"] * 2, "Linear"]
    assert [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("channels", "side"), [(3, 224), (1, 64), (1, 32)])
def test_vgg16_gives_4096_numbers_an_image(channels: int, side: int) -> None:
    net = on_meta(vgg16, 6, channels, side)
    images = torch.empty(2, channels, side, side, device="meta")
    assert net.features.maps(images).shape == (2, 512, side // 32, side // 32)
    assert net.features(images).shape == (2, net.feature_size) == (2, 4096)
    assert net(images).shape == (2, 6)


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
    assert count_parameters(net) == 321_703
    assert "321,703" in str(vgg_small.__doc__)
    assert sum(isinstance(layer, nn.Conv2d) for layer in net.modules()) == 6
    convolutions = 48**2 * 288 + 48**2 * 9216 + 24**2 * 55_296 + 12**2 * 221_184
    assert count_multiply_adds(net, (1, 48, 48)) == convolutions + 32_768 + 1_792


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


@pytest.mark.slow
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
