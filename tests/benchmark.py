"""``make benchmark``: images a second and peak memory of drawing faces and of packing a large tree of JPEGs.

Each job is one call of ``fer`` in a process of its own, start-up included. Memory is the largest sum of resident memory
over that process and its children, sampled five times a second; pages that processes share count once for each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

FER = str(Path(sys.executable).with_name("fer"))


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1]) * 1024
        children = [
            int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (OSError, ValueError):
        return total
    return total + sum(resident(child) for child in children)


def timed(arguments: list[str], images: int, title: str) -> None:
    """Run ``fer`` and print a row: images, seconds, images a second, peak memory."""
    began, peak = time.monotonic(), 0
    running = subprocess.Popen([FER, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while running.poll() is None:
        peak = max(peak, resident(running.pid))
        time.sleep(0.2)
    seconds = time.monotonic() - began
    if running.returncode:
        sys.exit(running.stderr.read() if running.stderr else "failed")
    print(f"| {title} | {images:,} | {seconds:.0f} | {images / seconds:.0f} | {peak / 2**20:.0f} |", flush=True)


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


def main() -> None:
    """Run both jobs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--jpegs", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=224, help="of the JPEGs, in pixels")
    asked = parser.parse_args()
    print("| job | images | seconds | images a second | peak MiB |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = ["--data-root", str(root / "data"), "--jobs", "2"]
        draw = ["data", "build", "synth-basic", "--images", str(asked.faces), "--size", "64", *data]
        timed(draw, asked.faces, "draw faces, 64 px, two processes")
        jpeg_tree(root / "tree", asked.jpegs, asked.side)
        pattern = "(?P<subject>p[0-9]+)_"
        read = [
            "data",
            "build",
            "tree",
            "--from",
            str(root / "tree"),
            "--layout",
            "folder",
            "--subject",
            pattern,
            "--size",
            "64",
        ]
        timed([*read, *data], asked.jpegs, f"pack JPEGs of {asked.side} px to 64 px, two threads")
        wide = [*read[:-1], str(asked.side), "--colour", "rgb", *data]
        timed(wide, asked.jpegs, f"pack JPEGs of {asked.side} px in colour, two threads")


if __name__ == "__main__":
    main()
