"""``fer analyze ancova``: an analysis of covariance of your table, or of the paper's simulated one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import OptionalStudy, expand_path
from fer_cli.cli.screen import print_report, say
from fer_cli.commands import write_command
from fer_cli.errors import StudyError

FilePath = Annotated[
    Path | None, typer.Option("--data", "-d", callback=expand_path, help="CSV with one row per person and named columns.")
]


def ancova(
    data: FilePath = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="Numeric columns, each analysed alone: a,b.")] = None,
    factors: Annotated[str | None, typer.Option("--factors", help="Columns of levels, with all interactions.")] = None,
    covariate: Annotated[
        str | None, typer.Option("--covariate", help="Numeric columns, e.g. a pre-test; none: analysis of variance.")
    ] = None,
    joined: Annotated[
        Path | None, typer.Option("--with", callback=expand_path, help="Second CSV, such as of fer analyze factors.")
    ] = None,
    on: Annotated[str | None, typer.Option("--on", help="Column that both tables have; unique in the second.")] = None,
    study: OptionalStudy = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", callback=expand_path, help="Folder for .md, .tex, .csv and the figure.")
    ] = None,
) -> None:
    """Print effects in the paper's form with the checks of their assumptions; with --study ancova, of its simulation.

    Rows with a missing value are left out and counted. Type III tests, sum-to-zero contrasts.
    """
    options = {"--data": data, "--outcome": outcome, "--factors": factors}
    if study is not None:
        options |= {"--covariate": covariate, "--with": joined, "--on": on}
        if given := [name for name, value in options.items() if value]:
            raise StudyError(f"--study: cannot be combined with {', '.join(given)}; a simulation makes its own data")
        simulate_study(study, out)
        return
    if missing := [name for name, value in options.items() if not value]:
        raise StudyError(f"give {', '.join(missing)}, or --study ancova for the paper's simulation")
    if (joined is None) != (on is None):
        raise StudyError("--with FILE and --on COLUMN belong together: give both or neither")
    assert data is not None
    from fer_cli.interaction.ancova import analyse_outcomes
    from fer_cli.interaction.columns import join_columns, read_columns, split_names
    from fer_cli.report.ancova import ancova_report, check_outputs, write_ancova

    if out is not None:
        check_outputs(out, [data] if joined is None else [data, joined])
    table = read_columns(data)
    if joined is not None:
        table = join_columns(table, read_columns(joined), on or "")
    analyses = analyse_outcomes(table, *(split_names(text or "") for text in (outcome, factors, covariate)))
    report = ancova_report(analyses, data.name)
    print_report(report)
    if out is not None:
        say("written: " + ", ".join(map(str, write_ancova(analyses, report, out))))
    else:
        again = write_command(
            "fer analyze ancova", data=data, outcome=outcome, factors=factors, covariate=covariate, **{"with": joined}, on=on
        )
        say(f"next: {again} --out FOLDER")


def simulate_study(study: str, out: Path | None) -> None:
    """Run a simulation and print it beside the published rows."""
    from fer_cli.interaction.planted import load_simulation, recover, simulate
    from fer_cli.report.simulation import EXAMPLE, check_simulation, simulation_report, write_simulation

    plan = load_simulation(study)
    if out is not None:
        check_simulation(plan, out)
    rows = recover(plan, simulate(plan))
    report = simulation_report(plan, rows)
    print_report(report)
    if out is None:
        say(f"next: {write_command('fer analyze ancova', study=study)} --out FOLDER")
        return
    say("written: " + ", ".join(map(str, write_simulation(plan, rows, report, out))))
    named = {"outcome": ",".join(plan.outcomes), "factors": ",".join(plan.factors), "covariate": plan.covariate}
    say(f"next: {write_command('fer analyze ancova', data=out / EXAMPLE, **named)}")
