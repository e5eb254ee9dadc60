"""How features lie: how compact and how far apart classes are, and a picture of it in the plane.

t-SNE (van der Maaten 2008) draws neighbourhoods; distances and sizes of its clouds mean nothing. So each picture has the
silhouette (Rousseeuw 1987) of the features themselves beside it.
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
    """Return features (N, F) with mean 0 and deviation 1 over the images; a feature that never changes is 0."""
    return np.asarray(StandardScaler().fit_transform(np.asarray(features, np.float64)))


def silhouette(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the mean silhouette, -1 to 1, of standardised features (N, F) by class (N,); None where it is undefined."""
    if not 2 <= len(set(labels.tolist())) < len(labels):
        return None
    return float(silhouette_score(standardise(features), labels))


def distance_ratio(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return how wide classes are beside their distance from one another; small: compact and apart.

    The mean, over all images, of the Euclidean distance of an image's features to the mean of its class, divided by the
    mean, over all pairs of classes, of the Euclidean distance between their means. The features (N, F) are taken as they
    are, as class-centre loss does; their common scale cancels out. None with one class, or where all means are the same.
    """
    classes = np.unique(labels)
    centres = np.stack([features[labels == label].mean(0) for label in classes]).astype(np.float64)
    inside = np.linalg.norm(features - centres[np.searchsorted(classes, labels)], axis=1).mean()
    one, other = np.triu_indices(len(classes), k=1)
    between = np.linalg.norm(centres[one] - centres[other], axis=1)
    return float(inside / between.mean()) if between.any() else None


def embed_tsne(features: np.ndarray) -> np.ndarray | None:
    """Return where t-SNE puts images in the plane, (N, 2), by standardised features (N, F); equal input, equal output.

    It begins from the first two principal components, with perplexity 30 or a third of the other images, and uses one
    thread: with more it is slower on a machine that has other work. None for fewer than 4 images or features that are all
    the same.
    """
    if len(features) < 4 or not np.ptp(features, axis=0).any():
        return None
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED)
        return np.asarray(tsne.fit_transform(standardise(features)))


def draw_sample(n: int, most: int) -> np.ndarray:
    """Return the positions of ``most`` of ``n`` images drawn at random, always the same ones; all where there are fewer."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(SEED).choice(n, most, replace=False))
