"""SIMULATION of interaction categories: windows of recognised emotions classified by KNN, naive Bayes, tree and ECEM.

Fan et al. 2025, Table 4, prints precision, recall and F1 of about .08 for six categories, below chance, without data. Ours:
each category is a regime of the eight-state chain, with a probability to stay and a number of active incentive factors
(minus: disturbances); a window of hard recognised classes is drawn from the prior emission. Classifiers see ten features of
a window; ECEM takes the regime under whose hidden Markov model the window is likeliest. The windows come from models of
ECEM's own kind, which favours it; with fitted regimes it learns transitions from the training windows, as classifiers do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_cli.interaction.baum_welch import fit
from fer_cli.interaction.ecem import entropy
from fer_cli.interaction.hmm import filter_states, observe
from fer_cli.interaction.incentives import FACTORS, incentive_transition
from fer_cli.interaction.simulate import Plan, draw_classes, simulate
from fer_cli.interaction.states import StateSpace, octants
from fer_cli.metrics import per_class, score
from fer_cli.seeds import derive_seed

if TYPE_CHECKING:
    import pandas as pd

REGIMES: dict[str, tuple[float, int]] = {
    "cognitive low": (0.95, 0),
    "cognitive high": (0.80, 0),
    "communication": (0.80, 1),
    "reflection": (0.95, 1),
    "active": (0.90, 3),
    "negative": (0.90, -3),
}
"""Interaction category -> probability to stay in a state, number of active factors; ours."""
WINDOW = 60
TRAIN, TEST = 300, 150
"""Windows per regime."""
NEIGHBOURS, DEPTH = 5, 8
HAPPY = "happy"
TRUE, FITTED = "ECEM, true regimes", "ECEM, fitted regimes"
METHODS = ("KNN", "NB", "DT", FITTED, TRUE)


@dataclass(frozen=True)
class Windows:
    """``classes`` (M, T) int64, positions in ``states.BASIC7``; ``regime`` (M,) int64, positions in ``REGIMES``."""

    classes: np.ndarray
    regime: np.ndarray


@dataclass(frozen=True)
class RegimePredictions:
    """True ``regime`` of test windows and each method's prediction, names (n,); ``probabilities`` (n, 6) by method."""

    regime: np.ndarray
    predicted: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]

    def frame(self, method: str) -> pd.DataFrame:
        """Return one row per test window: true and predicted regime, and the probability of each."""
        import pandas as pd

        shares = self.probabilities[method]
        columns = {"window": np.arange(len(self.regime)), "truth": self.regime, "predicted": self.predicted[method]}
        return pd.DataFrame(columns | {f"p/{name}": shares[:, place] for place, name in enumerate(REGIMES)})

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return by method the scores of ``metrics.score``, with precision, recall and F1 by regime."""
        return {method: score_by_class(self.regime, names, list(REGIMES)) for method, names in self.predicted.items()}


def score_by_class(truth: np.ndarray, predicted: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the scores of ``metrics.score``, with ``precision``, ``recall`` and ``f1`` by name, 0 if undefined."""
    found = score(truth, predicted, names)
    parts = zip(("precision", "recall", "f1"), per_class(np.array(found["confusion"])), strict=True)
    return found | {part: dict(zip(names, values.tolist(), strict=True)) for part, values in parts}


def regime_space(name: str) -> StateSpace:
    """Return the eight states with the probability to stay of a regime, without its factors."""
    return octants().stay(REGIMES[name][0])


def regime_transition(name: str) -> np.ndarray:
    """Return the transition of a regime with its factors, (8, 8)."""
    count = REGIMES[name][1]
    factors = np.sign(count) * (np.arange(len(FACTORS)) < abs(count))
    return incentive_transition(regime_space(name), factors)


def simulate_windows(per_regime: int, window: int, seed: int) -> Windows:
    """Return windows of recognised classes, each a new sequence that starts from a uniform state."""
    parts = []
    for name in REGIMES:
        space = replace(octants(), transition=regime_transition(name))
        states = simulate(space, Plan(per_regime, window, count=0), derive_seed(seed, name)).states
        parts.append(draw_classes(states, space.emission, np.random.default_rng(derive_seed(seed, name, "classes"))))
    return Windows(np.concatenate(parts), np.repeat(np.arange(len(REGIMES)), per_regime))


def compute_features(classes: np.ndarray) -> np.ndarray:
    """Return (M, 10): shares of the 7 classes, share of switches, entropy in nats, happy share of 2nd minus 1st half."""
    space = octants()
    shown = classes[:, :, None] == np.arange(len(space.classes))
    shares = shown.mean(axis=1)
    switches = (np.diff(classes, axis=1) != 0).mean(axis=1)
    happy = shown[:, :, space.classes.index(HAPPY)]
    half = classes.shape[1] // 2
    trend = happy[:, half:].mean(axis=1) - happy[:, :half].mean(axis=1)
    return np.column_stack([shares, switches, entropy(shares), trend])


def predict_regimes(
    seed: int, window: int = WINDOW, only: str | None = None, train: int = TRAIN, test: int = TEST
) -> RegimePredictions:
    """Return predictions of the ``METHODS``, or of ``only`` one; ``train`` and ``test``: windows per regime."""
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    fitting = simulate_windows(train, window, derive_seed(seed, "train"))
    scored = simulate_windows(test, window, derive_seed(seed, "test"))
    methods = {
        "KNN": make_pipeline(StandardScaler(), KNeighborsClassifier(NEIGHBOURS)),
        "NB": GaussianNB(),
        "DT": DecisionTreeClassifier(max_depth=DEPTH, random_state=derive_seed(seed, "tree") % 2**32),
    }
    features, new = compute_features(fitting.classes), compute_features(scored.classes)
    wanted = METHODS if only is None else (only,)
    chosen = {name: methods[name] for name in wanted if name in methods}
    shares = {name: method.fit(features, fitting.regime).predict_proba(new) for name, method in chosen.items()}
    if FITTED in wanted:
        shares[FITTED] = compare_likelihoods(fit_regimes(fitting), scored.classes)
    if TRUE in wanted:
        true = [(regime_transition(name), octants().emission) for name in REGIMES]
        shares[TRUE] = compare_likelihoods(true, scored.classes)
    names = np.array(list(REGIMES))
    predicted = {name: names[one.argmax(axis=1)] for name, one in shares.items()}
    return RegimePredictions(names[scored.regime], predicted, shares)


def fit_regimes(windows: Windows) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return transition and emission of each regime, by Baum-Welch on its windows from the same start: default A and B.

    The emission is the recogniser's and stays as it is; one pseudo-count per cell of the transition.
    """
    space = octants()
    start = np.full(space.size, 1 / space.size), space.transition, space.emission
    found = []
    for place in range(len(REGIMES)):
        own = windows.classes[windows.regime == place]
        learned = fit(*start, own, learn=("transition",), pseudo_count=1.0)
        found.append((learned.transition, space.emission))
    return found


def compare_likelihoods(models: list[tuple[np.ndarray, np.ndarray]], classes: np.ndarray) -> np.ndarray:
    """Return P(model | window) under equal priors, (M, R), for models of transition and emission, and windows (M, T)."""
    from scipy.special import softmax

    start = np.full(len(models[0][0]), 1 / len(models[0][0]))
    logs = [filter_states(start, transition, observe(emission, classes)).log_likelihood for transition, emission in models]
    return np.asarray(softmax(np.column_stack(logs), axis=1))
