"""Tests, effect sizes and power against SciPy, statsmodels and numbers by hand; properties; words where n is too small."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, nct, permutation_test, ttest_1samp, ttest_ind, ttest_rel, wilcoxon
from sklearn.metrics import accuracy_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from fer_cli.inventory.scores import test_pair as compare_pair
from fer_cli.metrics import accuracy, confusion_counts, macro_recall
from fer_cli.stats import (
    Effect,
    NotTestable,
    Outcome,
    PValue,
    crossed_spread,
    describe_floor,
    effect_size,
    find_detectable,
    find_needed,
    find_power,
    holm,
    paired_difference,
    paired_spread,
    pseudo_values,
    rank_test,
    score_spread,
    sign_floor,
    unpaired_difference,
    unpaired_spread,
)
from fer_cli.stats.power import Variance, find_centre, t_share
from fer_cli.stats.scores import name_test
from tests.skills import flip_test, t_test

OURS, THEIRS = [0.91, 0.88, 0.95, 0.90, 0.86], [0.90, 0.85, 0.95, 0.86, 0.88]
SHARES = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=12)


def p(outcome: Outcome) -> float:
    assert isinstance(outcome, PValue), outcome
    return outcome.p


def test_t_tests_agree_with_scipy() -> None:
    assert p(t_test(paired_spread(OURS, THEIRS))) == pytest.approx(ttest_rel(OURS, THEIRS).pvalue)
    assert p(t_test(unpaired_spread(OURS, THEIRS[:4]))) == pytest.approx(ttest_ind(OURS, THEIRS[:4], equal_var=False).pvalue)
    assert p(t_test(score_spread(OURS), 0.85)) == pytest.approx(ttest_1samp(OURS, 0.85).pvalue)
    assert p(t_test(paired_spread(OURS, THEIRS), 0.02)) == pytest.approx(ttest_rel(OURS, np.add(THEIRS, 0.02)).pvalue)


def test_corrected_t_by_hand() -> None:
    """Differences 0, .02, .04, .06, .08 of five folds: t = .04 / sqrt(.001 x .45) = 1.885618; two-sided p at 4 degrees."""
    found = t_test(paired_spread([0.80, 0.82, 0.84, 0.86, 0.88], [0.80] * 5, 1 / 4))
    assert isinstance(found, PValue)
    assert found.statistic == pytest.approx(1.885618, abs=5e-7)
    assert found.p == pytest.approx(0.132419, abs=5e-7)
    assert name_test("paired t-test", 1 / 4) == "corrected resampled paired t-test"
    assert name_test("paired t-test", 0.0) == "paired t-test"


@given(SHARES, st.sampled_from([0.0, 0.25]))
@settings(deadline=None)
def test_tests_and_intervals_agree(pairs: list[tuple[int, int]], overlap: float) -> None:
    """p < .05 if and only if the interval excludes 0."""
    ours, theirs = (np.array(column) / 1000 for column in zip(*pairs, strict=True))
    for test, interval in (
        (t_test(paired_spread(ours, theirs, overlap)), paired_difference(ours, theirs, overlap)),
        (
            t_test(unpaired_spread(ours, theirs, (overlap, overlap))),
            unpaired_difference(ours, theirs, (overlap, overlap)),
        ),
    ):
        if isinstance(test, PValue) and abs(test.p - 0.05) > 1e-9:
            assert interval.low is not None and interval.high is not None
            assert (test.p < 0.05) == (interval.low > 0 or interval.high < 0)


@given(SHARES.filter(lambda pairs: len(pairs) <= 8), st.randoms(use_true_random=False), st.integers(0, 500))
@settings(deadline=None, max_examples=25)
def test_order_sign_and_shift(pairs: list[tuple[int, int]], random: object, shift: int) -> None:
    """Neither the order of pairs nor a shift of both arms changes a test; swapped arms have the same p."""
    ours, theirs = (np.array(column) / 1000 for column in zip(*pairs, strict=True))
    order = np.argsort([random.random() for _ in pairs])  # type: ignore[attr-defined]
    several: list[Callable[[np.ndarray, np.ndarray], Outcome]] = [
        lambda a, b: t_test(paired_spread(a, b)),
        lambda a, b: t_test(unpaired_spread(a, b)),
        rank_test,
    ]
    for test in several:
        found = test(ours, theirs)
        others = [
            test(ours[order], theirs[order]),
            test(theirs, ours),
            test(ours + shift / 1000, theirs + shift / 1000),
        ]
        for other in others:
            if isinstance(found, NotTestable):
                assert isinstance(other, NotTestable)
            else:
                assert p(other) == pytest.approx(found.p, abs=1e-6)


def test_floor_of_ranks() -> None:
    """SciPy's smallest p for n pairs of one sign, and the words."""
    for n in range(2, 12):
        assert sign_floor(n) == pytest.approx(wilcoxon(np.arange(1, n + 1)).pvalue)
    assert describe_floor(5) == "n = 5 differing pairs cannot reach .05: the smallest possible p is .0625"
    assert rank_test(OURS, THEIRS) == NotTestable(
        "n = 4 differing pairs cannot reach .05: the smallest possible p is .125"
    ), "one pair ties"
    six = rank_test(np.arange(6) / 10 + 0.3, np.zeros(6))
    assert isinstance(six, PValue)
    assert (six.p, six.n) == (0.03125, 6)


