"""Reports, computed from run folders alone. Never imports torch or mlflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from fer_cli.blocks import Figure
from fer_cli.checked import save_verified
from fer_cli.choices import last_choice
from fer_cli.commands import train_command
from fer_cli.config import Compute
from fer_cli.data.kept import About, is_built, keep_sets, look_up_set
from fer_cli.errors import DamagedError, ResultsError
from fer_cli.formats import figure_files, use_formats
from fer_cli.places import write_text
from fer_cli.plan import Plan, describe_other_builds, make_plan
from fer_cli.report.choices import Found, fill_choice, find_plans
from fer_cli.report.collect import collect, find_results
from fer_cli.report.doubts import find_doubts
from fer_cli.report.frame import tidy
from fer_cli.report.material import Material
from fer_cli.report.measured import claimed_measures
from fer_cli.report.render import FILES, RENDERERS, Report
from fer_cli.report.sections import SECTIONS
from fer_cli.results import Result
from fer_cli.study import Choice, load_study, study_names

__all__ = ["RENDERERS", "SECTIONS", "Report", "Written", "make_report", "make_reports"]


@dataclass(frozen=True)
class Written:
    """A report, its files, and how much of the plan it covers."""

    report: Report
    files: list[Path]
    figures: list[Path]
    choice: Choice
    planned: int
    missing: int
    damaged: list[str]  # file and reason of each damaged run among the missing ones
    unbuilt: list[str]  # sets that are not under the data root; their description comes from the results folder
    material: Material  # what the report is made of

    @property
    def markdown(self) -> str:
        """Return the report as Markdown."""
        return RENDERERS["md"](self.report)


@dataclass(frozen=True)
class Output:
    """How a report is written: with figures and analyses or not, formats of figures, columns of the page for LaTeX."""

    figures: bool = False
    announce: Callable[[str], None] = lambda _: None  # called with the name of each slow step before it starts
    formats: Sequence[str] = ("png",)
    page_columns: int = 2


def make_report(
    study: str,
    compute: Compute,
    data: str | None = None,
    profile: str | None = None,
    seeds: tuple[int, ...] | None = None,
    split: str | None = None,
    epochs: float | None = None,
    recipe: bool | None = None,
    settings: tuple[str, ...] | None = None,
    figures: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    formats: Sequence[str] = ("png",),
    page_columns: int = 2,
) -> Written:
    """Write a study's tables under ``results/tables`` and return the report; raises ResultsError if no run is done.

    ``figures``: also draw figures under ``results/figures`` and run the network analyses; ``announce`` is called with the
    name of each slow step; ``formats``: of the figures beside PNG; ``page_columns``: of the page for LaTeX tables.
    Omitted options default to those of the study's last ``fer ablate``.
    """
    results = compute.results
    last = last_choice(load_study(study), results)
    choice = fill_choice(
        Choice(profile or "", data, seeds, split, epochs, settings=settings), last, data or last.data, recipe
    )
    describe = cache(partial(look_up_set, results, compute.data_root))
    plan = make_plan(study, choice, compute, describe=describe)
    output = Output(figures, announce, formats, page_columns)
    written = write_report(study, plan, find_results(plan), compute, describe, output)
    save_verified(results)
    return written


def make_reports(
    compute: Compute,
    figures: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    formats: Sequence[str] = ("png",),
    page_columns: int = 2,
) -> list[tuple[str, Written]]:
    """Write the tables of every shipped study on each data set with finished runs; return study names and reports."""
    describe = cache(partial(look_up_set, compute.results, compute.data_root))
    output, written = Output(figures, announce, formats, page_columns), []
    for name in study_names():
        for plan, found in own_plans(name, compute, describe):
            announce(plan.title)
            written.append((name, write_report(name, plan, found, compute, describe, output)))
    save_verified(compute.results)
    return written


def own_plans(name: str, compute: Compute, describe: About) -> Iterator[tuple[Plan, Found]]:
    """Yield a study's plans with the results of their runs, without sets on which only other studies' runs are done."""
    for plan, found, chosen in find_plans(name, compute, Choice(""), strict=False, describe=describe):
        arms = {item.run.arm for item in plan.items if isinstance(found.get(item.run_id), Result)}
        if chosen or len(arms) == len(plan.study.arms):
            yield plan, found


def write_report(study: str, plan: Plan, found: Found, compute: Compute, describe: About, output: Output) -> Written:
    """Write the tables of a plan whose results are found, and return the report; raises ResultsError if no run is done."""
    results = compute.results
    cells = collect(plan, found)
    finished = sum(len(cell.results) for cell in cells.values())
    broken = [str(result) for result in found.values() if isinstance(result, DamagedError)]
    if not finished:
        also = f" ({len(broken)} are damaged, e.g. {broken[0]})" if broken else ""
        others = f"; {builds}" if (builds := describe_other_builds(plan, results)) else ""
        missing = f"no run of {plan.title} is done under {results}{also}{others}"
        raise ResultsError(f"{missing}; train it with: {train_command(study, plan.choice, compute)}")
    folder = results / "figures" / plan.stem
    material = Material(
        study, plan, cells, find_doubts(plan, cells), describe, compute, folder, output.figures, output.announce
    )
    with use_formats(output.formats):
        blocks = [block for section in SECTIONS.values() for block in section(material)]
        drawn = [path for block in blocks if isinstance(block, Figure) for path in figure_files(block.path)]
    keep_sets(results, compute.data_root, plan.sets, describe)
    columns = [*plan.study.report.metrics, *claimed_measures(plan)]
    report = Report(plan.title, blocks, tidy(plan, cells), columns, output.page_columns)
    files = [results / "tables" / f"{plan.stem}.{name}" for name in FILES]
    for name, path in zip(FILES, files, strict=True):
        write_text(path, RENDERERS[name](report))
    unbuilt = [name for name in plan.sets if not is_built(compute.data_root, name)]
    left = len(plan.items) - finished
    return Written(report, files, drawn, plan.choice, len(plan.items), left, broken, unbuilt, material)
