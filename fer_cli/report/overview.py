"""``RESULTS.md``: the answers of all written tables in three lines each, and which tables are behind.

It is computed from the files under ``results/tables``, the names of those under ``results/figures`` and the study files
alone, so it is the same on every machine. A table is behind if an earlier version of the report wrote it, or if its study
now expands to other configs.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fer_cli import escape
from fer_cli.blocks import percent
from fer_cli.config import METRICS, Known
from fer_cli.errors import FerError, ResultsError
from fer_cli.expand import PEOPLE_KNOWN, expand, hash_configs
from fer_cli.judge import count_verdicts
from fer_cli.places import open_regular, read_text, write_text
from fer_cli.report.answer import CLAIMS
from fer_cli.report.frame import SETTINGS
from fer_cli.report.reread import read_report
from fer_cli.report.tables import factor_label
from fer_cli.report.version import VERSION, VERSIONS
from fer_cli.results import SIMULATED
from fer_cli.study import Choice, Study, load_study
from fer_cli.tasks import task_of

FILE = "RESULTS.md"
COSTS = (" parameters", " multiply-adds")
"""How the differences of claims about costs end."""
SIMULATION = ", a simulation"
VERDICTS = "Verdicts on the studies' claims, from tables that are not behind"
SETS = (
    PEOPLE_KNOWN,
    Known(frozenset({"train", "public", "private"})),
    Known(frozenset({"train", "test"})),
    Known(people=2, sequences=2),
    Known(),
)
"""What a data set, which need not be here, may say of its images: a current table's configs follow from one of these."""
HASHED = 2
"""First version whose tables store the hash of their configs; run ids tell of older ones, unless runs start from others."""
SET = re.compile(r"-set-([0-9a-f]{8}|[\w.]+=.+)$")
SCALED = re.compile(r"-epochs([\d.]+)$")


@dataclass(frozen=True)
class Written:
    """A written table; ``rows``: its CSV."""

    path: Path
    rows: list[dict[str, str]]

    @property
    def version(self) -> int:
        """Return the version of the report that wrote it."""
        text = self.rows[0].get("report") or "1"
        return int(text) if text.isdecimal() else 1

    def values(self, column: str) -> list[str]:
        """Return the distinct values of a column, in order."""
        return list(dict.fromkeys(row.get(column) or "" for row in self.rows))

    @property
    def n(self) -> int:
        """Return the number of seeds."""
        return len(self.values("seed"))

    def find_lag(self) -> str:
        """Return why the table is behind, "" if it is not."""
        if self.version > VERSION:
            return f"made by report version {self.version}, which this fer does not know"
        try:
            state = self.compare_configs(load_study(self.values("study")[0]))
        except FerError:
            state = "its study is gone"
        old = [f"made by report version {self.version}"] if self.version < VERSION else []
        return ", ".join([*old, *filter(None, [state])])

    def compare_configs(self, study: Study) -> str:
        """Return whether the study now expands to other configs, "" if it does not or an old table cannot tell."""
        given = SET.search(self.path.stem)
        if given and "=" not in given[1]:
            return ""  # the name has a hash of the settings of --set
        configs = self.values("configs")[0] if self.version >= HASHED else ""
        made = set(self.values("run_id"))
        for choice in self.list_choices():
            for known in SETS:
                try:
                    runs = expand(study, choice, lambda _, known=known: known)  # type: ignore[misc]
                except FerError:
                    continue
                if configs and hash_configs(runs) == configs:
                    return ""
                if not configs and any(task_of(run.config).before(run.config) is not None for run in runs):
                    return ""  # run ids depend on those of the runs that they start from, which the table does not name
                if not configs and {run.run_id(name) for run in runs for name in self.values("fingerprint")} >= made:
                    return ""
        return "configs changed since"

    def list_choices(self) -> Iterator[Choice]:
        """Yield the options that the table may have been made with."""
        given = SET.search(self.path.stem)
        settings = tuple(given[1].split("+")) if given else None
        scaled = SCALED.search(SET.sub("", self.path.stem))
        epochs = float(scaled[1]) if scaled else None
        seeds = tuple(int(seed) for seed in self.values("seed"))
        for data in [None, *(name for name in self.values("data") if name != SIMULATED)]:
            for split in [None, *(split for split in self.values("split") if split)]:
                yield Choice(self.values("profile")[0], data, seeds, split, epochs, settings=settings)


