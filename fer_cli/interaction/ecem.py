"""The target region of valence and the gate that advises incentive factors (ECEM).

Fan et al. 2025, Eq 13-14 and Figure 7. TEA(gamma) = sum_j gamma_j C_j is the valence of a distribution of states; the target
region is [O - phi, O + phi]. Below it, the gate tries sets of 1 to 4 factors by size, predicts gamma A_k and takes the
first size that reaches O - phi (ties: larger TEA, then the order of the factors). The paper repeats an unchanged search
until it is satisfied, which never ends where no set reaches; our n-th repetition looks n + 1 steps ahead, gamma A_k^(n+1).
With equal weights all sets of one size are equal, and the advice says so instead of naming one. Prediction is of the full
effect, which fading delays. Advice never changes gamma, and gamma is what is known at the step: the filter's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.config.emotion import PSI, Region
from fer_cli.errors import FerError
from fer_cli.interaction.incentives import FACTORS, SUBSETS, TAU, fade, incentive_transition, subset_name
from fer_cli.interaction.states import StateSpace

if TYPE_CHECKING:
    import pandas as pd

EQUAL = 1e-9
"""Differences of TEA below it are rounding."""
STILL = 1e-13
"""A chain whose distribution changes less in a step has come to rest."""


@dataclass(frozen=True)
class Advice:
    """What the gate advises for each distribution; arrays of one shape (...).

    ``tea``: valence now; ``in_region``: within the region; ``subset``: place among ``SUBSETS``, 0 without advice; ``tied``:
    all subsets of that size are equal; ``horizon``: steps until the prediction, 0 without advice; ``unmet``: no set of
    factors reaches the region within the horizons tried; ``predicted``: TEA under the advice, NaN without.
    """

    tea: np.ndarray
    in_region: np.ndarray
    subset: np.ndarray
    tied: np.ndarray
    horizon: np.ndarray
    unmet: np.ndarray
    predicted: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Return the number of advised factors."""
        return np.asarray(np.array([len(subset) for subset in SUBSETS])[self.subset])

    def labels(self) -> np.ndarray:
        """Return the advice in words: ``none``, ``any 3 factors``, or names joined by ``+``."""
        exact = np.array([subset_name(subset) for subset in SUBSETS], dtype=object)
        loose = np.array([name_count(len(subset)) for subset in SUBSETS], dtype=object)
        return np.asarray(np.where(self.tied, loose[self.subset], exact[self.subset]))


@dataclass(frozen=True)
class Recovery:
    """One curve of Figure 11: ``time`` in minutes, ``valence``, ``entropy`` in nats, all (T,).

    ``reached``: minutes to the region, None if never; ``rest``: valence of the stationary distribution.
    """

    label: str
    time: np.ndarray
    valence: np.ndarray
    entropy: np.ndarray
    reached: float | None
    rest: float


def name_count(size: int) -> str:
    """Return the words for a size whose subsets are all equal, e.g. ``any 3 factors``."""
    if size in {0, len(FACTORS)}:
        return "all 4 factors" if size else "none"
    return f"any {size} factor{'s' * (size > 1)}"


def valence(gamma: np.ndarray, space: StateSpace) -> np.ndarray:
    """Return TEA of distributions (..., N): shape (...), in [-1, 1]."""
    return np.asarray(gamma @ space.valence)


def entropy(gamma: np.ndarray) -> np.ndarray:
    """Return the entropy of distributions (..., N) in nats, shape (...)."""
    from scipy.special import entr

    return np.asarray(entr(gamma).sum(axis=-1))


def search_factors(gamma: np.ndarray, transitions: np.ndarray, space: StateSpace, region: Region) -> Advice:
    """Return the smallest advice that reaches the region from distributions (..., N), whether or not they are in it.

    ``transitions``: (16, N, N), the matrix of each of ``SUBSETS``; the first, without factors, is never advised.
    """
    gamma = np.asarray(gamma, dtype=np.float64)
    if transitions.shape != (len(SUBSETS), space.size, space.size) or gamma.shape[-1] != space.size:
        raise FerError(f"the gate needs {len(SUBSETS)} matrices and distributions of {space.size} states")
    sizes = np.array([len(subset) for subset in SUBSETS])
    value = np.broadcast_to(space.valence, (len(SUBSETS), space.size))
    shape = gamma.shape[:-1]
    subset, horizon = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    predicted, open_ = np.full(shape, -np.inf), np.ones(shape, dtype=bool)
    tied = np.zeros(shape, dtype=bool)
    for step in range(1, region.repetitions + 2):
        value = np.matmul(transitions, value[..., None])[..., 0]  # expected valence from each state after `step` steps
        reached = gamma @ value.T
        for size in range(1, len(FACTORS) + 1):
            places = np.flatnonzero(sizes == size)
            of_size = reached[..., places]
            best = of_size.max(axis=-1)
            first = places[(of_size >= best[..., None] - EQUAL).argmax(axis=-1)]
            reaches = best >= region.low - EQUAL
            better = open_ & (reaches | (best > predicted + EQUAL))  # if none reaches, the best of all is kept
            subset, horizon = np.where(better, first, subset), np.where(better, step, horizon)
            predicted = np.where(better, best, predicted)
            tied = np.where(better, of_size.min(axis=-1) >= best - EQUAL, tied)
            open_ &= ~reaches
    tea = valence(gamma, space)
    return Advice(tea, _inside(tea, region), subset, tied, horizon, open_, predicted)


