"""Every entry of BACKBONES and ATTENTION keeps its contract: it builds, and can do what it says, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fer_cli.config import ATTENTION, BACKBONES, ModelConfig, PartsConfig
from fer_cli.errors import StudyError
from fer_cli.models.attention import make_attention
from fer_cli.models.build import build_backbone, build_model
from fer_cli.models.capsule import LogOdds
from fer_cli.models.clip_net import ClipNet
from fer_cli.models.downsample import DOWNSAMPLE
from fer_cli.models.gates import watch_gates
from tests.clip_inputs import FRAMES, random_input
from tests.conftest import Called


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_backbone_takes_images_from_its_smallest_side_on(name: str) -> None:
    known, config = BACKBONES[name], ModelConfig(backbone=name, channels=3)
    with pytest.raises(StudyError, match=f"image_size: {name} needs at least {known.least} pixels, not {known.least - 1}"):
        build_backbone(config, 7, known.least - 1)
    with torch.device("meta"):
        network: Any = build_backbone(config, 7, known.least, frames=FRAMES)
        features = network.eval().features(*random_input(config, 2, known.least))
        assert features.shape == (2, network.feature_size)
        assert network.fc(features).shape == (2, 7)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_backbone_can_do_what_it_says(name: str) -> None:
    known = BACKBONES[name]
    assert set(known.takes) <= set(ModelConfig.model_fields)
    with torch.device("meta"):
        network: Any = build_backbone(ModelConfig(backbone=name), 7, 48)
        if known.stages:
            maps = network.eval().maps(torch.empty(2, 1, 48, 48))
            assert len(maps) == len(network.stages) == 4
        assert hasattr(network, "stages") == known.stages
        assert isinstance(network.fc, LogOdds) == known.capsules
        assert isinstance(network, ClipNet) == known.clips
        assert hasattr(network, "regions") == known.regions
        if known.trunk is not None:
            assert not BACKBONES[known.trunk].clips
        if known.joins:
            joined: Any = build_model(ModelConfig(backbone=name), 7, attention=True, joined=5).eval()
            assert joined(torch.empty(2, 1, 48, 48), torch.empty(2, 5)).logits.shape == (2, 7)
        if known.bottlenecks:
            build_backbone(ModelConfig(backbone=name, downsample="v1"), 7, 48)
    if not known.bottlenecks:
        with pytest.raises(ValidationError, match="v1 requires bottlenecks"):
            ModelConfig(backbone=name, downsample="v1")


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "none"])
@pytest.mark.parametrize("backbone", [name for name in BACKBONES if {"attention", "parts"} & set(BACKBONES[name].takes)])
def test_a_block_is_found_in_each_stage_and_has_the_gates_that_its_picture_shows(backbone: str, name: str) -> None:
    if "parts" in BACKBONES[backbone].takes:
        config = ModelConfig(backbone=backbone, parts=PartsConfig(attention=name))
    else:
        config = ModelConfig(backbone=backbone, attention=name)
    assert config.block == name
    with torch.device("meta"):
        network: Any = build_backbone(config, 7, 48)
    for stage in network.stages:
        assert [part for place, part in stage.named_modules() if place.rpartition(".")[2] == "attention"]
    block = make_attention(name, 32).eval()
    with watch_gates(block) as gates:
        block(torch.rand(2, 32, 6, 5))
    placed = [values for values in gates.values() if values.shape[2:] == (6, 5)]
    assert bool(placed) == bool(ATTENTION[name].gates)
    assert ("over the face" in ATTENTION[name].picture) == bool(placed)


@pytest.mark.parametrize("name", list(ATTENTION))
def test_settings_of_a_block_count_only_where_it_takes_them(name: str) -> None:
    takes = ATTENTION[name].takes
    for setting, value in (("groups", 4), ("reduction", 2)):
        config = ModelConfig(attention=name, **{setting: value})
        assert (setting in config.idle()) == (setting not in takes)
        if setting in takes:
            changed, plain = (build_model(one, 7, False) for one in (config, ModelConfig(attention=name)))
            sizes = [sum(weights.numel() for weights in net.parameters()) for net in (changed, plain)]
            assert sizes[0] != sizes[1]


def test_a_misspelt_name_gets_the_nearest(fer: Callable[..., Called], study_file: Path, tmp_path: Path) -> None:
    study = study_file.read_text()
    for setting, words in (
        ("{model.backbone: resnet-18}", "model.backbone: unknown name 'resnet-18'; did you mean resnet18"),
        ("{model.attention: cbma}", "model.attention: unknown name 'cbma'; did you mean cbam"),
        ("{model.backbone: multiscale, model.parts.attention: sge2}", "model.parts.attention: unknown name 'sge2'; did you"),
    ):
        path = tmp_path / "tiny.yaml"
        path.write_text(study.replace("{learning.method: scn-cs}", setting))
        called = fer("ablate", "--study", path, "--plan")
        assert called.code == 2
        assert words in called.err
        assert called.err.count("\n") == 1


def test_every_way_of_halving_maps_can_be_set() -> None:
    assert get_args(ModelConfig.model_fields["downsample"].annotation) == tuple(DOWNSAMPLE)


def test_none_is_no_block() -> None:
    assert ModelConfig().block == ModelConfig(backbone="vgg16").block == "none"
    assert isinstance(make_attention("none", 4), nn.Identity)
