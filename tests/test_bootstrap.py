"""Bootstrap intervals: against SciPy's, their coverage, people as units, and seeds."""

from math import sqrt

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest, bootstrap
from scipy.stats import t as student

from fer_cli.metrics import accuracy, macro_f1
from fer_cli.stats import Interval, NotTestable, PValue, bootstrap_interval, lift, score_spread
from fer_cli.stats.bootstrap import Kind, share
from tests.skills import right_units, t_test


def interval(units: np.ndarray, kind: Kind = "expanded", seed: int = 0, resamples: int = 4000) -> Interval:
    found = bootstrap_interval(units, share, seed, kind, resamples)
    assert isinstance(found, Interval)
    return found


@pytest.mark.parametrize(("kind", "method"), [("percentile", "percentile"), ("bca", "BCa")])
def test_intervals_agree_with_scipy(kind: Kind, method: str) -> None:
    """Same resampling with other random numbers: equal up to the noise of 20,000 resamples."""
    random = np.random.default_rng(3)
    units = np.column_stack([random.binomial(20, 0.9, 25), np.full(25, 20)]).astype(float)
    ours = interval(units, kind, resamples=20_000)
    theirs = bootstrap(
        (units[:, 0], units[:, 1]),
        lambda right, images, axis: right.sum(axis) / images.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method=method,
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    assert ours.value == pytest.approx(units[:, 0].sum() / 500)
    assert ours.units == 25


def test_wide_interval_of_single_images_is_near_the_binomial_one() -> None:
    right = np.arange(1000) < 800
    found = interval(right_units(right))
    exact = binomtest(800, 1000).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.003)


def test_expanded_levels_by_hand() -> None:
    """Ten means of normal people: about mean -+ t(.975, 9) s/sqrt(10), where the percentile interval is narrower."""
    values = np.random.default_rng(1).standard_normal(10) + 5
    units = np.column_stack([values, np.ones(10)])
    half = float(student.ppf(0.975, 9)) * values.std(ddof=1) / sqrt(10)
    wide, narrow = interval(units, resamples=40_000), interval(units, "percentile", resamples=40_000)
    assert (wide.high - wide.low) / 2 == pytest.approx(half, rel=0.05)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(half * 1.96 / 2.262 * sqrt(0.9), rel=0.05)


def coverage(people: int, sets: int = 600) -> dict[str, float]:
    """Return the share of intervals that contain the true accuracy, by kind."""
    random = np.random.default_rng(people)
    truth = float(expit(1.7 + np.random.default_rng(0).standard_normal(1_000_000)).mean())
    hits = dict.fromkeys(("expanded", "bca", "percentile"), 0)
    for number in range(sets):
        right = random.binomial(10, expit(1.7 + random.standard_normal(people)))
        units = np.column_stack([right, np.full(people, 10)]).astype(float)
        for kind in hits:
            found = interval(units, kind, number, 1000)  # type: ignore[arg-type]
            hits[kind] += found.low <= truth <= found.high
    return {kind: hit / sets for kind, hit in hits.items()}


def test_the_default_covers_what_it_says_with_few_people_too() -> None:
    """95 % within the noise of 600 sets (two standard errors are .018); the other two kinds are short with ten people."""
    few, more = coverage(10), coverage(50)
    assert abs(few["expanded"] - 0.95) < 0.022
    assert abs(more["expanded"] - 0.95) < 0.018
    assert max(few["percentile"], few["bca"]) < 0.932


def test_people_are_drawn_not_images() -> None:
    """Ten people who are always or never recognised, with 50 images each: images counted singly give less."""
    right = np.repeat(np.arange(10) < 7, 50)
    people = np.repeat([f"p{number}" for number in range(10)], 50)
    grouped, single = interval(right_units(right, people)), interval(right_units(right))
    assert grouped.value == single.value == 0.7
    assert grouped.units == 10
    assert grouped.high - grouped.low > 5 * (single.high - single.low)


def test_a_metric_of_confusion_matrices() -> None:
    random = np.random.default_rng(0)
    units = random.multinomial(20, [0.3, 0.02, 0.02] * 2 + [0.1, 0.1, 0.12], size=30).reshape(30, 3, 3)
    whole = units.sum(0)
    plain = bootstrap_interval(np.stack([units.trace(axis1=1, axis2=2), units.sum((1, 2))], 1), share, 1)
    lifted = bootstrap_interval(units, lift(accuracy), 1)
    assert isinstance(plain, Interval)
    assert isinstance(lifted, Interval)
    assert lifted.value == pytest.approx(accuracy(whole))
    assert (lifted.low, lifted.high) == pytest.approx((plain.low, plain.high), abs=0.004)
    f1 = bootstrap_interval(units, lift(macro_f1))
    assert isinstance(f1, Interval)
    assert f1.value == pytest.approx(macro_f1(whole))
    assert f1.low < f1.value < f1.high


def test_the_same_seed_gives_the_same_interval_and_order_does_not_matter() -> None:
    random = np.random.default_rng(7)
    units = np.column_stack([random.binomial(9, 0.6, 40), np.full(40, 9)])
    first = interval(units, seed=5)
    assert first == interval(units, seed=5) == interval(units[::-1], seed=5)
    assert first != interval(units, seed=6)


def test_too_few_people_have_words() -> None:
    found = bootstrap_interval(np.ones((9, 2)))
    assert found == NotTestable("9 units: at least 10 are needed for a bootstrap interval")


def test_differences_of_swapped_arms_are_mirrored() -> None:
    random = np.random.default_rng(2)
    theirs = random.random((3, 400)) < 0.7
    ours = theirs | (random.random((3, 400)) < 0.05)
    gap = ours.astype(float) - theirs
    found, swapped = interval(right_units(gap)), interval(right_units(-gap))
    assert found.value == pytest.approx(ours.mean() - theirs.mean())
    assert (found.low, found.high) == pytest.approx((-swapped.high, -swapped.low), abs=0.002)


def test_differences_and_the_t_test_over_images_agree() -> None:
    """The interval's end touches 0 where p of the t-test over 200 images is about .05."""
    outcomes = []
    for extra in range(2, 40, 2):
        gap = np.zeros(200)
        gap[:extra], gap[extra : extra + 8] = 1, -1
        found, test = interval(right_units(gap)), t_test(score_spread(gap))
        assert isinstance(test, PValue)
        outcomes.append((found.low > 0 or found.high < 0, test.p))
    assert all((p < 0.05) == excluded or abs(p - 0.05) < 0.01 for excluded, p in outcomes)
    assert {excluded for excluded, _ in outcomes} == {True, False}
