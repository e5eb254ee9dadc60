"""The tables under ``results/tables``, read back: Markdown to ``Table``s, CSV to the ``Cell``s that they were made from."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fer_cli.config import METRICS, DataConfig, RunConfig, SequencesConfig
from fer_cli.report.collect import Cell
from fer_cli.report.tables import factor_label
from fer_cli.results import SIMULATED, Result, Scores
from fer_cli.stats import Difference, paired_difference, signed_rank, unpaired_difference
from fer_cli.study import load_study
from tests.fakes import fake_result


@dataclass(frozen=True)
class Text:
    """A cell as it is written."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table as it is written."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Text]]]
    notes: list[str]


FOLDER = Path(__file__).parent.parent / "results" / "tables"
COMMON = ["study", "profile", "data", "fingerprint", "split", "split_hash", "arm"]
"""Columns of a CSV before those of the grid's factors, which end at ``seed``."""


@dataclass(frozen=True)
class Report:
    """One tracked report; ``path`` without its suffix."""

    path: Path

    @cached_property
    def lines(self) -> list[str]:
        """The lines of its Markdown."""
        return self.path.with_suffix(".md").read_text().split("\n")

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The lines of its CSV, without the apostrophe before what a spreadsheet takes for a formula."""
        with self.path.with_suffix(".csv").open(encoding="utf-8", newline="") as stream:
            return [row | {"arm": re.sub(r"^'(?=[=+@-])", "", row["arm"])} for row in csv.DictReader(stream)]

    @property
    def version(self) -> int:
        """The version of the report that wrote it; the first did not say."""
        return int(self.rows[0].get("report", 1))

    @cached_property
    def head(self) -> list[str]:
        """What is said above the first table."""
        first = next(place for place, line in enumerate(self.lines) if line.startswith("## "))
        return [line.removeprefix("- ") for line in self.lines[:first] if line.startswith("- ")]

    @cached_property
    def tables(self) -> list[Table]:
        """All tables in order; the last one, ``Notes``, has notes alone."""
        sections: list[list[str]] = []
        for line in self.lines:
            if line.startswith("## "):
                sections.append([])
            if sections:
                sections[-1].append(line)
        return [table_of(section) for section in sections]

    @cached_property
    def cells(self) -> dict[tuple[str, str], Cell]:
        """Arm and column title ("" where there is one column) -> the cell, recomputed from the CSV; no result: missing."""
        factors = [name for name in list(self.rows[0])[len(COMMON) :] if name not in RUN]
        assert len(factors) <= 1, "no tracked table has more"
        results: dict[tuple[str, str], dict[int, Result]] = {}
        for row in self.rows:
            place = (row["arm"], f"{factor_label(factors[0])} {row[factors[0]]}" if factors else "")
            seed, known = int(row["seed"]), results.setdefault(place, {})
            known[seed] = self.result(row, known.get(seed))
        seeds = sorted({int(row["seed"]) for row in self.rows})
        planned = {place: seeds if self.version > 1 else sorted(found) for place, found in results.items()}
        cells = {place: Cell(place[0], (), planned[place], found) for place, found in results.items()}
        if self.version > 1:
            for label, _ in self.tables[0].rows:
                for column in self.tables[0].columns if factors else [""]:
                    arm = label.removesuffix(" (leaky split)")
                    cells.setdefault((arm, column.removesuffix(" (leaky split)")), Cell(arm, (), seeds, {}))
        return cells

    def result(self, row: dict[str, str], known: Result | None) -> Result:
        """Return what a line, and lines before it (``known``), say of a run's result.

        Older CSVs do not say how many images were trained on or validated by: all of the set but those tested on.
        """
        n = int(row["n_test"])
        other = any(line.startswith(("tested on all of ", "- tested on all of ")) for line in self.lines)
        sizes = re.findall(r"fingerprint ([0-9a-f]+); (\d+) (?:images,|clips )", "\n".join(self.head))
        found = [int(size) for fingerprint, size in sizes if row["fingerprint"].startswith(fingerprint)]
        (total,) = [2 * n] if row["data"] == SIMULATED or "n_train" in row else found
        config = RunConfig(data=DataConfig.model_construct(split=row["split"], test="another" if other else None))
        if row["data"] == SIMULATED:
            config = RunConfig(sequences=SequencesConfig(simulation="tags"))
        elif self.version >= 3 and (base := load_study(row["study"]).base).get("sequences.simulation") == "emotions":
            data = DataConfig.model_construct(split=row["split"], folds=base["data.folds"])
            config = RunConfig(data=data, sequences=SequencesConfig(simulation="emotions"))
        made = known or fake_result(
            config=config,
            data={
                "train": int(row.get("n_train", total - n)),
                "val": 0,
                "test": n,
                "split_hash": row["split_hash"],
                "test_hash": row.get("test_hash") or None,
            },
        )
        before = known.metrics["test"].model_extra if known is not None else None
        scores = Scores.model_construct(n=n, confusion=[], **(before or {}), **{row["metric"]: float(row["value"])})
        return made.model_copy(update={"metrics": {"test": scores}})

    def cell(self, arm: str, column: str) -> Cell:
        """Return the cell of a row's arm in a column of a table, whose titles may warn of a leaky split."""
        column = column.removesuffix(" (leaky split)")
        alone = column in {metric.label for metric in METRICS.values()}
        return self.cells[arm.removesuffix(" (leaky split)"), "" if alone else column]


