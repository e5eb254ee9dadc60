"""``fer data ...``: build data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import DataRoot, data_root_or_default
from fer_cli.cli.screen import say, with_progress

data_app = typer.Typer(help="Build data sets from the folders you have.", no_args_is_help=True)


@data_app.callback()
def data() -> None:
    """Keep ``build`` a sub-command although it is the only one."""


@data_app.command(epilog="Example: fer data build ck48 --from ~/Downloads/CK+48")
def build(
    name: Annotated[str, typer.Argument(help="Name of a data card, e.g. ck48.")],
    source: Annotated[Path, typer.Option("--from", help="Folder that holds the data set's files.")],
    data_root: DataRoot = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Build although images are missing, surplus or unreadable.")
    ] = False,
) -> None:
    """Check a source folder against its card and pack it for training."""
    from fer_cli.data.build import build_set

    root = data_root_or_default(data_root)
    info = build_set(name, source, root, allow_incomplete, lambda items, n: with_progress("decoding", items, n))
    for label in info.classes:
        typer.echo(f"{label:<12}{info.counts[label]:>8}")
    typer.echo(f"{'all':<12}{info.kept:>8}")
    say(f"in {info.found}, kept {info.kept}, unreadable {len(info.unreadable)}; {info.subjects} subjects")
    for file in info.unreadable:
        say(f"  left out, unreadable: {file}")
    for difference in info.differences:
        say(f"  differs from the card: {difference}")
    if not info.differences:
        say("counts agree with the card")
    say(f"built {root / name}, fingerprint {info.fingerprint}")
    say(f"next: fer ablate --study scn-cs --data {name}{f' --data-root {data_root}' if data_root else ''}")
