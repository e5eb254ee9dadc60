"""Residual networks: torchvision's layout, the articles' parameter counts, down-sampling, and weights that begin alike."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.config import ATTENTION
from fer_cli.errors import StudyError
from fer_cli.models.counts import count_multiply_adds
from fer_cli.models.downsample import DOWNSAMPLE, PooledConv, mean_pool
from fer_cli.models.gates import watch_gates
from fer_cli.models.resnet import BasicBlock, Bottleneck, ResNet, resnet18, resnet18_small, resnet50, resnet50_small
from fer_cli.models.vgg import vgg_small
from tests.overfit import LEARNED, loss_after

Network = Callable[..., ResNet]
SMALL: dict[str, Network] = {"18": resnet18_small, "50": resnet50_small}
QUICK = ("none", "soft-threshold")
"""Attention whose networks always learn a batch; those with the others are slow."""
ARMS = [(depth, attention, "none") for depth in SMALL for attention in ATTENTION]
ARMS += [(depth, "none", down) for depth in SMALL for down in DOWNSAMPLE if (depth, down) != ("18", "v1")]
ARMS += [("50", "cbam", "both")]


def size(network: Network, *settings: Any, **options: Any) -> int:
    with torch.device("meta"):
        return sum(weights.numel() for weights in network(*settings, **options).parameters())


def seeded(network: Network, *settings: Any, **options: Any) -> ResNet:
    torch.manual_seed(0)
    return network(*settings, **options)


# first weights

PROBE = "df1f2643101fd18998697a13646d2397d4810f69f30336576c8e5b87043472de"
"""SHA-256 of 4,096 normal draws of seed 7. Vector units of other processors round the last bit of a draw otherwise."""

BEFORE = [
    (
        resnet18,
        (7, 3),
        "81aa7b16662df17e4ced523c7e5f6b930515d64caec07283eb6f009c6c69ea5f",
        10193804.296011878,
        "750c3c1d506f8d5241021948643a55f255aeaafadd1c43cdff4bfbe718661c08",
    ),
    (
        resnet18,
        (7, 1),
        "783870d95054b1491943c906b5e2ccdd30bf42c2787f0b3b6f9a80b50720f415",
        10193697.238460263,
        "7e2e9e46c5fb1a7b664702cfad92c61f4df7167ae5f9812e1bea8282dc1d2f5c",
    ),
    (
        resnet18_small,
        (7, 1),
        "3012ee4f5292d857d4b5eb1cea584ea59ab3f09f036838a14ffb88a24d440405",
        1299591.670361206,
        "40b422ea28bd39b69d1069c729ceecdca3a4233c5ed3e342ec9da0eb36f094a3",
    ),
    (
        resnet18_small,
        (6, 3),
        "3662c3a33f0d1b2980125e1bbd9d68d810e1dc722f033034b0a7aa2af3d9b581",
        1299414.2365121625,
        "033e066a4fca66a305fdb71e4a391ac010dfdfd7199627bd78915d4155b04f23",
    ),
]
"""Network, its settings, and, of seed 0: SHA-256 of names and weights, their sum, SHA-256 of the generator afterwards.

