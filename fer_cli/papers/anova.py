"""Checks of analyses of variance: F, p, mean squares and partial eta squared belong together.

The rows of one outcome share the error mean square (MS / F) and the error degrees of freedom; p is the upper tail of the F
distribution, and partial eta squared is df F / (df F + df_error). Where the paper does not print df_error, every whole
number from 1 to 1,000,000 is tried: each up to 2,000, and beyond as steps between which p is monotone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import combinations

import numpy as np

from fer_cli.papers.findings import Found, join
from fer_cli.papers.printed import Span, overlap
from fer_cli.papers.schema import Anova, Effect, Paper

DENSE, MOST = 2_000, 1_000_000


@cache
def degrees(known: int | None) -> np.ndarray:
    """Return the error degrees of freedom to try, (D,) float64, ascending."""
    if known is not None:
        return np.array([known], np.float64)
    steps = np.unique(np.geomspace(DENSE, MOST, 200).astype(np.int64))
    return np.concatenate([np.arange(1, DENSE), steps]).astype(np.float64)


def list_outcomes(paper: Paper) -> Iterator[tuple[Anova, str, dict[str, Effect]]]:
    """Yield table, outcome and its rows."""
    for table in paper.of_kind(Anova):
        for outcome, rows in table.rows.items():
            yield table, outcome, rows


def tail(df: int, f: Span, known: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return lowest and highest p, (D,) each, over the interval of F, and beyond ``DENSE`` over the step to the next df."""
    from scipy.special import fdtrc

    error = degrees(known)
    low = fdtrc(df, error, max(f.high, 0.0))
    high = fdtrc(df, error, max(f.low, 0.0))
    if known is None:
        sparse = np.nonzero(error >= DENSE)[0][:-1]
        low[sparse], high[sparse] = np.minimum(low[sparse], low[sparse + 1]), np.maximum(high[sparse], high[sparse + 1])
    return low, high


def fits_p(row: Effect, known: int | None) -> np.ndarray:
    """Return for each error df whether a p that rounds to the print belongs to an F that does; a bool array (D,)."""
    assert row.f is not None and row.p is not None
    low, high = tail(row.df, row.f.span, known)
    slack = row.p.span.slack
    return (low <= row.p.span.high + slack) & (high >= row.p.span.low - slack)


def show_degrees(fits: np.ndarray, known: int | None) -> str:
    """Return the lowest and highest error df that fit."""
    found = degrees(known)[fits].astype(int)
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"


def tried(known: int | None) -> str:
    """Return the error degrees of freedom that were tried, in words."""
    return f"df_error {known}" if known is not None else f"any df_error from 1 to {MOST:,}"


def list_p(table: Anova, rows: dict[str, Effect]) -> dict[str, np.ndarray]:
    """Return for each row with F and p whether it fits, by error df."""
    return {name: fits_p(row, table.df_error) for name, row in rows.items() if row.f is not None and row.p is not None}


def check_p(paper: Paper) -> Iterator[Found]:
    """Yield p values that do not follow from F."""
    for table, outcome, rows in list_outcomes(paper):
        for name, fits in list_p(table, rows).items():
            f, p, df = rows[name].f, rows[name].p, rows[name].df
            if not fits.any() and f is not None and p is not None:
                low, high = tail(df, f.span, table.df_error)
                given = Span(float(low.min()), float(high.max())).text(3)
                text = f"F({df}, df_error) = {f.text} gives p {given} for {tried(table.df_error)}, printed {p.text}"
                yield Found(table.place, (join(outcome, name, "p"),), text)


def check_p_together(paper: Paper) -> Iterator[Found]:
    """Yield outcomes whose rows each fit some error df, but not the same one."""
    for table, outcome, rows in list_outcomes(paper):
        alone = {name: fits for name, fits in list_p(table, rows).items() if fits.any()}
        if len(alone) > 1 and not np.logical_and.reduce(list(alone.values())).any():
            shown = ", ".join(f"{name} {show_degrees(fits, table.df_error)}" for name, fits in alone.items())
            text = f"p and F of the rows need different df_error, which must be one number: {shown}"
            yield Found(table.place, tuple(join(outcome, name, "p") for name in alone), text)


