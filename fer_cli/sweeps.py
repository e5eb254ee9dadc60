"""What ``fer status`` and ``fer cancel`` need beside the run folders: the runs of each plan, and the commands under way.

``sweeps/<stem>.json`` lists the runs of a plan, so that its state can be read without the study and its data.
``sweeps/calls/<token>.json`` names a command that is training, and a file ``<token>.cancel`` beside it asks it to end, on
whichever machine it is.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fer_cli.claims import Owner, boot_id, pid_namespace, process_started, this_process
from fer_cli.errors import ResultsError
from fer_cli.places import read_text, write_text
from fer_cli.plan import Plan
from fer_cli.provenance import code_version

LOOK_S = 5.0
"""Interval at which a command looks whether it is to end."""


class Record(BaseModel):
    """A file of this module: unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SweepRun(Record):
    """One run of a plan; ``needs``: runs that must be done before it."""

    run_id: str
    title: str
    arm: str
    needs: tuple[str, ...] = ()
    epochs: int = 1


class Sweep(Record):
    """The runs of a plan; ``given``: the name or path by which its study was given, "" if unknown."""

    study: str
    title: str
    stem: str
    runs: tuple[SweepRun, ...]
    given: str = ""


class CallRecord(Record):
    """A command under way: its process, study, and version of fer."""

    owner: Owner
    study: str
    title: str
    version: str
    command: str


def sweep_of(plan: Plan) -> Sweep:
    """Return the record of a plan."""
    runs = (
        SweepRun(
            run_id=item.run_id,
            title=item.run.title,
            arm=item.run.arm,
            needs=tuple(need.run_id for need in item.needs),
            epochs=item.epochs,
        )
        for item in plan.everything
    )
    return Sweep(study=plan.study.name, title=plan.title, stem=plan.stem, runs=tuple(runs), given=plan.given)


def record_sweep(plan: Plan, results: Path) -> None:
    """Write the record of a plan, or renew the time of an equal one, by which ``read_sweeps`` sorts."""
    path, sweep = results / "sweeps" / f"{plan.stem}.json", sweep_of(plan)
    with suppress(OSError, ValueError):
        if Sweep.model_validate_json(read_text(path)) == sweep:
            os.utime(path)
            return
    write_text(path, sweep.model_dump_json(indent=1) + "\n")


def read_sweeps(results: Path) -> list[Sweep]:
    """Return the recorded plans, the latest command's first; those that cannot be read are left out."""
    found = []
    for path in (results / "sweeps").glob("*.json"):
        with suppress(OSError, ValidationError, ValueError):
            found.append((path.stat().st_mtime, Sweep.model_validate_json(read_text(path))))
    return [sweep for _, sweep in sorted(found, key=lambda pair: -pair[0])]


@contextmanager
def call_under_way(results: Path, plan: Plan) -> Iterator[None]:
    """Record this command while the body runs, and end it by SIGTERM if ``fer cancel`` asks for it.

    Raises ResultsError if another host trains the same plan with another version of fer.
    """
    folder, version = results / "sweeps" / "calls", describe_version()
    refuse_other_versions(results, plan.title, version)
    owner = this_process(secrets.token_hex(8))
    record = CallRecord(
        owner=owner,
        study=plan.study.name,
        title=plan.title,
        version=version,
        command=" ".join(["fer", *sys.argv[1:]])[:2000],
    )
    path = folder / f"{owner.token}.json"
    write_text(path, record.model_dump_json(indent=1) + "\n")
    over = threading.Event()
    watcher = threading.Thread(target=_follow_cancel, args=(path.with_suffix(".cancel"), over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        for one in (path, path.with_suffix(".cancel")):
            one.unlink(missing_ok=True)


def _follow_cancel(path: Path, over: threading.Event) -> None:
    """End this process by SIGTERM once ``path`` is there."""
    while not over.wait(LOOK_S):
        if os.path.lexists(path):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def read_calls(results: Path) -> dict[Path, CallRecord]:
    """Return the commands under way by the file of their record, without those of this machine that are gone."""
    found = {}
    for path in sorted((results / "sweeps" / "calls").glob("*.json")):
        with suppress(OSError, ValidationError, ValueError):
            record = CallRecord.model_validate_json(read_text(path))
            if is_here(record.owner) and process_started(record.owner.pid) != record.owner.started:
                path.unlink(missing_ok=True)
            else:
                found[path] = record
    return found


def is_here(owner: Owner) -> bool:
    """Return whether a process can be seen, and ended, from here."""
    return owner.boot == boot_id() and owner.namespace == pid_namespace()


def refuse_other_versions(results: Path, title: str, version: str) -> None:
    """Raise ResultsError if another host trains the plan with another version of fer."""
    here = this_process()
    for path, record in read_calls(results).items():
        elsewhere = (record.owner.host, record.owner.boot) != (here.host, here.boot)
        if elsewhere and record.title == title and record.version != version:
            raise ResultsError(
                f"{title}: {record.owner.host} trains it with {record.version}, this host has {version}; install the same "
                f"version on both (if no such command is left there, remove {path})"
            )


def describe_version() -> str:
    """Return the versions of fer and PyTorch, with the commit of a checkout, e.g. ``fer 0.1.0 (abc123), torch 2.13.0``."""
    found = code_version()
    return name_version(found["fer"], found["commit"], found["dirty"], metadata.version("torch"))


def name_version(fer: str, commit: str | None, dirty: bool | None, torch: str | None) -> str:
    """Return the versions of a host or a result in words."""
    where = f" ({commit}{', changed' if dirty else ''})" if commit else ""
    return f"fer {fer}{where}, torch {torch or 'unknown'}"
