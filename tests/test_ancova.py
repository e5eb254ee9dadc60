"""Analysis of covariance: known values, agreement with statsmodels' own Type III table, effect sizes, and properties."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ncfdtr

from fer_cli.errors import DataError
from fer_cli.interaction.ancova import Ancova, analyse
from fer_cli.interaction.columns import Columns, Sample, choose_sample, parse_columns
from fer_cli.interaction.design import build_design, fit_many, sum_code
from fer_cli.interaction.effects import (
    eta_interval,
    expected_eta,
    find_power,
    noncentrality,
    planted_coefficient,
    rows_for_power,
)
from tests.ancova_data import random_sample, readers, sixteen_sample

HALF = 5.1e-7  # half a unit of the sixth decimal


def f_values(found: Ancova) -> dict[str, float]:
    return {term.name: term.f for term in found.terms}


def reference(sample: Sample, kind: int = 3, contrast: str = "Sum") -> pd.DataFrame:
    """Statsmodels' own table of a formula."""
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    frame = pd.DataFrame({"y": sample.values, **sample.covariates})
    for place, (name, levels) in enumerate(sample.factors.items()):
        frame[name] = [levels[code] for code in sample.codes[:, place]]
    parts = " * ".join(f"C({name}, {contrast})" for name in sample.factors)
    return anova_lm(ols(" + ".join([f"y ~ {parts}", *sample.covariates]), frame).fit(), typ=kind)


def reference_f(sample: Sample, kind: int = 3, contrast: str = "Sum") -> dict[str, float]:
    table = reference(sample, kind, contrast)
    renamed = {row: row.replace(f", {contrast})", "").replace("C(", "").replace(":", " × ") for row in table.index}
    return {renamed[row]: table.loc[row, "F"] for row in table.index if row not in {"Intercept", "Residual"}}


def test_the_balanced_table() -> None:
    found = analyse(sixteen_sample())
    expected = {"c": 138.534110, "face": 337.118520, "body": 20.735952, "face × body": 10.476760}
    assert f_values(found) == pytest.approx(expected, abs=HALF)
    assert [term.kind for term in found.terms] == ["covariate", "factor", "factor", "interaction"]
    assert (found.ms_error, found.df_error, found.n) == (pytest.approx(0.143780, abs=HALF), 11, 16)
    for term in found.terms:
        assert term.df == 1
        assert term.ms == term.ss == pytest.approx(term.f * found.ms_error)
        assert term.eta2 == pytest.approx(term.ss / (term.ss + found.ss_error))
        assert term.p == pytest.approx(stats.f.sf(term.f, 1, 11))
        assert term.omega2 == pytest.approx((term.ss - found.ms_error) / (term.ss + 15 * found.ms_error))


def test_other_contrasts_and_types_give_other_numbers() -> None:
    """Those of treatment contrasts and of Type II are what mistakes would give."""
    treatment = reference_f(sixteen_sample(), contrast="Treatment")
    assert (treatment["face"], treatment["body"]) == pytest.approx((122.041129, 0.869384), abs=HALF)
    second = reference_f(sixteen_sample((0, 9)), kind=2)
    assert (second["face"], second["body"]) == pytest.approx((270.996345, 20.380184), abs=HALF)
    found = f_values(analyse(sixteen_sample((0, 9))))
    assert found == pytest.approx(
        {"c": 102.189631, "face": 271.324459, "body": 16.611396, "face × body": 7.417292}, abs=HALF
    )
    assert analyse(sixteen_sample((0, 9))).df_error == 9


def test_adjusted_and_marginal_means() -> None:
    found = analyse(sixteen_sample())
    assert found.covariates == {"c": pytest.approx(np.mean([1, 3, 2, 4, 2, 4, 3, 5, 1, 2, 4, 3, 3, 4, 1, 5]))}
    cells = {tuple(mean.levels.values()): mean for mean in found.cells}
    assert list(cells) == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    assert [mean.raw for mean in found.cells] == [6.5, 6.75, 10.5, 11.75]
    assert [mean.adjusted for mean in found.cells] == pytest.approx([6.900658, 7.150658, 9.984868, 11.463816], abs=HALF)
    marginal = [mean.adjusted for mean in found.marginal]
    assert marginal == pytest.approx([7.025658, 10.724342, 8.442763, 9.307237], abs=HALF)
    assert [mean.levels for mean in found.marginal] == [{"face": "0"}, {"face": "1"}, {"body": "0"}, {"body": "1"}]
    half = stats.t.ppf(0.975, 11)
    for mean in found.cells:
        assert mean.n == 4
        error = (mean.high - mean.adjusted) / half
        assert mean.adjusted - mean.low == pytest.approx(mean.high - mean.adjusted)
        assert error > np.sqrt(found.ms_error / 4), "the covariate's slope is estimated too"


