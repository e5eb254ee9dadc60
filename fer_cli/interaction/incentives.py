"""Incentive factors that change the transitions of emotional states, and how their effect builds up and fades.

Fan et al. 2025, Eq 11-12. The paper's A_k(i, j) = tau (I_k1 .. I_k4) multiplies a number by four factors, which is no
probability; we use A_k(i, j) ~ A(i, j) exp(tau s_j sum_m w_m e_mi I_km), rows renormalised, with the sign s_j of state j,
I in [-1, 1] (negative: a disturbance) and the efficacy e_mi of factor m on a student in state i (1 if not given).

Fading, dE/dt = psi (E - E(t)), acts on the distribution of states: gamma* + (gamma - gamma*) exp(-psi t) with
gamma* = gamma A_k. This is a step of the lazy chain (1 - exp(-psi t)) A_k + exp(-psi t) I, so that filter, smoother and
Viterbi need no special case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from fer_cli.config.emotion import PSI
from fer_cli.errors import FerError, nearest
from fer_cli.interaction.hmm import check_rows
from fer_cli.interaction.states import StateSpace

FACTORS = ("reduce-difficulty", "remove-difficult-problems", "raise-fun", "raise-teaching-quality")
"""The four factors of Eq 11."""
TAU = 1.0
SUBSETS = tuple(
    subset for size in range(len(FACTORS) + 1) for subset in combinations(range(len(FACTORS)), size)
)  # by size, then in order


def subset_factors() -> np.ndarray:
    """Return the factors of each of the 16 subsets, by size and then in order, (16, 4) float64 in {0, 1}."""
    return np.array([[float(place in subset) for place in range(len(FACTORS))] for subset in SUBSETS])


def subset_name(subset: tuple[int, ...]) -> str:
    """Return the names of a subset joined by ``+``, or ``none``."""
    return "+".join(FACTORS[place] for place in subset) or "none"


def incentive_tilt(
    space: StateSpace,
    factors: np.ndarray,
    tau: float = TAU,
    weights: np.ndarray | None = None,
    efficacy: np.ndarray | None = None,
) -> np.ndarray:
    """Return exp(tau s_j sum_m w_m e_mi I_m), which multiplies transitions: (..., N, N), without efficacy (..., 1, N).

    ``factors``: (..., 4) in [-1, 1]; ``weights``: (4,), default 1/4 each; ``efficacy``: (4, N) >= 0. Raise ``FerError``.
    """
    factors = _check_factors(factors)
    shares = np.full(len(FACTORS), 1 / len(FACTORS)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(FACTORS),) or not np.isfinite(shares).all() or not np.isfinite(tau):
        raise FerError(f"incentive factors need {len(FACTORS)} finite weights and a finite tau")
    if efficacy is None:
        strength = (factors @ shares)[..., None, None]
    else:
        table = np.asarray(efficacy, dtype=np.float64)
        if table.shape != (len(FACTORS), space.size) or not table.min() >= 0 or not np.isfinite(table.max()):
            raise FerError(f"efficacy needs {len(FACTORS)} rows (factors) and {space.size} columns (states) of values >= 0")
        strength = ((factors * shares) @ table)[..., None]
    return np.asarray(np.exp(tau * strength * space.sign))


def incentive_transition(
    space: StateSpace,
    factors: np.ndarray,
    tau: float = TAU,
    weights: np.ndarray | None = None,
    efficacy: np.ndarray | None = None,
    transition: np.ndarray | None = None,
) -> np.ndarray:
    """Return A_k of each row of factors, (..., N, N); ``transition``: A, by default that of the space."""
    base = space.transition if transition is None else check_rows(transition, "transition")
    raw = base * incentive_tilt(space, factors, tau, weights, efficacy)
    return np.asarray(raw / raw.sum(axis=-1, keepdims=True))


def read_efficacy(table: Mapping[str, Mapping[str, float]], space: StateSpace) -> np.ndarray:
    """Return the efficacy of factors by state, (4, N), from names; 1 where nothing is given. Raise ``FerError``."""
    found = np.ones((len(FACTORS), space.size))
    for factor, by_state in table.items():
        if factor not in FACTORS:
            raise FerError(f"unknown incentive factor {factor!r}{nearest(factor, FACTORS)}")
        for state, value in by_state.items():
            if not 0 <= value < np.inf:
                raise FerError(f"efficacy of {factor} in state {state} is {value:g}: choose a value of at least 0")
            found[FACTORS.index(factor), space.index(state)] = value
    return found


def fade(transition: np.ndarray, psi: float = PSI, minutes: float = 1.0) -> np.ndarray:
    """Return the lazy chain (1 - exp(-psi t)) A_k + exp(-psi t) I, (..., N, N); ``psi`` per minute."""
    share = moved_share(psi, minutes)
    return np.asarray(share * transition + (1 - share) * np.eye(transition.shape[-1]))


def moved_share(psi: float = PSI, minutes: float = 1.0) -> float:
    """Return 1 - exp(-psi t), the share of the effect after ``minutes``."""
    if not 0 < psi < np.inf or not 0 < minutes < np.inf:
        raise FerError(f"fading needs a positive rate and a positive time; given: {psi:g} per minute, {minutes:g} min")
    return -math.expm1(-psi * minutes)


def _check_factors(factors: np.ndarray) -> np.ndarray:
    factors = np.asarray(factors, dtype=np.float64)
    if factors.ndim == 0 or factors.shape[-1] != len(FACTORS) or not (np.abs(factors) <= 1).all():
        raise FerError(f"incentive factors have shape {factors.shape}: needed are (..., {len(FACTORS)}) values from -1 to 1")
    return factors
