"""Confident learning (Northcutt 2021, doi:10.1613/jair.1.12125) on a run's training labels, by cleanlab, before training.

The training part is dealt into folds of different people; a network is trained on all but one fold, like the run's own, and
predicts that fold in its last epoch. Labels that cleanlab finds wrong from these out-of-fold predictions (``prune by noise
rate``, its default) are removed with their images, or replaced by the predicted class. Validation and test images take no
part. ``confident.parquet`` has a row per training sample: ``sample``, ``label_true`` (the set's), ``label_given`` (with
planted noise), ``fold``, ``confidence`` (predicted probability of the given label), ``suspect``, ``proposed`` and ``p_*``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fer_cli.config import RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.splits import deal_training
from fer_cli.errors import DataError
from fer_cli.learning.health import auroc
from fer_cli.places import whole_file
from fer_cli.runs import RunFolder

CONFIDENT = "confident.parquet"
INSTALL = "pip install 'fer-cli[cleanlab]'"

Fit = Callable[[RunConfig, RunData, int], Callable[[RunData], np.ndarray]]
"""Trains the network of a fold, given its number, and returns the function that predicts the training part of other data."""


def require_cleanlab() -> None:
    """Raise DataError unless cleanlab is installed."""
    if importlib.util.find_spec("cleanlab") is None:
        raise DataError(f"learning.confident: cleanlab is not installed; install it with: {INSTALL}")


def find_issues(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return (N,) bool: which of the ``labels`` (N,) cleanlab finds wrong from out-of-fold ``probabilities`` (N, K)."""
    import warnings

    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues", UserWarning)  # of classes of few images
        found = find_label_issues(labels, probabilities.astype(np.float64), n_jobs=1)
    return np.asarray(found, dtype=bool)


def predict_out_of_fold(data: RunData, config: RunConfig, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the out-of-fold probabilities (N, K) float64 of the training samples, and the fold (N,) of each."""
    labels = data.train.labels.numpy()
    assert data.train_groups is not None
    bare = config.model_copy(update={"learning": config.learning.model_copy(update={"confident": "none"})})
    probabilities, folds = np.empty((len(labels), len(data.classes))), np.empty(len(labels), np.int64)
    pairs = deal_training(labels, data.train_groups, config.learning.confident_folds, config.data)
    for number, (rest, part) in enumerate(pairs):
        predict = fit(bare, data.train_on(rest), number)
        probabilities[part], folds[part] = predict(data.train_on(part)), number
    return probabilities / probabilities.sum(1, keepdims=True), folds


def judge_labels(data: RunData, probabilities: np.ndarray, folds: np.ndarray) -> pd.DataFrame:
    """Return the table of ``confident.parquet``."""
    given, names = data.train.labels.numpy(), np.array(data.classes)
    columns = {
        "sample": data.samples["train"],
        "label_true": names[data.true_labels],
        "label_given": names[given],
        "fold": folds,
        "confidence": probabilities[np.arange(len(given)), given],
        "suspect": find_issues(given, probabilities),
        "proposed": names[probabilities.argmax(1)],
    }
    return pd.DataFrame(columns | {f"p_{name}": probabilities[:, code] for code, name in enumerate(names)})


def read_table(path: Path, data: RunData) -> pd.DataFrame | None:
    """Return the table of an interrupted run that had finished its folds, or None."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError):
        return None
    given = np.array(data.classes)[data.train.labels.numpy()]
    same = np.array_equal(table["sample"], data.samples["train"]) and np.array_equal(table["label_given"], given)
    return table if same else None


def clean_labels(config: RunConfig, data: RunData, folder: RunFolder, fit: Fit) -> tuple[RunData, dict[str, float]]:
    """Return the data to train on, and what was found; writes ``confident.parquet``, which a resumed run reads again."""
    path = folder.file(CONFIDENT)
    table = read_table(path, data)
    if table is None:
        table = judge_labels(data, *predict_out_of_fold(data, config, fit))
        with whole_file(path) as draft:
            table.to_parquet(draft, index=False)
    suspect = table["suspect"].to_numpy()
    codes = {name: code for code, name in enumerate(data.classes)}
    proposed = table["proposed"].map(codes).to_numpy(np.int64)
    given = data.train.labels.numpy()
    if config.learning.confident == "remove":
        kept, labels = np.flatnonzero(~suspect), given[~suspect]
        lost = set(data.true_labels.tolist()) - set(labels.tolist())
        if not len(kept) or lost:
            gone = "all images" if not len(kept) else f"all labels {data.classes[min(lost)]}"
            raise DataError(f"learning.confident: remove: {gone} are suspect; use correct, or train more epochs")
    else:
        kept, labels = np.arange(len(given)), np.where(suspect, proposed, given)
    cleaned = data.train_on(kept, labels)
    return cleaned, describe_table(table) | {"confident/wrong_after": float((labels != data.true_labels[kept]).mean())}


def describe_table(table: pd.DataFrame) -> dict[str, float]:
    """Return the share of suspect labels and, where labels are wrong, precision, recall and the AUROC of low confidence.

    Precision: share of suspect labels that are wrong. Recall: share of wrong labels that are suspect.
    """
    suspect = table["suspect"].to_numpy(copy=True)
    wrong = (table["label_given"] != table["label_true"]).to_numpy(copy=True)
    found = {"confident/suspect": float(suspect.mean()), "confident/wrong_before": float(wrong.mean())}
    if wrong.any():
        found["confident/recall"] = float(suspect[wrong].mean())
        if suspect.any():
            found["confident/precision"] = float(wrong[suspect].mean())
        area = auroc(torch.from_numpy(-table["confidence"].to_numpy(copy=True)), torch.from_numpy(wrong))
        found |= {} if area is None else {"confident/auroc_wrong": area}
    return found
