"""Equal arms differ by p <= .05 in at most 6.5 % of 2,000 simulated studies, by every test; the model is in tests/skills.py.

Each test is simulated under its own null hypothesis: arms are equal over whatever it says that it speaks of. Where it must
not be used, the false alarms are shown too.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import rankdata

from fer_cli.judge import Case, Images, Side, weigh
from fer_cli.report.compared import weigh_difference
from fer_cli.stats import (
    Interval,
    NotTestable,
    Outcome,
    PValue,
    Ranks,
    bootstrap_interval,
    crossed_spread,
    holm,
    paired_spread,
    rank_arms,
    rank_test,
    score_spread,
    unpaired_spread,
)
from fer_cli.study import Claim
from tests.skills import NAMES, draws, flip_test, folds, published, right_units, t_test, worlds

STUDIES = 2000
MOST = 0.065
OVERLAP = 0.25
"""Test over training images of five folds and of a hold-out of a fifth."""
SAMPLES, PERSONS = tuple(map(str, range(len(NAMES)))), tuple(NAMES.tolist())
EQUAL = Claim(text="difference", arm="arm 1", over="arm 0", metric="accuracy", source="table")


def alarms(test: Callable[[int], Outcome], testable: float = 0.99) -> float:
    """Return the share of p <= .05 among the studies that can be tested, which must be nearly all."""
    outcomes = [test(study) for study in range(STUDIES)]
    ps = [outcome.p for outcome in outcomes if isinstance(outcome, PValue)]
    assert len(ps) >= testable * STUDIES
    return float(np.mean(np.array(ps) <= 0.05))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_paired_t_of_folds(seeds: int) -> None:
    """Arms are equal over people, images, training parts and seeds. Uncorrected, the same test fails on ten draws."""
    ours, theirs = np.moveaxis(folds(worlds(STUDIES, seeds), 5, seeds), 1, 0)
    assert alarms(lambda study: t_test(paired_spread(ours[study], theirs[study], OVERLAP))) <= MOST
    assert alarms(lambda study: t_test(paired_spread(ours[study], theirs[study]))) > MOST or seeds == 3


def test_paired_t_of_ten_folds() -> None:
    ours, theirs = np.moveaxis(folds(worlds(STUDIES, 11), 10, 10), 1, 0)
    assert alarms(lambda study: t_test(paired_spread(ours[study], theirs[study], 1 / 9))) <= MOST


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_paired_t_of_draws(seeds: int) -> None:
    """Repeated hold-out of a fifth: test parts of different seeds overlap too."""
    ours, theirs = np.moveaxis(draws(worlds(STUDIES, 20 + seeds), 0.2, seeds), 1, 0)
    assert alarms(lambda study: t_test(paired_spread(ours[study], theirs[study], OVERLAP))) <= MOST
    assert alarms(lambda study: t_test(paired_spread(ours[study], theirs[study]))) > MOST


def test_welch_of_arms_with_other_splits() -> None:
    """On the same set, one arm in folds and one in draws; and on two sets of images."""
    world = worlds(STUDIES, 31)
    ours, theirs = folds(world, 5, 5)[:, 0], draws(world, 0.2, 5)[:, 1]
    assert alarms(lambda study: t_test(unpaired_spread(ours[study], theirs[study], (OVERLAP, OVERLAP)))) <= MOST
    apart = folds(worlds(STUDIES, 32, shared=False), 5, 5)
    assert alarms(lambda study: t_test(unpaired_spread(apart[study, 0], apart[study, 1], (OVERLAP, OVERLAP)))) <= MOST


def test_level_of_folds() -> None:
    """One arm against the accuracy that it has on average over all studies."""
    scores = np.concatenate([folds(worlds(STUDIES, seed), 5, 5)[:, 0] for seed in (41, 42)])
    assert alarms(lambda study: t_test(score_spread(scores[study], OVERLAP), float(scores.mean()))) <= MOST


@pytest.mark.parametrize("seeds", [3, 5])
def test_paired_t_of_seeds_on_published_parts(seeds: int) -> None:
    """Arms are equal on these training and test images. If equal on images at large alone, this test must not be used."""
    scores = published(worlds(STUDIES, 50 + seeds, likings=False), seeds).mean(3)
    assert alarms(lambda study: t_test(paired_spread(scores[study, 0], scores[study, 1]))) <= MOST
    others = published(worlds(STUDIES, 60), 5).mean(3)
    assert alarms(lambda study: t_test(paired_spread(others[study, 0], others[study, 1]))) > MOST


@pytest.mark.parametrize("seeds", [3, 5])
def test_crossed_t_on_published_parts(seeds: int) -> None:
    """Arms are equal over people, images and seeds, after one published training part."""
    right = published(worlds(STUDIES, 70 + seeds), seeds)
    assert alarms(lambda study: t_test(crossed_spread(right[study, 0], right[study, 1], NAMES))) <= MOST
    level = float(np.concatenate([right[:, 0], published(worlds(STUDIES, 80), seeds)[:, 0]]).mean())
    assert alarms(lambda study: t_test(crossed_spread(right[study, 0], None, NAMES), level)) <= MOST


def test_ranks_of_independent_pairs() -> None:
    """Eight seeds on published parts on which arms are equal, scored by a metric that hardly ties."""
    scores = published(worlds(STUDIES, 91, likings=False), 8).mean(3)
    scores = scores + 1e-4 * np.random.default_rng(0).standard_normal(scores.shape)
    assert alarms(lambda study: rank_test(scores[study, 0], scores[study, 1])) <= MOST


@pytest.mark.parametrize(
    ("arms", "blocks"),
    [(4, 6), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((3, 6), (3, 12), (5, 6), (7, 6)))],
)
def test_ranks_of_several_arms(arms: int, blocks: int) -> None:
    """Friedman's F, and any two arms farther apart than Nemenyi's critical difference; equal arms have any ranks.

    The rate is .060 where it is largest, for 4 arms and 6 blocks: 10,000 studies tell it from .065.
    """
    scores = np.random.default_rng(93).random((5 * STUDIES, blocks, arms))
    ranks = [one for study in scores if isinstance(one := rank_arms(study), Ranks)]
    assert len(ranks) == len(scores)
    assert np.mean([one.test.p <= 0.05 for one in ranks]) <= MOST
    assert np.mean([max(one.means) - min(one.means) >= one.critical for one in ranks]) <= MOST


def test_ranks_of_draws_are_why_overlapping_parts_have_no_rank_test() -> None:
    """Of ten pairs, a rank sum of 8 or less has p <= .05 (.0488): not so if training parts overlap."""
    scores = draws(worlds(STUDIES, 92), 0.2, 10)
    deltas = scores[:, 0] - scores[:, 1] + 1e-9 * np.random.default_rng(0).standard_normal((STUDIES, 10))
    ranks = rankdata(np.abs(deltas), axis=1)
    sums = (ranks * (deltas > 0)).sum(1)
    assert 0.2 < np.mean(np.minimum(sums, 55 - sums) <= 8) < 0.35
    assert isinstance(rank_test(scores[0, 0], scores[0, 1], overlap=OVERLAP), NotTestable)


@pytest.mark.parametrize("seeds", [1, 3])
def test_trained_networks_on_images_of_people(seeds: int) -> None:
    """McNemar and sign flips: these networks are equal on people and images at large, so trainings have no effects here.

    Images of a person are alike: counted singly, or if trainings differ and arms are meant, there are more false alarms.
    """
    right = published(worlds(STUDIES, 100 + seeds), seeds, seeded=0.0)
    assert alarms(lambda study: flip_test(right[study, 0], right[study, 1], NAMES)) <= MOST
    assert alarms(lambda study: flip_test(right[study, 0], right[study, 1])) > MOST
    varied = published(worlds(STUDIES, 110), 1)
    assert alarms(lambda study: flip_test(varied[study, 0], varied[study, 1], NAMES)) > MOST


def test_mcnemar_on_unrelated_images() -> None:
    """One image a person: the networks' skills differ on single images alone."""
    random = np.random.default_rng(5)
    hard = 1.4 + random.standard_normal((STUDIES, 1, 300)) + 0.6 * random.standard_normal((STUDIES, 2, 300))
    right = random.random(hard.shape) < 1 / (1 + np.exp(-hard))
    assert alarms(lambda study: flip_test(right[study, 0], right[study, 1])) <= MOST


