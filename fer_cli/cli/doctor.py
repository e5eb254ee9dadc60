"""``fer doctor``: what works here, what is missing, and how to fix it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, data_root_or_default, thread_count
from fer_cli.cli.screen import print_table, say, show


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Check installation, processor, folders, data, weights and tracking; say what is missing and how to fix it.

    Exit codes: 0 nothing is broken (what is missing is optional); 1 something is broken.
    """
    from fer_cli import doctor as examine
    from fer_cli.config import Compute

    compute = Compute(data_root=data_root_or_default(data_root), results=results, threads=thread_count())
    checks = examine.diagnose(compute)
    broken = [check for check in checks if check.state == "broken"]
    if as_json:
        show(json.dumps(examine.as_json(checks), indent=1, ensure_ascii=False))
    else:
        rows = [[check.group, check.name, check.state, check.found, check.fix or "-"] for check in checks]
        print_table(["part", "check", "state", "found", "fix"], rows)
    missing = sum(check.state == "missing" for check in checks)
    say(f"{len(checks)} checks: {len(broken)} broken, {missing} missing and optional")
    if broken:
        say(f"first fix: {broken[0].name}: {broken[0].fix or broken[0].found}")
        raise typer.Exit(1)
    say("next: fer studies, or make demo in a checkout")
