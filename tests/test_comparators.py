"""The networks compared with: sizes, the interface of a backbone, and that each one learns."""

import math
import re
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer_cli.config import ModelConfig
from fer_cli.errors import StudyError
from fer_cli.models.build import build_backbone
from fer_cli.models.capsule import CapsuleEmotion, LogOdds, margin_loss, route, squash
from fer_cli.models.comparators import (
    VALENCE,
    VALENCES,
    MiniXception,
    MtlFer,
    encode_valences,
    same_max_pool,
    valence_loss,
)
from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.face_nets import LocallyConnected, OpenFace, PoolBranch
from tests.overfit import LEARNED, loss_after

SIZES = {  # parameters for one channel, seven classes, 48 pixels
    "mini-xception": 56_951,
    "cnn3": 683_751,
    "cnn6": 877_735,
    "capsule-emotion": 313_888,
    "mtl-fer": 1_774_375 - 2 * 32 * 9 + 256 * 3 + 3,
    "vgg-face": 1_022_167,
    "deepface": 1_138_695,
    "openface": 253_071,
}


def comparator(name: str, classes: int, channels: int, image_size: int) -> Any:
    return build_backbone(ModelConfig(backbone=name, channels=channels), classes, image_size)


VALENCES_OF_FOUR = torch.tensor([0, 1, 2, 2])


def total_loss(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the network's own loss, through the backbone interface as a Recogniser uses it."""
    features = net.features(images)  # type: ignore[operator]
    logits = net.fc(features)  # type: ignore[operator]
    if isinstance(net, MtlFer):
        return F.cross_entropy(logits, labels) + valence_loss(net.valence(features), labels, VALENCES_OF_FOUR)
    return F.cross_entropy(logits, labels)


# every comparator


@pytest.mark.parametrize("name", list(SIZES))
def test_size(name: str) -> None:
    with torch.device("meta"):
        net = comparator(name, 7, 1, 48)
    assert count_parameters(net) == SIZES[name]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(1, 1, 48, 48, device="meta"))
    assert count_multiply_adds(net, (1, 48, 48)) == counter.get_total_flops() // 2


@pytest.mark.parametrize("name", list(SIZES))
@pytest.mark.parametrize(("channels", "image_size"), [(3, 48), (1, 50), (1, 64), (1, 112)])
def test_sizes_of_image_and_feature(name: str, channels: int, image_size: int) -> None:
    with torch.device("meta"):
        net = comparator(name, 6, channels, image_size).eval()
        features = net.features(torch.empty(2, channels, image_size, image_size))
    assert features.shape == (2, net.feature_size)
    assert net.fc(features).shape == (2, 6)


@pytest.mark.parametrize("name", list(SIZES))
def test_gradient_and_independence(name: str) -> None:
    torch.manual_seed(0)
    net = comparator(name, 4, 1, 48)
    images = torch.rand(4, 1, 48, 48)
    total_loss(net, images, torch.arange(4)).backward()
    unreached = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not unreached
    net.eval()
    with torch.no_grad():
        logits = net(images)
        assert bool(logits.isfinite().all())
        assert torch.equal(logits, net(images))
        assert torch.equal(logits, net.fc(net.features(images)))
        assert torch.allclose(logits[1:2], net(images[1:2]), atol=1e-5)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in {"mtl-fer", "vgg-face"} else name for name in SIZES]
)
def test_one_batch_is_overfitted(name: str) -> None:
    torch.manual_seed(0)
    net = comparator(name, 4, 1, 48)
    assert loss_after(net, 48, lambda images, labels: total_loss(net, images, labels), 2e-3, 80) < LEARNED


@pytest.mark.parametrize("name", list(SIZES))
def test_the_docstring_says_what_it_re_implements_and_what_differs(name: str) -> None:
    net = comparator(name, 4, 1, 48)
    own, around = str(type(net).__doc__), str(sys.modules[type(net).__module__].__doc__)
    assert re.search(r"re-?\s?implement", f"{own} {around}", re.IGNORECASE)
    assert re.search(r"\b20[12]\d\b", own)


# Mini-Xception


