"""A seeded simulation with planted effects (the teacher study's students are private), and the file that describes it.

Each data set has n people, equally many in each cell, a standard normal covariate, and for each outcome
y = sum of b x + N(0, sigma^2) over the columns x of covariate, factors (-1/+1) and interactions, where b is
sigma sqrt(eta2 / (1 - eta2)) of the planted partial eta squared. Data set m is the same however many are drawn.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from fer_cli.config.section import Section
from fer_cli.errors import StudyError, nearest
from fer_cli.escape import PATH, bad_name, cut
from fer_cli.interaction.design import factor_terms, fit_many
from fer_cli.interaction.effects import expected_eta, find_power, planted_coefficient
from fer_cli.interaction.printed import Printed
from fer_cli.places import shipped_folder, user_path
from fer_cli.yamls import explain, parse_yaml, read_text

KIND = "ancova"
TOGETHER = 1000
"""Data sets that are fitted at once."""
ALPHA = 0.05
Level = Annotated[list[str], Field(min_length=2, max_length=2)]


class Source(Section):
    """The paper; ``left_out``: what it does not specify, and our choices."""

    cite: str
    figure: str = ""
    left_out: str = ""


class Simulation(Section):
    """The content of a file with ``simulation: ancova``."""

    name: str
    simulation: Literal["ancova"]
    question: str
    paper: Source | None = None
    n: int = Field(100, ge=8, le=100_000)
    sigma: float = Field(1.0, gt=0, le=1e6)
    datasets: int = Field(1000, ge=1, le=100_000)
    seed: int = Field(0, ge=0)
    covariate: str
    factors: dict[str, Level] = Field(min_length=1, max_length=4)
    outcomes: dict[str, dict[str, Printed]] = Field(min_length=1)
    """Outcome -> term -> published row, whose partial eta squared is planted."""

    @model_validator(mode="after")
    def _names_agree(self) -> Simulation:
        levels = [level for pair in self.factors.values() for level in pair]
        for name in [self.covariate, *self.factors, *self.outcomes, *levels]:
            if wrong := bad_name(name):
                raise ValueError(f"{cut(repr(name))}: {wrong}")
        if len({self.covariate, *self.factors, *self.outcomes}) < 1 + len(self.factors) + len(self.outcomes):
            raise ValueError("covariate, factors and outcomes: a name is given twice")
        if self.n % self.cells:
            raise ValueError(f"n: {self.n} people cannot be dealt equally to {self.cells} cells")
        if self.n <= self.parameters:
            raise ValueError(f"n: {self.n} people are not more than {self.parameters} parameters")
        for outcome, rows in self.outcomes.items():
            for term in rows:
                if term not in self.terms:
                    raise ValueError(f"outcomes.{cut(outcome)}: no effect '{cut(term)}'{nearest(term, self.terms)}")
            if lost := [term for term in self.terms if term not in rows]:
                raise ValueError(f"outcomes.{cut(outcome)}: no row for '{cut(lost[0])}'")
            if wide := [term for term, row in rows.items() if row.df != 1]:
                raise ValueError(f"outcomes.{cut(outcome)}.{cut(wide[0])}.df: factors of two levels have 1")
        return self

    @property
    def codes(self) -> np.ndarray:
        """Return the cells of the people (n, factors) int64: equally many of each."""
        cells = list(product((0, 1), repeat=len(self.factors)))
        return np.repeat(np.array(cells, dtype=np.int64), self.n // len(cells), axis=0)

    @property
    def terms(self) -> list[str]:
        """Return the names of the effects: covariate, factors, interactions."""
        return [self.covariate, *factor_terms(np.zeros((1, len(self.factors)), np.int64), dict.fromkeys(self.factors, 2))]

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return 1 << len(self.factors)

    @property
    def parameters(self) -> int:
        """Return the number of coefficients, the intercept included."""
        return 1 + self.cells

    @property
    def spread(self) -> float:
        """Return the mean sum of squares that the covariate leaves of a factor's column, n (1 - 1 / (n - cells + 1))."""
        return self.n * (1 - 1 / (self.n - self.cells + 1))

    @property
    def df_error(self) -> int:
        """Return the error degrees of freedom."""
        return self.n - self.parameters

    def coefficients(self, outcome: str) -> np.ndarray:
        """Return the planted coefficients (terms,) float64 of an outcome."""
        return np.array([planted_coefficient(self.outcomes[outcome][term].planted, self.sigma) for term in self.terms])


@dataclass(frozen=True)
class Recovered:
    """One effect over all simulated data sets, beside what theory expects at its planted size."""

    outcome: str
    term: str
    planted: float
    eta2: float
    """Mean of partial eta squared."""
    low: float
    high: float
    """Central 95 % of its values."""
    expected: float
    omega2: float
    found: float
    """Share of data sets with p < .05."""
    power: float
    """Expected share."""