Recorded from the code before attention and down-sampling became options, so that trained runs keep their first weights.
"""


def sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize(
    ("network", "settings", "weights", "total", "generator"), BEFORE, ids=lambda one: getattr(one, "__name__", None)
)
def test_plain_networks_begin_as_before(
    network: Network, settings: tuple[int, int], weights: str, total: float, generator: str
) -> None:
    torch.manual_seed(7)
    same_bits = sha256(torch.randn(4096).numpy().tobytes()) == PROBE
    net = seeded(network, *settings)
    assert sha256(torch.get_rng_state().numpy().tobytes()) == generator  # as many draws
    sums = [float(values.detach().double().abs().sum()) for values in net.parameters()]
    assert sum(place * each for place, each in enumerate(sums, 1)) == pytest.approx(total, rel=1e-7)  # in the same order
    if same_bits:
        assert (
            sha256(*(part for name, value in net.state_dict().items() for part in (name.encode(), bytes_of(value))))
            == weights
        )


def bytes_of(value: Tensor) -> bytes:
    return value.numpy().tobytes()


@pytest.mark.parametrize(("depth", "attention", "downsample"), ARMS)
def test_arms_of_one_seed_begin_with_the_same_weights(depth: str, attention: str, downsample: str) -> None:
    plain = seeded(SMALL[depth], 7).state_dict()
    arm = seeded(SMALL[depth], 7, attention=attention, downsample=downsample).state_dict()
    assert all(torch.equal(arm[name], value) for name, value in plain.items())
    assert all(".attention." in name for name in arm if name not in plain)


# layout


def torchvision_names(depths: tuple[int, ...], convolutions: int, expansion: int) -> list[str]:
    """Return the names of torchvision's state dict, written down from its documentation rather than from our code."""
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    names = ["conv1.weight", *(f"bn1.{one}" for one in norm)]
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            place = f"layer{stage}.{block}"
            for index in range(1, convolutions + 1):
                names += [f"{place}.conv{index}.weight", *(f"{place}.bn{index}.{one}" for one in norm)]
            if block == 0 and (stage > 1 or expansion > 1):
                names += [f"{place}.downsample.0.weight", *(f"{place}.downsample.1.{one}" for one in norm)]
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize("downsample", list(DOWNSAMPLE))
def test_names_are_torchvisions_in_its_order(downsample: str) -> None:
    with torch.device("meta"):
        if downsample != "v1":
            names = list(resnet18(1000, downsample=downsample).state_dict())
            assert names == torchvision_names((2, 2, 2, 2), 2, 1)
            assert len(names) == 122
        names = list(resnet50(1000, downsample=downsample).state_dict())
    assert names == torchvision_names((3, 4, 6, 3), 3, 4)
    assert len(names) == 320


def test_strides_of_resnet50_are_torchvisions() -> None:
    with torch.device("meta"):
        net = resnet50(1000)
    blocks = [getattr(net, f"layer{index}")[0] for index in (1, 2, 3, 4)]
    assert [block.conv1.stride[0] for block in blocks] == [1, 1, 1, 1]
    assert [block.conv2.stride[0] for block in blocks] == [1, 2, 2, 2]
    assert [block.downsample[0].stride[0] for block in blocks] == [1, 2, 2, 2]
    maps = net.maps(torch.empty(1, 3, 224, 224, device="meta"))
    assert [tuple(one.shape[1:]) for one in maps] == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]


def test_sizes_are_the_published_ones() -> None:
    assert size(resnet18, 1000) == 11_689_512
    assert size(resnet18, 6) == 11_179_590
    assert size(resnet50, 1000) == 25_557_032
    assert size(resnet50, 7) == 23_522_375
    assert size(resnet50, 1000, attention="cbam") == 28_089_624
    assert size(resnet50, 7, attention="cbam", downsample="both") == 26_054_967
    assert size(resnet18_small, 7) == 700_791
    assert size(resnet50_small, 7) == 1_482_359


@pytest.mark.parametrize(
    ("attention", "options", "more"),
    [
        ("none", {}, 0),
        ("se", {}, 87_040),
        ("se", {"bias": True}, 89_080),
        ("soft-threshold", {"reduction": 1}, 1_400_320),
        ("soft-threshold", {}, 351_520),
        ("soft-threshold", {"reduction": 16}, 89_320),
        ("sge", {"groups": 64}, 8 * 2 * 64),
    ],
)
def test_attention_adds_to_resnet18_what_the_articles_imply(attention: str, options: dict[str, Any], more: int) -> None:
    assert size(resnet18, 6, attention=attention, **options) == 11_179_590 + more


