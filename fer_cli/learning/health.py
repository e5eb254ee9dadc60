"""Diagnostics of the modules under study: values per epoch, and warnings for modules without effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fer_cli.config import LearningConfig
from fer_cli.learning.losses import low_group
from fer_cli.models.roi import DEAD

BINS = 10
INERT_SPREAD = 0.01
"""Importance weights with a smaller standard deviation over an epoch's images count as constant."""


def attention_health(alpha: Tensor, beta: float) -> dict[str, float]:
    """Return mean, standard deviation, high-low gap and a ten-bin histogram (image counts) of an epoch's alpha (N,)."""
    low = low_group(alpha, beta)
    gap = float(alpha[~low].mean() - alpha[low].mean()) if bool(low.any()) and bool((~low).any()) else 0.0
    counts = torch.histc(alpha.float(), BINS, 0.0, 1.0).int().tolist()
    histogram = {f"alpha/hist_{i / BINS:.1f}": float(count) for i, count in enumerate(counts)}
    return {"alpha/mean": float(alpha.mean()), "alpha/sd": float(alpha.std()), "alpha/gap": gap, **histogram}


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """Return the probability that a positive's score exceeds a negative's, ties counting half; None without either.

    ``scores`` (N,) float, ``positive`` (N,) bool.
    """
    chosen = positive.cpu().bool()
    yes = int(chosen.sum())
    no = len(chosen) - yes
    if not yes or not no:
        return None
    _, place, counts = torch.unique(scores.cpu().double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    rank = (last - (counts.double() - 1) / 2)[place]  # mean rank of ties, from 1
    return float((rank[chosen].sum() - yes * (yes + 1) / 2) / (yes * no))


def alpha_health(alpha: Tensor, wrong: Tensor, degraded: Tensor | None) -> dict[str, float]:
    """Return the AUROC of low alpha (N,) for a planted wrong label and, if any image is, for a degraded one; both (N,) bool.

    Over an epoch's drawn images, as augmented: 0.5 is chance, above it suspect images have the lower weights.
    """
    found = {"wrong": auroc(-alpha, wrong), "degraded": None if degraded is None else auroc(-alpha, degraded)}
    return {f"alpha/auroc_{name}": value for name, value in found.items() if value is not None}


def correction_scores(truth: Tensor, given: Tensor, current: Tensor) -> dict[str, float | None]:
    """Return the label error rate before and after relabelling training labels (N,), with precision and recall.

    Precision: share of changed labels that are now correct; None if none changed. Recall: share of planted flips that are
    now correct; None if none was planted. Broken: number of correct labels that are now wrong.
    """
    changed, planted, right = current != given, given != truth, current == truth
    return {
        "changed": int(changed.sum()),
        "wrong_start": float(planted.double().mean()),
        "wrong_end": float((~right).double().mean()),
        "precision": float(right[changed].double().mean()) if bool(changed.any()) else None,
        "recall": float(right[planted].double().mean()) if bool(planted.any()) else None,
        "broken": int((~planted & ~right).sum()),
    }


def inert_warnings(rows: Sequence[Mapping[str, float]], config: LearningConfig, epochs: int) -> list[str]:
    """Return a warning for each enabled module that had no effect during training."""
    warnings = []
    if config.parts.attention and rows[-1]["alpha/sd"] < INERT_SPREAD:
        mean, spread = rows[-1]["alpha/mean"], rows[-1]["alpha/sd"]
        warnings.append(f"importance weights are inert: all about {mean:.2f} (sd {spread:.4f}) in the last epoch")
    start = config.first_relabel_epoch(epochs)
    if config.parts.relabels and start > config.last_relabel_epoch(epochs):
        when = "in" if config.relabel_view == "train" else "after"
        warnings.append(f"relabelling is inert: it starts {when} epoch {start} of {epochs}")
    elif config.parts.relabels and not any(row["relabel/count"] for row in rows):
        warnings.append("relabelling is inert: no label was replaced")
    if config.uses_rank and not any(row["loss/rank"] for row in rows):
        warnings.append("rank regularisation is inert: the groups were apart by the margin in every epoch")
    if config.parts.calibrates and not any(row["loss/calibration"] for row in rows):
        warnings.append("the calibration loss is inert: it was zero in every epoch")
    if rows[-1].get("regions/dead", 0.0) > DEAD:
        warnings.append(f"region attention is inert: {rows[-1]['regions/dead']:.1%} of its inputs are 0 in the last epoch")
    return warnings