def load_simulation(name: str) -> Simulation:
    """Return a simulation by name or path; raises StudyError with the place of the first error."""
    given = name.endswith((".yaml", ".yml"))
    path = user_path(name) if given else shipped_folder("experiments") / f"{name}.yaml"
    if not os.path.lexists(path):
        raise StudyError(f"no simulation named '{cut(name, PATH)}'{nearest(name, [KIND])}")
    tree = parse_yaml(read_text(path, StudyError), path.name, StudyError)
    if "simulation" not in tree:
        raise StudyError(f"{cut(path.name)}: a study, not a simulation (no key simulation); studies are run by fer ablate")
    try:
        found = Simulation.model_validate(tree)
    except ValidationError as error:
        raise StudyError(f"{cut(path.name)}: {explain(error, Simulation)}") from None
    if found.name != path.stem:
        raise StudyError(f"{cut(path.name)}: name: '{cut(found.name)}' must equal the file's name, '{cut(path.stem)}'")
    return found


def draw_data(plan: Simulation, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return designs (count, n, p) and outcomes (count, n, outcomes) of the data sets from number ``first``, float64."""
    draws = np.stack(
        [
            np.random.default_rng([plan.seed, number]).standard_normal((plan.n, 1 + len(plan.outcomes)))
            for number in range(first, first + count)
        ]
    )
    fixed = np.hstack(list(factor_terms(plan.codes, dict.fromkeys(plan.factors, 2)).values()))
    effects = np.concatenate([draws[:, :, :1], np.broadcast_to(fixed, (count, *fixed.shape))], axis=2)
    planted = np.stack([plan.coefficients(outcome) for outcome in plan.outcomes], axis=1)
    outcomes = effects @ planted + plan.sigma * draws[:, :, 1:]
    return np.concatenate([np.ones((count, plan.n, 1)), effects], axis=2), outcomes


def simulate(plan: Simulation) -> dict[str, np.ndarray]:
    """Return ``eta2``, ``omega2`` and ``p`` of every data set, (datasets, outcomes, terms) float64 each."""
    from scipy.special import fdtrc

    columns = [slice(place, place + 1) for place in range(1, plan.parameters)]
    parts = []
    for first in range(0, plan.datasets, TOGETHER):
        count = min(TOGETHER, plan.datasets - first)
        sums, error, _ = fit_many(*draw_data(plan, first, count), columns)
        parts.append((sums, error[:, :, None]))
    ss, sse = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    ms = sse / plan.df_error
    omega2 = (ss - ms) / (ss + (plan.n - 1) * ms)
    return {"eta2": ss / (ss + sse), "omega2": omega2, "p": fdtrc(1, plan.df_error, ss / ms)}


def recover(plan: Simulation, values: Mapping[str, np.ndarray]) -> list[Recovered]:
    """Return each effect over all data sets; theory takes sums of squares that depend on the covariate at their mean."""
    rows = []
    for place, (outcome, printed) in enumerate(plan.outcomes.items()):
        for column, term in enumerate(plan.terms):
            eta2 = printed[term].planted
            noncentral = (plan.spread if column else plan.n - plan.cells) * eta2 / (1 - eta2)
            drawn = values["eta2"][:, place, column]
            low, high = np.quantile(drawn, [0.025, 0.975])
            rows.append(
                Recovered(
                    outcome,
                    term,
                    eta2,
                    float(drawn.mean()),
                    float(low),
                    float(high),
                    expected_eta(noncentral, 1, plan.df_error),
                    float(values["omega2"][:, place, column].mean()),
                    float((values["p"][:, place, column] < ALPHA).mean()),
                    find_power(noncentral, 1, plan.df_error, ALPHA),
                )
            )
    return rows


def example_table(plan: Simulation, number: int = 0) -> dict[str, list[Any]]:
    """Return one simulated data set as columns, with names of levels."""
    designs, outcomes = draw_data(plan, number, 1)
    digits = 4 + max(0, -math.floor(math.log10(plan.sigma)))
    table: dict[str, list[Any]] = {"student": [f"s{person:03d}" for person in range(1, plan.n + 1)]}
    for place, (name, levels) in enumerate(plan.factors.items()):
        table[name] = [levels[1 - code] for code in plan.codes[:, place].tolist()]
    table[plan.covariate] = designs[0, :, 1].round(4).tolist()
    for place, name in enumerate(plan.outcomes):
        table[name] = outcomes[0, :, place].round(digits).tolist()
    return table
