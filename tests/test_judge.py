"""Judging claims by planted scores: true, false, undecided and untestable ones; Holm; n needed; "reproduced"."""

from dataclasses import replace

import numpy as np
import pytest

from fer_cli.config import RunConfig, SequencesConfig
from fer_cli.judge import Case, Images, Side, count_verdicts, judge
from fer_cli.report.answer import describe_reproduced
from fer_cli.report.collect import Cell
from fer_cli.stats import NotTestable, find_power, holm, paired_difference, paired_spread
from fer_cli.study import Claim
from tests.fakes import fake_result
from tests.skills import NAMES, folds, published, t_test, worlds

OVERLAP = 0.25


def claim(**changes: object) -> Claim:
    given = {"text": "A > B", "arm": "A", "over": "B", "source": "Table 1"} | changes
    return Claim.model_validate({key: value for key, value in given.items() if value is not None})


def side(scores: list[float], arm: str = "A", **changes: object) -> Side:
    """Return an arm in as many folds as there are scores, all done."""
    seeds = list(range(len(scores)))
    given = {"tested": [f"fold {seed}" for seed in seeds], "overlap": OVERLAP} | changes
    return Side(arm, seeds, dict(enumerate(scores)), **given)  # type: ignore[arg-type]


GOOD, BASE = [0.90, 0.92, 0.91, 0.93, 0.90], [0.80, 0.81, 0.82, 0.81, 0.80]
NEAR = [0.81, 0.80, 0.84, 0.81, 0.82]


def test_planted_claims_get_their_verdicts() -> None:
    """One true, one false, one undecided, one underfitted: Holm over the three that can be tested."""
    cases = [
        Case(claim(), (), side(GOOD), side(BASE, "B")),
        Case(claim(text="false"), (), side(BASE), side(GOOD, "B")),
        Case(claim(text="open"), (), side(NEAR), side(BASE, "B")),
        Case(claim(text="doubtful"), (), side(GOOD), side(BASE, "B", doubt="underfitted in 2/5 runs")),
    ]
    true, false, still, doubtful = judge(cases)
    assert [one.verdict for one in (true, false, still, doubtful)] == [
        "supported",
        "contradicted",
        "undecided",
        "not testable",
    ]
    ps = [
        getattr(t_test(paired_spread(ours, theirs, OVERLAP)), "p", None)
        for ours, theirs in ((GOOD, BASE), (BASE, GOOD), (NEAR, BASE))
    ]
    assert [one.p for one in (true, false, still)] == ps
    assert [one.adjusted for one in (true, false, still)] == pytest.approx(holm(ps))
    wanted = paired_difference(GOOD, BASE, OVERLAP)
    assert (true.difference, true.low, true.high) == pytest.approx((wanted.mean, wanted.low, wanted.high))
    assert (true.test, true.n) == ("corrected resampled paired t-test", 5)
    assert doubtful.why == "B: underfitted in 2/5 runs"
    assert (doubtful.p, doubtful.low, doubtful.needed) == (None, None, None)
    assert doubtful.difference == pytest.approx(0.104)


def test_undecided_says_how_many_seeds_are_needed() -> None:
    """The smallest n whose power for our difference is .8, at .05 over the number of tests."""
    deltas = np.array([0.012, 0.001, 0.009, -0.004, 0.007])
    arms = {"tested": ["a", "b", "c", "d", "e"], "overlap": 0.02}
    case = Case(claim(), (), side(list(BASE + deltas), **arms), side(BASE, "B", **arms))
    filler = Case(claim(text="two"), (), side(NEAR), side(BASE, "B"))
    found = judge([case, filler])[0]
    assert found.verdict == "undecided"
    assert found.needed is not None
    assert found.n < found.needed
    assert f"n = {found.needed} seeds needed" in found.why
    square = float(np.var(deltas, ddof=1))
    for n, enough in ((found.needed, True), (found.needed - 1, False)):
        power = find_power(float(np.mean(deltas)), square * (1 / n + 0.02), n - 1, 0.025)
        assert (power >= 0.8) == enough
    assert found.detectable is not None
    assert found.detectable > found.difference  # type: ignore[operator]


def test_more_folds_do_not_always_suffice() -> None:
    (found,) = judge([Case(claim(), (), side([0.81, 0.78, 0.83, 0.80, 0.80]), side(BASE, "B"))])
    assert found.verdict == "undecided"
    assert found.needed is None
    assert found.why.startswith("more seeds do not suffice")


