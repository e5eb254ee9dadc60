"""The multi-scale fused network: each rung costs what its closed form says, does what it says, and learns."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from fer_cli.config import PartsConfig
from fer_cli.models.attention import SGE
from fer_cli.models.bsconv import BSD, subspace_penalty
from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.multiscale import LADDER, MultiScale
from tests.overfit import LEARNED, loss_after

ENDS = ("lightweight", "multiscale")
"""First and last rung of the ladder."""


def replace(parts: PartsConfig, **changes: Any) -> PartsConfig:
    """Return parts with some changed; pydantic's own copy would not look at them."""
    return PartsConfig.model_validate(parts.model_dump() | changes)


COSTS = {
    "lightweight": (1_774_375, 140_601_088),
    "lightweight+gap": (1_184_295, 140_011_264),
    "lightweight+gap+bsconv": (144_359, 19_816_192),
    "lightweight+gap+bsconv-d2": (144_359, 19_816_192),
    "lightweight+gap+bsd": (161_639, 24_792_832),
    "lightweight+gap+bsd+sge": (161_703, 24_792_832),
    "lightweight+gap+bsd+sge+residual": (205_607, 28_331_776),
    "multiscale": (206_951, 28_333_120),
}
NETWORKS = LADDER | {
    "s": replace(LADDER["multiscale"], conv="bsconv-s"),
    "merge": replace(LADDER["multiscale"], merge="concat"),
    "pw3": replace(LADDER["multiscale"], pw_kernel=3),
    "cbam": replace(LADDER["multiscale"], attention="cbam"),
}


def on_meta(parts: PartsConfig, image_size: int = 48) -> MultiScale:
    with torch.device("meta"):
        return MultiScale(7, 3, image_size, parts)


@pytest.mark.parametrize("rung", list(LADDER))
def test_every_rung_costs_its_closed_form(rung: str) -> None:
    net = on_meta(LADDER[rung])
    assert (count_parameters(net), count_multiply_adds(net, (3, 48, 48))) == COSTS[rung]


def test_constructors_are_the_ends_of_the_ladder() -> None:
    assert next(iter(LADDER)) == "lightweight"
    assert LADDER["multiscale"] == PartsConfig()
    assert count_parameters(MultiScale(7)) == COSTS["multiscale"][0]
    assert count_parameters(MultiScale(7, parts=LADDER["lightweight"])) == COSTS["lightweight"][0]


@pytest.mark.parametrize("image_size", [48, 64, 112])
def test_only_the_fc_head_grows_with_the_image(image_size: int) -> None:
    assert count_parameters(on_meta(LADDER["multiscale"], image_size)) == COSTS["multiscale"][0]
    side = image_size // 16
    extra = 256 * 256 * (side**2 - 9)
    assert count_parameters(on_meta(LADDER["lightweight"], image_size)) == COSTS["lightweight"][0] + extra


def test_groups_are_the_arms_of_sge() -> None:
    for groups in (4, 8, 16):
        net = on_meta(replace(LADDER["lightweight+gap+bsd+sge"], groups=groups))
        assert count_parameters(net) == COSTS["lightweight+gap+bsd"][0] + 4 * 2 * groups


@pytest.mark.parametrize("name", list(NETWORKS))
def test_shape_gradient_and_independence(name: str) -> None:
    torch.manual_seed(0)
    net = MultiScale(5, 1, 32, NETWORKS[name])
    x = torch.rand(4, 1, 32, 32)
    features = net.features(x)
    assert features.shape == (4, net.feature_size)
    logits = net(x)
    assert logits.shape == (4, 5)
    assert bool(logits.isfinite().all())
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    unreached = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not unreached
    net.eval()
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        assert torch.equal(net(x), net.fc(net.features(x)))
        assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-5)


def test_the_same_seed_gives_the_same_network() -> None:
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(MultiScale(4, 1))
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(nets[0](x), nets[1](x))


