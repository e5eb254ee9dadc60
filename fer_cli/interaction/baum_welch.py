"""Baum-Welch estimation of initial, transition and emission probabilities from many sequences at once.

Rabiner 1989, and for observations that are probabilities p_t over classes (the class is then hidden too):
B_jk ~ sum_t gamma_t(j) B_jk p_t(k) / b_j(p_t), which equals the usual count if p_t is one-hot. Three additions:

- A pseudo-count c per cell is the prior sum c log(cell): then log P(O) plus that prior never falls, log P(O) alone may.
- ``tilt`` multiplies the transition, rows renormalised: A_k ~ A x tilt (incentive factors with a known track). A is found by
  maximising a lower bound, in which -log Z(A) is replaced by its tangent: A_ij ~ C_ij / sum_t xi_t(i) tilt_ij / Z_i.
- ``moved`` < 1 mixes the transition with the identity (fading): moved x A_k + (1 - moved) x I. Only real moves count for A.

States keep their order: nothing is permuted afterwards, so that a start far from the truth may end with exchanged names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_cli.errors import FerError, nearest
from fer_cli.interaction.hmm import MISSING, backward, check_model, check_rows, forward, observe

PARTS = ("initial", "transition", "emission")
TOLERANCE = 1e-4
ITERATIONS = 100


@dataclass(frozen=True)
class Fit:
    """A fitted model. ``log_likelihood``: log P(O) by iteration, start and end included; ``objective``: plus the prior."""

    initial: np.ndarray
    transition: np.ndarray
    emission: np.ndarray
    log_likelihood: np.ndarray
    objective: np.ndarray
    converged: bool


@dataclass(frozen=True)
class Task:
    """What stays fixed during a fit. ``tilt``: (1 or M, 1 or T-1, N, N); ``lengths``: (M,) steps that count."""

    observations: np.ndarray
    lengths: np.ndarray
    tilt: np.ndarray
    moved: float
    pseudo_count: float
    learn: tuple[str, ...]

    def tilt_rows(self, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return A_k and the Z that normalised its rows, (1 or M, 1 or T-1, N, N) and (1 or M, 1 or T-1, N, 1)."""
        raw = transition * self.tilt
        total = raw.sum(axis=-1, keepdims=True)
        return raw / total, total

    def shares(self, step: int, classes: int) -> np.ndarray:
        """Return the observations of one step as probabilities (M, K), rows of 0 if missing."""
        values = np.ascontiguousarray(self.observations[:, step])
        if values.ndim == 1:
            return np.asarray(np.vstack([np.eye(classes), np.zeros(classes)])[values])
        return np.asarray(np.nan_to_num(values, nan=0.0))


@dataclass(frozen=True)
class Counts:
    """Expected counts: ``initial`` (N,), ``moves`` and ``exposure`` (N, N), ``shown`` (N, K)."""

    initial: np.ndarray
    moves: np.ndarray
    exposure: np.ndarray
    shown: np.ndarray


def fit(
    initial: np.ndarray,
    transition: np.ndarray,
    emission: np.ndarray,
    observations: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    tilt: np.ndarray | None = None,
    moved: float = 1.0,
    pseudo_count: float = 0.0,
    learn: Sequence[str] = PARTS,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
) -> Fit:
    """Return the model fitted from a start, until the objective rises by less than ``tolerance`` nats.

    ``initial``: (N,); ``transition``: (N, N), without tilt and fading; ``emission``: (N, K); ``observations`` as in
    ``hmm.observe``; ``lengths``: (M,) steps of each sequence, the rest is padding; ``tilt``: positive, broadcast to
    (M, T-1, N, N); ``learn``: parts that are estimated. Raise ``FerError`` for bad input.
    """
    state = (
        check_rows(initial, "initial probabilities"),
        check_rows(transition, "transition"),
        check_rows(emission, "emission"),
    )
    task = _check_task(observations, len(state[0]), lengths, tilt, moved, pseudo_count, learn)
    history: list[tuple[float, float]] = []
    converged = False
    for iteration in range(iterations + 1):
        found, counts = _expect(state, task)
        history.append((found, found + _prior(state, task)))
        converged = iteration > 0 and abs(history[-1][1] - history[-2][1]) < tolerance
        if converged or iteration == iterations:
            break
        state = _maximise(state, counts, task)
    logs = np.array(history)
    return Fit(state[0], state[1], state[2], logs[:, 0], logs[:, 1], converged)


