"""The options of ``fer ablate`` that say how runs are executed, and what they become: ``Options`` and ``Compute``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.options import data_root_or_default, expand_path, thread_count
from fer_cli.errors import StudyError
from fer_cli.escape import cut

if TYPE_CHECKING:
    from fer_cli.config import Compute
    from fer_cli.executors import Options

PRINT = "print"
"""The executor that prints commands instead of running them."""
MANY = 1000
"""Runs at a time on a cluster, which has its own queue, without --jobs."""

ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor",
        help="serial, processes, slurm, ray or print (one command a line). Default: processes for several jobs.",
    ),
]
Jobs = Annotated[
    str | None,
    typer.Option(
        "--jobs", "-j", metavar="N|auto", help="Parallel runs, which share the CPU threads; auto: by cores and memory."
    ),
]
Gpus = Annotated[
    str | None, typer.Option("--gpus", metavar="0,1", help="Run on these GPUs, as CUDA_VISIBLE_DEVICES names them.")
]
PerGpu = Annotated[int | None, typer.Option("--per-gpu", min=1, help="Parallel runs on each of --gpus (default: 1).")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0.001, max=525600, metavar="MINUTES", help="Fail a run that takes longer.")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Start no run after the first failure.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Rerun failed and damaged runs.")]
Retries = Annotated[int, typer.Option("--retries", min=0, metavar="N", help="Train a run that fails up to N times again.")]
Cpus = Annotated[int | None, typer.Option("--cpus-per-task", min=1, help="slurm, ray: CPU cores of a run (default: 1).")]
GpusPerTask = Annotated[
    float | None, typer.Option("--gpus-per-task", min=0, max=1024, help="slurm, ray: GPUs of a run (default: 0).")
]
Partition = Annotated[str | None, typer.Option("--partition", help="slurm: partition (default: the cluster's).")]
Time = Annotated[
    str | None,
    typer.Option("--time", metavar="LIMIT", help="slurm: 90 (minutes), 4:00:00 or 1-12; a run that needs more is requeued."),
]
SbatchFile = Annotated[
    Path | None, typer.Option("--sbatch", callback=expand_path, metavar="FILE", help="slurm: file of further #SBATCH lines.")
]
Address = Annotated[
    str | None, typer.Option("--address", help="ray: address of the cluster, e.g. auto or ray://head:10001.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="slurm: submit all runs, leave them to the cluster and exit with code 3.")
]
NoSharedDisk = Annotated[
    bool, typer.Option("--no-shared-disk", help="ray: send results through Ray even where nodes see the results folder.")
]
OnlyRun = Annotated[
    list[str] | None,
    typer.Option("--run", metavar="ID", help="Train this run only, and what it starts from if that is missing; repeatable."),
]
Shard = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Train the I-th of N parts; fer merge joins them if they lie apart."),
]


@dataclass(frozen=True)
class Asked:
    """The options of one call of ``fer ablate``, as given."""

    study: str | None
    every: bool
    data: str | None
    profile: str | None
    seeds: str | None
    split: str | None
    settings: list[str] | None
    epochs: float | None
    budget: float | None
    only: list[str] | None
    recipe: bool
    run: list[str] | None
    shard: str | None
    plan: bool
    smoke: bool
    executor: str | None
    jobs: str | None
    gpus: str | None
    per_gpu: int | None
    timeout: float | None
    fail_fast: bool
    retry_failed: bool
    retries: int
    no_wait: bool
    cpus_per_task: int | None
    gpus_per_task: float | None
    partition: str | None
    time: str | None
    sbatch: Path | None
    detach: bool
    address: str | None
    no_shared_disk: bool
    no_track: bool
    logger: str | None
    device: str
    precision: str
    results: Path
    data_root: Path | None

    def once(self) -> dict[str, Any]:
        """Return the options that hold for one call that trains: what is suggested after it has others."""
        return {name: getattr(self, name) for name in ("retry_failed", "no_wait", "detach")}

    def repeated(self) -> dict[str, Any]:
        """Return the options of execution to repeat in suggested commands."""
        return {name: getattr(self, name) for name in HOW} | {
            "retries": self.retries or None,
            **{name: value for name in ("device", "precision") if (value := getattr(self, name)) != "auto"},
        }


BELONGS = {
    "gpus": ("processes",),
    "per_gpu": ("processes",),
    "cpus_per_task": ("slurm", "ray"),
    "gpus_per_task": ("slurm", "ray"),
    "partition": ("slurm",),
    "time": ("slurm",),
    "sbatch": ("slurm",),
    "detach": ("slurm",),
    "address": ("ray",),
    "no_shared_disk": ("ray",),
}
"""Option -> the executors that have it."""
HOW = ("executor", "jobs", *(name for name in BELONGS if name != "detach"), "timeout", "fail_fast", "no_track", "logger")


def make_options(asked: Asked) -> Options:
    """Return the options of execution; raises a FerError for wrong ones, or those of another executor."""
    from fer_cli.executors import Options, choose_executor

    gpus = parse_gpus(asked.gpus)
    name = asked.executor or ("processes" if gpus else None)
    for option, executors in BELONGS.items():
        if getattr(asked, option) and name not in executors:
            needed = " or ".join(f"--executor {one}" for one in executors)
            raise StudyError(f"--{option.replace('_', '-')}: needs {needed}")
    if asked.per_gpu and not gpus:
        raise StudyError("--per-gpu: needs --gpus")
    if gpus and asked.jobs:
        raise StudyError(f"--jobs {cut(asked.jobs)}: follows from --gpus and --per-gpu; omit it")
    options = Options(
        executor=None if name == PRINT else name,
        jobs=len(gpus) * (asked.per_gpu or 1) if gpus else parse_jobs(asked.jobs, name, asked.results),
        gpus=gpus,
        per_gpu=asked.per_gpu or 1,
        timeout=None if asked.timeout is None else asked.timeout * 60,
        fail_fast=asked.fail_fast,
        retry_failed=asked.retry_failed,
        retries=asked.retries,
        wait=not asked.no_wait,
        cpus=asked.cpus_per_task or 1,
        gpus_per_run=asked.gpus_per_task or 0,
        partition=asked.partition,
        minutes=None if asked.time is None else parse_time(asked.time),
        detach=asked.detach,
        sbatch=() if asked.sbatch is None else read_sbatch(asked.sbatch),
        address=asked.address,
        shared_disk=False if asked.no_shared_disk else None,
    )
    if name == "slurm" and options.gpus_per_run % 1:
        raise StudyError(f"--gpus-per-task {options.gpus_per_run:g}: Slurm gives whole GPUs; use 1, or --executor ray")
    choose_executor(options)
    return options


def make_plain_options(jobs: str | None, executor: str | None, results: Path, retry_failed: bool, no_wait: bool) -> Options:
    """Return the options of a command that has no others; raises a FerError for wrong ones."""
    from fer_cli.executors import Options, choose_executor

    if executor == PRINT:
        raise StudyError(f"--executor {PRINT}: only fer ablate prints commands; use serial or processes")
    number = parse_jobs(jobs, executor, results)
    options = Options(executor=executor, jobs=number, retry_failed=retry_failed, wait=not no_wait)
    choose_executor(options)
    return options


def make_compute(asked: Asked, options: Options) -> Compute:
    """Return the compute settings of each run; raises StudyError for an unknown device or a GPU that is not there."""
    from fer_cli.executors.capacity import count_gpus

    if options.gpus:
        if asked.device == "cpu":
            raise StudyError("--gpus: cannot be combined with --device cpu")
        found = count_gpus()
        if wrong := [gpu for gpu in options.gpus if gpu.isdigit() and int(gpu) >= found]:
            raise StudyError(f"--gpus {','.join(wrong)}: this machine has {found} CUDA GPUs{', from 0' if found else ''}")
    how = {"device": asked.device, "precision": asked.precision, "track": not asked.no_track, "logger": asked.logger}
    return compute_here(asked.results, asked.data_root, options, **how)


def compute_here(results: Path, data_root: Path | None, options: Options, **settings: Any) -> Compute:
    """Return the compute settings of each of so many parallel runs; raises StudyError for an unknown device."""
    from pydantic import ValidationError

    from fer_cli.config import Compute
    from fer_cli.loggers import check_logger
    from fer_cli.yamls import explain

    check_logger(settings.get("logger"))
    threads = options.cpus if options.scheduled else max(1, thread_count() // options.jobs)
    try:
        return Compute(data_root=data_root_or_default(data_root), results=results, threads=threads, **settings)
    except ValidationError as error:
        raise StudyError(f"--{explain(error, Compute)}") from None


def parse_jobs(text: str | None, executor: str | None, results: Path) -> int:
    """Return the number of parallel runs; raises StudyError unless it is a number from 1 or ``auto``."""
    if text is None:
        return MANY if executor in {"slurm", "ray"} else 1
    if text == "auto":
        from fer_cli.executors.capacity import suggest_jobs

        if executor in {"slurm", "ray", "serial"}:
            raise StudyError(f"--jobs auto: counts the cores of this machine; omit it with --executor {executor}")
        return suggest_jobs(results)
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) < 1:
        raise StudyError(f"--jobs {cut(text)}: give a number from 1, or auto")
    return int(text)


def parse_gpus(text: str | None) -> tuple[str, ...]:
    """Return the GPUs of ``0,1``; raises StudyError for none, duplicates, or characters that no GPU's name has."""
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(re.fullmatch(r"[A-Za-z0-9/-]+", name) for name in names) or len(set(names)) < len(names):
        raise StudyError(f"--gpus {cut(text)}: give numbers or UUIDs of GPUs, separated by commas, each once")
    return names


