"""Features: ours beside the plain loop over images with the same libraries, in one run, and the memory of a large set.

The plain loop is what one would write first: one process, an image at a time; scikit-image's HOG, OpenCV's SIFT, a network
of fp32 with batches of one image. It has images and network in memory, and the libraries loaded. Ours begins with an empty
store and reads the set from disk: starting the processes, writing the entry and reading it back are part of its time. The
second run finds the entry. Networks use the same threads (``OMP_NUM_THREADS``, else all cores), HOG and SIFT one in the loop
and one in each process; OpenCV would share out parts of an image among all cores by itself, and a row of its own says how
ours stands to that. A ratio is of one run: nothing else should be at work on this machine's cores.

The large set is the same faces mirrored and shifted; ``fer extract-features`` describes, joins and writes it.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.timing import FER, HEAD, timed

if TYPE_CHECKING:
    import torch

    from fer_cli.data.manifest import FaceSet
    from fer_cli.features.extractor import Descriptions, Extractor
    from fer_cli.learning.deep import Cnn

NAME = "synth-basic"
RENDERED = 420
"""Different faces, before they are repeated."""
SIDE, CNN_SIDE = 64, 48
"""Pixels: of the set, which HOG and SIFT take as it is, and of the network's."""
PROCESSES = 2
ROUNDS = 2
"""How often loop and ours take turns."""
NEAR = 1e-6
"""How far a value of HOG or SIFT may be from the plain loop's."""
COSINE = 0.999
"""How alike a network's features of an image must be to the plain loop's."""
AT_LEAST = {"parallel": 1.7, "network": 3.0, "warm": 50.0}
"""Times as fast as the plain loop."""
MOST_MIB = 2000_000_000 / 2**20
"""2 GB, what a large set may need."""


# --- images ------------------------------------------------------------------------------------------------------


def rendered(root: Path) -> FaceSet:
    """Draw some faces by the suite's own generator under ``root`` and return them."""
    from fer_cli.data.manifest import load_set

    drawn = ["--images", str(RENDERED), "--subjects", "60", "--size", str(SIDE), "--jobs", str(PROCESSES)]
    subprocess.run([FER, "data", "build", NAME, *drawn, "--data-root", str(root)], check=True, capture_output=True)
    return load_set(root, NAME)


def varied(images: np.ndarray, round_: int) -> np.ndarray:
    """Return images (n, S, S) mirrored in odd rounds and shifted, differently in each of the first 1,400 rounds."""
    mirrored = images[:, :, ::-1] if round_ % 2 else images
    return np.roll(mirrored, (round_ // 2 % 11, round_ // 22), (1, 2))


def repeated(faces: FaceSet, count: int, side: int, root: Path) -> FaceSet:
    """Write ``count`` variations of a set at ``side`` pixels to ``root``, a few hundred at a time, and return them."""
    import cv2
    import pandas as pd

    from fer_cli.data.block import Block
    from fer_cli.data.identity import fingerprint, image_hash
    from fer_cli.data.manifest import IMAGES, load_set, write_info

    folder = root / NAME
    folder.mkdir(parents=True)
    small = np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in faces.images.packed])
    written = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, side, side))
    manifests = []
    for round_, start in enumerate(range(0, count, len(small))):
        here = min(len(small), count - start)
        written[start : start + here] = varied(small, round_)[:here]
        part = faces.manifest[:here]
        manifests.append(part.assign(sample=part["sample"] + f"-{round_}"))
    written.flush()
    manifest = pd.concat(manifests, ignore_index=True)
    pixels = image_hash(Block(written))
    identity = {"fingerprint": fingerprint(manifest, pixels, [], faces.info.classes), "files": {IMAGES: pixels}}
    about = {"kept": count, "found": count, "image_size": side, "embedded": None}
    write_info(folder, faces.info.model_copy(update=about | identity), manifest)
    return load_set(root, NAME)


# --- plain loops -------------------------------------------------------------------------------------------------


def plain_hog(images: np.ndarray) -> Descriptions:
    """Return HOG by scikit-image, image by image."""
    from skimage.feature import hog

    from fer_cli.features.extractor import Descriptions

    found = [hog(image, 9, (8, 8), (2, 2), "L2-Hys", transform_sqrt=True) for image in images]
    return Descriptions(np.stack(found), np.ones(len(found), np.int64))


