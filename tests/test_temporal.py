"""Summaries of frames: hand-computed attention, what each keeps of the order of frames, and counts."""

from typing import Any, get_args

import pytest
import torch
from torch import nn

from fer_cli.config import ModelConfig
from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.temporal import TEMPORAL, Attention, FrameWeights


def plain_linear(weight: list[list[float]]) -> nn.Linear:
    """A linear layer without bias."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float32))
    return layer


def test_every_summary_can_be_set() -> None:
    assert get_args(ModelConfig.model_fields["temporal"].annotation) == tuple(TEMPORAL)


def test_attention_by_hand() -> None:
    attention = Attention(2, 2, 1)
    weights: Any = attention.weights
    weights.q1, weights.q2 = plain_linear([[1, 0], [0, 1]]), plain_linear([[1, 1]])
    weights.q3, weights.q4 = plain_linear([[1, 0], [0, 1]]), plain_linear([[1, 0], [0, 2]])
    means = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
    torch.testing.assert_close(weights(means), torch.tensor([[0.047426, 0.952574]]), rtol=0, atol=1e-6)
    maps = means[..., None, None] + torch.tensor([[-1.0, 1.0], [0.5, -0.5]])  # a mean of the given value
    torch.testing.assert_close(attention(maps), torch.tensor([[2.905148, 0.094852]]), rtol=0, atol=1e-5)
    wanted = 0.047426 * maps[:, 0] + 0.952574 * maps[:, 1]
    torch.testing.assert_close(attention.merge(maps), wanted, rtol=0, atol=1e-5)


def test_attention_without_last_weights_is_the_mean_and_always_sums_to_one() -> None:
    torch.manual_seed(0)
    attention, maps = Attention(32, 6, 3), torch.randn(4, 6, 32, 3, 3)
    weights = attention.weights(maps.mean((3, 4)))
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert weights.std() > 0
    nn.init.zeros_(attention.weights.q4.weight)
    nn.init.zeros_(attention.weights.q4.bias)
    torch.testing.assert_close(attention.merge(maps), maps.mean(1))


def test_equal_maps_over_time_are_returned_by_attention() -> None:
    torch.manual_seed(0)
    attention, one = Attention(32, 6, 3), torch.randn(4, 32, 3, 3)
    torch.testing.assert_close(attention.merge(one[:, None].expand(-1, 6, -1, -1, -1)), one, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("channels", "frames", "parameters"), [(384, 16, 9_809), (96, 16, 1_133)])
def test_parameters_of_attention(channels: int, frames: int, parameters: int) -> None:
    assert count_parameters(Attention(channels, frames, 7)) == parameters


def test_flattening_needs_the_weights_that_the_paper_avoids() -> None:
    flat: Any = TEMPORAL["flatten"](384, 16, 7)
    assert 7 * flat.feature_size == 2_107_392
    maps = torch.randn(2, 3, 4, 2, 2)
    assert torch.equal(TEMPORAL["flatten"](4, 3, 2)(maps), maps.reshape(2, 48))


def test_mean_and_last_by_definition() -> None:
    maps = torch.randn(2, 3, 4, 5, 5)
    torch.testing.assert_close(TEMPORAL["mean"](4, 3, 5)(maps), maps.mean(1).mean((2, 3)))
    torch.testing.assert_close(TEMPORAL["last"](4, 3, 5)(maps), maps[:, 2].mean((2, 3)))


def test_the_lstm_sees_means_only_and_its_cost_is_counted() -> None:
    torch.manual_seed(0)
    lstm, maps = TEMPORAL["lstm"](8, 5, 3), torch.randn(2, 5, 8, 3, 3)
    assert lstm(maps).shape == (2, 8)
    torch.testing.assert_close(lstm(maps.flip(3)), lstm(maps))
    assert count_multiply_adds(lstm, (5, 8, 3, 3)) == 5 * (4 * 8 * 8 + 4 * 8 * 8)


@pytest.mark.parametrize("name", list(TEMPORAL))
def test_only_the_mean_is_blind_to_order(name: str) -> None:
    torch.manual_seed(0)
    summary, maps = TEMPORAL[name](8, 6, 3), torch.randn(3, 6, 8, 3, 3)
    made, shuffled = summary(maps), summary(maps[:, [3, 0, 5, 1, 4, 2]])
    assert made.shape == (3, summary.feature_size)
    assert torch.allclose(made, shuffled, atol=1e-6) == (name == "mean")


@pytest.mark.parametrize("seed", range(20))
def test_attention_starts_alive(seed: int) -> None:
    """Of networks drawn as usual, about half have w = 0 for every clip, and their first layers never learn."""
    torch.manual_seed(seed)
    weights, means = FrameWeights(96, 8), 0.1 * torch.randn(16, 8, 96)
    (weights(means) * torch.randn(16, 8)).sum().backward()
    for name in ("q1", "q2", "q3", "q4"):
        assert weights.get_submodule(name).weight.grad.abs().sum() > 0, name
