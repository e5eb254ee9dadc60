"""How well networks trained on clean images recognise degraded ones: where the strengths of uncertain noise come from.

``python -m tests.strengths DATA_ROOT RESULTS [SET]`` trains resnet10-small as study scn-cs does, three folds, and prints the
accuracy on degraded validation images by strength, in steps from mild to severe; about eight minutes of processor time.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from fer_cli.config import Compute, RunConfig
from fer_cli.data.uncertain import STRENGTHS, WAYS, degrade_images
from fer_cli.expand import expand
from fer_cli.learning.judge import judge_samples
from fer_cli.learning.reopen import open_run
from fer_cli.runs import RunFolder
from fer_cli.study import Choice, load_study
from fer_cli.tasks import task_of
from fer_cli.tasks.task import Inputs

STEPS = {"blur": -0.002, "light": 0.02, "occlusion": -0.02, "downscale": -0.2}
"""Way -> difference to the next milder strength."""
MOST = 800
"""Validation images looked at."""


def clean_runs(data: str, seeds: tuple[int, ...]) -> list[RunConfig]:
    """Return the settings of the CNN of scn-cs without noise."""
    runs = expand(load_study("scn-cs"), Choice(data=data, seeds=seeds))
    return [run.config for run in runs if run.arm == "CNN" and dict(run.at)["noise"] == "none"]


def train(config: RunConfig, compute: Compute) -> RunFolder:
    """Return the finished run, trained unless its folder has a result."""
    folder = RunFolder(compute.results, config.run_id("strengths"))
    if folder.status != "done":
        before = task_of(config).before(config)
        start = None if before is None else train(before, compute)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_config(config)
        folder.write_result(task_of(config).run(config, Inputs(folder, start=start), compute))
    return folder


def accuracies(config: RunConfig, folder: RunFolder, compute: Compute, steps: int = 1) -> dict[str, list[float]]:
    """Return way -> accuracies on degraded validation images, from ``steps`` milder than ``STRENGTHS`` to it; "": clean."""
    every = config.data.model_copy(update={"max_val": None, "max_images": 64 * 7})
    run = open_run(config.model_copy(update={"data": every}), folder, compute)
    part, n = run.data.val, min(MOST, len(run.data.val))
    chosen = np.sort(np.random.default_rng(0).permutation(len(part))[:n])
    images, labels = part.images[chosen], part.labels[chosen]

    def accuracy(degraded: torch.Tensor) -> float:
        with torch.inference_mode():
            scores = judge_samples(run.network, degraded, config).logits
        return float((scores.argmax(1) == labels).float().mean())

    found = {"": [accuracy(images)]}
    for place, way in enumerate(WAYS):
        own, found[way] = STRENGTHS[way], []
        for step in range(steps, -1, -1):
            STRENGTHS[way] = own + step * STEPS[way]
            found[way].append(accuracy(degrade_images(images, part.samples[chosen], np.full(n, place), 0)))
        STRENGTHS[way] = own
    return found


def main(data_root: str, results: str, data: str = "synth-basic") -> None:
    """Print the mean over three folds, and each fold's accuracy, by way and strength."""
    compute = Compute(data_root=Path(data_root), results=Path(results), threads=1, device="cpu", precision="fp32")
    rows = [accuracies(config, train(config, compute), compute) for config in clean_runs(data, (0, 1, 2))]
    print(f"{data}: clean {np.mean([row[''] for row in rows]):.3f}")
    for place, way in enumerate(WAYS):
        values = np.array([row[way] for row in rows])
        for column, strength in enumerate((STRENGTHS[way] + STEPS[way], STRENGTHS[way])):
            folds = " ".join(f"{value:.3f}" for value in values[:, column])
            print(f"{WAYS[place]} {strength:.4g}: {values[:, column].mean():.3f} ({folds})", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
