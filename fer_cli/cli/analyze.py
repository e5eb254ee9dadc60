"""``fer analyze``: what recognised expressions mean for a lesson, and whether that holds in a table of students."""

from __future__ import annotations

import typer

from fer_cli.cli.ancova import ancova
from fer_cli.cli.factors import factors
from fer_cli.cli.status import status

analyze_app = typer.Typer(
    help="Analyse students' data: learning status, analysis of covariance, factor levels.", no_args_is_help=True
)
analyze_app.command(epilog="Example: fer analyze status events.jsonl --out feedback, or fer analyze status --example")(
    status
)
analyze_app.command(
    epilog="Example: fer analyze ancova --data scores.csv --outcome posttest --factors face,body --covariate pretest"
)(ancova)
analyze_app.command(epilog="Example: fer analyze factors 0123456789ab --by subject --out factors.csv")(factors)
