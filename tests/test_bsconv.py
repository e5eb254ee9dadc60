"""Blueprint-separable convolutions against the closed forms of He 2025 (Eq 9-16), and what networks cost."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer_cli.errors import StudyError
from fer_cli.models.bsconv import BSD, BSConvS, BSConvU, Subspace, depthwise, subspace_penalty
from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.resnet import resnet18

LAYERS = {
    "u": lambda: BSConvU(6, 8),
    "u-stride": lambda: BSConvU(6, 8, stride=2),
    "u-mid": lambda: BSConvU(6, 8, dilation=2, bn_mid=True),
    "s": lambda: BSConvS(6, 8),
    "s-mid": lambda: BSConvS(6, 8, kernel=5, bn_mid=True),
    "bsd": lambda: BSD(6, 8),
    "bsd-s": lambda: BSD(6, 8, variant="s"),
    "bsd-concat": lambda: BSD(6, 8, merge="concat"),
    "bsd-pw3": lambda: BSD(6, 8, rates=(1, 2), pw_kernel=3),
}


def sin(*shape: int) -> torch.Tensor:
    return torch.sin(0.37 * torch.arange(torch.Size(shape).numel(), dtype=torch.float64)).float().reshape(shape)


def cos(*shape: int) -> torch.Tensor:
    return torch.cos(0.37 * torch.arange(torch.Size(shape).numel(), dtype=torch.float64)).float().reshape(shape)


# counts


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (BSConvU(64, 128), 9_344),
        (BSConvS(64, 128), 4_224),
        (BSConvS(16, 8), 168),
        (BSConvS(16, 8, bn_mid=True), 192),
        (BSConvU(16, 8, bn_mid=True), 216),
        (nn.Conv2d(64, 128, 3, bias=False), 73_728),
        (BSConvU(32, 64), 2_624),
        (BSConvU(128, 256), 35_072),
        (BSConvU(128, 256, dilation=3), 35_072),
        (BSD(64, 128, (2,)), 9_344),
        (BSD(64, 128, (1, 2, 3)), 9_344 + 2 * 128 * 9),
        (BSD(64, 128, (1, 2, 3), variant="s"), 4_224 + 2 * 128 * 9),
        (BSD(64, 128, (1, 2, 3), merge="concat"), 9_344 + 2 * 128 * 9 + 3 * 128 * 128),
        (BSD(64, 128, (2,), pw_kernel=3), 9 * 64 * 128 + 128 * 9),
    ],
)
def test_parameters(layer: nn.Module, count: int) -> None:
    assert count_parameters(layer) == count


def test_subspace_form_is_normalised_after_each_of_its_1x1() -> None:
    """The public code's order: 1x1, batch norm, 1x1, batch norm, depthwise."""
    layer = BSConvS(16, 8, bn_mid=True).train()
    made = {}
    for name, part in layer.named_modules():
        part.register_forward_hook(lambda *call, name=name: made.update({name: call[2]}))  # type: ignore[misc]
    layer(3 * torch.randn(4, 16, 9, 9) + 1)
    order = ["pointwise.inward", "pointwise.norm", "pointwise.outward", "pointwise", "middle", "depthwise", ""]
    assert list(made) == order
    for name in ("pointwise.norm", "middle"):
        assert made[name].mean((0, 2, 3)).abs().max() < 1e-5
        assert torch.allclose(made[name].var((0, 2, 3), unbiased=False), torch.ones(1), atol=1e-3)


def test_dense_costs_eight_times_as_much() -> None:
    ratio = count_parameters(nn.Conv2d(64, 128, 3, bias=False)) / count_parameters(BSConvU(64, 128))
    assert ratio == pytest.approx(7.890, abs=5e-4)


@pytest.mark.parametrize(("cin", "middle"), [(64, 16), (30, 8), (12, 4), (3, 3)])
def test_subspace_is_a_quarter_but_at_least_four(cin: int, middle: int) -> None:
    assert Subspace(cin, 16).inward.out_channels == middle


def test_multiply_adds_of_hand_counts() -> None:
    dense = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=True)  # 9x7 -> 5x4
    assert count_multiply_adds(dense, (3, 9, 7)) == 5 * 4 * 5 * 27
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 4, 6)
    )
    assert count_multiply_adds(net, (4, 6, 6)) == 16 * 8 * 9 + 32 * 6
    assert count_parameters(net) == 8 * 9 + 8 + 16 + 32 * 6 + 6
    video = nn.Conv3d(2, 3, (3, 1, 1), padding=(1, 0, 0))
    assert count_multiply_adds(video, (2, 5, 4, 4)) == 5 * 16 * 3 * 6
    assert count_multiply_adds(BSConvU(16, 32), (16, 10, 10)) == 100 * (16 * 32 + 32 * 9)


