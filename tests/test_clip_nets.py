"""The networks on clips: counts, arms, what each sees of the order of frames, and what they say they attend to."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from fer_cli.config import BACKBONES, REGIONS, LearningConfig, ModelConfig, RegionConfig, RunConfig
from fer_cli.errors import StudyError
from fer_cli.learning.record import load_backbone, write_tensors
from fer_cli.models.build import build_model
from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.roi import dead_regions
from fer_cli.models.scn import Recogniser
from tests.clip_inputs import FRAMES, random_input

EXPRESSION: list[dict[str, Any]] = [
    {},
    {"regions": "important"},
    {"regions": "none"},
    {"region_attention": "softmax"},
    {"region_attention": "none"},
    {"convlstm": False},
    *({"temporal": name, "convlstm": both} for name in ("mean", "last", "lstm", "flatten") for both in (True, False)),
]
ACTION: list[dict[str, Any]] = [
    {},
    *({"disentangle": name} for name in ("avg_softmax", "all_pairs", "all_pairs_naive", "frame", "none")),
    *({"region": {"layer": "local", "merge": merge, "grid": grid}} for merge, grid in (("gate", 7), ("sum", 2))),
    *({"region": {"layer": "shared", "merge": merge}} for merge in ("sum", "gate")),
    {"region": {"layer": "none"}},
    {"cells": 5},
    {"motion": True},
]
ARMS = [{"backbone": "teacher-expression"} | arm for arm in EXPRESSION] + [
    {"backbone": "teacher-action"} | arm for arm in ACTION
]

QUICK = ({}, {"temporal": "last", "convlstm": False}, {"region": {"layer": "shared", "merge": "sum"}})
FEW = [arm if dict([*arm.items()][1:]) in QUICK else pytest.param(arm, marks=pytest.mark.slow) for arm in ARMS]


def name_arm(arm: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in arm.items()).replace("backbone=teacher-", "")


def build(arm: dict[str, Any], classes: int = 4, seed: int = 0, frames: int = FRAMES, alpha: bool = False) -> Recogniser:
    torch.manual_seed(seed)
    return build_model(ModelConfig.model_validate(arm), classes, alpha, 48, frames=frames)


def logits_of(net: Recogniser, given: tuple[Tensor, ...]) -> Tensor:
    clips, *boxes = given
    return net(clips, None, *boxes).logits


# sizes


@pytest.mark.parametrize(
    ("backbone", "channels", "layers", "parameters"),
    [
        ("teacher-expression", 1, 1, 575_834),
        ("teacher-expression", 1, None, 577_306),
        ("teacher-expression", 1, 2, 577_306),
        ("teacher-expression-paper", 3, None, 32_223_310),
    ],
)
def test_parameters_of_expression_networks(backbone: str, channels: int, layers: int | None, parameters: int) -> None:
    config = ModelConfig(backbone=backbone, channels=channels, importance_layers=layers)  # type: ignore[arg-type]
    with torch.device("meta"):
        net = build_model(config, 7, attention=True, frames=16)
    assert count_parameters(net) == parameters


def test_parameters_of_the_papers_parts() -> None:
    with torch.device("meta"):
        net: Any = build_model(ModelConfig(backbone="teacher-expression-paper", channels=3), 7, attention=True, frames=16)
        small: Any = build_model(ModelConfig(backbone="teacher-action"), 7, attention=False, frames=16)
        large: Any = build_model(ModelConfig(backbone="teacher-action-paper", channels=3), 7, attention=False, frames=16)
    backbone = net.backbone
    trunk = [part for name, part in backbone.named_children() if name in {"conv1", "bn1"} or name.startswith("layer")]
    assert sum(map(count_parameters, trunk)) == 26_022_976
    assert sum(map(count_parameters, trunk[:-1])) == 9_485_376
    parts = {
        "region_attention": 262_401 + 180,
        "thirds": 2_360_064,
        "convlstm": 3 * 1_180_160,
        "temporal": 9_809,
        "fc": 2_695,
    }
    assert {name: count_parameters(backbone.get_submodule(name)) for name in parts} == parts
    assert count_parameters(net.alpha) == 24_705
    for action, width, layer in ((small, 32, 456_288), (large, 128, 7_244_160)):
        assert count_parameters(action.backbone.region) == layer
        own = width**2 + width + 7 * (width + 1)
        narrow = action.backbone.widths[2] * width
        blocks = 4 * (2 * (width + 1) * width // 4 + 2 * width * (width + 1) + 2 * width)
        rest = [
            part for name, part in action.backbone.named_children() if name in {"conv1", "bn1", "layer1", "layer2", "layer3"}
        ]
        assert count_parameters(action) == sum(map(count_parameters, rest)) + narrow + layer + blocks + own


def test_a_trunk_on_stills_has_the_names_and_shapes_of_the_networks_on_clips() -> None:
    for name, known in BACKBONES.items():
        if known.trunk is None:
            continue
        with torch.device("meta"):
            clips = build_model(ModelConfig(backbone=name), 7, False, frames=FRAMES).backbone.state_dict()  # type: ignore[attr-defined]
            still = build_model(ModelConfig(backbone=known.trunk), 7, False).backbone.state_dict()  # type: ignore[attr-defined]
        shared = {key for key in clips if key.split(".")[0] in {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}}
        assert {key: clips[key].shape for key in shared} == {key: still[key].shape for key in shared}
        assert set(still) - shared <= {key for key in still if key.startswith(("fc.", "layer4."))}


def test_the_tiny_trunk() -> None:
    net: Any = build_model(ModelConfig(backbone="se-resnet18-tiny"), 7, attention=False).backbone
    assert count_parameters(net) == 325_559
    assert [tuple(one.shape[1:]) for one in net.maps(torch.rand(1, 1, 48, 48))] == [
        (16, 24, 24), (32, 12, 12), (64, 6, 6), (64, 6, 6)
    ]  # fmt: skip
    assert {block.attention.gate.reduce.out_features for stage in net.stages for block in stage} == {4}


@pytest.mark.parametrize("name", [name for name, known in BACKBONES.items() if known.clips and "paper" not in name])
def test_a_trunk_trained_on_stills_starts_a_network_on_clips(name: str, tmp_path: Path) -> None:
    trunk = build_model(ModelConfig(backbone=BACKBONES[name].trunk), 5, attention=False)  # type: ignore[arg-type]
    for weights in trunk.parameters():
        torch.nn.init.normal_(weights)
    write_tensors(tmp_path / "best.pt", {"state": trunk.state_dict(), "classes": ["a"]})
    net = build({"backbone": name})
    before = {key: value.clone() for key, value in net.state_dict().items()}
    module: Any = SimpleNamespace(model=net, judged=net, config=RunConfig(model=ModelConfig(backbone=name)))
    load_backbone(tmp_path / "best.pt", module)
    still, changed = trunk.state_dict(), set()
    for key, value in net.state_dict().items():
        if not torch.equal(value, before[key]):
            changed.add(key.split(".")[1])
            assert torch.equal(value, still[key])
    stages = {"layer1", "layer2", "layer3"} | ({"layer4"} if "expression" in name else set())
    assert changed == {"conv1", "bn1"} | stages


# arms


@pytest.mark.parametrize("arm", ARMS, ids=name_arm)
def test_every_arm_trains_all_of_its_parameters(arm: dict[str, Any]) -> None:
    net, config = build(arm, alpha=True), ModelConfig.model_validate(arm)
    clips, *boxes = random_input(config, 6)
    scores = net(clips, None, *boxes)
    (F.cross_entropy(scores.logits, torch.arange(6) % 4) + (scores.alpha - 0.3).square().sum()).backward()  # type: ignore[operator]
    free = {"feed.bias"}  # the batch norm after it takes it off
    free |= {"q2.bias"}  # at the start it moves all frames' scores alike, which the softmax over frames ignores
    free |= {"key.bias"} if arm.get("disentangle") in {"avg_softmax", "all_pairs", "all_pairs_naive"} else set()
    for name, weights in net.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.isfinite().all(), name
        assert weights.grad.abs().sum() > 0 or ".".join(name.split(".")[-2:]) in free, name


@pytest.mark.parametrize("arm", FEW, ids=name_arm)
def test_every_arm_judges_each_clip_alone_and_learns_one_batch(arm: dict[str, Any]) -> None:
    net, config = build(arm), ModelConfig.model_validate(arm)
    given, labels = random_input(config, 12, 32), torch.arange(12) % 4
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        loss = F.cross_entropy(logits_of(net, given), labels)
        if loss.item() < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.1
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            logits_of(net, given)[3:4], logits_of(net, tuple(one[3:4] for one in given)), rtol=1e-3, atol=1e-4
        )


def test_arms_share_the_initial_weights_of_common_parts() -> None:
    for backbone, arms in (("teacher-expression", EXPRESSION), ("teacher-action", ACTION)):
        full = build({"backbone": backbone}).state_dict()
        for arm in arms:
            one = build({"backbone": backbone} | arm).state_dict()
            common = [key for key in full if key in one and full[key].shape == one[key].shape]
            assert len(common) > 100
            different = {key.split(".")[1] for key in common if not torch.equal(full[key], one[key])}
            assert different <= ({"fc"} if arm.get("temporal") == "flatten" else set()), arm  # of more features


def test_an_importance_head_changes_no_other_weight() -> None:
    plain, armed = build({"backbone": "teacher-expression"}).state_dict(), build(ARMS[0], alpha=True).state_dict()
    assert all(torch.equal(value, armed[key]) for key, value in plain.items())


# order of frames


@pytest.mark.parametrize("arm", ARMS, ids=name_arm)
def test_what_an_arm_sees_of_the_order_of_frames(arm: dict[str, Any]) -> None:
    """The mean without ConvLSTM sees none, and so does the action network, which has no codes of positions."""
    net, config = build(arm).eval(), ModelConfig.model_validate(arm)
    if (attention := getattr(net.backbone, "temporal", None)) is not None and config.temporal == "attention":
        torch.nn.init.normal_(attention.weights.q4.weight)  # it starts without places
    given, order = random_input(config, 3), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        made, shuffled = logits_of(net, given), logits_of(net, tuple(one[:, order] for one in given))
    blind = config.backbone == "teacher-action" or (config.temporal == "mean" and not config.convlstm)
    assert torch.allclose(made, shuffled, rtol=1e-3, atol=1e-5) == blind


@pytest.mark.parametrize("name", ["teacher-expression", "teacher-action"])
def test_bf16_changes_little(name: str) -> None:
    net, given = build({"backbone": name}).eval(), random_input(ModelConfig(backbone=name), 4)
    with torch.no_grad():
        exact, seen = logits_of(net, given), net.attention(*given)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, other = logits_of(net, given), net.attention(*given)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.02)
    for key, values in seen.items():
        torch.testing.assert_close(other[key], values, rtol=0.05, atol=0.02)


def test_one_frame_is_enough() -> None:
    for name in ("teacher-expression", "teacher-action"):
        net, given = build({"backbone": name}, frames=1), random_input(ModelConfig(backbone=name), 2, frames=1)
        assert logits_of(net, given).shape == (2, 4)


# attention


def test_an_expression_network_tells_what_it_attends_to() -> None:
    net = build({"backbone": "teacher-expression"}).eval()
    clips, boxes = random_input(ModelConfig(backbone="teacher-expression"), 3)
    seen = net.attention(clips, boxes)
    assert {name: tuple(values.shape) for name, values in seen.items()} == {"frames": (3, FRAMES), "regions": (3, 9)}
    torch.testing.assert_close(seen["frames"].sum(1), torch.ones(3))
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(net.attention(clips[:, order], boxes[:, order])["regions"], seen["regions"])
    still = net.attention(clips[:, :1].expand(-1, FRAMES, -1, -1, -1), boxes[:, :1].expand(-1, FRAMES, -1, -1))
    assert not torch.allclose(still["regions"], seen["regions"])
    bare = build({"backbone": "teacher-expression", "temporal": "mean", "region_attention": "none"})
    assert bare.attention(clips, boxes) == {}


def test_order_of_regions_within_their_third_permutes_the_weights_inputs() -> None:
    """A region that moves to another place in its third is treated by that place's weights: boxes have an order."""
    net = build({"backbone": "teacher-expression"}).eval()
    clips, boxes = random_input(ModelConfig(backbone="teacher-expression"), 2)
    swapped = boxes[:, :, [1, 0, *range(2, 9)]]
    with torch.no_grad():
        backbone: Any = net.backbone
        cut, other = backbone.over_time(clips, boxes), backbone.over_time(clips, swapped)
    assert not torch.allclose(cut[:, :, :32], other[:, :, :32], atol=1e-4)


