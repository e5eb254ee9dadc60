"""Pages of made-up results, and a parser of what is on them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fer_cli.blocks import Note, Number, Table
from fer_cli.config import Compute, RunConfig
from fer_cli.page.study import write_page
from fer_cli.plan import Item, Plan
from fer_cli.report import Report, Written, make_report
from fer_cli.report.collect import Cell
from fer_cli.runs import RunFolder
from fer_cli.study import Choice, PlannedRun, Study
from tests.conftest import STUDY
from tests.fakes import fake_result, spread
from tests.reports import PAPER, planned

VOID = {"meta", "link", "input", "img", "br", "hr"}
COMMANDS = [("make it again", "fer report --study tiny --html")]


@dataclass
class Parsed(HTMLParser):
    """The elements of a page: unclosed ones, ids, links to them, and tables as rows of texts."""

    text: str
    ids: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    styled: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.table: list[list[str]] | None = None
        self.cell: list[str] | None = None
        self.words: list[str] = []
        self.feed(self.text)
        self.close()
        self.wrong += [f"unclosed {tag}" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.look(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.look(tag, attrs)

    def look(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.styled += "style" in known
        self.ids += [known["id"]] if "id" in known else []
        links = [known.get("href", ""), known.get("src", "")]
        self.targets += [known["popovertarget"]] if "popovertarget" in known else []
        self.targets += [link[1:] for link in links if link.startswith("#")]
        self.addresses += [link for link in links if link and not link.startswith("#")]
        if tag == "table":
            self.table = self.tables.setdefault(known.get("id", f"table {len(self.tables)}"), [])
        elif tag == "tr" and self.table is not None:
            self.table.append([])
        elif tag in {"td", "th"}:
            self.cell = []

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self.open[-1:]}")
            return
        self.open.pop()
        if tag == "table":
            self.table = None
        elif tag in {"td", "th"} and self.table is not None and self.cell is not None:
            self.table[-1].append("".join(self.cell).strip())
            self.cell = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.cell is not None:
            self.cell.append(data)


def read_data(page: str, name: str = "data") -> Any:
    """The content of a page's JSON."""
    return json.loads(page.split(f'<script type="application/json" id="{name}">')[1].split("</script>", maxsplit=1)[0])


def write_tiny(folder: Path, compute: Compute, old: str = "", new: str = "") -> tuple[Written, str]:
    """The report of the tiny study, some of its file replaced, and the text of its page."""
    planned(folder, compute)
    path = folder / "tiny.yaml"
    if old:
        path.write_text((STUDY + PAPER).replace(old, new))
    written = make_report(str(path), compute)
    return written, write_page(written, COMMANDS).path.read_text()


def write_many(compute: Compute, arms: int, seeds: int, classes: int = 7) -> Written:
    """A report of arms x seeds runs that are in memory alone."""
    from fer_cli.report.doubts import find_doubts
    from fer_cli.report.material import Material

    names = [f"arm {place:04d}" for place in range(arms)]
    study = Study.model_validate(
        {"name": "many", "question": "How many?", "arms": {name: {} for name in names}, "report": {"against": names[0]}}
    )
    items, cells = [], {}
    base = RunConfig()
    found = fake_result("0" * 12, base, {"test": spread(0.8, [30] * classes)})
    for place, name in enumerate(names):
        results = {}
        for seed in range(seeds):
            run_id = f"{place * seeds + seed:012x}"
            run = PlannedRun(name, (), seed, base, ())
            items.append(Item(run, "f" * 16, RunFolder(compute.results, run_id)))
            results[seed] = found.model_copy(update={"run_id": run_id})
        cells[name, ()] = Cell(name, (), list(range(seeds)), results)
    plan = Plan(study, Choice("small"), "synth-basic", items)
    for item in (items[0], items[-1]):
        item.folder.path.mkdir(parents=True, exist_ok=True)
    rows = [(name, [Number(0.8 + place / 1e5, sd=0.01, n=seeds, planned=seeds)]) for place, name in enumerate(names)]
    rows[0] = (names[0], [Number(0.8, sd=0.01, n=seeds - 1, planned=seeds, marks=("underfitted",))])
    table = Table("accuracy in %: mean ± sd", ["accuracy"], rows, ["† did not learn"], kind="scores")
    material = Material("many", plan, cells, find_doubts(plan, cells), lambda _: None, compute, compute.results / "figures")  # type: ignore[arg-type, return-value]
    report = Report(plan.title, [Note("How many?", head=True), Note("Many.", head=True), table])
    return Written(report, [], [], plan.choice, len(items), 0, [], [], material)
