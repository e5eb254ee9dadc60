"""``fer report``: a study's tables and figures, computed from run folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.advice import report_options
from fer_cli.cli.options import (
    DEFAULT_RESULTS,
    DataName,
    DataRoot,
    Epochs,
    OptionalStudy,
    Profile,
    Results,
    Seeds,
    SetOption,
    SplitName,
    UseRecipe,
    data_root_or_default,
    parse_seeds,
    thread_count,
)
from fer_cli.cli.pages import Html, Thumbnails, check_pages, draw_for, list_formats, write_pages
from fer_cli.cli.screen import pause_collection, print_report, print_table, say
from fer_cli.commands import choice_options, given_results, write_command
from fer_cli.errors import ResultsError, StudyError

if TYPE_CHECKING:
    from pathlib import Path

    from fer_cli.config import Compute
    from fer_cli.report import Written

Formats = Annotated[
    str | None,
    typer.Option(
        "--formats",
        help="With --figures: their formats beside PNG, or png for PNG alone.",
        show_default="pdf,svg",
    ),
]
Columns = Annotated[
    int, typer.Option("--columns", min=1, max=2, help="Columns of the page that LaTeX tables are fitted to.")
]
Claims = Annotated[
    bool, typer.Option("--claims", help="Judge the study's claims on each data set instead; with --all, every study's.")
]
ALL = "--all, which reports every study with the options it ran with last"
CLAIMS = "--claims, which only judges a study as it is"
Answers = Annotated[
    bool,
    typer.Option(
        "--answers", help="Also write what each run answered to results/predictions, to be published with the table."
    ),
]


def report(
    study: OptionalStudy = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Report every shipped study with finished runs, and write all answers to RESULTS.md."),
    ] = False,
    data: DataName = None,
    profile: Profile = None,
    seeds: Seeds = None,
    split: SplitName = None,
    epochs: Epochs = None,
    recipe: UseRecipe = None,
    settings: SetOption = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw figures and run the study's network analyses.")
    ] = False,
    formats: Formats = None,
    columns: Columns = 2,
    claims: Claims = False,
    answers: Answers = False,
    html: Html = False,
    thumbnails: Thumbnails = None,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Print a study's tables and write them as .md, .csv and .tex (default: the data and profile that ran last)."""
    from fer_cli.config import Compute
    from fer_cli.inventory.parents import log_report

    compute = Compute(data_root=data_root_or_default(data_root), results=results, threads=thread_count())
    check_pages(html, claims, thumbnails)
    formats = choose_formats(formats, figures)
    if every:
        chosen = {"--study": study, "--data": data, "--profile": profile, "--seeds": seeds, "--split": split}
        refuse({**chosen, "--epochs": epochs, "--recipe": recipe, "--set": settings}, ALL)
    elif study is None:
        raise StudyError("give a study with --study, or --all for every study with finished runs")
    if claims:
        refuse({"--figures": figures or None, "--answers": answers or None, "--set": settings}, CLAIMS)
        print_claims(study, compute, data, profile, parse_seeds(seeds), split, epochs, recipe)
        return
    if study is None:
        found = report_all(compute, figures, formats, columns, html)
        publish(found, results, data_root, answers, html, thumbnails)
        return
    from fer_cli.overrides import parse_settings
    from fer_cli.report import make_report

    asked = (data, profile, parse_seeds(seeds), split, epochs, recipe, parse_settings(settings), figures)
    with pause_collection(), draw_for(html):
        written = make_report(study, compute, *asked, show_step, list_formats(formats, html), columns)
    log_report(results, written.material.plan.study.name, written.report.title, written.files[0].stem)
    publish([written], results, data_root, answers, html, thumbnails)
    if not html:
        print_written(written, compute, study, data_root, figures)


def print_written(written: Written, compute: Compute, study: str, data_root: Path | None, figures: bool) -> None:
    """Print a report, and say what was written, what is missing, and the next command."""
    from fer_cli.choices import last_choice

    print_report(written.report)
    results = compute.results
    where = {"results": given_results(results), "data_root": data_root}
    if written.unbuilt:
        kept = f"using the records in {results / 'sets'}"
        say(f"not built under {compute.data_root}: {', '.join(written.unbuilt)}; {kept}")
    say("written: " + ", ".join(str(path) for path in [*written.files, *written.figures]))
    if written.damaged:
        say(f"{len(written.damaged)} of {written.planned} runs are damaged and left out, e.g. {written.damaged[0]}")
    if written.missing:
        again = write_command(
            "fer ablate", study=study, **choice_options(written.choice), **where, retry_failed=bool(written.damaged)
        )
        say(f"{written.missing} of {written.planned} runs are not done; next: {again}")
    elif not figures:
        plan = written.material.plan
        named = {} if plan.choice == last_choice(plan.study, results) else report_options(plan)
        say(f"next: {write_command('fer report', study=study, **named, **where, figures=True)}")
    else:
        from fer_cli.tracking import view_command

        if command := view_command(results):
            say(f"next: {command}")


def publish(
    found: list[Written], results: Path, data_root: Path | None, answers: bool, html: bool, thumbnails: int | None
) -> None:
    """Write the answers and pages of reports, if asked for."""
    if answers:
        keep_answers(found, results)
    if html:
        write_pages(found, results, data_root, thumbnails)


def keep_answers(found: list[Written], results: Path) -> None:
    """Write what the runs of each report answered, and name the files."""
    from fer_cli.report.answers import write_answers

    paths = [write_answers(results, written.material.plan.stem, written.material.cells) for written in found]
    say("written: " + ", ".join(str(path) for path in paths))


def show_step(name: str) -> None:
    """Print the name of a slow step."""
    say(f"{name} …")


def refuse(options: dict[str, object], beside: str) -> None:
    """Raise StudyError for the first option that is given, not None, though it has no meaning beside another."""
    for option, value in options.items():
        if value is not None:
            raise StudyError(f"{option}: cannot be combined with {beside}; leave it out")


def choose_formats(given: str | None, figures: bool) -> str:
    """Return the formats of figures; raises StudyError if some are given and no figure is drawn."""
    if given is not None and not figures:
        raise StudyError("--formats: has no effect without --figures")
    return given or "pdf,svg"


def report_all(compute: Compute, figures: bool, formats: str, columns: int, html: bool) -> list[Written]:
    """Write the tables of every study with finished runs, and the overview; return the reports."""
    from fer_cli.inventory.parents import log_report
    from fer_cli.report import make_reports
    from fer_cli.report.overview import write_overview

    with pause_collection(), draw_for(html):
        found = make_reports(compute, figures, show_step, list_formats(formats, html), columns)
    for name, written in found:
        log_report(compute.results, name, written.report.title, written.files[0].stem)
        if written.missing:
            say(f"{written.report.title}: {written.missing} of {written.planned} runs are not done")
    if not found and not any((compute.results / "tables").glob("*.csv")):
        raise ResultsError(
            f"no run of a shipped study is done under {compute.results}; train one with: fer ablate --study demo"
        )
    say(f"{len(found)} reports written; written: {write_overview(compute.results)}")
    return [written for _, written in found]


def print_claims(study: str | None, compute: Compute, *choice: Any) -> None:
    """Print the judged claims of a study, or of every one, as a table; ``choice`` as in ``judge_studies``."""
    from fer_cli.judge import count_verdicts
    from fer_cli.verdicts import HEAD, judge_studies, tabulate

    with pause_collection():
        found = judge_studies(study, compute, *choice)
    print_table(HEAD, tabulate(found))
    say(count_verdicts(one.verdict for judged in found for one in judged.judgements))