def test_multiply_adds_are_the_published_ones() -> None:
    plain, se = resnet18(6), resnet18(6, attention="se")
    assert count_multiply_adds(plain, (3, 224, 224)) == 1_813_564_416
    assert count_multiply_adds(se, (3, 224, 224)) - count_multiply_adds(plain, (3, 224, 224)) == 87_040
    cost = {down: count_multiply_adds(resnet50_small(7, downsample=down), (1, 64, 64)) for down in DOWNSAMPLE}
    assert cost["none"] == cost["shortcut"]
    assert cost["v1"] == cost["both"] < cost["none"] < cost["dilated"]


# every arm


@pytest.mark.parametrize(("depth", "attention", "downsample"), ARMS)
def test_every_arm_trains_everything_and_judges_each_image_alone(depth: str, attention: str, downsample: str) -> None:
    torch.manual_seed(1)
    net = SMALL[depth](5, attention=attention, downsample=downsample)
    x, labels = torch.randn(6, 1, 33, 33), torch.tensor([0, 1, 2, 3, 4, 0])
    F.cross_entropy(net(x), labels).backward()
    for name, weights in net.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.isfinite().all(), name
        assert weights.grad.abs().sum() > 0 or name.endswith("threshold.reduce.bias"), name  # batch norm takes that off
    net.eval()
    with torch.no_grad():
        logits = net(x)
        assert logits.shape == (6, 5)
        assert torch.equal(logits, net(x))
        assert torch.allclose(logits[3:4], net(x[3:4]), atol=1e-4)
        assert torch.allclose(logits, net.fc(net.features(x)))


@pytest.mark.parametrize(
    ("depth", "attention"),
    [
        *(("18", name) if name in QUICK else pytest.param("18", name, marks=pytest.mark.slow) for name in ATTENTION),
        *(pytest.param("50", name, marks=pytest.mark.slow) for name in ("none", "cbam")),
    ],
)
def test_every_block_learns_one_batch_by_heart(depth: str, attention: str) -> None:
    torch.manual_seed(0)
    net = SMALL[depth](4, attention=attention)
    x, labels = torch.randn(32, 1, 12, 12), torch.arange(32) % 4
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(14):
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
    assert (net(x).argmax(1) == labels).float().mean() > 0.95


def test_attention_stands_after_the_last_norm_and_before_the_addition() -> None:
    for net, count in ((resnet18_small(7, attention="se").eval(), 8), (resnet50_small(7, attention="se").eval(), 16)):
        blocks = [module for module in net.modules() if isinstance(module, BasicBlock | Bottleneck)]
        assert len(blocks) == count
        for block in blocks:
            last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
            assert block.attention.gate.expand.out_features == last.num_features
    block, x = blocks[1], torch.randn(2, 64, 6, 6)
    inner = F.relu(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x))))))
    wanted = F.relu(x + block.attention(block.bn3(block.conv3(inner))))
    assert torch.allclose(block(x), wanted, atol=1e-6)


def test_unknown_settings_of_a_block_are_refused() -> None:
    with pytest.raises(TypeError, match="reduction"):
        resnet18_small(7, reduction=4)
    with pytest.raises(StudyError, match="groups: 5"):
        resnet18_small(7, attention="sge", groups=5)


def test_gates_of_a_network_have_the_size_of_its_maps() -> None:
    net = resnet50_small(7, attention="cbam", downsample="both").eval()
    x = torch.randn(2, 1, 48, 48)
    with torch.no_grad(), watch_gates(net) as seen:
        maps = net.maps(x)
    assert len(seen) == 32
    for index, one in enumerate(maps, 1):
        assert seen[f"layer{index}.0.attention.spatial"].shape == (2, 1, *one.shape[2:])
        assert seen[f"layer{index}.0.attention.channel"].shape == (2, one.shape[1], 1, 1)


# down-sampling


