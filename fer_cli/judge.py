"""Judges claims about arms by their scores: supported, contradicted, undecided, or not testable.

Works on numbers alone (``Side``); ``fer_cli.verdicts`` collects them from run folders. A claim says that an arm's mean
exceeds another's by more than a margin, or reaches a score. It is tested two-sided at .05, after Holm's correction over the
study's claims on one data set, by

- the corrected resampled t-test over folds or draws, paired where both arms were tested on the same parts, else Welch's;
- a t-test over seeds and images (people, where known) where all seeds were tested on one part.

A claim about a cost is not tested: parameters and multiply-adds are counted, and are the same for every seed.

Supported and contradicted are significant differences in either direction; else a claim is undecided, with the number of
seeds that would detect a difference as large as ours with 80 % power. It is not testable if seeds are missing, an arm is
underfitted or leaky, or n is too small.

Reproduced is a computed word. ``reproduced``: supported, and the value that the paper prints for this data set (the
difference, if it has both arms; else the arm's score) lies in our 95 % interval. ``direction only``: supported, but the
paper has no value for this data set, or it lies outside. ``not reproduced``: contradicted. ``open``: undecided or not
testable. ``no paper``: no paper makes the claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from fer_cli.stats.images import crossed_spread, split_spread
from fer_cli.stats.outcomes import ALPHA, NotTestable, PValue
from fer_cli.stats.power import Variance, find_detectable, find_needed
from fer_cli.stats.scores import Spread, name_test, paired_spread, score_spread, unpaired_spread
from fer_cli.stats.several import holm
from fer_cli.study import Claim

Verdict = Literal["supported", "contradicted", "undecided", "not testable"]
Reproduced = Literal["reproduced", "direction only", "not reproduced", "open", "no paper"]
Point = tuple[tuple[str, Any], ...]
WELCH = "Welch's t-test"
ROUNDING = 1e-12
"""By how much a count may exceed a share of another through the rounding of their product, as a share of it."""
COUNTED = "counted"
"""The test of a cost, which does not vary."""


@dataclass(frozen=True)
class Images:
    """Contributions of test images to a metric: (S, N) float64, and the people in them (N,), None if unknown."""

    values: np.ndarray
    samples: tuple[str, ...]
    people: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Side:
    """The scores of one arm at one point, in the claim's metric."""

    arm: str
    planned: list[int]
    scores: dict[int, float]
    """Seed -> score, of the seeds that are done."""
    tested: list[str]
    """Hash of the part that each of these seeds was tested on."""
    overlap: float = 0.0
    """n_test/n_train where training parts of different seeds overlap, else 0."""
    doubt: str = ""
    """Why the scores are no evidence about the arm, "" if they are."""
    images: Callable[[], Images | NotTestable] | None = None
    """Returns contributions by image; used where all seeds were tested on one part."""
    simulated: bool = False
    """Whether every seed simulates its own test samples, whatever their hash."""
    costs: tuple[int | None, ...] = ()
    """What the seeds that are done need, for a claim about a cost; None: not counted."""

    @property
    def values(self) -> list[float]:
        """Return the scores in the order of seeds."""
        return [self.scores[seed] for seed in sorted(self.scores)]

    @property
    def one_part(self) -> bool:
        """Return whether all seeds were tested on the same images; their training images are then taken as given too."""
        return not self.overlap and not self.simulated and len(set(self.tested)) == 1


@dataclass(frozen=True)
class Case:
    """A claim at one point with the scores that bear on it; ``printed``: values of the paper for this data set."""

    claim: Claim
    at: Point
    ours: Side
    theirs: Side | None = None
    printed: tuple[float, ...] = ()
    """Differences if the paper has both arms (``printed_both``) or the claim's arm alone."""
    printed_both: bool = False


@dataclass(frozen=True)
class Judgement:
    """What the results say of a claim at one point; shares, as in results."""

    claim: Claim
    at: Point
    verdict: Verdict
    why: str
    """In words: why it is not testable; or how many seeds an undecided one needs."""
    n: int
    """Seeds that are done in all arms of the claim."""
    difference: float | None = None
    """Our difference of means; for ``at_least``, our mean minus that score; for a cost, ours / theirs - 1."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval of the difference."""
    p: float | None = None
    adjusted: float | None = None
    """p after Holm's correction."""
    test: str = ""
    detectable: float | None = None
    """The difference from the claimed one that these seeds detect with 80 % power, at .05 divided by the number of tests."""
    needed: int | None = None
    """Seeds that would detect our difference so; None if none do, or if not undecided."""
    reproduced: Reproduced = "open"
    inert: tuple[str, ...] = ()
    """Parts of the arms that did nothing in any run."""