@pytest.mark.parametrize(("gained", "lost"), [(8, 2), (30, 18), (6, 0), (5, 5)])
def test_mcnemar_agrees_with_statsmodels(gained: int, lost: int) -> None:
    ours = np.array([1] * gained + [0] * lost + [1] * 50 + [0] * 7, bool)
    theirs = np.array([0] * gained + [1] * lost + [1] * 50 + [0] * 7, bool)
    found = flip_test(ours, theirs)
    assert isinstance(found, PValue)
    assert found.p == pytest.approx(mcnemar([[50, gained], [lost, 7]], exact=True).pvalue)
    assert found.p == pytest.approx(binomtest(gained, gained + lost).pvalue)
    assert found.p == compare_pair(ours, theirs).p


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=6, max_size=12))
@settings(deadline=None, max_examples=25)
def test_sign_flips_agree_with_scipy(counts: list[tuple[int, int]]) -> None:
    """Three seeds, seeds added up: SciPy enumerates the signs; ties are included."""
    ours, theirs = (
        np.array([[seed < count for count in column] for seed in range(3)]) for column in zip(*counts, strict=True)
    )
    found = flip_test(ours, theirs)
    gaps = ours.sum(0) - theirs.sum(0)
    if np.count_nonzero(gaps) < 6:
        assert isinstance(found, NotTestable)
        return
    wanted = permutation_test((gaps[gaps != 0],), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False)
    assert p(found) == pytest.approx(wanted.pvalue)
    assert p(flip_test(theirs, ours)) == pytest.approx(p(found))


def test_people_are_units_of_sign_flips() -> None:
    """Eight people, of whom each gains three images: the p of eight signs, not of 24."""
    ours, theirs = np.ones(80, bool), np.tile(np.arange(10) >= 3, 8)
    people = np.repeat(list("abcdefgh"), 10)
    assert p(flip_test(ours, theirs, people)) == pytest.approx(2 / 2**8)
    assert p(flip_test(ours, theirs)) == pytest.approx(2 / 2**24)


def test_crossed_variance_by_hand() -> None:
    """Three seeds, four people of five images; the arms differ for one person only, by 1, .8 and .6 of the images."""
    ours = np.zeros((3, 60))
    for seed, gained in enumerate((5, 4, 3)):
        ours[seed, :gained] = 1
    people = np.repeat(np.arange(12), 5)
    found = crossed_spread(ours, np.zeros((3, 60)), people)
    assert not isinstance(found, NotTestable)
    mean = 4 / 60
    sums = np.array([4 - 5 * mean, *[-5 * mean] * 11])
    seeds, units = np.var([5 / 60, 4 / 60, 3 / 60], ddof=1) / 3, 12 / 11 * (sums**2).sum() / 60**2
    assert (found.mean, found.variance) == pytest.approx((mean, seeds + units))
    assert found.freedom == pytest.approx((seeds + units) ** 2 / (seeds**2 / 2 + units**2 / 11))


