"""Design matrices with sum-to-zero contrasts, and Type III sums of squares of many data sets at once.

Sum-to-zero contrasts make the Type III test of a main effect one of equal weights of all cells; with treatment contrasts the
same test would be that of one cell row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

CROSS = " × "
"""Between the names of an interaction."""


@dataclass(frozen=True)
class Design:
    """``matrix``: (n, p) float64, the intercept first, then covariates, factors and interactions."""

    matrix: np.ndarray
    columns: dict[str, slice]
    """Term -> its columns; the intercept is not a term."""


def sum_code(codes: np.ndarray, levels: int) -> np.ndarray:
    """Return sum-to-zero contrasts (n, levels - 1) float64 of codes (n,): 1 for its own level, -1 for the last one."""
    table = np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
    coded: np.ndarray = table[codes]
    return coded


def factor_terms(codes: np.ndarray, factors: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the columns (n, df) of each factor and interaction; ``codes``: (n, factors), ``factors``: numbers of levels."""
    coded = {name: sum_code(codes[:, place], levels) for place, (name, levels) in enumerate(factors.items())}
    terms = {}
    for size in range(1, len(coded) + 1):
        for names in combinations(coded, size):
            columns = coded[names[0]]
            for name in names[1:]:
                columns = (columns[:, :, None] * coded[name][:, None, :]).reshape(len(codes), -1)
            terms[CROSS.join(names)] = columns
    return terms


def build_design(codes: np.ndarray, factors: Mapping[str, int], covariates: Mapping[str, np.ndarray]) -> Design:
    """Return the design of covariates (n,) each and all factors with all their interactions."""
    terms = {name: values[:, None] for name, values in covariates.items()} | factor_terms(codes, factors)
    columns, start = {}, 1
    for name, values in terms.items():
        columns[name] = slice(start, start + values.shape[1])
        start += values.shape[1]
    return Design(np.hstack([np.ones((len(codes), 1)), *terms.values()]), columns)


def fit_many(
    designs: np.ndarray, outcomes: np.ndarray, columns: Sequence[slice]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Type III sums of squares of M data sets at once, by one QR decomposition each.

    ``designs``: (M, n, p) of full rank, ``outcomes``: (M, n, K), all float64. Returns the sums of squares (M, K, terms), the
    error's (M, K) and the coefficients (M, K, p).
    """
    q, r = np.linalg.qr(designs)
    coefficients = np.linalg.solve(r, np.swapaxes(q, 1, 2) @ outcomes)  # (M, p, K)
    error = np.sum((outcomes - designs @ coefficients) ** 2, axis=1)
    inverse = np.linalg.inv(r)
    spread = inverse @ np.swapaxes(inverse, 1, 2)  # (M, p, p), covariance of the coefficients without sigma squared
    sums = []
    for term in columns:
        part = coefficients[:, term]
        sums.append(np.sum(part * np.linalg.solve(spread[:, term, term], part), axis=1))
    return np.stack(sums, axis=-1), error, np.swapaxes(coefficients, 1, 2)
