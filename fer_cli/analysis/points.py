"""Compactness and separation of classes in feature space, and its t-SNE embedding.

t-SNE (van der Maaten 2008) preserves neighbourhoods, not distances or cluster sizes, so each plot states the silhouette
(Rousseeuw 1987) of the features themselves.
"""

from __future__ import annotations

import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

SEED = 0
PERPLEXITY = 30.0


def standardise(features: np.ndarray) -> np.ndarray:
    """Return features (N, F) with mean 0 and deviation 1 over the images; constant features are 0."""
    return np.asarray(StandardScaler().fit_transform(np.asarray(features, np.float64)))


def silhouette(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the mean silhouette, -1 to 1, of standardised features (N, F) by class (N,); None where it is undefined."""
    if not 2 <= len(set(labels.tolist())) < len(labels):
        return None
    return float(silhouette_score(standardise(features), labels))


def distance_ratio(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the ratio of within-class to between-class distance; small: compact and separate classes.

    It is the mean Euclidean distance of features (N, F) to their class mean, over the mean distance between pairs of class
    means, without standardisation, as in the class-centre loss. None with one class or equal means.
    """
    classes = np.unique(labels)
    centres = np.stack([features[labels == label].mean(0) for label in classes]).astype(np.float64)
    inside = np.linalg.norm(features - centres[np.searchsorted(classes, labels)], axis=1).mean()
    one, other = np.triu_indices(len(classes), k=1)
    between = np.linalg.norm(centres[one] - centres[other], axis=1)
    return float(inside / between.mean()) if between.any() else None


def embed_tsne(features: np.ndarray) -> np.ndarray | None:
    """Return the t-SNE embedding (N, 2) of standardised features (N, F); deterministic.

    It starts from the first two principal components with perplexity 30, or (N - 1) / 3 if smaller, and uses one thread,
    which is faster on a busy machine. None for fewer than 4 images or constant features.
    """
    if len(features) < 4 or not np.ptp(features, axis=0).any():
        return None
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED)
        return np.asarray(tsne.fit_transform(standardise(features)))


def draw_sample(n: int, most: int) -> np.ndarray:
    """Return ``most`` of ``n`` positions, drawn at random with a fixed seed; all if there are fewer."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(SEED).choice(n, most, replace=False))
