"""Hidden emotional states: their valence, prior transitions and emissions, and the class that each of them shows.

Fan et al. 2025, Eq 7-8 and Figure 5, name eight states from three axes (pleasure, arousal, dominance) and give no numbers.
Valences, prior probabilities and the signs of the octants are ours. The paper counts calmness among the negative states;
``calmness_positive`` moves it. The states may also be the classes of the recogniser themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fer_cli.errors import FerError, nearest

BASIC7 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
VALENCE = {
    "happy": 1.0,
    "surprise": 0.4,
    "neutral": 0.0,
    "sad": -0.6,
    "fear": -0.6,
    "contempt": -0.6,
    "disgust": -0.8,
    "angry": -1.0,
    "curious": 0.6,
    "focused": 0.2,
    "confused": -0.4,
    "tired": -0.6,
    "distracted": -0.6,
}
"""Class -> valence in [-1, 1], of basic and of learning expressions; ours."""
OCTANTS: dict[str, tuple[float, tuple[int, int, int], dict[str, float]]] = {
    "excitement": (0.6, (1, 1, 1), {"surprise": 0.6}),
    "joy": (0.8, (1, 1, -1), {"happy": 0.7}),
    "happiness": (1.0, (1, -1, 1), {"happy": 0.7}),
    "relaxation": (0.4, (1, -1, -1), {"neutral": 0.7}),
    "calmness": (-0.2, (-1, -1, 1), {"neutral": 0.7}),
    "depression": (-0.6, (-1, -1, -1), {"sad": 0.7}),
    "tension": (-0.8, (-1, 1, -1), {"fear": 0.4, "disgust": 0.3}),
    "anger": (-1.0, (-1, 1, 1), {"angry": 0.7}),
}
"""State -> valence, signs of (pleasure, arousal, dominance), likely classes; the rest is uniform over the other classes."""
GROUPS = (("excitement",), ("joy", "happiness"), ("relaxation", "calmness"), ("depression",), ("tension",), ("anger",))
"""Octants that no recogniser of basic classes can tell apart: scored as one."""
OCTANT_SELF = 0.4
CLASS_SELF = 0.9
OWN_CLASS = 0.7
"""Prior probability that a state shows its own class, if states are classes."""


@dataclass(frozen=True)
class StateSpace:
    """The hidden states of a model and what is known of them before data are seen.

    ``valence``: (N,) float64 in [-1, 1]; ``sign``: (N,) int64 in {-1, 0, 1}; ``transition``: (N, N) float64, rows sum to 1;
    ``classes``: the K classes of the recogniser; ``emission``: (N, K) float64, rows sum to 1; ``shows``: the class of each
    state in simulations; ``groups``: states scored as one; ``pad``: (N, 3) int64 signs of pleasure, arousal and dominance,
    or None.
    """

    names: tuple[str, ...]
    valence: np.ndarray
    sign: np.ndarray
    transition: np.ndarray
    classes: tuple[str, ...]
    emission: np.ndarray
    shows: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    pad: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Return the number of states."""
        return len(self.names)

    @property
    def class_index(self) -> np.ndarray:
        """Return the position of each state's class among ``classes``, (N,) int64."""
        return np.array([self.classes.index(name) for name in self.shows])

    @property
    def group_index(self) -> np.ndarray:
        """Return the position of each state's group among ``groups``, (N,) int64."""
        found = {name: place for place, group in enumerate(self.groups) for name in group}
        return np.array([found[name] for name in self.names])

    @property
    def members(self) -> np.ndarray:
        """Return 1 where a state belongs to a group, (N, G) float64: a distribution times it is that of the groups."""
        return np.asarray(np.eye(len(self.groups))[self.group_index])

    @property
    def frame_index(self) -> np.ndarray:
        """Return the most likely state of each class by the prior emission, (K,) int64; ties go to the first state."""
        return np.asarray(np.argmax(self.emission, axis=0))

    def index(self, name: str) -> int:
        """Return the position of a state; raise ``FerError`` for an unknown name."""
        if name not in self.names:
            raise FerError(f"unknown state {name!r}{nearest(name, self.names)}")
        return self.names.index(name)

    def stay(self, probability: float) -> StateSpace:
        """Return the space with another probability to stay in a state; the shares of the other states are kept."""
        if not 0 <= probability <= 1:
            raise FerError(f"probability to stay in a state is {probability:g}: choose a value from 0 to 1")
        moves = self.transition * (1 - np.eye(self.size))
        moves *= (1 - probability) / moves.sum(axis=1, keepdims=True)
        return replace(self, transition=moves + probability * np.eye(self.size))


def octants(classes: Sequence[str] = BASIC7, calmness_positive: bool = False) -> StateSpace:
    """Return the eight states of Figure 5; ``classes`` must contain the seven basic ones."""
    lost = [name for name in BASIC7 if name not in classes]
    if lost:
        raise FerError(f"the eight emotional states need the basic classes; missing: {', '.join(lost)}. Use states: classes")
    names = tuple(OCTANTS)
    valence = np.array([entry[0] for entry in OCTANTS.values()])
    sign = np.array([1] * 4 + [-1] * 4)
    if calmness_positive:
        valence[names.index("calmness")] *= -1
        sign[names.index("calmness")] = 1
    emission = np.empty((len(names), len(classes)))
    for row, (_, _, likely) in zip(emission, OCTANTS.values(), strict=True):
        rest = (1 - sum(likely.values())) / (len(classes) - len(likely))
        row[:] = [likely.get(name, rest) for name in classes]
    shows = tuple(max(likely, key=lambda name: likely[name]) for _, _, likely in OCTANTS.values())
    pad = np.array([entry[1] for entry in OCTANTS.values()])
    transition = _by_valence(sign, OCTANT_SELF)
    return StateSpace(names, valence, sign, transition, tuple(classes), emission, shows, GROUPS, pad)


def of_classes(classes: Sequence[str]) -> StateSpace:
    """Return one state per class of a recogniser; raise ``FerError`` for a class without valence."""
    names = tuple(classes)
    if len(names) < 2 or len(set(names)) < len(names):
        raise FerError(f"an emotion model needs at least two different classes; given: {', '.join(names) or 'none'}")
    for name in names:
        if name not in VALENCE:
            raise FerError(f"class {name!r} has no valence{nearest(name, VALENCE)}")
    valence = np.array([VALENCE[name] for name in names])
    equal = _self_and_equal(len(names), CLASS_SELF), _self_and_equal(len(names), OWN_CLASS)
    sign = np.sign(valence).astype(np.int64)
    return StateSpace(names, valence, sign, equal[0], names, equal[1], names, tuple((name,) for name in names))


def _self_and_equal(size: int, own: float) -> np.ndarray:
    """Return (N, N) with ``own`` on the diagonal and equal values beside it; rows sum to 1."""
    return np.where(np.eye(size, dtype=bool), own, (1 - own) / (size - 1))


def _by_valence(sign: np.ndarray, own: float) -> np.ndarray:
    """Return (N, N): half of the moves lead to states of the same sign, half to those of the other, equally within each."""
    same = sign[:, None] == sign
    others = same & ~np.eye(len(sign), dtype=bool)
    half = (1 - own) / 2
    moves = np.where(others, half / others.sum(axis=1, keepdims=True), half / (~same).sum(axis=1, keepdims=True))
    return np.where(np.eye(len(sign), dtype=bool), own, moves)
