"""Accuracy of networks trained and tested in bf16 beside the same runs in fp32, paired by seed and fold."""

from __future__ import annotations

from pathlib import Path

from fer_cli.bench.timing import NOT_HERE, Row, call_fer
from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.learning.compute import has_fast_bf16
from fer_cli.learning.train import train_run
from fer_cli.runs import RunFolder
from fer_cli.stats import paired_difference

FACES, PEOPLE = 2400, 50
"""Drawn faces and people; five folds test each of them once."""
SEEDS = 5
CLASSES = ["angry", "happy", "sad", "surprise"]


def compare_precisions(compute: Compute, repeats: int) -> list[Row]:
    """Return the mean test accuracy of five folds in both precisions, with the interval of the difference.

    Takes a few minutes; ``repeats`` is not used, since the folds are the repetitions.
    """
    case = f"accuracy of bf16, {SEEDS} folds"
    if not has_fast_bf16("cpu"):
        return [Row(case, "%", None, note=f"{NOT_HERE}: needs bf16 units")]
    data_root = compute.data_root / "precision"
    drawn = ["--images", str(FACES), "--subjects", str(PEOPLE), "--size", "48"]
    call_fer(["data", "build", "synth-basic", *drawn, "--data-root", str(data_root)])
    accuracies: dict[str, list[float]] = {"bf16": [], "fp32": []}
    tested = 0
    for seed in range(SEEDS):
        for precision, found in accuracies.items():
            settings = {"data_root": data_root, "results": compute.results / precision, "precision": precision}
            accuracy, images = train_fold(seed, compute.model_copy(update=settings))
            found.append(accuracy)
            tested += images if precision == "bf16" else 0
    # each fold's training part shares most images with the others'; the interval is widened for that (Nadeau and Bengio)
    difference = paired_difference(accuracies["bf16"], accuracies["fp32"], overlap=1 / (SEEDS - 1))
    assert difference.low is not None and difference.high is not None
    gap, low, high = (100 * value for value in (difference.mean, difference.low, difference.high))
    note = f"difference {gap:+.1f} points [{low:+.1f}, {high:+.1f}], {tested:,} test images"
    means = {name: 100 * sum(found) / SEEDS for name, found in accuracies.items()}
    return [Row(case, "%", means["bf16"], means["fp32"], "fp32, the same folds and seeds", SEEDS, note=note)]


def train_fold(seed: int, compute: Compute) -> tuple[float, int]:
    """Train the small network on one fold and return its test accuracy and number of test images."""
    config = RunConfig(
        data=DataConfig(name="synth-basic", classes=CLASSES, image_size=48, split="subject", folds=SEEDS, fold=seed),
        model=ModelConfig(backbone="resnet10-small"),
        train=TrainConfig(epochs=20, batch_size=32, lr=3e-3, weight_average=0.95),
        seed=seed,
    )
    folder = RunFolder(Path(compute.results), f"fold-{seed}")
    folder.path.mkdir(parents=True)
    result = train_run(config, compute, folder)
    return result.metrics["test"]["accuracy"], result.data.test