def test_checks_of_assumptions() -> None:
    slopes, levene, shapiro = analyse(sixteen_sample()).checks
    assert (slopes.statistic, slopes.p, slopes.df) == (
        pytest.approx(0.650503, abs=HALF),
        pytest.approx(0.604526, abs=HALF),
        (3, 8),
    )
    assert (levene.statistic, levene.p) == (pytest.approx(3.468841, abs=HALF), pytest.approx(0.050805, abs=HALF))
    assert levene.df == (3, 12)
    assert (shapiro.statistic, shapiro.p) == (pytest.approx(0.940863, abs=HALF), pytest.approx(0.359726, abs=HALF))
    assert "median" in levene.name and "residuals" in levene.name


def test_readers_of_four_methods() -> None:
    found = analyse(readers())
    income, method = found.terms
    assert (method.f, method.p, method.df) == (pytest.approx(3.336482, abs=HALF), pytest.approx(0.031940, abs=HALF), 3)
    assert method.eta2 == pytest.approx(0.244077, abs=HALF)
    assert (income.f, income.eta2) == (pytest.approx(29.419438, abs=HALF), pytest.approx(0.486920, abs=HALF))
    assert (found.ss_error, found.df_error) == (pytest.approx(1768.522313, abs=HALF), 31)
    assert found.marginal == []


@pytest.mark.parametrize(
    ("levels", "covariates"), [((2, 2), 1), ((3,), 1), ((2, 3), 2), ((2, 2, 2), 1), ((3, 2), 0), ((2, 2), 3), ((4,), 0)]
)
def test_agrees_with_statsmodels(levels: tuple[int, ...], covariates: int) -> None:
    for seed in range(3):
        sample = random_sample(seed, levels, covariates)
        found = analyse(sample)
        assert f_values(found) == pytest.approx(reference_f(sample), rel=1e-8, abs=1e-10)
        assert found.df_error == len(sample.values) - np.prod(levels) - covariates


@pytest.mark.parametrize(("levels", "covariates"), [((2, 2), 1), ((3, 2), 2), ((2, 2, 2), 0)])
def test_many_at_once_equal_one_by_one(levels: tuple[int, ...], covariates: int) -> None:
    samples = [
        replace(random_sample(0, levels, covariates), values=random_sample(seed, levels, covariates).values)
        for seed in range(5)
    ]
    shape = {name: len(names) for name, names in samples[0].factors.items()}
    designs = [build_design(sample.codes, shape, sample.covariates) for sample in samples]
    sums, error, _ = fit_many(
        np.stack([design.matrix for design in designs]),
        np.stack([sample.values[:, None] for sample in samples]),
        list(designs[0].columns.values()),
    )
    for place, sample in enumerate(samples):
        found = analyse(sample)
        assert sums[place, 0] == pytest.approx([term.ss for term in found.terms], rel=1e-9)
        assert error[place, 0] == pytest.approx(found.ss_error, rel=1e-9)


