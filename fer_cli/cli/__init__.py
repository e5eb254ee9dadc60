"""The ``fer`` command. Commands parse, make one call and print; ``main`` turns known errors into one line and code 2."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from fer_cli import __version__
from fer_cli.cli.ablate import ablate
from fer_cli.cli.data import data_app
from fer_cli.cli.features import extract_features, features_app
from fer_cli.cli.report import report
from fer_cli.cli.screen import say
from fer_cli.cli.weights import weights_app
from fer_cli.errors import FerError

app = typer.Typer(
    name="fer",
    help="Experiments and ablations for facial-expression recognition: train a study, print its table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: fer data build ck48 --from CK+48, then fer ablate --study scn-cs, then fer report --study scn-cs",
)
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")
app.add_typer(features_app, name="features")
app.command(epilog="Example: fer extract-features --fuse cnn,hog,sift --data synth-learning")(extract_features)
app.command(epilog="Example: fer ablate --study scn-cs --data ck48 --plan")(ablate)
app.command(epilog="Example: fer report --study scn-cs --data ck48")(report)

INTERRUPTED = 130
STORAGE = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the allowed size",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.ENAMETOOLONG: "the path is too long",
    errno.ELOOP: "a link that leads back to itself",
}


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"fer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that stand before any command."""


def main() -> None:
    """Run the command line; exit 2 with one line on a user's error, 1 when runs failed, 130 when interrupted."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # how Typer passes on Ctrl-C
            interrupted()
        sys.exit(code)
    except FerError as error:
        fail(str(error))
    except TyperException as error:  # a wrong option or argument; the message is empty where help was printed
        if error.format_message():
            fail(f"{error.format_message()} (fer --help lists commands, fer COMMAND --help options)")
        sys.exit(2)
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{STORAGE[error.errno]}; nothing was half-written, free it up and run the same command again")


def interrupted() -> None:
    """Say how to go on and exit with code 130."""
    say("interrupted; the same command goes on from here")
    sys.exit(INTERRUPTED)


def fail(message: str) -> None:
    """Print one line to stderr and exit with code 2."""
    say(f"error: {' '.join(message.split())}")
    sys.exit(2)
