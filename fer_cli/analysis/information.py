"""Class information in cells of feature maps: a linear classifier on all cells, and mutual information of each.

Scaling, principal components, classifier and codes are fitted on training images alone. Mutual information is estimated
from counts in the test part, with an upward bias of about (codes - 1)(labels - 1) / (2 N ln 2) bits for N images, which
``chance_information`` estimates from shuffled labels.
"""

from __future__ import annotations

import math
import warnings
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from fer_cli.analysis.outcome import GROUPS
from fer_cli.analysis.points import draw_sample
from fer_cli.analysis.reopen import Reopened, stages_of, watch
from fer_cli.data.prepare import Prepared

SEED = 0
SIDE, COMPONENTS, CODES, SHUFFLES = 14, 128, 8, 10
"""Side of the fused map, principal components, k-means centres, and shuffles of ``chance_information``."""
STARTS = 4  # initialisations of k-means


def fuse_maps(maps: list[Tensor]) -> Tensor:
    """Return maps (B, C, h, w), resized bilinearly and concatenated to (B, sum of C, 14, 14)."""
    return torch.cat([F.interpolate(each, (SIDE, SIDE), mode="bilinear", antialias=True) for each in maps], 1)


def pool_cells(fused: Tensor, n: int) -> Tensor:
    """Return the means (B, n * n, C) of maps (B, C, h, w) over the cells of an n x n grid."""
    return F.adaptive_avg_pool2d(fused, n).flatten(2).transpose(1, 2)


@torch.no_grad()
def cell_features(run: Reopened, images: Prepared | Tensor, grids: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Return for each n of ``grids`` the cells (N, n * n, C) float32 of the fused maps of stages 2 to 4."""
    stages = stages_of(run.network)[1:]
    chunks: dict[int, list[Tensor]] = {n: [] for n in grids}
    for pixels in run.batches(images):
        with watch(stages) as passed:
            run.network.pooled(pixels)
        fused = fuse_maps([output.float() for _, output in passed])
        for n in grids:
            chunks[n].append(pool_cells(fused, n).cpu())
    return {n: torch.cat(each).numpy() for n, each in chunks.items()}


class Reading:
    """Classifier and codes of one grid, fitted on the cells (N, n * n, C) and labels (N,) of training images."""

    def __init__(self, train: np.ndarray, labels: np.ndarray) -> None:
        flat = train.reshape(len(train), -1)
        self.scaler = StandardScaler().fit(flat)
        scaled = self.scaler.transform(flat)
        components = min(COMPONENTS, *scaled.shape)
        self.pca = PCA(components, random_state=SEED).fit(scaled)
        self.classifier = LogisticRegression(C=1.0, solver="newton-cg", max_iter=500)
        self.classifier.fit(self.components(scaled), labels)
        self.coders = [fit_codes(scaled.reshape(train.shape)[:, cell]) for cell in range(train.shape[1])]

    def components(self, scaled: np.ndarray) -> np.ndarray:
        """Return principal components (N, at most 128) float64 of standardised cells (N, n * n * C)."""
        return np.asarray(self.pca.transform(scaled), np.float64)

    def predict(self, test: np.ndarray) -> np.ndarray:
        """Return the labels (N,) predicted from cells (N, n * n, C)."""
        return np.asarray(self.classifier.predict(self.components(self.scaler.transform(test.reshape(len(test), -1)))))

    def encode(self, test: np.ndarray) -> np.ndarray:
        """Return the code (N, n * n), 0 to 7, of each cell."""
        scaled = self.scaler.transform(test.reshape(len(test), -1)).reshape(test.shape)
        return np.stack([one.predict(scaled[:, cell]) for cell, one in enumerate(self.coders)], 1)


def fit_codes(cell: np.ndarray) -> KMeans:
    """Return k-means with 8 centres, or N if fewer, of one cell's standardised features (N, C)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct features than centres
        return KMeans(min(CODES, len(cell)), n_init=STARTS, random_state=SEED).fit(cell)


def mutual_bits(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mutual information of two codings (N,) of the same images, integers from 0, in bits."""
    rows, columns = int(one.max()) + 1, int(other.max()) + 1
    pairs = np.bincount(one.astype(np.int64) * columns + other, minlength=rows * columns)
    # given as counts: scikit-learn's own counting takes a millisecond, and a run needs thousands
    return float(mutual_info_score(None, None, contingency=pairs.reshape(rows, columns))) / math.log(2)


def information(codes: np.ndarray, labels: np.ndarray) -> float:
    """Return the mutual information in bits of code (N, cells) and label (N,), averaged over cells."""
    return float(np.mean([mutual_bits(labels, each) for each in codes.T]))


def chance_information(codes: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean ``information`` with shuffled labels: the bias of estimating from few images."""
    random = np.random.default_rng(SEED)
    return float(np.mean([information(codes, random.permutation(labels)) for _ in range(SHUFFLES)]))


def between_cells(codes: np.ndarray) -> float:
    """Return the mutual information in bits between cells, averaged over pairs; for one cell, its entropy."""
    if codes.shape[1] == 1:
        return mutual_bits(codes[:, 0], codes[:, 0])
    return float(np.mean([mutual_bits(one, other) for one, other in combinations(codes.T, 2)]))


def groups_in(classes: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Return each group's classes among ``classes``, and these with neutral; groups without two labels are omitted."""
    found = {}
    for name, members in GROUPS.items():
        own = [label for label in classes if label in members]
        labels = [*own, *(["neutral"] if "neutral" in classes else [])]
        if own and len(labels) > 1:
            found[name] = (own, labels)
    return found


def block_numbers(run: Reopened, grids: tuple[int, ...], most: int) -> dict[str, Any]:
    """Return recall, mutual information and its bounds per grid and group, on at most ``most`` training images."""
    classes, test = run.data.classes, run.data.test
    subset = torch.from_numpy(draw_sample(len(run.data.train), most))
    train_cells = cell_features(run, run.data.train.images[subset], grids)
    test_cells = cell_features(run, test.images, grids)
    given, truth = run.data.train.labels[subset].numpy(), test.labels.numpy()
    groups = groups_in(classes)
    bounds = {name: math.log2(len(labels)) for name, (_, labels) in groups.items()}
    values: dict[str, Any] = {"train": len(run.data.train), "labels": {n: labels for n, (_, labels) in groups.items()}}
    values |= {"bound": bounds, "grids": {}}
    for n in grids:
        with threadpool_limits(1):  # k-means of few images is slower with more
            reading = Reading(train_cells.pop(n), given)
            here = test_cells.pop(n)
            predicted, codes = reading.predict(here), reading.encode(here)
        values["grids"][str(n)] = {}
        for name, (own, labels) in groups.items():
            inside = np.isin(truth, [classes.index(label) for label in own])
            wider = np.isin(truth, [classes.index(label) for label in labels])
            values["grids"][str(n)][name] = group_numbers(predicted, codes, truth, inside, wider)
    return values


def group_numbers(
    predicted: np.ndarray, codes: np.ndarray, truth: np.ndarray, inside: np.ndarray, wider: np.ndarray
) -> dict[str, float | None]:
    """Return the measures of one grid and group; ``inside``: the group's images, ``wider``: with neutral ones."""
    if not inside.any():
        return dict.fromkeys(("recall", "information", "chance", "between"))
    return {
        "recall": float((predicted == truth)[inside].mean()),
        "information": information(codes[wider], truth[wider]),
        "chance": chance_information(codes[wider], truth[wider]),
        "between": between_cells(codes[wider]),
    }
