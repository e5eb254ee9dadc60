"""Regions of the face: their weights, the dead unit, and the merging by thirds."""

import pytest
import torch
from torch import nn

from fer_cli.models.counts import count_parameters
from fer_cli.models.roi import DEAD, ChannelCompression, RegionAttention, RegionWeights, Thirds, dead_regions


@pytest.mark.parametrize(("channels", "parameters"), [(2048, 262_401), (64, 8_449)])
def test_parameters_of_compression_and_of_weights(channels: int, parameters: int) -> None:
    assert count_parameters(ChannelCompression(channels)) == parameters
    assert count_parameters(RegionWeights(channels, 9, "sigmoid")) == parameters + 180


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_weights_without_layers_are_equal(kind: str) -> None:
    weights = RegionWeights(8, 9, kind)  # type: ignore[arg-type]
    for layer in (weights.q, weights.q1):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    made = weights(torch.rand(3, 9, 8))
    torch.testing.assert_close(made, torch.full((3, 9), 0.5 if kind == "sigmoid" else 1.0))


def test_weights_are_bounded_or_have_a_mean_of_one() -> None:
    torch.manual_seed(0)
    means = 5 * torch.rand(4, 9, 8)
    sigmoid = RegionWeights(8, 9, "sigmoid")(means)
    assert sigmoid.shape == (4, 9) and sigmoid.min() > 0 and sigmoid.max() < 1 and sigmoid.std() > 0
    torch.testing.assert_close(RegionWeights(8, 9, "softmax")(means).mean(1), torch.ones(4))


def test_weights_do_not_depend_on_the_order_of_frames_and_still_clips_are_frames() -> None:
    torch.manual_seed(0)
    attention, maps = RegionAttention(8, 9, "sigmoid"), torch.rand(2, 6, 9, 8, 4, 4)
    order = torch.randperm(6)
    torch.testing.assert_close(attention(maps[:, order]), attention(maps)[:, order])
    still = maps[:, :1].expand(-1, 6, -1, -1, -1, -1)
    torch.testing.assert_close(attention(still)[:, :1], attention(maps[:, :1]))


def test_a_weight_multiplies_all_of_its_region() -> None:
    torch.manual_seed(0)
    attention, maps = RegionAttention(8, 3, "sigmoid"), torch.rand(2, 4, 3, 8, 2, 2) + 0.1
    ratio = attention(maps) / maps
    weights = attention.weights(maps.mean((1, 4, 5)))
    torch.testing.assert_close(ratio, weights[:, None, :, None, None, None].expand_as(ratio))


@pytest.mark.parametrize("seed", range(10))
def test_compression_starts_alive(seed: int) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(ChannelCompression(64))
    assert dead_regions(network) is None, "nothing has been counted"
    made = network(torch.rand(4, 9, 64))
    assert made.shape == (4, 9)
    assert dead_regions(network) == 0.0
    assert dead_regions(network) is None, "asking starts the counts again"


def test_a_dead_compression_is_counted_while_training_only() -> None:
    network = nn.Sequential(ChannelCompression(8))
    nn.init.constant_(network[0].fc2.bias, -100.0)
    network.eval()(torch.rand(4, 9, 8))
    assert dead_regions(network) is None
    network.train()(torch.rand(4, 9, 8))
    share = dead_regions(network)
    assert share == 1.0 and share > DEAD
    assert dead_regions(nn.Linear(2, 2)) is None


def test_a_third_sees_its_own_regions_only() -> None:
    torch.manual_seed(0)
    thirds, maps = Thirds(4, 6, (3, 2, 4)).eval(), torch.randn(5, 9, 4, 2, 2)
    before = thirds(maps)
    assert [tuple(one.shape) for one in before] == [(5, 6, 2, 2)] * 3
    owner = [0, 0, 0, 1, 1, 2, 2, 2, 2]
    for region, third in enumerate(owner):
        changed = maps.clone()
        changed[:, region] += 1
        same = [torch.equal(one, other) for one, other in zip(before, thirds(changed), strict=True)]
        assert [index for index, equal in enumerate(same) if not equal] == [third]
    assert count_parameters(Thirds(2048, 128, (3, 2, 4))) == 2_360_064
    assert count_parameters(Thirds(64, 32, (5, 3, 1))) == count_parameters(Thirds(64, 32, (3, 2, 4))) == 18_624