def test_means_keep_what_a_stride_drops() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    pooled, strided = PooledConv(1, 1), nn.Conv2d(1, 1, 1, 2, bias=False)
    for conv in (pooled, strided):
        conv.weight.data.fill_(1.0)
    assert pooled(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert strided(x).flatten().tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize(
    ("downsample", "main", "shortcut"), [("none", 1.0, 0.25), ("v1", 0.25, 0.25), ("both", 1.0, 1.0), ("shortcut", 1.0, 1.0)]
)
def test_share_of_positions_that_each_path_reads(downsample: str, main: float, shortcut: float) -> None:
    torch.manual_seed(0)
    block = Bottleneck(8, 4, DOWNSAMPLE[downsample].halving).eval()
    assert block.downsample is not None
    for path, share in ((nn.Sequential(block.conv1, block.conv2), main), (block.downsample, shortcut)):
        x = torch.randn(1, 8, 8, 8, requires_grad=True)
        path(block.enter(x)).square().sum().backward()
        assert x.grad is not None
        assert float((x.grad != 0).any(1).float().mean()) == share


@pytest.mark.parametrize("side", [1, 2, 5, 7, 8, 25])
def test_both_paths_agree_on_maps_of_any_side(side: int) -> None:
    x = torch.ones(1, 8, side, side)
    assert torch.equal(mean_pool()(x), torch.ones(1, 8, -(-side // 2), -(-side // 2)))
    for downsample in DOWNSAMPLE.values():
        out = Bottleneck(8, 4, downsample.halving).eval()(x)
        assert out.shape == (1, 16, -(-side // 2), -(-side // 2))


@pytest.mark.parametrize("downsample", list(DOWNSAMPLE))
@pytest.mark.parametrize("side", [48, 100, 224])
def test_images_of_many_sizes_run(downsample: str, side: int) -> None:
    net = ResNet(7, 3, Bottleneck, (4, 8, 8, 8), (1, 1, 1, 2), downsample=downsample).eval()
    with torch.no_grad():
        maps = net.maps(torch.randn(1, 3, side, side))
        assert net(torch.randn(1, 3, side, side)).isfinite().all()
    sides = [one.shape[-1] for one in maps]
    assert sides[:3] == [-(-side // 4), -(-side // 8), -(-side // 16)]
    assert sides[3] == (sides[2] if downsample == "dilated" else -(-side // 32))
    assert all(one.isfinite().all() for one in maps)


@pytest.mark.parametrize("depth", list(SMALL))
@pytest.mark.parametrize("side", [32, 40, 56])
def test_dilation_fills_in_what_the_stride_skipped(depth: str, side: int) -> None:
    plain, dilated = (seeded(SMALL[depth], 7, downsample=down).eval() for down in ("none", "dilated"))
    x = torch.randn(2, 1, side, side)
    with torch.no_grad():
        few, all_of_them = plain.maps(x)[3], dilated.maps(x)[3]
    assert all_of_them.shape[-1] == side // (4 if depth == "18" else 8)
    assert torch.allclose(all_of_them[:, :, ::2, ::2], few, atol=1e-4)


def test_down_samplings_are_different_functions() -> None:
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        seen = [seeded(resnet50_small, 7, downsample=down).eval()(x) for down in DOWNSAMPLE]
    for index, one in enumerate(seen):
        assert not any(torch.allclose(one, other, atol=1e-4) for other in seen[:index])


def test_v1_is_of_bottlenecks() -> None:
    with pytest.raises(StudyError, match="v1 requires bottlenecks"):
        resnet18_small(7, downsample="v1")


@pytest.mark.parametrize(
    ("attention", "downsample"),
    [
        (name, down) if (down == "none") == (name in QUICK) else pytest.param(name, down, marks=pytest.mark.slow)
        for name in ATTENTION
        for down in ("none", "both")
    ],
)
def test_one_batch_is_overfitted(attention: Any, downsample: Any) -> None:
    net = seeded(resnet18_small, 4, attention=attention, downsample=downsample)
    assert loss_after(net, 32, lambda images, labels: F.cross_entropy(net(images), labels), 2e-3, 80) < LEARNED


def test_deep_networks_overfit_a_batch_too() -> None:
    for net in (seeded(resnet50_small, 4), seeded(vgg_small, 4, 1, 32)):
        assert loss_after(net, 32, lambda images, labels, net=net: F.cross_entropy(net(images), labels), 1e-3, 120) < LEARNED
