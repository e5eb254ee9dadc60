"""METRICS: the scores of predictions that a study's report can name, where their code is, and what tables call them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One number in [0, 1] from a confusion matrix; larger is better, and tables show it in percent."""

    code: str
    """Function of a confusion matrix (K, K), rows the truth."""
    label: str
    """What tables call it."""


METRICS: dict[str, Metric] = {
    "accuracy": Metric("fer_cli.metrics:accuracy", "accuracy"),
    "macro_f1": Metric("fer_cli.metrics:macro_f1", "macro-F1"),
    "weighted_f1": Metric("fer_cli.metrics:weighted_f1", "weighted F1"),
    "macro_precision": Metric("fer_cli.metrics:macro_precision", "macro precision"),
    "macro_recall": Metric("fer_cli.metrics:macro_recall", "mean class accuracy"),
}
