"""Printed values that no such quantity has: ``value-range`` of ``fer audit-paper``."""

from __future__ import annotations

import pytest

from tests.papers import Tree, audit
from tests.test_papers_checks import anova, one


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (anova({"e": {"eta2": "1.48"}}), "1.48 is not a partial eta squared"),
        (anova({"e": {"f": "-2.0"}}), "-2.0 is not an F value, which is at least 0"),
        (anova({"e": {"ms": "-0.1"}}), "-0.1 is not a mean square"),
        (
            {
                "kind": "confusion",
                "place": "T",
                "model": "m",
                "rows": {"a": {"a": "-5", "b": "1"}, "b": {"a": "0", "b": "2"}},
            },
            "-5 is not a number of images",
        ),
        ({"kind": "runtime", "place": "T", "rows": {"m": {"seconds": "-3"}}}, "-3 is not a time or rate"),
        (
            {"kind": "information", "place": "T", "labels": {"m": "7"}, "rows": {"m": {"x": "-0.3"}}},
            "-0.3 is not mutual information or entropy",
        ),
    ],
)
def test_values_that_no_such_quantity_has_are_found(table: Tree, words: str) -> None:
    found = [each for each in audit(**one(table)) if each.check == "value-range"]
    assert len(found) == 1 and words in found[0].arithmetic and found[0].verdict == "impossible"


def test_zeros_and_rounded_ends_are_values() -> None:
    fine = [anova({"e": {"p": "0.000", "eta2": "1.0", "f": "-0.0", "ms": "0"}}), anova({"e": {"p": "<0.001"}})]
    assert not [found for table in fine for found in audit(**one(table)) if found.check == "value-range"]