def parse_time(text: str) -> int:
    """Return the minutes of a time limit as Slurm writes it; raises StudyError for anything else."""
    found = re.fullmatch(r"(?:(\d{1,4})-)?(\d{1,6})(?::(\d{1,2}))?(?::(\d{1,2}))?", text.strip(), re.ASCII)
    minutes = 0.0
    if found:
        days, *parts = (None if part is None else int(part) for part in found.groups())
        first, second, third = parts
        if days is not None:  # days-hours[:minutes[:seconds]]
            minutes = days * 1440 + (first or 0) * 60 + (second or 0) + (third or 0) / 60
        elif third is not None:  # hours:minutes:seconds
            minutes = (first or 0) * 60 + (second or 0) + third / 60
        else:  # minutes[:seconds]
            minutes = (first or 0) + (second or 0) / 60
    if minutes < 1:
        raise StudyError(f"--time {cut(text)}: give minutes (90), hours (4:00:00) or days (1-12), at least a minute")
    return round(minutes)


def read_sbatch(path: Path) -> tuple[tuple[str, str], ...]:
    """Return names and values of a file of ``#SBATCH`` lines; raises StudyError for any other line but comments."""
    from fer_cli.places import read_text

    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"--sbatch {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()) or (text.startswith("#") and not text.startswith("#SBATCH")):
            continue
        match = re.fullmatch(r"#SBATCH\s+--([a-z][a-z-]*)(?:[=\s]\s*(\S.*))?", text)
        if match is None:
            raise StudyError(f"--sbatch {path}, line {number}: {cut(text)}: write #SBATCH --name=value")
        name, value = match.group(1), match.group(2) or ""
        if name in {"array", "dependency", "output", "error", "partition", "time", "gpus-per-task", "cpus-per-task"}:
            raise StudyError(f"--sbatch {path}, line {number}: --{name} is set by fer; use its option, or omit the line")
        found[name] = value
    return tuple(found.items())
