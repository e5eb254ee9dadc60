"""``docs/`` is what ``make docs`` writes and the guides of ``tests.readme``, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fer_cli.config import RunConfig
from fer_cli.study import study_names
from tests.docs import CODE, DOCS, REGISTRIES, describe, list_modules, read_docstring, write_pages
from tests.readme import GUIDES, ROOT
from tests.readme import PAGES as READ

PAGES = write_pages()
WRITTEN = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*") if path.is_file()}


def test_there_is_a_page_for_each_study_and_no_other() -> None:
    assert {*PAGES, *(f"{name}.md" for name in GUIDES)} == {name for name in WRITTEN if name.endswith(".md")}
    assert {f"studies/{name}.md" for name in study_names()} < WRITTEN


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_those_of_today(page: str) -> None:
    assert (DOCS / page).read_text() == PAGES[page], "run make docs"


@pytest.mark.parametrize("page", [*(DOCS / page for page in PAGES), *(ROOT / page for page in READ)], ids=str)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```|`[^`\]]*`", "", page.read_text(), flags=re.DOTALL)):
        assert (page.parent / target).exists(), target


def test_settings_are_told_by_the_code() -> None:
    assert describe("learning.rank_margin") == "delta 1 of Eq 2."
    assert describe("model.parts.rates")
    assert describe("data.name") == ""


def test_the_code_of_settings_is_there_and_says_where_it_comes_from() -> None:
    known = {f"{group}.{name}" for group, field in RunConfig.model_fields.items() for name in nested(field.annotation)}
    assert {setting for setting in CODE if setting != "simulation"} | set(REGISTRIES) <= known
    assert all(read_docstring(f"fer_cli.{module}") for modules in CODE.values() for module in modules)
    assert list_modules([("learning.method", "ce"), ("model.attention", "sge")]) == ["fer_cli.models.attention"]


def nested(kind: object) -> list[str]:
    """Return the fields of a group of settings, those of groups within it as ``group.field``."""
    found = []
    for name, field in getattr(kind, "model_fields", {}).items():
        found += [name, *(f"{name}.{inner}" for inner in nested(field.annotation))]
    return found
