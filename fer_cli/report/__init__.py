"""Reports, computed from run folders alone. Never imports torch or mlflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from fer_cli.blocks import Figure
from fer_cli.checked import save_verified
from fer_cli.config import Compute
from fer_cli.data.kept import is_built, keep_sets, look_up_set
from fer_cli.errors import DamagedError, ResultsError
from fer_cli.formats import figure_files, use_formats
from fer_cli.places import write_text
from fer_cli.plan import describe_other_builds, last_choice, make_plan
from fer_cli.report.collect import collect, find_results
from fer_cli.report.doubts import find_underfitted
from fer_cli.report.frame import tidy
from fer_cli.report.material import Material
from fer_cli.report.render import FILES, RENDERERS, Report
from fer_cli.report.sections import SECTIONS
from fer_cli.study import Choice, load_study

__all__ = ["RENDERERS", "SECTIONS", "Report", "Written", "make_report"]


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

    @property
    def markdown(self) -> str:
        """Return the report as Markdown."""
        return RENDERERS["md"](self.report)


def make_report(
    study: str,
    compute: Compute,
    data: str | None = None,
    profile: str | None = None,
    seeds: tuple[int, ...] | None = None,
    split: str | None = None,
    epochs: float | None = None,
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
    choice = resolve_choice(study, results, data, profile, seeds, split, epochs)
    describe = cache(partial(look_up_set, results, compute.data_root))
    plan = make_plan(study, choice, compute, describe=describe)
    found = find_results(plan)
    cells = collect(plan, found)
    finished = sum(len(cell.results) for cell in cells.values())
    broken = [str(result) for result in found.values() if isinstance(result, DamagedError)]
    if not finished:
        also = f" ({len(broken)} are damaged, e.g. {broken[0]})" if broken else ""
        others = f"; {builds}" if (builds := describe_other_builds(plan, results)) else ""
        missing = f"no run of {plan.title} is done under {results}{also}{others}"
        raise ResultsError(f"{missing}; train it with: fer ablate --study {study}")
    folder = results / "figures" / plan.stem
    material = Material(study, plan, cells, find_underfitted(plan, cells), describe, compute, folder, figures, announce)
    with use_formats(formats):
        blocks = [block for section in SECTIONS.values() for block in section(material)]
        drawn = [path for block in blocks if isinstance(block, Figure) for path in figure_files(block.path)]
    keep_sets(results, compute.data_root, plan.sets, describe)
    save_verified(results)
    report = Report(plan.title, blocks, tidy(plan, cells), plan.study.report.metrics, page_columns)
    files = [results / "tables" / f"{plan.stem}.{name}" for name in FILES]
    for name, path in zip(FILES, files, strict=True):
        write_text(path, RENDERERS[name](report))
    unbuilt = [name for name in plan.sets if not is_built(compute.data_root, name)]
    return Written(report, files, drawn, choice, len(plan.items), len(plan.items) - finished, broken, unbuilt)


def resolve_choice(
    study: str,
    results: Path,
    data: str | None,
    profile: str | None,
    seeds: tuple[int, ...] | None,
    split: str | None,
    epochs: float | None,
) -> Choice:
    """Return the options as given, else those of the study's last ``fer ablate`` where they still apply."""
    last = last_choice(load_study(study), results)
    like = data in {None, last.data}
    same = like and profile in {None, last.profile}
    return Choice(
        profile or last.profile,
        data or last.data,
        seeds or (last.seeds if same else None),
        split or (last.split if like else None),
        epochs or (last.epochs if same else None),
    )