def check_one_f(paper: Paper) -> Iterator[Found]:
    """Yield two p values of the same printed F in one outcome that no error df allows."""
    for table, outcome, rows in list_outcomes(paper):
        groups: dict[tuple[int, float], list[str]] = defaultdict(list)
        for name, row in rows.items():
            if row.f is not None and row.p is not None and row.f.exact:
                groups[row.df, row.f.value].append(name)
        for (df, _), names in groups.items():
            for one, other in combinations(names, 2):
                first, second = rows[one], rows[other]
                assert first.f is not None and first.p is not None and second.p is not None
                if first.p.span.meets(second.p.span):
                    continue
                if not (fits_p(first, table.df_error) & fits_p(second, table.df_error)).any():
                    text = f"F({df}, df_error) = {first.f.text} twice, with p = {first.p.text} and {second.p.text}"
                    yield Found(table.place, (join(outcome, one, "p"), join(outcome, other, "p")), text)


def check_mean_square(paper: Paper) -> Iterator[Found]:
    """Yield outcomes whose MS / F is not one error mean square."""
    for table, outcome, rows in list_outcomes(paper):
        spans = {
            name: row.ms.span.over(row.f.span) for name, row in rows.items() if row.ms and row.f and row.f.span.high > 0
        }
        if len(spans) > 1 and overlap(spans.values()) is None:
            shown = ", ".join(f"{name} {span.text()}" for name, span in spans.items())
            text = f"MS / F is the error mean square, which must be one number: {shown}"
            yield Found(table.place, tuple(join(outcome, name) for name in spans), text)


def implied_degrees(row: Effect) -> Span | None:
    """Return the interval of error degrees of freedom that F and partial eta squared imply, or None without them."""
    if row.f is None or row.eta2 is None:
        return None
    low, high = max(row.eta2.span.low, 0.0), min(row.eta2.span.high, 1.0)
    f = Span(max(row.f.span.low, 0.0), row.f.span.high)
    if high <= 0:
        return None
    return Span(row.df * f.low * (1 - high) / high, row.df * f.high * (1 - low) / low if low > 0 else math.inf)


def check_eta(paper: Paper) -> Iterator[Found]:
    """Yield partial eta squared that does not follow from F with one error df per outcome.

    Where df_error is not printed, it is the one on which most rows of the outcome agree, and of several such ones, most rows
    of all outcomes; the rows without it are named.
    """
    everyone = [
        span for *_, rows in list_outcomes(paper) for row in rows.values() if (span := implied_degrees(row)) is not None
    ]
    for table, outcome, rows in list_outcomes(paper):
        spans = {name: span for name, row in rows.items() if (span := implied_degrees(row)) is not None}
        if not spans:
            continue
        common = Span(table.df_error, table.df_error) if table.df_error is not None else agree(spans, everyone)
        for name, span in spans.items():
            f, eta2, df = rows[name].f, rows[name].eta2, rows[name].df
            if f is None or eta2 is None or holds_df(span, common):
                continue
            text = f"df F / (df F + df_error) with F({df}) = {f.text} and eta2 = {eta2.text} needs df_error {span.text()}"
            agreeing = sum(holds_df(other, common) for other in spans.values())
            text += "; printed is" if table.df_error is not None else f"; {agreeing} of {len(spans)} rows agree on"
            yield Found(table.place, (join(outcome, name, "eta2"),), f"{text} {common.text()}")


def holds_df(span: Span, common: Span) -> bool:
    """Return whether two intervals share a whole number of degrees of freedom, at least 1."""
    shared = overlap([span, common, Span(1, math.inf)])
    return shared is not None and (math.isinf(shared.high) or shared.holds_multiple(1))


def agree(spans: dict[str, Span], everyone: list[Span]) -> Span:
    """Return the interval of whole degrees of freedom, at least 1, in which most rows agree; ties: most of ``everyone``."""
    starts = sorted({max(1.0, math.ceil(span.low - span.slack)) for span in everyone})

    def count(rows: Iterable[Span], start: float) -> int:
        return sum(holds_df(span, Span(start, start)) for span in rows)

    start = max(starts, key=lambda one: (count(spans.values(), one), count(everyone, one)))
    holding = [span.high for span in spans.values() if holds_df(span, Span(start, start))]
    return Span(start, min(holding, default=math.inf))
