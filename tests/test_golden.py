"""Run ids stay what they are."""

import csv

import pytest

from fer_cli.study import study_names
from tests.golden import FILE, rows

KEPT = list(csv.reader(FILE.read_text().splitlines()))[1:]


def test_every_shipped_study_is_listed() -> None:
    assert {row[0] for row in KEPT} == set(study_names())


@pytest.mark.filterwarnings("error")
def test_run_ids_are_those_of_before() -> None:
    """A setting that is added with a default that keeps behaviour changes none; see REVISIONS in the config for the rest."""
    now = [[str(cell) for cell in row] for row in rows()]
    changed = [f"{was} -> {new}" for was, new in zip(KEPT, now, strict=True) if was != new]
    assert not changed
