"""The data model of false alarms: classifiers of equal skill on shared images, with overlapping training parts.

An arm a that is trained on the people of a part T with seed s is right on image i of person g with the probability

    logit p = 1.4 + person_g + image_i + liking_{a,g} + liking_{a,i} + training_a(T) + seed_{a,s}

person, image: difficulty shared by both arms (sd .7, .7); liking: what one arm finds easier than the other (sd .3 by person,
.5 by image); training_a(T): mean over the people of T of what each teaches arm a, with sd ``TAUGHT`` over independent parts,
so parts that share people have like effects; seed: initial weights and order (sd ``SEEDED``). All are normal, independent
and of the same distribution in both arms, which makes the arms equally skilled over people, images, parts and seeds.
20 people with 20 images each. Differences of five folds then correlate by .15, of ten by .10, of draws by .19; the
corrected t-test supposes 1/5, 1/10 and 1/5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from fer_cli.stats import FEWEST_PAIRS, NotTestable, Outcome, PValue, Spread, sign_flip_p
from fer_cli.stats.images import sum_by

PEOPLE, EACH = 20, 20
IMAGES = PEOPLE * EACH
NAMES = np.repeat([f"p{person:02d}" for person in range(PEOPLE)], EACH)
TAUGHT, SEEDED = 0.17, 0.1


@dataclass(frozen=True)
class Worlds:
    """R simulated studies of two arms: effects on the logit, by arm (R, 2, ...)."""

    images: np.ndarray  # (R, 2, IMAGES)
    taught: np.ndarray  # (R, 2, PEOPLE), sd 1
    random: np.random.Generator

    def right(self, tested: np.ndarray, seeded: float = SEEDED, taught: np.ndarray | None = None) -> np.ndarray:
        """Return whether arms are right (R, 2, n) bool on images ``tested`` (R, n), in one training.

        ``taught``: (R, PEOPLE) bool, the people of the training part; None: a part that teaches both arms as much.
        """
        logits = np.take_along_axis(self.images, tested[:, None], 2)
        if taught is not None:
            share = taught[:, None] / taught.sum(1)[:, None, None] ** 0.5
            logits = logits + TAUGHT * (self.taught * share).sum(2)[..., None]
        logits = logits + seeded * self.random.standard_normal((*logits.shape[:2], 1))
        return self.random.random(logits.shape) < expit(logits)


def worlds(count: int, seed: int, likings: bool = True, shared: bool = True, arms: int = 2) -> Worlds:
    """Return ``count`` studies; ``likings``: whether arms find different images easy; ``shared``: one set for all arms."""
    random = np.random.default_rng(seed)
    sets = 1 if shared else arms
    hard = 0.7 * random.standard_normal((count, sets, PEOPLE, 1)) + 0.7 * random.standard_normal((count, sets, PEOPLE, EACH))
    liked = 0.3 * random.standard_normal((count, arms, PEOPLE, 1)) + 0.5 * random.standard_normal(
        (count, arms, PEOPLE, EACH)
    )
    logits = 1.4 + hard + likings * liked
    return Worlds(logits.reshape(count, arms, IMAGES), random.standard_normal((count, arms, PEOPLE)), random)


def folds(world: Worlds, k: int, seeds: int) -> np.ndarray:
    """Return accuracies (R, 2, seeds) in folds that keep people apart: seed s is fold s mod k of partition s div k."""
    count, found = len(world.images), []
    everyone = np.arange(PEOPLE)
    for seed in range(seeds):
        if seed % k == 0:
            order = world.random.permuted(np.tile(everyone, (count, 1)), axis=1)
        size = PEOPLE // k
        people = order[:, seed % k * size : (seed % k + 1) * size]
        taught = np.ones((count, PEOPLE), bool)
        np.put_along_axis(taught, people, False, 1)
        tested = (people[..., None] * EACH + np.arange(EACH)).reshape(count, -1)
        found.append(world.right(tested, taught=taught).mean(2))
    return np.stack(found, 2)


def draws(world: Worlds, share: float, seeds: int) -> np.ndarray:
    """Return accuracies (R, 2, seeds) in repeated hold-out of that share of people."""
    count, size, found = len(world.images), round(PEOPLE * share), []
    for _ in range(seeds):
        people = world.random.permuted(np.tile(np.arange(PEOPLE), (count, 1)), axis=1)[:, :size]
        taught = np.ones((count, PEOPLE), bool)
        np.put_along_axis(taught, people, False, 1)
        tested = (people[..., None] * EACH + np.arange(EACH)).reshape(count, -1)
        found.append(world.right(tested, taught=taught).mean(2))
    return np.stack(found, 2)


def published(world: Worlds, seeds: int, seeded: float = SEEDED) -> np.ndarray:
    """Return whether arms are right (R, 2, seeds, IMAGES) on one published test part, after one published training part."""
    tested = np.tile(np.arange(IMAGES), (len(world.images), 1))
    return np.stack([world.right(tested, seeded) for _ in range(seeds)], 2)


def t_test(spread: Spread | NotTestable, null: float = 0.0) -> Outcome:
    """Return the t-test of a mean, or why there is none."""
    return spread if isinstance(spread, NotTestable) else spread.test("t-test", null)


def flip_test(ours: np.ndarray, theirs: np.ndarray, people: Sequence[str] | np.ndarray | None = None) -> Outcome:
    """Return the exact test of sign flips of trained networks, right or not (N,) or (S, N): seeds add up, people too."""
    gaps = np.atleast_2d(ours).astype(np.int64).sum(0) - np.atleast_2d(theirs).astype(np.int64).sum(0)
    gaps = gaps if people is None else sum_by(gaps, people)
    sizes, total = np.abs(gaps[gaps != 0]), int(gaps.sum())
    if len(sizes) < FEWEST_PAIRS:
        return NotTestable(f"{len(sizes)} units differ")
    return PValue("sign flips", float(total), sign_flip_p(sizes, total), len(sizes))


def right_units(right: np.ndarray, people: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
    """Return (G, 2) right answers and images by person or image; ``right``: (N,), or (S, N), which is averaged over S.

    Of a difference of two arms, it is the gain in right answers.
    """
    mean = np.atleast_2d(right).astype(np.float64).mean(0)
    units = np.column_stack([mean, np.ones(len(mean))])
    return units if people is None else np.column_stack([sum_by(units[:, 0], people), sum_by(units[:, 1], people)])
