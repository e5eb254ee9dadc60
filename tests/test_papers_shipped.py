"""The five papers: every inconsistency that arithmetic can find is found, and by which check; the worked example."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import yaml

from fer_cli.papers.anova import degrees, list_outcomes, list_p
from fer_cli.papers.audit import Finding, audit_paper
from fer_cli.papers.read import load_paper, paper_names
from fer_cli.papers.schema import KINDS, Anova, Hits, Paper, Scores
from fer_cli.places import shipped_folder
from fer_cli.study import load_study, study_names

FOUND: dict[str, list[tuple[str, str, str, str]]] = {
    "I-1": [("he-2025", "one-model", "Table 1, Table 2", f"on {data}") for data in ("student", "teacher", "scene")],
    "I-2": [
        ("he-2025", "information", "Table 3", "1.115 exceeds log(2 classes)"),
        ("he-2025", "equal-cell", "Table 3", "92.36 in both"),
    ],
    "I-3": [("he-2025", "one-model", "text of Figure 5", "baseline on student: 93.56 % (Table 1), 1.00")],
    "I-5": [
        ("fan-2025", "hits", "Table 2, IMF-DB", "HMM 319–320, HMM-FBA 445–446, HMM-FBA-Incentive 497, ECEM 745–746"),
        ("fan-2025", "hits", "Table 2, RAF-DB", "HMM 358, HMM-FBA 476–477, HMM-FBA-Incentive 589–590, ECEM 706–707"),
        ("fan-2025", "hits", "Table 2, AffectNet", "HMM 336, HMM-FBA 382, HMM-FBA-Incentive 499–500, ECEM 741"),
    ],
    "I-6": [
        ("fan-2025", "f1-outside", "Table 4", "0.082 is above both precision 0.067 and recall 0.074"),
        ("fan-2025", "f1-outside", "Table 4", "0.053 is below both precision 0.081 and recall 0.089"),
        ("fan-2025", "f1-harmonic", "Table 4", "precision 0.052 and recall 0.083"),
    ],
    "I-7": [
        ("fan-2025", "row-count", "Table 3", "states 10, the table has 14"),
        (
            "fan-2025",
            "text-gain",
            "text of Table 3",
            "states 0.025, the cells give 0.014–0.016 points or 23.53–27.35 % of the smaller",
        ),
        *(("fan-2025", "chance", "Table 3", f"probability {mean}") for mean in ("0.063", "0.059", "0.069", "0.074")),
    ],
    "I-8": [("fan-2025", "text-open", "text of Figure 8", "61.1–61.3 if these are points, 71.11–71.24 if percent")],
    "I-12": [
        (
            "teacher-2024",
            "one-model",
            "Table 1, Table 2, Table 3",
            "88.23 % (Table 1), 87.23 % (Table 2), 87.12 % (Table 3)",
        ),
        (
            "teacher-2024",
            "one-model",
            "Table 1, Table 2, Table 3",
            "90.23 % (Table 1), 90.54 % (Table 2), 90.33 % (Table 3)",
        ),
        (
            "teacher-2024",
            "one-model",
            "Table 1, Table 2, Table 3",
            "52.46 % (Table 1), 52.12 % (Table 2), 52.43 % (Table 3)",
        ),
    ],
    "I-13": [("teacher-2024", "copied-row", "Table 4, Table 5", "without region layer (Table 4) = without STFD (Table 5)")],
    "I-15": [
        ("teacher-2024", "p-value", "Table 8", "F(1, df_error) = 9.36 gives p 0.00221–0.201 for any df_error"),
        ("teacher-2024", "p-value", "Table 6", "F(1, df_error) = 0.01 gives p 0.903–0.955"),
        ("teacher-2024", "p-df", "Table 6", "face x body 22–25"),
        ("teacher-2024", "one-f", "Table 8", "0.18 twice, with p = 0.678 and 0.638"),
    ],
    "I-16": [
        ("teacher-2024", "error-ms", "Table 6", "pre-test 1.529–1.543, face 1.581"),
        (
            "teacher-2024",
            "error-ms",
            "Table 6",
            "pre-test 4.023–4.268, face 4.038–4.116, body 3.333–30, face x body 3.963–3.997",
        ),
        ("teacher-2024", "error-ms", "Table 7", "pre-test 41.17–41.3, face 42.58–42.64"),
        ("teacher-2024", "error-ms", "Table 7", "pre-test 11.66–11.7, face 10.96–11.09"),
        ("teacher-2024", "error-ms", "Table 8", "face 1.199–1.201, body 1.23–1.24"),
    ],
    "I-17": [
        ("teacher-2024", "eta2", "Table 6", "F(1) = 0.01 and eta2 = 0.001"),
        ("teacher-2024", "eta2", "Table 7", "F(1) = 2.36 and eta2 = 0.03"),
        ("teacher-2024", "eta2", "Table 8", "F(1) = 0.18 and eta2 = 0.01"),
    ],
    "I-19": [("aly-2023", "one-model", "abstract, Table 2", "87.62 % (abstract), 86.72 % (Table 2), 86.72 % (Table 5)")],
    "I-20": [("aly-2023", "one-model", "Table 3", "ResNet on FER2013 public: 65.71 %")],
    "I-21": [
        ("aly-2023", "accuracy-recall", "Table 3", "give 89.38–90.38 % (unweighted 87.5–88.5 %), printed accuracy 88.13 %"),
        ("aly-2023", "text-gain", "text of Table 3", "the cells differ by −1.42 to −1.4"),
    ],
    "I-22": [("aly-2023", "run-time", place, "14 fps printed") for place in ("Table 5 (CK+)", "Table 5 (RAF-DB)")],
    "I-24": [
        ("aly-2023", "total", "section V.A", "= 28700, printed 28708"),
        ("aly-2023", "total", "section V.A", "= 35878, printed 35886"),
        ("aly-2023", "total", "caption of Table 5", "= 3068, printed 2920"),
    ],
    "I-25": [
        ("sun-2024", "total", "section 4.3", f"printed {total} ({lost}); the printed total leaves out happy")
        for total, lost in ((1655, -372), (1324, -300), (331, -72))
    ],
    "I-26": [
        ("sun-2024", "f1-outside", "Table 6", "84.5 % is above both precision 83.1 % and recall 82.6 %"),
        ("sun-2024", "f1-outside", "Table 8", "87.2 % is above both precision 85.1 % and recall 82.5 %"),
        ("sun-2024", "f1-outside", "Table 8", "77.5 % is above both precision 76.1 % and recall 70.4 %"),
        ("sun-2024", "f1-outside", "Table 8", "83.7 % is above both precision 82.4 % and recall 78.1 %"),
        ("sun-2024", "f1-harmonic", "Table 6", "precision 83.2 % and recall 81.9 %"),
    ],
    "I-27": [
        ("sun-2024", "accuracy-recall", "Table 7", "give 80.2–80.3 % (unweighted 79.98–80.08 %), printed accuracy 84.12 %"),
        ("sun-2024", "accuracy-rate", "Table 7", "79.95 % of 331 images"),
        ("sun-2024", "accuracy-rate", "Table 7", "82.57 % of 331 images"),
    ],
    "I-28": [("sun-2024", "recall-rate", "Table 6", "81.9 % of 81 images is no whole number: 66/81 = 81.4815 %")],
}
"""Inconsistency (section 7 of the methods) -> paper, check, and parts of the place and arithmetic of its findings."""

NOT_ARITHMETIC = {
    "I-4": "formulas and prose: no table",
    "I-9": "what the FEI set shows, and settings whose digits are lost (0, 1:01)",
    "I-10": "which classes a data set and a caption have",
    "I-11": "a wording: the figure's values are not printed",
    "I-14": "descriptions of the network",
    "I-18": "gains without a variance: no test can be computed",
    "I-23": "the protocol of selection",
    "I-29": "operations must be counted on the network, not on the page",
    "I-30": "descriptions; each stated split is of another experiment",
}
"""Inconsistency -> why no arithmetic on the print can find it."""

PARTLY = {
    "I-7": "that a tag is printed twice is seen by eye",
    "I-15": "the best common df_error is printed by outcome, not for the paper",
    "I-21": "that a part was trained on is the conclusion from it",
    "I-22": "that one device is faster than another is no contradiction by itself",
    "I-24": "official counts are not in the paper",
    "I-25": "1624:403 is 4:1 within one image a class, so the ratio is no finding",
    "I-27": "82.57 − 79.95 can be 2.63 before rounding, so that gain is no finding",
}
"""Inconsistency -> the part of it that is not found, and why."""


@functools.cache
def findings(name: str) -> list[Finding]:
    """Return the findings in a shipped paper."""
    return audit_paper(load_paper(name))


def test_every_inconsistency_is_found_or_has_a_reason() -> None:
    assert sorted([*FOUND, *NOT_ARITHMETIC]) == sorted(f"I-{i}" for i in range(1, 31))
    assert set(PARTLY) < set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_an_inconsistency_is_found_by_its_check(name: str) -> None:
    for paper, check, place, arithmetic in FOUND[name]:
        hits = [one for one in findings(paper) if one.check == check and place in one.place and arithmetic in one.arithmetic]
        assert len(hits) == 1, (check, place, arithmetic)


def count(name: str, check: str) -> int:
    return sum(one.check == check for one in findings(name))


def test_the_numbers_of_findings_are_those_counted_by_hand() -> None:
    """Of Table 4 of Fan 2025: 18 cells, 4 fit; of Tables 6 and 8 of Sun 2024: 12 cells, 2 fit, and no recall is a rate."""
    assert count("fan-2025", "f1-outside") + count("fan-2025", "f1-harmonic") == 14
    assert count("sun-2024", "f1-outside") + count("sun-2024", "f1-harmonic") == 10
    assert count("sun-2024", "recall-rate") == 12
    assert count("teacher-2024", "error-ms") == 5
    assert count("teacher-2024", "eta2") == 3
    assert {one.check for one in findings("fan-2025")} & {"column-mean"} == set()  # the averages match the print
    assert {one.check for one in findings("sun-2024")} & {"column-mean", "ratio", "text-gain"} == set()


def test_three_of_twenty_p_values_fit_95_degrees_of_freedom_and_five_any() -> None:
    paper = load_paper("teacher-2024")
    fits = np.array([one for table, _, rows in list_outcomes(paper) for one in list_p(table, rows).values()])
    assert len(fits) == 20
    at = degrees(None)
    assert fits[:, at == 95].sum() == 3
    assert fits[:, (at >= 10) & (at < 400)].sum(0).max() == 5


def test_every_paper_of_the_studies_is_shipped_and_named_by_its_citation() -> None:
    cited = {study.paper.cite for study in map(load_study, study_names()) if study.paper}
    assert cited == set(paper_names())
    assert all(load_paper(name).cite == name for name in paper_names())
    assert not set(study_names()) & {*paper_names(), "example"}


def published(paper: Paper) -> set[float]:
    """Return the shares of a paper's tables, rounded as studies state them."""
    tables = [table for table in paper.tables.values() if isinstance(table, Scores | Hits)]
    means = [cell for table in tables if isinstance(table, Scores) for cell in table.mean.values() if cell is not None]
    return {round(cell.value / 100, 6) for cell in [*means, *(cell for table in tables for cell in table.cells().values())]}


