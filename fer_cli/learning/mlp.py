"""MLP classifier on features with scikit-learn's interface (Sun 2024, section 3; ours).

Features are standardised on the training rows, as scaling to [0, 1] leaves most of them near 0. The number of epochs is
fixed, so no validation images are needed. All randomness depends on the seed.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

HIDDEN = 256
EPOCHS = 40
BATCH = 64
LR = 1e-3
WEIGHT_DECAY = 0.1
DROPOUT = 0.5
EVAL_ROWS = 1024


class Mlp(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Standardisation, 256 hidden units with batch norm, ReLU and dropout; cross-entropy, AdamW, one-cycle schedule."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, values: np.ndarray, labels: np.ndarray) -> Self:
        """Train on (N, D) float32 features and (N,) labels; raises ValueError for fewer than two rows."""
        if len(values) < 2:
            raise ValueError(f"mlp: {len(values)} training rows; batch norm needs two")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.mean_ = values.mean(0, dtype=np.float64).astype(np.float32)
        deviation = values.std(0, dtype=np.float64).astype(np.float32)
        self.deviation_ = np.where(deviation > 0, deviation, 1)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.network_ = perceptron(values.shape[1], len(self.classes_))
            self._train(self._standardise(values), torch.from_numpy(codes), generator)
        return self

    def _train(self, values: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Run the epochs; a last batch of one row is skipped."""
        optimizer = torch.optim.AdamW(self.network_.parameters(), LR, weight_decay=WEIGHT_DECAY)
        batches = max(1, len(values) // BATCH + (len(values) % BATCH > 1))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=EPOCHS * batches)
        self.network_.train()
        for _ in range(EPOCHS):
            for rows in torch.split(torch.randperm(len(values), generator=generator), BATCH)[:batches]:
                loss = F.cross_entropy(self.network_(values[rows]), codes[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        self.network_.eval()

    def _standardise(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy((values - self.mean_) / self.deviation_)

    @torch.inference_mode()
    def predict_proba(self, values: np.ndarray) -> np.ndarray:
        """Return probabilities (N, K) float32 of (N, D) float32 features, in the order of ``classes_``."""
        batches = torch.split(self._standardise(values), EVAL_ROWS)
        return np.asarray(torch.cat([self.network_(rows).softmax(1) for rows in batches]).numpy())

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Return the most probable label of each row, (N,)."""
        return np.asarray(self.classes_[self.predict_proba(values).argmax(1)])


def perceptron(features: int, classes: int) -> nn.Sequential:
    """Return the untrained network: (B, features) -> logits (B, classes)."""
    hidden = nn.Linear(features, HIDDEN, bias=False)
    return nn.Sequential(hidden, nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes))