RUN = [
    "seed",
    "metric",
    "value",
    "n_test",
    "n_train",
    "selected_on",
    "epoch",
    "run_id",
    "commit",
    "test_hash",
    "report",
    "configs",
]
"""Columns of a CSV after those of the grid's factors."""
REPORTS = [Report(path.with_suffix("")) for path in sorted(FOLDER.glob("*.csv"))]


def table_of(section: list[str]) -> Table:
    """Return the table of a section: its heading, rows of cells, notes."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in section if line.startswith("|")]
    texts = [
        [Text(plain(cell.removeprefix("**").removesuffix("**")), cell.startswith("**")) for cell in row] for row in rows
    ]
    notes = [plain(line.removeprefix("- ")) for line in section if line.startswith("- ")]
    title = plain(section[0].removeprefix("## "))
    if not texts:
        return Table(title, [], [], notes)
    columns = [cell.text for cell in texts[0][1:]]
    return Table(title, columns, [(row[0].text, row[1:]) for row in texts[2:]], notes)


def plain(text: str) -> str:
    """Return Markdown text without the backslashes before its signs."""
    return re.sub(r"\\([^\w\s])", r"\1", text)


def metric_of(title: str) -> str | None:
    """Return the metric that a table's title begins with, or None."""
    return next((name for name, metric in METRICS.items() if re.match(rf"{re.escape(metric.label)}[, ]", title)), None)


def first_difference(ours: Cell, theirs: Cell, metric: str) -> Difference:
    """Return a difference as version 1 had it: over seeds alone, whatever they were tested on."""
    pair = ([cell.results[seed].data for seed in cell.seeds] for cell in (ours, theirs))
    mine, others = ([data.split_hash for data in datas] for datas in pair)
    if mine == others:
        return paired_difference(ours.values(metric), theirs.values(metric), max(ours.overlap, theirs.overlap))
    return unpaired_difference(ours.values(metric), theirs.values(metric), (ours.overlap, theirs.overlap))


def first_rank_test(ours: Cell, theirs: Cell, metric: str) -> str:
    """Return the words of version 1 for the signed-rank test."""
    tested = {result.metrics["test"].n for cell in (ours, theirs) for result in cell.ordered}
    images = tested.pop() if metric == "accuracy" and len(tested) == 1 else None
    found = signed_rank(ours.values(metric), theirs.values(metric), images)
    return "fewer than six pairs differ" if found is None else f"W = {found[0]:g}, p = {found[1]:.4f}"


def base_of(title: str) -> str | None:
    """Return the arm that a table of version 1 compares with, "" where each row names its own, or None elsewhere."""
    if found := re.search(r"difference to (.+) in points \[", title):
        return found[1]
    return "" if ", further differences in points [" in title else None