def test_cross_layer_features_are_the_means_of_stages_two_to_four() -> None:
    net = MultiScale(7, 1).eval()
    x = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        maps = net.maps(x)
        features = net.features(x)
    assert [tuple(each.shape[1:]) for each in maps] == [(32, 24, 24), (64, 12, 12), (128, 6, 6), (256, 3, 3)]
    assert features.shape == (2, 448)
    assert torch.allclose(features[:, :64], maps[1].mean((2, 3)))
    assert torch.allclose(features[:, 64:192], maps[2].mean((2, 3)))
    assert torch.allclose(features[:, 192:], maps[3].mean((2, 3)))


def test_shortcut_carries_the_input_where_the_branch_is_silent() -> None:
    net = MultiScale(7, 1).eval()
    stage = net.stages[0]
    nn.init.zeros_(stage.bn2.weight)
    x = torch.rand(2, 32, 8, 8)
    with torch.no_grad():
        assert torch.equal(stage(x), F.max_pool2d(x, 2))
        plain = MultiScale(7, 1, 48, LADDER["lightweight+gap+bsd+sge"]).eval().stages[0]
        nn.init.zeros_(plain.bn2.weight)
        assert not plain(x).any()


def test_attention_stands_between_last_norm_and_addition() -> None:
    torch.manual_seed(0)
    with_block = MultiScale(7, 1, 48, LADDER["multiscale"]).eval()
    last_norm = with_block.stages[0].bn2
    for values in (last_norm.weight, last_norm.bias, last_norm.running_mean, last_norm.running_var):
        nn.init.uniform_(values, 0.5, 1.5)
    without = MultiScale(7, 1, 48, replace(LADDER["multiscale"], attention="none")).eval()
    without.load_state_dict({k: v for k, v in with_block.state_dict().items() if ".attention." not in k})
    block = SGE(32, groups=8)
    stage, bare = with_block.stages[0], without.stages[0]
    x = torch.rand(2, 32, 8, 8)
    with torch.no_grad():
        branch = bare.bn2(bare.conv2(F.relu(bare.bn1(bare.conv1(x)))))
        assert torch.allclose(stage(x), F.max_pool2d(F.relu(block(branch) + x), 2), atol=1e-5)
        assert not torch.allclose(stage(x), bare(x), atol=1e-3)


def test_dilation_changes_values_but_not_size() -> None:
    one, two = (MultiScale(7, 1, 48, LADDER[f"lightweight+gap+bsconv{d}"]).eval() for d in ("", "-d2"))
    two.load_state_dict(one.state_dict())
    x = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        assert not torch.allclose(one(x), two(x), atol=1e-4)


def test_subspace_form_has_a_penalty_and_the_default_has_none() -> None:
    assert subspace_penalty(MultiScale(7, 1)).item() == 0
    penalty = subspace_penalty(MultiScale(7, 1, 48, NETWORKS["s"]))
    assert penalty.item() > 0
    assert penalty.requires_grad


def test_every_convolution_but_stem_and_shortcuts_is_blueprint_separable() -> None:
    net = MultiScale(7)
    dense = [name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d) and layer.groups == 1]
    assert sum(isinstance(layer, BSD) for layer in net.modules()) == 8
    assert [name for name in dense if "pointwise" not in name] == ["stem", *(f"stages.{i}.shortcut.0" for i in (1, 2, 3))]


@pytest.mark.parametrize(
    "wrong",
    [
        {"conv": "dense"},
        {"conv": "dense", "rates": [1], "pw_kernel": 3},
        {"rates": [2], "merge": "concat"},
        {"head": "fc"},
        {"attention": "none", "groups": 4},
    ],
    ids=["dense-rates", "dense-pw", "merge-one", "fc-concat", "groups-none"],
)
def test_parts_without_effect_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        replace(PartsConfig(), **wrong)


@pytest.mark.parametrize(
    "rung",
    [
        *("lightweight", pytest.param("multiscale", marks=pytest.mark.slow)),
        *(pytest.param(rung, marks=pytest.mark.exhaustive) for rung in LADDER if rung not in ENDS),
    ],
)
def test_one_batch_is_overfitted(rung: str) -> None:
    torch.manual_seed(0)
    net = MultiScale(4, 1, 48, LADDER[rung])
    assert loss_after(net, 48, lambda images, labels: F.cross_entropy(net(images), labels), 1e-3, 60) < LEARNED
