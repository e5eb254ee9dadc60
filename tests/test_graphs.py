"""Exported graphs give the probabilities of PyTorch: every network, any number of samples, with all that surrounds it."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_cli.config import BACKBONES, DataConfig, LearningConfig, ModelConfig, RunConfig
from fer_cli.data.augment import mirror
from fer_cli.learning.losses import decision_logits
from fer_cli.models.build import build_model
from fer_cli.models.scn import Recogniser
from fer_cli.use.export import PARITY, as_inputs
from fer_cli.use.exported import OUTPUT, new_session
from fer_cli.use.graph import Judge, example_inputs, to_graph

CLASSES, FRAMES = 5, 2
MOST_GAIN = 1000.0
"""Largest factor on the weights of a classifier: more would only enlarge rounding."""


def train_a_step(config: RunConfig) -> Recogniser:
    """Return a network after a few steps at a high rate: batch norms and weights are not those of the start."""
    torch.manual_seed(0)
    network = build_model(config.model, CLASSES, config.learning.parts.attention, config.data.image_size, 0, FRAMES)
    optimizer = torch.optim.SGD(network.parameters(), 0.001)
    for seed in range(2):
        faces, *boxes = example_inputs(config, config.model.channels, 6, seed)
        optimizer.zero_grad()
        scores = network(faces.float() / 255, None, *boxes)
        logits = decision_logits(scores.logits, scores.alpha, config.learning)
        F.cross_entropy(logits, torch.arange(6) % CLASSES).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    with torch.no_grad():  # answers that differ from sample to sample
        faces, *boxes = example_inputs(config, config.model.channels, 6, 9)
        logits = network(faces.float() / 255, None, *boxes).logits
        gain = min(MOST_GAIN, float(1 / logits.std(0).mean()))
        if isinstance(network.backbone.fc, nn.Linear):
            network.backbone.fc.weight.mul_(gain)
            network.backbone.fc.bias.sub_(logits.mean(0)).mul_(gain)
    return network


def answer(network: Recogniser, config: RunConfig, faces: Tensor, boxes: Tensor | None) -> np.ndarray:
    """Return the probabilities of one pass after the other, scaled and repeated in colour here."""
    wide = [1] * faces.ndim
    wide[-3] = config.model.channels // faces.shape[-3]
    images = (faces.float() / 255).repeat(wide)
    views = [(images, boxes)]
    if config.model.mirror_average:
        views.append((images.flip(-1), None if boxes is None else mirror(boxes, config.model.regions)))
    with torch.no_grad():
        scores = [network(view, None, seen) for view, seen in views]
        logits = [decision_logits(one.logits, one.alpha, config.learning) for one in scores]
        return torch.stack(logits).mean(0).softmax(1).numpy()


def check(model: dict[str, Any], learning: dict[str, Any], channels: int = 1, side: int = 24) -> None:
    known = BACKBONES[str(model["backbone"])]
    data = DataConfig(image_size=max(side, known.least), **({"frames": FRAMES} if known.clips else {}))
    config = RunConfig(data=data, model=ModelConfig.model_validate(model), learning=LearningConfig(**learning))
    network = train_a_step(config)
    graph = to_graph(Judge(network, config).eval(), example_inputs(config, channels))
    session = new_session(graph.SerializeToString(), 1, None)  # type: ignore[arg-type]
    for count in (1, 3, 4):
        faces, *boxes = example_inputs(config, channels, count, seed=count)
        faces = faces // torch.arange(1, count + 1, dtype=torch.uint8).reshape(-1, *[1] * (faces.ndim - 1))  # contrasts
        expected = answer(network, config, faces, *(boxes or [None]))
        found = session.run([OUTPUT], as_inputs(faces, *boxes))[0]
        assert found.shape == (count, CLASSES) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=PARITY)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    spread = float((expected.max(0) - expected.min(0)).max())
    assert np.abs(found - expected).max() < spread / 20  # else equality would mean little


@pytest.mark.parametrize(
    ("model", "learning", "channels"),
    [
        ({"backbone": "resnet10-small", "attention": "cbam", "mirror_average": False}, {"method": "scn-cs"}, 1),
        ({"backbone": "cnn3", "normalise": "image", "channels": 3}, {"method": "scn"}, 1),
        ({"backbone": "cnn3", "channels": 3}, {}, 3),
        ({"backbone": "teacher-action"}, {"method": "scn"}, 1),
    ],
)
def test_a_graph_equals_its_network(model: dict[str, Any], learning: dict[str, Any], channels: int) -> None:
    check(model, learning, channels)


EXHAUSTIVE = pytest.mark.exhaustive
EXPRESSION = [
    {},
    {"regions": "none", "region_attention": "softmax", "temporal": "lstm", "convlstm": False},
    {"mirror_average": False, "temporal": "flatten"},
]


@pytest.mark.parametrize("arm", [pytest.param(arm, marks=EXHAUSTIVE if arm else pytest.mark.slow) for arm in EXPRESSION])
def test_a_graph_with_boxes_equals_its_network(arm: dict[str, Any]) -> None:
    check({"backbone": "teacher-expression"} | arm, {"method": "scn"})


@pytest.mark.exhaustive
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_network_has_a_graph(backbone: str) -> None:
    check({"backbone": backbone}, {}, side=48)