def test_holm_can_undo_a_verdict_and_says_so() -> None:
    weak = Case(claim(), (), side([0.84, 0.88, 0.86, 0.83, 0.88]), side(BASE, "B"))
    (alone,) = judge([weak])
    many = judge([weak, *(Case(claim(text=str(i)), (), side(NEAR), side(BASE, "B")) for i in range(6))])
    assert (alone.verdict, many[0].verdict) == ("supported", "undecided")
    assert many[0].why.endswith("significant alone, not after Holm's correction")


def test_margins_and_levels() -> None:
    arms = (side(GOOD), side(BASE, "B"))
    verdicts = [judge([Case(claim(margin=margin), (), *arms)])[0].verdict for margin in (-0.02, 0.05, 0.1, 0.15)]
    assert verdicts == ["supported", "supported", "undecided", "contradicted"]
    levels = [judge([Case(claim(over=None, at_least=at), (), side(GOOD))])[0] for at in (0.85, 0.91, 0.97)]
    assert [one.verdict for one in levels] == ["supported", "undecided", "contradicted"]
    assert levels[0].difference == pytest.approx(0.062)
    assert levels[0].low is not None
    assert levels[0].low > 0


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ([0.9], [0.8], "n = 1: a t-test needs at least 3 differences"),
        ([0.9, 0.91], [0.8, 0.8], "n = 2: a t-test needs at least 3 differences"),
        ([0.9, 0.91, 0.92], [0.8, 0.81, 0.82], "all 3 differences are equal, so how much they vary is unknown"),
    ],
)
def test_too_little_has_words(ours: list[float], theirs: list[float], why: str) -> None:
    (found,) = judge([Case(claim(), (), side(ours), side(theirs, "B"))])
    assert (found.verdict, found.why, found.p) == ("not testable", why, None)


def test_missing_seeds_have_words() -> None:
    part = Side("A", [0, 1, 2], {0: 0.9}, ["fold 0"], OVERLAP)
    assert judge([Case(claim(), (), part, side(BASE, "B"))])[0].why == "A: 1 of 3 seeds are done"
    none = Side("B", [0, 1, 2], {}, [], OVERLAP)
    found = judge([Case(claim(), (), side([0.9, 0.8, 0.7]), none)])[0]
    assert (found.why, found.n, found.difference) == ("B: 0 of 3 seeds are done", 0, None)


def test_a_difference_needs_the_same_seeds_on_both_sides() -> None:
    """Two seeds of five against all five would show what the other three are like."""
    part = Side("A", [0, 1, 2, 3, 4], {0: 0.90, 1: 0.92}, ["fold 0", "fold 1"], OVERLAP)
    whole = side([0.90, 0.92, 0.6, 0.6, 0.6], "B")
    for ours, theirs in ((part, whole), (whole, part), (part, None), (side(GOOD[:3]), whole)):
        over = {} if theirs else {"over": None, "at_least": 0.5}
        (found,) = judge([Case(claim(**over), (), ours, theirs)])
        assert (found.verdict, found.difference) == ("not testable", None)


def test_other_splits_are_not_paired() -> None:
    other = side(BASE, "B", tested=[f"draw {seed}" for seed in range(5)])
    assert judge([Case(claim(), (), side(GOOD), other)])[0].test == "corrected resampled Welch's t-test"


def on_one_part(right: np.ndarray, arm: str, people: bool = True) -> Side:
    images = Images(right.astype(float), tuple(map(str, range(right.shape[1]))), tuple(NAMES) if people else None)
    return side(list(right.mean(1)), arm, tested=["test"] * len(right), overlap=0.0, images=lambda: images)


def test_one_test_part_counts_images_too() -> None:
    """Three seeds that hardly vary: significant over seeds alone, not over 20 people of whom two differ."""
    right = np.tile(np.arange(400) % 20 < 15, (3, 1))
    better = right.copy()
    better[:, :40] = True
    better[0, 399] = True
    ours, theirs = on_one_part(better, "A"), on_one_part(right, "B")
    assert getattr(t_test(paired_spread(ours.values, theirs.values)), "p", 1.0) < 0.01
    (found,) = judge([Case(claim(), (), ours, theirs)])
    assert (found.verdict, found.test) == ("undecided", "t-test over seeds and people")
    assert found.why.startswith("more seeds do not suffice")
    (single,) = judge([Case(claim(), (), on_one_part(better, "A", False), on_one_part(right, "B", False))])
    assert (single.verdict, single.test) == ("supported", "t-test over seeds and images")


