"""Claims about other than scores: costs, which are counted outside Holm's correction, and measures, which are tested."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fer_cli.analysis.embedding import measure_separation
from fer_cli.analysis.outcome import cache_result
from fer_cli.config import Compute
from fer_cli.config.analyses import ANALYSES, MEASURES
from fer_cli.judge import COUNTED, Case, Judgement, Side, judge
from fer_cli.plan import Item, make_plan
from fer_cli.report.answer import answer, claims_table, difference_text, judge_plan
from fer_cli.report.collect import collect
from fer_cli.report.doubts import find_doubts
from fer_cli.report.render import RENDERERS, Report
from fer_cli.report.sides import Scales
from fer_cli.stats import NotTestable, paired_difference
from fer_cli.study import Choice, Claim
from tests.conftest import STUDY
from tests.reports import fake_results

SCORES = [0.9, 0.92, 0.91]


def claim(**changes: object) -> Claim:
    given = {"text": "A needs less", "arm": "A", "over": "B", "cost": "parameters", "source": "Table 1"} | changes
    return Claim.model_validate({key: value for key, value in given.items() if value is not None})


def side(arm: str, *costs: int | None, **changes: object) -> Side:
    """Return an arm in three folds, of which as many are done as there are costs."""
    done = dict(list(enumerate(SCORES))[: len(costs)])
    return Side(arm, [0, 1, 2], done, tested=[f"fold {seed}" for seed in done], costs=costs, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "theirs", "margin", "verdict", "share"),
    [
        (25, 100, 0.0, "supported", -0.75),
        (25, 100, 0.75, "contradicted", -0.75),  # by more than 75 %, not by as much
        (100, 100, 0.0, "contradicted", 0.0),
        (100, 100, -0.001, "supported", 0.0),
        (103, 100, -0.05, "supported", 0.03),
        (106, 100, -0.05, "contradicted", 0.06),
        (103, 100, -0.03, "supported", 0.03),  # at most 3 % more
        (104, 100, -0.03, "contradicted", 0.04),
    ],
)
def test_a_cost_is_compared_as_a_share_of_the_others(
    ours: int, theirs: int, margin: float, verdict: str, share: float
) -> None:
    (found,) = judge([Case(claim(margin=margin), (), side("A", *[ours] * 3), side("B", *[theirs] * 3))])
    assert (found.verdict, found.test, found.p, found.adjusted) == (verdict, COUNTED, None, None)
    assert found.difference == pytest.approx(share) and found.why == f"{ours} against {theirs}"
    assert found.reproduced == ("direction only" if verdict == "supported" else "not reproduced")


def test_costs_are_known_before_all_seeds_are_done_and_whatever_was_learned() -> None:
    doubted = side("A", 2, doubt="underfitted in 1/1 runs")
    (found,) = judge([Case(claim(), (), doubted, side("B", 4, 4))])
    assert (found.verdict, found.n, found.difference) == ("supported", 1, -0.5)


@pytest.mark.parametrize(
    ("ours", "why"),
    [
        ((), "A: no seed is done, or its cost is unknown"),
        ((None,), "A: no seed is done, or its cost is unknown"),
        ((2, 3), "A: seeds have different costs"),
        ((0,), "an arm without any cost has no share"),
    ],
)
def test_unknown_costs_are_not_testable(ours: tuple[int | None, ...], why: str) -> None:
    (found,) = judge([Case(claim(), (), side("A", *ours), side("B", 4))])
    assert (found.verdict, found.why, found.difference) == ("not testable", why, None)


def test_costs_do_not_weaken_the_tests_of_scores() -> None:
    worse = Side("B", [0, 1, 2], {0: 0.8, 1: 0.81, 2: 0.8}, side("B", 1, 1, 1).tested)
    tested = Case(claim(cost=None), (), side("A", 1, 1, 1), worse)
    alone = judge([tested])
    among = judge([Case(claim(), (), side("A", 1), side("B", 2)), tested, Case(claim(), (), side("A", 3), side("B", 2))])
    assert [one.verdict for one in among] == ["supported", alone[0].verdict, "contradicted"]
    assert among[1] == alone[0] and alone[0].adjusted == alone[0].p


CLAIMS = """
claims:
  - {text: small, arm: SCN-CS, over: CNN, cost: multiply_adds, at: {data.label_noise: 0.0}, source: Table 9}