@pytest.mark.slow
def test_paired_bootstrap_of_people() -> None:
    """Intervals that exclude 0; twenty seconds for 2,000 times 4,000 resamples."""
    right = published(worlds(STUDIES, 120), 3, seeded=0.0).astype(float)
    found = [bootstrap_interval(right_units(ours - theirs, NAMES)) for ours, theirs in right]
    intervals = [one for one in found if isinstance(one, Interval)]
    assert len(intervals) == STUDIES
    assert np.mean([one.low > 0 or one.high < 0 for one in intervals]) <= MOST


def test_holm_keeps_the_rate_of_a_whole_table() -> None:
    """Five tests of equal arms a study: any false alarm at all in at most 6.5 % of studies; without Holm in more."""
    tables = [folds(worlds(STUDIES, 130 + row), 5, 5) for row in range(5)]
    ps = np.array(
        [
            [getattr(t_test(paired_spread(table[study, 0], table[study, 1], OVERLAP)), "p", 1.0) for table in tables]
            for study in range(STUDIES)
        ]
    )
    assert np.mean([min(holm(row)) <= 0.05 for row in ps]) <= MOST
    assert np.mean(ps.min(1) <= 0.05) > 0.1


@pytest.mark.parametrize("split", ["folds", "draws", pytest.param("published", marks=pytest.mark.slow)])
def test_a_whole_difference_table_of_equal_arms(split: str) -> None:
    """The report's own path over four arms against one baseline: weighed, tested, corrected by Holm.

    The differences share their baseline and their splits, so they depend on each other. Any p <= .05 after the correction
    is a false alarm of the whole table.
    """
    seeds, arms = list(range(5)), 5
    world = worlds(STUDIES, 200, arms=arms)
    if split == "published":
        right = published(world, len(seeds))  # (R, arms, seeds, images)
        scores, overlap, tested = right.mean(3), 0.0, ["one part"] * len(seeds)
    else:
        scores = folds(world, 5, len(seeds)) if split == "folds" else draws(world, 0.2, len(seeds))
        overlap, tested = OVERLAP, [f"part {seed}" for seed in seeds]

    def side(study: int, arm: int) -> Side:
        known = dict(zip(seeds, scores[study, arm].tolist(), strict=True))
        images = (lambda: Images(right[study, arm].astype(float), SAMPLES, PERSONS)) if split == "published" else None
        return Side(f"arm {arm}", seeds, known, tested, overlap, images=images)

    def table(study: int) -> list[float]:
        found = [weigh(Case(EQUAL, (), side(study, arm), side(study, 0))) for arm in range(1, arms)]
        return [test.p for one in found if isinstance(test := weigh_difference(one), PValue)]

    tables = [table(study) for study in range(STUDIES)]
    assert np.mean([len(row) == arms - 1 for row in tables]) >= 0.99
    assert np.mean([min(holm(row), default=1.0) <= 0.05 for row in tables]) <= MOST
    assert np.mean([min(row, default=1.0) <= 0.05 for row in tables]) > MOST, "without the correction"
