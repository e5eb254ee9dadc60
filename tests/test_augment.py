"""Each random change of a training batch is there, as strong as its setting says, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fer_cli.config import AugmentConfig, RunConfig
from fer_cli.data.augment import augment
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.learning.train import new_module
from fer_cli.seeds import derive_seed

OFF = AugmentConfig(flip=0, rotate=0, translate=0, scale=0, brightness=0, contrast=0)
N, SIDE = 400, 32


def only(**settings: float) -> AugmentConfig:
    return OFF.model_copy(update=settings)


def dots(x: float, y: float) -> Tensor:
    """Return (N, 1, SIDE, SIDE) images of one blurred dot at (x, y), in sides from the centre."""
    places = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    blob = torch.exp(-((places[None, :] - x) ** 2 + (places[:, None] - y) ** 2) / (2 * 0.05**2))
    return blob.expand(N, 1, SIDE, SIDE)


def centres(images: Tensor) -> Tensor:
    """Return where the dots are: (N, 2), x and y."""
    places = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    total = images.sum((1, 2, 3))
    return torch.stack([(images.sum((1, 2)) @ places) / total, (images.sum((1, 3)) @ places) / total], 1)


def test_off_is_identity_and_on_is_seeded() -> None:
    images = torch.rand(5, 1, 24, 24)
    assert torch.allclose(augment(images, OFF, 1), images, atol=1e-5)
    assert torch.allclose(augment(images, only(flip=1.0), 1), images.flip(3), atol=1e-5)
    changed = augment(images, AugmentConfig(), 1)
    assert torch.equal(changed, augment(images, AugmentConfig(), 1))
    assert not torch.equal(changed, augment(images, AugmentConfig(), 2))
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    erased = augment(images + 1, only(erase=1.0), 3)
    share = (erased == 0).float().mean((1, 2, 3))
    assert float(share.min()) > 0.005 and float(share.max()) < 0.12


@pytest.mark.parametrize("degrees", [15.0, 60.0])
def test_rotation_turns_about_the_centre_by_up_to_its_degrees_either_way(degrees: float) -> None:
    found = centres(augment(dots(0.25, 0.0), only(rotate=degrees), 5))
    angles = torch.rad2deg(torch.atan2(found[:, 1], found[:, 0]))
    assert torch.allclose(found.norm(dim=1), torch.tensor(0.25), atol=0.01)
    assert angles.abs().max() < degrees + 0.5
    assert angles.min() < -0.95 * degrees and angles.max() > 0.95 * degrees
    assert angles.std().item() == pytest.approx(degrees / 3**0.5, rel=0.1), "uniform"


def test_translation_and_scale_reach_their_shares_of_the_side() -> None:
    moved = centres(augment(dots(0.0, 0.0), only(translate=0.1), 6))
    for axis in (0, 1):
        assert moved[:, axis].min().item() == pytest.approx(-0.1, abs=0.005)
        assert moved[:, axis].max().item() == pytest.approx(0.1, abs=0.005)
    zoomed = centres(augment(dots(0.25, 0.0), only(scale=0.2), 7))[:, 0]
    assert zoomed.min().item() == pytest.approx(0.25 / 1.2, abs=0.005)
    assert zoomed.max().item() == pytest.approx(0.25 / 0.8, abs=0.008)


def test_brightness_shifts_the_mean_and_keeps_the_contrast() -> None:
    images = 0.5 + 0.1 * torch.rand(N, 1, 8, 8)
    changed = augment(images, only(brightness=0.3), 8)
    shift = (changed - images).mean((1, 2, 3))
    assert torch.allclose(changed - shift.view(-1, 1, 1, 1), images, atol=1e-5)
    assert shift.min().item() == pytest.approx(-0.3, abs=0.02) and shift.max().item() == pytest.approx(0.3, abs=0.02)
    assert shift.std().item() == pytest.approx(0.3 / 3**0.5, rel=0.1)


def test_contrast_scales_about_the_mean_and_keeps_it() -> None:
    images = 0.4 + 0.2 * torch.rand(N, 1, 8, 8)
    changed = augment(images, only(contrast=0.4), 9)
    mean, kept = (part.mean((1, 2, 3), keepdim=True) for part in (images, changed))
    assert torch.allclose(kept, mean, atol=1e-5)
    gain = (changed - kept).std((1, 2, 3)) / (images - mean).std((1, 2, 3))
    assert torch.allclose(changed, (images - mean) * gain.view(-1, 1, 1, 1) + mean, atol=1e-5)
    assert gain.min().item() == pytest.approx(0.6, abs=0.02) and gain.max().item() == pytest.approx(1.4, abs=0.02)


def test_flip_mirrors_as_many_images_as_its_probability() -> None:
    found = centres(augment(dots(0.25, 0.1), only(flip=0.5), 10))
    assert np.isclose((found[:, 0] < 0).float().mean().item(), 0.5, atol=0.08)
    assert torch.allclose(found[:, 1], torch.tensor(0.1), atol=0.01)


def test_training_sees_changed_images_and_prediction_the_image_itself(
    data_root: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(augment=only(rotate=40.0, contrast=0.3, brightness=0.1))
    data = RunData(load_set(data_root, "ck48"), config)
    module = new_module(config, data)
    monkeypatch.setattr(module, "_log", lambda *_: None)
    seen = []
    module.model.register_forward_hook(lambda _, given, __: seen.append(given[0].detach()))
    batch = data.train[list(range(8))]
    module.training_step(batch, 3)
    pixels = module.pixels(batch.images)
    assert torch.equal(seen[0], augment(pixels, config.augment, derive_seed(config.seed, "batch", 0, 3)))
    assert not torch.allclose(seen[0], pixels, atol=0.05)
    module.averaged = None
    module.predict_step(batch, 0)
    assert torch.equal(seen[1], pixels)
