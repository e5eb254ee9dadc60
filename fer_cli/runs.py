"""One run's folder, ``results/runs/<run_id>/``: the truth from which every table is computed.

``config.json``, ``claim.json`` (who works on it), ``progress.txt`` (how far it is), ``log.txt``, ``history.csv``,
``best.pt``, ``last.ckpt``, ``predictions.parquet``, then ``result.json`` or ``error.txt``. Files are written under a
temporary name and moved into place, so each is whole or absent. A folder's state follows from which files are there and
whether they can be read; nothing else remembers it.
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

from fer_cli.claims import HEARTBEAT_S, Owner, is_alive, process_started, read_owner, this_process
from fer_cli.config import RunConfig
from fer_cli.errors import ClaimLostError, DamagedError, ResultsError
from fer_cli.outputs import HISTORIES, LABELS, PREDICTIONS, damage_error
from fer_cli.places import not_made_again, read_text, write_text
from fer_cli.results import RESULT, Result, find_damage, load_result, read_result

__all__ = ["OUTPUTS", "RunFolder", "Status", "process_started"]

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each epoch of a training with its number, from 1, and its row of the history."""

Status = Literal["new", "running", "stale", "damaged", "failed", "done"]
"""``stale``: begun and interrupted; the next command continues it. ``damaged``: a file of it cannot be read."""

PROGRESS = "progress.txt"
"""Holds ``done/total`` while a run is under way."""

OUTPUTS = (
    RESULT,
    HISTORIES,
    PREDICTIONS,
    LABELS,
    PROGRESS,
    "best*.pt",
    "last*.ckpt",
    "confusion.png",
    "curves.png",
    "analysis-*",
)
"""What is removed of a damaged run when it is trained again."""

_tokens: dict[Path, str] = {}
"""Folder -> token of the claims that this process holds."""


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
        """Return the run's state, from the files alone."""
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
        """Return why the run counts as damaged (a file of a finished one, the claim of another), or None if it does not."""
        if os.path.lexists(self.file(RESULT)):
            return find_damage(self.path)
        try:
            self.owner()
        except DamagedError as error:
            return error
        return None

    def owner(self) -> Owner | None:
        """Return who has claimed the run, or None; raises DamagedError when the claim cannot be read."""
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
        """Return whether a living process works on the run."""
        try:
            owner = self.owner()
            return owner is not None and is_alive(owner, self.file("claim.json"))
        except (DamagedError, OSError):
            return False

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Give True to the one process that may work on the run, False to all others.

        The claim is kept alive by a heartbeat and removed at the end; of a killed process it stays behind and is taken
        over. The check and the taking happen under a file lock, so two processes never both get True. What a dead process
        left half-written is removed, of a damaged run all that it left. Raises ResultsError when the results folder is gone.
        """
        try:
            self.path.parent.mkdir(exist_ok=True)  # not its parents: a results folder that was removed stays away
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
            with suppress(OSError, DamagedError):  # the folder may be gone, and with it the claim
                self._drop()
            del _tokens[self.path]
            not_made_again.discard(self.path)

    def check_claim(self) -> None:
        """Raise ClaimLostError when another process has taken the run over, ResultsError when its folder is gone.

        Do nothing where this process holds no claim on the run.
        """
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
        """Touch the claim until ``over``; end quietly once it is gone or another's."""
        while not over.wait(HEARTBEAT_S):
            try:
                self.check_claim()
            except ResultsError:
                return
            with suppress(OSError):  # never Path.touch, which would make a claim that was removed
                os.utime(self.file("claim.json"))

    def _lock(self) -> Any:
        from filelock import FileLock

        return FileLock(self.file(".lock"))

    def _drop(self) -> None:
        """Remove the claim of this process, if it still is its own."""
        if self.path.is_dir():
            with self._lock():
                owner = self.owner() if self.file("claim.json").is_file() else None
                if owner is not None and owner.token == _tokens[self.path]:
                    self.file("claim.json").unlink()

    def _clear(self) -> None:
        """Remove what a new training must not find: drafts of killed processes, an old error, all of a damaged run."""
        gone = [*self.path.glob(".*.tmp"), self.file("error.txt")]
        if self.damage is not None:
            gone += [path for pattern in (*OUTPUTS, "claim.json") for path in self.path.glob(pattern)]
        for path in gone:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved configuration: every setting, defaults included."""
        write_text(self.file("config.json"), config.model_dump_json(indent=1) + "\n")

    def write_result(self, result: Result) -> None:
        """Write the result, then drop what only an unfinished run needs; raises ClaimLostError as ``check_claim`` does."""
        self.check_claim()
        with self._lock() if self.path in _tokens else nullcontext():  # nobody takes the claim between check and writing
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
        return next((line.strip() for line in reversed(lines) if line.strip()), "no reason is given")

    def find_result(self) -> Result | DamagedError | None:
        """Return the result, why the finished run counts as damaged, or None for a run that is not finished."""
        return load_result(self.path) if os.path.lexists(self.file(RESULT)) else None

    def result(self) -> Result:
        """Return the result; raises DamagedError when it, or another file of the run, is missing or damaged."""
        return read_result(self.path)

    def write_progress(self, done: int, total: int) -> None:
        """Write how many of a run's steps (epochs, over all its stages) are done, in one line."""
        write_text(self.file(PROGRESS), f"{done}/{total}\n")

    def progress(self) -> float:
        """Return the share of a run's steps that are done, from 0 to 1; 0 where nothing says so."""
        try:
            done, total = map(int, read_text(self.file(PROGRESS)).split("/"))
            return min(1.0, max(0.0, done / total))
        except (OSError, ValueError, ZeroDivisionError):
            return 0.0
