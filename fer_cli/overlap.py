"""What training and test parts share: between seeds, which makes scores alike (n_test/n_train, Nadeau 2003), and leaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fer_cli.config import K_FOLD, RunConfig
from fer_cli.results import Result

RESAMPLED = (*K_FOLD, "loso", "holdout")
"""Splits that draw each seed's test part from the same images, so that training parts of different seeds overlap."""


def mean_overlap(results: Iterable[Result]) -> float:
    """Return mean n_test/n_train of resampled splits, with validation counted as training; 0 for one test part."""
    shares = [tested_share(result) for result in results if is_resampled(result.config)]
    return sum(shares) / len(shares) if shares else 0.0


def is_resampled(config: RunConfig) -> bool:
    """Return whether a run's test part is drawn, by its seed, from the same images as those of other seeds."""
    return not config.simulated and config.data.split in RESAMPLED and config.data.test is None


def tested_share(result: Result) -> float:
    """Return n_test/n_train; of decoded emotions, whose test part is simulated steps, that of the recogniser's split."""
    data = result.config.data
    if result.config.sequences.recognised and data.split in {*K_FOLD, "holdout"}:
        return data.test_fraction / (1 - data.test_fraction) if data.split == "holdout" else 1 / (data.folds - 1)
    return result.data.test / trained_on(result)


def trained_on(result: Result) -> int:
    """Return the number of samples trained and validated on; a leaked validation part is trained on already."""
    return result.data.train + (0 if result.config.data.leak == "val" else result.data.val)


def leak_of(results: Sequence[Result], ignores_people: bool) -> str:
    """Return how test images, or the people in them, take part in training or selection; "" if they do not.

    ``ignores_people``: whether subjects may occur on both sides of the split in all runs.
    """
    if leak := next((r.config.data.leak for r in results if r.config.data.leak != "none"), None):
        return f"{'validation' if leak == 'val' else 'test'} images are also trained on"
    for unit in ("subjects", "sequences"):
        shared, tested = (sum(getattr(r.data, f"{kind}_{unit}") for r in results) for kind in ("shared", "test"))
        if shared:
            return f"leaky split: {f'{100 * shared / tested:.0f} %' if tested else shared} of test {unit} were trained on"
    if any(r.config.data.split == "official" and r.config.data.test_part == "public" for r in results):
        return "tested on the public part, which is meant for model selection"
    if results and ignores_people and not all(r.data.test_subjects for r in results):
        return "the split ignores people, who may be in training and test parts: the set does not name them"
    return ""