def test_mirrored_clips_and_boxes_give_mirrored_regions() -> None:
    """With kernels that are their own mirror images, a mirrored clip with mirrored boxes has the same logits."""
    net = build({"backbone": "teacher-expression"}).eval()
    clips, boxes = random_input(ModelConfig(backbone="teacher-expression"), 2, 33)  # an odd side: strides keep the symmetry
    with torch.no_grad():
        for weights in net.parameters():
            if weights.ndim == 4:
                weights.copy_((weights + weights.flip(3)) / 2)
    mirrored = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], 3)
    with torch.no_grad():
        made, other = logits_of(net, (clips, boxes)), logits_of(net, (clips.flip(4), mirrored))
    torch.testing.assert_close(made, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("region", [{"layer": "local"}, {"layer": "shared"}, {"layer": "local", "merge": "gate", "grid": 3}])
def test_an_action_network_tells_the_weights_of_patches(region: dict[str, Any]) -> None:
    net = build({"backbone": "teacher-action", "region": region}).eval()
    (clips,) = random_input(ModelConfig(backbone="teacher-action"), 2)
    patches = net.attention(clips)["patches"]
    grid = region.get("grid", 7)
    assert patches.shape == (2, FRAMES, grid, grid) and patches.min() > 0
    assert region.get("merge") != "gate" or patches.max() < 1
    assert build({"backbone": "teacher-action", "region": {"layer": "none"}}).attention(clips) == {}


def test_a_dead_compression_is_seen_from_outside() -> None:
    net = build({"backbone": "teacher-expression"})
    given = random_input(ModelConfig(backbone="teacher-expression"), 2)
    logits_of(net, given)
    assert dead_regions(net) == 0.0
    torch.nn.init.constant_(net.get_submodule("backbone.region_attention.weights.compress.fc2").bias, -100.0)  # type: ignore[arg-type]
    logits_of(net, given)
    assert dead_regions(net) == 1.0


# input


def test_own_contrast_is_that_of_the_whole_clip() -> None:
    config = ModelConfig(backbone="teacher-action", normalise="image")
    torch.manual_seed(0)
    net = build_model(config, 4, False, frames=FRAMES).eval()
    clips = torch.rand(2, FRAMES, 1, 48, 48)
    clips[:, 1] *= 0.1
    made = net.standardise(clips)
    torch.testing.assert_close(made.mean((1, 2, 3, 4)), torch.zeros(2), rtol=0, atol=1e-5)
    assert made[:, 1].mean() < -0.5, "a dark frame stays dark"
    torch.testing.assert_close(net.standardise(0.5 * clips + 0.1), made, rtol=0.1, atol=0.1)


def test_wrong_clips_and_boxes_are_one_line() -> None:
    net = build({"backbone": "teacher-expression"})
    clips, boxes = random_input(ModelConfig(backbone="teacher-expression"), 2)
    for given, words in (
        (
            (clips[:, :2], boxes[:, :2]),
            r"frames: the network takes clips \(B, 4, C, H, W\), not 2x2x1x48x48; set data.frames",
        ),
        ((clips[:, 0], boxes), "frames: the network takes clips"),
        ((clips, boxes[:, :, :3]), "boxes: the network takes 2x4x9x4, not 2x4x3x4; set model.regions"),
        ((clips,), "boxes: the network takes 2x4x9x4, not none"),
    ):
        with pytest.raises(StudyError, match=words):
            logits_of(net, given)


@pytest.mark.parametrize("name", ["teacher-expression", "teacher-action"])
def test_multiply_adds_are_counted(name: str) -> None:
    """The nine regions' last stage is most of an expression network's cost; each further frame costs the same."""
    shapes = {
        frames: [(frames, 1, 48, 48), *([(frames, REGIONS["au"], 4)] if BACKBONES[name].regions else [])]
        for frames in (4, 8)
    }
    cost = {
        frames: count_multiply_adds(build({"backbone": name}, frames=frames).backbone, *shapes[frames]) for frames in (4, 8)
    }  # type: ignore[arg-type]
    assert cost[4] > 4 * 5_000_000
    assert 1.95 < cost[8] / cost[4] < 2.05


# settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("regions", "none"),
        ("region_attention", "none"),
        ("convlstm", False),
        ("temporal", "mean"),
        ("region", {"grid": 5}),
        ("disentangle", "frame"),
        ("cells", 5),
        ("motion", True),
    ],
)
def test_settings_count_only_for_networks_that_take_them(setting: str, value: Any) -> None:
    for name, known in BACKBONES.items():
        config = ModelConfig.model_validate({"backbone": name, setting: value})
        assert (setting in config.idle()) == (setting not in known.takes), name


