"""``fer analyze status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import expand_path
from fer_cli.cli.screen import print_table, say
from fer_cli.commands import write_command
from fer_cli.errors import FerError


def status(
    events: Annotated[
        Path | None,
        typer.Argument(callback=expand_path, help="JSON lines or CSV with t, student, face, emotion: docs/interaction.md."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", callback=expand_path, help="Write report, all findings and pictures into this folder."),
    ] = None,
    expressions: Annotated[
        str, typer.Option("--expressions", "-e", help="Classes of the recogniser: basic or learning.")
    ] = "basic",
    settings: Annotated[
        Path | None,
        typer.Option("--settings", callback=expand_path, help="YAML of thresholds, e.g. difficulty: {in_a_row: 20}."),
    ] = None,
    courses: Annotated[
        Path | None,
        typer.Option("--courses", callback=expand_path, help="CSV of courses to recommend: name, instructor, category."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Print measurements too, not only what is raised.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Use a simulated class instead of a file.")] = False,
) -> None:
    """Find difficulties, inattention, engagement and teaching strategies in the recognised expressions of students.

    Labels are guesses and do not show what a student feels, understands or attends to; the rules are conventions.

    A finding is a reason to ask, never a grade.
    """
    from fer_cli.interaction.assess import assess_file, check_feedback, write_feedback
    from fer_cli.interaction.feedback import CAUTION, HEAD, raised, table_rows

    if (events is None) is not example:
        raise FerError("fer analyze status: give either a file of events or --example")
    if out is not None:
        check_feedback(out, events)
    found = assess_file(events, expressions, settings, courses)
    shown = found.findings if every else raised(found.findings)
    print_table(HEAD, table_rows(shown))
    for line in found.dropped or [f"{found.source}: {len(found.events)} events"]:
        say(line)
    for sentence in CAUTION:
        say(f"note: {sentence}")
    if out is None:
        place = {"expressions": None if expressions == "basic" else expressions, "settings": settings, "courses": courses}
        say(
            f"next: {write_command('fer analyze status', *filter(None, [events]), example=example, **place, out='feedback')}"
        )
        return
    for path in write_feedback(found, out):
        say(f"wrote {path}")
