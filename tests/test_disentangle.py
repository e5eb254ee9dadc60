"""Spatiotemporal disentanglement: maps computed by hand, symmetries, and multiply-adds as counted by torch."""

from typing import get_args

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fer_cli.config import ModelConfig
from fer_cli.models import disentangle
from fer_cli.models.counts import count_parameters
from fer_cli.models.disentangle import Disentangle, ElementAttention, attention_map, map_multiply_adds

MODES = [name for name in get_args(ModelConfig.model_fields["disentangle"].annotation) if name != "none"]
VALUES = torch.sin(torch.arange(12.0)).reshape(1, 3, 2, 2)
"""F of three frames, two cells and two channels."""


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("avg_softmax", [[0.801710, 0.198290], [0.234863, 0.765137]]),
        ("all_pairs", [[0.544986, 0.455014], [0.478102, 0.521898]]),
        ("all_pairs_naive", [[0.544986, 0.455014], [0.478102, 0.521898]]),
        ("avg_tanh", [[0.506620, -0.205392], [-0.205392, 0.415353]]),
    ],
)
def test_maps_over_cells(mode: str, wanted: list[list[float]]) -> None:
    torch.testing.assert_close(attention_map(VALUES, VALUES, mode)[0], torch.tensor(wanted), rtol=0, atol=1e-5)


def test_maps_over_frames_and_of_single_frames() -> None:
    wanted = [[0.370241, -0.237446, -0.072127], [-0.237446, 0.462508, -0.390363], [-0.072127, -0.390363, 0.544938]]
    turned = VALUES.transpose(1, 2)
    torch.testing.assert_close(attention_map(turned, turned, "avg_tanh")[0], torch.tensor(wanted), rtol=0, atol=1e-5)
    first = torch.tensor([[0.339951, 0.059305], [0.059305, 0.399764]])
    torch.testing.assert_close(attention_map(VALUES, VALUES, "frame")[0, 0], first, rtol=0, atol=1e-5)


def test_all_pairs_equal_the_factored_form_in_parts_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 3, 5, 4, 8)
    wanted = attention_map(queries, keys, "all_pairs")
    for part in (1, 100, 2**24):
        monkeypatch.setattr(disentangle, "NAIVE_PART", part)
        torch.testing.assert_close(attention_map(queries, keys, "all_pairs_naive"), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_permuted_cells_give_permuted_outputs_and_maps_do_not_see_the_order_of_frames(mode: str) -> None:
    torch.manual_seed(0)
    block, x = ElementAttention(16, mode).eval(), torch.randn(2, 5, 9, 16)
    cells, frames = torch.randperm(9), torch.randperm(5)
    torch.testing.assert_close(block(x[:, :, cells]), block(x)[:, :, cells], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(block(x[:, frames]), block(x)[:, frames], rtol=1e-4, atol=1e-5)
    if mode != "frame":
        torch.testing.assert_close(block.map_of(x[:, frames]), block.map_of(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_frames_in_another_order_give_outputs_in_that_order(mode: str) -> None:
    torch.manual_seed(0)
    both, x, frames = Disentangle(16, mode).eval(), torch.randn(2, 5, 9, 16), torch.randperm(5)
    torch.testing.assert_close(both(x[:, frames]), both(x)[:, frames], rtol=1e-4, atol=1e-5)


def test_parameters_do_not_depend_on_the_mode() -> None:
    for mode in MODES:
        assert count_parameters(ElementAttention(128, mode)) == 41_536 == 8_256 + 16_512 + 16_768
        assert count_parameters(Disentangle(128, mode)) == 166_144


def test_multiply_adds_of_the_maps() -> None:
    assert 16 * 9**2 * 64 == 82_944
    assert map_multiply_adds("avg_tanh", 16, 9, 64) == 230_400
    assert map_multiply_adds("all_pairs_naive", 16, 9, 64) == 2_654_208


@pytest.mark.parametrize("mode", MODES)
def test_multiply_adds_are_those_that_torch_counts(mode: str) -> None:
    x = torch.randn(1, 16, 9, 64)
    with FlopCounterMode(display=False) as counter:
        attention_map(x, x, mode)
        attention_map(x.transpose(1, 2), x.transpose(1, 2), mode)
    assert counter.get_total_flops() == 2 * map_multiply_adds(mode, 16, 9, 64)
