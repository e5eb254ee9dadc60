"""Incentive factors, fading, the target region and the gate: all closed-form values, and bad input."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.config.emotion import PSI, Region
from fer_cli.errors import FerError
from fer_cli.interaction.ecem import (
    advise,
    entropy,
    follow,
    format_minutes,
    recover,
    search_factors,
    stationary,
    time_to_region,
    trace_frame,
    valence,
)
from fer_cli.interaction.incentives import (
    FACTORS,
    SUBSETS,
    fade,
    incentive_transition,
    moved_share,
    subset_factors,
    subset_name,
)
from fer_cli.interaction.states import octants, of_classes

SPACE = octants()
REGION = Region()
UNIFORM = np.full(8, 1 / 8)
FLAT = np.full((8, 8), 1 / 8)
BY_COUNT = incentive_transition(SPACE, np.tri(5, 4, -1))  # with the first 0, 1, .. 4 factors
AGAINST = incentive_transition(SPACE, -np.tri(5, 4, -1))
SETS = incentive_transition(SPACE, subset_factors())


def one_hot(name: str) -> np.ndarray:
    return np.eye(8)[SPACE.index(name)]


def test_factors_move_mass_to_positive_states() -> None:
    flat = incentive_transition(SPACE, np.tri(5, 4, -1), transition=FLAT)
    assert flat[:, 0, 0] == pytest.approx([0.125, 0.155615, 0.182765, 0.204394, 0.220199], abs=5e-7)
    row = BY_COUNT[:, SPACE.index("depression"), :4].sum(axis=1)
    assert row == pytest.approx([0.3, 0.414038, 0.538102, 0.657619, 0.760004], abs=5e-7)
    assert BY_COUNT[0] == pytest.approx(SPACE.transition, abs=1e-15)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.integers(0, 3))
def test_each_factor_raises_the_mass_of_positive_states(values: list[float], place: int) -> None:
    lower, higher = np.array(values), np.array(values)
    lower[place], higher[place] = -0.5, 0.5
    low, high = incentive_transition(SPACE, np.stack([lower, higher]))
    assert np.abs(low.sum(axis=1) - 1).max() < 1e-12
    assert (high[:, :4].sum(axis=1) > low[:, :4].sum(axis=1)).all()


def test_efficacy_depends_on_the_state_that_is_left() -> None:
    efficacy = np.ones((4, 8))
    assert incentive_transition(SPACE, np.ones(4), efficacy=efficacy) == pytest.approx(BY_COUNT[4], abs=1e-15)
    efficacy[2, SPACE.index("depression")] = 4.0  # fun helps the depressed most
    chosen = incentive_transition(SPACE, subset_factors(), efficacy=efficacy)
    advice = search_factors(np.stack([one_hot("depression"), one_hot("calmness")]), chosen, SPACE, REGION)
    assert advice.labels().tolist() == ["reduce-difficulty+raise-fun", "all 4 factors"]
    assert not advice.tied[0]


def test_states_without_sign_are_not_driven() -> None:
    space = of_classes(("happy", "neutral", "sad"))
    driven = incentive_transition(space, np.ones(4))[1]
    raw = space.transition[1] * np.exp([1, 0, -1])
    assert driven == pytest.approx(raw / raw.sum(), abs=1e-15)


def relax(start: np.ndarray | float, end: np.ndarray | float, psi: float, minutes: float) -> np.ndarray:
    """Return E(t) = E + (E0 - E) exp(-psi t), the solution of Eq 12."""
    return np.asarray(end + np.subtract(start, end) * np.exp(-psi * minutes))


def test_fading_in_closed_form() -> None:
    value = 0.0
    for _ in range(1000):  # Euler
        value += 1e-3 * 0.5 * (1 - value)
    assert value == pytest.approx(moved_share(0.5, 1.0), abs=1e-3)
    assert [moved_share(0.5, minutes) for minutes in (1, 2, 4)] == pytest.approx([0.393469, 0.632121, 0.864665], abs=5e-7)
    assert pytest.approx(0.213981, abs=5e-7) == PSI
    assert moved_share(PSI, 14) == pytest.approx(0.95, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.01, 3), st.floats(0.01, 60))
def test_fading_is_a_lazy_chain(seed: int, psi: float, minutes: float) -> None:
    gamma = np.random.default_rng(seed).dirichlet(np.ones(8))
    target = gamma @ BY_COUNT[3]
    closed = relax(gamma, target, psi, minutes)
    assert np.abs(gamma @ fade(BY_COUNT[3], psi, minutes) - closed).max() < 1e-12


def test_one_minute_of_fading() -> None:
    moved = UNIFORM @ fade(BY_COUNT[3], PSI, 1.0)
    assert valence(moved, SPACE) == pytest.approx(0.099161, abs=5e-7)
    assert entropy(moved) == pytest.approx(2.073394, abs=5e-7)


def test_region_and_gate() -> None:
    assert valence(UNIFORM, SPACE) == pytest.approx(0.025, abs=1e-12)
    assert valence(one_hot("happiness"), SPACE) == 1
    boundary = one_hot("relaxation")  # TEA = .4
    below = np.array([0, 0, 0, 0.999, 0.001, 0, 0, 0])
    advice = advise(np.stack([boundary, below, one_hot("excitement"), one_hot("happiness")]), SETS, SPACE, REGION)
    assert advice.labels().tolist() == ["none", "any 2 factors", "none", "none"]
    assert advice.in_region.tolist() == [True, False, True, False]
    assert advice.count.tolist() == [0, 2, 0, 0]
    assert np.isnan(advice.predicted[[0, 2, 3]]).all()
    assert advice.horizon.tolist() == [0, 1, 0, 0]


def test_gate_on_a_chain_without_memory() -> None:
    chains = incentive_transition(SPACE, subset_factors(), transition=FLAT)
    advice = advise(UNIFORM, chains, SPACE, REGION)
    assert advice.count == 3
    assert advice.labels() == "any 3 factors"
    by_count = UNIFORM @ incentive_transition(SPACE, np.tri(5, 4, -1), transition=FLAT)
    assert valence(by_count, SPACE)[1:] == pytest.approx([0.190320, 0.336929, 0.453726, 0.539076], abs=5e-7)
    wanted = [2.079442, 2.049142, 1.968497, 1.861346, 1.751628]
    assert entropy(by_count) == pytest.approx(wanted, abs=5e-7)
    assert float(entropy(UNIFORM)) == pytest.approx(math.log(8))


def test_gate_on_the_default_chain() -> None:
    predicted = valence(UNIFORM @ BY_COUNT, SPACE)
    assert predicted == pytest.approx([0.025, 0.165215, 0.296290, 0.409978, 0.500999], abs=5e-7)
    assert advise(UNIFORM, SETS, SPACE, REGION).count == 3
    assert valence(one_hot("excitement") @ BY_COUNT[:3], SPACE) == pytest.approx([0.265, 0.387463, 0.479122], abs=5e-7)


@pytest.mark.parametrize(
    ("state", "count", "tea"),
    [
        ("excitement", 2, 0.479122),
        ("joy", 1, 0.455493),
        ("happiness", 1, 0.523524),
        ("relaxation", 2, 0.405082),
        ("calmness", 4, 0.422290),
    ],
)
def test_search_from_one_state(state: str, count: int, tea: float) -> None:
    advice = search_factors(one_hot(state), SETS, SPACE, REGION)
    assert (int(advice.count), int(advice.horizon), bool(advice.unmet)) == (count, 1, False)
    assert float(advice.predicted) == pytest.approx(tea, abs=5e-7)


@pytest.mark.parametrize(
    ("state", "now", "later"),
    [("depression", 0.381148, 0.566525), ("tension", 0.360577, 0.564409), ("anger", 0.340006, 0.562293)],
)
def test_unmet_cases_look_ahead(state: str, now: float, later: float) -> None:
    at_once = advise(one_hot(state), SETS, SPACE, Region(repetitions=0))
    assert bool(at_once.unmet)
    assert (int(at_once.count), int(at_once.horizon), str(at_once.labels())) == (4, 1, "all 4 factors")
    assert float(at_once.predicted) == pytest.approx(now, abs=5e-7)
    ahead = advise(one_hot(state), SETS, SPACE, REGION)
    assert (int(ahead.count), int(ahead.horizon), bool(ahead.unmet)) == (3, 2, False)
    two_steps = one_hot(state) @ BY_COUNT[4] @ BY_COUNT[4]
    assert float(valence(two_steps, SPACE)) == pytest.approx(later, abs=5e-7)


def test_what_no_factor_reaches_is_unmet_with_the_best_one() -> None:
    region = Region(optimum=0.95, phi=0.1)
    advice = advise(np.stack([UNIFORM, one_hot("anger")]), SETS, SPACE, region)
    assert advice.unmet.tolist() == [True, True]
    assert advice.count.tolist() == [4, 4]
    assert (advice.predicted < region.low).all()


def test_smallest_set_first_then_the_larger_valence() -> None:
    """With unequal weights sets of one size differ: the best of the smallest size that reaches, never a larger set."""
    chains = incentive_transition(SPACE, subset_factors(), weights=np.array([0.05, 0.15, 0.45, 0.35]))
    advice = advise(UNIFORM, chains, SPACE, REGION)
    assert advice.labels() == "raise-fun+raise-teaching-quality"
    values = valence(UNIFORM @ chains, SPACE)
    of_two = [value for subset, value in zip(SUBSETS, values, strict=True) if len(subset) == 2]
    assert float(advice.predicted) == max(of_two)
    assert max(values[1:5]) < REGION.low


MINUTES = {
    0.1: {
        "uniform": [None, 18.8, 8.2, 6.0],
        "depression": [None, 25.4, 13.2, 10.2],
        "anger": [None, 26.6, 14.6, 11.5],
        "happiness": [None, None, 17.2, 12.9],
    },
    1.0: {
        "uniform": [None, 20, 9, 7],
        "depression": [None, 27, 14, 11],
        "anger": [None, 28, 15, 12],
        "happiness": [None, None, 18, 14],
    },
}


@pytest.mark.parametrize("minutes", MINUTES)
@pytest.mark.parametrize("start", ["uniform", "depression", "anger", "happiness"])
def test_time_to_the_region(minutes: float, start: str) -> None:
    gamma = UNIFORM if start == "uniform" else one_hot(start)
    below = start == "happiness"
    chains = AGAINST if below else BY_COUNT
    level = -REGION.low if below else REGION.low
    found = [time_to_region(gamma, fade(chains[k], PSI, minutes), SPACE, level, minutes, below) for k in range(1, 5)]
    assert found == [None if value is None else pytest.approx(value, abs=1e-6) for value in MINUTES[minutes][start]]
    known = [math.inf if value is None else value for value in found]
    assert known == sorted(known, reverse=True), "more factors are never slower"
    assert format_minutes(found[0]) == "never"
    assert format_minutes(found[3]).endswith(" min")


@pytest.mark.parametrize("sign", [1, -1])
def test_recoveries_hold_curves_and_times(sign: int) -> None:
    start = one_hot("depression" if sign > 0 else "happiness")
    curves = recover(SPACE, start, REGION, sign)
    wanted = MINUTES[0.1]["depression" if sign > 0 else "happiness"]
    assert [curve.reached for curve in curves] == [None if value is None else pytest.approx(value) for value in wanted]
    for curve in curves:
        assert curve.time[[0, -1]].tolist() == pytest.approx([0, 30])
        assert curve.valence[0] == float(valence(start, SPACE))
        assert curve.entropy[0] == 0
        if curve.reached is not None:
            at = round(curve.reached / 0.1)
            assert sign * curve.valence[at] >= 0.4 - 1e-9 > sign * curve.valence[at - 1]
    if sign > 0:
        assert [curve.rest for curve in curves] == pytest.approx([0.251025, 0.427333, 0.541819, 0.609172], abs=5e-7)
    assert [curve.label for curve in curves][:2] == (
        ["1 factor", "2 factors"] if sign > 0 else ["1 disturbance", "2 disturbances"]
    )


def test_stationary_distributions() -> None:
    rest = np.stack([stationary(fade(BY_COUNT[k])) for k in range(5)])
    assert valence(rest, SPACE) == pytest.approx([0.025, 0.251025, 0.427333, 0.541819, 0.609172], abs=5e-7)
    assert entropy(rest) == pytest.approx([2.079442, 2.022281, 1.889423, 1.747545, 1.632839], abs=5e-7)
    end = follow(one_hot("anger"), fade(BY_COUNT[4]), 400)[-1]
    assert end == pytest.approx(rest[4], abs=1e-9)


def test_trace_has_a_row_per_step_without_padding() -> None:
    gamma = np.stack([np.stack([UNIFORM, one_hot("anger"), one_hot("joy")])] * 2)
    advice = advise(gamma, SETS, SPACE, REGION)
    trace = trace_frame(gamma, np.array([3, 1]), advice, SPACE, minutes=0.5)
    assert isinstance(trace, pd.DataFrame)
    assert trace["sequence"].tolist() == [0, 0, 0, 1]
    assert trace["t_min"].tolist() == [0, 0.5, 1, 0]
    assert trace["factors"].tolist() == ["any 3 factors", "any 3 factors", "none", "any 3 factors"]
    assert trace["horizon"].tolist() == [1, 2, 0, 1]
    assert trace["in_region"].tolist() == [False, False, True, False]
    assert trace[[f"gamma/{name}" for name in SPACE.names]].sum(axis=1).tolist() == pytest.approx([1] * 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: incentive_transition(SPACE, np.array([0, 0, 0, 1.5])), "from -1 to 1"),
        (lambda: incentive_transition(SPACE, np.array([0, 0, 0, np.nan])), "from -1 to 1"),
        (lambda: incentive_transition(SPACE, np.zeros(3)), "shape"),
        (lambda: incentive_transition(SPACE, np.zeros(4), efficacy=-np.ones((4, 8))), ">= 0"),
        (lambda: incentive_transition(SPACE, np.zeros(4), weights=np.ones(3)), "weights"),
        (lambda: fade(FLAT, 0.0), "positive rate"),
        (lambda: fade(FLAT, PSI, math.nan), "positive rate"),
        (lambda: advise(np.ones(7) / 7, SETS, SPACE, REGION), "8 states"),
    ],
)
def test_bad_input_is_one_line(change: object, words: str) -> None:
    with pytest.raises(FerError, match=words) as caught:
        change()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_factors_have_four_names() -> None:
    assert len(FACTORS) == 4
    assert [len(subset) for subset in SUBSETS] == [0] + [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert subset_name(()) == "none"