def read_tables(results: Path) -> list[Written]:
    """Return the tables under a results folder by name; raises ResultsError for an unreadable CSV."""
    found = []
    for path in sorted((results / "tables").glob("*.csv")):
        try:
            with open_regular(path) as stream:
                rows = list(csv.DictReader(stream.read().decode("utf-8").splitlines()))
        except (OSError, ValueError, csv.Error) as error:
            raise ResultsError(f"{path}: unreadable ({error}); remove it and run fer report again") from None
        if not rows or not {*SETTINGS, "arm", "seed", "metric", "value"} <= rows[0].keys():
            raise ResultsError(f"{path}: not a table of fer report; move it elsewhere")
        found.append(Written(path, rows))
    return found


def head_lines(path: Path) -> tuple[str, list[str]]:
    """Return the title of a table's Markdown, and the lines of the list before its first table."""
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError):
        return path.stem, []
    first = next((place for place, line in enumerate(lines) if line.startswith("## ")), len(lines))
    title = lines[0].removeprefix("# ") if lines[0].startswith("# ") else path.stem
    return title, [line.removeprefix("- ") for line in lines[:first] if line.startswith("- ")]


def name_best(table: Written) -> str:
    """Return the highest mean of a table's first metric, from its CSV: the answer where the report has none."""
    names = list(table.rows[0])
    factors = names[names.index("arm") + 1 : names.index("seed")]
    metric = table.values("metric")[0]
    groups: dict[tuple[str, ...], list[float]] = {}
    for row in table.rows:
        if row["metric"] == metric:
            groups.setdefault((row["arm"], *(row[factor] for factor in factors)), []).append(float(row["value"]))
    best = max(groups, key=lambda key: sum(groups[key]) / len(groups[key]))
    where = ", ".join([best[0], *(f"{factor_label(f)} {value}" for f, value in zip(factors, best[1:], strict=True))])
    label = METRICS[metric].label if metric in METRICS else metric
    mean = sum(groups[best]) / len(groups[best])
    best_text = f"The highest {label} is {percent(mean)} % ({escape.markdown(where)}, n = {len(groups[best])})"
    return f"{best_text}, whose red flags, if any, are in its table."


def entry_lines(table: Written, lag: str) -> Iterator[str]:
    """Yield the lines of one table."""
    title, head = head_lines(table.path.with_suffix(".md"))
    answered = table.version >= 2 and len(head) > 1
    yield f"## {title}"
    yield ""
    yield f"- {head[0] if head else title}"
    yield f"- {head[1] if answered else name_best(table)}"
    sets = " and ".join(f"`{name}`" for name in table.values("data"))
    splits = " and ".join(f"`{split}`" for split in table.values("split") if split)
    date = VERSIONS.get(table.version, "")
    facts = [f"data {sets}", *([f"split {splits}"] if splits else []), f"n = {table.n}"]
    facts.append(f"report version {table.version}{f' ({date})' if date else ''}")
    files = f"[tables](tables/{table.path.stem}.md)"
    if figures := list_figures(table):
        files += f"; figures {', '.join(figures)}"
    if absent := count_absent(table):
        others = "another figure that it names is" if absent == 1 else f"{absent} more figures that it names are"
        files += f"; {others} not kept here (`fer report --figures` draws {'it' if absent == 1 else 'them'})"
    yield f"- {'; '.join(facts)}; {files}{f'; **behind**: {lag}' if lag else ''}"
    yield ""


