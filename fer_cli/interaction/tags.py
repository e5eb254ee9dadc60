"""SIMULATION of emotional tags: how much probability classifiers and ECEM give the true one of fourteen tags.

Fan et al. 2025, Table 3, prints an "emotional intensity" of KNN, naive Bayes, decision tree and ECEM without defining it;
its averages, .059 to .074, are those of chance, 1/14. We report the mean probability of the true tag, with log-loss.
Sequences are simulated: tags are points in pleasure-arousal-dominance (ours), the next tag is the same one with probability
.8, else one that is near (~ exp(-d^2/.5)), and each step is observed with normal noise of sd .5. ECEM is the filter of a
hidden Markov model over the tags, with transitions counted and normal emissions estimated on the training sequences. The
classifiers see one step at a time; ECEM also the steps before, in sequences of its own kind, which favours it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.interaction.hmm import filter_states
from fer_cli.seeds import derive_seed

if TYPE_CHECKING:
    import pandas as pd

TAGS: dict[str, tuple[float, float, float]] = {
    "Warm": (0.7, -0.1, 0.2),
    "Cheerfulness": (0.8, 0.5, 0.4),
    "Lively": (0.6, 0.7, 0.3),
    "Funny": (0.7, 0.5, 0.2),
    "Exaggerate": (0.2, 0.7, 0.4),
    "Humorous": (0.7, 0.4, 0.3),
    "Interesting": (0.6, 0.4, 0.1),
    "Dreary_1": (-0.6, -0.5, -0.4),
    "Dull": (-0.5, -0.6, -0.2),
    "Dreary_2": (-0.7, -0.4, -0.5),
    "Tangled": (-0.3, 0.3, -0.4),
    "Illusory": (-0.1, 0.1, -0.5),
    "Thrilling": (0.3, 0.9, -0.1),
    "Terror": (-0.8, 0.8, -0.7),
}
"""Tag -> pleasure, arousal, dominance in [-1, 1]; ours. The paper prints "Dreary" twice."""
STAY = 0.8
SPREAD = 0.5
"""Divisor of squared distances between tags."""
NOISE = 0.5
"""Standard deviation of observations."""
TRAIN, TEST, STEPS = 200, 50, 50
NEIGHBOURS, DEPTH = 5, 8
FITTED, TRUE = "ECEM", "ECEM, true parameters"
METHODS = ("KNN", "NB", "DT", FITTED, TRUE)
FLOOR = 1e-15
"""Probabilities below it count as it in the log-loss, as in scikit-learn for float64: KNN and trees answer 0."""


@dataclass(frozen=True)
class TagData:
    """Simulated sequences: ``tags`` (M, T) int64, positions in ``TAGS``; ``points`` (M, T, 3) float64."""

    tags: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class TagPredictions:
    """Test steps: ``sequence``, ``step``, true ``tag`` (n,), and each method's ``probabilities`` (n, 14) as in ``TAGS``."""

    sequence: np.ndarray
    step: np.ndarray
    tag: np.ndarray
    probabilities: dict[str, np.ndarray]

    def frame(self, method: str) -> pd.DataFrame:
        """Return one row per test step: true and predicted tag, and the probability of each tag."""
        import pandas as pd

        names, shares = np.array(list(TAGS)), self.probabilities[method]
        columns = {
            "sequence": self.sequence,
            "step": self.step,
            "truth": self.tag,
            "predicted": names[shares.argmax(axis=1)],
        }
        return pd.DataFrame(columns | {f"p/{name}": shares[:, place] for place, name in enumerate(names)})

    def scores(self) -> dict[str, dict[str, float]]:
        """Return by method the mean probability of the true tag, overall (``mean``) and by tag, log-loss and accuracy."""
        names = np.array(list(TAGS))
        codes = np.array([np.flatnonzero(names == tag)[0] for tag in self.tag])
        found = {}
        for method, shares in self.probabilities.items():
            true = shares[np.arange(len(codes)), codes]
            by_tag = {str(name): float(true[self.tag == name].mean()) for name in names if (self.tag == name).any()}
            loss = float(-np.log(np.maximum(true, FLOOR)).mean())
            right = float((shares.argmax(axis=1) == codes).mean())
            found[method] = {"mean": float(true.mean()), "log_loss": loss, "accuracy": right, **by_tag}
        return found


