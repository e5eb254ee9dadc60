"""Run folders, ``results/runs/<run_id>/``, from which every table is computed.

They hold ``config.json``, ``claim.json`` (its owner), ``heartbeat.txt``, ``progress.txt``, ``log.txt``, ``history.csv``,
``best.pt``, ``last.ckpt``, ``predictions.parquet``, and ``result.json`` or ``error.txt``, each written atomically. A run's
state follows from its files alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from fer_cli.claims import BEAT, HEARTBEAT_S, SEEN, Owner, is_alive, process_started, read_owner, this_process
from fer_cli.config import RunConfig
from fer_cli.errors import ClaimLostError, DamagedError, ResultsError
from fer_cli.outputs import CENTRES, HISTORIES, LABELS, PREDICTIONS, RESULT, damage_error
from fer_cli.places import not_made_again, read_text, write_text
from fer_cli.results import Result, find_damage, load_result, read_result
from fer_cli.yamls import explain

__all__ = ["OUTPUTS", "RunFolder", "Status", "process_started"]

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each training epoch with its number, from 1, and its row of the history."""

Status = Literal["new", "running", "stale", "damaged", "failed", "done"]
"""``stale``: interrupted, continued by the next command. ``damaged``: one of its files is invalid."""

PROGRESS = "progress.txt"  # holds `done/total` during a run

OUTPUTS = (
    RESULT,
    HISTORIES,
    PREDICTIONS,
    LABELS,
    PROGRESS,
    CENTRES,
    "confident.parquet",
    "best*.pt",
    "last*.ckpt",
    "confusion.png",
    "curves.png",
    "analysis-*",
)
"""Files of a damaged run that are removed before it is retrained."""

_tokens: dict[Path, str] = {}  # folder -> token of the claims held by this process


def history_name(result: Result) -> str:
    """Return the name of the selected training's history: of the chosen margin where relabelling margins were searched."""
    searched = result.config.learning.cs_threshold == "val_search"
    return f"history-margin-{result.selection.relabel_margin}.csv" if searched else "history.csv"