"""


def test_a_report_says_what_is_saved(tmp_path: Path, compute: Compute) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY + CLAIMS + "paper: {cite: fan-2025}\n")
    plan = make_plan(str(path), Choice(), compute)
    fake_results(plan, {(arm, noise): [0.7, 0.72, 0.71] for arm in ("CNN", "SCN-CS") for noise in (0.0, 0.3)})
    for item in plan.items:
        result = item.folder.result()
        cost = result.cost.model_copy(update={"multiply_adds": 3000 if item.run.arm == "CNN" else 1500, "parameters": 7})
        item.folder.file("result.json").write_text(result.model_copy(update={"cost": cost}).model_dump_json())
    cells = collect(plan)
    scales = Scales(plan, find_doubts(plan, cells), compute)
    (found,) = judge_plan(cells, scales)
    assert difference_text(found) == "−50.00 % multiply-adds"
    said = answer([found], [], cells, scales)
    assert said.startswith("The claim “small” is supported: −50.00 % multiply-adds, 1,500 against 3,000.")
    text = RENDERERS["md"](Report("t", claims_table([found])))
    assert "| small | supported | −50.00 % multiply-adds | 3 | – | direction only | 1,500 against 3,000 |" in text
    assert "costs are counted, the same for every seed, and not tested" in text and "Holm's" not in text


MEASURED = """
claims:
  - {text: compact, arm: SCN-CS, over: CNN, measure: distance_ratio, at: {data.label_noise: 0.0}, source: ours}
"""


def keep_measure(item: Item, values: dict[str, float | None]) -> None:
    """Leave what the analysis of embeddings keeps of a run."""
    cache_result(item, "embedding", 1, {"part": "test"}, lambda: values)


def test_a_measure_of_an_analysis_is_tested_as_scores_are(tmp_path: Path, compute: Compute) -> None:
    """Lower ratios are better, and the difference is printed as that of the ratios."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY + MEASURED)
    plan = make_plan(str(path), Choice(), compute)
    fake_results(plan, {(arm, noise): [0.7, 0.72, 0.71] for arm in ("CNN", "SCN-CS") for noise in (0.0, 0.3)})
    ratios = {"CNN": [0.40, 0.42, 0.41], "SCN-CS": [0.30, 0.33, 0.305]}

    def judged() -> tuple[Judgement, str]:
        cells = collect(plan)
        scales = Scales(plan, find_doubts(plan, cells), compute)
        (found,) = judge_plan(cells, scales)
        return found, answer([found], [], cells, scales)

    missing, said = judged()
    assert missing.verdict == "not testable" and missing.difference is None
    assert "SCN-CS: no distance within classes / between their centres of seed 0; fer report --figures measures it" in said
    for item in plan.items:
        keep_measure(item, {"distance_ratio": ratios[item.run.arm][item.run.seed], "silhouette": None})
    found, said = judged()
    overlap = 50 / 100  # of a fold's test part to what it is trained on, as fake results have it
    wanted = paired_difference(ratios["SCN-CS"], ratios["CNN"], overlap)
    assert not isinstance(wanted, NotTestable)
    assert (found.verdict, found.n) == ("supported", 3)
    assert -found.difference == pytest.approx(wanted.mean)  # type: ignore[operator]
    text = f"{wanted.mean:+.3f} [{wanted.low:+.3f}, {wanted.high:+.3f}] in distance within classes / between their centres"
    text = text.replace("-", "−")
    assert difference_text(found) == text and f"is supported: {text}, p = " in said
    (table,) = claims_table([found])
    assert table.columns[1] == "difference in points unless said [95 % interval]"
    keep_measure(plan.items[0], {"distance_ratio": None, "silhouette": None})
    first = plan.items[0]
    first.folder.file("analysis-embedding.json").write_text("{}")
    assert judged()[0].verdict == "not testable"


def test_measures_are_those_that_the_analysis_keeps() -> None:
    kept = {name: one for name, one in MEASURES.items() if one.analysis is not None}
    assert {one.analysis for one in kept.values()} <= set(ANALYSES)
    separated = SimpleNamespace(item=None, values=(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]), ["a", "b"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fer_cli.analysis.embedding.cache_result", lambda *given: given[-1]())
        assert set(measure_separation(separated)) == set(kept)  # type: ignore[arg-type]
