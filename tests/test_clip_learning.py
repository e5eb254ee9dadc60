"""What the networks on clips can learn, of order and of moments, and what a step costs."""

import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.config import ModelConfig
from fer_cli.models.build import build_model
from fer_cli.models.scn import Recogniser
from fer_cli.places import PACKAGE


def build(arm: dict[str, Any], classes: int, frames: int) -> Recogniser:
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"backbone": "teacher-expression"} | arm)
    return build_model(config, classes, attention=False, image_size=24, frames=frames)


def ramps(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Clips that get brighter (0) or darker (1), boxes and labels; the frames of both are alike but for their order."""
    labels, level = torch.randint(0, 2, (count,), generator=generator), torch.linspace(0.1, 0.9, 6)
    levels = torch.where(labels[:, None] == 0, level, level.flip(0)) * (
        0.5 + 0.5 * torch.rand(count, 1, generator=generator)
    )
    clips = torch.rand(count, 1, 1, 24, 24, generator=generator) * levels[:, :, None, None, None]
    return clips, torch.tensor([0.1, 0.1, 0.6, 0.6]).expand(count, 6, 9, 4), labels


def test_motion_hides_what_stays_in_every_frame() -> None:
    """A picture added to all frames changes nothing; one added to a single frame does."""
    net = build({"backbone": "teacher-action", "motion": True}, 4, frames=3).eval()
    clips, still = torch.rand(2, 3, 1, 24, 24), torch.rand(2, 1, 1, 24, 24)
    once = torch.cat([clips[:, :1] + still, clips[:, 1:]], 1)
    with torch.no_grad():
        made, moved = net(clips).logits, net(once).logits
        torch.testing.assert_close(net(clips + still).logits, made, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(moved, made, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("arm", "learns"), [({}, True), ({"convlstm": False, "temporal": "mean"}, False)])
def test_the_full_network_learns_the_order_of_frames(arm: dict[str, Any], learns: bool) -> None:
    net, generator = build(arm, 2, frames=6), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    for _ in range(60):
        clips, boxes, labels = ramps(8, generator)
        optimizer.zero_grad()
        F.cross_entropy(net(clips, None, boxes).logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    clips, boxes, labels = ramps(200, generator)
    with torch.no_grad():
        accuracy = (net.eval()(clips, None, boxes).logits.argmax(1) == labels).float().mean()
    assert accuracy > 0.9 if learns else 0.35 < accuracy < 0.65


def moments(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Clips whose class shows at a random moment only, boxes, labels and the intensity (N, T) of what shows."""
    patterns = (
        torch.rand(4, 6, 6, generator=torch.Generator().manual_seed(7)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    )
    labels, centre = torch.randint(0, 4, (count,), generator=generator), 7 * torch.rand(count, 1, generator=generator)
    intensity = torch.exp(-(torch.arange(8)[None] - centre).square())
    noise = 0.5 * torch.rand(count, 1, 1, 24, 24, generator=generator) + 0.15 * torch.rand(
        count, 8, 1, 24, 24, generator=generator
    )
    clips = noise + 0.5 * intensity[:, :, None, None, None] * patterns[labels][:, None, None]
    return clips, torch.tensor([0.1, 0.1, 0.9, 0.9]).expand(count, 8, 9, 4), labels, intensity


@pytest.mark.slow
def test_attention_finds_the_telling_moment() -> None:
    net, generator = build({"convlstm": False}, 4, frames=8), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    for _ in range(80):
        clips, boxes, labels, _ = moments(8, generator)
        optimizer.zero_grad()
        F.cross_entropy(net(clips, None, boxes).logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    clips, boxes, _, intensity = moments(100, generator)
    apex = intensity >= 0.8
    mass = (net.eval().attention(clips, boxes)["frames"] * apex).sum(1)
    assert (mass - apex.float().mean(1))[apex.any(1)].mean() > 0.3


@pytest.mark.slow
def test_a_step_stays_within_its_time_and_memory() -> None:
    """16 clips of 16 frames of 48 pixels, fp32, one thread: at most 2 CPU seconds with AVX2, and less than 2 GB."""
    code = """
import time, torch
from tests.clip_inputs import random_input
from fer_cli.config import ModelConfig
from fer_cli.models.build import build_model
from fer_cli.provenance import peak_memory
torch.set_num_threads(1)
config = ModelConfig(backbone="teacher-expression")
net = build_model(config, 7, True, 48, frames=16)
clips, boxes = random_input(config, 16, 48, 16)
optimizer, seconds = torch.optim.AdamW(net.parameters()), []
for _ in range(4):
    began = time.process_time()
    scores = net(clips, None, boxes)
    optimizer.zero_grad()
    (scores.logits.square().mean() + scores.alpha.mean()).backward()
    optimizer.step()
    seconds.append(time.process_time() - began)
print(min(seconds), peak_memory() / 2**30)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    seconds, gigabytes = map(float, done.stdout.split())
    assert seconds <= 2.0
    assert gigabytes < 2.0
