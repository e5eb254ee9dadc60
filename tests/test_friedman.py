"""Friedman's test and Nemenyi's critical difference: published quantiles, SciPy, false alarms, when there is no test."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from fer_cli.stats import NotTestable, Ranks, critical_difference, rank_arms


def test_the_quantiles_of_demsar_2006() -> None:
    """Table 5(a) of the paper: q at .05 of 2.343 (3 arms), 2.728 (5), 3.164 (10); the example on its page 16."""
    for arms, q in ((3, 2.343), (5, 2.728), (10, 3.164)):
        assert critical_difference(arms, 10) / np.sqrt(arms * (arms + 1) / 60) == pytest.approx(q, abs=1.1e-3)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_f_is_that_of_friedmans_chi_square() -> None:
    scores = np.random.default_rng(0).normal(size=(10, 4))
    found = rank_arms(scores.tolist())
    assert isinstance(found, Ranks)
    chi = friedmanchisquare(*scores.T).statistic
    assert found.test.statistic == pytest.approx(9 * chi / (10 * 3 - chi))
    ties = np.round(scores)
    tied, chi = rank_arms(ties.tolist()), friedmanchisquare(*ties.T).statistic
    assert isinstance(tied, Ranks)
    assert tied.test.statistic == pytest.approx(9 * chi / (10 * 3 - chi))


def test_ranks_and_cliques_by_hand() -> None:
    scores = [[0.9, 0.8, 0.7, 0.1]] * 3 + [[0.8, 0.9, 0.7, 0.1]] * 3
    found = rank_arms(scores)
    assert isinstance(found, Ranks)
    assert found.means == (1.5, 1.5, 3.0, 4.0)
    assert found.critical == pytest.approx(1.915, abs=1e-3)  # 2.569 sqrt(20 / 36)
    assert found.cliques == [(0, 1, 2), (2, 3)]
    always = rank_arms([[3.0, 2.0, 1.0]] * 6)
    assert isinstance(always, Ranks)
    assert (always.test.statistic, always.test.p) == (np.inf, 0.0)


def test_where_there_is_no_test() -> None:
    for scores, overlap, why in (
        ([[0.1, 0.2]] * 9, 0.0, "2 arms"),
        ([[0.1, 0.2, 0.3]] * 9, 0.25, "overlap"),
        ([[0.1, 0.2, 0.3]] * 5, 0.0, "n = 5 blocks"),
        ([[0.1, 0.1, 0.1 + 1e-16]] * 9, 0.0, "same score"),
    ):
        found = rank_arms(scores, overlap)
        assert isinstance(found, NotTestable)
        assert why in str(found)


@pytest.mark.parametrize("arms", [3, 10])
def test_equal_arms_rarely_differ(arms: int) -> None:
    """Scores of independent blocks: a common difficulty and noise of each arm; 2,000 studies of six blocks."""
    random = np.random.default_rng(arms)
    scores = random.normal(size=(2000, 6, 1)) + random.normal(size=(2000, 6, arms))
    found = [rank_arms(study) for study in scores]
    ranks = [one for one in found if isinstance(one, Ranks)]
    assert len(ranks) == 2000
    assert np.mean([one.test.p <= 0.05 for one in ranks]) <= 0.065
    assert np.mean([max(one.means) - min(one.means) >= one.critical for one in ranks]) <= 0.065
