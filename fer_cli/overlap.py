"""How far the training parts of a cell's seeds overlap, which makes their scores alike: n_test/n_train (Nadeau 2003)."""

from __future__ import annotations

from collections.abc import Iterable

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
