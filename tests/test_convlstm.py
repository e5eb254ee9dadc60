"""ConvLSTM: values, counts, a loop, and torch's LSTM on single pixels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer_cli.models.convlstm import ConvLSTM
from fer_cli.models.counts import count_multiply_adds, count_parameters


@pytest.mark.parametrize(
    ("sizes", "parameters"),
    [((64, 64), 295_168), ((128, 64), 442_624), ((32, 32), 73_856), ((128, 128), 1_180_160)],
)
def test_parameters(sizes: tuple[int, int], parameters: int) -> None:
    inputs, hidden = sizes
    assert count_parameters(ConvLSTM(inputs, hidden)) == parameters == 4 * hidden * (inputs + hidden) * 9 + 4 * hidden


@pytest.mark.parametrize(
    ("forget_bias", "states"), [(0.0, [0.174270, 0.309059, 0.407191]), (1.0, [0.174270, 0.335010, 0.464184])]
)
def test_states_of_a_scalar(forget_bias: float, states: list[float]) -> None:
    lstm = ConvLSTM(1, 1, kernel=1, forget_bias=forget_bias)
    assert lstm.gates.bias is not None and lstm.gates.bias.tolist() == [0, forget_bias, 0, 0]
    nn.init.constant_(lstm.gates.weight, 0.5)
    made = lstm(torch.ones(1, 3, 1, 1, 1)).flatten()
    torch.testing.assert_close(made, torch.tensor(states), rtol=0, atol=1e-6)


def test_it_equals_a_loop() -> None:
    torch.manual_seed(0)
    lstm, x = ConvLSTM(3, 5), torch.randn(2, 6, 3, 4, 7)
    nn.init.normal_(lstm.gates.bias)
    hidden, cell = torch.zeros(2, 5, 4, 7), torch.zeros(2, 5, 4, 7)
    for step in range(6):
        joined = torch.cat([x[:, step], hidden], 1)
        i, f, o, g = F.conv2d(joined, lstm.gates.weight, lstm.gates.bias, padding=1).chunk(4, 1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        torch.testing.assert_close(lstm(x)[:, step], hidden, rtol=0, atol=1e-6)


def test_on_single_pixels_it_is_an_lstm() -> None:
    torch.manual_seed(0)
    ours, theirs, x = ConvLSTM(3, 4, kernel=1), nn.LSTM(3, 4, batch_first=True), torch.randn(2, 7, 3)

    def reordered(weight: torch.Tensor) -> torch.Tensor:
        i, f, g, o = weight.chunk(4)
        return torch.cat([i, f, o, g])

    with torch.no_grad():
        weights = [reordered(theirs.weight_ih_l0), reordered(theirs.weight_hh_l0)]
        ours.gates.weight.copy_(torch.cat(weights, 1)[:, :, None, None])
        ours.gates.bias.copy_(reordered(theirs.bias_ih_l0 + theirs.bias_hh_l0))
    torch.testing.assert_close(ours(x[..., None, None])[..., 0, 0], theirs(x)[0], rtol=0, atol=1e-6)


def test_states_do_not_see_later_frames() -> None:
    torch.manual_seed(0)
    lstm, x = ConvLSTM(2, 2), torch.randn(1, 5, 2, 3, 3)
    changed = x.clone()
    changed[:, 3:] = 0
    assert torch.equal(lstm(x)[:, :3], lstm(changed)[:, :3])
    assert not torch.equal(lstm(x)[:, 3], lstm(changed)[:, 3])


def test_multiply_adds() -> None:
    """5 steps on 4 x 6 positions: the inputs' part five times, the states' part four times, as the first state is zero."""
    assert count_multiply_adds(ConvLSTM(3, 8), (5, 3, 4, 6)) == 24 * 9 * 32 * (5 * 3 + 4 * 8)
