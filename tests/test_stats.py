"""Intervals against SciPy and against numbers computed by hand; the rank test against SciPy on whole numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel, wilcoxon

from fer_cli.stats import paired_difference, sample_sd, signed_rank, unpaired_difference

COUNTS = st.integers(0, 30)


@pytest.mark.parametrize(
    "images", [30, pytest.param(40, marks=pytest.mark.slow), 70, pytest.param(196, marks=pytest.mark.slow)]
)
def test_ranks_of_accuracies_are_ranks_of_counts(images: int) -> None:
    """SciPy on differences of counts, which are exact; with ties and zeros in nearly every draw."""
    random = np.random.default_rng(images)
    exact = 0
    for pairs in (6, 7, 7, 8, 8, 9, 9, 10, 13 if images == 30 else 11, 14, 15, 16):  # SciPy takes 0.7 s for 13
        ours = random.integers(images // 2, images + 1, pairs)
        theirs = np.clip(ours + random.integers(-4, 5, pairs), 0, images)
        found = signed_rank(ours / images, theirs / images, images)
        if np.count_nonzero(ours - theirs) < 6:
            assert found is None
            continue
        wanted = wilcoxon(ours - theirs)
        assert found == (wanted.statistic, wanted.pvalue)
        exact += pairs <= 13
    assert exact > 4


@pytest.mark.parametrize("images", [30, 40, 49, 70, 196, 197, 405, 7178])
def test_differences_of_three_images_tie_in_either_sign(images: int) -> None:
    """Ranks 1 to 8 are all 4.5, whatever is added to 3/n in floating point: p is that of a sign test."""
    base = np.arange(8) + images // 3
    ours = base + np.array([3, -3, 3, 3, -3, 3, 3, 3])
    sign = 2 * (1 + 8 + 28) / 2**8
    assert signed_rank(ours / images, base / images, images) == (9.0, pytest.approx(sign))
    assert signed_rank(ours / images, base / images) == (9.0, pytest.approx(sign)), "rounded as for other metrics"


def test_published_case_has_its_exact_p() -> None:
    """All features against HOG on CK+48's hold-out of 197 images: W was printed as 3 and p as .0391, from broken ties."""
    fusion = [192, 196, 196, 197, 197, 195, 196, 195, 197, 195]
    hog = [194, 195, 196, 195, 195, 195, 189, 194, 195, 192]
    assert signed_rank([n / 197 for n in fusion], [n / 197 for n in hog], 197) == (4.5, 0.0625)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=6, max_size=10), st.integers(30, 6000))
def test_rounding_ties_what_counts_tie(pairs: list[tuple[int, int]], images: int) -> None:
    """Other metrics have no counts: rounded differences of shares of equal size rank as the counts do."""
    ours, theirs = (np.array(column) for column in zip(*pairs, strict=True))
    assert signed_rank(ours / images, theirs / images) == signed_rank(ours / images, theirs / images, images)


def test_half_way_differences_tie_too() -> None:
    """1/5120 lies half-way between multiples of 1e-9; so 0.3 + 1/5120 - 0.3 could round up and 0.7 + 1/5120 - 0.7 down."""
    theirs = np.array([0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
    found = signed_rank(theirs + 1 / 5120, theirs)
    assert found == (0.0, pytest.approx(2 / 2**7))
    mixed = signed_rank(theirs + np.array([1, -1, 1, 1, -1, 1, 1]) / 5120, theirs)
    assert mixed == (8.0, pytest.approx(2 * (1 + 7 + 21) / 2**7))


def test_fewer_than_six_differing_pairs_give_no_test() -> None:
    assert signed_rank([1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 6]) is None
    theirs = [0.1 + 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert signed_rank([0.3, *(value + 0.1 for value in theirs[1:])], theirs) is None, "0.1 + 0.2 is 0.3"


def test_intervals_agree_with_scipy() -> None:
    ours, theirs = [0.91, 0.88, 0.95, 0.90, 0.86], [0.90, 0.85, 0.95, 0.86, 0.88]
    interval = ttest_rel(ours, theirs).confidence_interval(0.95)
    delta = paired_difference(ours, theirs)
    assert (delta.low, delta.high) == pytest.approx((interval.low, interval.high))
    assert unpaired_difference(ours, theirs).mean == pytest.approx(delta.mean)
    assert unpaired_difference([0.5, 0.5], [0.4, 0.4]).low is None
    assert unpaired_difference([0.5], [0.4, 0.5]).low is None
    assert paired_difference([0.5], [0.4]).low is None
    assert sample_sd([0.5]) is None


def test_welch_keeps_each_arms_own_variance() -> None:
    """With unequal sizes and deviations the pooled variance gives another interval."""
    ours, theirs = [0.91, 0.60, 0.75], [0.70, 0.71, 0.72, 0.70, 0.69, 0.71, 0.72, 0.70]
    welch, pooled = (ttest_ind(ours, theirs, equal_var=equal).confidence_interval(0.95) for equal in (False, True))
    delta = unpaired_difference(ours, theirs)
    assert (delta.low, delta.high) == pytest.approx((welch.low, welch.high))
    assert delta.low != pytest.approx(pooled.low, abs=0.01)
    constant = unpaired_difference([0.5, 0.5, 0.5], [0.4, 0.5, 0.6])
    assert constant.low == pytest.approx(-4.302653 * 0.1 / math.sqrt(3), abs=1e-6), "all variance is the other arm's"


def test_corrected_resampled_interval_by_hand() -> None:
    """Nadeau and Bengio: five folds give 1/5 + 1/4 in the place of 1/5, so 1.5 times the width; t(.975, 4) = 2.776445."""
    ours, theirs = [0.80, 0.82, 0.84, 0.86, 0.88], [0.80, 0.80, 0.80, 0.80, 0.80]
    variance = 0.001  # of 0, .02, .04, .06, .08
    plain, folds = paired_difference(ours, theirs), paired_difference(ours, theirs, 1 / 4)
    assert plain.high == pytest.approx(0.04 + 2.776445 * math.sqrt(variance / 5), abs=1e-7)
    assert folds.high == pytest.approx(0.04 + 2.776445 * math.sqrt(variance * 0.45), abs=1e-7)
    assert folds.low == pytest.approx(-0.018898, abs=1e-6)
    assert (folds.high - 0.04) / (plain.high - 0.04) == pytest.approx(1.5)  # type: ignore[operator]


def test_corrected_welch_interval_by_hand() -> None:
    """Variances .0004 and .0001 of three scores each, overlaps 1/4 and 1/2: .0002333 + .0000833, 3.266968 degrees."""
    delta = unpaired_difference([0.80, 0.82, 0.84], [0.70, 0.71, 0.72], (1 / 4, 1 / 2))
    first, second = 0.0004 * (1 / 3 + 1 / 4), 0.0001 * (1 / 3 + 1 / 2)
    freedom = (first + second) ** 2 / (first**2 / 2 + second**2 / 2)
    assert freedom == pytest.approx(3.266968)
    assert delta.mean == pytest.approx(0.11)
    assert delta.high == pytest.approx(0.11 + 3.040265 * math.sqrt(first + second))
    plain = unpaired_difference([0.80, 0.82, 0.84], [0.70, 0.71, 0.72])
    assert plain.high is not None and delta.high is not None
    assert plain.high < delta.high