@dataclass(frozen=True)
class Weighed:
    """A mean with its spread, the test that uses it, and how its variance shrinks with more seeds."""

    spread: Spread
    test: str
    variance: Variance = field(repr=False)


def judge(cases: Sequence[Case]) -> list[Judgement]:
    """Return the judgement of each case, in order; Holm's correction covers all that are tested."""
    tested = iter(judge_scores([case for case in cases if case.claim.cost is None]))
    return [next(tested) if case.claim.cost is None else judge_cost(case) for case in cases]


def judge_scores(cases: Sequence[Case]) -> list[Judgement]:
    """Return the judgement of each case about scores, in order."""
    weighed = [weigh(case) for case in cases]
    tests = [
        one if isinstance(one, NotTestable) else one.spread.test(one.test, find_null(case.claim))
        for one, case in zip(weighed, cases, strict=True)
    ]
    ps = iter(holm([test.p for test in tests if isinstance(test, PValue)]))
    adjusted = [next(ps) if isinstance(test, PValue) else None for test in tests]
    level = ALPHA / max(1, sum(isinstance(test, PValue) for test in tests))
    return [decide(*row, level) for row in zip(cases, weighed, tests, adjusted, strict=True)]


def judge_cost(case: Case) -> Judgement:
    """Return the judgement of a claim that an arm needs less than another: counts that are the same for all seeds."""
    ours, theirs = case.ours, case.theirs
    assert theirs is not None
    n = min(len(ours.scores), len(theirs.scores))
    for side in (ours, theirs):
        if not side.costs or None in side.costs:
            return Judgement(case.claim, case.at, "not testable", f"{side.arm}: no seed is done, or its cost is unknown", n)
        if len(set(side.costs)) > 1:
            return Judgement(case.claim, case.at, "not testable", f"{side.arm}: seeds have different costs", n)
    (mine, *_), (other, *_) = ours.costs, theirs.costs
    if not mine or not other:
        return Judgement(case.claim, case.at, "not testable", "an arm without any cost has no share", n)
    saved, margin = other - mine, case.claim.margin
    least = margin * other
    enough = saved > least if margin >= 0 else saved >= least - ROUNDING * other  # more than; at most so much more
    share = mine / other - 1
    verdict: Verdict = "supported" if enough else "contradicted"
    word: Reproduced = "direction only" if verdict == "supported" else "not reproduced"
    return Judgement(case.claim, case.at, verdict, f"{mine:,} against {other:,}", n, share, test=COUNTED, reproduced=word)


def find_null(claim: Claim) -> float:
    """Return the value that the mean (difference) must exceed."""
    return claim.margin if claim.at_least is None else claim.at_least


def decide(
    case: Case, weighed: Weighed | NotTestable, test: PValue | NotTestable, adjusted: float | None, level: float
) -> Judgement:
    """Return the judgement of a case with its adjusted p; ``level``: of each test, for power after Holm's correction."""
    claim = case.claim
    sides = [side for side in (case.ours, case.theirs) if side is not None]
    n = min(len(side.scores) for side in sides)
    shift = claim.at_least or 0.0
    if isinstance(weighed, NotTestable) or isinstance(test, NotTestable) or adjusted is None:
        why = str(weighed if isinstance(weighed, NotTestable) else test)
        return Judgement(claim, case.at, "not testable", why, n, plain_difference(case))
    spread, null = weighed.spread, find_null(claim)
    verdict: Verdict = "undecided" if adjusted >= ALPHA else "supported" if spread.mean > null else "contradicted"
    low, high = spread.interval()
    found = Judgement(
        claim,
        case.at,
        verdict,
        "",
        n,
        spread.mean - shift,
        low - shift,
        high - shift,
        test.p,
        adjusted,
        test.test,
        find_detectable(spread.variance, spread.freedom, alpha=level),
        reproduced=compare_with_paper(case, verdict, (low, high)),
    )
    return found if verdict != "undecided" else ask_for_more(found, weighed, null, level)


def plain_difference(case: Case) -> float | None:
    """Return our difference of means, or our mean minus the claimed score; None unless all have the same seeds."""
    sides = [side for side in (case.ours, case.theirs) if side is not None]
    if any(set(side.scores) != set(side.planned) or side.planned != case.ours.planned for side in sides):
        return None
    ours, *theirs = (float(np.mean(side.values)) for side in sides)
    return ours - (theirs[0] if theirs else case.claim.at_least or 0.0)


def ask_for_more(found: Judgement, weighed: Weighed, null: float, level: float) -> Judgement:
    """Return an undecided judgement with the number of seeds that its difference needs, and the words."""
    needed = find_needed(weighed.spread.mean - null, weighed.variance, alpha=level)
    alone = "; significant alone, not after Holm's correction" if found.p is not None and found.p < ALPHA else ""
    if isinstance(needed, NotTestable):
        return replace(found, why=f"{needed}{alone}")
    return replace(found, needed=needed, why=f"n = {needed} seeds needed to detect a difference like ours{alone}")


