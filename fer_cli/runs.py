"""One run's folder, ``results/runs/<run_id>/``: the truth from which every table is computed.

``config.json``, ``claim.json`` (who works on it), ``log.txt``, ``history.csv``, ``best.pt``, ``last.ckpt``,
``predictions.parquet``, then ``result.json`` or ``error.txt``. Files are written under a temporary name and moved into
place, so each is whole or absent. A folder's state follows from which files are there; nothing else remembers it.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fer_cli.config import RunConfig
from fer_cli.errors import ResultsError
from fer_cli.places import write_text

Status = Literal["new", "running", "stale", "failed", "done"]
"""``stale``: begun and interrupted; the next command continues it."""

HEARTBEAT_S = 20.0
"""A claim's file is touched this often while its process lives."""
SILENT_S = 300.0
"""A claim of another machine counts as dead after this long without a heartbeat."""


class RunFolder:
    """The files of one run."""

    def __init__(self, results: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = results / "runs" / run_id

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    @property
    def status(self) -> Status:
        """Return the run's state, from the files alone."""
        if self.file("result.json").is_file():
            return "done"
        if self.claimed:
            return "running"
        if self.file("error.txt").is_file():
            return "failed"
        begun = self.file("claim.json").is_file() or any(self.path.glob("last*.ckpt"))
        return "stale" if begun else "new"

    @property
    def claimed(self) -> bool:
        """Return whether a living process works on the run."""
        claim = self.file("claim.json")
        try:
            owner = json.loads(claim.read_text(encoding="utf-8"))
            silence = time.time() - claim.stat().st_mtime
        except (OSError, ValueError):
            return False
        if owner.get("host") == socket.gethostname():
            return process_started(int(owner["pid"])) == str(owner["started"])
        return silence < SILENT_S

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Give True to the one process that may work on the run, False to all others.

        The claim is kept alive by a heartbeat and removed at the end; of a killed process it stays behind and is taken
        over. The check and the taking happen under a file lock, so two processes never both get True.
        """
        from filelock import FileLock

        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file(".lock")):
            mine = not self.claimed and not self.file("result.json").is_file()
            if mine:
                owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": process_started(os.getpid())}
                write_text(self.file("claim.json"), json.dumps(owner) + "\n")
                self.file("error.txt").unlink(missing_ok=True)
        if not mine:
            yield False
            return
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beat.start()
        try:
            yield True
        finally:
            over.set()
            beat.join()
            self.file("claim.json").unlink(missing_ok=True)

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT_S):
            self.file("claim.json").touch()

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved configuration: every setting, defaults included."""
        write_text(self.file("config.json"), config.model_dump_json(indent=1) + "\n")

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the result, then drop what only an unfinished run needs."""
        write_text(self.file("result.json"), json.dumps(result, indent=1) + "\n")
        for checkpoint in self.path.glob("last*.ckpt"):
            checkpoint.unlink()

    def write_error(self, trace: str) -> None:
        """Write the traceback of a failed run."""
        write_text(self.file("error.txt"), trace)

    def result(self) -> dict[str, Any]:
        """Return the result; raises ResultsError when it is missing or not JSON."""
        try:
            return json.loads(self.file("result.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise ResultsError(f"{self.file('result.json')}: no readable result ({error})") from None

    def epochs_done(self) -> int:
        """Return how many epochs the history holds, over all its stages."""
        return sum(max(0, len(path.read_bytes().splitlines()) - 1) for path in self.path.glob("history*.csv"))


def process_started(pid: int) -> str | None:
    """Return when process ``pid`` of this machine started (an opaque text), or None when there is none.

    Together with the pid it names a process even after the number is used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]