def list_verdicts(table: Written) -> Iterator[tuple[str, ...]]:
    """Yield study with data, claim, verdict, difference and relation to the paper of every claim that a table judges."""
    sets = " and ".join(f"`{name}`" for name in table.values("data"))
    _, notes, grids = read_report(read_text(table.path.with_suffix(".md")))
    on = "" if table.values("data") == [SIMULATED] else f" on {sets}"
    drawn = SIMULATION if any(note.startswith("SIMULATION") for note in notes) else ""
    where = f"`{table.values('study')[0]}`{on}{drawn}"
    for grid in grids:
        if grid.title == CLAIMS:
            place = [heading.text for heading in grid.head].index("reproduced")
            for row in grid.rows:
                yield where, *(escape.markdown(row[column].text) for column in (0, 1, 2, place))


def verdict_lines(tables: Iterable[Written]) -> list[str]:
    """Return how many claims have each verdict, and a Markdown table of what tables say of each claim."""
    rows = [row for table in tables for row in list_verdicts(table)]
    if not rows:
        return []
    head = ("study and data", "claim", "verdict", "difference in points unless said [95 % interval]", "reproduced")
    grid = [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]
    papers = [row[2] for row in rows if row[4] != "no paper"]
    theirs = [f"The papers make {len(papers)} of them: {count_verdicts(papers).partition(': ')[2]}."] if papers else []
    kinds = {
        "Of costs, which are counted, not tested": [row[2] for row in rows if row[3].endswith(COSTS)],
        "Of simulated sequences": [row[2] for row in rows if row[0].endswith(SIMULATION)],
    }
    parts = [f"{words}: {count_verdicts(found)}." for words, found in kinds.items() if found]
    counted = [f"{count_verdicts(row[2] for row in rows)}.", *theirs, *parts, *repeats(rows)]
    return [" ".join(counted), "", *grid]


def repeats(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return how many claims have the very numbers of another one on the same data."""
    found = Counter((row[0].partition(" on ")[2], row[3]) for row in rows if "[" in row[3])
    again = sum(count - 1 for count in found.values())
    verb = "has" if again == 1 else "have"
    why = "the same runs in two studies, or a part that did nothing"
    return [f"{again} {verb} the numbers of another: {why}."] if again else []


def list_figures(table: Written) -> list[str]:
    """Return links to the figures of a table's study, and to the CSVs of their values."""
    folder = table.path.parent.parent / "figures" / table.path.stem
    paths = sorted([*folder.glob("*.png"), *folder.glob("*.csv")], key=lambda path: (path.stem, path.suffix))
    return [f"[{escape.markdown(path.name)}](figures/{quote(folder.name, '+')}/{quote(path.name, '+')})" for path in paths]


def count_absent(table: Written) -> int:
    """Return the number of figures that a table names and that are not beside it."""
    named = set(re.findall(r"^- ([\w.-]+\.png):", read_text(table.path.with_suffix(".md")), re.MULTILINE))
    return len(named - {path.name for path in (table.path.parent.parent / "figures" / table.path.stem).glob("*.png")})


def overview_text(results: Path) -> str:
    """Return the content of ``RESULTS.md``."""
    tables = read_tables(results)
    lags = {table.path.stem: table.find_lag() for table in tables}
    behind: dict[str, list[str]] = {}
    for name, lag in lags.items():
        if lag:
            behind.setdefault(lag, []).append(name)
    many = sum(map(len, behind.values()))
    lines = ["# Results", ""]
    lines.append(
        f"Written by `fer report --all` from the tables beside it, report version {VERSION} ({VERSIONS[VERSION]}): "
        f"{len(tables)} tables, {many} of them behind. Figures beside them are a selection: `fer report --study NAME "
        "--figures` draws every page."
    )
    lines.append("")
    if behind:
        lines += ["Behind, to be made again from their runs:", ""]
        lines += [f"- {lag} ({len(names)}): {', '.join(names)}" for lag, names in behind.items()]
        lines.append("")
    if verdicts := verdict_lines(table for table in tables if not lags[table.path.stem]):
        lines += [f"## {VERDICTS}", "", *verdicts, ""]
    for table in tables:
        lines += entry_lines(table, lags[table.path.stem])
    return "\n".join(lines)


def write_overview(results: Path) -> Path:
    """Write ``RESULTS.md`` at the top of a results folder and return its path."""
    path = results / FILE
    write_text(path, overview_text(results))
    return path
