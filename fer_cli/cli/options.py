"""Options that several commands share, each defined once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from fer_cli.errors import StudyError
from fer_cli.escape import cut
from fer_cli.places import user_path


def expand_path(path: Path | None) -> Path | None:
    """Return a path that a user gave with ``~`` expanded; raises StudyError for the home of a user who is not known.

    The shell leaves it in ``--results=~/x`` and in environment variables. Every option that takes a path goes through here.
    """
    if path is None:
        return None
    if (found := user_path(path)).parts[:1] and found.parts[0].startswith("~"):
        raise StudyError(f"{path}: no user {found.parts[0]!r} on this machine; write ./{path} for a folder of that name")
    return found


DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        callback=expand_path,
        help="Where built data sets live.",
        show_default="$FER_DATA or ~/.local/share/fer",
    ),
]
Results = Annotated[
    Path,
    typer.Option(
        "--results", envvar="FER_RESULTS", callback=expand_path, help="Results folder: runs, tables, MLflow store."
    ),
]
StudyName = Annotated[str, typer.Option("--study", "-s", help="Name of a shipped study, or path to a YAML.")]
DataName = Annotated[str | None, typer.Option("--data", "-d", help="Use this data set instead of the study's.")]
Profile = Annotated[
    str | None, typer.Option("--profile", "-p", help="How large: smoke, small or paper.", show_default="small")
]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Number of seeds (5), a list (0,2,4) or one seed (3,).")]

SplitName = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Split instead of the study's: auto (official, subject, sequence or random, as the set allows) or a name.",
    ),
]

DEFAULT_RESULTS = Path("results")


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """Return seeds from ``"5"`` (0-4), ``"0,2,4"`` or ``"3,"``; raises StudyError on anything else."""
    if text is None:
        return None
    from fer_cli.study import MOST_RUNS

    if not re.fullmatch(r"\s*\d{1,18}\s*(,\s*\d{1,18}\s*)*(,\s*)?", text, re.ASCII):
        raise StudyError(f"--seeds {cut(text)}: give a number of seeds (5), a list (0,2,4) or one seed (3,)")
    numbers = [int(part) for part in text.split(",") if part.strip()]
    if max(len(numbers), 0 if "," in text else numbers[0]) > MOST_RUNS:
        raise StudyError(f"--seeds {cut(text)}: more than {MOST_RUNS:,} runs, which is the limit of a plan")
    seeds = tuple(numbers) if "," in text else tuple(range(numbers[0]))
    if not seeds or len(set(seeds)) != len(seeds):
        raise StudyError(f"--seeds {cut(text)}: at least one seed, without duplicates")
    return seeds


def data_root_or_default(given: Path | None) -> Path:
    """Return the data root."""
    from fer_cli.config import default_data_root

    return given if given is not None else default_data_root()


def thread_count() -> int:
    """Return the processor threads this process may use: ``OMP_NUM_THREADS`` where it is set, else all it is allowed."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
