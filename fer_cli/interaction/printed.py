"""Whether printed rows of an analysis of covariance agree with themselves, allowing for rounding of every number.

p must follow from F (finding I-15), mean square / F must be one error mean square for each outcome (I-16), and partial eta
squared must follow from F (I-17). A printed number stands for all that round to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import Field, field_validator

from fer_cli.config.section import Section
from fer_cli.interaction.effects import eta_of

DECIMALS = {"ms": 2, "f": 2, "p": 3, "eta2": 2}
"""Decimals that the paper prints, unless a number shows more."""
BELOW = re.compile(r"<\s*(0?\.\d+)")
SEARCHED = range(10, 400)
"""Error degrees of freedom at which printed p and effect sizes are also compared."""


class Printed(Section):
    """A row of a published table; p and partial eta squared may be bounds such as ``"<0.001"``."""

    df: int = Field(1, ge=1)
    ms: float = Field(ge=0)
    f: float = Field(ge=0)
    p: float | str
    eta2: float | str

    @field_validator("p", "eta2", mode="after")
    @classmethod
    def _share(cls, value: float | str) -> float | str:
        number = bound_of(value)
        if number is None or not 0 <= number < 1:
            raise ValueError('must be from 0 to below 1, or a bound such as "<0.001"')
        return value

    @property
    def planted(self) -> float:
        """Return the effect that a simulation plants: the printed one, 0 for a bound."""
        return 0.0 if isinstance(self.eta2, str) else self.eta2

    def interval(self, name: str) -> tuple[float, float]:
        """Return the numbers that round to a printed one."""
        value = getattr(self, name)
        if isinstance(value, str):
            return 0.0, float(bound_of(value) or 0.0)
        half = 0.5 * 10.0 ** -max(DECIMALS[name], decimals_of(value))
        return max(0.0, value - half), value + half


@dataclass(frozen=True)
class Finding:
    """What one row's F implies at the error degrees of freedom, as intervals, and whether the printed numbers fit."""

    outcome: str
    term: str
    printed: Printed
    p: tuple[float, float]
    eta2: tuple[float, float]
    ms_error: tuple[float, float]
    """Mean square / F."""

    @property
    def p_fits(self) -> bool:
        """Return whether the printed p follows from F."""
        return overlaps(self.p, self.printed.interval("p"))

    @property
    def eta_fits(self) -> bool:
        """Return whether the printed effect size follows from F."""
        return overlaps(self.eta2, self.printed.interval("eta2"))


Tables = Mapping[str, Mapping[str, Printed]]
"""Outcome -> term -> printed row."""


def bound_of(value: float | str) -> float | None:
    """Return a number, or the bound in ``"<0.001"``; None for other text."""
    if not isinstance(value, str):
        return value
    found = BELOW.fullmatch(value.strip())
    return float(found[1]) if found else None


def decimals_of(value: float) -> int:
    """Return the decimals of a number as written: 2 of 0.18, 3 of 0.001."""
    return len(f"{value:.10f}".rstrip("0").partition(".")[2])


def overlaps(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two closed intervals share a number; 1e-9 covers binary rounding at their ends."""
    return max(one[0], other[0]) <= min(one[1], other[1]) + 1e-9


def audit(tables: Tables, df_error: int) -> list[Finding]:
    """Return what each printed row implies at ``df_error``."""
    from scipy.special import fdtrc

    findings = []
    for outcome, rows in tables.items():
        for term, row in rows.items():
            low, high = row.interval("f")
            p = float(fdtrc(row.df, df_error, high)), float(fdtrc(row.df, df_error, low))
            eta2 = eta_of(low, row.df, df_error), eta_of(high, row.df, df_error)
            least, most = row.interval("ms")
            error = least / high, most / low if low > 0 else math.inf
            findings.append(Finding(outcome, term, row, p, eta2, error))
    return findings


def count_fitting(tables: Tables, df_error: int) -> dict[str, int]:
    """Return the numbers of rows whose ``p`` and ``eta2`` follow from F."""
    findings = audit(tables, df_error)
    return {"p": sum(one.p_fits for one in findings), "eta2": sum(one.eta_fits for one in findings)}


def best_fit(tables: Tables, name: str, searched: Iterable[int] = SEARCHED) -> tuple[int, list[int]]:
    """Return the most rows whose ``p`` or ``eta2`` follows from F at any error degrees of freedom, and those degrees."""
    counts = {df: count_fitting(tables, df)[name] for df in searched}
    most = max(counts.values())
    return most, [df for df, count in counts.items() if count == most]


def common_error(findings: Iterable[Finding], outcome: str) -> tuple[float, float] | None:
    """Return the error mean squares that fit all rows of an outcome, None if there is none."""
    intervals = [finding.ms_error for finding in findings if finding.outcome == outcome]
    low, high = max(one[0] for one in intervals), min(one[1] for one in intervals)
    return (low, high) if low <= high else None


def equal_f(findings: Iterable[Finding]) -> list[tuple[Finding, Finding]]:
    """Return pairs of rows of one outcome with the same printed F but p further apart than rounding of F explains."""
    rows = list(findings)
    return [
        (one, other)
        for place, one in enumerate(rows)
        for other in rows[place + 1 :]
        if one.outcome == other.outcome
        and (one.printed.df, one.printed.f) == (other.printed.df, other.printed.f)
        and spread(one, other) > one.p[1] - one.p[0]
    ]


def spread(one: Finding, other: Finding) -> float:
    """Return the distance of two printed p, less what their rounding explains."""
    (low, high), (least, most) = one.printed.interval("p"), other.printed.interval("p")
    return max(least - high, low - most)
