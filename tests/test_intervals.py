"""Intervals of one run's scores: against the normal distribution, and people whose samples are alike."""

import numpy as np
import pytest

from fer_cli.config import METRICS
from fer_cli.use.intervals import FEWEST, Sampled, choose_sampled, gain_interval, resample, score_intervals


def test_people_are_drawn_where_they_are_known() -> None:
    names = np.array([f"s{k}" for k in range(FEWEST)] * 3)
    found = choose_sampled(names)
    assert found.number == FEWEST and found.words == f"{FEWEST} people"
    for unknown in (names[:3], np.array([*names, ""]), np.array([""] * 40)):
        found = choose_sampled(unknown)
        assert found.people is None and found.number == len(unknown)
        assert found.words == f"{len(unknown)} samples, as if of a person each"


def test_independent_samples_have_the_normal_interval() -> None:
    right = np.random.default_rng(0).random(2000) < 0.8
    share, half = right.mean(), 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 2000)
    truth = np.arange(2000) % 2
    predicted = np.where(right, truth, 1 - truth)
    for sampled in (Sampled(None, 2000), choose_sampled(np.arange(2000).astype(str))):
        found = score_intervals(truth, predicted, 2, sampled)
        assert set(found) == set(METRICS)
        assert found["accuracy"] == pytest.approx((share - half, share + half), abs=0.004)


def test_samples_of_a_person_that_are_all_alike_count_once() -> None:
    """50 people of 20 samples, all right or all wrong: the interval is that of 50 samples."""
    people = np.repeat(np.arange(50), 20)
    predicted = (people % 5 == 0).astype(np.int64)  # a fifth is wrong
    truth = np.zeros(1000, np.int64)
    low, high = score_intervals(truth, predicted, 2, choose_sampled(people.astype(str)))["accuracy"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 50)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.03)
    narrow = score_intervals(truth, predicted, 2, Sampled(None, 1000))["accuracy"]
    assert (high - low) / (narrow[1] - narrow[0]) == pytest.approx(np.sqrt(20), rel=0.1)


def test_draws_keep_their_size() -> None:
    cells = np.arange(60) % 3
    assert (resample(cells, 3, Sampled(None, 60)).sum(1) == 60).all()
    by_person = resample(cells, 3, choose_sampled((np.arange(60) // 3).astype(str)))
    assert (by_person == 20).all()  # every person has one sample of each


def test_a_gain_is_paired() -> None:
    right = np.random.default_rng(1).random(500) < 0.6
    sampled = Sampled(None, 500)
    assert gain_interval(right, right, sampled) == (0, 0)
    better = right | (np.arange(500) < 50)
    low, high = gain_interval(better, right, sampled)
    assert 0 < low < better.mean() - right.mean() < high < 0.1
