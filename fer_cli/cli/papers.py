"""``fer audit-paper``: the arithmetic of published tables."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fer_cli.cli.screen import is_terminal, print_table, say, write_out


def audit_paper(
    paper: Annotated[
        str | None, typer.Argument(help="Name of a shipped paper, e.g. sun-2024, or path to a YAML of your own.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Audit every shipped paper.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the findings as CSV.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with code 1 if there are findings.")] = False,
    checks: Annotated[bool, typer.Option("--checks", help="List all checks and exit.")] = False,
) -> None:
    """Check the arithmetic of a paper's printed tables: what no rounding explains, contradictions, unlikely coincidences.

    Each number stands for the values that round to its printed digits. experiments/papers/example.yaml explains the file.
    """
    from fer_cli.papers.audit import CHECKS, COLUMNS, count_verdicts, findings_csv, short_table
    from fer_cli.papers.audit import audit_paper as audit
    from fer_cli.papers.findings import VERDICTS
    from fer_cli.papers.read import choose_papers, load_paper

    if checks:
        print_table(["check", "verdict", "finds"], [[name, check.verdict, check.words] for name, check in CHECKS.items()])
        return
    names = choose_papers(paper, every)
    papers = [load_paper(name) for name in names]
    findings = [finding for one in papers for finding in audit(one)]
    if as_csv:
        write_out(findings_csv(findings))
    elif is_terminal(sys.stdout):
        print_table(*short_table(findings))
    else:
        print_table(COLUMNS, [finding.row() for finding in findings])
    say(f"{count_verdicts(findings)} in {len(papers)} paper{'' if len(papers) == 1 else 's'} by {len(CHECKS)} checks")
    for verdict in dict.fromkeys(finding.verdict for finding in findings):
        say(f"{verdict}: {VERDICTS[verdict]}")
    if findings and fail:
        raise typer.Exit(1)