def _expect(state: tuple[np.ndarray, ...], task: Task) -> tuple[float, Counts]:
    """Return log P(O) and the expected counts of all sequences."""
    initial, transition, emission = state
    size, classes = emission.shape
    tilted, total = task.tilt_rows(transition)
    chain = task.moved * tilted + (1 - task.moved) * np.eye(size)
    model = check_model(initial, chain, observe(emission, task.observations))
    likelihood = model[2]
    alpha, scale = forward(*model)
    pairs: np.ndarray = np.zeros(tilted.shape)
    shown = np.zeros((size, classes))
    first = np.zeros(size)
    after: np.ndarray | None = None  # beta x b / scale of the step after
    for step, beta in backward(*model[1:], scale):
        here = (step < task.lengths)[:, None]
        if after is not None:
            before = alpha[step] * (step + 1 < task.lengths)[:, None]
            moves = (before.T @ after)[None] if len(pairs) == 1 else before[:, :, None] * after[:, None, :]
            pairs[:, step if pairs.shape[1] > 1 else 0] += moves
        gamma = alpha[step] * beta * here
        seen = likelihood[:, step]
        shown += np.divide(gamma, seen, out=np.zeros_like(gamma), where=seen > 0).T @ task.shares(step, classes)
        after = beta * seen / scale[step][:, None]
        if step == 0:
            first = gamma.sum(axis=0)
    moves = pairs * task.moved * tilted
    exposure = (moves.sum(axis=-1, keepdims=True) / total * task.tilt).sum(axis=(0, 1))
    counts = Counts(first, moves.sum(axis=(0, 1)), exposure, shown * emission)
    return float(np.log(scale).sum()), counts


def _maximise(state: tuple[np.ndarray, ...], counts: Counts, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the model that the expected counts give; a row without any count keeps its values."""
    initial, transition, emission = state
    extra = task.pseudo_count
    if "initial" in task.learn:
        initial = _normalise(counts.initial + extra, initial)
    if "transition" in task.learn:
        exposure = counts.exposure + extra * len(transition)
        moves = np.divide(counts.moves + extra, exposure, out=np.zeros_like(transition), where=exposure > 0)
        transition = _normalise(moves, transition)
    if "emission" in task.learn:
        emission = _normalise(counts.shown + extra, emission)
    return initial, transition, emission


def _normalise(values: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return rows divided by their sums; a row of zeros is taken from ``otherwise``."""
    total = values.sum(axis=-1, keepdims=True)
    return np.where(total > 0, values / np.where(total > 0, total, 1.0), otherwise)


def _prior(state: tuple[np.ndarray, ...], task: Task) -> float:
    """Return the logarithm of the prior of the parts that are estimated, without its constant."""
    if not task.pseudo_count:
        return 0.0
    with np.errstate(divide="ignore"):
        parts = [float(np.log(values).sum()) for name, values in zip(PARTS, state, strict=True) if name in task.learn]
    return task.pseudo_count * sum(parts)


def _check_task(
    observations: np.ndarray,
    size: int,
    lengths: np.ndarray | None,
    tilt: np.ndarray | None,
    moved: float,
    pseudo_count: float,
    learn: Sequence[str],
) -> Task:
    """Return the fixed part of a fit; raise ``FerError`` for bad input. Padding is set to missing."""
    for name in learn:
        if name not in PARTS:
            raise FerError(f"unknown part {name!r} of a model{nearest(name, PARTS)}")
    if not 0 < moved <= 1 or not 0 <= pseudo_count < np.inf:
        raise FerError(f"moved = {moved:g} must be above 0 and at most 1, pseudo-count {pseudo_count:g} at least 0")
    if observations.ndim not in {2, 3}:
        raise FerError(f"observations have shape {observations.shape}: needed are (M, T) or (M, T, classes)")
    sequences, steps = observations.shape[:2]
    ends = np.full(sequences, steps) if lengths is None else np.asarray(lengths)
    if ends.shape != (sequences,) or ends.min() < 0 or ends.max() > steps:
        raise FerError(f"lengths must be {sequences} numbers from 0 to {steps}")
    padding = np.arange(steps) >= ends[:, None]
    if padding.any():
        observations = observations.copy()
        observations[padding] = MISSING if observations.ndim == 2 else np.nan
    factor = np.ones((1, 1, size, size)) if tilt is None else np.asarray(tilt, dtype=np.float64)
    factor = factor.reshape((1,) * max(0, 4 - factor.ndim) + factor.shape)
    if not factor.min() > 0 or not np.isfinite(factor.max()):
        raise FerError("tilts of transitions must be positive and finite")
    return Task(
        observations, ends, np.broadcast_to(factor, (*factor.shape[:2], size, size)), moved, pseudo_count, tuple(learn)
    )
