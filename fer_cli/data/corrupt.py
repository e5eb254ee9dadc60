"""Corruption as part of a run: label noise in the training part, image corruption in the training and test parts.

Label noise (Fan 2025, Fig 9): an exact fraction of training labels, from a recorded seed; symmetric, between confusable
classes, or from a file; ``data.uncertain`` degrades images besides. Image corruption: the steps of ``CorruptConfig`` in the
order of a camera. Validation parts are never changed.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from fer_cli.config import CONFUSABLE, CorruptConfig, DataConfig
from fer_cli.data.draws import normals
from fer_cli.data.listed import keep_known, name_of, read_sample_table
from fer_cli.data.occlude import occlude
from fer_cli.errors import DataError, nearest
from fer_cli.seeds import derive_seed

PIXELS_AT_ONCE = 2**21
"""Approximate chunk size in pixels; bounds memory."""


def plant_label_noise(codes: np.ndarray, classes: int, rate: float, seed: int) -> np.ndarray:
    """Return labels (N,) int64 with exactly round(rate x N) changed, each drawn uniformly from the other classes."""
    generator = np.random.default_rng(derive_seed(seed, "label-noise"))
    noisy = codes.copy()
    chosen = generator.permutation(len(codes))[: round(rate * len(codes))]
    noisy[chosen] = (codes[chosen] + generator.integers(1, classes, len(chosen))) % classes
    return noisy


def plant_pair_noise(codes: np.ndarray, partners: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Return labels (N,) int64 with exactly round(rate x N) changed, each drawn uniformly from its class's partners.

    ``partners``: (K, K) bool, False on the diagonal. Raises DataError if too few images have a class with a partner.
    """
    generator = np.random.default_rng(derive_seed(seed, "label-noise", "asymmetric"))
    number = partners.sum(1)  # (K,) of partners
    eligible, wanted = np.flatnonzero(number[codes]), round(rate * len(codes))
    if len(eligible) < wanted:
        short = f"{wanted} of {len(codes)} labels are to be replaced, but only {len(eligible)} have a class in a pair"
        raise DataError(f"data.label_noise: {short}; lower it or extend data.noise_pairs")
    chosen = generator.permutation(eligible)[:wanted]
    turn = generator.integers(0, number[codes[chosen]])
    first = np.argsort(~partners, axis=1, kind="stable")  # a class's partners, in code order, then all others
    noisy = codes.copy()
    noisy[chosen] = first[codes[chosen], turn]
    return noisy


def partners_of(classes: list[str], pairs: list[list[str]]) -> np.ndarray:
    """Return (K, K) bool, symmetric: which classes are confused with each other.

    Raises DataError if no pair is among ``classes``, or a class of user-given pairs is not.
    """
    places = {label: code for code, label in enumerate(classes)}
    unknown = [label for pair in pairs for label in pair if label not in places]
    if unknown and pairs != CONFUSABLE:
        raise DataError(f"data.noise_pairs: no class '{unknown[0]}'{nearest(unknown[0], classes)}")
    partners = np.zeros((len(classes), len(classes)), dtype=bool)
    for one, other in pairs:
        if one in places and other in places:
            partners[places[one], places[other]] = partners[places[other], places[one]] = True
    if not partners.any():
        raise DataError(f"data.noise_pairs: no pair is among the classes {', '.join(classes)}; give pairs of these")
    return partners


def labels_from_file(manifest: pd.DataFrame, classes: list[str], config: DataConfig) -> np.ndarray:
    """Return the labels (N,) int64 of a set replaced by those of ``config.noise_file``.

    Raises DataError for an unknown sample or label, and if no label changes.
    """
    path, sha256 = config.noise_file, config.noise_sha256
    assert path is not None and sha256 is not None
    listed = keep_known(read_sample_table(path, sha256, "label"), manifest, path, not config.classes)
    unknown = listed[~listed.isin(classes)]
    if len(unknown):
        sample, label = name_of(unknown.index[0], manifest), str(unknown.iloc[0])
        raise DataError(f"{path}: sample '{sample}': no class '{label}'{nearest(label, classes)}")
    labels = manifest["sample"].map(listed).fillna(manifest["label"])
    if (labels == manifest["label"]).all():
        raise DataError(f"{path}: has no effect: all its labels are those of the set")
    places = {label: code for code, label in enumerate(classes)}
    return np.asarray(labels.map(places), dtype=np.int64)


def training_labels(
    manifest: pd.DataFrame, codes: np.ndarray, train: np.ndarray, classes: list[str], config: DataConfig, seed: int
) -> np.ndarray:
    """Return the training labels (n,) int64 of the images at ``train`` (n,), with label noise as configured.

    ``codes``: (N,) true labels of the whole set. Raises DataError as the kinds of noise do.
    """
    true = codes[train]
    if config.noise_kind == "file":
        return np.asarray(labels_from_file(manifest, classes, config)[train])
    if config.noise_kind == "asymmetric":
        return plant_pair_noise(true, partners_of(classes, config.noise_pairs), config.label_noise, seed)
    return plant_label_noise(true, len(classes), config.label_noise, seed)


def corrupt_images(images: Tensor, samples: np.ndarray, config: CorruptConfig) -> Tensor:
    """Return images (N, T, C, S, S) uint8 after all steps of ``config``; ``samples`` (N,): their names.

    The occluder is at the same place in all frames of a clip; noise differs by frame and is shared by the channels. The
    result of an image depends only on its name and ``config.seed``.
    """
    if not config.active or not len(images):
        return images
    changed = np.empty(tuple(images.shape), dtype=np.uint8)
    step = max(1, PIXELS_AT_ONCE // images[0].numel())
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        changed[part] = _steps(images[part].numpy(), samples[part], config)
    return torch.from_numpy(changed)


def _steps(images: np.ndarray, samples: np.ndarray, config: CorruptConfig) -> np.ndarray:
    """Return (n, T, C, S, S) uint8 after occlusion, light, blur, downscale, noise and jpeg, in this order."""
    images = occlude(images, samples, config)
    if config.light < 1:
        images = to_uint8(np.arange(256) * config.light)[images]
    if config.blur > 0:
        images = to_uint8(gaussian_filter(images.astype(np.float32), config.blur, mode="nearest", axes=(-2, -1)))
    if config.downscale > 1:
        images = downscale(images, config.downscale)
    if config.noise > 0:
        n, frames, _, height, width = images.shape
        drawn = normals(samples, config.seed, "noise", frames * height * width).reshape(n, frames, 1, height, width)
        images = to_uint8(images + 255 * config.noise * drawn)
    return images if config.jpeg is None else compress(images, config.jpeg)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Return float grey values (...) rounded and clipped to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def downscale(images: np.ndarray, factor: float) -> np.ndarray:
    """Return (n, T, C, S, S) uint8 downscaled to round(S / factor), at least 1, and back to S, both bilinear."""
    side = images.shape[-1]
    small = max(1, round(side / factor))
    values = torch.from_numpy(images).reshape(-1, 1, side, side).float()
    for size in (small, side):
        values = F.interpolate(values, (size, size), mode="bilinear", antialias=True)
    return to_uint8(values.numpy()).reshape(images.shape)


def compress(images: np.ndarray, quality: int) -> np.ndarray:
    """Return (n, T, C, S, S) uint8 after JPEG compression of each channel as a grey image, quality 1-100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    files = (cv2.imencode(".jpg", plane, options)[1] for plane in images.reshape(-1, *images.shape[-2:]))
    planes = [np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), dtype=np.uint8) for file in files]
    return np.stack(planes).reshape(images.shape)
