"""``make benchmark``: images a second and peak memory of drawing faces, packing a large tree of JPEGs, and of features.

Each job on faces is one call of ``fer`` in a process of its own, start-up included; ``timing`` says how memory is measured.
What is asked of features, and how, is told by ``benchmark_features``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from tests import benchmark_features
from tests.timing import HEAD, timed


def jpeg_tree(root: Path, images: int, side: int) -> None:
    """Write ``images`` different JPEGs in seven class folders of one hundred people."""
    rng = np.random.default_rng(0)
    canvas = cv2.GaussianBlur(rng.integers(0, 255, (4 * side, 4 * side, 3), dtype=np.uint8), (0, 0), 5)
    canvas = cv2.normalize(canvas, None, 0, 255, cv2.NORM_MINMAX)
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    for name in names:
        (root / name).mkdir(parents=True)

    def write(number: int) -> None:
        x, y = np.random.default_rng(number).integers(0, 3 * side, 2)
        patch = np.roll(canvas[y : y + side, x : x + side], number % side, axis=1)
        cv2.imwrite(str(root / names[number % 7] / f"p{number % 100:03d}_{number:06d}.jpg"), patch)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(images)))


def draw_and_pack(asked: argparse.Namespace) -> None:
    """Run the jobs on faces and print a Markdown table."""
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = ["--data-root", str(root / "data"), "--jobs", "2"]
        draw = ["data", "build", "synth-basic", "--images", str(asked.faces), "--size", "64", *data]
        timed(draw, asked.faces, "draw faces, 64 px, two processes")
        jpeg_tree(root / "tree", asked.jpegs, asked.side)
        pattern = "(?P<subject>p[0-9]+)_"
        read = ["data", "build", "tree", "--from", str(root / "tree"), "--layout", "folder", "--subject", pattern, "--size"]
        timed([*read, "64", *data], asked.jpegs, f"pack JPEGs of {asked.side} px to 64 px, two threads")
        wide = [*read, str(asked.side), "--colour", "rgb", *data]
        timed(wide, asked.jpegs, f"pack JPEGs of {asked.side} px in colour, two threads")


def main() -> None:
    """Run all jobs, or those of ``--only``, and print Markdown tables; exit with 1 where features are not as required."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("faces", "features"))
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--jpegs", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=224, help="of the JPEGs, in pixels")
    benchmark_features.add_options(parser)
    asked = parser.parse_args()
    if asked.only != "features":
        draw_and_pack(asked)
        print()
    if asked.only != "faces" and not benchmark_features.measure(asked):
        sys.exit("benchmark: features are not as required; see the rows that say NO")


if __name__ == "__main__":
    main()