def test_settings_without_effect_are_refused() -> None:
    for region, words in (
        ({"layer": "none", "merge": "gate"}, "merge: has no effect"),
        ({"layer": "none", "grid": 5}, "grid"),
    ):
        with pytest.raises(ValidationError, match=words):
            RegionConfig.model_validate(region)
    assert "cells" in ModelConfig(backbone="teacher-action", disentangle="none", cells=5).idle()
    with pytest.raises(
        ValidationError, match=r"model.importance_layers has no effect: learning.method ce has no importance"
    ):
        RunConfig(model=ModelConfig(importance_layers=2))
    RunConfig(model=ModelConfig(importance_layers=2), learning=LearningConfig(method="scn"))
    with pytest.raises(ValidationError, match="starts the trunk only, and the rest would stay random"):
        ModelConfig(backbone="teacher-action", pretrain="synth-basic", freeze=True)


def test_every_option_is_among_the_arms() -> None:
    for field, arms in (
        ("regions", EXPRESSION),
        ("region_attention", EXPRESSION),
        ("temporal", EXPRESSION),
        ("disentangle", ACTION),
    ):
        info = ModelConfig.model_fields[field]
        assert {arm.get(field, info.default) for arm in arms} == set(get_args(info.annotation))
    layers = {RegionConfig.model_validate(arm.get("region", {})).layer for arm in ACTION}
    assert layers == set(get_args(RegionConfig.model_fields["layer"].annotation))
