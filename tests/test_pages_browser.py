"""Pages in Debian's Chromium: they sort, filter and open runs, complain of nothing, ask for nothing, and open at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_cli.config import Compute
from fer_cli.page import runs
from fer_cli.page.index import write_index
from fer_cli.page.mistakes import Mistake
from fer_cli.page.study import write_page
from tests.browser import PACKAGE, Browser
from tests.pages import COMMANDS, write_many, write_tiny

pytestmark = pytest.mark.exhaustive
LIMIT_S = 1.0
"""Processor time in which a page opens."""
ROWS = (
    "[...document.querySelectorAll('#main-table tbody tr')].filter(row => !row.hidden).map(row => row.cells[{}].textContent)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


def check_quiet(browser: Browser, path: Path) -> None:
    """Nothing is complained of, nothing but the file itself is asked for, and the page is as wide as the window."""
    assert browser.complaints() == []
    assert {url.partition("#")[0] for url in browser.requests()} == {path.as_uri()}
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


def test_a_study_can_be_read_sorted_filtered_and_opened(browser: Browser, tmp_path: Path, compute: Compute) -> None:
    written, _ = write_tiny(tmp_path, compute)
    path = compute.results / "pages" / f"{written.material.plan.stem}.html"
    for width in (1280, 360):
        browser.resize(width, 800, dark=width == 360)
        browser.open(path.as_uri())
        check_quiet(browser, path)

    def values(column: int) -> Any:
        return browser.run(ROWS.format(column))

    before = values(1)
    browser.run("document.querySelectorAll('#main-table thead button')[1].click()")
    falling = values(1)
    browser.run("document.querySelectorAll('#main-table thead button')[1].click()")
    assert values(1) == sorted(before, key=lambda text: float(text.split()[0]))
    assert falling == values(1)[::-1]
    assert browser.run("document.querySelector('#main-table th[aria-sort]').getAttribute('aria-sort')") == "ascending"
    typed = "(() => {{ const one = document.querySelectorAll('input[type=search]')[{}]; one.value = {}; "
    typed += "one.dispatchEvent(new Event('input')); }})()"
    browser.run(typed.format(0, json.dumps("scn")))
    assert [name.split()[0] for name in values(0)] == ["SCN-CS"]
    browser.run(typed.format(1, json.dumps("cnn 0.3")))
    assert browser.run("document.querySelectorAll('#run-list tbody tr').length") == 3

    run = browser.run("document.querySelector('#run-list .open').dataset.run")
    browser.run("document.querySelector('#run-list .open').click()")
    text = browser.run(f"document.getElementById('run-{run}').innerText")
    assert "data.label_noise" in text
    assert f"fer show {run}" in text
    result = next(r for cell in written.material.cells.values() for r in cell.ordered if r.run_id == run)
    counts = browser.run(
        f"[...document.querySelectorAll('#run-{run} .matrix tbody tr')].map(row => [...row.querySelectorAll('td')]"
        ".map(cell => +cell.textContent))"
    )
    assert counts == result.metrics["test"].confusion
    assert browser.run("document.activeElement.tagName") == "H3"  # for keyboards and screen readers
    assert browser.complaints() == []


def test_the_table_is_readable_without_javascript(browser: Browser, tmp_path: Path, compute: Compute) -> None:
    written, _ = write_tiny(tmp_path, compute)
    path = compute.results / "pages" / f"{written.material.plan.stem}.html"
    browser.scripts(allowed=False)
    try:
        browser.open(path.as_uri())
        picture = tmp_path / "page.png"
        browser.picture(picture)
        assert picture.stat().st_size > 10_000
        answer = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        found = browser.call("DOM.querySelectorAll", nodeId=answer, selector="#main-table tbody tr, noscript p")
        assert len(found["nodeIds"]) == 3
    finally:
        browser.scripts(allowed=True)


def test_five_thousand_runs_open_in_a_second(
    browser: Browser, tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "find_mistakes", lambda *_: [Mistake("sample", "sad", "happy", 0.9)] * 5)
    page = write_page(write_many(compute, arms=1000, seeds=5), COMMANDS)
    assert page.size <= 1_000_000
    browser.resize(1280, 800)
    assert browser.open(page.path.as_uri()) <= LIMIT_S
    check_quiet(browser, page.path)
    assert browser.run("document.querySelectorAll('#run-list tbody tr').length") == 100
    browser.run("document.querySelector('#main-table .flag').click()")
    meaning = "[...document.querySelectorAll('.meaning:popover-open')].map(one => one.textContent.trim())"
    assert browser.run(meaning) == ["† did not learn"]
    assert browser.run("document.querySelector('#main-table .flag').title") == "did not learn"
    assert "5000 of 5000 runs" in browser.run("document.querySelector('#run-table .count').textContent")
    summaries = page.path.read_text()[:100_000]
    for place in range(300):
        shutil.copy(page.path, tmp_path / f"{place}.html") if place < 1 else (tmp_path / f"{place}.html").write_text(
            summaries
        )
    index = write_index(tmp_path)
    assert browser.open(index.as_uri()) <= LIMIT_S
    check_quiet(browser, index)


def test_without_chromium_the_test_fails_and_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        Browser(tmp_path)
    assert "package chromium" in PACKAGE