class RunFolder:
    """The files of one run."""

    def __init__(self, results: Path, run_id: str) -> None:
        self.results, self.run_id = results, run_id
        self.path = results / "runs" / run_id

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    @property
    def status(self) -> Status:
        """Return the run's state."""
        if os.path.lexists(self.file(RESULT)):
            return "done" if self.damage is None else "damaged"
        if self.claimed:
            return "running"
        if self.file("error.txt").is_file():
            return "failed"
        if self.damage is not None:
            return "damaged"
        begun = os.path.lexists(self.file("claim.json")) or any(self.path.glob("last*.ckpt"))
        return "stale" if begun else "new"

    @property
    def damage(self) -> DamagedError | None:
        """Return why the run is damaged: a file of a finished run, or the claim of another; else None."""
        if os.path.lexists(self.file(RESULT)):
            return find_damage(self.path)
        try:
            self.owner()
        except DamagedError as error:
            return error
        return None

    def owner(self) -> Owner | None:
        """Return the owner of the claim, or None; raises DamagedError if the claim is invalid."""
        try:
            return read_owner(self.file("claim.json"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise damage_error(self.file("claim.json"), str(error.strerror)) from None
        except ValueError as error:
            raise damage_error(self.file("claim.json"), str(error) or "empty") from None

    @property
    def claimed(self) -> bool:
        """Return whether a living process has claimed the run."""
        try:
            owner = self.owner()
            return owner is not None and is_alive(owner, self.file("claim.json"))
        except (DamagedError, OSError):
            return False

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Yield True to the one process that may work on the run, False to others; check and claim share a file lock.

        A heartbeat keeps the claim alive until it is removed at the end; a dead process's claim is taken over. Partial files
        and all outputs of damaged runs are removed. Raises ResultsError if the results folder is missing.
        """
        try:
            self.path.parent.mkdir(exist_ok=True)  # without parents: a removed results folder is not recreated
        except FileNotFoundError:
            raise ResultsError(f"{self.results}: the results folder is gone; run the same command again") from None
        self.path.mkdir(exist_ok=True)
        with self._lock():
            mine = self.status not in {"running", "done"}
            if mine:
                self._clear()
                owner = this_process(secrets.token_hex(16))
                write_text(self.file("claim.json"), owner.model_dump_json() + "\n")
                _tokens[self.path] = owner.token
        if not mine:
            yield False
            return
        not_made_again.add(self.path)
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beat.start()
        try:
            yield True
        finally:
            over.set()
            beat.join()
            with suppress(OSError, DamagedError):  # the folder and its claim may be gone
                self._drop()
            del _tokens[self.path]
            not_made_again.discard(self.path)

    def check_claim(self) -> None:
        """Raise ClaimLostError if another process took over this process's claim, ResultsError if the folder is missing."""
        token = _tokens.get(self.path)
        if token is None:
            return
        if not self.path.is_dir():
            raise ResultsError(f"{self.path}: removed or moved while the run was training; run the same command again")
        try:
            owner = self.owner()
        except DamagedError as error:
            raise ClaimLostError(f"{error}") from None
        if owner is None or owner.token != token:
            by = "its claim.json was removed" if owner is None else f"{owner} has taken it over"
            raise ClaimLostError(f"{self.path}: {by} while it was training here; this process leaves the run")

    def _beat(self, over: threading.Event) -> None:
        """Count on in the heartbeat until ``over`` is set, or until the claim is lost."""
        count = 0
        while not over.wait(HEARTBEAT_S):
            try:
                self.check_claim()
            except ResultsError:
                return
            count += 1
            with suppress(OSError):  # for earlier versions; not Path.touch, which would recreate a removed claim
                os.utime(self.file("claim.json"))
            with suppress(OSError):
                write_text(self.file(BEAT), f"{count}\n")

    def _lock(self) -> Any:
        from filelock import FileLock

        return FileLock(self.file(".lock"))

    def _drop(self) -> None:
        """Remove this process's claim, unless it was taken over."""
        if self.path.is_dir():
            with self._lock():
                owner = self.owner() if self.file("claim.json").is_file() else None
                if owner is not None and owner.token == _tokens[self.path]:
                    self.file("claim.json").unlink()
                    self.file(BEAT).unlink(missing_ok=True)

    def free_claim(self, token: str) -> None:
        """Remove the claim with this token: for a scheduler that knows that its process is gone."""
        with suppress(OSError, DamagedError), self._lock():
            owner = self.owner()
            if owner is not None and owner.token == token:
                self.file("claim.json").unlink()

    def _clear(self) -> None:
        """Remove temporary files, an old error, and all outputs of a damaged run."""
        gone = [*self.path.glob(".*.tmp"), *self.path.glob(f"{SEEN}*"), self.file(BEAT), self.file("error.txt")]
        if self.damage is not None:
            gone += [path for pattern in (*OUTPUTS, "claim.json") for path in self.path.glob(pattern)]
        for path in gone:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write_config(self, config: RunConfig) -> None:
        """Write all settings, including defaults."""
        write_text(self.file("config.json"), config.model_dump_json(indent=1) + "\n")

    def write_result(self, result: Result) -> None:
        """Write the result and remove checkpoints and progress; raises ClaimLostError if the claim is lost."""
        self.check_claim()
        with self._lock() if self.path in _tokens else nullcontext():  # no takeover between check and write
            self.check_claim()
            write_text(self.file(RESULT), result.as_text())
        for needless in (*self.path.glob("last*.ckpt"), *self.path.glob(PROGRESS)):
            needless.unlink()

    def write_error(self, trace: str) -> None:
        """Write the traceback of a failed run."""
        write_text(self.file("error.txt"), trace)

    def error_line(self) -> str:
        """Return the last line of a failed run's traceback."""
        try:
            lines = self.file("error.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            return str(error.strerror)
        return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")

    def find_result(self, planned: RunConfig | None = None) -> Result | DamagedError | None:
        """Return the result or its damage; None for an unfinished run. ``planned``: as in ``Planned``."""
        return load_result(self.path, planned) if os.path.lexists(self.file(RESULT)) else None

    def result(self) -> Result:
        """Return the result; raises DamagedError if a file of the run is missing or damaged."""
        return read_result(self.path)

    def write_progress(self, done: int, total: int) -> None:
        """Write the number of finished steps (epochs of all stages)."""
        write_text(self.file(PROGRESS), f"{done}/{total}\n")

    def progress(self) -> float:
        """Return the share of finished steps in [0, 1]; 0 if unknown."""
        try:
            done, total = map(int, read_text(self.file(PROGRESS)).split("/"))
            return min(1.0, max(0.0, done / total))
        except (OSError, ValueError, ZeroDivisionError):
            return 0.0


def read_config(path: Path) -> RunConfig:
    """Return the settings in a ``config.json``; raises DamagedError if they are invalid in this version."""
    try:
        return RunConfig.model_validate_json(read_text(path))
    except OSError as error:
        raise damage_error(path, str(error.strerror)) from None
    except ValidationError as error:
        raise damage_error(path, f"{explain(error, RunConfig)}; damaged, or written by another version of fer") from None
    except ValueError as error:
        raise damage_error(path, str(error)) from None
