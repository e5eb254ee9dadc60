"""METRICS: registry of the metrics in reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric in [0, 1]; larger is better, and tables show it in percent."""

    code: str
    """Function of a confusion matrix (K, K) with true classes as rows."""
    label: str
    """Name in tables."""


METRICS: dict[str, Metric] = {
    "accuracy": Metric("fer_cli.metrics:accuracy", "accuracy"),
    "macro_f1": Metric("fer_cli.metrics:macro_f1", "macro-F1"),
    "weighted_f1": Metric("fer_cli.metrics:weighted_f1", "weighted F1"),
    "macro_precision": Metric("fer_cli.metrics:macro_precision", "macro precision"),
    "macro_recall": Metric("fer_cli.metrics:macro_recall", "mean class accuracy"),
    "uar": Metric("fer_cli.metrics:unweighted_recall", "unweighted average recall"),
}