def test_without_a_covariate_it_is_an_analysis_of_variance() -> None:
    sample = replace(sixteen_sample(), covariates={})
    found = analyse(sample)
    assert "variance (no covariate)" in found.method
    assert found.checks[0].note == "no covariate"
    total = float(np.sum((sample.values - sample.values.mean()) ** 2))
    assert sum(term.ss for term in found.terms) + found.ss_error == pytest.approx(total), "cells are equal"
    assert [mean.adjusted for mean in found.cells] == pytest.approx([mean.raw for mean in found.cells])
    one = analyse(replace(sample, factors={"face": ("0", "1")}, codes=sample.codes[:, :1]))
    groups = [sample.values[sample.codes[:, 0] == code] for code in (0, 1)]
    assert one.terms[0].f == pytest.approx(stats.f_oneway(*groups).statistic)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(0.01, 1000),
    shift=st.floats(-1e4, 1e4),
    order=st.permutations(range(3)),
)
def test_units_names_and_order_of_levels_change_nothing(seed: int, scale: float, shift: float, order: list[int]) -> None:
    sample = random_sample(seed, (3, 2), 1)
    codes = sample.codes.copy()
    codes[:, 0] = np.array(order)[codes[:, 0]]
    changed = {"c0": -scale * sample.covariates["c0"] + shift}
    other = replace(sample, values=scale * sample.values + shift, codes=codes, covariates=changed)
    before, after = analyse(sample), analyse(other)
    assert f_values(after) == pytest.approx(f_values(before), rel=1e-5, abs=1e-7)
    assert [check.statistic for check in after.checks] == pytest.approx([c.statistic for c in before.checks], rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(f=st.floats(0, 400), df=st.integers(1, 6), df_error=st.integers(2, 300), level=st.sampled_from([0.9, 0.95]))
def test_interval_of_eta_inverts_the_noncentral_f(f: float, df: int, df_error: int, level: float) -> None:
    found = eta_interval(f, df, df_error, level)
    assert found is not None
    low, high = found
    assert 0 <= low <= high < 1
    for bound, share in ((low, (1 + level) / 2), (high, (1 - level) / 2)):
        if bound > 0:
            noncentral = bound * (df + df_error + 1) / (1 - bound)
            assert ncfdtr(df, df_error, noncentral, f) == pytest.approx(share, abs=1e-6)
    p = stats.f.sf(f, df, df_error)
    if level == 0.9 and abs(p - 0.05) > 1e-6:
        assert (low > 0) == (p < 0.05)


def test_an_f_too_large_to_invert_has_no_interval() -> None:
    assert noncentrality(1e9, 1, 95, 0.5) is None
    assert eta_interval(1e9, 1, 95, 0.95) is None


def test_planted_coefficients_and_expected_eta() -> None:
    planted = {
        0.68: 1.457738,
        0.09: 0.314485,
        0.07: 0.274352,
        0.03: 0.175863,
        0.02: 0.142857,
        0.01: 0.100504,
        0.002: 0.044766,
    }
    for eta2, b in (planted | {0.001: 0.031639}).items():
        assert planted_coefficient(eta2) == pytest.approx(b, abs=HALF)
        assert planted_coefficient(eta2, 3.0) == pytest.approx(3 * b, abs=2e-6)
    assert expected_eta(0.0, 1, 95) == 1 / 96
    for noncentral in (0.5, 7.5, 212.5):
        exact = stats.ncf(1, 95, noncentral).expect(lambda f: f / (f + 95))
        assert expected_eta(noncentral, 1, 95) == pytest.approx(exact, abs=1e-6)
    simulated = {0.01: 0.0207, 0.02: 0.0300, 0.03: 0.0388, 0.07: 0.0783, 0.09: 0.1016, 0.68: 0.6897}
    for eta2, mean in simulated.items():
        assert expected_eta(100 * eta2 / (1 - eta2), 1, 95) == pytest.approx(mean, abs=0.004)


def test_power_and_the_people_it_needs() -> None:
    assert find_power(0.0, 1, 95) == pytest.approx(0.05)
    assert [rows_for_power(eta2, 5) for eta2 in (0.01, 0.02, 0.03, 0.07, 0.09)] == [779, 387, 256, 107, 82]
    for eta2, n in ((0.07, 107), (0.02, 387)):
        ratio = eta2 / (1 - eta2)
        assert find_power(n * ratio, 1, n - 5) >= 0.8 > find_power((n - 1) * ratio, 1, n - 6)


def test_sum_coding() -> None:
    assert sum_code(np.array([0, 1, 2]), 3).tolist() == [[1, 0], [0, 1], [-1, -1]]
    design = build_design(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), {"a": 2, "b": 2}, {"c": np.array([1.0, 2, 3, 5])})
    assert design.columns == {"c": slice(1, 2), "a": slice(2, 3), "b": slice(3, 4), "a × b": slice(4, 5)}
    assert design.matrix[:, 2:].tolist() == [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]


def table_of(face: str, scale: float = 1.0) -> Columns:
    levels = face.split()
    rows = [f"{number % 7 + 0.1 * number},{levels[number % len(levels)]},{scale * (number**2 % 11)}" for number in range(24)]
    return parse_columns("\n".join(["y,face,c", *rows]), "scores.csv")


def test_one_number_written_in_two_ways_is_one_level() -> None:
    plain = choose_sample(table_of("1 2 1 2"), "y", ["face"], ["c"])
    mixed = choose_sample(table_of("1 2.0 1.0 2"), "y", ["face"], ["c"])
    assert mixed.factors == plain.factors == {"face": ("1", "2")}
    assert (mixed.codes == plain.codes).all()
    with pytest.raises(DataError, match=r"levels '1' and '1.0' of factor 'face' .* write them alike"):
        choose_sample(table_of("1 x 1.0 x"), "y", ["face"], ["c"])


def test_numbers_too_small_to_be_squared_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"covariate 'c' varies by less than 1e-100, .* smaller unit"):
        analyse(choose_sample(table_of("1 2", 1e-200), "y", ["face"], ["c"]))
    small = analyse(choose_sample(table_of("1 2", 1e-90), "y", ["face"], ["c"]))
    assert f_values(small) == pytest.approx(f_values(analyse(choose_sample(table_of("1 2"), "y", ["face"], ["c"]))))
