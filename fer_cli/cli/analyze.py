"""``fer analyze``: what recognised expressions say about a lesson."""

from __future__ import annotations

import typer

from fer_cli.cli.status import status

analyze_app = typer.Typer(help="Analyse recognised expressions of students.", no_args_is_help=True)


@analyze_app.callback()
def group() -> None:
    """Keep ``status`` a subcommand although it is the only one."""


analyze_app.command(epilog="Example: fer analyze status events.jsonl --out feedback, or fer analyze status --example")(
    status
)