def test_one_test_part_needs_predictions_of_the_same_images() -> None:
    right = np.ones((3, 40))
    elsewhere = on_one_part(right, "B", False)
    moved = Side("B", [0, 1, 2], elsewhere.scores, ["other"] * 3, images=elsewhere.images)
    assert "tested on different images" in judge([Case(claim(), (), on_one_part(right, "A", False), moved)])[0].why
    bare = Side("B", [0, 1, 2], elsewhere.scores, ["test"] * 3)
    assert "predictions by image are missing" in judge([Case(claim(), (), bare, bare)])[0].why
    failing = Side("B", [0, 1, 2], elsewhere.scores, ["test"] * 3, images=lambda: NotTestable("seeds differ"))
    assert judge([Case(claim(), (), failing, failing)])[0].why == "seeds differ"


@pytest.mark.parametrize("simulation", ["interaction", "emotions"])
def test_simulated_samples_are_no_part_that_seeds_share(simulation: str) -> None:
    """Names and truth of simulated samples may be alike in all seeds: their hash is, they are not."""
    config = RunConfig(sequences=SequencesConfig(simulation=simulation))  # type: ignore[arg-type]
    made = {seed: fake_result(config=config, data={"test_hash": "t", "test": 2}) for seed in range(3)}
    cell = Cell("A", (), [0, 1, 2], made)
    assert cell.overlap == (0.0 if simulation == "interaction" else 1 / 4), "simulated steps are no share of the images"
    assert cell.simulated and cell.side("accuracy", "test_hash").simulated
    right = np.tile(np.arange(40) % 4 < 3, (3, 1))
    right[1:, :3] = False
    sides = [replace(on_one_part(rows, arm), simulated=True) for rows, arm in ((right, "A"), (right[::-1], "B"))]
    assert not replace(cell, results={0: made[0]}).one_part and not sides[0].one_part
    (found,) = judge([Case(claim(), (), *sides)])
    assert found.test == "paired t-test"


def test_reproduced_is_computed() -> None:
    """The paper's difference in our interval; or its score, if it has one arm; else the direction alone."""
    arms = (side(GOOD), side(BASE, "B"))
    words = [
        judge([Case(claim(), (), *arms, printed=printed, printed_both=both)])[0].reproduced
        for printed, both in (((0.11,), True), ((0.3,), True), ((0.91,), False), ((0.99,), False), ((), False))
    ]
    assert words == ["reproduced", "direction only", "reproduced", "direction only", "direction only"]
    assert judge([Case(claim(), (), *reversed(arms), printed=(0.1,), printed_both=True)])[0].reproduced == "not reproduced"
    assert judge([Case(claim(), (), side(NEAR), arms[1], printed=(0.006,), printed_both=True)])[0].reproduced == "open"


@pytest.mark.parametrize(
    ("changes", "above", "below"),
    [
        ({}, "Only the paper's direction is confirmed: it has", "The result has the opposite direction."),
        ({"margin": 0.05}, "Only the paper's direction is confirmed: it has", "The difference is smaller than claimed."),
        ({"over": None, "at_least": 0.86}, "The paper has", "The score is below the claimed one."),
    ],
)
def test_words_on_the_paper_fit_the_claim(changes: dict[str, object], above: str, below: str) -> None:
    made = claim(**changes)
    for ours, theirs, words in ((GOOD, BASE, f"{above} no value for this data set in our interval."), (BASE, GOOD, below)):
        found = judge([Case(made, (), side(ours), side(theirs, "B") if made.over else None)])
        assert describe_reproduced(found) == words


@pytest.mark.slow
def test_equal_arms_give_a_false_verdict_in_few_studies() -> None:
    """Three claims a study on equal arms in five folds: any is supported or contradicted in at most 6.5 % of 2,000."""
    tables = [folds(worlds(2000, 200 + row), 5, 5) for row in range(3)]
    wrong = 0
    for study in range(2000):
        cases = [
            Case(claim(text=str(row)), (), side(list(table[study, 0])), side(list(table[study, 1]), "B"))
            for row, table in enumerate(tables)
        ]
        wrong += any(one.verdict in {"supported", "contradicted"} for one in judge(cases))
    assert wrong / 2000 <= 0.065


@pytest.mark.slow
def test_equal_arms_on_one_part_give_a_false_verdict_in_few_studies() -> None:
    right = published(worlds(2000, 300), 3)
    found = [
        judge([Case(claim(), (), on_one_part(right[study, 0], "A"), on_one_part(right[study, 1], "B"))])[0].verdict
        for study in range(2000)
    ]
    assert np.mean([verdict in {"supported", "contradicted"} for verdict in found]) <= 0.065


def test_counts_of_verdicts_name_those_that_occur() -> None:
    assert count_verdicts(["undecided", "supported", "undecided"]) == "3 claims: 1 supported, 2 undecided"
    assert count_verdicts(["not testable"]) == "1 claim: 1 not testable"
