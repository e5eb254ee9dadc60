"""The ``fer`` command line: commands parse, make one call and print; ``main`` maps user errors to one line, exit code 2."""

from __future__ import annotations

import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
import typer.main
from typer.exceptions import TyperException

from fer_cli import __version__
from fer_cli.cli.ablate import ablate
from fer_cli.cli.analyze import analyze_app
from fer_cli.cli.bench import bench
from fer_cli.cli.data import data_app
from fer_cli.cli.doctor import doctor
from fer_cli.cli.export import export
from fer_cli.cli.features import extract_features, features_app
from fer_cli.cli.merge import merge
from fer_cli.cli.monitor import monitor
from fer_cli.cli.papers import audit_paper
from fer_cli.cli.predict import predict
from fer_cli.cli.remove import remove
from fer_cli.cli.report import report
from fer_cli.cli.rerun import rerun
from fer_cli.cli.runs import runs
from fer_cli.cli.screen import closed, drop, printing, say
from fer_cli.cli.screen import show as print_text
from fer_cli.cli.search import search
from fer_cli.cli.show import diff, show
from fer_cli.cli.study import list_studies, study_app
from fer_cli.cli.sweeps import cancel, status
from fer_cli.cli.track import track_app
from fer_cli.cli.weights import weights_app
from fer_cli.errors import FerError
from fer_cli.signals import end_on_sigterm, ending

# Else the parameters of every command are read four times.
typer.main.get_params_from_function = cache(typer.main.get_params_from_function)  # type: ignore[attr-defined]
app = typer.Typer(
    name="fer",
    help="Experiments and ablations for facial-expression recognition: train a study, print its table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: fer ablate --study demo --plan, then fer ablate --study demo, then fer report --study demo",
)
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
app.add_typer(weights_app, name="weights")
app.add_typer(features_app, name="features")
app.add_typer(analyze_app, name="analyze")
app.add_typer(track_app, name="track")
app.command(epilog="Example: fer extract-features --fuse cnn,hog,sift --data synth-learning")(extract_features)
app.command(
    epilog="Examples: fer ablate --study scn-cs --data ck48 --plan · fer ablate --study scn-cs --gpus 0,1 --per-gpu 2 · "
    "fer ablate --study scn-cs --executor slurm --partition gpu --time 4:00:00 --gpus-per-task 1"
)(ablate)
app.command("studies", epilog="Example: fer studies")(list_studies)
app.command(epilog="Examples: fer status · fer status --study scn-cs --watch")(status)
app.command(epilog="Example: fer cancel --study scn-cs")(cancel)
app.command(epilog="Example: fer merge shard1/results shard2/results --results results")(merge)
app.command(epilog="Example: fer search --study cbam --data synth-learning --plan")(search)
app.command(epilog="Examples: fer report --study scn-cs --data ck48 · fer report --html --all")(report)
app.command(epilog="Example: fer export 3c4b92dbbfa7 --int8 --out faces.onnx")(export)
app.command(epilog="Example: fer audit-paper sun-2024, or fer audit-paper my-paper.yaml --fail")(audit_paper)
app.command(epilog="Example: fer predict scn-cs:SCN-CS lesson.mp4 --out faces.mp4 --csv faces.csv")(predict)
app.command(epilog="Examples: fer runs --state failed · fer runs --study scn-cs --sort score · fer runs --since 2d --csv")(
    runs
)
app.command(epilog="Examples: fer show 3f2a · fer show 3f2a --config > config.json")(show)
app.command(epilog="Example: fer diff 3f2a 91bc")(diff)
app.command(epilog="Examples: fer rerun 3f2a · fer rerun 3f2a --keep /tmp/again")(rerun)
app.command("rm", epilog="Examples: fer rm 3f2a 91bc · fer rm 3f2a --with-dependents · fer rm --restore 3f2a")(remove)
app.command(epilog="Example: fer monitor scn-cs:SCN-CS --video lesson.mp4 --course signals --out session")(monitor)
app.command(epilog="Examples: fer doctor · fer doctor --json")(doctor)
app.command(epilog="Example: fer bench --only training --repeats 5")(bench)