def test_a_layer_that_runs_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))

    assert count_multiply_adds(Twice(), (5,)) == 50
    assert count_multiply_adds(Twice(), (4, 5)) == 200


def test_counting_agrees_with_the_articles_and_with_pytorch() -> None:
    with torch.device("meta"):
        net = resnet18(6, 3)
    assert count_multiply_adds(net, (3, 224, 224)) == 1_813_564_416
    assert count_parameters(net) == 11_179_590
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() == 2 * 1_813_564_416


def test_counting_leaves_the_network_alone() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    count_multiply_adds(net, (1, 8, 8))
    assert net.training
    assert not net[0]._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# values


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_u_is_the_dense_convolution_of_scaled_blueprints(dilation: int) -> None:
    layer = BSConvU(5, 7, dilation=dilation)
    mu, blueprint = sin(7, 5), cos(7, 3, 3)
    layer.load_state_dict({"pointwise.weight": mu[:, :, None, None], "depthwise.weight": blueprint[:, None]})
    kernel = mu[:, :, None, None] * blueprint[:, None]  # Eq 10: (7, 5, 3, 3)
    x = sin(2, 5, 11, 9)
    dense = F.conv2d(x, kernel, padding=dilation, dilation=dilation)
    assert (layer(x) - dense).abs().max().item() < 1e-5


def test_s_is_u_with_a_product_of_two_matrices() -> None:
    thin, plain = BSConvS(12, 10, dilation=2), BSConvU(12, 10, dilation=2)
    product = thin.pointwise.outward.weight.flatten(1) @ thin.pointwise.inward.weight.flatten(1)
    plain.load_state_dict(
        {"pointwise.weight": product.detach()[:, :, None, None], "depthwise.weight": thin.depthwise.weight.detach()}
    )
    x = sin(1, 12, 8, 8)
    assert torch.allclose(thin(x), plain(x), atol=1e-5)
    assert int(torch.linalg.matrix_rank(product)) == 4


@pytest.mark.parametrize("dilation", [2, 5])
def test_a_dilated_1x1_is_a_plain_1x1(dilation: int) -> None:
    """The article dilates the pointwise stage too, which changes nothing: the layer leaves that out."""
    layer, x = BSD(4, 6, rates=(dilation,)), sin(2, 4, 15, 15)
    (spatial,) = layer.scales.parameters()
    pointwise = layer.pointwise.get_parameter("weight")
    literal = F.conv2d(x, pointwise, dilation=dilation)
    literal = F.conv2d(literal, spatial, padding=dilation, dilation=dilation, groups=6)
    assert torch.allclose(layer(x), literal, atol=1e-5)


@pytest.mark.parametrize(("rate", "side"), [(1, 3), (2, 5), (3, 7)])
def test_an_impulse_shows_the_nine_taps_of_a_rate(rate: int, side: int) -> None:
    layer = BSD(1, 1, rates=(rate,))
    for weight in layer.parameters():
        nn.init.ones_(weight)
    impulse = torch.zeros(1, 1, 15, 15)
    impulse[..., 7, 7] = 1
    rows, columns = torch.nonzero(layer(impulse)[0, 0], as_tuple=True)
    assert len(rows) == 9
    assert int(rows.max() - rows.min()) + 1 == side
    assert int(columns.max() - columns.min()) + 1 == side


def test_rates_are_summed_or_joined_from_one_pointwise_map() -> None:
    layer = BSD(4, 6, rates=(1, 3))
    joined = BSD(4, 6, rates=(1, 3), merge="concat")
    joined.load_state_dict(layer.state_dict() | {"mix.weight": torch.eye(6).repeat(1, 2)[:, :, None, None]})
    x = sin(2, 4, 9, 9)
    kernels = [scale.weight for scale in layer.scales]
    shared = F.conv2d(x, layer.pointwise.weight)
    by_hand = sum(
        F.conv2d(shared, kernel, padding=rate, dilation=rate, groups=6) for kernel, rate in zip(kernels, (1, 3), strict=True)
    )
    assert torch.allclose(layer(x), by_hand, atol=1e-5)
    assert torch.allclose(joined(x), by_hand, atol=1e-5)


