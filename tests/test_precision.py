"""Under bf16 autocast both heads of every network are computed in float32: what they decide is no matter of rounding."""

import pytest
import torch
from torch import nn

from fer_cli.config import BACKBONES, ModelConfig
from fer_cli.learning.auxiliary import network_terms
from fer_cli.learning.compute import has_fast_bf16
from fer_cli.models.build import build_model
from fer_cli.models.comparators import MtlFer
from tests.clip_inputs import FRAMES, random_input

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


LARGE = ("teacher-expression-paper", "vgg16")
"""Networks that take seconds for a step."""


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in BACKBONES]
)
def test_heads_of_every_network_are_float32_and_their_gradients_too(backbone: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, channels=1)
    net = build_model(config, 7, attention=True, frames=FRAMES)
    images, *boxes = random_input(config, 2)
    seen: dict[str, list[torch.dtype]] = {}
    heads = {"classifier": net.backbone.fc, "alpha": net.alpha}
    if isinstance(net.backbone, MtlFer):
        heads["valence"] = net.backbone.valence
    for name, head in heads.items():
        assert isinstance(head, nn.Module)
        head.register_forward_hook(
            lambda _, given, made, name=name: seen.update({name: [given[0].dtype, made.dtype]})  # type: ignore[misc]
        )
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(images, None, *boxes)
        terms = network_terms(net.backbone, CLASSES, scores, torch.tensor([0, 1]))
    assert seen == dict.fromkeys(heads, [torch.float32] * 2)
    assert scores.logits.dtype == scores.alpha.dtype == scores.features.dtype == torch.float32
    assert all(term.dtype == torch.float32 for term in terms.values())
    alone = net.backbone.fc(scores.features)
    assert torch.equal(scores.logits, alone), "not a matrix product of rounded numbers"


@pytest.mark.parametrize("joined", [0, pytest.param(5, marks=pytest.mark.slow)])
def test_images_have_an_alpha_of_their_own(joined: int) -> None:
    """A head in bf16 has 256 numbers between one half and 1: 256 images then share less than a third as many alphas."""
    torch.manual_seed(0)
    net = build_model(ModelConfig(backbone="resnet18-small"), 7, attention=True, joined=joined).eval()
    images = torch.rand(256, 1, 24, 24)
    extra = torch.rand(256, joined) if joined else None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = net(images, extra)
        rounded = torch.sigmoid(net.alpha(scores.features)).squeeze(1)  # type: ignore[misc]
    assert len(scores.alpha.unique()) >= 250
    assert len(scores.logits.unique()) >= 0.9 * scores.logits.numel()
    assert rounded.dtype == torch.bfloat16
    assert len(rounded.unique()) < 128


def test_full_precision_runs_where_nothing_is_computed() -> None:
    """Multiply-adds are counted on the meta device, which has no autocast."""
    net = build_model(ModelConfig(backbone="resnet18-small"), 7, attention=True).to("meta")
    assert net(torch.empty(2, 1, 48, 48, device="meta")).logits.shape == (2, 7)


def test_bf16_units_do_not_count_where_torch_is_limited_to_older_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert has_fast_bf16("cpu")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not has_fast_bf16("cpu")
