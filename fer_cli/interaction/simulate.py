"""Simulated sequences of emotional states with a track of incentive factors, and images drawn for their states.

No paper publishes sequences; these are ours and every result on them is a SIMULATION. Three generators:

- ``chain``: the model's own kind, the transition A_k of the factors that are active, with or without fading.
- ``dwell``: a semi-Markov chain that stays in a state for a gamma-distributed time (shape 3) of the same mean as in
  the chain, instead of a geometric one; jumps as in the chain. Times are continuous, states are read once per step.
- ``unmodelled``: the chain with a fifth factor, a disturbance of the weight of one factor, that acts in a quarter of the
  blocks and in no model's track.

Factors are redrawn at the start of each block of steps, uniformly from all 16 subsets. Sequences of one seed use common
random numbers: the same factors, first states and uniform draws under each generator and setting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from fer_cli.config.emotion import PSI, Generator
from fer_cli.errors import FerError, nearest
from fer_cli.interaction.incentives import (
    FACTORS,
    TAU,
    fade,
    incentive_transition,
    moved_share,
    subset_factors,
)
from fer_cli.interaction.states import StateSpace
from fer_cli.seeds import derive_seed

GENERATORS: tuple[Generator, ...] = get_args(Generator)
BLOCK = 50
"""Steps between two draws of the factors."""
SHAPE = 3.0
"""Shape of the gamma distribution of dwell times; 1 would be the exponential one."""
HIDDEN_SHARE = 0.25
HIDDEN_WEIGHT = 0.25
UNUSED = -1
"""Image of a step after the end of a sequence."""


@dataclass(frozen=True)
class Sequences:
    """``states``: (M, T) int64; ``factors``: (M, T-1, 4) in [-1, 1], active from t to t+1; ``hidden``: (M, T-1) bool."""

    states: np.ndarray
    factors: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How sequences are simulated. ``sign``: 1 for incentives, -1 for disturbances; ``minutes``: per step, for fading."""

    sequences: int
    steps: int = 50
    generator: Generator = "chain"
    sign: float = 1.0
    block: int = BLOCK
    tau: float = TAU
    faded: bool = False
    psi: float = PSI
    minutes: float = 1.0
    efficacy: np.ndarray | None = None
    """(4, N), 1 by default."""
    initial: np.ndarray | None = None
    """(N,), uniform by default."""
    count: int | None = None
    """Number of the four factors that are active all the time; by default a subset that is redrawn per block."""


def simulate(space: StateSpace, plan: Plan, seed: int) -> Sequences:
    """Return sequences from the transition of a space; the same seed gives common random numbers under each plan."""
    _check_plan(plan)
    shape = plan.sequences, plan.steps
    factors = draw_factors(np.random.default_rng(derive_seed(seed, "factors")), shape, plan.block) * plan.sign
    if plan.count is not None:
        factors = np.broadcast_to((np.arange(len(FACTORS)) < plan.count) * plan.sign, factors.shape)
    hidden = draw_blocks(np.random.default_rng(derive_seed(seed, "hidden")).random, shape, plan.block) < HIDDEN_SHARE
    hidden &= plan.generator == "unmodelled"
    chains = build_chains(space, factors, hidden, plan)
    uniform = np.random.default_rng(derive_seed(seed, "states")).random(shape)
    initial = np.full(space.size, 1 / space.size) if plan.initial is None else plan.initial
    first = _pick(np.broadcast_to(initial, (plan.sequences, space.size)), uniform[:, 0])
    if plan.generator == "dwell":
        states = _walk_dwelling(first, chains, uniform, np.random.default_rng(derive_seed(seed, "dwell")))
    else:
        states = _walk(first, chains, uniform)
    return Sequences(states, factors, hidden)


def draw_factors(rng: np.random.Generator, shape: tuple[int, int], block: int = BLOCK) -> np.ndarray:
    """Return the factors of each move, (M, T-1, 4) in {0, 1}: a uniform subset of the four per block. ``shape``: (M, T)."""
    subsets = subset_factors()
    return np.asarray(subsets[draw_blocks(lambda size: rng.integers(0, len(subsets), size), shape, block)])


