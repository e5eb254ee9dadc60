"""Attention blocks and soft thresholds against values computed by hand (He 2025, Aly 2023, Sun 2024)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fer_cli.config import ATTENTION, ModelConfig
from fer_cli.errors import StudyError
from fer_cli.models.attention import CBAM, SE, SGE, ChannelGate, SpatialGate, make_attention
from fer_cli.models.build import build_backbone
from fer_cli.models.gates import watch_gates
from fer_cli.models.shrinkage import SoftThreshold, Threshold, soft_threshold

VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    **{name: (name, {}) for name in ATTENTION},
    "sge-unbiased": ("sge", {"groups": 4, "unbiased": True, "gamma": 1.0, "beta": 0.0}),
    "se-bias": ("se", {"reduction": 4, "bias": True}),
    "cbam-turned": ("cbam", {"reduction": 4, "kernel": 3, "order": "spatial-channel"}),
    "soft-threshold-1": ("soft-threshold", {"reduction": 1}),
    "soft-threshold-plain": ("soft-threshold", {"reduction": 2, "norm": False}),
}


def filled(*shape: int, step: float = 0.37) -> Tensor:
    return torch.sin(step * torch.arange(float(torch.tensor(shape).prod()))).reshape(shape)


def constant(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for weights in module.parameters():
            weights.fill_(value)


def size(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def close(found: Tensor, wanted: list[float], atol: float = 1e-5) -> bool:
    return torch.allclose(found.flatten(), torch.tensor(wanted), atol=atol)


# all blocks


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_block_keeps_the_shape_and_trains_every_parameter(variant: str) -> None:
    torch.manual_seed(0)
    name, options = VARIANTS[variant]
    block = make_attention(name, 32, **options)
    x = torch.randn(4, 32, 5, 7, requires_grad=True)
    out = block(x)
    assert out.shape == x.shape
    assert out.isfinite().all()
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    for parameter, weights in block.named_parameters():
        assert weights.grad is not None, parameter
        assert weights.grad.isfinite().all(), parameter
        if parameter != "threshold.reduce.bias" or not options.get("norm", True):  # batch norm takes this one off again
            assert weights.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_block_in_eval_mode_sees_each_image_alone_and_repeats_itself(variant: str) -> None:
    torch.manual_seed(0)
    name, options = VARIANTS[variant]
    block = make_attention(name, 32, **options)
    x = torch.randn(4, 32, 6, 6)
    block(x)
    block.eval()
    with torch.no_grad():
        whole = block(x)
        assert torch.equal(whole, block(x))
        assert torch.allclose(whole[2:3], block(x[2:3]), atol=1e-6)
        assert torch.allclose(whole, block(x.contiguous(memory_format=torch.channels_last)), atol=1e-6)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_block_survives_a_single_position_and_a_black_map(variant: str) -> None:
    name, options = VARIANTS[variant]
    block = make_attention(name, 32, **(options | ({"unbiased": False} if "unbiased" in options else {})))
    for x in (filled(2, 32, 1, 1), torch.zeros(2, 32, 3, 3)):
        x.requires_grad_()
        out = block(x)
        out.sum().backward()
        assert out.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert all(weights.grad is None or weights.grad.isfinite().all() for weights in block.parameters())


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_block_runs_in_bfloat16_autocast(variant: str) -> None:
    torch.manual_seed(0)
    name, options = VARIANTS[variant]
    block = make_attention(name, 32, **options)
    x = torch.randn(8, 32, 6, 6)
    exact = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = block(x.bfloat16())
    assert (rough.float() - exact).abs().mean() < 0.02 * exact.abs().mean().clamp(min=0.1)


def test_none_is_the_identity_and_takes_no_settings() -> None:
    x = filled(1, 4, 3, 3)
    assert make_attention("none", 4)(x) is x
    with pytest.raises(TypeError):
        make_attention("none", 4, reduction=2)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("sge", {"groups": 5}, "groups: 5 groups do not divide 8 channels"),
        ("sge", {"groups": 0}, "groups"),
        ("se", {}, "reduction: 16 is invalid for 8 channels"),
        ("cbam", {"reduction": 0}, "reduction"),
        ("cbam", {"reduction": 2, "kernel": 4}, "kernel: 4"),
        ("soft-threshold", {"reduction": 9}, "reduction"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        make_attention(name, 8, **options)


# spatial group-wise enhance


def test_sge_begins_as_a_scale_by_the_sigmoid_of_one() -> None:
    x = filled(2, 16, 5, 5)
    assert torch.allclose(SGE(16)(x), x * 0.7310586, atol=1e-5)


def test_sge_of_a_map_without_differences_is_a_scale_by_its_shift() -> None:
    x = filled(1, 4, 1, 1).expand(1, 4, 3, 3)
    assert torch.allclose(SGE(4, groups=2, gamma=1.0, beta=0.5)(x), x * 0.6224594, atol=1e-5)


@pytest.mark.parametrize(
    ("unbiased", "wanted"),
    [(False, [0.268943, 2.193170, 0.537887, 0.0]), (True, [0.330240, 2.009281, 0.660479, 0.0])],
)
def test_sge_of_two_positions(unbiased: bool, wanted: list[float]) -> None:
    x = torch.tensor([1.0, 3.0, 2.0, 0.0]).reshape(1, 2, 1, 2)
    assert close(SGE(2, groups=1, unbiased=unbiased, gamma=1.0, beta=0.0)(x), wanted)


@pytest.mark.parametrize(("unbiased", "total"), [(False, 20.853626), (True, 20.394489)])
def test_sge_of_a_sine(unbiased: bool, total: float) -> None:
    out = SGE(8, groups=2, unbiased=unbiased, gamma=1.0, beta=0.0)(filled(1, 8, 4, 4))
    assert out.sum().item() == pytest.approx(total, abs=1e-5)


def test_sge_moves_with_positions_and_keeps_groups_apart() -> None:
    block = SGE(8, groups=2, gamma=1.0, beta=0.0)
    x = filled(1, 8, 4, 4)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    moved = block(x.flatten(2)[..., order].reshape(x.shape))
    assert torch.allclose(moved, block(x).flatten(2)[..., order].reshape(x.shape), atol=1e-6)
    changed = x.clone()
    changed[:, 0] += 1
    assert torch.equal(block(changed)[:, 4:], block(x)[:, 4:])
    assert not torch.allclose(block(changed)[:, 1:4], block(x)[:, 1:4])


def test_sge_has_two_parameters_a_group_that_weight_decay_spares() -> None:
    for groups in (1, 4, 8, 64):
        block = SGE(64, groups=groups)
        assert size(block) == 2 * groups
        assert all(weights.ndim == 1 for weights in block.parameters())


def test_sge_by_the_unbiased_deviation_refuses_a_single_position() -> None:
    assert SGE(4, groups=1)(filled(1, 4, 1, 1)).isfinite().all()
    with pytest.raises(StudyError, match="unbiased"):
        SGE(4, groups=1, unbiased=True)(filled(1, 4, 1, 1))


# squeeze-and-excitation


def test_se_without_weights_halves() -> None:
    x = filled(2, 16, 3, 3)
    for bias in (False, True):
        block = SE(16, bias=bias)
        constant(block, 0)
        assert torch.equal(block(x), 0.5 * x)


def test_se_by_hand() -> None:
    block = SE(2, reduction=2)
    block.gate.reduce.weight.data = torch.tensor([[1.0, 1.0]])
    block.gate.expand.weight.data = torch.tensor([[1.0], [-1.0]])
    x = torch.tensor([0.0, 2.0, -1.0, 1.0]).reshape(1, 2, 1, 2)  # means 1 and 0
    gate = torch.sigmoid(torch.tensor(1.0)).item()
    assert close(block(x), [0, 2 * gate, -(1 - gate), 1 - gate])


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_se_size(channels: int) -> None:
    assert size(SE(channels)) == channels * channels // 8
    assert size(SE(channels, bias=True)) == channels * channels // 8 + channels // 16 + channels


# convolutional block attention


@pytest.mark.parametrize(
    ("channels", "parameters"), [(64, 680), (256, 8_564), (512, 33_412), (1024, 132_260), (2048, 526_564)]
)
def test_cbam_size(channels: int, parameters: int) -> None:
    with torch.device("meta"):
        assert size(CBAM(channels)) == parameters


def test_cbam_without_weights_quarters() -> None:
    block = CBAM(16)
    constant(block, 0)
    constant(block.spatial.bn, 1)
    block.spatial.bn.bias.data.zero_()
    x = filled(2, 16, 4, 4)
    assert torch.equal(block(x), 0.25 * x)


def test_cbam_begins_as_in_its_public_residual_network() -> None:
    """With gamma 0 all spatial gates are sigmoid(0): the block halves what the channel gates leave."""
    zero, one = CBAM(16, gate_start="zero"), CBAM(16)
    assert zero.spatial.bn.weight.tolist() == [0.0] and zero.spatial.bn.momentum == 0.01
    assert one.spatial.bn.weight.tolist() == [1.0] and one.spatial.bn.momentum == 0.1
    x = filled(2, 16, 4, 4)
    assert torch.equal(zero(x), 0.5 * (x * zero.channel(x)))
    net = build_backbone(ModelConfig(backbone="resnet10-small", attention="cbam"), 7, 48)
    gates = [part for part in net.modules() if isinstance(part, SpatialGate)]  # type: ignore[attr-defined]
    assert len(gates) == 4 and all(gate.bn.weight.item() == 0.0 for gate in gates)


def test_channel_gate_by_hand() -> None:
    gate = ChannelGate(2, reduction=2)
    constant(gate, 0)
    gate.reduce.weight.data = torch.tensor([[1.0, 1.0]])
    gate.expand.weight.data = torch.tensor([[1.0], [-1.0]])
    x = torch.tensor([0.0, 2.0, -1.0, 1.0]).reshape(1, 2, 1, 2)  # means (1, 0), maxima (2, 1)
    assert close(gate(x), [0.982014, 0.017986])


def test_spatial_gate_reads_the_largest_channel_first_then_the_mean() -> None:
    gate = SpatialGate(3).eval()
    constant(gate.conv, 0)
    gate.conv.weight.data[0, 0, 1, 1] = 1.0  # the largest
    gate.conv.weight.data[0, 1, 1, 1] = 10.0  # the mean
    x = torch.tensor([1.0, -1.0, 3.0, -1.0]).reshape(1, 2, 1, 2)  # largest 3, -1; mean 2, -1
    wanted = torch.sigmoid(torch.tensor([23.0, -11.0]) / (1 + gate.bn.eps) ** 0.5)
    assert close(gate(x), wanted.tolist())


def test_cbam_in_the_other_order_is_another_function() -> None:
    torch.manual_seed(0)
    block, turned = CBAM(16).eval(), CBAM(16, order="spatial-channel").eval()
    turned.load_state_dict(block.state_dict())
    x = filled(2, 16, 5, 5)
    assert not torch.allclose(block(x), turned(x), atol=1e-4)
    by_hand = x * block.channel(x)
    assert torch.equal(block(x), by_hand * block.spatial(by_hand))
    by_hand = x * block.spatial(x)
    assert torch.equal(turned(x), by_hand * block.channel(by_hand))


# soft threshold


def halves(channels: int, **options: object) -> SoftThreshold:
    """Soft thresholding whose alpha is 1/2 for every channel."""
    block = SoftThreshold(channels, **options)  # type: ignore[arg-type]
    constant(block.threshold.expand, 0)
    return block.eval()


def test_soft_threshold_by_hand() -> None:
    x = torch.tensor([-2, -0.5, 0, 0.5, 2], requires_grad=True)
    out = soft_threshold(x, torch.tensor(1.0))
    assert out.tolist() == [-1, 0, 0, 0, 1]
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 0, 0, 0, 1]
    assert torch.equal(soft_threshold(x, torch.tensor(0.0)), x)


def test_threshold_is_a_share_of_the_mean_size() -> None:
    x = torch.tensor([-2.0, -1, 0, 3]).reshape(1, 1, 2, 2)
    block = halves(1, reduction=1)
    assert block.threshold(x).item() == pytest.approx(0.75, abs=1e-6)
    assert close(block(x), [-1.25, -0.25, 0, 2.25])


def test_soft_threshold_of_a_sine() -> None:
    x = filled(1, 2, 4, 8, step=1.0)
    out = halves(2, reduction=1)(x)
    assert float((out == 0).float().mean()) == 0.234375
    assert out.sum().item() == pytest.approx(0.046661, abs=1e-5)


def test_each_image_has_its_own_thresholds() -> None:
    torch.manual_seed(0)
    tau = SoftThreshold(8).eval().threshold(torch.randn(2, 8, 4, 4))
    assert tau.shape == (2, 8, 1, 1)
    assert not torch.allclose(tau[0], tau[1])


@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.floats(0.01, 100))
def test_no_channel_is_lost(seed: int, bias: float, scale: float) -> None:
    x = scale * torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(seed))
    threshold = Threshold(4, 1, norm=True).eval()
    threshold.expand.bias.data.fill_(bias)
    with torch.no_grad():
        tau = threshold(x)
        assert (tau >= 0).all()
        assert (tau.squeeze() < x.abs().amax((2, 3))).all()
        assert (soft_threshold(x, tau).abs() <= x.abs()).all()


@pytest.mark.parametrize("channels", [64, 512])
@pytest.mark.parametrize("reduction", [1, 4, 16])
def test_soft_threshold_size(channels: int, reduction: int) -> None:
    hidden = channels // reduction
    dense = 2 * channels * hidden + hidden + channels
    assert size(SoftThreshold(channels, reduction)) == dense + 2 * hidden
    assert size(SoftThreshold(channels, reduction, norm=False)) == dense


# gates to look at


def test_gates_are_kept_while_watched_only() -> None:
    net = nn.Sequential(CBAM(16), SGE(16), SE(16), SoftThreshold(16)).eval()
    x = filled(2, 16, 4, 4)
    with watch_gates(net) as seen:
        assert seen == {}
        net(x)
    shapes = {name: tuple(gate.shape) for name, gate in seen.items()}
    assert shapes == {
        "0.channel": (2, 16, 1, 1),
        "0.spatial": (2, 1, 4, 4),
        "1.gate": (2, 8, 4, 4),
        "2.gate": (2, 16, 1, 1),
        "3.threshold": (2, 16, 1, 1),
    }
    assert not any(gate.requires_grad for gate in seen.values())
    assert all(gate.gt(0).all() for gate in seen.values())
    before = dict(seen)
    net(2 * x)
    assert all(seen[name] is gate for name, gate in before.items())
    assert not any(module._forward_hooks for module in net.modules())
