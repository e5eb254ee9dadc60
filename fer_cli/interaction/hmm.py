"""Hidden Markov models of many sequences at once: filter, smoother and Viterbi path.

Fan et al. 2025, Eq 9-10 and Figure 6; Rabiner 1989, Proceedings of the IEEE 77. Messages are scaled to sum to 1 at each
step, so that any length is finite, and the sum of the logarithms of the scales is log P(O). The paper's Eq 9 ends with the
sum of beta_T, which is N; P(O) = sum_i pi_i b_i(o_1) beta_1(i) is meant.

Shapes: M sequences, T steps, N states, K classes; float64 throughout (float32 is off by 5e-4 in log P over 20,000 steps).
A transition is (N, N), or (T-1, N, N) or (M, T-1, N, N) with the matrix that leads from step t to step t+1 at index t; axes
of M and of T-1 may also be 1. Rows are the state left. Messages lie in memory by time, which is the only loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fer_cli.errors import FerError

ROUNDING = 1e-6
"""How far rows of a model may be from sum 1."""
LOOSE = 1e-3
"""How far a recogniser's probabilities may be from sum 1: files round them."""
MISSING = -1
"""Hard observation of a step without a face."""


@dataclass(frozen=True)
class Posterior:
    """``gamma``: P(state | observations), (M, T, N), rows sum to 1; ``log_likelihood``: log P(O), (M,)."""

    gamma: np.ndarray
    log_likelihood: np.ndarray


def observe(emission: np.ndarray, observations: np.ndarray) -> np.ndarray:
    """Return the likelihood b_j of each observation, (M, T, N) float64; 1 where it is missing.

    ``emission``: (N, K), rows P(class | state). ``observations``: (M, T) integers, -1 if missing; or probabilities of the
    classes (M, T, K), a row of NaN if missing, for which b_j = sum_k B_jk p(k).
    """
    emission = check_rows(emission, "emission")
    states, classes = emission.shape
    if observations.ndim == 2:
        codes = check_codes(observations, classes)
        table = np.vstack([emission.T, np.ones(states)])  # the last row answers -1
        return np.swapaxes(table[codes.T], 0, 1)
    soft, missing = check_probabilities(observations, classes)
    likelihood = np.empty((soft.shape[1], len(soft), states))
    for step in range(soft.shape[1]):
        likelihood[step] = soft[:, step] @ emission.T
    likelihood[missing.T] = 1.0
    return np.swapaxes(likelihood, 0, 1)


def filter_states(initial: np.ndarray, transition: np.ndarray, likelihood: np.ndarray) -> Posterior:
    """Return P(state | observations so far) of each step. ``initial``: (N,) or (M, N), before the first one."""
    alpha, scale = forward(*check_model(initial, transition, likelihood))
    return Posterior(np.swapaxes(alpha, 0, 1), np.log(scale).sum(axis=0))


def smooth_states(initial: np.ndarray, transition: np.ndarray, likelihood: np.ndarray) -> Posterior:
    """Return P(state | all observations of the sequence) of each step, by forward-backward."""
    model = check_model(initial, transition, likelihood)
    alpha, scale = forward(*model)
    for _ in backward(*model[1:], scale, alpha):
        pass
    return Posterior(np.swapaxes(alpha, 0, 1), np.log(scale).sum(axis=0))