@given(st.integers(0, 1000), st.integers(3, 6))
@settings(deadline=None, max_examples=20)
def test_order_of_images_seeds_and_people_does_not_matter(seed: int, seeds: int) -> None:
    random = np.random.default_rng(seed)
    ours, theirs = random.random((2, seeds, 60)) < 0.8
    people = random.integers(0, 15, 60)
    images, order = random.permutation(60), random.permutation(seeds)
    several: list[Callable[[np.ndarray, np.ndarray, np.ndarray], Outcome]] = [
        lambda a, b, names: t_test(crossed_spread(a, b, names)),
        flip_test,
    ]
    for test in several:
        found = test(ours, theirs, people)
        again = test(ours[order][:, images], theirs[order][:, images], people[images])
        renamed = test(theirs, ours, -people)
        if isinstance(found, NotTestable):
            assert isinstance(again, NotTestable)
        else:
            assert p(again) == pytest.approx(found.p)
            assert p(renamed) == pytest.approx(found.p)


def test_crossed_words() -> None:
    right = np.ones((3, 40))
    assert str(crossed_spread(right[:2], right[:2])) == "n = 2: a t-test needs at least 3 seeds"
    assert str(crossed_spread(right[:, :9], right[:, :9])).startswith("9 test images: at least 10")
    assert "right on the same images" in str(crossed_spread(right, right))


def test_pseudo_values_are_those_of_a_jackknife() -> None:
    random = np.random.default_rng(0)
    truth, answers = random.integers(0, 3, 40), random.integers(0, 3, 40)
    counts = confusion_counts(truth, answers, 3)
    assert pseudo_values(truth, answers, 3, accuracy) == pytest.approx((truth == answers).astype(float))
    assert pseudo_values(truth, answers, 3, accuracy).mean() == pytest.approx(accuracy_score(truth, answers))
    found = pseudo_values(truth, answers, 3, macro_recall)
    without = [
        40 * macro_recall(counts) - 39 * macro_recall(confusion_counts(np.delete(truth, i), np.delete(answers, i), 3))
        for i in range(40)
    ]
    assert found - found.mean() == pytest.approx(np.array(without) - np.mean(without))
    assert found.mean() == pytest.approx(macro_recall(counts))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None, max_examples=30)
def test_holm_agrees_with_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_effect_size_by_hand() -> None:
    """dz = .04 / .0316228 = 1.264911; J at 4 degrees = gamma(2) / (sqrt(2) gamma(1.5)) = .797885."""
    found = effect_size([0.80, 0.82, 0.84, 0.86, 0.88], [0.80] * 5)
    assert isinstance(found, Effect)
    assert (found.dz, found.g) == pytest.approx((1.264911, 1.009253), abs=1e-6)
    t = 1.264911 * sqrt(5)
    for end, share in ((found.low, 0.975), (found.high, 0.025)):
        assert nct.cdf(t, 4, end / 0.797885 * sqrt(5)) == pytest.approx(share, abs=1e-5)
    folds = effect_size([0.80, 0.82, 0.84, 0.86, 0.88], [0.80] * 5, 1 / 4)
    assert isinstance(folds, Effect)
    assert folds.dz == found.dz
    assert folds.low < found.low < found.high < folds.high
    assert isinstance(effect_size([0.5, 0.6], [0.4, 0.4]), NotTestable)


