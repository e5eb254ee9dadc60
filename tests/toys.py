"""The least that can be added in each place that CONTRIBUTING names: ``tests/test_adding.py`` registers and uses them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from fer_cli.executors import Agenda, Job, Outcome


class Scale(nn.Module):
    """An attention block: each channel is multiplied by a number of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


class Linear(nn.Module):
    """A backbone: 8 x 8 means of the image, and a linear layer on them."""

    def __init__(self, classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        self.means = nn.AdaptiveAvgPool2d(8)
        self.feature_size = channels * 64
        self.fc = nn.Linear(self.feature_size, classes)

    def features(self, x: Tensor) -> Tensor:
        return self.means(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))


def neighbour(k: int) -> Any:
    """A classifier."""
    return KNeighborsClassifier(k)


def first_recall(counts: np.ndarray) -> float:
    """A metric: recall of the first class; 0 without images of it."""
    return float(counts[0, 0] / max(1, counts[0].sum()))


def kappa(counts: np.ndarray) -> float:
    """A metric: Cohen's kappa."""
    chance = counts.sum(0) @ counts.sum(1) / counts.sum() ** 2
    return float((counts.trace() / counts.sum() - chance) / (1 - chance))


def error_rate(counts: np.ndarray) -> float:
    """A metric: the share of wrong answers."""
    return float(1 - counts.trace() / counts.sum())


def last_first(graph: Agenda, run: Callable[[Job], Outcome], on_done: Callable[[Outcome], None]) -> None:
    """An executor: of the runs that may start, the one that the plan lists last."""
    while True:
        jobs = []
        while (job := graph.take()) is not None:
            jobs.append(job)
        if not jobs:
            return
        for job in reversed(jobs):
            outcome = run(job)
            graph.finish(outcome)
            on_done(outcome)
