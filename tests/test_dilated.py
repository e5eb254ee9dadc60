"""Sums of dilated depthwise convolutions against the separate convolutions, and their own gradient against PyTorch's."""

import copy

import pytest
import torch
from torch import Tensor

from fer_cli.models.bsconv import Scales
from fer_cli.models.dilated import LEAST, split_grid

RATES = [(1, 2, 3), (2,), (1, 3), (1,)]


def separately(scales: Scales, x: Tensor) -> Tensor:
    return torch.stack([scale(x) for scale in scales]).sum(0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(12, 12), (7, 5), (3, 1), (1, 1)])
@pytest.mark.parametrize("rates", RATES)
def test_equals_the_separate_convolutions(
    rates: tuple[int, ...], size: tuple[int, int], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    scales = Scales(16, rates).double()
    x = torch.randn(3, 16, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    ours, theirs = scales(x), separately(scales, x)
    assert torch.allclose(ours, theirs)
    upstream = torch.randn_like(theirs)
    for mine, right in zip(
        torch.autograd.grad(ours, [x, *scales.parameters()], upstream),
        torch.autograd.grad(theirs, [x, *scales.parameters()], upstream),
        strict=True,
    ):
        assert mine.shape == right.shape and torch.allclose(mine, right)


def test_gradient_equals_finite_differences() -> None:
    torch.manual_seed(0)
    scales = Scales(4, (1, 2)).double()
    names = [name for name, _ in scales.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(scales, dict(zip(names, weights, strict=True)), (x,))  # type: ignore[no-any-return]

    x = torch.randn(2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *scales.parameters()))


def test_frozen_kernels_and_fixed_maps_get_no_gradient() -> None:
    torch.manual_seed(0)
    scales = Scales(4, (1, 2, 3))
    frozen, *others = scales.parameters()
    frozen.requires_grad_(False)
    scales(torch.randn(2, 4, 6, 6)).square().sum().backward()
    assert frozen.grad is None and all(one.grad is not None and one.grad.abs().sum() > 0 for one in others)


def test_trains_and_predicts_alike() -> None:
    """Without gradients the other way is taken; predictions stay equal to the training's."""
    torch.manual_seed(0)
    scales, x = Scales(16, (1, 2, 3)), torch.randn(2, 16, 9, 9)
    with torch.no_grad():
        predicted = copy.deepcopy(scales)(x)
    assert torch.equal(predicted, scales(x).detach())


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_grids_hold_every_place_once(rate: int) -> None:
    x = torch.arange(1.0, 1 + 2 * 3 * 7 * 5).reshape(2, 3, 7, 5)
    grids = split_grid(x, rate)
    assert min(grids.shape[2:]) >= LEAST
    assert torch.equal(grids[grids > 0].sort().values, x.flatten())
    first = grids[:2, :, : -(-7 // rate), : -(-5 // rate)]
    assert torch.equal(first, x[:, :, ::rate, ::rate])
