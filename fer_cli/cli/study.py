"""``fer studies`` and ``fer study new``."""

from __future__ import annotations

from typing import Annotated

import typer

from fer_cli.cli.complete import complete_study
from fer_cli.cli.screen import print_table, say, show
from fer_cli.commands import write_command

study_app = typer.Typer(help="Write a study of your own.", no_args_is_help=True)


@study_app.command(epilog="Example: fer study new my-study --from scn-cs")
def new(
    name: Annotated[str, typer.Argument(help="Name of the new study; NAME.yaml is written to the current folder.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="Study to copy: the name of a shipped one, or path to a YAML.",
            autocompletion=complete_study,
        ),
    ],
) -> None:
    """Copy a study to NAME.yaml, with comments, to be edited and run; its paper's values and claims are left out."""
    from fer_cli.copies import copy_study

    path = copy_study(name, source)
    show(str(path))
    say(f"next: edit {path}, then {write_command('fer ablate', study=path)}")


def list_studies() -> None:
    """List the shipped studies: question, data set and number of runs in the default profile."""
    from fer_cli.expand import list_points, name_data
    from fer_cli.results import SIMULATED
    from fer_cli.study import SIMULATIONS, Choice, load_study, study_names

    rows = []
    for name in study_names():
        study = load_study(name)
        points = list_points(study)
        simulated = all(settings.get("sequences.simulation") for _, settings in points)
        data = SIMULATED if simulated else name_data(study, Choice())
        rows.append([name, study.question, data, str(len(study.arms) * len(points) * len(study.seeds))])
    rows += [[name, f"a simulation, run by {command}", "-", "-"] for name, command in SIMULATIONS.items()]
    print_table(["study", "question", "data", "runs"], rows)
    say("next: fer ablate --study NAME --plan, or fer study new MY-STUDY --from NAME for a copy to edit")