@given(SHARES)
@settings(deadline=None, max_examples=20)
def test_effect_is_odd_and_agrees_with_its_test(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = (np.array(column) / 1000 for column in zip(*pairs, strict=True))
    found, swapped, test = effect_size(ours, theirs), effect_size(theirs, ours), t_test(paired_spread(ours, theirs))
    if isinstance(found, NotTestable):
        assert isinstance(test, NotTestable)
        return
    assert isinstance(swapped, Effect)
    assert (found.g, found.low, found.high) == pytest.approx((-swapped.g, -swapped.high, -swapped.low), rel=1e-6, abs=1e-6)
    assert abs(p(test) - 0.05) < 1e-6 or (p(test) < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("n", [3, 5, 10, 40])
def test_power_agrees_with_statsmodels(n: int) -> None:
    power = TTestPower()
    found = find_detectable(0.02**2 / n, n - 1)
    assert found == pytest.approx(0.02 * power.solve_power(nobs=n, alpha=0.05, power=0.8), rel=1e-4)
    assert find_power(found, 0.02**2 / n, n - 1) == pytest.approx(0.8)
    for difference in (0.004, 0.01):  # SciPy's distribution, which statsmodels uses, is NaN for larger ones
        assert find_power(difference, 0.02**2 / n, n - 1) == pytest.approx(power.power(difference / 0.02, n, 0.05), abs=1e-9)


@pytest.mark.parametrize(
    ("t", "freedom", "centre"), [(2, 3, 1), (0.5, 2, 3), (12, 2, 8), (-1, 9, 2), (30, 4, 20), (2, 9999, 1.5)]
)
def test_noncentral_t_agrees_with_scipy(t: float, freedom: float, centre: float) -> None:
    assert t_share(t, freedom, centre) == pytest.approx(nct.cdf(t, freedom, centre), abs=1e-10)


def test_noncentral_t_is_there_where_scipy_has_none() -> None:
    assert 0 <= t_share(-2.02, 39, 9.5) < 1e-12
    assert find_power(1.0, 1e-6, 4) == pytest.approx(1.0)


@pytest.mark.parametrize("freedom", [2, 4, 9, 39])
@pytest.mark.parametrize("t", [-60.0, -2.02, 0.0, 3.0, 60.0])
@pytest.mark.parametrize("share", [0.025, 0.975])
def test_centres_of_the_noncentral_t_are_roots(t: float, freedom: int, share: float) -> None:
    assert t_share(t, freedom, find_centre(t, freedom, share)) == pytest.approx(share, abs=1e-6)


def variance_of(sd: float, overlap: float = 0.0) -> Variance:
    """Return the variance of the mean of n paired differences with this standard deviation."""
    return lambda n: (sd * sd * (1 / n + overlap), n - 1)


@pytest.mark.parametrize("difference", [0.005, 0.01, 0.02, 0.05])
def test_needed_pairs_agree_with_statsmodels(difference: float) -> None:
    wanted = TTestPower().solve_power(effect_size=difference / 0.02, alpha=0.05, power=0.8)
    assert find_needed(difference, variance_of(0.02)) == max(3, int(np.ceil(wanted)))
    assert find_needed(-difference, variance_of(0.02)) == find_needed(difference, variance_of(0.02))


def test_overlap_limits_what_more_seeds_can_detect() -> None:
    """At most z = d / (s sqrt(overlap)) is reached: of s = .02 and five folds, d = .02 gives z = 2, power .52."""
    assert isinstance(find_needed(0.02, variance_of(0.02, 0.25)), NotTestable)
    assert find_needed(0.04, variance_of(0.02, 0.25)) == next(
        n for n in range(3, 99) if find_power(0.04, 0.02**2 * (1 / n + 0.25), n - 1) >= 0.8
    )
    assert isinstance(find_needed(0.0, variance_of(0.02)), NotTestable)


def test_words_in_the_place_of_nan() -> None:
    assert str(paired_spread([0.5, 0.6], [0.4, 0.4])) == "n = 2: a t-test needs at least 3 differences"
    assert "all 4 differences are equal" in str(paired_spread([0.1, 0.2, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3]))
    assert isinstance(unpaired_spread([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]), NotTestable)
    assert str(score_spread([0.5])) == "n = 1: a t-test needs at least 3 scores"
