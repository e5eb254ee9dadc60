"""Analysis of covariance (teacher study 2024, Tables 6-8): ordinary least squares, sum-to-zero contrasts, Type III tests.

The paper gives degrees of freedom, mean square, F, p and partial eta squared. Added here: partial omega squared, intervals,
adjusted means, the checks of the assumptions, the numbers of rows, cells and error degrees of freedom, and rows left out.
Without a covariate it is an analysis of variance. Covariates enter standardised, which changes no test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from fer_cli.errors import DataError
from fer_cli.escape import cut
from fer_cli.interaction.columns import SMALLEST, Columns, Sample, choose_sample, is_number
from fer_cli.interaction.design import Design, build_design, factor_terms
from fer_cli.interaction.effects import eta_interval, partial_eta, partial_omega

LEVEL = 0.95
"""Confidence level of means and of the wide interval of partial eta squared."""
NARROW = 0.90
"""Level of the other interval, whose lower bound exceeds zero exactly where p < .05."""
MOST_LEVELS = 20
"""A factor with more levels is refused as an identifier."""
EXACT = 1e-12
"""Share of the outcome's sum of squares below which a fit counts as exact, without an error to test against."""


@dataclass(frozen=True)
class Term:
    """One row of the table."""

    name: str
    kind: str
    """covariate, factor or interaction."""
    df: int
    ss: float
    f: float
    p: float
    eta2: float
    narrow: tuple[float, float] | None
    wide: tuple[float, float] | None
    """Intervals of partial eta squared."""
    omega2: float

    @property
    def ms(self) -> float:
        """Return the mean square."""
        return self.ss / self.df


@dataclass(frozen=True)
class Mean:
    """A cell, or a level of one factor with equal weights of the others; ``raw``: the plain mean of its rows."""

    levels: dict[str, str]
    n: int
    raw: float
    adjusted: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """A test of an assumption; without a value, ``note`` says why."""

    name: str
    statistic: float | None = None
    p: float | None = None
    df: tuple[int, int] | None = None
    note: str = ""


@dataclass(frozen=True)
class Ancova:
    """The analysis of one outcome."""

    outcome: str
    terms: list[Term]
    ss_error: float
    df_error: int
    n: int
    cells: list[Mean]
    marginal: list[Mean]
    covariates: dict[str, float]
    """Covariate -> its mean, at which means are adjusted."""
    checks: list[Check]
    """Homogeneity of slopes, Levene, Shapiro."""
    dropped: dict[str, int]

    @property
    def ms_error(self) -> float:
        """Return the mean square of the error."""
        return self.ss_error / self.df_error

    @property
    def method(self) -> str:
        """Return the name of the analysis."""
        return "analysis of covariance" if self.covariates else "analysis of variance (no covariate)"


def analyse(sample: Sample) -> Ancova:
    """Return the analysis of one outcome; raises DataError for data that cannot carry it."""
    from statsmodels.regression.linear_model import OLS

    check_levels(sample)
    check_cells(sample)
    shape = {name: len(levels) for name, levels in sample.factors.items()}
    check_numbers(sample, math.prod(shape.values()) + len(sample.covariates))
    standard = {name: (values - values.mean()) / values.std() for name, values in sample.covariates.items()}
    design = build_design(sample.codes, shape, standard)
    check_rank(sample, design)
    centre = float(sample.values.mean())
    fit = OLS(sample.values - centre, design.matrix).fit()
    if fit.ssr <= EXACT * fit.centered_tss:
        raise DataError(f"{about(sample)}: fitted exactly by factors and covariates; no error is left to test against")
    return Ancova(
        sample.outcome,
        [make_term(name, columns, fit, sample) for name, columns in design.columns.items()],
        float(fit.ssr),
        int(fit.df_resid),
        len(sample.values),
        cell_means(sample, fit, centre),
        marginal_means(sample, fit, centre),
        {name: float(values.mean()) for name, values in sample.covariates.items()},
        [check_slopes(sample, fit, standard), check_levene(sample, fit.resid), check_shapiro(fit.resid)],
        sample.dropped,
    )


def analyse_outcomes(
    table: Columns, outcomes: Sequence[str], factors: Sequence[str], covariates: Sequence[str]
) -> list[Ancova]:
    """Return the analysis of each outcome alone, with all rows that have a value there; raises DataError as ``analyse``."""
    if not outcomes:
        raise DataError(f"{table.where}: --outcome: give at least one column")
    if twice := [name for place, name in enumerate(outcomes) if name in outcomes[:place]]:
        raise DataError(f"{table.where}: --outcome: '{cut(twice[0])}' is given twice")
    return [analyse(choose_sample(table, name, factors, covariates)) for name in outcomes]