@pytest.mark.parametrize("name", study_names())
def test_the_values_that_studies_publish_are_those_of_the_papers(name: str) -> None:
    """Of their tables: values of figures are read off a curve, and mean F1 is computed from precision and recall."""
    paper = load_study(name).paper
    for item in paper.published if paper and paper.published else []:
        if item.where.startswith("Table") and item.metric == "accuracy":
            assert paper is not None
            assert round(item.value, 6) in published(load_paper(paper.cite)), item


def test_the_example_has_every_kind_of_table_and_the_errors_that_it_marks() -> None:
    text = (shipped_folder("experiments") / "papers" / "example.yaml").read_text()
    assert {table["kind"] for table in yaml.safe_load(text)["tables"].values()} == set(KINDS)
    assert text.count("# wrong:") == 5
    found = [(one.check, one.place) for one in findings("example")]
    assert sorted(found) == [
        ("accuracy-recall", "Table 3"),
        ("accuracy-recall", "Table 3"),
        ("f1-outside", "Table 4"),
        ("one-model", "Table 2, Table 3"),
        ("p-value", "Table 6"),
        ("text-gain", "text of Table 3"),
        ("total", "abstract"),
    ]


def test_cells_keep_their_printed_digits() -> None:
    table = load_paper("teacher-2024").tables["table 8"]
    assert isinstance(table, Anova)
    p = table.rows["learning motivation"]["face"].p
    assert p is not None
    assert (p.text, p.digits, p.span.high) == ("0.000", 1, 0.0005)
    assert load_paper("aly-2023").cell(["table 2", "[13]", "RAF-DB"]).text == "86.50"  # type: ignore[union-attr]
