"""Options shared by several commands."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.complete import complete_profile, complete_set, complete_study
from fer_cli.errors import StudyError
from fer_cli.escape import cut, terminal
from fer_cli.places import is_utf8, user_path

ADDRESS = re.compile(r"http|[A-Za-z][\w+.-]*:")
"""How a relative path begins that Lightning or pandas would open as an address."""


def expand_path(path: Path | None) -> Path | None:
    """Return a path with ``~`` expanded, as the shell leaves it in ``--results=~/x``; raises StudyError for an unknown user.

    Every option that takes a path goes through here.
    """
    if path is None:
        return None
    if (found := user_path(path)).parts[:1] and found.parts[0].startswith("~"):
        raise StudyError(f"{path}: no user {found.parts[0]!r} on this machine; write ./{path} for a folder of that name")
    return found


def check_folder(path: Path) -> Path:
    """Return a folder of results or data sets; raises StudyError if its path is not UTF-8.

    Below such a folder, Parquet files cannot be opened, nor SQLite stores addressed.
    """
    if not is_utf8(path.absolute()):
        raise StudyError(f"{terminal(str(path.absolute()))}: a path that is not UTF-8; rename or choose another folder")
    return path


def expand_folder(path: Path | None) -> Path | None:
    """Return ``expand_path`` of a folder that passes ``check_folder``; absolute where libraries take it for an address."""
    found = expand_path(path)
    if found is not None and ADDRESS.match(str(found)):
        found = found.absolute()
    return None if found is None else check_folder(found)


def name_study(study: str | None) -> str | None:
    """Return the name of a study that is given by its name or its file."""
    from fer_cli.study import find_study_file, is_file_name

    return find_study_file(study).stem if study is not None and is_file_name(study) else study


DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        callback=expand_folder,
        help="Folder of built data sets.",
        show_default="$FER_DATA or ~/.local/share/fer",
    ),
]
Results = Annotated[
    Path,
    typer.Option(
        "--results", envvar="FER_RESULTS", callback=expand_folder, help="Results folder (runs, tables, MLflow store)."
    ),
]
StudyName = Annotated[
    str,
    typer.Option("--study", "-s", help="Name of a shipped study, or path to a YAML.", autocompletion=complete_study),
]
OptionalStudy = Annotated[
    str | None,
    typer.Option("--study", "-s", help="Name of a shipped study, or path to a YAML.", autocompletion=complete_study),
]
OfStudy = Annotated[
    str | None,
    typer.Option(
        "--study",
        "-s",
        callback=name_study,
        help="Only this study: its name, or path to its YAML.",
        autocompletion=complete_study,
    ),
]
DataName = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Use this data set instead of the study's.", autocompletion=complete_set),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="Size preset: smoke, small or paper.",
        show_default="small",
        autocompletion=complete_profile,
    ),
]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Number of seeds (5), a list (0,2,4) or one seed (3,).")]
Epochs = Annotated[
    float | None,
    typer.Option("--epochs", min=0.001, max=100.0, help="Multiply every run's epochs by this factor (default: 1)."),
]
SplitName = Annotated[
    str | None,
    typer.Option(
        "--split", help="Override the study's split: a name, or auto (official, subject, sequence or random, as available)."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set one setting of all runs (train.lr=0.001), named in titles and files; repeatable. none: the study's own.",
    ),
]

NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait for runs that another process is training; exit with code 3.")
]
ListPlan = Annotated[bool, typer.Option("--plan", help="List all runs with their settings and state; train nothing.")]
UseRecipe = Annotated[
    bool | None,
    typer.Option("--recipe/--no-recipe", help="Runs with the settings that fer search chose, or with the arms' own."),
]
NoTrack = Annotated[bool, typer.Option("--no-track", help="Do not mirror runs to MLflow.")]
LoggerName = Annotated[
    str | None,
    typer.Option(
        "--logger", help="Also write the curves of runs that train now: csv or tensorboard, in logs under results."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="auto (bf16 where fast), fp32 or bf16.")]

DEFAULT_RESULTS = Path("results")


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """Return the seeds of ``"5"`` (0-4), ``"0,2,4"`` or ``"3,"``; raises StudyError for anything else."""
    if text is None:
        return None
    from fer_cli.study import MOST_RUNS

    if not re.fullmatch(r"\s*\d{1,18}\s*(,\s*\d{1,18}\s*)*(,\s*)?", text, re.ASCII):
        raise StudyError(f"--seeds {cut(text)}: give a number of seeds (5), a list (0,2,4) or one seed (3,)")
    numbers = [int(part) for part in text.split(",") if part.strip()]
    if max(len(numbers), 0 if "," in text else numbers[0]) > MOST_RUNS:
        raise StudyError(f"--seeds {cut(text)}: exceeds the limit of {MOST_RUNS:,} runs per plan")
    seeds = tuple(numbers) if "," in text else tuple(range(numbers[0]))
    if not seeds:
        raise StudyError(f"--seeds {cut(text)}: is a number of seeds, at least 1; seed 0 alone is --seeds 0,")
    if len(set(seeds)) != len(seeds):
        raise StudyError(f"--seeds {cut(text)}: a seed is given twice")
    return seeds


def data_root_or_default(given: Path | None) -> Path:
    """Return the data root; raises StudyError for one of ``FER_DATA`` that is not UTF-8."""
    from fer_cli.config import default_data_root

    found = given if given is not None else expand_folder(default_data_root())
    assert found is not None
    return found


def thread_count() -> int:
    """Return the number of CPU threads to use: ``OMP_NUM_THREADS`` if set, else all that are available."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
