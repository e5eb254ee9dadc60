"""``fer report``: a study's tables and figures, computed from run folders."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.advice import choice_options, given_results, write_command
from fer_cli.cli.options import (
    DEFAULT_RESULTS,
    DataName,
    DataRoot,
    Epochs,
    Profile,
    Results,
    Seeds,
    SplitName,
    StudyName,
    data_root_or_default,
    parse_seeds,
    thread_count,
)
from fer_cli.cli.screen import pause_collection, print_table, printing, say, show

if TYPE_CHECKING:
    from fer_cli.config import Compute
    from fer_cli.report import Written


def report(
    study: StudyName,
    data: DataName = None,
    profile: Profile = None,
    seeds: Seeds = None,
    split: SplitName = None,
    epochs: Epochs = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw figures and run the study's network analyses.")
    ] = False,
    formats: Annotated[
        str, typer.Option("--formats", help="Formats of figures beside PNG: pdf, svg, or png for PNG alone.")
    ] = "pdf,svg",
    columns: Annotated[
        int, typer.Option("--columns", min=1, max=2, help="Columns of the page that LaTeX tables are fitted to.")
    ] = 2,
    claims: Annotated[
        bool,
        typer.Option("--claims", help="Judge the study's claims on each data set instead (--study all: every study's)."),
    ] = False,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Print a study's tables and write them as .md, .csv and .tex (default: the data and profile that ran last)."""
    from fer_cli.config import Compute
    from fer_cli.inventory.parents import log_report

    if claims:
        compute = Compute(data_root=data_root_or_default(data_root), results=results, threads=thread_count())
        print_claims(study, compute, data, profile, seeds, split, epochs)
        return
    from fer_cli.formats import parse_formats
    from fer_cli.report import RENDERERS, make_report
    from fer_cli.study import load_study

    compute = Compute(data_root=data_root_or_default(data_root), results=results, threads=thread_count())
    asked = (data, profile, parse_seeds(seeds), split, epochs, figures)
    with pause_collection():
        written = make_report(study, compute, *asked, lambda name: say(f"{name} …"), parse_formats(formats), columns)
    log_report(results, load_study(study).name, written.report.title, written.files[0].stem)
    if sys.stdout.isatty():
        with printing(sys.stdout):
            sys.stdout.write(RENDERERS["terminal"](written.report))
    else:
        show(written.markdown)
    same = {"study": study, **choice_options(written.choice), "results": given_results(results), "data_root": data_root}
    tell_rest(written, compute, same, figures)


def tell_rest(written: Written, compute: Compute, same: dict[str, Any], figures: bool) -> None:
    """Say what was written, what is missing, and the next command; ``same``: the options that it repeats."""
    results = compute.results
    if written.unbuilt:
        kept = f"using the records in {results / 'sets'}"
        say(f"not built under {compute.data_root}: {', '.join(written.unbuilt)}; {kept}")
    say("written: " + ", ".join(str(path) for path in [*written.files, *written.figures]))
    if written.damaged:
        say(f"{len(written.damaged)} of {written.planned} runs are damaged and left out, e.g. {written.damaged[0]}")
    if written.missing:
        again = write_command("fer ablate", **same, retry_failed=bool(written.damaged))
        say(f"{written.missing} of {written.planned} runs are not done; next: {again}")
    elif not figures:
        say(f"next: {write_command('fer report', **same, figures=True)}")
    else:
        from fer_cli.tracking import view_command

        if command := view_command(results):
            say(f"next: {command}")


def print_claims(
    study: str,
    compute: Compute,
    data: str | None,
    profile: str | None,
    seeds: str | None,
    split: str | None,
    epochs: float | None,
) -> None:
    """Print the judged claims of a study, or of ``all``, as a table."""
    from fer_cli.verdicts import HEAD, count_verdicts, judge_studies, tabulate

    with pause_collection():
        found = judge_studies(study, compute, data, profile, parse_seeds(seeds), split, epochs)
    print_table(HEAD, tabulate(found))
    say(count_verdicts(found))