def test_mini_xception_has_the_numbers_keras_counts() -> None:
    net = comparator("mini-xception", 7, 1, 64)
    running = sum(buffer.numel() for name, buffer in net.named_buffers() if "running" in name)
    assert running == 1_472
    assert count_parameters(net) + running == 58_423


def test_mini_xception_ends_like_a_convolution_and_the_mean_of_its_maps() -> None:
    net = MiniXception(7).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        last = net.body(net.stem(images))
        assert last.shape == (2, 128, 4, 4)
        maps = F.conv2d(last, net.fc.weight.reshape(7, 128, 3, 3), net.fc.bias, padding=1)
        assert torch.allclose(net(images), maps.mean((2, 3)), atol=1e-5)


def test_pooling_pads_as_keras_does() -> None:
    even, odd = torch.arange(6.0).reshape(1, 1, 1, 6), torch.arange(5.0).reshape(1, 1, 1, 5)
    assert same_max_pool(even.neg()).flatten().tolist() == [0, -2, -4]
    assert same_max_pool(even).flatten().tolist() == [2, 4, 5]
    assert same_max_pool(odd).flatten().tolist() == [1, 3, 4]
    assert same_max_pool(odd.neg()).flatten().tolist() == [0, -1, -3]


# capsules


def test_squash_keeps_direction_and_stays_below_one() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.03, 0.04], [300.0, 400.0], [0.0, 0.0]])
    squashed = squash(vectors)
    lengths = squashed.norm(dim=1)
    assert bool((lengths < 1).all())
    assert torch.allclose(lengths, torch.tensor([25 / 26, 0.0025 / 1.0025, 250_000 / 250_001, 0]), atol=1e-5)
    assert torch.allclose(squashed[0] / lengths[0], torch.tensor([0.6, 0.8]), atol=1e-5)


def test_squash_of_zero_has_a_finite_gradient() -> None:
    vector = torch.zeros(1, 4, requires_grad=True)
    squash(vector).sum().backward()
    assert vector.grad is not None and bool(vector.grad.isfinite().all())


def test_coupling_coefficients_sum_to_one_and_follow_agreement() -> None:
    torch.manual_seed(0)
    capsules, shares = route(torch.randn(2, 10, 4, 16))
    assert capsules.shape == (2, 4, 16)
    assert torch.allclose(shares.sum(2), torch.ones(2, 10), atol=1e-5)
    assert bool((capsules.norm(dim=2) < 1).all())
    votes = torch.zeros(1, 6, 2, 3)
    votes[0, :, 0, 0] = 2.0  # all agree on class 0
    votes[0, :, 1, 1] = torch.tensor([2.0, -2, 2, -2, 2, -2])  # and cancel out on class 1
    capsules, shares = route(votes)
    assert float(capsules[0, 0].norm()) > 0.9 > 0.1 > float(capsules[0, 1].norm())
    assert bool((shares[0, :, 0] > 0.9).all())


def test_one_iteration_shares_evenly() -> None:
    votes = torch.randn(1, 5, 3, 4)
    capsules, shares = route(votes, iterations=1)
    assert torch.allclose(shares, torch.full((1, 5, 3), 1 / 3))
    assert torch.allclose(capsules, squash(votes.sum(1) / 3), atol=1e-6)


def test_margin_loss_by_hand() -> None:
    lengths = torch.tensor([[0.95, 0.05, 0.3], [0.4, 0.6, 0.1]])
    by_hand = (0.5 * 0.2**2 + (0.9 - 0.4) ** 2 + 0.5 * 0.5**2) / 2
    assert float(margin_loss(lengths, torch.tensor([0, 0])).mean()) == pytest.approx(by_hand, abs=1e-6)
    assert float(margin_loss(torch.tensor([[0.95, 0.02]]), torch.tensor([0])).mean()) == 0


def test_logits_are_log_odds_of_capsule_lengths() -> None:
    flat = torch.zeros(1, 32)
    flat[0, 0], flat[0, 20] = 0.8, -0.25
    logits = LogOdds()(flat)
    assert torch.allclose(logits, torch.tensor([[math.log(4), math.log(1 / 3)]]), atol=1e-4)
    assert torch.allclose(logits.sigmoid(), torch.tensor([[0.8, 0.25]]), atol=1e-5)


