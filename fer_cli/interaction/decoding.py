"""Emotional states decoded from a recogniser's predictions along simulated sequences (Fan et al. 2025, Table 2).

States and their track of factors are simulated; each step shows an image of the state's class, whose predicted probabilities
are observed. Emission and, with ``learn``, initial and transition probabilities come from validation images alone; test
images are only scored. The paper does not define its "number recognised": we count steps whose group of states is decoded
correctly with a probability of at least one half. A group is decoded by the sum of its states' probabilities, not by the
likeliest state; states that are classes are groups of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.config.emotion import DecodeSettings
from fer_cli.errors import FerError, nearest
from fer_cli.interaction.baum_welch import Fit, fit
from fer_cli.interaction.ecem import Advice, advise, time_to_region, trace_frame
from fer_cli.interaction.hmm import MISSING, check_probabilities, filter_states, observe, smooth_states
from fer_cli.interaction.incentives import (
    FACTORS,
    fade,
    incentive_tilt,
    incentive_transition,
    moved_share,
    read_efficacy,
    subset_factors,
)
from fer_cli.interaction.simulate import (
    UNUSED,
    Plan,
    Sequences,
    build_chains,
    draw_images,
    simulate,
)
from fer_cli.interaction.states import StateSpace, octants, of_classes
from fer_cli.metrics import confusion_counts
from fer_cli.seeds import derive_seed

if TYPE_CHECKING:
    import pandas as pd

RECOGNISED = 0.5
"""Lowest probability of a correctly decoded group of states that counts as recognised."""


@dataclass(frozen=True)
class Predictions:
    """A recogniser's predictions: ``probabilities`` (n, K), rows sum to 1, NaN if no face; true ``labels``; ``classes``."""

    probabilities: np.ndarray
    labels: Sequence[str]
    classes: Sequence[str]


@dataclass(frozen=True)
class Model:
    """Initial (N,), transition (N, N) without factors and fading, emission (N, K); ``fitted``: if it was learned, how."""

    initial: np.ndarray
    transition: np.ndarray
    emission: np.ndarray
    fitted: Fit | None = None


@dataclass(frozen=True)
class Decoded:
    """Decoded sequences, arrays (M, T) or (M, T, N); steps from ``lengths`` (M,) on are padding.

    ``advice`` and its valence use the observations up to each step, ``gamma`` those that ``decode`` says.
    """

    space: StateSpace
    model: Model
    settings: DecodeSettings
    simulated: Sequences
    images: np.ndarray
    lengths: np.ndarray
    gamma: np.ndarray
    predicted: np.ndarray
    predicted_group: np.ndarray
    advice: Advice

    @property
    def kept(self) -> np.ndarray:
        """Return which steps are part of a sequence, (M, T) bool."""
        return np.asarray(np.arange(self.images.shape[1]) < self.lengths[:, None])

    def frame(self) -> pd.DataFrame:
        """Return one row per step: those of ``ecem.trace_frame``, image, and names of true and decoded states and groups."""
        table = trace_frame(self.gamma, self.lengths, self.advice, self.space, self.settings.minutes)
        names = np.array(self.space.names)
        groups = np.array(["/".join(group) for group in self.space.groups])
        truth = self.simulated.states[self.kept]
        table["image"] = self.images[self.kept]
        table["truth"], table["predicted"] = names[truth], names[self.predicted[self.kept]]
        table["truth_group"] = groups[self.space.group_index[truth]]
        table["predicted_group"] = groups[self.predicted_group[self.kept]]
        return table

    def scores(self) -> dict[str, float]:
        """Return n, sequences, accuracy of states and of groups, and the number of steps whose group is recognised."""
        kept = self.kept
        truth = self.simulated.states[kept]
        right = self.predicted[kept] == truth
        groups = self.predicted_group[kept] == self.space.group_index[truth]
        sure = (self.gamma[kept] @ self.space.members).max(axis=1) >= RECOGNISED
        return {
            "n": float(len(truth)),
            "sequences": float((self.lengths > 0).sum()),
            "accuracy": float(right.mean()),
            "group_accuracy": float(groups.mean()),
            "recognised": float((groups & sure).sum()),
        }