def plain_sift(images: np.ndarray) -> Descriptions:
    """Return SIFT's descriptors by OpenCV, image by image."""
    import cv2

    from fer_cli.features.extractor import Descriptions

    sift = cv2.SIFT_create()
    found = [values for _, values in (sift.detectAndCompute(image, None) for image in images)]
    counts = np.array([0 if values is None else len(values) for values in found])
    return Descriptions(np.concatenate([values for values in found if values is not None]), counts)


def plain_network(network: torch.nn.Module, images: np.ndarray) -> Descriptions:
    """Return the network's features, image by image, in fp32."""
    import torch

    from fer_cli.features.extractor import Descriptions

    with torch.inference_mode():
        found = [network(torch.from_numpy(image)[None, None].float() / 255).features[0].numpy() for image in images]
    return Descriptions(np.stack(found), np.ones(len(found), np.int64))


# --- ours --------------------------------------------------------------------------------------------------------


def finished_network(faces: FaceSet, root: Path) -> Cnn:
    """Return the extractor of vgg-small with random weights, saved under ``root`` as a finished run, opened.

    Its batch normalisation has seen some faces: with the statistics it starts with, all faces would have like features.
    """
    import torch

    from fer_cli.cli.options import thread_count
    from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig
    from fer_cli.learning.deep import Cnn
    from fer_cli.learning.record import save_weights
    from fer_cli.learning.train import load_data, new_module
    from fer_cli.runs import RunFolder
    from tests.fakes import fake_result, leave

    compute = Compute(data_root=root, results=root / "results", device="cpu", threads=thread_count())
    config = RunConfig(data=DataConfig(name=NAME, image_size=CNN_SIDE), model=ModelConfig(backbone="vgg-small"))
    module = new_module(config, load_data(config, compute)[0])
    module.judged.train()
    with torch.no_grad():
        for start in range(0, min(len(faces.images), 1280), 64):
            module.judged(module.pixels(torch.from_numpy(faces.images[start : start + 64])))
    folder = RunFolder(compute.results, config.run_id(faces.info.fingerprint))
    folder.path.mkdir(parents=True)
    save_weights(folder.file("best.pt"), module, 0)
    leave(folder, fake_result(folder.run_id, config))
    made = Cnn.of(config, folder, compute)
    assert not made.opened.module.training  # opened now: the plain loop has its network in memory, too
    return made


def farthest(plain: Descriptions, ours: Descriptions) -> tuple[bool, str]:
    """Return whether two descriptions are the same to within 1e-6, and how far apart they are."""
    if not np.array_equal(plain.counts, ours.counts):
        return False, "other counts"
    apart = float(np.abs(plain.values - ours.values).max(initial=0))
    return apart <= NEAR, f"within {apart:.1g}"


def likeness(plain: Descriptions, ours: Descriptions) -> tuple[bool, str]:
    """Return whether all images have like features in two descriptions, and the lowest cosine."""
    lengths = np.linalg.norm(plain.values, axis=1) * np.linalg.norm(ours.values, axis=1)
    lowest = float(((plain.values * ours.values).sum(1) / lengths).min())
    return lowest >= COSINE, f"lowest cosine {lowest:.5f}"


def compare(
    title: str,
    faces: FaceSet,
    extractor: Extractor,
    plain: Callable[[np.ndarray], Descriptions],
    agree: Callable[[Descriptions, Descriptions], tuple[bool, str]],
    least: float,
) -> tuple[bool, float]:
    """Print a row for a first run and one for a second; return whether both are as required, and the first's seconds.

    Loop and ours take turns; of each the quickest counts, as what else the machine does can only add.
    """
    from fer_cli.features.store import Store

    images = np.array(faces.images.packed)
    loops, firsts, seconds = [], [], []
    for _ in range(ROUNDS):
        taken, expected = timing(lambda: plain(images))
        loops.append(taken)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder), PROCESSES)
            firsts.append(timing(lambda: store.describe(faces, extractor))[0])  # noqa: B023 (called at once)
            taken, found = timing(lambda: store.describe(faces, extractor))  # noqa: B023
            seconds.append(taken)
            alike, told = agree(expected, found)
    good = []
    for which, ours, required in ((title, min(firsts), least), (f"{title}, second run", min(seconds), AT_LEAST["warm"])):
        good.append(alike and min(loops) / ours >= required)
        row(which, len(images), min(loops), ours, [f"{required:g}", told, "yes" if good[-1] else "NO"])
    return all(good), min(firsts)


