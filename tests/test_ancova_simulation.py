"""The simulation of the teacher study: its file, recovery of planted effects, and the audit of the printed rows."""

from pathlib import Path

import numpy as np
import pytest

from fer_cli.errors import StudyError
from fer_cli.interaction.ancova import analyse
from fer_cli.interaction.columns import Sample
from fer_cli.interaction.planted import Simulation, draw_data, load_simulation, recover, simulate
from fer_cli.interaction.printed import (
    Printed,
    audit,
    best_fit,
    bound_of,
    common_error,
    count_fitting,
    decimals_of,
    equal_f,
    overlaps,
)
from fer_cli.places import shipped_folder
from fer_cli.report.simulation import as_printed, simulation_report
from fer_cli.study import SIMULATIONS, is_simulation, load_study, study_names

MEANS = {0.0: 0.0106, 0.01: 0.0207, 0.02: 0.0300, 0.03: 0.0388, 0.07: 0.0783, 0.09: 0.1016, 0.68: 0.6897}
"""Planted partial eta squared -> mean of its estimates over 1,000 data sets of 100 people."""
SHIPPED = [path for path in shipped_folder("experiments").glob("*.yaml") if is_simulation(path)]


@pytest.fixture(scope="module")
def plan() -> Simulation:
    return load_simulation("ancova")


@pytest.fixture(scope="module")
def drawn(plan: Simulation) -> dict[str, np.ndarray]:
    return simulate(plan)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_simulation_loads_and_runs_small(path: Path) -> None:
    loaded = load_simulation(str(path))
    assert loaded.simulation in SIMULATIONS
    small = loaded.model_copy(update={"datasets": 3})
    report = simulation_report(small, recover(small, simulate(small)))
    assert report.title.startswith("SIMULATION")
    assert all("SIMULATION" in table.title for table in report.tables[: len(loaded.outcomes)])


def test_simulations_are_no_studies() -> None:
    assert "ancova" in {path.stem for path in SHIPPED}
    assert "ancova" not in study_names()
    with pytest.raises(StudyError, match="a simulation, not a study; run it by: fer analyze ancova --study ancova"):
        load_study("ancova")


def test_planted_effects_are_recovered_with_their_bias(plan: Simulation, drawn: dict[str, np.ndarray]) -> None:
    rows = recover(plan, drawn)
    assert len(rows) == 20 and plan.df_error == 95 and drawn["eta2"].shape == (1000, 5, 4)
    for row in rows:
        spread = drawn["eta2"][:, list(plan.outcomes).index(row.outcome), plan.terms.index(row.term)].std() / np.sqrt(1000)
        assert abs(row.eta2 - row.expected) < 4 * spread, row
        assert row.omega2 == pytest.approx(row.planted, abs=0.007), "corrected for the bias"
        assert row.found == pytest.approx(row.power, abs=4 * np.sqrt(0.25 / 1000)), row
        if row.planted in MEANS:
            assert row.eta2 == pytest.approx(MEANS[row.planted], abs=0.005), row
        assert row.low <= row.eta2 <= row.high


def test_false_alarms_are_five_percent(plan: Simulation) -> None:
    none = {term: Printed(df=1, ms=1.0, f=1.0, p=0.3, eta2="<0.001") for term in plan.terms}
    nothing = plan.model_copy(update={"outcomes": {"nothing": none}, "datasets": 10_000})
    values = simulate(nothing)
    for row in recover(nothing, values):
        assert row.planted == 0
        assert row.found == pytest.approx(0.05, abs=0.01), "0.01: four and a half standard errors"
        assert row.eta2 == pytest.approx(1 / 96, abs=0.001)
    first = values["p"][:1000] < 0.05
    assert first.mean() == pytest.approx(0.05, abs=0.015), "of 1,000 data sets, over all effects: one alone varies by .007"
    assert values["eta2"][:1000].mean() == pytest.approx(0.0106, abs=0.005)


def test_a_data_set_does_not_depend_on_how_many_are_drawn(plan: Simulation) -> None:
    whole, one = draw_data(plan, 0, 3), draw_data(plan, 2, 1)
    assert all(np.array_equal(many[2], single[0]) for many, single in zip(whole, one, strict=True))
    other = draw_data(plan.model_copy(update={"seed": 1}), 2, 1)
    assert not np.array_equal(other[1], one[1])


def test_many_data_sets_at_once_equal_analyses_one_by_one(plan: Simulation, drawn: dict[str, np.ndarray]) -> None:
    designs, outcomes = draw_data(plan, 0, 3)
    levels = {name: (pair[1], pair[0]) for name, pair in plan.factors.items()}
    for number in range(3):
        for place, outcome in enumerate(plan.outcomes):
            covariates = {plan.covariate: designs[number, :, 1]}
            sample = Sample("drawn", outcome, outcomes[number, :, place], levels, plan.codes, covariates, {})
            found = analyse(sample)
            assert [term.name for term in found.terms] == plan.terms
            for key in ("eta2", "omega2", "p"):
                ours = [getattr(term, key) for term in found.terms]
                assert drawn[key][number, place] == pytest.approx(ours, rel=1e-9, abs=1e-9)


def test_high_expression_raises_an_outcome(plan: Simulation) -> None:
    from fer_cli.interaction.columns import choose_sample, parse_columns
    from fer_cli.interaction.planted import example_table
    from fer_cli.report.ancova import csv_text

    table = example_table(plan)
    text = csv_text([dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)])
    found = analyse(choose_sample(parse_columns(text, "x"), "classroom performance", ["face", "body"], ["pretest"]))
    high, low = (mean.adjusted for mean in found.marginal[:2])
    assert found.marginal[0].levels == {"face": "high"} and high - low == pytest.approx(2 * 1.457738, abs=0.5)
    assert {mean.n for mean in found.cells} == {25}


