"""The ``search:`` block of a study: the trials that each arm gets, as many for every arm.

An arm is tried with the study's own settings, with learning rates around its own, a factor ``STEP`` apart, and with further
values of its one knob at its own rate; rates and knobs are not crossed. An arm without a knob, or whose knob has fewer
further values, gets as many finer rates in the same range instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from fer_cli.config import Section
from fer_cli.errors import nearest
from fer_cli.escape import cut
from fer_cli.settings import grid_key

STEP = 3.0
"""Factor between neighbouring learning rates."""
RATE = "train.lr"
SECTIONS = ("augment", "learning", "model", "train")
"""Sections whose settings can be knobs; those of ``data`` and ``corrupt`` are the task, not the method."""
NO_KNOBS = {
    RATE: "its rates are tried for every arm",
    "train.epochs": "it is the effort, not a method's knob",
    "train.select_on": "it is the score that trials are compared by",
    "learning.method": "it is the arm",
    "model.backbone": "it is the arm",
    "model.pretrain": "it is the start of the arm",
    "model.weights": "it is the start of the arm",
}
"""Setting that cannot be a knob -> reason."""


class Search(Section):
    """The trials of each arm; by default, three learning rates."""

    rates: int = Field(3, ge=3, le=9)
    """Learning rates of an arm with a knob: an odd number, its own in the middle."""
    knobs: dict[str, dict[str, Annotated[list[Any], Field(min_length=2, max_length=9)]]] = {}
    """Arm -> its one setting -> values; its own value is tried anyway."""
    at: dict[str, Any] = {}
    """Grid values or levels at which trials are run; the first of the factors left out."""
    seeds: int = Field(1, ge=1, le=20)
    """Number of the study's first seeds whose training and validation parts are used."""
    epochs: float = Field(1.0, gt=0, le=1)
    """Factor of each arm's epochs, rounded, at least one."""
    images: int | None = Field(None, ge=1)
    """Maximum number of training images of a trial."""

    @model_validator(mode="after")
    def _odd(self) -> Search:
        if self.rates % 2 == 0:
            raise ValueError(f"rates: {self.rates} is even; give an odd number, with the arm's own rate in the middle")
        return self

    def check(self, arms: Iterable[str], values: Mapping[str, list[Any]], taken: Mapping[str, str], seeds: int) -> None:
        """Raise ValueError for what the study does not have: arms, factors, values or seeds.

        ``values``: of its grid factors and levels. ``taken``: setting -> place in the study that varies it.
        """
        arms = list(arms)
        for arm, knob in self.knobs.items():
            where = f"search.knobs.{cut(arm)}"
            if arm not in arms:
                raise ValueError(f"search.knobs: no arm '{cut(arm)}'{nearest(arm, arms)}")
            if len(knob) != 1:
                raise ValueError(f"{where}: give one setting, not {len(knob)}")
            [(name, tried)] = knob.items()
            if name in NO_KNOBS:
                raise ValueError(f"{where}: {name} cannot be a knob: {NO_KNOBS[name]}")
            if name.split(".")[0] not in SECTIONS:
                raise ValueError(f"{where}: {cut(name)} cannot be a knob: use a setting of {', '.join(SECTIONS)}")
            if name in taken:
                raise ValueError(f"{where}: {name} is also varied by {taken[name]}; choose another setting")
            if len({grid_key(value) for value in tried}) != len(tried) or any(isinstance(v, dict) for v in tried):
                raise ValueError(f"{where}.{name}: values must be scalars or lists without duplicates")
        if RATE in taken:
            raise ValueError(f"search: {RATE} is varied by {taken[RATE]}, so that rates cannot be searched; remove search")
        for factor, value in self.at.items():
            if factor not in values:
                raise ValueError(f"search.at: '{cut(factor)}' is in neither grid nor levels{nearest(factor, values)}")
            if grid_key(value) not in map(grid_key, values[factor]):
                known = nearest(str(value), map(str, values[factor]))
                raise ValueError(f"search.at.{cut(factor)}: '{cut(value)}' is not one of its values{known}")
        if self.seeds > seeds:
            raise ValueError(f"search.seeds: {self.seeds} exceeds the study's {seeds} seeds")

    def knob_of(self, arm: str) -> tuple[str, list[Any]] | None:
        """Return an arm's knob and its values, or None."""
        return next(iter(self.knobs[arm].items())) if arm in self.knobs else None


def rate_factors(count: int, rates: int = 3) -> list[float]:
    """Return ``count`` factors of an arm's learning rate, 1 first: ``rates`` of them ``STEP`` apart, the others between.

    Between: the middles of the gaps from the lowest on, then the middles of those gaps.
    """
    half = rates // 2
    exponents = [0.0, *(sign * n for n in range(1, half + 1) for sign in (-1.0, 1.0))]
    gap = 1.0
    while len(exponents) < count:
        exponents += [-half + gap * (n + 0.5) for n in range(round(2 * half / gap))]
        gap /= 2
    return [STEP**exponent for exponent in exponents[:count]]


def count_trials(search: Search, own: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the number of settings that every arm is tried with; ``own``: arm -> its settings by dotted name."""
    return search.rates + max((len(further_values(search, arm, settings)) for arm, settings in own.items()), default=0)


def further_values(search: Search, arm: str, own: Mapping[str, Any]) -> list[Any]:
    """Return the values of an arm's knob that are not its own; none without a knob."""
    if (knob := search.knob_of(arm)) is None:
        return []
    name, values = knob
    return [value for value in values if grid_key(value) != grid_key(own.get(name))]


def list_settings(search: Search, arm: str, own: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Return the ``count`` settings that an arm is tried with, as changes to its ``own``; the first changes nothing.

    Rates are rounded to four digits.
    """
    further = further_values(search, arm, own)
    rates = rate_factors(count - len(further), search.rates)
    knob = search.knob_of(arm)
    changes: list[dict[str, Any]] = [{RATE: float(f"{own[RATE] * factor:.4g}")} for factor in rates[1:]]
    return [{}, *changes, *({knob[0]: value} for value in further if knob is not None)]
