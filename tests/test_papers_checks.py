"""Every check of published tables: an error that it finds with its arithmetic, and the nearest print that is right."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer_cli.config import load
from fer_cli.papers.audit import CHECKS, count_verdicts, short_table
from fer_cli.papers.classes import find_counts
from fer_cli.papers.printed import Span, overlap, read_count, read_printed
from fer_cli.papers.values import spread
from tests.papers import Tree, audit, names

TEST = {"test": {"classes": {"a": "80", "b": "20"}}}


def classes(a: list[str | None], b: list[str | None], **more: Any) -> Tree:
    """Return precision, recall and F1 of two classes."""
    keys = ("precision", "recall", "f1")
    rows = {name: dict(zip(keys, row, strict=True)) for name, row in (("a", a), ("b", b))}
    return {"kind": "per_class", "place": "T", "model": "m", "rows": rows, **more}


def scores(rows: dict[str, dict[str, str | None]], **more: Any) -> Tree:
    return {"kind": "scores", "place": "T", "rows": rows, **more}


def anova(rows: dict[str, Any], **more: Any) -> Tree:
    return {"kind": "anova", "place": "T", "rows": {"y": rows}, **more}


def one(table: Tree, **more: Any) -> Tree:
    return {"tables": {"t": table}, **more}


ACCURACY = {"acc": {"set": "test"}}
COUNTS: Tree = {"kind": "counts", "place": "T", "rows": {"a": {"x": "325", "y": "81"}, "b": {"x": "300", "y": "75"}}}
GAIN = {"place": "text", "of": ["t", "new", "d"], "over": ["t", "old", "d"]}
OPEN = {"place": "text", "of": ["t", "new", "d"], "over": "CNN", "by": "34.6"}
EMPTY: list[str | None] = [None, None, None]
SAME = {"old": {"x": "85.32", "y": "88.95", "z": "51.23"}, "new": {"x": "85.32", "y": "88.95", "z": "51.23"}}
OTHER = {**SAME, "new": {**SAME["new"], "z": "51.24"}}

CASES: dict[str, tuple[Tree, Tree, str]] = {
    "share-range": (one(scores({"m": {"d": "100.1"}})), one(scores({"m": {"d": "100.0"}})), "100.1 % is not a share"),
    "value-range": (
        one(anova({"e": {"p": "1.7"}})),
        one(anova({"e": {"p": "1.00", "eta2": "0.00", "f": "0.0"}})),
        "1.7 is not a p value, which lies between 0 and 1",
    ),
    "f1-outside": (  # table 6 of Sun 2024: the harmonic mean of 83.1 and 82.6 is 82.85
        one(classes(["83.1", "82.6", "84.5"], EMPTY)),
        one(classes(["83.1", "82.6", "82.8"], EMPTY)),
        "F1 84.5 % is above both precision 83.1 % and recall 82.6 %; their harmonic mean is 82.8–82.9 %",
    ),
    "f1-harmonic": (  # 2 x .5 x 1 / 1.5 = .667
        one(classes(["50", "100", "65"], EMPTY)),
        one(classes(["50", "100", "67"], EMPTY)),
        "the harmonic mean of precision 50 % and recall 100 % is 66.",
    ),
    "accuracy-recall": (  # .8 x 90 + .2 x 50 = 82
        one(classes([None, "90.0", None], [None, "50.0", None], set="test", accuracy="83.0"), sets=TEST),
        one(classes([None, "90.0", None], [None, "50.0", None], set="test", accuracy="82.0"), sets=TEST),
        "weighted by 80, 20 images give 81.95–82.05 % (unweighted 69.95–70.05 %), printed accuracy 83.0 %",
    ),
    "recall-rate": (  # 81.9 % of 80 is 65.52
        one(classes([None, "81.9", None], [None, None, None], set="test"), sets=TEST),
        one(classes([None, "81.3", None], [None, None, None], set="test"), sets=TEST),
        "81.9 % of 80 images is no whole number: 65/80 = 81.25 % and 66/80 = 82.5 %",
    ),
    "class-counts": (  # of 80: 65 right are 81.25 %, of 74, 75 and 76 predicted 87.8, 86.7 and 85.5 %
        one(classes(["86.0", "81.3", "83.6"], EMPTY, set="test"), sets=TEST),
        one(classes(["86.7", "81.3", "83.9"], EMPTY, set="test"), sets=TEST),
        "no numbers of correct and of predicted images give precision 86.0 % and recall 81.3 % of 80 images and F1 83.6 %",
    ),
    "accuracy-rate": (  # 79.95 % of 403 is 322.2; of 331, 264.6
        one(scores({"m": {"acc": "79.95"}}, columns=ACCURACY), sets={"test": {"n": ["403", "331"]}}),
        one(scores({"m": {"acc": "84.12"}}, columns=ACCURACY), sets={"test": {"n": "403"}}),
        "331 images is no whole number: 264/331 = 79.7583 % and 265/331 = 80.0604 %; 403 images",
    ),
    "class-mean": (
        one(classes(["40", None, None], ["60", None, None], macro={"precision": "52"})),
        one(classes(["40", None, None], ["60", None, None], macro={"precision": "50"})),
        "macro mean of the classes' precision is 49.5–50.5 %, printed 52 %",
    ),
    "confusion-row": (
        one({"kind": "confusion", "place": "T", "model": "m", "set": "test",
             "rows": {"a": {"a": "70", "b": "11"}, "b": {"a": "0", "b": "20"}}}, sets=TEST),
        one({"kind": "confusion", "place": "T", "model": "m", "set": "test",
             "rows": {"a": {"a": "70", "b": "10"}, "b": {"a": "0", "b": "20"}}}, sets=TEST),
        "the row adds up to 81 images, the class has 80",
    ),
    "total": (
        one({**COUNTS, "totals": [{"place": "text", "parts": ["x"], "printed": "325"}]}),
        one({**COUNTS, "totals": [{"place": "text", "parts": ["x", "y"], "printed": "781"}]}),
        "325 + 300 = 625, printed 325 (-300); the printed total leaves out b",
    ),
    "ratio": (
        one({**COUNTS, "ratios": [{"place": "text", "parts": ["x", "y"], "printed": "3:1"}]}),
        one({**COUNTS, "ratios": [{"place": "text", "parts": ["x", "y"], "printed": "4:1"}]}),  # 156.2
        "625 and 156 images are 4.006:1; 3:1 would give 195.2",
    ),
    "hits": (  # 257 / .804 = 319.7, 689 / .924 = 745.7
        one({"kind": "hits", "place": "T", "rows": {"m": {"accuracy": "80.4", "correct": "257"},
                                                    "o": {"accuracy": "92.4", "correct": "689"}}}),
        one({"kind": "hits", "place": "T", "rows": {"m": {"accuracy": "80.4", "correct": "804"},
                                                    "o": {"accuracy": "92.4", "correct": "924"}}}),
        "m 319–320, o 745–746",
    ),
    "share-sum": (
        one({"kind": "shares", "place": "T", "rows": {"all": {"a": "33.3", "b": "66.9"}}}),
        one({"kind": "shares", "place": "T", "rows": {"all": {"a": "33.3", "b": "66.7"}}}),
        "33.3 + 66.9 = 100.1–100.3 %, not a whole",
    ),
    "row-count": (
        one(scores({"m": {"d": "1.0"}, "o": {"d": "2.0"}}, stated_rows="3")),
        one(scores({"m": {"d": "1.0"}, "o": {"d": "2.0"}}, stated_rows="2")),
        "the text states 3, the table has 2 rows",
    ),
    "run-time": (  # 1492 / 61 = 24.46
        one({"kind": "runtime", "place": "T", "n": "1492", "rows": {"m": {"seconds": "61", "fps": "14"}}}),
        one({"kind": "runtime", "place": "T", "n": "1492", "rows": {"m": {"seconds": "61", "fps": "24", "ms": "40.9"}}}),
        "1492 images in 61 s = 24.3–24.7 images/s, 14 fps printed = 13.5–14.5 images/s",
    ),
    "p-value": (  # scipy: sf(9.355, 1, 95) = .0029
        one(anova({"face": {"f": "9.36", "p": "0.000"}}, df_error="95")),
        one(anova({"face": {"f": "9.36", "p": "0.003"}}, df_error="95")),
        "F(1, df_error) = 9.36 gives p 0.00288–0.00289 for df_error 95, printed 0.000",
    ),
    "p-df": (  # F(1, 10) = 4.96 and F(1, 60) = 4.00 are the critical values of 5 %
        one(anova({"a": {"f": "4.965", "p": "0.0500"}, "b": {"f": "4.001", "p": "0.0500"}})),
        one(anova({"a": {"f": "4.001", "p": "0.0500"}, "b": {"f": "4.001", "p": "0.0500"}})),
        "a 10, b 60",
    ),
    "one-f": (
        one(anova({"a": {"f": "0.18", "p": "0.678"}, "b": {"f": "0.18", "p": "0.638"}})),
        one(anova({"a": {"f": "0.18", "p": "0.678"}, "b": {"f": "0.18", "p": "0.677"}})),
        "F(1, df_error) = 0.18 twice, with p = 0.678 and 0.638",
    ),
    "error-ms": (
        one(anova({"a": {"f": "3.45", "ms": "142.26"}, "b": {"f": "7.54", "ms": "321.26"}})),
        one(anova({"a": {"f": "3.45", "ms": "142.26"}, "b": {"f": "7.54", "ms": "310.91"}})),
        "a 41.17–41.3, b 42.58–42.64",
    ),
    "eta2": (  # 2.36 / (2.36 + 95) = .0242
        one(anova({"a": {"f": "2.36", "eta2": "0.03"}}, df_error="95")),
        one(anova({"a": {"f": "2.36", "eta2": "0.02"}}, df_error="95")),
        "F(1) = 2.36 and eta2 = 0.03 needs df_error 64.93–92.2",
    ),
    "one-model": (
        {"tables": {"t": scores({"m": {"d": "98.61"}}), "u": scores({"m": {"d": "98.2"}}, place="U")}},
        {"tables": {"t": scores({"m": {"d": "98.24"}}), "u": scores({"m": {"d": "98.2"}}, place="U")}},
        "accuracy of m on d: 98.61 % (T), 98.2 % (U)",
    ),
    "copied-row": (
        one(scores(SAME)),
        one(scores(OTHER)),
        "3 cells of different models are equal to the last digit: old (T) = new (T)",
    ),
    "equal-cell": (
        one(scores({"m": {"d": "92.36", "e": "92.36"}}), differ=[[["t", "m", "d"], ["t", "m", "e"]]]),
        one(scores({"m": {"d": "92.36", "e": "92.37"}}), differ=[[["t", "m", "d"], ["t", "m", "e"]]]),
        "92.36 in both, with 4 significant digits",
    ),
    "column-mean": (
        one(scores({"1": {"d": "76.78"}, "2": {"d": "79.01"}}, mean={"d": "77.72"})),
        one(scores({"1": {"d": "76.78"}, "2": {"d": "79.01"}}, mean={"d": "77.90"}, sd={"d": "1.58"})),
        "mean of 2 rows is 77.89–77.9, printed 77.72",
    ),
    "chance": (
        one(scores({"m": {"d": "0.08"}}, unit="share", metric="probability", classes="14", mean={"d": "0.08"})),
        one(scores({"m": {"d": "0.09"}}, unit="share", metric="probability", classes="14", mean={"d": "0.09"})),
        "mean probability 0.08; chance over 14 classes is 0.07143",
    ),
    "information": (  # 1.115 bits need 3 classes, 1.115 nats 4: ln 3 = 1.0986
        one({"kind": "information", "place": "T", "labels": {"m": "2"}, "rows": {"m": {"d": "1.115"}}}),
        one({"kind": "information", "place": "T", "labels": {"m": "3"}, "rows": {"m": {"d": "1.115"}}}),
        "1.115 exceeds log(2 classes) = 1 bits = 0.6931 nats; needs 3 classes in bits, 4 in nats",
    ),
    "text-gain": (
        one(scores({"new": {"d": "82.57"}, "old": {"d": "79.95"}}), claims=[{**GAIN, "by": "2.64"}]),
        one(scores({"new": {"d": "82.57"}, "old": {"d": "79.95"}}), claims=[{**GAIN, "by": "2.63"}]),
        "the text states 2.64, the cells give 2.61–2.63 points or 3.264–3.29 % of the smaller or 3.161–",
    ),
    "text-open": (
        one(scores({"new": {"d": "95.8"}}), claims=[OPEN]),
        one(scores({"new": {"d": "95.8"}}), claims=[{**OPEN, "unit": "points"}]),
        "61.1–61.3 if these are points, 71.11–71.24 if percent of it",
    ),
}  # fmt: skip


def test_every_check_has_a_case_and_words() -> None:
    assert set(CASES) == set(CHECKS)
    assert all(load(check.code).__doc__.startswith("Yield ") for check in CHECKS.values())
    assert len({check.words for check in CHECKS.values()}) == len(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_finds_its_error_and_leaves_the_nearest_right_print(name: str) -> None:
    wrong, right, arithmetic = CASES[name]
    found = [finding for finding in audit(**copy.deepcopy(wrong)) if finding.check == name]
    assert len(found) == 1
    assert arithmetic in found[0].arithmetic
    assert found[0].verdict == CHECKS[name].verdict
    assert found[0].cells
    assert audit(**copy.deepcopy(right)) == []


def test_the_mean_f1_of_runs_may_be_below_precision_and_recall_but_not_above_their_harmonic_mean() -> None:
    """Precision and recall (1, 0) and (0, 1) in two runs: both means are .5, the mean F1 is 0."""
    low, high = ["50", "50", "0"], ["50", "50", "52"]
    assert names(audit(**one(classes(low, EMPTY)))) == ["f1-outside"]
    assert audit(**one(classes(low, EMPTY, runs="2"))) == []
    assert names(audit(**one(classes(high, EMPTY, runs="2")))) == ["f1-outside"]
    # below: between precision and recall, but above their harmonic mean 2 x .4 x .8 / 1.2 = .533
    assert names(audit(**one(classes(["40", "80", "55"], EMPTY, runs="2")))) == ["f1-harmonic"]
    assert audit(**one(classes(["40", "80", "45"], EMPTY, runs="2"))) == []


def test_rates_of_several_runs_are_multiples_of_the_images_of_all_runs() -> None:
    table = classes([None, "81.6", None], EMPTY, set="test")  # 65.28 of 80 images, 195.84 of 240
    assert names(audit(**one(table, sets=TEST))) == ["recall-rate"]
    assert names(audit(**one({**table, "runs": "3"}, sets=TEST))) == ["recall-rate"]
    assert audit(**one({**table, "runs": "4"}, sets=TEST)) == []  # 261 of 320


def test_macro_f1_may_be_the_harmonic_mean_of_the_macro_averages() -> None:
    """Two conventions are in use (Opitz and Burst 2019); either is right."""
    rows = (["100", "20", "33.3"], ["20", "100", "33.3"])  # mean F1 33.3, of the means (60, 60) 60
    for printed, wrong in (("33.3", []), ("60.0", []), ("45.0", ["class-mean"])):
        assert names(audit(**one(classes(*rows, macro={"f1": printed})))) == wrong


def test_a_confusion_matrix_and_a_table_by_class_give_one_recall() -> None:
    matrix = {"kind": "confusion", "place": "F", "model": "m", "set": "test"}
    rows = {"a": {"a": "70", "b": "10"}, "b": {"a": "4", "b": "16"}}
    for printed, wrong in (("87.5", []), ("88.8", ["one-model"])):
        table = classes([None, printed, None], EMPTY, set="test")
        assert names(audit(tables={"t": table, "u": {**matrix, "rows": rows}}, sets=TEST)) == wrong


@pytest.mark.parametrize("gap", [{}, {"b": None}], ids=["left out", "null"])
def test_a_row_of_a_confusion_matrix_with_a_cell_that_is_not_printed_counts_only_by_its_test_set(gap: Tree) -> None:
    """Of 100 images of a class 80 are right, and the paper does not print that 20 are not."""
    rows = {"a": {"a": "80", **gap}, "b": {"a": "10", "b": "90"}}
    matrix = {"kind": "confusion", "place": "F", "model": "m", "rows": rows}
    assert audit(**one({**matrix, "accuracy": "85.0"})) == []
    assert audit(**one({**matrix, "normalised": True})) == []
    sets = {"test": {"classes": {"a": "100", "b": "100"}}}
    assert audit(**one({**matrix, "set": "test", "accuracy": "85.0"}, sets=sets)) == []
    assert names(audit(**one({**matrix, "set": "test", "accuracy": "84.0"}, sets=sets))) == ["accuracy-recall"]


def test_recalls_of_some_classes_are_not_held_against_the_accuracy_of_all() -> None:
    table = classes([None, "90.0", None], EMPTY, accuracy="50.0")
    table["rows"]["a"]["n"] = "80"
    assert audit(**one(table)) == []


def test_accuracy_of_a_cited_row_is_not_held_against_this_papers_test_set() -> None:
    table = scores({"m": {"acc": "79.95"}}, columns=ACCURACY)
    sets = {"test": {"n": ["403"]}}
    assert names(audit(**one(table, sets=sets))) == ["accuracy-rate"]
    assert audit(**one({**table, "cited": ["m"]}, sets=sets)) == []


def test_an_f1_that_is_wrong_in_one_table_hides_no_impossible_counts_in_another() -> None:
    wrong = classes(["80.0", "70.0", "90.0"], EMPTY)
    other = classes(["61.0", "70.0", "65.2"], EMPTY)
    other["rows"]["a"]["n"] = "10"
    assert names(audit(tables={"t": wrong, "u": other})) == ["f1-outside", "class-counts"]


def test_counts_are_searched_as_by_trying_all() -> None:
    random = np.random.default_rng(3)
    seen = set()
    for _ in range(200):
        n, digits = int(random.integers(1, 25)), int(random.integers(1, 3))
        right, predicted = int(random.integers(0, n + 1)), int(random.integers(1, 40))
        cells = [right / max(predicted, right), right / n, 2 * right / (n + max(predicted, right))]
        cells[random.integers(3)] += random.choice([0, 0.01])
        spans = [read_printed(f"{cell:.{digits}f}").span for cell in cells]
        found, answers = np.meshgrid(np.arange(n + 1), np.arange(3000), indexing="ij")
        tries = (found / np.maximum(answers, 1), found / n, 2 * found / (n + answers))
        fits = [(span.low - 1e-12 <= one) & (one <= span.high + 1e-12) for span, one in zip(spans, tries, strict=True)]
        tried = bool((np.logical_and.reduce(fits) & (answers >= found)).any())
        assert find_counts(*spans, n) is tried
        seen.add(tried)
    assert seen == {True, False}


def test_equal_rows_of_few_digits_or_of_few_images_are_no_evidence() -> None:
    few = {"old": {"x": "85", "y": "88", "z": "51"}, "new": {"x": "85", "y": "88", "z": "51"}}
    whole = {row: {"x": "100.00", "y": "100.00", "z": "100.00"} for row in ("old", "new")}
    assert audit(**one(scores(few))) == audit(**one(scores(whole))) == []
    assert audit(**one(scores(SAME, models={"old": "net", "new": "net"}))) == []
    small = {"sets": {name: {"n": ["10000"]} for name in "xyz"}, "tables": {"t": scores(SAME)}}
    assert names(audit(**small)) == ["copied-row"]


def test_gains_are_read_in_points_or_percent_as_the_claim_says() -> None:
    table = scores({"new": {"d": "0.612"}, "old": {"d": "0.500"}}, unit="share")  # + .112, 22.4 %
    for by, unit, wrong in (
        ("0.112", None, False),
        ("11.2%", "points", False),
        ("22.4%", None, False),
        ("22.4%", "points", True),
        ("11.2%", "percent", True),
        ("0.224", "percent", False),
    ):
        claim = {**GAIN, "by": by, **({"unit": unit} if unit else {})}
        assert bool(audit(**one(table, claims=[claim]))) is wrong, (by, unit)
    assert names(audit(**one(table, claims=[{**GAIN, "of": GAIN["over"], "over": GAIN["of"]}]))) == ["text-gain"]


def test_a_claim_may_compare_percent_with_shares() -> None:
    tables = {"t": scores({"new": {"d": "92.0"}}), "u": scores({"old": {"d": "0.900"}}, unit="share")}
    claim = {"place": "text", "of": ["t", "new", "d"], "over": ["u", "old", "d"], "unit": "points"}
    assert audit(tables=tables, claims=[{**claim, "by": "2.0"}]) == []
    other = {**claim, "of": claim["over"], "over": claim["of"], "by": "-0.020"}
    assert audit(tables=tables, claims=[other]) == []


def test_a_fall_is_a_share_of_the_first_value() -> None:
    """An error that falls from .50 to .40 falls by 20 %, and the old one exceeds the new one by 25 %."""
    table = scores({"new": {"d": "50.0"}, "old": {"d": "40.0"}}, metric="error")
    for by, wrong in (("20", False), ("25", False), ("10", False), ("30", True)):
        assert bool(audit(**one(table, claims=[{**GAIN, "by": by}]))) is wrong
    assert names(audit(**one(table, claims=[{**GAIN, "by": "10", "unit": "percent"}]))) == ["text-gain"]


def test_the_largest_of_several_gains_is_compared() -> None:
    rows = {"new": {"d": "82.6", "e": "83.3"}, "old": {"d": "80.4", "e": "80.2"}}
    pairs = [[["t", "new", key], ["t", "old", key]] for key in "de"]
    assert audit(**one(scores(rows), claims=[{"place": "text", "pairs": pairs, "by": "3.1"}])) == []
    assert names(audit(**one(scores(rows), claims=[{"place": "text", "pairs": pairs, "by": "2.2"}]))) == ["text-gain"]


def test_printed_numbers_are_intervals() -> None:
    assert read_printed("0.10").span == Span(0.095, 0.105)
    assert read_printed("<0.001").span == Span(0.0, 0.001)
    assert read_printed("−1.5").span == Span(-1.55, -1.45)
    assert read_printed("1.2e-5").span.low == pytest.approx(1.15e-5)
    assert (read_printed("83.2 %").percent, read_printed("1600").span) == (True, Span(1599.5, 1600.5))
    assert read_count("1,492") == 1492
    assert Span(0.4995, 0.5005).holds_multiple(2)
    assert not Span(0.51, 0.52).holds_multiple(10)
    assert overlap([Span(0, 2), Span(1, 3), Span(2, 4)]) == Span(2, 2)
    assert overlap([Span(0, 1), Span(2, 3)]) is None


def test_the_deviation_of_rounded_values_has_an_interval() -> None:
    """Of 1 and 3: 1.414 (sample) and 1 (population), plus or minus half a unit times the root of 2/(n-1) and 2/n."""
    sample, population = spread([read_printed("1"), read_printed("3")])
    assert (sample.low, sample.high) == pytest.approx((2**0.5 - 0.5 * 2**0.5, 2**0.5 + 0.5 * 2**0.5))
    assert (population.low, population.high) == pytest.approx((0.5, 1.5))


def test_a_narrow_table_names_the_paper_only_among_several() -> None:
    wrong, _, _ = CASES["error-ms"]
    (finding,) = audit(**copy.deepcopy(wrong))
    head, rows = short_table([finding])
    assert head == ["where", "verdict", "arithmetic"]
    assert rows == [["T: y / a; y / b", "impossible", finding.arithmetic]]
    other = replace(finding, paper="other", cells=("a", "b", "c"))
    head, rows = short_table([finding, other])
    assert (head[0], rows[1][:2]) == ("paper", ["other", "T: a; b; … (3 cells)"])


def test_findings_are_counted_by_verdict() -> None:
    wrong, _, _ = CASES["text-gain"]
    assert count_verdicts(audit(**wrong)) == "1 finding (1 inconsistent)"
    assert count_verdicts([]) == "0 findings"
