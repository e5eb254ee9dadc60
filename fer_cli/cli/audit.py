"""``fer data audit``: data leakage between the parts of a split, duplicates in a built set, and labels probably wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.advice import study_command
from fer_cli.cli.drawn import draw_if_needed
from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, data_root_or_default, expand_path, thread_count
from fer_cli.cli.screen import print_table, say, show, with_progress
from fer_cli.commands import write_command
from fer_cli.errors import DataError


def audit_built(name: str, root: Path) -> str:
    """Audit a newly built set, store the result beside it, and return the verdict."""
    from fer_cli.data.audit import audit_set, write_audit
    from fer_cli.data.manifest import load_set

    found = audit_set(load_set(root, name), None, partial(with_progress, f"auditing {name}"))
    write_audit(root, name, found)
    say(f"audit: {found.verdict} ({found.protocol})" + "".join(f"; {reason}" for reason in found.reasons))
    return found.verdict


def audit_labels(study: str, name: str, root: Path, results: Path, out: Path | None) -> None:
    """Print what a study's runs found of a set's labels, and list the suspect images in a CSV and, if allowed, a sheet."""
    from fer_cli.config import Compute
    from fer_cli.inventory.labels import HEAD, doubt_labels

    found = doubt_labels(study, name, Compute(data_root=root, results=results, threads=thread_count()), out)
    print_table(HEAD, [level.row() for level in found.levels])
    say(f"written: {', '.join(str(path) for path in (found.table, found.sheet) if path is not None)}")
    if found.sheet is None:
        say(f"no pictures: the card of {name} does not allow to pass them on, or no label is suspect")
    say("next: review the CSV; a corrected one, with the columns sample and label, can be given as data.noise_file")


def audit(
    name: Annotated[str, typer.Argument(help="Name of a built data set.")],
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="subject, random, sequence, loso, holdout or official.", show_default="as data.split: auto"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="STUDY", help="Instead, list images whose labels this study's runs find suspect."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=expand_path,
            help="With --labels: CSV to write.",
            show_default="labels/ under the results",
        ),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Check a split for shared people, clips and duplicates, the set for label conflicts and blanks; exit 1 on leakage."""
    if labels is not None:
        if split is not None or as_json:
            raise DataError("--labels: cannot be combined with --split and --json")
        audit_labels(labels, name, data_root_or_default(data_root), results, out)
        return
    if out is not None:
        raise DataError("--out: needs --labels STUDY")
    from fer_cli.data.audit import audit_set, audit_text, split_by_name, write_audit
    from fer_cli.data.manifest import load_set

    root = data_root_or_default(data_root)
    draw_if_needed(name, root)
    config = None if split is None else split_by_name(name, split)
    faces = load_set(root, name)
    found = audit_set(faces, config, partial(with_progress, f"auditing {name}"))
    write_audit(root, name, found)
    show(found.model_dump_json(indent=1) if as_json else audit_text(found).removesuffix("\n"))
    say(f"verdict: {found.verdict}; stored in {root / name / 'audit.json'}")
    if found.verdict != "leaks":
        say(f"next: {study_command(name, root, data_root)}")
        return
    people = found.split in {"random", "sequence", "holdout"} and found.count("subjects")
    closer = {"split": "subject"} if people else {"json": True}
    say(f"next: {write_command('fer data audit', name, **closer, data_root=data_root)}")
    raise typer.Exit(1)