@pytest.mark.parametrize("rates", [(1,), (2,), (1, 2, 3)])
def test_sixteen_channels_at_a_time_give_the_same_maps_and_gradients(rates: tuple[int, ...]) -> None:
    layer = BSD(8, 32, rates=rates)
    x = sin(2, 8, 12, 12).requires_grad_()
    exact = layer(x)
    grads = torch.autograd.grad(exact.square().mean(), [x, *layer.parameters()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        blocked = layer(x)
    assert blocked.dtype == torch.bfloat16
    assert (blocked - exact).abs().max().item() < 0.02 * exact.abs().max().item()
    rough = torch.autograd.grad(blocked.float().square().mean(), [x, *layer.parameters()])
    for mine, right in zip(rough, grads, strict=True):
        assert mine.shape == right.shape
        assert (mine - right).abs().max().item() < 0.03 * right.abs().max().item()


@pytest.mark.parametrize(("variant", "single"), [("u", BSConvU), ("s", BSConvS)])
def test_one_rate_is_the_single_scale_convolution(variant: str, single: type[BSConvU] | type[BSConvS]) -> None:
    layer, plain = BSD(8, 6, rates=(2,), variant=variant), single(8, 6, dilation=2)  # type: ignore[arg-type]
    weights = {name.replace("depthwise.", "scales.0."): value for name, value in plain.state_dict().items()}
    layer.load_state_dict(weights)
    x = sin(1, 8, 7, 7)
    assert torch.allclose(layer(x), plain(x), atol=1e-6)


def test_pw_kernel_three_sees_further() -> None:
    layer = BSD(1, 1, rates=(1, 2), pw_kernel=3)
    for weight in layer.parameters():
        nn.init.ones_(weight)
    impulse = torch.zeros(1, 1, 15, 15)
    impulse[..., 7, 7] = 1
    rows, _ = torch.nonzero(layer(impulse)[0, 0], as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == 1 + 2 * 2 + 2 * 2


# the regulariser of S


def test_regulariser_is_zero_for_orthonormal_rows_and_has_a_gradient() -> None:
    layer = BSConvS(16, 8)
    with torch.no_grad():
        layer.pointwise.inward.weight.copy_(torch.eye(4, 16)[:, :, None, None])
    loss = layer.regulariser()
    loss.backward()
    assert loss.item() == 0
    gradient = layer.pointwise.inward.weight.grad
    assert gradient is not None and bool(gradient.isfinite().all())
    with torch.no_grad():
        layer.pointwise.inward.weight.mul_(2)  # W W^T = 4 I: |3 I|_F of 4 rows
    assert layer.regulariser().item() == pytest.approx(3 * 2, abs=1e-5)


def test_penalty_sums_the_network_and_training_on_it_makes_rows_orthonormal() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(BSConvS(16, 8), nn.ReLU(), BSD(8, 8, variant="s"), BSConvU(8, 4))
    by_hand = 0.1 * (net[0].regulariser() + net[2].pointwise.regulariser())
    assert torch.equal(subspace_penalty(net), by_hand)
    assert subspace_penalty(BSConvU(4, 4)).item() == 0
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        subspace_penalty(net).backward()
        optimizer.step()
    assert subspace_penalty(net).item() < 0.1 * by_hand.item()


# every layer


@pytest.mark.parametrize("name", list(LAYERS))
def test_shape_gradient_and_independence(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    x = torch.randn(3, 6, 12, 10)
    out = layer(x)
    assert out.shape == ((3, 8, 6, 5) if name == "u-stride" else (3, 8, 12, 10))
    assert bool(out.isfinite().all())
    out.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in layer.parameters())
    layer.eval()
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x))
        assert torch.allclose(layer(x)[1:2], layer(x[1:2]), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"rates": ()}, {"rates": (0, 1)}, {"pw_kernel": 3, "variant": "s"}], ids=["none", "zero", "s-pw3"]
)
def test_what_cannot_be_built_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(StudyError):
        BSD(4, 4, **options)  # type: ignore[arg-type]


def test_each_switch_changes_the_layer() -> None:
    shapes = [
        tuple(sorted(str(p.shape) for p in BSD(8, 8, rates, merge, pw_kernel, variant).parameters()))
        for rates, merge, pw_kernel, variant in [
            ((1, 2), "sum", 1, "u"),
            ((1, 2, 3), "sum", 1, "u"),
            ((1, 2), "concat", 1, "u"),
            ((1, 2), "sum", 3, "u"),
            ((1, 2), "sum", 1, "s"),
        ]  # type: ignore[arg-type]
    ]
    assert all(one != other for one, other in itertools.combinations(shapes, 2))


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_weight_gradients_hold_under_reduced_precision(dilation: int) -> None:
    """Some bf16 kernels for dilated depthwise convolutions read memory that nobody wrote; so it is filled with NaN here."""
    torch.manual_seed(0)
    part = depthwise(32, 3, dilation=dilation)
    x = torch.randn(32, 32, 48, 48).contiguous(memory_format=torch.channels_last)
    exact = torch.autograd.grad(part(x).square().mean(), part.weight)[0]
    for turn in range(12):
        with torch.autocast("cpu", torch.bfloat16):
            loss = part(x.bfloat16()).float().square().mean()
        found = torch.autograd.grad(loss, part.weight)[0]
        assert torch.allclose(found, exact, rtol=0.05, atol=0.05 * float(exact.abs().max()))
        del loss, found
        torch.full((1000 * (turn % 7 + 1),), float("nan"), dtype=torch.bfloat16)