def tag_points() -> np.ndarray:
    """Return the points of the tags, (14, 3)."""
    return np.array(list(TAGS.values()))


def tag_transition() -> np.ndarray:
    """Return P(next tag | tag), (14, 14): .8 to stay, the rest by nearness."""
    points = tag_points()
    near = np.exp(-((points[:, None] - points) ** 2).sum(axis=2) / SPREAD) * (1 - np.eye(len(points)))
    return np.asarray(STAY * np.eye(len(points)) + (1 - STAY) * near / near.sum(axis=1, keepdims=True))


def simulate_tags(sequences: int, steps: int, seed: int) -> TagData:
    """Return simulated sequences that start from a uniform tag."""
    rng = np.random.default_rng(seed)
    edges = tag_transition().cumsum(axis=1)[:, :-1]
    tags = np.empty((sequences, steps), dtype=np.int64)
    tags[:, 0] = rng.integers(0, len(TAGS), sequences)
    for step in range(1, steps):
        tags[:, step] = (rng.random((sequences, 1)) >= edges[tags[:, step - 1]]).sum(axis=1)
    return TagData(tags, tag_points()[tags] + rng.normal(0, NOISE, (sequences, steps, 3)))


def predict_tags(
    seed: int, only: str | None = None, train: int = TRAIN, test: int = TEST, steps: int = STEPS
) -> TagPredictions:
    """Return predictions of the ``METHODS``, or of ``only`` one, on sequences that none was fitted on."""
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    fitting = simulate_tags(train, steps, derive_seed(seed, "train"))
    scored = simulate_tags(test, steps, derive_seed(seed, "test"))
    methods = {
        "KNN": KNeighborsClassifier(NEIGHBOURS),
        "NB": GaussianNB(),
        "DT": DecisionTreeClassifier(max_depth=DEPTH, random_state=derive_seed(seed, "tree") % 2**32),
    }
    probabilities = {}
    wanted = METHODS if only is None else (only,)
    for name, method in ((name, methods[name]) for name in wanted if name in methods):
        method.fit(fitting.points.reshape(-1, 3), fitting.tags.ravel())
        probabilities[name] = spread(method.predict_proba(scored.points.reshape(-1, 3)), method.classes_)
    if FITTED in wanted:
        probabilities[FITTED] = filter_tags(fitting, scored)
    if TRUE in wanted:
        truth = tag_transition(), tag_points(), np.full((len(TAGS), 3), NOISE)
        probabilities[TRUE] = _filter(*truth, scored.points)
    sequence, step = np.indices(scored.tags.shape)
    names = np.array(list(TAGS))[scored.tags.ravel()]
    return TagPredictions(sequence.ravel(), step.ravel(), names, probabilities)


def filter_tags(fitting: TagData, scored: TagData) -> np.ndarray:
    """Return P(tag | points so far), (n, 14), by a hidden Markov model with the counts, means and sds of ``fitting``."""
    size = len(TAGS)
    counts = np.ones((size, size))
    np.add.at(counts, (fitting.tags[:, :-1].ravel(), fitting.tags[:, 1:].ravel()), 1.0)
    codes, points = fitting.tags.ravel(), fitting.points.reshape(-1, 3)
    means, deviations = np.zeros((size, 3)), np.full((size, 3), points.std())
    for code in np.unique(codes):
        means[code] = points[codes == code].mean(axis=0)
        if (codes == code).sum() > 2:
            deviations[code] = points[codes == code].std(axis=0, ddof=1)
    return _filter(counts / counts.sum(axis=1, keepdims=True), means, deviations, scored.points)


def spread(shares: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Return probabilities (n, 14), 0 for tags that a classifier never saw."""
    full = np.zeros((len(shares), len(TAGS)))
    full[:, list(codes)] = shares
    return full


def _filter(transition: np.ndarray, means: np.ndarray, deviations: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the filtered probabilities (M x T, 14) of points (M, T, 3) under independent normal emissions."""
    logs = np.zeros((*points.shape[:2], len(means)))
    for axis in range(points.shape[2]):
        scaled = (points[:, :, None, axis] - means[:, axis]) / deviations[:, axis]
        logs -= scaled**2 / 2 + np.log(deviations[:, axis])
    likelihood = np.exp(logs - logs.max(axis=2, keepdims=True))
    start = np.full(len(means), 1 / len(means))
    return filter_states(start, transition, likelihood).gamma.reshape(-1, len(means))
