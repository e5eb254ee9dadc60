"""Odd papers: whatever is printed, the audit gives findings or a one-line error, and no warning."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.errors import PaperError
from fer_cli.papers.audit import audit_paper
from fer_cli.papers.read import read_paper
from fer_cli.places import shipped_folder
from fer_cli.yamls import parse_yaml
from tests.papers import audit, names

ODD = [
    None,
    "0",
    "0.0",
    "-1",
    "<0.001",
    ">5",
    "≥1",
    "1e-30",
    "1e30",
    "100",
    "99999999",
    "0.5%",
    "",
    "text",
    [],
    {},
    True,
    "1:0",
    "0:0",
]


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all leaves."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = [leaf for key, value in items for leaf in leaves(value, (*path, key))]
    return found or [path]


def shipped(name: str) -> dict[str, Any]:
    text = (shipped_folder("experiments") / "papers" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_yaml(text, name, PaperError, printed=True)


TREES = {name: shipped(name) for name in ("example", "teacher-2024")}
PLACES = [(name, path) for name, tree in TREES.items() for path in leaves(tree)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=4))
def test_odd_cells_give_findings_or_an_error(changes: list[tuple[tuple[str, tuple[Any, ...]], Any]]) -> None:
    trees = copy.deepcopy(TREES)
    for (name, path), value in changes:
        here: Any = trees[name]
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = value
    for tree in (trees[name] for name in {name for (name, _), _ in changes}):
        try:
            paper = read_paper(tree)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert all("\n" not in one.arithmetic and "nan" not in one.arithmetic for one in audit_paper(paper))


ZEROS: list[tuple[dict[str, Any], list[str]]] = [
    ({"kind": "hits", "rows": {"m": {"accuracy": "0.0", "correct": "0"}, "o": {"accuracy": "0.0", "correct": "5"}}}, []),
    ({"kind": "runtime", "n": "5", "rows": {"m": {"seconds": "0", "ms": "0"}}}, []),
    ({"kind": "runtime", "n": "5", "rows": {"m": {"seconds": "0", "fps": "0"}}}, ["run-time"]),  # at least 10, at most .5
    ({"kind": "anova", "rows": {"y": {"a": {"f": "0.00", "p": "1.000", "eta2": "0.000", "ms": "0.00"}}}}, []),
    ({"kind": "anova", "rows": {"y": {"a": {"f": ">100", "p": "<0.001", "eta2": ">0.5", "ms": ">10"}}}}, []),
    ({"kind": "information", "labels": {"m": "1"}, "rows": {"m": {"x": "0.00"}}}, []),
    ({"kind": "information", "labels": {"m": "2"}, "rows": {"m": {"x": "1e30"}}}, ["information"]),
    ({"kind": "counts", "rows": {"a": {"x": None}}, "totals": [{"place": "p", "parts": ["x"], "printed": "5"}]}, []),
    ({"kind": "counts", "rows": {"a": {"x": "0"}}, "ratios": [{"place": "p", "parts": ["x", "x"], "printed": "0:0"}]}, []),
    ({"kind": "per_class", "model": "m", "rows": {"a": {"precision": "0", "recall": "0", "f1": "0"}}}, []),
    ({"kind": "per_class", "model": "m", "rows": {"a": {"precision": ">50", "recall": "90", "f1": "94"}}}, []),
    ({"kind": "per_class", "model": "m", "rows": {"a": {"precision": ">50", "recall": "90", "f1": "60"}}}, ["f1-harmonic"]),
    ({"kind": "anova", "df_error": None, "rows": {"y": {"a": {"f": "1.00"}}}}, []),
    ({"kind": "runtime", "n": None, "rows": {"m": {"seconds": "1", "n": None}}}, []),
    ({"kind": "scores", "classes": None, "stated_rows": None, "rows": {"m": {"d": "1.0"}}}, []),
    ({"kind": "confusion", "model": "m", "rows": {"a": {"a": "0", "b": "0"}, "b": {"a": "0", "b": None}}}, []),
    ({"kind": "scores", "rows": {"m": {"d": None}}, "mean": {"d": "1.0"}, "sd": {"d": "0.0"}}, []),
    ({"kind": "shares", "rows": {"m": {"d": None}}}, []),
]


@pytest.mark.parametrize(("table", "checks"), ZEROS)
def test_zeros_bounds_and_empty_cells_are_read_as_intervals(table: dict[str, Any], checks: list[str]) -> None:
    assert names(audit(tables={"t": {"place": "T", **table}})) == checks