def test_the_printed_rows_do_not_agree_with_themselves(plan: Simulation) -> None:
    findings = audit(plan.outcomes, 95)
    assert (len(findings), count_fitting(plan.outcomes, 95)) == (20, {"p": 3, "eta2": 17})
    assert best_fit(plan.outcomes, "p") == (5, [47, 48, 49])
    assert best_fit(plan.outcomes, "eta2") == (17, [95]), "hence N = 100"
    assert [common_error(findings, outcome) for outcome in plan.outcomes] == [None] * 5
    wrong = [(one.outcome, one.term) for one in findings if not one.eta_fits]
    pair = "face × body"
    assert wrong == [("classroom performance", pair), ("positive emotion", pair), ("learning motivation", pair)]
    (one, other), *more = equal_f(findings)
    assert not more and (one.printed.f, one.printed.p, other.printed.p) == (0.18, 0.678, 0.638)
    by_f = {one.printed.f: one for one in findings}
    assert by_f[9.36].p[1] == pytest.approx(0.0029, abs=6e-5)
    assert by_f[0.01].p == pytest.approx((0.9027, 0.9438), abs=1e-4)
    assert by_f[1.48].p == pytest.approx((0.226, 0.228), abs=5e-4)
    assert by_f[205.69].ms_error[0] == pytest.approx(1.581, abs=5e-4)
    report = simulation_report(plan, [])
    text = "\n".join(note for table in report.tables for note in table.notes)
    assert "3 of 20 rows at error df 95; at best in 5 (df 47 to 49)" in text
    assert "F = 0.18 of learning motivation has p .678 (pretest) and .638 (face × body)" in text
    assert (
        "5 of 5 outcomes have none" in text
        and "does not follow from F in 3 of 20 rows; at best it does in 17 (df 95)" in text
    )


def test_rows_that_agree_are_found_to_agree() -> None:
    """F = 4 at 95 degrees of freedom: p = .0484, partial eta squared = .0404."""
    rows = {"out": {"a": Printed(ms=8.0, f=4.0, p=0.048, eta2=0.04), "b": Printed(ms=2.0, f=1.0, p=0.32, eta2=0.01)}}
    findings = audit(rows, 95)
    assert all(one.p_fits and one.eta_fits for one in findings)
    low, high = common_error(findings, "out") or (0, 0)
    assert low < 2 < high
    assert equal_f(findings) == []


def test_rounding_of_printed_numbers() -> None:
    assert [decimals_of(value) for value in (0.18, 0.001, 3.0, 205.69)] == [2, 3, 0, 2]
    assert [bound_of(value) for value in ("<0.001", "< .001", "0.001", 0.3)] == [0.001, 0.001, None, 0.3]
    row = Printed(ms=0.01, f=0.001, p="<0.001", eta2=0.002)
    assert row.interval("f") == pytest.approx((0.0005, 0.0015))
    assert row.interval("p") == (0.0, 0.001)
    assert row.interval("eta2") == pytest.approx((0.0015, 0.0025))
    assert overlaps((0, 1), (1, 2)) and not overlaps((0, 1), (1.1, 2))
    assert [as_printed(0.0, 3), as_printed(0.04, 2), as_printed("<0.001", 3)] == [".000", ".04", "< .001"]


MISTAKES = [
    ("n: 100", "N: 100", ["N: unknown key", "known: covariate, datasets"]),
    ("sigma: 1.0", "sigmas: 1.0", ["sigmas: unknown key", "did you mean sigma"]),
    ("n: 100", "n: 101", ["n: 101 people cannot be dealt equally to 4 cells"]),
    ("n: 100", "n: 4", ["n: ", "greater than or equal to 8"]),
    ("    face: {df: 1, ms: 325.26", "    fac: {df: 1, ms: 325.26", ["no effect 'fac'", "did you mean face"]),
    ("    face: {df: 1, ms: 325.26", "    face: {df: 2, ms: 325.26", ["df: factors of two levels have 1"]),
    ("eta2: 0.68", "eta2: 1.0", ["eta2", "below 1"]),
    ('eta2: "<0.001"', 'eta2: "tiny"', ["eta2", "a bound such as"]),
    ("simulation: ancova", "simulation: ancov", ["simulation", "'ancova'"]),
    ("covariate: pretest", "covariate: face", ["a name is given twice"]),
    ("face: [low, high]", "face: [low]", ["factors.face", "at least 2"]),
    ("name: ancova", "name: other", ["must equal the file's name, 'ancova'"]),
    ("p: 0.423", "q: 0.423", ["q: unknown key"]),
    ("sigma: 1.0", "sigma: [1.0", ["not valid YAML"]),
]


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES)
def test_mistakes_in_the_file_are_one_line(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    text = SHIPPED[[path.stem for path in SHIPPED].index("ancova")].read_text()
    assert old in text
    path = tmp_path / "ancova.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError) as error:
        load_simulation(str(path))
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_an_outcome_needs_every_effect_and_a_simulation_its_file(tmp_path: Path) -> None:
    text = SHIPPED[[path.stem for path in SHIPPED].index("ancova")].read_text()
    lines = [line for line in text.splitlines() if "325.26" not in line]
    path = tmp_path / "ancova.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(StudyError, match="classroom performance: no row for 'face'"):
        load_simulation(str(path))
    for name, words in (("ancva", "did you mean ancova"), ("scn-cs", "studies are run by fer ablate")):
        with pytest.raises(StudyError, match=words):
            load_simulation(name)