def weigh(case: Case) -> Weighed | NotTestable:
    """Return the difference of a case's means with its spread, or why it cannot be tested."""
    for side in filter(None, (case.ours, case.theirs)):
        if side.doubt:
            return NotTestable(f"{side.arm}: {side.doubt}")
        if len(side.scores) < len(side.planned):
            return NotTestable(f"{side.arm}: {len(side.scores)} of {len(side.planned)} seeds are done")
    ours, theirs = case.ours, case.theirs
    if theirs is not None and ours.planned != theirs.planned:
        return NotTestable("the arms have different seeds")
    if ours.one_part or (theirs is not None and theirs.one_part):
        return weigh_one_part(ours, theirs)
    return weigh_parts(ours, theirs)


def weigh_parts(ours: Side, theirs: Side | None) -> Weighed | NotTestable:
    """Return the spread over folds or draws, whose test parts differ."""
    if theirs is None:
        spread, overlap, name = score_spread(ours.values, ours.overlap), ours.overlap, "one-sample t-test"
    elif ours.tested == theirs.tested:
        overlap, name = max(ours.overlap, theirs.overlap), "paired t-test"
        spread = paired_spread(ours.values, theirs.values, overlap)
    else:
        return weigh_unpaired(ours, theirs)
    if isinstance(spread, NotTestable):
        return spread
    square = spread.variance / (1 / spread.n + overlap)
    return Weighed(spread, name_test(name, overlap), lambda n: (square * (1 / n + overlap), n - 1))


def weigh_unpaired(ours: Side, theirs: Side) -> Weighed | NotTestable:
    """Return Welch's spread of arms that were split differently."""
    spread = unpaired_spread(ours.values, theirs.values, (ours.overlap, theirs.overlap))
    if isinstance(spread, NotTestable):
        return spread
    squares = [(float(np.var(side.values, ddof=1)), side.overlap) for side in (ours, theirs)]

    def variance(n: int) -> tuple[float, float]:
        parts = [square * (1 / n + overlap) for square, overlap in squares]
        return sum(parts), sum(parts) ** 2 / sum(part**2 / (n - 1) for part in parts)

    return Weighed(spread, name_test(WELCH, max(ours.overlap, theirs.overlap)), variance)


def weigh_one_part(ours: Side, theirs: Side | None) -> Weighed | NotTestable:
    """Return the spread over seeds and images of arms whose seeds were all tested on one part."""
    if theirs is not None and ours.tested != theirs.tested:
        return NotTestable(f"{ours.arm} and {theirs.arm} were tested on different images, each on a part that never varies")
    found = []
    for side in filter(None, (ours, theirs)):
        one = side.images() if side.images is not None else NotTestable(f"{side.arm}: predictions by image are missing")
        if isinstance(one, NotTestable):
            return one
        found.append(one)
    if len(found) == 2 and found[0].samples != found[1].samples:
        return NotTestable("the arms' predictions are of different images")
    values = (found[0].values, found[1].values if len(found) == 2 else None)
    people = found[0].people
    spread = crossed_spread(*values, people)
    parts = split_spread(*values, people)
    if isinstance(spread, NotTestable) or isinstance(parts, NotTestable):
        return spread if isinstance(spread, NotTestable) else parts  # type: ignore[return-value]
    _, (of_seeds, of_images), units, seeds = parts

    def variance(n: int) -> tuple[float, float]:
        share = of_seeds * seeds / n
        return share + of_images, (share + of_images) ** 2 / (share**2 / (n - 1) + of_images**2 / (units - 1))

    return Weighed(spread, f"t-test over seeds and {'images' if people is None else 'people'}", variance)


def compare_with_paper(case: Case, verdict: Verdict, interval: tuple[float, float]) -> Reproduced:
    """Return the word for a verdict and the paper's values; ``interval``: of our difference (or score)."""
    if verdict == "contradicted":
        return "not reproduced"
    if verdict != "supported":
        return "open"
    if case.theirs is not None and not case.printed_both and case.printed:
        alone = weigh(replace(case, theirs=None))
        if isinstance(alone, NotTestable):
            return "direction only"
        interval = alone.spread.interval()
    inside = any(interval[0] <= value <= interval[1] for value in case.printed)
    return "reproduced" if inside else "direction only"


def count_verdicts(verdicts: Iterable[str]) -> str:
    """Return how many claims have each verdict, e.g. ``3 claims: 1 supported, 2 undecided``."""
    counts = Counter(verdicts)
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in get_args(Verdict) if counts[verdict])
    total = counts.total()
    return f"{total} claim{'s' * (total != 1)}: {words}"