INTERRUPTED, OUTPUT_CLOSED = 130, 141
RESUMED = ("ablate", "extract-features", "merge", "search", "track sync")
"""Commands that keep what they had done when they were interrupted."""
FULL = "free some space"
PERMIT = "fix the permissions, or choose another location with --results, --data-root or --out"
PLACES = "remove or rename it, or choose another location with --results, --data-root or --out"
FAULTS = {
    errno.ENOSPC: ("no space left on the disk", FULL),
    errno.EDQUOT: ("disk quota exceeded", FULL),
    errno.EFBIG: ("the file would exceed the size limit", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", PERMIT),
    errno.EACCES: ("permission denied", PERMIT),
    errno.EPERM: ("not permitted", PERMIT),
    errno.EEXIST: ("expected a folder, found a file", PLACES),
    errno.ENOTDIR: ("part of the path is a file, not a folder", PLACES),
    errno.EISDIR: ("expected a file, found a folder", PLACES),
    errno.ENAMETOOLONG: ("the path is too long", "choose a shorter one"),
    errno.ELOOP: ("circular symbolic link", PLACES),
}
"""Error number -> message and remedy."""


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print_text(f"fer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Global options."""


def main() -> None:
    """Run the command line.

    Exit codes: 0 success, 1 failed runs, 2 user error, 3 runs left to another process, 130 interrupted, 141 stdout closed,
    143 terminated (SIGTERM, on which files under way are removed as on Ctrl-C).
    """
    end_on_sigterm()
    try:
        code = run_command()
    except SystemExit:
        flush_stdout(0)
        if ending.is_set():
            say(last_line("terminated"))
        raise
    sys.exit(flush_stdout(code))


def flush_stdout(code: int) -> int:
    """Flush stdout and return ``code``, or an error code where stdout is closed or cannot be written."""
    try:
        with printing(sys.stdout):
            pass
    except OSError as error:
        return fail(fault_line(error))
    return code or (OUTPUT_CLOSED if sys.stdout in closed else 0)


def run_command() -> int:
    """Run the given command and return its exit code."""
    try:
        code = app(standalone_mode=False)
    except FerError as error:
        return fail(str(error))
    except TyperException as error:  # wrong option or argument; the message is empty if help was printed
        if error.format_message():
            fail(f"{error.format_message()} (fer --help lists commands, fer COMMAND --help options)")
        return 2
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # how Typer and rich exit when the reader of their help is gone
            drop(sys.__stdout__ or sys.stdout)
            return OUTPUT_CLOSED
        raise
    except OSError as error:
        if error.errno not in FAULTS and not error.filename:
            raise
        return fail(fault_line(error))
    if code == INTERRUPTED:  # how Typer passes on Ctrl-C
        say(last_line("interrupted"))
    return code if isinstance(code, int) else 0


def last_line(how: str) -> str:
    """Return how the given command ended, and whether it can go on from there."""
    resumed = " ".join(sys.argv[1:3]).startswith(RESUMED) or (sys.argv[1:3] == ["data", "build"] and "--from" in sys.argv)
    return f"{how}; {'rerun the same command to resume' if resumed else 'files it had not finished are not kept'}"


def fault_line(error: OSError) -> str:
    """Return path, cause and remedy of a system error; a full disk is named by its mount point."""
    what, remedy = FAULTS.get(error.errno or 0, (str(error.strerror), "fix this"))
    path = error.filename2 or error.filename
    where = f"{os.fsdecode(path)}: " if isinstance(path, str | bytes) else ""
    if remedy == FULL and where:
        what += f" (file system of {mount_point(Path(os.fsdecode(path)))})"
    return f"{where}{what}; no partial files were written; {remedy} and rerun the same command"


def mount_point(path: Path) -> Path:
    """Return the mount point of the file system that holds a path."""
    here = path.absolute()
    return next((place for place in (here, *here.parents) if place.is_mount()), Path(here.anchor))


def fail(message: str) -> int:
    """Print one line to stderr and return the exit code for user errors."""
    say(f"error: {' '.join(message.split())}")
    return 2