def viterbi(initial: np.ndarray, transition: np.ndarray, likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most likely paths, (M, T) int64, and their log P(path, O), (M,); ties go to the first state."""
    initial, transition, likelihood = check_model(initial, transition, likelihood)
    sequences, steps, states = likelihood.shape
    back = np.empty((steps, sequences, states), dtype=np.int16)
    with np.errstate(divide="ignore"):
        best = np.log(initial) + np.log(likelihood[:, 0])
        constant = None if transition.shape[1] > 1 else np.log(transition[:, 0])
        for step in range(1, steps):
            matrix = np.log(transition[:, step - 1]) if constant is None else constant
            reached = best[:, :, None] + matrix
            back[step] = reached.argmax(axis=1)
            best = reached.max(axis=1) + np.log(likelihood[:, step])
    path = np.empty((sequences, steps), dtype=np.int64)
    path[:, -1] = best.argmax(axis=1)
    rows = np.arange(sequences)
    for step in range(steps - 1, 0, -1):
        path[:, step - 1] = back[step, rows, path[:, step]]
    return path, best.max(axis=1)


def forward(initial: np.ndarray, transition: np.ndarray, likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha (T, M, N), rows sum to 1, and scale (T, M), P(observation | earlier ones), of a checked model."""
    sequences, steps, states = likelihood.shape
    alpha, scale = np.empty((steps, sequences, states)), np.empty((steps, sequences))
    ones = np.ones(states)
    message = np.broadcast_to(initial, (sequences, states))
    for step in range(steps):
        if step:
            message = propagate(message, _at(transition, step - 1))
        np.multiply(message, likelihood[:, step], out=alpha[step])
        total = np.matmul(alpha[step], ones, out=scale[step])
        if not total.all():
            place = int(np.argmin(total))
            raise FerError(
                f"sequence {place}, step {step}: the observation has probability 0 under the model; add a pseudo-count"
            )
        alpha[step] /= total[:, None]
        message = alpha[step]
    return alpha, scale


def backward(
    transition: np.ndarray, likelihood: np.ndarray, scale: np.ndarray, gamma: np.ndarray | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (step, beta (M, N)) from the last step to the first, of a checked model; multiply ``gamma`` by it in place."""
    sequences, steps, states = likelihood.shape
    message = np.ones((sequences, states))
    for step in range(steps - 1, -1, -1):
        if step < steps - 1:
            weighted = message * likelihood[:, step + 1]
            weighted /= scale[step + 1][:, None]
            message = propagate(weighted, np.swapaxes(_at(transition, step), -1, -2))
        if gamma is not None:
            gamma[step] *= message
        yield step, message


def propagate(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows (M, N) times a matrix (1, N, N) or each row's own (M, N, N)."""
    if len(matrix) == 1:
        return np.asarray(rows @ matrix[0])
    return np.asarray(np.matmul(rows[:, None, :], matrix)[:, 0])


def _at(transition: np.ndarray, step: int) -> np.ndarray:
    """Return the matrices from ``step`` to the next, (1 or M, N, N)."""
    return np.asarray(transition[:, step if transition.shape[1] > 1 else 0])


def check_model(
    initial: np.ndarray, transition: np.ndarray, likelihood: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return initial (1 or M, N), transition (1 or M, 1 or T-1, N, N) and likelihood (M, T, N); raise ``FerError``."""
    likelihood = np.asarray(likelihood, dtype=np.float64)
    if likelihood.ndim != 3 or 0 in likelihood.shape:
        raise FerError(f"likelihoods have shape {likelihood.shape}: needed are (sequences, steps, states), none of them 0")
    if not likelihood.min() >= 0 or not np.isfinite(likelihood.max()):
        raise FerError("likelihoods contain negative or non-finite values: check the observations")
    sequences, steps, states = likelihood.shape
    initial = np.atleast_2d(check_rows(initial, "initial probabilities"))
    if initial.shape not in {(1, states), (sequences, states)}:
        raise FerError(
            f"initial probabilities have shape {initial.shape}: needed are ({states},) or ({sequences}, {states})"
        )
    transition = check_rows(transition, "transition")
    full = transition.reshape((1,) * max(0, 4 - transition.ndim) + transition.shape)
    moves = max(1, steps - 1)
    if (
        full.ndim != 4
        or full.shape[2:] != (states, states)
        or len(full) not in {1, sequences}
        or full.shape[1] not in {1, moves}
    ):
        raise FerError(
            f"transition has shape {transition.shape}: needed are ({states}, {states}), ({moves}, {states}, {states}) or "
            f"({sequences}, {moves}, {states}, {states})"
        )
    return initial, full, likelihood


def check_rows(values: np.ndarray, name: str) -> np.ndarray:
    """Return probabilities (..., N) as float64; raise ``FerError`` unless each row is non-negative and sums to 1."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.size == 0:
        raise FerError(f"{name}: shape {values.shape} has no rows of probabilities")
    sums = values.sum(axis=-1)
    if not values.min() >= 0 or not np.abs(sums - 1).max() <= ROUNDING:
        worst = float(sums.flat[int(np.argmax(np.abs(sums - 1)))])
        raise FerError(f"{name}: rows must be non-negative and sum to 1 (found a sum of {worst:.6g}); normalise the rows")
    return values


def check_codes(observations: np.ndarray, classes: int) -> np.ndarray:
    """Return hard observations (M, T) as integers in [-1, K); raise ``FerError`` for others."""
    if not np.issubdtype(observations.dtype, np.integer) or 0 in observations.shape:
        raise FerError(
            f"hard observations are {observations.dtype} of shape {observations.shape}: needed are integers (M, T)"
        )
    if observations.min() < MISSING or observations.max() >= classes:
        raise FerError(f"hard observations must be from -1 (missing) to {classes - 1}")
    return observations


def check_probabilities(observations: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (M, T, K) float64 and which are missing, (M, T) bool; raise ``FerError`` at the first bad one."""
    soft = np.asarray(observations, dtype=np.float64)
    if soft.ndim != 3 or 0 in soft.shape or soft.shape[2] != classes:
        raise FerError(f"observations have shape {soft.shape}: needed are (M, T) or (M, T, {classes})")
    sums, lowest = soft @ np.ones(classes), soft.min(axis=2)
    missing = np.asarray(np.isnan(soft).all(axis=2))
    wrong = ~missing & ~((lowest >= 0) & (np.abs(sums - 1) <= LOOSE))
    if wrong.any():
        place = tuple(int(axis[0]) for axis in np.nonzero(wrong))
        raise FerError(
            f"sequence {place[0]}, step {place[1]}: probabilities {np.round(soft[place], 4).tolist()} must be non-negative "
            "and sum to 1, or all be NaN if there is no face"
        )
    return soft, missing
