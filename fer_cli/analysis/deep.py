"""Deep features: what the classifier of a finished run gets for any images (Sun 2024, section 3.1: fc7 of VGG-16).

Sun 2024 does not say which images the extractor was trained on. Here features for a split come from a run on that split's
own training part, and ``check_unseen`` refuses any other.

Images are computed in batches of one shape, the last filled up, so that the features of an image depend neither on how many
others there are nor on which. Precision and memory layout are the machine's: bf16 and channels last where it is fast at
them. An image is looked at once, as it is: not mirrored, and not corrupted where the run corrupted its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from fer_cli.ablate import Item
from fer_cli.analysis.reopen import Reopened, reopen
from fer_cli.config import Machine, RunConfig
from fer_cli.data.manifest import load_set, read_block
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError, ResultsError
from fer_cli.runs import RunFolder
from fer_cli.study import PlannedRun

MOST_IMAGES = 64
"""Largest batch."""
MOST_PIXELS = 2**20
"""Largest batch in pixels: 64 channels of VGG-16's first maps are then 256 MiB."""


def finished(run_id: str, machine: Machine) -> Item:
    """Return a finished run by its id; raises ResultsError where there is none or it is not what its id says today."""
    folder = RunFolder(machine.results, run_id)
    if folder.status != "done":
        raise ResultsError(f"{folder.path}: no finished run (it is {folder.status}); see fer ablate")
    result = folder.result()
    try:
        config = RunConfig.model_validate_json(folder.file("config.json").read_text(encoding="utf-8"))
        fingerprint, start = result["fingerprint"], result["pretrained_by"]
    except (OSError, ValidationError, KeyError):
        raise ResultsError(f"{folder.path}: not written by this version; train it again") from None
    if config.run_id(fingerprint if start is None else f"{fingerprint}<{start}") != run_id:
        raise ResultsError(f"{folder.path}: of an earlier version, whose networks or training differed; train it again")
    return Item(PlannedRun(config.model.backbone, (), config.seed, config, ()), fingerprint, folder)


def parts_of(item: Item, machine: Machine) -> dict[str, list[str]]:
    """Return the samples of a run's own set in its parts train, val and test (none where it is tested on another set).

    Raises DataError when the set, and with it perhaps the split, is not the one the run was trained on.
    """
    config = item.run.config.data
    faces = load_set(machine.data_root, config.name)
    built = faces.info.fingerprint
    if built != item.fingerprint.split("+")[0]:
        raise DataError(f"run {item.run_id}: trained on {config.name} {item.fingerprint}, which is {built} now: train anew")
    faces = faces.of_classes(config.classes) if config.classes else faces
    split = make_split(faces.manifest, config)
    recorded = item.folder.result()["data"]["split_hash"]
    if split.hash != recorded:
        raise DataError(f"run {item.run_id}: its parts were {recorded}, its settings give {split.hash} now: train anew")
    samples = faces.manifest["sample"].to_numpy()
    return {part: samples[getattr(split, part)].tolist() for part in ("train", "val", "test")}


def trained_on(item: Item, machine: Machine) -> list[str]:
    """Return the samples of the training part of a finished run, leaked ones among them; raises as ``parts_of`` does.

    Images of ``model.pretrain`` and those behind a file of weights belong to other sets and are not among them.
    """
    return parts_of(item, machine)["train"]


def check_unseen(item: Item, machine: Machine, samples: Iterable[str]) -> None:
    """Raise DataError, with their number, if test samples of the run's own set had a part in its weights.

    These are the training part and the validation part, which chose the epoch.
    """
    wanted, parts = set(samples), parts_of(item, machine)
    trained, chose = (sorted(wanted & set(parts[part])) for part in ("train", "val"))
    if trained or chose:
        also = f" and {len(set(chose) - set(trained))} in its validation part, which chose its epoch"
        raise DataError(
            f"run {item.run_id}: {len(trained)} of {len(wanted)} test samples were in its training part{also} "
            f"(e.g. {(trained or chose)[0]}); take features from a run on this split's own training part"
        )


def deep_features(item: Item, machine: Machine, images: np.ndarray, unseen: Iterable[str] = ()) -> np.ndarray:
    """Return what the classifier of a finished run gets of each image: (N, D) float32.

    ``images``: (N, S, S) grey or (N, S, S, 3) RGB, uint8, of any side S; they are resized as the run's own were.
    ``unseen``: test samples of the run's set that must have had no part in its weights; DataError where one had.
    Raises ResultsError when the run is not finished or its weights are gone, DataError for other arrays.
    """
    check_images(images)
    check_unseen(item, machine, unseen)
    return features_of(reopen(item, machine), images)


def check_images(images: np.ndarray) -> None:
    """Raise DataError for an array that is not one of square grey or RGB images."""
    square = images.ndim in {3, 4} and images.shape[1] == images.shape[2] > 0
    if images.dtype != np.uint8 or not square or (images.ndim == 4 and images.shape[3] != 3):
        shape = " x ".join(map(str, images.shape))
        raise DataError(f"images: (N, S, S) grey or (N, S, S, 3) RGB uint8 are needed, not {shape} {images.dtype}")


def features_of(run: Reopened, images: np.ndarray) -> np.ndarray:
    """Return the features (N, D) float32 of images as ``deep_features`` takes them; a memory-mapped array stays on disk."""
    layout = torch.channels_last if run.means.channels_last else torch.contiguous_format
    run.module.to(memory_format=layout)
    batch = batch_size(run.data.config.data.image_size)
    found = np.empty((len(images), run.network.backbone.feature_size), np.float32)
    with torch.inference_mode(), torch.autocast(run.means.device, torch.bfloat16, enabled=run.means.bf16):
        for start in range(0, len(images), batch):
            pixels = pixels_of(run, read_block(images, start, start + batch))
            features = run.network(filled(pixels, batch).contiguous(memory_format=layout)).features
            found[start : start + batch] = features[: len(pixels)].float().cpu().numpy()
    return found


def batch_size(side: int) -> int:
    """Return how many images of ``side`` pixels are computed at once."""
    return max(1, min(MOST_IMAGES, MOST_PIXELS // side**2))


def pixels_of(run: Reopened, images: np.ndarray) -> Tensor:
    """Return images as the network takes them: (B, C, S, S) float32 in [0, 1], at the run's size."""
    writable = np.require(images, requirements="W")  # torch warns of an array it may not write to, though it will not
    small = run.data.ready("given", writable)  # not the name of a part that a run could corrupt
    return run.module.pixels(small.to(run.means.device))


def filled(pixels: Tensor, batch: int) -> Tensor:
    """Return (``batch``, C, S, S): the given images, then the last of them again and again."""
    missing = batch - len(pixels)
    return torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)]) if missing else pixels