def about(sample: Sample) -> str:
    """Return where an error lies: file and outcome."""
    return f"{sample.where}: outcome '{cut(sample.outcome)}'"


def check_levels(sample: Sample) -> None:
    """Raise DataError for a factor with one level, or with so many that it looks like an identifier."""
    n = len(sample.values)
    for name, levels in sample.factors.items():
        if len(levels) == 1:
            raise DataError(
                f"{about(sample)}: factor '{cut(name)}' has one level, '{cut(levels[0])}'; it needs two{lost(sample)}"
            )
        if len(levels) > MOST_LEVELS or (len(levels) == n and n > 2):
            many = f"has {len(levels)} levels in {n} rows"
            other = ", or name it as --covariate" if all(map(is_number, levels)) else ""
            raise DataError(
                f"{about(sample)}: factor '{cut(name)}' {many}: it looks like an identifier; "
                f"give a factor of at most {MOST_LEVELS} levels{other}"
            )


def lost(sample: Sample) -> str:
    """Return a phrase on rows without values, "" if there are none."""
    count = sum(sample.dropped.values())
    return f" ({count} row{'s' * (count != 1)} with missing values left out)" if count else ""


def all_cells(sample: Sample) -> Iterator[tuple[int, ...]]:
    """Yield the codes of every combination of levels."""
    return product(*(range(len(levels)) for levels in sample.factors.values()))


def check_cells(sample: Sample) -> None:
    """Raise DataError if a combination of levels has no row: a fit would return numbers for it all the same."""
    filled = {tuple(row) for row in sample.codes.tolist()}
    total = math.prod(len(levels) for levels in sample.factors.values())
    if len(filled) < total:
        empty = next(cell for cell in all_cells(sample) if cell not in filled)
        named = ", ".join(f"{cut(name)} = {cut(level)}" for name, level in name_levels(sample, empty).items())
        what = f"{total - len(filled)} of {total} combinations of levels have no row, e.g. {named}"
        raise DataError(f"{about(sample)}: {what}; Type III tests need all: merge levels or drop a factor{lost(sample)}")


def name_levels(sample: Sample, cell: tuple[int, ...]) -> dict[str, str]:
    """Return factor -> level of a cell."""
    return {name: levels[code] for (name, levels), code in zip(sample.factors.items(), cell, strict=True)}


def check_numbers(sample: Sample, parameters: int) -> None:
    """Raise DataError for too few rows, and for an outcome or covariate that is constant or varies too little."""
    n = len(sample.values)
    if n <= parameters:
        raise DataError(
            f"{about(sample)}: {n} rows for {parameters} parameters (cells and covariates); more are needed{lost(sample)}"
        )
    for role, name, values in (
        ("outcome", sample.outcome, sample.values),
        *(("covariate", name, values) for name, values in sample.covariates.items()),
    ):
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            remedy = "there is nothing to explain" if role == "outcome" else "leave it out"
            raise DataError(f"{sample.where}: {role} '{cut(name)}' is constant ({values[0]:g}); {remedy}{lost(sample)}")
        if np.ptp(values) < SMALLEST:
            raise DataError(
                f"{sample.where}: {role} '{cut(name)}' varies by less than {SMALLEST:g}, too little to be squared; "
                f"give it in a smaller unit"
            )


def check_rank(sample: Sample, design: Design) -> None:
    """Raise DataError for a covariate that factors and the other covariates determine."""
    p = design.matrix.shape[1]
    if np.linalg.matrix_rank(design.matrix) == p:
        return
    for name in sample.covariates:
        others = np.delete(design.matrix, design.columns[name], axis=1)
        if np.linalg.matrix_rank(others) == p - 1:
            raise DataError(
                f"{sample.where}: covariate '{cut(name)}' is determined by the factors or other covariates; leave it out"
            )
    raise DataError(f"{sample.where}: the covariates determine each other; leave some out")


def make_term(name: str, columns: slice, fit: Any, sample: Sample) -> Term:
    """Return a term's Type III test: that all its coefficients are zero, with every other term in the model."""
    contrast = np.eye(len(fit.params))[columns]
    test = fit.f_test(contrast)
    df, df_error, n = contrast.shape[0], int(fit.df_resid), len(sample.values)
    f = float(test.fvalue)
    ss = f * df * float(fit.mse_resid)
    kind = "covariate" if name in sample.covariates else "interaction" if name not in sample.factors else "factor"
    return Term(
        name,
        kind,
        df,
        ss,
        f,
        float(test.pvalue),
        partial_eta(ss, float(fit.ssr)),
        eta_interval(f, df, df_error, NARROW),
        eta_interval(f, df, df_error, LEVEL),
        partial_omega(ss, df, float(fit.mse_resid), n),
    )


