"""The region layer: counts, separate convolutions, and what each patch may see."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer_cli.models.counts import count_parameters
from fer_cli.models.region_layer import RegionLayer, fit_grid, from_patches, to_patches


@pytest.mark.parametrize(
    ("layer", "grid", "channels", "parameters"),
    [
        ("local", 8, 32, 595_968),
        ("local", 7, 128, 7_244_160),
        ("local", 7, 32, 456_288),
        ("local", 7, 1024, 462_572_544),
        ("shared", 7, 128, 147_840),
        ("none", 7, 128, 0),
    ],
)
def test_parameters(layer: str, grid: int, channels: int, parameters: int) -> None:
    with torch.device("meta"):
        made = RegionLayer(channels, layer, grid=grid)  # type: ignore[arg-type]
    assert count_parameters(made) == parameters
    if layer == "local":
        assert parameters == grid**2 * (9 * channels**2 + channels + 2 * channels)


def randomised(grid: int, channels: int, merge: str = "sum") -> RegionLayer:
    """A layer in evaluation mode whose batch norms are not those of its start."""
    made = RegionLayer(channels, "local", merge, grid)  # type: ignore[arg-type]
    assert made.response is not None
    norm = made.response.bn
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)  # type: ignore[arg-type]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return made.eval()


@pytest.mark.parametrize("training", [False, True])
def test_the_grouped_call_equals_separate_ones(training: bool) -> None:
    torch.manual_seed(0)
    layer, x = randomised(7, 4).train(training), torch.randn(3, 4, 14, 21)
    norm, conv = layer.response.bn, layer.response.conv  # type: ignore[union-attr]
    wanted = torch.empty_like(x)
    for row in range(7):
        for column in range(7):
            part = slice(4 * (7 * row + column), 4 * (7 * row + column) + 4)
            place = (..., slice(2 * row, 2 * row + 2), slice(3 * column, 3 * column + 3))
            mean, var = norm.running_mean[part].clone(), norm.running_var[part].clone()  # type: ignore[index]
            one = F.batch_norm(x[place], mean, var, norm.weight[part], norm.bias[part], training)
            wanted[place] = F.conv2d(F.relu(one), conv.weight[part], conv.bias[part], padding=1)  # type: ignore[index]
    torch.testing.assert_close(layer.response(x), wanted, rtol=0, atol=1e-5)  # type: ignore[misc]
    torch.testing.assert_close(layer(x), F.relu(x + wanted), rtol=0, atol=1e-5)


def test_patches_go_back_where_they_were() -> None:
    x = torch.randn(2, 3, 6, 9)
    patches = to_patches(x, 3)
    assert torch.equal(from_patches(patches, 3), x)
    assert torch.equal(patches[:, 3 * 5 : 3 * 6], x[:, :, 2:4, 6:9]), "patch (1, 2) is the sixth"


def test_a_patch_gets_no_gradient_from_others() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 14, 14, requires_grad=True)
    layer = randomised(7, 4)
    layer(x)[:, :, :2, :2].sum().backward()
    assert x.grad is not None
    own = torch.zeros(14, 14, dtype=torch.bool)
    own[:2, :2] = True
    assert x.grad[:, :, own].abs().sum() > 0
    assert (x.grad[:, :, ~own] == 0).all()


def test_a_shared_convolution_crosses_the_borders_of_patches() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4, 14, 14, requires_grad=True)
    RegionLayer(4, "shared").eval()(x)[:, :, :2, :2].sum().backward()
    assert x.grad is not None and x.grad[:, :, 2, 2].abs().sum() > 0


@pytest.mark.parametrize("layer", ["local", "shared"])
def test_without_response_it_is_a_relu(layer: str) -> None:
    made, x = RegionLayer(4, layer), torch.randn(2, 4, 14, 14)  # type: ignore[arg-type]
    nn.init.zeros_(made.response.conv.weight)  # type: ignore[union-attr]
    nn.init.zeros_(made.response.conv.bias)  # type: ignore[union-attr,arg-type]
    assert torch.equal(made(x), F.relu(x))
    assert torch.equal(RegionLayer(4, "none")(x), F.relu(x))
    gate = RegionLayer(4, layer, "gate")  # type: ignore[arg-type]
    gate.response.conv.load_state_dict(made.response.conv.state_dict())  # type: ignore[union-attr]
    torch.testing.assert_close(gate(x), F.relu(x) / 2)


def test_a_gate_only_weighs() -> None:
    torch.manual_seed(0)
    layer, x = randomised(7, 4, "gate"), torch.rand(2, 4, 14, 14) + 0.1
    share = layer(x) / x
    assert share.min() > 0 and share.max() < 1 and share.std() > 0


def test_maps_are_resized_to_a_multiple_of_the_grid() -> None:
    for side, resized in ((15, 21), (14, 14), (6, 7), (8, 14)):
        assert RegionLayer(2)(torch.randn(2, 2, side, side)).shape == (2, 2, resized, resized)
    x = torch.full((1, 1, 15, 15), 3.0)
    torch.testing.assert_close(fit_grid(x, 7), torch.full((1, 1, 21, 21), 3.0))
    x = torch.randn(1, 1, 14, 14)
    assert fit_grid(x, 7) is x