def draw_blocks(draw: Callable[[tuple[int, int]], np.ndarray], shape: tuple[int, int], block: int) -> np.ndarray:
    """Return one value of ``draw`` per block, repeated for its moves, (M, T-1); move t leads from step t to t+1."""
    sequences, steps = shape
    values = draw((sequences, -(-steps // block)))
    return np.asarray(np.repeat(values, block, axis=1)[:, : steps - 1])


def draw_images(
    states: np.ndarray, space: StateSpace, labels: Sequence[str], rng: np.random.Generator, replace: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of each state's class, (M, T) positions in ``labels``, -1 after the end; and the lengths (M,).

    ``labels``: the true class of each image. Without ``replace``, no image is drawn twice in all sequences together, and a
    sequence ends when the class that it needs has run out; those before it come first.
    """
    names = np.asarray(labels)
    pools = [rng.permutation(np.flatnonzero(names == name)) for name in space.classes]
    needed = space.class_index[states]
    images = np.full(states.shape, UNUSED, dtype=np.int64)
    if replace:
        lost = [name for name, pool in zip(space.classes, pools, strict=True) if name in space.shows and not len(pool)]
        if lost:
            raise FerError(f"no image of class {lost[0]!r} to draw: use a larger part of the data set")
        for place, pool in enumerate(pools):
            here = needed == place
            images[here] = rng.choice(pool, int(here.sum())) if here.any() else UNUSED
        return images, np.full(len(states), states.shape[1])
    lengths = np.zeros(len(states), dtype=np.int64)
    used = np.zeros(len(pools), dtype=np.int64)
    sizes = np.array([len(pool) for pool in pools])
    for row, classes in enumerate(needed):
        nth = used + np.eye(len(pools), dtype=np.int64)[classes].cumsum(axis=0)  # images used of each class after each step
        empty = (nth > sizes)[np.arange(len(classes)), classes]
        lengths[row] = int(empty.argmax()) if empty.any() else len(classes)
        for place, pool in enumerate(pools):
            steps = np.flatnonzero(classes[: lengths[row]] == place)
            images[row, steps] = pool[used[place] : used[place] + len(steps)]
            used[place] += len(steps)
    return images, lengths


def draw_classes(states: np.ndarray, emission: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a class drawn from each state's row of ``emission`` (N, K): (M, T) int64, what a perfect recogniser sees."""
    flat = states.ravel()
    return _pick(emission[flat], rng.random(len(flat))).reshape(states.shape)


def build_chains(space: StateSpace, factors: np.ndarray, hidden: np.ndarray, plan: Plan) -> np.ndarray:
    """Return the matrix of each move, (M, 1 or T-1, N, N); one per sequence if nothing changes within it."""
    if (factors == factors[:, :1]).all() and (hidden == hidden[:, :1]).all():
        factors, hidden = factors[:, :1], hidden[:, :1]
    base = incentive_transition(space, factors, plan.tau, efficacy=plan.efficacy)
    disturbed = base * np.exp(-plan.tau * HIDDEN_WEIGHT * space.sign)
    disturbed /= disturbed.sum(axis=-1, keepdims=True)
    chains = np.where(hidden[:, :, None, None], disturbed, base)
    return fade(chains, plan.psi, plan.minutes) if plan.faded else chains


def _walk(first: np.ndarray, chains: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the states (M, T) of chains that start from ``first`` (M,)."""
    states = np.empty(uniform.shape, dtype=np.int64)
    states[:, 0] = first
    rows = np.arange(len(first))
    for step in range(1, uniform.shape[1]):
        matrices = chains[:, step - 1 if chains.shape[1] > 1 else 0]
        states[:, step] = _pick(matrices[rows, states[:, step - 1]], uniform[:, step])
    return states


def _walk_dwelling(first: np.ndarray, chains: np.ndarray, uniform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return states (M, T) that are kept for gamma times of mean 1/(1 - a_ii) and left by the other entries of the row."""
    states = np.empty(uniform.shape, dtype=np.int64)
    rows = np.arange(len(first))
    now = first.copy()
    left = _draw_dwell(chains[rows, 0, now, now], rng)
    states[:, 0] = now
    for step in range(1, uniform.shape[1]):
        matrices = chains[:, step - 1 if chains.shape[1] > 1 else 0]
        left = left - 1
        draws = uniform[:, step]
        while (due := left <= 0).any():  # several jumps within one step where dwell times are short
            moves = matrices[rows, now]
            moves[rows, now] = 0.0
            total = moves.sum(axis=1, keepdims=True)
            jumped = _pick(moves / np.where(total > 0, total, 1.0), draws)
            now = np.where(due, jumped, now)
            left = np.where(due, left + _draw_dwell(matrices[rows, now, now], rng), left)
            draws = rng.random(len(first))
        states[:, step] = now
    return states


def _draw_dwell(own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return dwell times in steps, (M,), of mean 1/(1 - own); infinite for a state that is never left."""
    leave = 1 - own
    mean = np.divide(1.0, leave, out=np.full(len(own), np.inf), where=leave > 0)
    return np.asarray(rng.gamma(SHAPE, 1 / SHAPE, len(own)) * mean)


def _pick(rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the position that a uniform draw falls on in each row of probabilities, (M,) int64."""
    edges = rows.cumsum(axis=1)[:, :-1]
    return np.asarray((uniform[:, None] >= edges).sum(axis=1))


def _check_plan(plan: Plan) -> None:
    if plan.generator not in GENERATORS:
        raise FerError(f"unknown generator {plan.generator!r}{nearest(plan.generator, GENERATORS)}")
    if plan.sequences < 1 or plan.steps < 2 or plan.block < 1:
        raise FerError(f"a simulation needs at least 1 sequence of 2 steps; given: {plan.sequences} of {plan.steps}")
    if not np.abs(plan.sign) <= 1:
        raise FerError(f"sign of the factors is {plan.sign:g}: choose a value from -1 to 1")
    if plan.count is not None and not 0 <= plan.count <= len(FACTORS):
        raise FerError(f"{plan.count} factors: choose a number from 0 to {len(FACTORS)}")
    if plan.faded:
        moved_share(plan.psi, plan.minutes)