def design_rows(sample: Sample) -> dict[tuple[int, ...], np.ndarray]:
    """Return the design row (p,) of each cell at the means of the covariates, which are zero once standardised."""
    cells = list(all_cells(sample))
    shape = {name: len(levels) for name, levels in sample.factors.items()}
    zeros = dict.fromkeys(sample.covariates, np.zeros(len(cells)))
    matrix = build_design(np.array(cells, dtype=np.int64), shape, zeros).matrix
    return dict(zip(cells, matrix, strict=True))


def cell_means(sample: Sample, fit: Any, centre: float) -> list[Mean]:
    """Return raw and adjusted means of all cells."""
    found = []
    for cell, row in design_rows(sample).items():
        mask = (sample.codes == cell).all(1)
        found.append(make_mean(name_levels(sample, cell), mask, row, sample, fit, centre))
    return found


def marginal_means(sample: Sample, fit: Any, centre: float) -> list[Mean]:
    """Return adjusted means of each level of each factor, cells weighted equally; none for a single factor."""
    if len(sample.factors) == 1:
        return []
    rows, found = design_rows(sample), []
    for place, (name, names) in enumerate(sample.factors.items()):
        for code, level in enumerate(names):
            row = np.mean([row for cell, row in rows.items() if cell[place] == code], axis=0)
            mask = sample.codes[:, place] == code
            found.append(make_mean({name: level}, mask, row, sample, fit, centre))
    return found


def make_mean(
    levels: dict[str, str],
    mask: np.ndarray,
    row: np.ndarray,
    sample: Sample,
    fit: Any,
    centre: float,
) -> Mean:
    """Return the mean at a design row with Student's interval; ``mask``: (n,) bool, its rows."""
    test = fit.t_test(row)
    low, high = (centre + float(end) for end in test.conf_int(alpha=1 - LEVEL)[0])
    raw = float(sample.values[mask].mean())
    return Mean(levels, int(mask.sum()), raw, centre + float(test.effect[0]), low, high)


def check_slopes(sample: Sample, fit: Any, standard: dict[str, np.ndarray]) -> Check:
    """Return the test that the slopes of all covariates are equal in all cells: all covariate interactions at once."""
    from statsmodels.regression.linear_model import OLS

    name = "homogeneity of slopes (all interactions of covariates with factors)"
    if not standard:
        return Check(name, note="no covariate")
    shape = {factor: len(levels) for factor, levels in sample.factors.items()}
    terms = factor_terms(sample.codes, shape).values()
    crossed = [values[:, None] * term for values in standard.values() for term in terms]
    full = np.hstack([fit.model.exog, *crossed])
    more = full.shape[1] - fit.model.exog.shape[1]
    if len(full) <= full.shape[1] or np.linalg.matrix_rank(full) < full.shape[1]:
        return Check(name, note=f"too few rows or values in a cell for {full.shape[1]} parameters")
    f, p, _ = OLS(fit.model.endog, full).fit().compare_f_test(fit)
    return Check(name, float(f), float(p), (more, len(full) - full.shape[1]))


def check_levene(sample: Sample, residuals: np.ndarray) -> Check:
    """Return Levene's test on residuals, centred by cell medians (Brown and Forsythe)."""
    from scipy.stats import levene

    name = "equal variances (Levene on residuals, median-centred)"
    groups = [residuals[(sample.codes == cell).all(1)] for cell in all_cells(sample)]
    if min(map(len, groups)) < 3:
        return Check(name, note="a cell has fewer than three rows")
    found = levene(*groups, center="median")
    if not math.isfinite(found.statistic):
        return Check(name, note="residuals have no spread")
    return Check(name, float(found.statistic), float(found.pvalue), (len(groups) - 1, len(residuals) - len(groups)))


def check_shapiro(residuals: np.ndarray) -> Check:
    """Return the Shapiro-Wilk test on residuals, whose p is inaccurate above 5,000 rows."""
    from scipy.stats import shapiro

    name = "normal residuals (Shapiro-Wilk)"
    if not 3 <= len(residuals) <= 5000:
        return Check(name, note="only for 3 to 5,000 rows")
    found = shapiro(residuals)
    return Check(name, float(found.statistic), float(found.pvalue))