def test_capsules_learn_by_their_own_loss_and_survive_half_precision() -> None:
    torch.manual_seed(0)
    net = CapsuleEmotion(4, 1, 48)
    images, labels = torch.rand(16, 1, 48, 48), torch.arange(16) % 4
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(80):
        loss = margin_loss(net(images).sigmoid(), labels).mean()
        if loss.item() < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features, logits = net.features(images), net(images)
    assert features.dtype == logits.dtype == torch.float32
    assert torch.equal(logits.argmax(1), labels)


# local connections


def test_locally_connected_with_equal_kernels_is_a_convolution() -> None:
    local = LocallyConnected(3, 5, 3, size=9, stride=2)
    kernel, bias = torch.randn(5, 3, 3, 3), torch.randn(5)
    with torch.no_grad():
        local.weight.copy_(kernel.flatten(1).expand(16, 5, 27))
        local.bias.copy_(bias.repeat_interleave(16))
    x = torch.randn(2, 3, 9, 9)
    assert torch.allclose(local(x), F.conv2d(x, kernel, bias, stride=2), atol=1e-5)


def test_locally_connected_kernels_belong_to_places() -> None:
    local = LocallyConnected(1, 2, 3, size=5)
    x = torch.randn(1, 1, 5, 5)
    before = local(x)
    with torch.no_grad():
        local.weight[4] += 1  # row 1, column 1 of 3 x 3
    changed = (local(x) != before).any(1)[0]
    assert torch.nonzero(changed).tolist() == [[1, 1]]


# inception


def test_embedding_is_a_unit_vector_times_the_root_of_its_size() -> None:
    torch.manual_seed(0)
    net = OpenFace(4).eval()
    images = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        last = net.body(net.stem(images))
        assert last.shape == (2, 184, 3, 3)
        embedding = net.embedding(last.flatten(2).mean(2))
        features = net.features(images)
    assert torch.allclose(features.norm(dim=1), torch.full((2,), math.sqrt(128)), atol=1e-4)
    assert torch.allclose(features, embedding / embedding.norm(dim=1, keepdim=True) * math.sqrt(128), atol=1e-4)


def test_pooling_branch_takes_the_largest_or_the_root_of_the_mean_square() -> None:
    x = torch.zeros(1, 1, 3, 3)
    x[..., 1, 1] = -6.0
    x[..., 0, 0] = 3.0
    middle = {kind: PoolBranch(1, 0, kind)(x)[0, 0, 1, 1].item() for kind in ("max", "l2")}  # type: ignore[arg-type]
    assert middle == pytest.approx({"max": 3.0, "l2": math.sqrt((36 + 9) / 9)}, abs=1e-5)


# multi-task


def test_valences_cover_every_class_and_refuse_others() -> None:
    assert encode_valences(["happy", "neutral", "sad", "tired"]).tolist() == [2, 1, 0, 0]
    assert set(VALENCE.values()) == set(VALENCES)
    with pytest.raises(StudyError, match="sleepy"):
        encode_valences(["happy", "sleepy"])


def test_valences_know_the_project_s_classes() -> None:
    from fer_cli.data.cards import CANONICAL
    from fer_cli.data.combine import LEARNING

    assert set(CANONICAL) | set(LEARNING) == set(VALENCE)


def test_multi_task_loss_adds_half_of_the_valence() -> None:
    logits, valence = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[0.0, 0, 1]])
    by_hand = math.log(1 + 3 * math.exp(-2)) + 0.5 * math.log(2 + math.e)
    truth = torch.tensor([0])
    both = F.cross_entropy(logits, truth) + valence_loss(valence, truth, VALENCES_OF_FOUR)
    assert float(both) == pytest.approx(by_hand, abs=1e-5)


def test_valence_head_takes_no_part_in_prediction() -> None:
    net = MtlFer(7).eval()
    images = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        before = net(images)
        nn.init.zeros_(net.valence.weight)
        assert torch.equal(net(images), before)
