"""Features: the suite beside the plain loop over images with the same libraries.

The plain loop is one process and one image at a time: scikit-image's HOG and LBP, OpenCV's SIFT, a network of fp32 with
batches of one image. It has images and network in memory and the libraries loaded. The suite begins with an empty store and
reads the set from disk: starting processes, writing and reading back the entry count. A second run finds the entry.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from fer_cli.bench.timing import Row, compare
from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig
from fer_cli.data.block import Block, pictures
from fer_cli.data.identity import fingerprint, image_hash
from fer_cli.data.manifest import IMAGES, FaceSet, load_set, write_info
from fer_cli.errors import FerError
from fer_cli.features.extractor import Descriptions, Extractor, one_thread
from fer_cli.features.hog import Hog
from fer_cli.features.sift import Sift
from fer_cli.features.store import Store
from fer_cli.learning.compute import has_fast_bf16
from fer_cli.learning.deep import Cnn
from fer_cli.learning.record import save_weights
from fer_cli.learning.reopen import Reopened
from fer_cli.learning.train import load_data, new_module, prepare_torch
from fer_cli.runs import RunFolder

IMAGES_OF = {"HOG": 4000, "SIFT": 2000, "CNN": 2000}
"""Images of each comparison."""
PROCESSES = 2
COSINE = 0.999
"""Lowest similarity of an image's features to the plain loop's."""


def repeat_faces(faces: FaceSet, count: int, side: int, root: Path) -> FaceSet:
    """Write ``count`` mirrored and shifted faces of a set, at ``side`` pixels, to ``root`` and return them as a set."""
    import pandas as pd

    folder = root / faces.info.name
    folder.mkdir(parents=True)
    small = np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in pictures(faces.images[:])])
    images, manifests = [], []
    for turn in range(-(-count // len(small))):
        part = small[:, :, ::-1] if turn % 2 else small
        images.append(np.roll(part, (turn // 2 % 11, turn // 22), (1, 2)))
        manifests.append(faces.manifest.assign(sample=faces.manifest["sample"] + f"-{turn}"))
    pixels, manifest = np.concatenate(images)[:count], pd.concat(manifests, ignore_index=True)[:count]
    np.save(folder / IMAGES, pixels)
    digest = image_hash(Block(pixels))
    identity = {"fingerprint": fingerprint(manifest, digest, [], faces.info.classes), "files": {IMAGES: digest}}
    about = {"kept": count, "found": count, "image_size": side, "embedded": None}
    write_info(folder, faces.info.model_copy(update=about | identity), manifest)
    return load_set(root, faces.info.name)


def plain_hog(images: np.ndarray) -> Descriptions:
    """Return HOG by scikit-image, image by image."""
    from skimage.feature import hog

    found = [hog(image, 9, (8, 8), (2, 2), "L2-Hys", transform_sqrt=True) for image in images]
    return Descriptions(np.stack(found), np.ones(len(found), np.int64))


def plain_sift(images: np.ndarray) -> Descriptions:
    """Return SIFT's descriptors by OpenCV, image by image."""
    sift = cv2.SIFT_create()  # type: ignore[attr-defined]
    found = [values for _, values in (sift.detectAndCompute(image, None) for image in images)]
    counts = np.array([0 if values is None else len(values) for values in found])
    return Descriptions(np.concatenate([values for values in found if values is not None]), counts)


def plain_network(network: nn.Module, images: np.ndarray) -> Descriptions:
    """Return a network's features, image by image, in fp32."""
    with torch.inference_mode():
        found = [network(torch.from_numpy(image)[None, None].float() / 255).features[0].numpy() for image in images]
    return Descriptions(np.stack(found), np.ones(len(found), np.int64))


def open_network(faces: FaceSet, compute: Compute) -> Cnn:
    """Return the extractor of vgg-small with random weights, saved under the results folder as a finished run, opened.

    Its batch norms have seen some faces: with their initial statistics, all faces would have similar features.
    """
    config = RunConfig(data=DataConfig(name=faces.info.name, image_size=48), model=ModelConfig(backbone="vgg-small"))
    module = new_module(config, load_data(config, compute)[0])
    module.judged.train()
    with torch.no_grad():
        for start in range(0, min(len(faces.images), 640), 64):
            module.judged(module.pixels(torch.from_numpy(faces.images[start : start + 64])))
    folder = RunFolder(compute.results, config.run_id(faces.info.fingerprint))
    folder.path.mkdir(parents=True, exist_ok=True)
    save_weights(folder.file("best.pt"), module, 0)
    extractor = Cnn(run=folder.run_id, weights="0" * 64, device="cpu", precision="bf16" if has_fast_bf16("cpu") else "fp32")
    extractor.__dict__["opened"] = Reopened(module.eval(), load_data(config, compute)[0], prepare_torch(compute))
    return extractor


def time_features(compute: Compute, repeats: int) -> list[Row]:
    """Return a row per extractor beside the plain loop, and one for a second run, which finds its entry in the cache."""
    faces = load_set(compute.data_root, "synth-basic")
    rows = []
    for name, count in IMAGES_OF.items():
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            here = repeat_faces(faces, count, 48 if name == "CNN" else 64, root)
            images = np.stack(list(pictures(here.images[:])))
            extractor, plain = choose(
                name, here, compute.model_copy(update={"data_root": root, "results": root / "results"})
            )
            first = root / "cache"

            def ours(here: FaceSet = here, extractor: Extractor = extractor, folder: Path = first) -> Descriptions:
                shutil.rmtree(folder, ignore_errors=True)
                return Store(folder, PROCESSES).describe(here, extractor)

            def again(here: FaceSet = here, extractor: Extractor = extractor, folder: Path = first) -> Descriptions:
                return Store(folder, PROCESSES).describe(here, extractor)

            def loop(plain: Callable[[np.ndarray], Descriptions] = plain, images: np.ndarray = images) -> Descriptions:
                with one_thread() if name != "CNN" else nullcontext():  # noqa: B023 (called at once)
                    return plain(images)

            agreement = agree(loop(), ours())
            rows.append(compare(f"{name} features", count, ours, loop, "plain loop", repeats, note=agreement))
            rows.append(compare(f"{name} features, cached", count, again, None, "", repeats))
    return rows


def choose(name: str, faces: FaceSet, compute: Compute) -> tuple[Extractor, Callable[[np.ndarray], Descriptions]]:
    """Return the suite's extractor and the plain loop of a comparison."""
    if name != "CNN":
        return (Hog(), plain_hog) if name == "HOG" else (Sift(), plain_sift)
    extractor = open_network(faces, compute)
    network = copy.deepcopy(extractor.opened.network)  # the suite may change the layout of its copy
    return extractor, lambda images: plain_network(network, images)


def agree(plain: Descriptions, ours: Descriptions) -> str:
    """Return how closely two descriptions of the same images agree; raises FerError where they do not."""
    if not np.array_equal(plain.counts, ours.counts):
        raise FerError("bench: the suite's features are not those of the plain loop: different numbers of descriptors")
    lengths = np.linalg.norm(plain.values, axis=1) * np.linalg.norm(ours.values, axis=1)
    cosine = float(((plain.values.astype(float) * ours.values).sum(1) / np.maximum(lengths, 1e-12))[lengths > 0].min())
    if cosine < COSINE:
        raise FerError(f"bench: the suite's features are not those of the plain loop: lowest cosine {cosine:.4f}")
    return f"largest difference {np.abs(plain.values.astype(float) - ours.values).max():.1g}, lowest cosine {cosine:.5f}"
