"""``fer analyze factors``: from a run's recognised expressions to the levels of a factor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, data_root_or_default, expand_path
from fer_cli.cli.runs import RunName
from fer_cli.cli.screen import print_table, say
from fer_cli.commands import write_command


def factors(
    run: RunName,
    by: Annotated[str, typer.Option("--by", help="Column of its data set whose values are compared: subject, sequence.")],
    name: Annotated[str, typer.Option("--name", help="Name of the factor's column.")] = "face",
    positive: Annotated[
        str | None,
        typer.Option(
            "--positive",
            help="Expressions counted as positive.",
            show_default="happy,surprise,neutral, or happy,curious,focused for learning expressions",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", callback=expand_path, help="Output file, .csv.")] = None,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Print each unit's share of positive expressions in the test predictions; at least the median is high, below it low."""
    from fer_cli.analysis.units import factor_levels
    from fer_cli.errors import DataError
    from fer_cli.escape import csv_cell
    from fer_cli.interaction.columns import split_names
    from fer_cli.inventory.find import find_run
    from fer_cli.marks import check_place
    from fer_cli.places import write_text
    from fer_cli.report.ancova import csv_text

    fixed = (by, "n", "positive")
    if not name.strip() or "," in name:
        raise DataError(f"--name '{name}': a column of fer analyze ancova needs a name, without commas")
    if name in fixed:
        raise DataError(f"--name '{name}': the columns {', '.join(fixed)} are in the table already; choose another name")
    if out is not None:
        check_place(out, re.compile(rb"[^,\n]+,n,positive,"), "a table of fer analyze factors")
    chosen = tuple(split_names(positive or ""))
    found = factor_levels(find_run(results, run), by, data_root_or_default(data_root), chosen)
    rows = [
        {by: unit, "n": int(count), "positive": round(float(share), 6), name: level}
        for unit, count, share, level in zip(found.units, found.counts, found.shares, found.levels, strict=True)
    ]
    high = found.levels.count("high")
    tied = f"; {found.tied} at the median itself count as high" if found.tied else ""
    say(
        f"positive: {', '.join(found.positive)} as predicted; {len(rows)} units, {high} high (share of at least the median, "
        f"{found.median:.3f}), {len(rows) - high} low{tied}"
    )
    if out is None:
        print_table(list(rows[0]), [[str(csv_cell(cell)) for cell in row.values()] for row in rows])
        return
    write_text(out, csv_text(rows))
    say(f"written: {out}")
    joined = {"with": out, "on": by, "factors": name}
    say(f"next: {write_command('fer analyze ancova', data='SCORES.csv', **joined, outcome='COLUMN')}")
