"""A table without errors gives no finding, however it is rounded (0 digits: one to four, drawn for each number)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.papers.printed import Span, read_printed
from tests.papers import Tree, audit, draw_ancova, draw_classifiers

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, digits=st.integers(0, 4))
def test_tables_of_classifiers_have_no_findings(seed: int, digits: int) -> None:
    assert audit(**draw_classifiers(np.random.default_rng(seed), digits)) == []


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, digits=st.integers(0, 4))
def test_analyses_of_covariance_have_no_findings(seed: int, digits: int) -> None:
    assert audit(**draw_ancova(np.random.default_rng(seed), digits)) == []


@pytest.mark.parametrize("digits", [0, 1, 2, 3, 4])
def test_many_papers_have_no_findings(digits: int) -> None:
    """The same on a fixed grid, which does not depend on what hypothesis draws."""
    for seed in range(6):
        for draw in (draw_classifiers, draw_ancova):
            assert audit(**draw(np.random.default_rng([seed, digits]), digits)) == [], (seed, digits)


def change_cell(tree: Tree, table: str, keys: list[str], by: float) -> None:
    """Add ``by`` to a printed cell, which keeps its digits."""
    *path, last = keys
    here = tree["tables"][table]["rows"]
    for key in path:
        here = here[key]
    text = here[last].removesuffix("%")
    decimals = len(text.partition(".")[2])
    here[last] = f"{float(text) + by:.{decimals}f}"


def test_the_same_papers_with_one_wrong_cell_have_findings() -> None:
    """Otherwise silence would be no evidence."""
    caught = {"recall": 0, "f1": 0, "ms": 0, "p": 0}
    for seed in range(15):
        for metric in ("recall", "f1"):
            tree = draw_classifiers(np.random.default_rng([seed, 7]), 3)
            scale = 100 if tree["tables"]["classes m0"]["unit"] == "%" else 1
            change_cell(tree, "classes m0", ["c0", metric], 0.05 * scale)
            caught[metric] += bool(audit(**tree))
        for metric in ("ms", "p"):
            tree = draw_ancova(np.random.default_rng([seed, 7]), 3)
            row = tree["tables"]["one"]["rows"]["a"]["face"]
            if "<" not in row["p"]:
                change_cell(tree, "one", ["a", "face", metric], 0.05 * max(float(row[metric]), 0.4))
                caught[metric] += bool(audit(**tree))
    assert caught["recall"] == caught["f1"] == 15
    assert min(caught["ms"], caught["p"]) >= 8


@given(value=st.floats(-1e6, 1e6), digits=st.integers(0, 6))
def test_a_printed_number_contains_what_was_rounded(value: float, digits: int) -> None:
    printed = read_printed(f"{value:.{digits}f}")
    assert printed.span.meets(Span(value, value))
    assert printed.span.high - printed.span.low == pytest.approx(10.0**-digits, rel=1e-3)