def timing(work: Callable[[], Descriptions]) -> tuple[float, Descriptions]:
    """Return the seconds that ``work`` took, and what it made."""
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def row(title: str, count: int, loop: float, ours: float, rest: list[str]) -> None:
    """Print a row of the comparison."""
    print(f"| {title} | {count:,} | {loop:.2f} | {ours:.2f} | {loop / ours:.1f} | {' | '.join(rest)} |", flush=True)


def in_one_thread(plain: Callable[[np.ndarray], Descriptions]) -> Callable[[np.ndarray], Descriptions]:
    """Return a plain loop that keeps to one thread."""
    from fer_cli.features.parallel import one_thread

    def kept(images: np.ndarray) -> Descriptions:
        with one_thread():
            return plain(images)

    return kept


# --- the jobs ----------------------------------------------------------------------------------------------------


def speed(faces: FaceSet, count: int, root: Path) -> bool:
    """Compare with the plain loops on ``count`` images; return whether all is as required."""
    from fer_cli.features.hog import Hog
    from fer_cli.features.sift import Sift

    print("| features | images | plain loop, s | ours, s | ratio | at least | agreement | as required |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    here = repeated(faces, count, SIDE, root / "plain")
    least, size = AT_LEAST["parallel"], f"{SIDE} px, {PROCESSES} processes"
    good = [compare(f"HOG, {size}", here, Hog(), in_one_thread(plain_hog), farthest, least)[0]]
    title = f"SIFT descriptors, {size}"
    fast, ours = compare(title, here, Sift(), in_one_thread(plain_sift), farthest, least)
    good.append(fast)
    images = np.array(here.images.packed)
    loop = min(timing(lambda: plain_sift(images))[0] for _ in range(ROUNDS))
    row(f"{title}, beside OpenCV's own threads", count, loop, ours, ["–", "", ""])
    here = repeated(faces, count, CNN_SIDE, root / "network")
    made = finished_network(here, root / "network")
    means, network = made.opened.resolved, copy.deepcopy(made.opened.network)  # ours changes the layout of its own
    title = f"CNN, vgg-small, {CNN_SIDE} px, {made.precision}, {means.threads} threads"
    good.append(compare(title, here, made, lambda images: plain_network(network, images), likeness, AT_LEAST["network"])[0])
    return all(good)


def memory(faces: FaceSet, count: int, root: Path) -> bool:
    """Extract, join and write HOG and SIFT of ``count`` images; return whether that needed no more than 2 GB."""
    repeated(faces, count, SIDE, root)
    print(f"\n{HEAD}", flush=True)
    places = ["--data-root", str(root), "--results", str(root / "results"), "--out", str(root / "features.parquet")]
    call = ["extract-features", "--fuse", "hog,sift", "--data", NAME, *places, "--jobs", str(PROCESSES)]
    title = f"HOG and SIFT of {SIDE} px, joined and written, {PROCESSES} processes (at most {MOST_MIB:.0f} MiB)"
    return timed(call, count, title, {"FER_CACHE": str(root / "cache")}) / 2**20 <= MOST_MIB


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add how many images each job has."""
    parser.add_argument("--images", type=int, default=20_000, help="of the comparison with the plain loops")
    parser.add_argument("--large", type=int, default=100_000, help="images of the large set; 0 leaves it out")


def measure(asked: argparse.Namespace) -> bool:
    """Run all jobs, print their tables, and return whether all is as required."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        faces = rendered(root / "rendered")
        fast = speed(faces, asked.images, root)
        return (not asked.large or memory(faces, asked.large, root / "large")) and fast


def main() -> None:
    """Run the jobs of this file alone; exit with 1 where something is not as required."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    sys.exit(not measure(parser.parse_args()))


if __name__ == "__main__":
    main()