def simulate_and_decode(settings: DecodeSettings, validation: Predictions, test: Predictions, seed: int) -> Decoded:
    """Return sequences of test images decoded by a model from validation images; raise ``FerError`` for unusable input.

    Runs of one seed share states, factors and images whatever ``decode``, ``learn``, ``incentive`` and ``fading`` are.
    """
    check_predictions(validation, "validation")
    check_predictions(test, "test")
    if list(validation.classes) != list(test.classes):
        raise FerError("validation and test predictions have different classes: take both from one run")
    space = build_space(settings, test.classes)
    model = fit_model(settings, space, validation, seed)
    sequences = settings.sequences or max(1, len(test.labels) // settings.steps)
    simulated = simulate(space, build_plan(settings, space, sequences), derive_seed(seed, "score"))
    rng = np.random.default_rng(derive_seed(seed, "test images"))
    images, lengths = draw_images(simulated.states, space, test.labels, rng)
    if not lengths.any():
        raise FerError("no test image for any first step: the test part lacks the classes of the states")
    classes = np.where(images == UNUSED, MISSING, space.class_index[simulated.states])
    observed = classes if settings.perfect else gather(test, images)
    return decode_sequences(settings, space, model, simulated, images, lengths, observed)


def check_predictions(predictions: Predictions, part: str) -> None:
    """Raise ``FerError`` unless there is a row of probabilities per image and each label is a class."""
    shape = np.shape(predictions.probabilities)
    if shape != (len(predictions.labels), len(predictions.classes)) or not len(predictions.labels):
        images, classes = len(predictions.labels), len(predictions.classes)
        raise FerError(
            f"{part} predictions have shape {shape} for {images} images and {classes} classes: take them from one run"
        )
    unknown = sorted(set(predictions.labels) - set(predictions.classes))
    if unknown:
        raise FerError(f"{part} images have class {unknown[0]!r}{nearest(unknown[0], predictions.classes)}")
    try:
        check_probabilities(np.asarray(predictions.probabilities)[None], len(predictions.classes))
    except FerError as error:
        raise FerError(f"{part} predictions: {str(error).replace('sequence 0, step', 'image')}") from None


def build_space(settings: DecodeSettings, classes: Sequence[str]) -> StateSpace:
    """Return the states with the transition that generates sequences."""
    if settings.states == "octants":
        return octants(classes, settings.calmness_positive).stay(settings.stay)
    return of_classes(classes).stay(settings.stay)


def build_plan(settings: DecodeSettings, space: StateSpace, sequences: int) -> Plan:
    """Return the plan of a simulation; raise ``FerError`` for an unknown first state."""
    if settings.start is not None and settings.start not in space.names:
        raise FerError(f"no state {settings.start!r} to start from{nearest(settings.start, space.names)}")
    count = settings.factors
    return Plan(
        sequences,
        settings.steps,
        settings.generator,
        sign=-1.0 if count is not None and count < 0 else 1.0,
        tau=settings.tau,
        faded=settings.generator_fading,
        psi=settings.psi,
        minutes=settings.minutes,
        initial=None if settings.start is None else np.eye(space.size)[space.names.index(settings.start)],
        count=None if count is None else abs(count),
        efficacy=find_efficacy(settings, space),
    )


def predict_time(settings: DecodeSettings, classes: Sequence[str], level: float) -> float | None:
    """Return the minute at which the simulated chain is expected to reach a valence of ``level``, None for never.

    Of a constant number of factors, negative ones to reach minus ``level``; raise ``FerError`` where they are redrawn.
    """
    space = build_space(settings, classes)
    plan = build_plan(settings, space, 1)
    count = settings.factors
    if count is None:
        raise FerError("no time to the region is predicted for factors that are redrawn: set sequences.factors")
    factors = (np.arange(len(FACTORS)) < abs(count)) * plan.sign
    chain = incentive_transition(space, factors, settings.tau, efficacy=find_efficacy(settings, space))
    chain = fade(chain, settings.psi, settings.minutes) if settings.generator_fading else chain
    start = np.full(space.size, 1 / space.size) if plan.initial is None else plan.initial
    return time_to_region(start, chain, space, -level if count < 0 else level, settings.minutes, below=count < 0)


def find_efficacy(settings: DecodeSettings, space: StateSpace) -> np.ndarray | None:
    """Return the efficacy of factors by state, (4, N), or None if it is 1 everywhere."""
    return read_efficacy(settings.efficacy, space) if settings.efficacy else None


def estimate_emission(validation: Predictions, space: StateSpace) -> np.ndarray:
    """Return P(predicted class | state), (N, K): confusion of the state's class plus 1 per cell, rows normalised."""
    codes = {name: place for place, name in enumerate(space.classes)}
    seen = ~np.isnan(validation.probabilities).any(axis=1)
    truth = np.array([codes[name] for name in validation.labels])[seen]
    counts = confusion_counts(truth, validation.probabilities[seen].argmax(axis=1), len(codes)) + 1.0
    return np.asarray((counts / counts.sum(axis=1, keepdims=True))[space.class_index])


def fit_model(settings: DecodeSettings, space: StateSpace, validation: Predictions, seed: int) -> Model:
    """Return the model that decodes: the initial one, or with ``learn`` fitted on sequences of validation images.

    Validation images are drawn with replacement: they are few, and nothing is scored on them.
    """
    initial = np.full(space.size, 1 / space.size)
    if settings.perfect:
        return Model(initial, space.transition, np.eye(len(space.classes))[space.class_index])
    start = octants(space.classes, settings.calmness_positive) if settings.states == "octants" else of_classes(space.classes)
    if settings.model_stay is not None:
        start = start.stay(settings.model_stay)
    emission = estimate_emission(validation, space)
    if not settings.learn or settings.decode == "frame":
        return Model(initial, start.transition, emission)
    simulated = simulate(space, build_plan(settings, space, settings.fit_sequences), derive_seed(seed, "fit"))
    rng = np.random.default_rng(derive_seed(seed, "validation images"))
    images, _ = draw_images(simulated.states, space, validation.labels, rng, replace=True)
    efficacy = find_efficacy(settings, space)
    tilt = incentive_tilt(space, _shorten(simulated.factors), settings.tau, efficacy=efficacy)
    found = fit(
        initial,
        start.transition,
        emission,
        gather(validation, images),
        tilt=tilt if settings.incentive else None,
        moved=moved_share(settings.psi, settings.minutes) if settings.fading else 1.0,
        pseudo_count=settings.pseudo_count,
    )
    return Model(found.initial, found.transition, found.emission, found)


def decode_sequences(
    settings: DecodeSettings,
    space: StateSpace,
    model: Model,
    simulated: Sequences,
    images: np.ndarray,
    lengths: np.ndarray,
    observed: np.ndarray,
) -> Decoded:
    """Return the decoded states of observations, (M, T, K) probabilities or (M, T) classes, and the gate's advice.

    Advice is given on the way: from the observations up to each step, also where the smoother decodes.
    """
    likelihood = observe(model.emission, observed)
    if settings.decode == "frame":
        gamma = now = likelihood / likelihood.sum(axis=2, keepdims=True)
        soft = np.nan_to_num(observed) if observed.ndim == 3 else np.eye(len(space.classes))[observed]
        predicted = space.frame_index[soft.argmax(axis=2)]
        predicted_group = space.group_index[predicted]
    else:
        known = model.initial, build_chain(settings, space, model, simulated), likelihood
        now = filter_states(*known).gamma
        gamma = smooth_states(*known).gamma if settings.decode == "smoother" else now
        predicted = gamma.argmax(axis=2)
        predicted_group = (gamma @ space.members).argmax(axis=2)
    efficacy = find_efficacy(settings, space)
    chains = incentive_transition(space, subset_factors(), settings.tau, efficacy=efficacy, transition=model.transition)
    advice = advise(now, chains, space, settings.region)
    return Decoded(space, model, settings, simulated, images, lengths, gamma, predicted, predicted_group, advice)


def build_chain(settings: DecodeSettings, space: StateSpace, model: Model, simulated: Sequences) -> np.ndarray:
    """Return the transition of each move by the model, (N, N) or (M, 1 or T-1, N, N)."""
    if settings.perfect:
        return build_chains(space, simulated.factors, simulated.hidden, build_plan(settings, space, len(simulated.states)))
    chain = model.transition
    if settings.incentive:
        factors, efficacy = _shorten(simulated.factors), find_efficacy(settings, space)
        chain = incentive_transition(space, factors, settings.tau, efficacy=efficacy, transition=chain)
    return fade(chain, settings.psi, settings.minutes) if settings.fading else chain


def gather(predictions: Predictions, images: np.ndarray) -> np.ndarray:
    """Return the probabilities of drawn images, (M, T, K) float64, NaN where there is none."""
    table = np.asarray(predictions.probabilities, dtype=np.float64)
    padded = np.vstack([table, np.full(table.shape[1], np.nan)])  # the last row answers -1
    return np.asarray(padded[images])


def _shorten(factors: np.ndarray) -> np.ndarray:
    """Return factors (M, 1, 4) if they are constant within each sequence, which needs one matrix each; else as they are."""
    return factors[:, :1] if (factors == factors[:, :1]).all() else factors