def advise(gamma: np.ndarray, transitions: np.ndarray, space: StateSpace, region: Region) -> Advice:
    """Return the advice for distributions (..., N) whose TEA is below the region; none for the others."""
    found = search_factors(gamma, transitions, space, region)
    needed = found.tea < region.low - EQUAL
    return Advice(
        found.tea,
        found.in_region,
        np.where(needed, found.subset, 0),
        needed & found.tied,
        np.where(needed, found.horizon, 0),
        needed & found.unmet,
        np.where(needed, found.predicted, np.nan),
    )


def follow(start: np.ndarray, chain: np.ndarray, steps: int) -> np.ndarray:
    """Return the distributions at steps 0 .. ``steps`` of a chain (N, N) from ``start`` (..., N): (steps + 1, ..., N)."""
    found = np.empty((steps + 1, *start.shape))
    found[0] = start
    for step in range(steps):
        found[step + 1] = found[step] @ chain
    return found


def time_to_region(
    start: np.ndarray, chain: np.ndarray, space: StateSpace, level: float, minutes: float, below: bool = False
) -> float | None:
    """Return the first time in minutes at which TEA >= ``level`` (``below``: <=), or None if never.

    ``start``: (N,); ``chain``: (N, N), one step of ``minutes``. Followed until the distribution comes to rest.
    """
    gamma, sign = np.asarray(start, dtype=np.float64), -1.0 if below else 1.0
    for step in range(1_000_000):
        if sign * float(gamma @ space.valence) >= sign * level - EQUAL:
            return step * minutes
        moved = gamma @ chain
        if np.abs(moved - gamma).max() < STILL:
            return None
        gamma = moved
    raise FerError(f"the chain did not come to rest in {step * minutes:g} min: use longer steps")


def recover(
    space: StateSpace,
    start: np.ndarray,
    region: Region,
    sign: int = 1,
    psi: float = PSI,
    minutes: float = 0.1,
    span: float = 30.0,
    tau: float = TAU,
    efficacy: np.ndarray | None = None,
    fading: bool = True,
) -> list[Recovery]:
    """Return the way from a distribution (N,) under 1 to 4 incentives (``sign`` 1) or disturbances (-1).

    ``minutes``: one step; ``span``: length of the curves; ``fading``: the effect builds up with the rate ``psi``. Incentives
    must reach O - phi, disturbances its negative.
    """
    found = []
    for count in range(1, len(FACTORS) + 1):
        factors = sign * (np.arange(len(FACTORS)) < count)
        chain = incentive_transition(space, factors, tau, efficacy=efficacy)
        chain = fade(chain, psi, minutes) if fading else chain
        gamma = follow(np.asarray(start, dtype=np.float64), chain, round(span / minutes))
        reached = time_to_region(start, chain, space, sign * region.low, minutes, below=sign < 0)
        kind = "factor" if sign > 0 else "disturbance"
        label = f"{count} {kind}{'s' * (count > 1)}"
        time = np.arange(len(gamma)) * minutes
        found.append(
            Recovery(label, time, valence(gamma, space), entropy(gamma), reached, float(valence(stationary(chain), space)))
        )
    return found


def stationary(chain: np.ndarray) -> np.ndarray:
    """Return the distribution (N,) that a chain (N, N) keeps, by least squares with the sum fixed at 1."""
    size = len(chain)
    system = np.vstack([chain.T - np.eye(size), np.ones(size)])
    return np.asarray(np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0])


def format_minutes(value: float | None) -> str:
    """Return ``8.2 min`` or ``never``."""
    return "never" if value is None or not math.isfinite(value) else f"{value:.1f} min"


def trace_frame(gamma: np.ndarray, lengths: np.ndarray, advice: Advice, space: StateSpace, minutes: float) -> pd.DataFrame:
    """Return one row per sequence and step: t, gamma by state, TEA, in region, factors, horizon, unmet; padding left out.

    ``gamma``: (M, T, N); ``lengths``: (M,) steps; ``advice``: arrays (M, T), whose TEA is written; t in minutes.
    """
    import pandas as pd

    kept = np.arange(gamma.shape[1]) < np.asarray(lengths)[:, None]
    sequence, step = np.nonzero(kept)
    columns: dict[str, np.ndarray] = {"sequence": sequence, "step": step, "t_min": step * minutes}
    columns |= {f"gamma/{name}": gamma[kept][:, place] for place, name in enumerate(space.names)}
    columns |= {"tea": advice.tea[kept], "in_region": advice.in_region[kept], "factors": advice.labels()[kept].astype(str)}
    columns |= {"count": advice.count[kept], "horizon": advice.horizon[kept], "unmet": advice.unmet[kept]}
    return pd.DataFrame(columns)


def _inside(tea: np.ndarray, region: Region) -> np.ndarray:
    return (tea >= region.low - EQUAL) & (tea <= region.high + EQUAL)
